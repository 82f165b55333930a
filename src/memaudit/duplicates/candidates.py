"""Propose training images that may duplicate a test image, by whitened features of its views."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from memaudit.duplicates.views import blur, squares, view

_DIMS = 128  # principal components of each kind of feature
_QUERIES = [  # views of a test image: scale, shift right and down in pixels
    (scale, dx, dy)
    for scale in (0.83, 1, 1.2)
    for dx, dy in ((0, 0), (3, 0), (-3, 0), (0, 3), (0, -3))
]


def _pixel_features(x: torch.Tensor) -> torch.Tensor:
    """Return 16x16 pixels of `x` (b, 3, 32, 32) at equal brightness and contrast, (b, 768)."""
    x = F.avg_pool2d(x, 2)
    x = x - x.mean((1, 2, 3), keepdim=True)
    return (x / torch.sqrt(x.square().mean((1, 2, 3), keepdim=True) + 1e-3)).flatten(1)


def _gradient_features(x: torch.Tensor) -> torch.Tensor:
    """Return histograms of 8 gradient directions in 8x8 cells of `x` (b, 3, 32, 32), (b, 512)."""
    x = F.pad(blur(x, 0.7), (1, 1, 1, 1), mode="replicate")
    dx = x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2]
    dy = x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1]
    power, channel = (dx.square() + dy.square()).max(1, keepdim=True)
    dx, dy = dx.gather(1, channel), dy.gather(1, channel)
    direction = torch.atan2(dy, dx).remainder(torch.pi) * (8 / torch.pi)
    distance = (direction - torch.arange(8.0).view(1, 8, 1, 1)).abs()
    weight = (1 - torch.minimum(distance, 8 - distance)).clamp_min(0)
    cells = F.avg_pool2d(weight * power.sqrt(), 4)
    around = F.pad(cells.square().sum(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return (cells / torch.sqrt(F.avg_pool2d(around, 3, 1) + 1e-4)).flatten(1)


_KINDS = ((_pixel_features, 0.05), (_gradient_features, 0.1))  # and the shrinkage of the whitening
Whitening = list[tuple[torch.Tensor, torch.Tensor]]


def fit_whitening(images: np.ndarray) -> Whitening:
    """Return the mean (d,) and whitening projection (d, k) of each kind of feature."""
    sums = [torch.zeros(())] * len(_KINDS)
    products = [torch.zeros(())] * len(_KINDS)
    for x in squares(images):
        for kind, (feature, _) in enumerate(_KINDS):
            features = feature(x)
            sums[kind] = sums[kind] + features.sum(0).double()
            products[kind] = products[kind] + (features.T @ features).double()
    fitted = []
    for total, product, (_, shrinkage) in zip(sums, products, _KINDS, strict=True):
        mean = total / len(images)
        power, basis = torch.linalg.eigh(product / len(images) - torch.outer(mean, mean))
        keep = min(_DIMS, max(1, len(images) - 1))
        power, basis = power[-keep:].clamp_min(0), basis[:, -keep:]
        scale = torch.sqrt(power + shrinkage * power.sum() / len(mean) + 1e-9)
        fitted.append((mean.float(), (basis / scale).float()))
    return fitted


def whitened(x: torch.Tensor, whiten: Whitening) -> torch.Tensor:
    """Return whitened features (b, d) of `x` (b, 3, 32, 32).

    The dot product of two rows is the mean of the cosines of the two kinds.
    """
    parts = [
        F.normalize((feature(x) - mean) @ projection, dim=1)
        for (feature, _), (mean, projection) in zip(_KINDS, whiten, strict=True)
    ]
    return torch.cat(parts, 1) / math.sqrt(len(parts))


def find_candidates(
    train_features: torch.Tensor,
    test: torch.Tensor,
    whiten: Whitening,
    count: int,
    own: int | None,
) -> torch.Tensor:
    """Return the `count` training rows most similar to any view of each test image (b, count).

    `train_features` is (n, d), `test` (b, 3, 32, 32). `own` is the training row of the first test
    image where the two sets are one, else None.
    """
    similar = torch.full((len(test), len(train_features)), -2.0)
    for mirror in (False, True):
        for scale, dx, dy in _QUERIES:
            of_view = whitened(view(test, mirror, scale, dx, dy), whiten)
            torch.maximum(similar, of_view @ train_features.T, out=similar)
    if own is not None:
        similar.diagonal(own).fill_(-3.0)
    return similar.topk(count, dim=1).indices
