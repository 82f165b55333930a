"""Find train images that show the same shot as a test image, for small RGB images.

Three steps. Every test image, mirrored, scaled and shifted in a few ways, is compared with every
train image by whitened pixels and whitened gradient histograms, which yields a few candidates for
each test image. The test image is then laid over each candidate at many scales and shifts, and the
best correlation of the two locally normalised gray images is kept. Last, that correlation is set
against chance: the level that the test image's other candidates reach, raised where the structure
is in a few places or the mean colours differ. So plain shapes and stock views, which look like many
images, score low. Agreeing colours add to the score.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

NEAR = 0.55  # at or above: the same shot (judged by eye on CIFAR-10)
REVIEW = 0.45  # at or above: worth a look

_SIDE = 32  # side in pixels of the square that every image is resampled to
_DIMS = 128  # principal components kept of each kind of feature
_QUERIES = [  # views of a test image looked up: scale, shift right and down in pixels
    (scale, dx, dy)
    for scale in (0.83, 1, 1.2)
    for dx, dy in ((0, 0), (3, 0), (-3, 0), (0, 3), (0, -3))
]
_BLOCK = 250  # most test images at a time
_SIMILARITIES = 1 << 24  # most similarities at a time: 64 MiB
_CANDIDATES = 25  # train images verified for each test image
_SCALES = (0.7, 0.76, 0.82, 0.88, 0.94, 1, 1.065, 1.14, 1.22, 1.31, 1.42)
_MARGIN = 4  # largest shift verified, in pixels of the square
_LEVELS = (0.4, 0.9)  # least and greatest correlation taken for chance
_UNEVEN = 0.1  # chance is higher by up to this where the structure is in one place ...
_TONE = 0.5  # ... and by this times the difference of mean colours ...
_MOST_TONE = 0.3  # ... which counts up to here, so that a recoloured copy is still found
_COLOUR = 0.5  # weight of colour against structure
_LEAST_CHROMA = 0.01  # chroma (sd, of 1) that counts as none


Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pairs:
    """Ranked pairs of images, best first; all arrays have shape (p,).

    Attributes
    ----------
    train, test : int64 arrays
        Row in ``train_images`` and row in ``test_images``; of pairs within one set, the lower and
        the higher row.
    score : float32 array
        From 0 (no more alike than any two images) to 1 (identical content).
    kind : str array
        "exact" (pixel-identical), "near" (score at or above ``near``) or "candidate" (below).
    """

    train: np.ndarray
    test: np.ndarray
    score: np.ndarray
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.score)

    def at_least(self, score: float) -> "Pairs":
        """Return the pairs with at least this score."""
        keep = self.score >= np.float32(score)
        return Pairs(self.train[keep], self.test[keep], self.score[keep], self.kind[keep])


def find_duplicates(
    train_images: np.ndarray,
    test_images: np.ndarray,
    *,
    near: float = NEAR,
    review: float = REVIEW,
    per_test: int = 5,
    progress: Progress | None = None,
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
    _check_numbers(near, review, "per_test", per_test)
    by_content = _by_content(train_images)
    found: dict[tuple[int, int], float] = {}
    exact: set[tuple[int, int]] = set()
    blocks = _search(train_images, test_images, per_test, progress, among_themselves=False)
    for test, candidates, scores in blocks:
        same = by_content.get(_digest(test_images[test]), [])
        exact.update((row, test) for row in same)
        for row, score in _best(candidates, scores, same, per_test):
            found[row, test] = score
    return _ranked(found, exact, near, review)


def find_within(
    images: np.ndarray,
    *,
    near: float = NEAR,
    review: float = REVIEW,
    per_image: int = 5,
    progress: Progress | None = None,
) -> Pairs:
    """Find the images of one set, such as the training set, that show the same shot.

    ``images`` is uint8 (n, h, w, 3) RGB; the other parameters, the order and the errors are those
    of `find_duplicates`. No image is paired with itself, and every pair is there once, as (lower
    row, higher row), with the higher of the two scores that its images give each other. Of
    identical images the first stands for all: each of the others is paired with it, as "exact", and
    no more, so a thousand black images make 999 pairs.
    """
    _check_images("images", images)
    _check_numbers(near, review, "per_image", per_image)
    groups = _by_content(images).values()
    exact = {(rows[0], row) for rows in groups for row in rows[1:]}
    found = dict.fromkeys(exact, 1.0)
    firsts = np.array([rows[0] for rows in groups])  # ascending: a dict keeps the order of arrival
    if len(firsts) > 1:
        different = images if len(firsts) == len(images) else images[firsts]
        blocks = _search(different, different, per_image, progress, among_themselves=True)
        for one, candidates, scores in blocks:
            for other, score in _best(candidates, scores, [], per_image):
                pair = (int(firsts[min(one, other)]), int(firsts[max(one, other)]))
                found[pair] = max(score, found.get(pair, 0.0))
    return _ranked(found, exact, near, review)


def _search(
    train_images: np.ndarray,
    test_images: np.ndarray,
    per_test: int,
    progress: Progress | None,
    among_themselves: bool,
) -> Iterator[tuple[int, list[int], list[float]]]:
    """Yield every test row with its candidates' train rows and their scores, in no order.

    ``among_themselves`` says that the two arrays are one: a row is then no candidate of itself.
    """
    count = min(max(_CANDIDATES, per_test), len(train_images) - among_themselves)
    size = int(np.clip(_SIMILARITIES // len(train_images), 1, _BLOCK))
    with torch.inference_mode():
        whiten = _fit_whitening(train_images)
        train_features = torch.cat([_features(x, whiten) for x in _squares(train_images)])
        for start in range(0, len(test_images), size):
            block = _square(test_images[start : start + size])
            own = start if among_themselves else None
            candidates = _candidates(train_features, block, whiten, count, own)
            score = _score(_verify(train_images, block, candidates))
            for k in range(len(block)):
                yield start + k, candidates[k].tolist(), score[k].tolist()
            if progress is not None:
                progress(start + len(block), len(test_images))


def _ranked(
    found: dict[tuple[int, int], float], exact: set[tuple[int, int]], near: float, review: float
) -> Pairs:
    """Return the pairs (train, test) with a score of ``review`` or more, best first."""
    train, test = np.array(list(found), dtype=np.int64).reshape(-1, 2).T
    score = np.array(list(found.values()), dtype=np.float32)
    is_exact = np.array([pair in exact for pair in found], dtype=bool)
    kind = np.where(is_exact, "exact", np.where(score >= near, "near", "candidate"))
    order = np.lexsort((train, test, ~is_exact, -score))
    return Pairs(train[order], test[order], score[order], kind[order]).at_least(review)


def _check_numbers(near: float, review: float, name: str, count: int) -> None:
    """Raise ValueError unless 0 <= review <= near <= 1 and ``count`` is 1 or more."""
    if not 0 <= review <= near <= 1:
        raise ValueError(f"expected 0 <= review <= near <= 1, got {review} and {near}")
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")


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


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes()).digest()


def _by_content(images: np.ndarray) -> dict[bytes, list[int]]:
    """Map the digest of an image to the rows with just these pixels, ascending."""
    rows: dict[bytes, list[int]] = {}
    for row, image in enumerate(images):
        rows.setdefault(_digest(image), []).append(row)
    return rows


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


def _squares(images: np.ndarray) -> Iterator[torch.Tensor]:
    """Yield the images as `_square` returns them, a block at a time."""
    for start in range(0, len(images), 2048):
        yield _square(images[start : start + 2048])


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
    sums = [0.0] * len(_KINDS)
    products = [0.0] * len(_KINDS)
    for x in _squares(images):
        for kind, (feature, _) in enumerate(_KINDS):
            features = feature(x)
            sums[kind] += features.sum(0).double()
            products[kind] += (features.T @ features).double()
    fitted = []
    for total, product, (_, shrinkage) in zip(sums, products, _KINDS, strict=True):
        mean = total / len(images)
        power, basis = torch.linalg.eigh(product / len(images) - torch.outer(mean, mean))
        keep = min(_DIMS, max(1, len(images) - 1))
        power, basis = power[-keep:].clamp_min(0), basis[:, -keep:]
        scale = torch.sqrt(power + shrinkage * power.sum() / len(mean) + 1e-9)
        fitted.append((mean.float(), (basis / scale).float()))
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
    train_features: torch.Tensor, test: torch.Tensor, whiten: list, count: int, own: int | None
) -> torch.Tensor:
    """Return the ``count`` train rows most similar to any view of each test image.

    ``train_features`` is (n, d), ``test`` (b, 3, 32, 32); the rows are int64 (b, count). Where test
    images are train images themselves, ``own`` is the row of the first, else None.
    """
    similar = torch.full((len(test), len(train_features)), -2.0)
    for mirror in (False, True):
        for scale, dx, dy in _QUERIES:
            features = _features(_view(test, mirror, scale, dx, dy), whiten)
            torch.maximum(similar, features @ train_features.T, out=similar)
    if own is not None:
        similar.diagonal(own).fill_(-3.0)
    return similar.topk(count, dim=1).indices


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


class _Likeness(NamedTuple):
    """How test images and their candidates agree where they agree best, each (b, c).

    ``structure`` is the correlation of local contrast, -1 to 1; ``colour`` that of the chroma, NaN
    where one of the two has hardly any; ``spread`` says how evenly the shared structure fills the
    frame, 0 to 1; ``tone`` how far the mean colours are apart, 0 to 1.
    """

    structure: torch.Tensor
    colour: torch.Tensor
    spread: torch.Tensor
    tone: torch.Tensor


def _verify(train_images: np.ndarray, test: torch.Tensor, candidates: torch.Tensor) -> _Likeness:
    """Lay each test image over its candidates, and say how they agree where they do so best.

    The inner part of the test image, plain and mirrored, at every scale, is laid over the train
    image at every shift; the place with the best correlation of local contrast counts.
    """
    side, shifts = _SIDE - 2 * _MARGIN, 2 * _MARGIN + 1
    inner = slice(_MARGIN, _SIDE - _MARGIN)
    views = [_view(test, mirror, scale) for mirror in (False, True) for scale in _SCALES]
    patch = torch.stack([_local_contrast(v)[:, 0, inner, inner].flatten(1) for v in views], 1)
    patch = F.normalize(patch - patch.mean(2, keepdim=True), dim=2, eps=1e-6)
    pixels = torch.stack([v[..., inner, inner] for v in views], 1)
    each = torch.arange(len(test))
    found = _Likeness(*torch.empty(4, *candidates.shape))
    for column in range(candidates.shape[1]):
        train = _square(train_images[candidates[:, column].numpy()])
        contrast = _local_contrast(train)
        windows = contrast[:, 0].unfold(1, side, 1).unfold(2, side, 1)
        windows = windows.reshape(len(train), shifts**2, side * side)
        mean, power = (F.avg_pool2d(x, side, 1).flatten(1) for x in (contrast, contrast.square()))
        norm = side * torch.sqrt((power - mean.square()).clamp_min(0)) + 1e-6
        match = torch.bmm(patch, windows.transpose(1, 2)) / norm[:, None]
        found.structure[:, column], place = match.flatten(1).max(1)
        view, shift = place // shifts**2, place % shifts**2
        found.spread[:, column] = _spread(patch[each, view], windows[each, shift])
        test_part = pixels[each, view]
        train_part = train.unfold(2, side, 1).unfold(3, side, 1)
        train_part = train_part[each, :, shift // shifts, shift % shifts]
        found.colour[:, column] = _correlation(_chroma(test_part), _chroma(train_part))
        apart = (test_part.mean((2, 3)) - train_part.mean((2, 3))).abs()
        found.tone[:, column] = apart.mean(1)
    return found


def _spread(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the part of 3 x 3 blocks over which the structure of ``a`` and ``b`` is spread, (b,).

    Both are (b, s * s). With the joint power p of each block it is (sum p)^2 / (9 sum p^2), the
    participation ratio: 1 where all blocks have as much structure, 1/9 where one has it all.
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
    """Return the correlation of ``a`` and ``b`` (b, 2, s, s) over both channels, (b,).

    It is NaN where one of the two has less chroma than counts.
    """
    a, b = (x - x.mean((2, 3), keepdim=True) for x in (a, b))
    spread = torch.stack([x.square().sum(1).mean((1, 2)).sqrt() for x in (a, b)])
    correlation = (a * b).sum(1).mean((1, 2)) / (spread.prod(0) + 1e-12)
    return correlation.where(spread.amin(0) >= _LEAST_CHROMA, torch.nan)


def _score(found: _Likeness) -> torch.Tensor:
    """Return scores (b, c), 0 to 1, from the likeness of each test image to its candidates.

    The structure is rescaled so that chance is 0 and 1 stays 1. Chance is the level of the test
    image's 4th to 8th best candidate, and higher for a pair whose structure is in few places (a
    silhouette on plain ground) or whose mean colours differ.
    """
    others = found.structure.sort(dim=1, descending=True).values[:, 3:8]
    level = others.mean(1, keepdim=True) if others.shape[1] else torch.zeros(len(others), 1)
    level = level + _UNEVEN * (1 - found.spread) + _TONE * found.tone.clamp_max(_MOST_TONE)
    level = level.clamp(*_LEVELS)
    score = (found.structure - level) / (1 - level)
    with_colour = (score + _COLOUR * found.colour.clamp_min(0)) / (1 + _COLOUR)
    return torch.where(found.colour.isnan(), score, with_colour).clamp(0, 1)
