"""Find train images that show the same shot as a test image, for small RGB images.

Three steps. Every test image, mirrored, scaled and shifted in a few ways, is compared with every
train image by whitened pixels and whitened gradient histograms, which yields a few candidates for
each test image. The test image is then laid over each candidate at many scales and shifts, and the
best correlation of the two locally normalised gray images is kept. Last, that correlation is set
against the level that the test image's other candidates reach, so that plain shapes and stock
views, which look like many images, score low; agreeing colours add to the score.
"""

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from memaudit import store

NEAR = 0.6  # at or above: the same shot (judged by eye on CIFAR-10)
REVIEW = 0.45  # at or above: worth a look

_SIDE = 32  # side in pixels of the square that every image is resampled to
_DIMS = 128  # principal components kept of each kind of feature
_QUERIES = [  # views of a test image looked up: scale, shift right and down in pixels
    (scale, dx, dy)
    for scale in (0.83, 1, 1.2)
    for dx, dy in ((0, 0), (3, 0), (-3, 0), (0, 3), (0, -3))
]
_BLOCK = 250  # test images at a time
_CANDIDATES = 25  # train images verified for each test image
_SCALES = (0.7, 0.76, 0.82, 0.88, 0.94, 1, 1.065, 1.14, 1.22, 1.31, 1.42)
_MARGIN = 4  # largest shift verified, in pixels of the square
_LEVELS = (0.4, 0.9)  # least and greatest correlation taken for chance
_COLOUR = 0.25  # weight of colour against structure
_LEAST_CHROMA = 0.01  # chroma (sd, of 1) that counts as none


@dataclass(frozen=True)
class Pairs:
    """Ranked train-test pairs, best first; all arrays have shape (p,).

    Attributes
    ----------
    train, test : int64 arrays
        Row in ``train_images`` and row in ``test_images``.
    score : float32 array
        From 0 (no more alike than any two images) to 1 (identical content).
    kind : str array
        "exact" (pixel-identical), "near" (score at or above ``near``) or "candidate" (below).
    """

    train: np.ndarray
    test: np.ndarray
    score: np.ndarray
    kind: np.ndarray


