"""Find training images that show the same photograph or scene as a test image.

For small RGB images, in three steps. Candidates: every test image, mirrored, scaled and shifted in
several ways, is compared with every training image by whitened pixels and whitened gradient
histograms. Verification: the test image is laid over each candidate at many scales and shifts, and
the highest correlation of the locally normalised grey images is kept. Score: that correlation is
rescaled by the chance level, which the test image's other candidates set, so that plain shapes and
stock views, which resemble many images, score lower; agreeing colours raise it.

Where that is not enough, as for discs on white, `random_scores` shows it.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

# Threads that wait for each other sleep: spinning, they take time from other processes, and under
# load several times the CPU time of the search. Read when torch is imported first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from memaudit.cores import usable_cores
from memaudit.data import mapped
from memaudit.duplicates.calibration import probability
from memaudit.duplicates.candidates import find_candidates, fit_whitening, whitened
from memaudit.duplicates.likeness import score_of, verify
from memaudit.duplicates.views import square, squares

NEAR = 0.55  # score from which a pair is a near-duplicate (annotated on CIFAR-10)
REVIEW = 0.45  # score from which a pair is worth annotating
LISTED = 5  # training images listed per test image

_BLOCK = 250  # test images at a time, at most
_SIMILARITIES = 1 << 24  # similarities at a time, at most: 64 MiB
_CANDIDATES = 25  # training images verified per test image
_RANDOM = 200  # test images that are compared with random training images
_IDENTICAL = 20  # training images listed per test image that are identical to it
TRANSFORMS = ("rotate", "flip", "negative")  # what can be searched besides mirroring

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
        "exact" (identical pixels), "near" (score at or above `near`), "scene" (another photograph
        of the scene, if these were searched) or "candidate" (none of them).
    probability : float array
        Probability that the pair is a duplicate, of either kind (docs/duplicates.md).
    """

    train: np.ndarray
    test: np.ndarray
    score: np.ndarray
    kind: np.ndarray
    probability: np.ndarray

    def __len__(self) -> int:
        return len(self.score)

    def of(self, rows: np.ndarray) -> "Pairs":
        """Return the pairs in `rows`, a mask or an order."""
        return Pairs(*(getattr(self, field.name)[rows] for field in fields(self)))

    def at_least(self, score: float) -> "Pairs":
        """Return the pairs with at least this score."""
        return self.of(self.score >= np.float32(score))


