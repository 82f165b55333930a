"""Compare two images where they agree best, and score their similarity."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from memaudit.duplicates.views import SIDE, blur, square, view

_SCALES = (0.7, 0.76, 0.82, 0.88, 0.94, 1, 1.065, 1.14, 1.22, 1.31, 1.42)
_MARGIN = 4  # largest shift verified, in pixels of the square
_LEVELS = (0.4, 0.9)  # bounds of the chance level, a correlation
_UNEVEN = 0.1  # raises the chance level by up to this where the structure is in one place ...
_TONE = 0.5  # ... and by this times the difference of mean colours ...
_MOST_TONE = 0.3  # ... which is capped here, so that a recoloured copy is still found
_COLOUR = 0.5  # weight of colour relative to structure
# Local contrast (RMS) below which an image has no structure; the rounding of the scaling is below
# 1e-4, one pixel of 32 x 32 that differs by one of 255 about 1e-3.
_LEAST_CONTRAST = 5e-4
# Range of grey (of 1) below which the part of an image that is compared has no structure, even if
# the frame around it gives it local contrast
_LEAST_RANGE = 5e-4
_LEAST_CHROMA = 0.01  # chroma (SD, of 1) below which an image counts as grey


def _local_contrast(x: torch.Tensor) -> torch.Tensor:
    """Return the grey of `x` (b, 3, 32, 32), locally centred and scaled to unit deviation."""
    grey = blur(x.mean(1, keepdim=True), 0.6)
    grey = grey - blur(grey, 3.0)
    return grey / torch.sqrt(blur(grey.square(), 3.0) + 0.02**2)


def _chroma(x: torch.Tensor) -> torch.Tensor:
    """Return red minus blue and green minus their mean, (b, 2, 32, 32), of `x` (b, 3, 32, 32)."""
    red, green, blue = x.unbind(1)
    return torch.stack([red - blue, green - (red + blue) / 2], 1)


class Likeness(NamedTuple):
    """Agreement of test images with their candidates at the best position, each (b, c).

    `structure` is the correlation of local contrast, -1 to 1; `colour` that of the chroma, NaN
    where one of the two is grey; `spread` how evenly the shared structure fills the frame, 0 to 1;
    `tone` the difference of the mean colours, 0 to 1.
    """

    structure: torch.Tensor
    colour: torch.Tensor
    spread: torch.Tensor
    tone: torch.Tensor


class _TrainingImages:
    """What the comparison needs of training images, computed once for each.

    `images` (r, 3, 32, 32), their local `contrast` (r, 32, 32), and `norm` (r, shifts): the norm of
    its window of `side` pixels at every shift, infinite where that window has no structure.
    """

    def __init__(self, images: np.ndarray, rows: torch.Tensor, side: int):
        self.images = square(images[rows.numpy()])
        contrast = _local_contrast(self.images)
        self.contrast = contrast[:, 0]
        mean, power = (F.avg_pool2d(x, side, 1).flatten(1) for x in (contrast, contrast.square()))
        norm = side * torch.sqrt((power - mean.square()).clamp_min(0)) + 1e-6
        grey = self.images.mean(1, keepdim=True)
        high, low = (F.max_pool2d(x * grey, side, 1) for x in (1, -1))
        structured = (high + low).flatten(1) >= _LEAST_RANGE
        self.norm = norm.clamp_min(side * _LEAST_CONTRAST).where(structured, torch.inf)


def verify(train_images: np.ndarray, test: torch.Tensor, candidates: torch.Tensor) -> Likeness:
    """Compare each test image with its candidates at the position where they agree best.

    The inner part of the test image, plain and mirrored, at every scale, is laid over the training
    image at every shift; the position with the highest correlation of local contrast counts.
    """
    side, shifts = SIDE - 2 * _MARGIN, 2 * _MARGIN + 1
    inner = slice(_MARGIN, SIDE - _MARGIN)
    views = [view(test, mirror, scale) for mirror in (False, True) for scale in _SCALES]
    patch = torch.stack([_local_contrast(v)[:, 0, inner, inner].flatten(1) for v in views], 1)
    least = side * _LEAST_CONTRAST
    patch = F.normalize(patch - patch.mean(2, keepdim=True), dim=2, eps=least)
    pixels = torch.stack([v[..., inner, inner] for v in views], 1)
    grey = pixels.mean(2).flatten(2)
    patch = patch * (grey.amax(2) - grey.amin(2) >= _LEAST_RANGE)[..., None]
    each = torch.arange(len(test))
    found = Likeness(*torch.empty(4, *candidates.shape))
    rows, places = torch.unique(candidates, return_inverse=True)
    training = _TrainingImages(train_images, rows, side)
    for column in range(candidates.shape[1]):
        at_row = places[:, column]
        windows = training.contrast[at_row].unfold(1, side, 1).unfold(2, side, 1)
        windows = windows.reshape(len(test), shifts**2, side * side)
        match = torch.bmm(patch, windows.transpose(1, 2)) / training.norm[at_row][:, None]
        found.structure[:, column], place = match.flatten(1).max(1)
        at, shift = place // shifts**2, place % shifts**2
        found.spread[:, column] = _spread(patch[each, at], windows[each, shift])
        test_part = pixels[each, at]
        train_part = training.images[at_row].unfold(2, side, 1).unfold(3, side, 1)
        train_part = train_part[each, :, shift // shifts, shift % shifts]
        found.colour[:, column] = _correlation(_chroma(test_part), _chroma(train_part))
        apart = (test_part.mean((2, 3)) - train_part.mean((2, 3))).abs()
        found.tone[:, column] = apart.mean(1)
    return found


def _spread(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return how evenly the shared structure of `a` and `b` (b, s * s) is spread, (b,).

    With the joint power p of each of 3 x 3 blocks this is (sum p)^2 / (9 sum p^2), the
    participation ratio: 1 if all blocks have the same power, 1/9 if one block has all.
    """
    side = int(a.shape[1] ** 0.5)
    power = []
    for x in (a, b):
        x = x.view(-1, 1, side, side)
        mean, square = (F.avg_pool2d(y, side // 3) for y in (x, x.square()))
        power.append((square - mean.square()).clamp_min(0).flatten(1))
    joint = (power[0] * power[1]).sqrt()
    return joint.sum(1).square() / (9 * joint.square().sum(1)).clamp_min(1e-12)


def _correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the correlation of `a` and `b` (b, 2, s, s) over both channels, NaN if one is grey."""
    a, b = (x - x.mean((2, 3), keepdim=True) for x in (a, b))
    spread = torch.stack([x.square().sum(1).mean((1, 2)).sqrt() for x in (a, b)])
    correlation = (a * b).sum(1).mean((1, 2)) / (spread.prod(0) + 1e-12)
    return correlation.where(spread.amin(0) >= _LEAST_CHROMA, torch.nan)


def score_of(found: Likeness) -> torch.Tensor:
    """Return scores (b, c), 0 to 1, of each test image and its candidates.

    The structure is rescaled so that the chance level becomes 0 and 1 stays 1. The chance level is
    what the test image's 4th to 8th best candidates reach, raised for a pair whose structure is in
    few places (a silhouette on a plain background) or whose mean colours differ.
    """
    others = found.structure.sort(dim=1, descending=True).values[:, 3:8]
    level = others.mean(1, keepdim=True) if others.shape[1] else torch.zeros(len(others), 1)
    level = level + _UNEVEN * (1 - found.spread) + _TONE * found.tone.clamp_max(_MOST_TONE)
    level = level.clamp(*_LEVELS)
    score = (found.structure - level) / (1 - level)
    with_colour = (score + _COLOUR * found.colour.clamp_min(0)) / (1 + _COLOUR)
    return torch.where(found.colour.isnan(), score, with_colour).clamp(0, 1)