def find_duplicates(
    train_images: np.ndarray,
    test_images: np.ndarray,
    *,
    near: float = NEAR,
    review: float = REVIEW,
    per_test: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> Pairs:
    """Find for every test image the train images most likely to show the same shot.

    Parameters
    ----------
    train_images : uint8 array, shape (n, h, w, 3)
        RGB images, n >= 1.
    test_images : uint8 array, shape (m, h, w, 3)
        RGB images of the same size, m >= 1.
    near : float, 0 to 1
        Score at or above which a pair is called the same shot.
    review : float, 0 to ``near``
        Score at or above which a person should look; pairs below are left out. 0 keeps all.
    per_test : int
        Most train images returned for one test image besides exact copies, at least 1.
    progress : callable, optional
        Called as ``progress(done, m)`` with the number of test images done so far.

    Returns
    -------
    Pairs
        At most ``per_test`` pairs a test image, and all its exact copies, ranked by score; of equal
        scores exact pairs first, then by row. The same input gives the same pairs (on one machine,
        with one number of threads).

    Raises
    ------
    ValueError
        If an array has another type or shape than stated, or a number is out of its range.
    """
    _check_images("train_images", train_images)
    _check_images("test_images", test_images)
    if train_images.shape[1:] != test_images.shape[1:]:
        raise ValueError(
            "train_images and test_images must have the same height and width, got "
            f"{train_images.shape[1:3]} and {test_images.shape[1:3]}"
        )
    if not 0 <= review <= near <= 1:
        raise ValueError(f"expected 0 <= review <= near <= 1, got {review} and {near}")
    if per_test < 1:
        raise ValueError(f"per_test must be at least 1, got {per_test}")

    exact = _exact_pairs(train_images, test_images)
    with torch.inference_mode():
        whiten = _fit_whitening(train_images)
        train_features = _blockwise(train_images, lambda x: _features(x, whiten))
        rows = []
        for start in range(0, len(test_images), _BLOCK):
            block = _square(test_images[start : start + _BLOCK])
            candidates = _candidates(train_features, block, whiten, max(_CANDIDATES, per_test))
            score = _score(*_verify(train_images, block, candidates))
            for k in range(len(block)):
                same = exact.get(start + k, [])
                best = _best(candidates[k].tolist(), score[k].tolist(), same, per_test)
                rows += [(row, start + k, value) for row, value in best]
            if progress is not None:
                progress(start + len(block), len(test_images))
    train, test, score = (np.array(column) for column in zip(*rows, strict=True))
    score = score.astype(np.float32)
    is_exact = np.array([a in exact.get(b, ()) for a, b in zip(train, test, strict=True)])
    kind = np.where(is_exact, "exact", np.where(score >= near, "near", "candidate"))
    order = np.lexsort((train, test, ~is_exact, -score))
    order = order[score[order] >= review]
    return Pairs(train[order], test[order], score[order], kind[order])


def _check_images(name: str, images: np.ndarray) -> None:
    """Raise ValueError unless ``images`` is a uint8 array of shape (n >= 1, h, w, 3)."""
    got = type(images).__name__
    if isinstance(images, np.ndarray):
        got = f"{images.dtype} of shape {images.shape}"
        if images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3 and images.size:
            return
    raise ValueError(
        f"{name} must be a uint8 array of shape (images, height, width, 3), none of them 0, "
        f"got {got}"
    )


def _exact_pairs(train_images: np.ndarray, test_images: np.ndarray) -> dict[int, list[int]]:
    """Map a test row to the train rows with the same pixels, by content hash."""
    by_hash: dict[bytes, list[int]] = {}
    for row, image in enumerate(train_images):
        by_hash.setdefault(hashlib.blake2b(image.tobytes()).digest(), []).append(row)
    found = {}
    for row, image in enumerate(test_images):
        same = by_hash.get(hashlib.blake2b(image.tobytes()).digest())
        if same is not None:
            found[row] = same
    return found


def _best(
    candidates: list[int], scores: list[float], same: list[int], count: int
) -> list[tuple[int, float]]:
    """Return the ``count`` best train rows of one test image, with scores, its copies first."""
    score_of = dict(zip(candidates, scores, strict=True)) | dict.fromkeys(same, 1.0)
    ranked = sorted(score_of, key=lambda row: (row not in same, -score_of[row], row))
    return [(row, score_of[row]) for row in ranked[: max(count, len(same))]]


# --- images -----------------------------------------------------------------------------------


def _square(images: np.ndarray) -> torch.Tensor:
    """Return uint8 images (b, h, w, 3) as float32 (b, 3, 32, 32), values 0 to 1."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    if x.shape[-2:] != (_SIDE, _SIDE):
        x = F.interpolate(x, size=(_SIDE, _SIDE), mode="bilinear", antialias=True)
    return x


def _view(x: torch.Tensor, mirror: bool, scale: float, dx: int = 0, dy: int = 0) -> torch.Tensor:
    """Return ``x`` (b, c, 32, 32) mirrored, enlarged about its centre and shifted (pixels)."""
    if mirror:
        x = x.flip(-1)
    if scale == 1 and dx == dy == 0:
        return x
    half = _SIDE / 2 * scale
    theta = torch.tensor([[1 / scale, 0, -dx / half], [0, 1 / scale, -dy / half]])
    grid = F.affine_grid(theta.expand(len(x), 2, 3), x.shape, align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _blockwise(images: np.ndarray, function: Callable) -> torch.Tensor:
    """Return ``function`` of the squared images, (n, d), a block at a time."""
    blocks = range(0, len(images), 2048)
    return torch.cat([function(_square(images[k : k + 2048])) for k in blocks])


def _blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of ``x`` (b, c, h, w); ``sigma`` in pixels, edges repeated."""
    reach = int(3 * sigma + 0.5)
    t = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-t * t / (2 * sigma * sigma))
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    x = F.conv2d(x, kernel, groups=x.shape[1])
    return F.conv2d(x, kernel.transpose(2, 3), groups=x.shape[1])


