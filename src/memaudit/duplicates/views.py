"""Resample images to one square size; mirror, scale, shift and blur them."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from memaudit.data import mapped

SIDE = 32  # side in pixels of the square that every image is resampled to


def square(images: np.ndarray) -> torch.Tensor:
    """Return uint8 images (b, h, w, 3) as float32 (b, 3, 32, 32), values 0 to 1."""
    # a copy: images that stay in a file are read-only, which torch warns of
    x = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255
    if x.shape[-2:] != (SIDE, SIDE):
        x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    return x


def view(x: torch.Tensor, mirror: bool, scale: float, dx: int = 0, dy: int = 0) -> torch.Tensor:
    """Return `x` (b, c, 32, 32) mirrored, enlarged about its centre and shifted (pixels)."""
    if mirror:
        x = x.flip(-1)
    if scale == 1 and dx == dy == 0:
        return x
    half = SIDE / 2 * scale
    theta = torch.tensor([[1 / scale, 0, -dx / half], [0, 1 / scale, -dy / half]])
    grid = F.affine_grid(theta.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def squares(images: np.ndarray) -> Iterator[torch.Tensor]:
    """Yield the images as `square` returns them, in blocks."""
    for start in range(0, len(images), 2048):
        yield square(images[start : start + 2048])
        mapped.release(images)


def blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return the Gaussian blur of `x` (b, c, h, w); `sigma` in pixels, edges replicated."""
    reach = int(3 * sigma + 0.5)
    t = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-t * t / (2 * sigma * sigma))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    x = F.conv2d(x, kernel, groups=x.shape[1])
    return F.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])
