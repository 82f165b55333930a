"""Compare two images part by part: dense matching of patches or of cells of a network's output."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

_PATCH = 8  # side in pixels of a patch of the halved image
_HALF = 16  # side in pixels of the halved image
_SCALES = (0.8, 1, 1.25)  # of the training image
_DIMS = 48  # principal components of a part
_SHRINKAGE = 0.1  # of the whitening, times the mean eigenvalue
_COLOUR = 1.5  # weight of a patch's mean colour beside its unit vector
_PLACE = 1.1  # weight of its position in the image (0 to 1); squared: 0.3 per patch side


class Whitening:
    """Whitened principal components of parts (n, d), as unit vectors.

    Takes the parts in blocks, as `add` is called; `fit` then fixes the projection.
    """

    def __init__(self) -> None:
        self._count = 0
        self._sum = self._product = torch.zeros(())

    def add(self, parts: torch.Tensor) -> None:
        """Add parts (n, d) to those that the projection is fitted to."""
        self._count += len(parts)
        self._sum = self._sum + parts.sum(0).double()
        self._product = self._product + (parts.T @ parts).double()

    def fit(self) -> "Whitening":
        """Fix the projection."""
        mean = self._sum / self._count
        covariance = self._product / self._count - torch.outer(mean, mean)
        power, basis = torch.linalg.eigh(covariance)
        power, basis = power[-_DIMS:].clamp_min(0), basis[:, -_DIMS:]
        scale = torch.sqrt(power + _SHRINKAGE * covariance.diagonal().mean() + 1e-12)
        self._mean, self._projection = mean.float(), (basis / scale).float()
        return self

    def __call__(self, parts: torch.Tensor) -> torch.Tensor:
        """Return unit vectors (..., k) of parts (..., d)."""
        return F.normalize((parts - self._mean) @ self._projection, dim=-1)


def patches(images: torch.Tensor, scale: float = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all patches of images (b, 3, 32, 32) at half size times `scale`, and their places.

    Patches (b, n, 192) lack their mean colour; places (b, n, 5) are that colour and the centre in
    the image, weighted.
    """
    side = max(_PATCH, round(_HALF * scale))
    halved = F.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
    cut = F.unfold(halved, _PATCH).transpose(1, 2).reshape(len(images), -1, 3, _PATCH**2)
    colour = cut.mean(3)
    at = (torch.arange(side - _PATCH + 1) + _PATCH / 2) / side
    centre = torch.stack(torch.meshgrid(at, at, indexing="ij"), -1).view(1, -1, 2)
    places = torch.cat([_COLOUR * colour, _PLACE * centre.expand(len(images), -1, 2)], 2)
    return (cut - cut.mean((2, 3), keepdim=True)).flatten(2), places


def patch_vectors(
    images: torch.Tensor, whiten: Whitening, scales: Sequence[float] = _SCALES
) -> torch.Tensor:
    """Return vectors (b, n, k) of the patches of images (b, 3, 32, 32) at all `scales`."""
    found = []
    for scale in scales:
        parts, places = patches(images, scale)
        found.append(torch.cat([whiten(parts), places], 2))
    return torch.cat(found, 1)


def nearest(test: torch.Tensor, train: torch.Tensor) -> torch.Tensor:
    """Return how well each part of a test image is found in training images, (c, v, n), at most 0.

    `test` (v, n, k) holds the n parts of each of v views of it, `train` (c, m, k) those of the
    training images. Each part of the test image is compared with its nearest one in a training
    image; the result is minus the squared distance.
    """
    views, parts, _ = test.shape
    flat = test.flatten(0, 1)
    norm = flat.square().sum(1)
    # |a - b|^2 = |a|^2 - 2 (a b - |b|^2 / 2): one product, then a maximum over the parts
    left = torch.cat([flat, flat.new_full((len(flat), 1), -0.5)], 1)
    right = torch.cat([train, train.square().sum(2, keepdim=True)], 2)
    product = right.flatten(0, 1) @ left.T
    found = product.view(*train.shape[:2], -1).amax(1)
    return (2 * found - norm).view(len(train), views, parts)


def overall(found: torch.Tensor) -> torch.Tensor:
    """Return the mean of `nearest` (c, v, n) over the parts, in the best view, (c,)."""
    return found.mean(2).amax(1)


def distinct(found: torch.Tensor, ranks: tuple[int, int]) -> torch.Tensor:
    """Return by how much `nearest` (c, v, n) exceeds, part by part, what others reach, (c,).

    The level of a part is the mean of `ranks` (from 0) over the training images. A part below it
    counts as being at it, so that parts that are not in both images do no harm, as in local naive
    Bayes nearest neighbours (McCann and Lowe 2012). Mean over the parts, in the best view.
    """
    level = found.topk(min(ranks[1], len(found)), dim=0).values[ranks[0] :].mean(0)
    return overall((found - level).clamp_min(0))