def find_duplicates(
    train_images: np.ndarray,
    test_images: np.ndarray,
    *,
    near: float = NEAR,
    review: float = REVIEW,
    per_test: int = LISTED,
    transforms: Sequence[str] = (),
    content: tuple[Sequence[bytes], Sequence[bytes]] = ((), ()),
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
    transforms : sequence of str
        What else is searched besides shifted, scaled and mirrored copies: "rotate" (by 90, 180 and
        270 degrees), "flip" (upside down), "negative" (inverted values). All combinations are
        searched: "rotate" takes four times as long, "flip" and "negative" twice each.
    content : pair of sequences of bytes
        For images that were scaled down: a value for each training and each test image that two
        images share if they were identical before. Default: the pixels.
    progress : callable, optional
        Called as `progress(done, m)` with the number of test images compared so far.

    Returns
    -------
    Pairs
        At most `per_test` pairs per test image, plus its exact duplicates, ranked by score. Of more
        than 20 identical training images, each test image is paired with the first 20, and the
        first test image with all. Ties list exact pairs first, then go by row. Deterministic on
        one machine with one number of threads.

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
    identical = _by_content(content[0] or _digests(train_images))
    test_content = content[1] or list(_digests(test_images))
    found: dict[tuple[int, int], float] = {}
    exact: set[tuple[int, int]] = set()
    complete: set[bytes] = set()
    task = _Task(train_images, test_images, per_test, _views(transforms), among_themselves=False)
    for test, scores in _search(task, progress):
        same = identical.get(test_content[test], [])
        listed = same[:_IDENTICAL] if test_content[test] in complete else same
        complete.add(test_content[test])
        exact.update((row, test) for row in listed)
        found.update(((row, test), 1.0) for row in listed)
        others = _best(scores, set(same), per_test - len(same)) if len(same) < per_test else []
        found.update(((row, test), score) for row, score in others)
    return _ranked(found, exact, near, review)


def find_within(
    images: np.ndarray,
    *,
    near: float = NEAR,
    review: float = REVIEW,
    per_image: int = LISTED,
    transforms: Sequence[str] = (),
    content: Sequence[bytes] = (),
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
    groups = _by_content(content or map(_digest, images)).values()
    exact = {(rows[0], row) for rows in groups for row in rows[1:]}
    found = dict.fromkeys(exact, 1.0)
    firsts = np.array([rows[0] for rows in groups])  # ascending, as inserted
    if len(firsts) > 1:
        different = images if len(firsts) == len(images) else images[firsts]
        views = _views(transforms)
        task = _Task(different, different, per_image, views, among_themselves=True)
        for one, scores in _search(task, progress):
            for other, score in _best(scores, set(), per_image):
                pair = (int(firsts[min(one, other)]), int(firsts[max(one, other)]))
                found[pair] = max(score, found.get(pair, 0.0))
    return _ranked(found, exact, near, review)


@dataclass(frozen=True)
class _Task:
    """What is searched: every test image, in each of `views`, among the training images.

    `among_themselves`: the two arrays are one, and no row is a candidate of itself.
    """

    train_images: np.ndarray
    test_images: np.ndarray
    count: int
    views: Sequence[Callable[[torch.Tensor], torch.Tensor]]
    among_themselves: bool


def _views(transforms: Sequence[str]) -> list[Callable[[torch.Tensor], torch.Tensor]]:
    """Return the functions of images (b, 3, s, s) that give all combinations of `transforms`.

    Mirroring is searched anyway, so that four rotations also cover the flip. Raises ValueError.
    """
    if unknown := sorted(set(transforms) - set(TRANSFORMS)):
        raise ValueError(f"transforms must be among {', '.join(TRANSFORMS)}, got {unknown[0]!r}")
    turns = (0, 1, 2, 3) if "rotate" in transforms else (0, 2) if "flip" in transforms else (0,)

    def turned(turn: int, negative: bool) -> Callable[[torch.Tensor], torch.Tensor]:
        def transform(x: torch.Tensor) -> torch.Tensor:
            x = torch.rot90(x, turn, (2, 3)) if turn else x
            return 1 - x if negative else x

        return transform

    signs = (False, True) if "negative" in transforms else (False,)
    return [turned(turn, negative) for negative in signs for turn in turns]


def _search(task: _Task, progress: Progress | None) -> Iterator[tuple[int, dict[int, float]]]:
    """Yield every test row with the scores of its candidates by training row."""
    train_images, test_images = task.train_images, task.test_images
    count = min(max(_CANDIDATES, task.count), len(train_images) - task.among_themselves)
    size = int(np.clip(_SIMILARITIES // len(train_images), 1, _BLOCK))
    with torch.inference_mode(), own_cores():
        whiten = fit_whitening(train_images)
        train_features = torch.cat([whitened(x, whiten) for x in squares(train_images)])
        for start in range(0, len(test_images), size):
            block = square(test_images[start : start + size])
            own = start if task.among_themselves else None
            best: list[dict[int, float]] = [{} for _ in block]
            for transform in task.views:
                seen = transform(block)
                candidates = find_candidates(train_features, seen, whiten, count, own)
                score = score_of(verify(train_images, seen, candidates))
                for scores, rows, values in zip(
                    best, candidates.tolist(), score.tolist(), strict=True
                ):
                    for row, value in zip(rows, values, strict=True):
                        scores[row] = max(value, scores.get(row, 0.0))
            yield from enumerate(best, start)
            if progress is not None:
                progress(start + len(block), len(test_images))


def random_scores(train_images: np.ndarray, test_images: np.ndarray, found: Pairs) -> np.ndarray:
    """Return the scores of up to 5,000 random pairs of different images, (p,).

    The best pair of each image in `found` is left out: it may be a duplicate. Where more than a few
    of the others reach the threshold of near-duplicates, it is too low for such images.
    """
    best: dict[int, int] = {}
    for row, test in zip(found.train.tolist(), found.test.tolist(), strict=True):
        best.setdefault(test, row)
        if train_images is test_images:
            best.setdefault(row, test)
    rng = np.random.default_rng(0)
    tests = rng.permutation(len(test_images))[:_RANDOM]
    count = min(_CANDIDATES, len(train_images))
    rows = np.stack([rng.permutation(len(train_images))[:count] for _ in tests])
    with torch.inference_mode(), own_cores():
        likeness = verify(train_images, square(test_images[tests]), torch.from_numpy(rows))
        scores = score_of(likeness).numpy()
    others = [
        [
            best.get(test) != row and not np.array_equal(test_images[test], train_images[row])
            for row in group
        ]
        for test, group in zip(tests.tolist(), rows.tolist(), strict=True)
    ]
    return np.asarray(scores[np.array(others)])


@contextmanager
def own_cores() -> Iterator[None]:
    """Use no more threads than this process may use cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, usable_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ranked(
    found: dict[tuple[int, int], float], exact: set[tuple[int, int]], near: float, review: float
) -> Pairs:
    """Return the pairs (train, test) with at least the score `review`, best first."""
    train, test = np.array(list(found), dtype=np.int64).reshape(-1, 2).T
    score = np.array(list(found.values()), dtype=np.float32)
    is_exact = np.array([pair in exact for pair in found], dtype=bool)
    kind = np.where(is_exact, "exact", np.where(score >= near, "near", "candidate"))
    chance = np.where(is_exact, 1.0, probability("score", {"score": score}))
    order = np.lexsort((train, test, ~is_exact, -score))
    return Pairs(train, test, score, kind, chance).of(order).at_least(review)


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


def _digests(images: np.ndarray) -> Iterator[bytes]:
    for block in mapped.blocks(images):
        yield from map(_digest, block)


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.tobytes()).digest()


def _by_content(content: Iterable[bytes]) -> dict[bytes, list[int]]:
    """Map the content of images to the rows that share it, ascending."""
    rows: dict[bytes, list[int]] = {}
    for row, value in enumerate(content):
        rows.setdefault(value, []).append(row)
    return rows


def _best(scores: dict[int, float], without: set[int], count: int) -> list[tuple[int, float]]:
    """Return the `count` training rows with the highest scores, except `without`."""
    others = (pair for pair in scores.items() if pair[0] not in without)
    return sorted(others, key=lambda pair: (-pair[1], pair[0]))[:count]