# --- candidates -------------------------------------------------------------------------------


def _pixel_features(x: torch.Tensor) -> torch.Tensor:
    """Return 16x16 pixels of ``x`` (b, 3, 32, 32) at equal brightness and contrast, (b, 768)."""
    x = F.avg_pool2d(x, 2)
    x = x - x.mean((1, 2, 3), keepdim=True)
    return (x / torch.sqrt(x.square().mean((1, 2, 3), keepdim=True) + 1e-3)).flatten(1)


def _gradient_features(x: torch.Tensor) -> torch.Tensor:
    """Return histograms of 8 gradient directions in 8x8 cells of ``x`` (b, 3, 32, 32), (b, 512)."""
    x = F.pad(_blur(x, 0.7), (1, 1, 1, 1), mode="replicate")
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


_KINDS = ((_pixel_features, 0.05), (_gradient_features, 0.1))  # with shrinkage of the whitening


def _fit_whitening(images: np.ndarray) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return for each kind of feature its mean (d,) and whitening projection (d, k)."""
    fitted = []
    for feature, shrinkage in _KINDS:
        x = _blockwise(images, feature)
        mean = x.mean(0)
        x -= mean
        power, basis = torch.linalg.eigh((x.T @ x / len(x)).double())
        keep = min(_DIMS, max(1, len(x) - 1))
        power, basis = power[-keep:].clamp_min(0), basis[:, -keep:]
        scale = torch.sqrt(power + shrinkage * power.sum() / x.shape[1] + 1e-9)
        fitted.append((mean, (basis / scale).float()))
    return fitted


def _features(x: torch.Tensor, whiten: list) -> torch.Tensor:
    """Return whitened features of ``x`` (b, 3, 32, 32), (b, d).

    The product of two rows is the mean of the cosines of the two kinds.
    """
    parts = [
        F.normalize((feature(x) - mean) @ projection, dim=1)
        for (feature, _), (mean, projection) in zip(_KINDS, whiten, strict=True)
    ]
    return torch.cat(parts, 1) / len(parts) ** 0.5


def _candidates(
    train_features: torch.Tensor, test: torch.Tensor, whiten: list, count: int
) -> torch.Tensor:
    """Return the ``count`` train rows most similar to any view of each test image.

    ``train_features`` is (n, d), ``test`` (b, 3, 32, 32); the rows are int64 (b, count).
    """
    similar = torch.full((len(test), len(train_features)), -2.0)
    for mirror in (False, True):
        for scale, dx, dy in _QUERIES:
            features = _features(_view(test, mirror, scale, dx, dy), whiten)
            torch.maximum(similar, features @ train_features.T, out=similar)
    return similar.topk(min(count, len(train_features)), dim=1).indices


# --- verification -----------------------------------------------------------------------------


def _local_contrast(x: torch.Tensor) -> torch.Tensor:
    """Return the gray of ``x`` (b, 3, 32, 32) less its local mean, over its local deviation."""
    gray = _blur(x.mean(1, keepdim=True), 0.6)
    gray = gray - _blur(gray, 3.0)
    return gray / torch.sqrt(_blur(gray.square(), 3.0) + 0.02**2)


def _chroma(x: torch.Tensor) -> torch.Tensor:
    """Return red less blue, and green less both, of ``x`` (b, 3, 32, 32), (b, 2, 32, 32)."""
    red, green, blue = x.unbind(1)
    return torch.stack([red - blue, green - (red + blue) / 2], 1)


def _verify(
    train_images: np.ndarray, test: torch.Tensor, candidates: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay each test image over its candidates; return structure and colour, (b, c), -1 to 1.

    The inner part of the test image, plain and mirrored, at every scale, is laid over the train
    image at every shift. Structure is the best correlation of local contrast, colour the
    correlation of the chroma there, NaN where one of the two has hardly any.
    """
    side, shifts = _SIDE - 2 * _MARGIN, 2 * _MARGIN + 1
    inner = slice(_MARGIN, _SIDE - _MARGIN)
    views = [_view(test, mirror, scale) for mirror in (False, True) for scale in _SCALES]
    patch = torch.stack([_local_contrast(v)[:, 0, inner, inner].flatten(1) for v in views], 1)
    patch = F.normalize(patch - patch.mean(2, keepdim=True), dim=2, eps=1e-6)
    patch_chroma = torch.stack([_chroma(v)[..., inner, inner] for v in views], 1)
    each = torch.arange(len(test))
    structure, colour = torch.empty(candidates.shape), torch.empty(candidates.shape)
    for column in range(candidates.shape[1]):
        train = _square(train_images[candidates[:, column].numpy()])
        contrast = _local_contrast(train)
        windows = contrast[:, 0].unfold(1, side, 1).unfold(2, side, 1)
        windows = windows.reshape(len(train), shifts**2, side * side)
        mean, power = (F.avg_pool2d(x, side, 1).flatten(1) for x in (contrast, contrast.square()))
        norm = side * torch.sqrt((power - mean.square()).clamp_min(0)) + 1e-6
        match = torch.bmm(patch, windows.transpose(1, 2)) / norm[:, None]
        structure[:, column], place = match.flatten(1).max(1)
        view, shift = place // shifts**2, place % shifts**2
        windows = _chroma(train).unfold(2, side, 1).unfold(3, side, 1)
        window = windows[each, :, shift // shifts, shift % shifts]
        colour[:, column] = _correlation(patch_chroma[each, view], window)
    return structure, colour


def _correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the correlation of ``a`` and ``b`` (b, 2, s, s) over both channels, (b,).

    It is NaN where one of the two has less chroma than counts.
    """
    a, b = (x - x.mean((2, 3), keepdim=True) for x in (a, b))
    spread = torch.stack([x.square().sum(1).mean((1, 2)).sqrt() for x in (a, b)])
    correlation = (a * b).sum(1).mean((1, 2)) / (spread.prod(0) + 1e-12)
    return correlation.where(spread.amin(0) >= _LEAST_CHROMA, torch.nan)


def _score(structure: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
    """Return scores (b, c), 0 to 1, from structure and colour of each test image's candidates.

    The structure is rescaled so that the level of the 4th to 8th best candidate is 0 and 1 stays 1.
    """
    others = structure.sort(dim=1, descending=True).values[:, 3:8]
    level = others.mean(1, keepdim=True) if others.shape[1] else torch.zeros(len(structure), 1)
    level = level.clamp(*_LEVELS)
    score = (structure - level) / (1 - level)
    with_colour = (score + _COLOUR * colour.clamp_min(0)) / (1 + _COLOUR)
    return torch.where(colour.isnan(), score, with_colour).clamp(0, 1)


# --- files ------------------------------------------------------------------------------------


def write_duplicates(pairs: Pairs, path: str | Path) -> None:
    """Write ranked pairs as CSV: train, test (indices), score, kind."""
    with store.whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["train", "test", "score", "kind"])
        for train, test, score, kind in zip(
            pairs.train, pairs.test, pairs.score, pairs.kind, strict=True
        ):
            writer.writerow([train, test, f"{score:.4f}", kind])


def read_duplicates(path: str | Path) -> list[tuple[int, int, str]]:
    """Read the pairs called "exact" or "near": (train, test, kind)."""
    rows = store.read_rows(path, {"train": int, "test": int, "kind": str})
    return [(train, test, kind) for train, test, kind in rows if kind != "candidate"]
