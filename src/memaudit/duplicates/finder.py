"""Find training images that show the same photograph or scene as a test image.

For small RGB images, in three steps. Candidates: every test image, mirrored, scaled and shifted in
several ways, is compared with every training image by whitened pixels and whitened gradient
histograms. Verification: the test image is laid over each candidate at many scales and shifts, and
the highest correlation of the locally normalised grey images is kept. Score: that correlation is
rescaled by the chance level, which the test image's other candidates set, so that plain shapes and
stock views, which resemble many images, score low; agreeing colours raise it.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from memaudit.duplicates.candidates import find_candidates, fit_whitening, whitened
from memaudit.duplicates.likeness import score_of, verify
from memaudit.duplicates.views import square, squares

NEAR = 0.55  # score from which a pair is a near-duplicate (annotated on CIFAR-10)
REVIEW = 0.45  # score from which a pair is worth annotating

_BLOCK = 250  # test images at a time, at most
_SIMILARITIES = 1 << 24  # similarities at a time, at most: 64 MiB
_CANDIDATES = 25  # training images verified per test image

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pairs:
    """Ranked pairs of images, best first; all arrays have shape (p,).

    Attributes
    ----------
    train, test : int64 arrays
        Row in `train_images` and row in `test_images`; for pairs within one set, the lower and
        the higher row.
    score : float32 array
        From 0 (no more similar than any two images) to 1 (identical content).
    kind : str array
        "exact" (identical pixels), "near" (score at or above `near`) or "candidate" (below).
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
    """Find for every test image the training images most likely to be its duplicates.

    Parameters
    ----------
    train_images : uint8 array, shape (n, h, w, 3)
        RGB images, n >= 1.
    test_images : uint8 array, shape (m, h, w, 3)
        RGB images of the same size, m >= 1.
    near : float, 0 to 1
        Score at or above which a pair is a near-duplicate.
    review : float, 0 to `near`
        Pairs with a lower score are omitted.
    per_test : int
        Maximum number of training images per test image besides exact duplicates; at least 1.
    progress : callable, optional
        Called as `progress(done, m)` with the number of test images compared so far.

    Returns
    -------
    Pairs
        At most `per_test` pairs per test image, plus all its exact duplicates, ranked by score;
        ties list exact pairs first, then go by row. Deterministic on one machine with one number
        of threads.

    Raises
    ------
    ValueError
        If an array does not have the stated type or shape, or a number is out of range.

    Examples
    --------
    >>> pairs = find_duplicates(train_images, test_images)  # doctest: +SKIP
    >>> leaking = set(pairs.test[pairs.kind != "candidate"])  # doctest: +SKIP
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
    """Find images of one set, such as the training set, that duplicate each other.

    `images` is uint8 (n, h, w, 3) RGB; the other parameters, the order and the errors are those of
    `find_duplicates`. No image is paired with itself. Every pair occurs once, as (lower row, higher
    row), with the higher of the two scores that its images give each other. The first of several
    identical images represents them: each of the others is paired with it as "exact" and with
    nothing else, so 1,000 black images make 999 pairs.
    """
    _check_images("images", images)
    _check_numbers(near, review, "per_image", per_image)
    groups = _by_content(images).values()
    exact = {(rows[0], row) for rows in groups for row in rows[1:]}
    found = dict.fromkeys(exact, 1.0)
    firsts = np.array([rows[0] for rows in groups])  # ascending, as inserted
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
    """Yield every test row with the training rows and scores of its candidates, unordered.

    `among_themselves`: the two arrays are one, and no row is a candidate of itself.
    """
    count = min(max(_CANDIDATES, per_test), len(train_images) - among_themselves)
    size = int(np.clip(_SIMILARITIES // len(train_images), 1, _BLOCK))
    with torch.inference_mode():
        whiten = fit_whitening(train_images)
        train_features = torch.cat([whitened(x, whiten) for x in squares(train_images)])
        for start in range(0, len(test_images), size):
            block = square(test_images[start : start + size])
            own = start if among_themselves else None
            candidates = find_candidates(train_features, block, whiten, count, own)
            score = score_of(verify(train_images, block, candidates))
            for k in range(len(block)):
                yield start + k, candidates[k].tolist(), score[k].tolist()
            if progress is not None:
                progress(start + len(block), len(test_images))


def _ranked(
    found: dict[tuple[int, int], float], exact: set[tuple[int, int]], near: float, review: float
) -> Pairs:
    """Return the pairs (train, test) with at least the score `review`, best first."""
    train, test = np.array(list(found), dtype=np.int64).reshape(-1, 2).T
    score = np.array(list(found.values()), dtype=np.float32)
    is_exact = np.array([pair in exact for pair in found], dtype=bool)
    kind = np.where(is_exact, "exact", np.where(score >= near, "near", "candidate"))
    order = np.lexsort((train, test, ~is_exact, -score))
    return Pairs(train[order], test[order], score[order], kind[order]).at_least(review)


def _check_numbers(near: float, review: float, name: str, count: int) -> None:
    """Raise ValueError unless 0 <= review <= near <= 1 and `count` >= 1."""
    if not 0 <= review <= near <= 1:
        raise ValueError(f"expected 0 <= review <= near <= 1, got {review} and {near}")
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")


def _check_images(name: str, images: np.ndarray) -> None:
    """Raise ValueError unless `images` is a uint8 array of shape (n >= 1, h, w, 3)."""
    got = type(images).__name__
    if isinstance(images, np.ndarray):
        got = f"{images.dtype} of shape {images.shape}"
        if images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3 and images.size:
            return
    raise ValueError(
        f"{name} must be a uint8 array of shape (images, height, width, 3), not empty; got {got}"
    )


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes()).digest()


def _by_content(images: np.ndarray) -> dict[bytes, list[int]]:
    """Map the digest of an image to the rows with identical pixels, ascending."""
    rows: dict[bytes, list[int]] = {}
    for row, image in enumerate(images):
        rows.setdefault(_digest(image), []).append(row)
    return rows


def _best(
    candidates: list[int], scores: list[float], same: list[int], count: int
) -> list[tuple[int, float]]:
    """Return the `count` best training rows of a test image with scores, exact duplicates first."""
    score_of = dict(zip(candidates, scores, strict=True)) | dict.fromkeys(same, 1.0)
    ranked = sorted(score_of, key=lambda row: (row not in same, -score_of[row], row))
    return [(row, score_of[row]) for row in ranked[: max(count, len(same))]]
