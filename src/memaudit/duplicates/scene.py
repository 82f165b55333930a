"""Find training images that show the same object in the same scene as a test image.

Another photograph of a scene need not agree with it position by position, so similarities are set
against the test image's own class: a pair counts if it is far more similar than the class's other
training images are to that test image. Only images of one class are compared.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from memaudit.data import mapped
from memaudit.data.dataset import Dataset
from memaudit.duplicates.calibration import probability
from memaudit.duplicates.features import Features, features_of
from memaudit.duplicates.finder import LISTED, Pairs, Progress, own_cores
from memaudit.duplicates.matching import (
    Whitening,
    distinct,
    nearest,
    overall,
    patch_vectors,
    patches,
)
from memaudit.duplicates.views import square, squares
from memaudit.names import printable

SCENE = 0.5  # probability from which a pair is another photograph of a scene
SCORED = 25  # training images per test image of which the finder's score is needed
_COMPARED = 6000  # training images whose parts are kept at a time, about: 100 kB each
_BLOCK = 256  # images at a time
_TESTS = 1000  # test images of a class at a time, at most
_CANDIDATES = 20  # training images of the class that are compared part by part, per test image
_REFERENCE = 40  # other training images of the class, for the level of these comparisons
_RANKS = (2, 8)  # ranks, from 0, whose mean is the level of a class
FEWEST = 50  # training images of a class that is searched: of fewer the level is not known
_PLAIN = 4.0  # standard deviation of the pixels, of 255, up to which an image has no structure
_CLIP = (-6.0, 14.0)  # bounds of a term
_FITTED = 4000  # training images to whose patches the whitening is fitted, at most
_NAMED = 3  # classes that a note names, at most
_WHITE = 229  # a pixel is white if all of its channels are above this, of 255


@dataclass(frozen=True)
class Evidence:
    """Evidence that pairs show one scene: indices int64 (p,), and the terms (p,) by name.

    `kind` is that of the coefficients that turn it into a probability, "network" or "classical".
    """

    train: np.ndarray
    test: np.ndarray
    kind: str
    terms: Mapping[str, np.ndarray]

    @property
    def probability(self) -> np.ndarray:
        """Return the probability that each pair is a duplicate, (p,)."""
        return probability(self.kind, self.terms)


def find_scenes(
    data: Dataset,
    pairs: Pairs,
    embedding: str,
    *,
    scene: float = SCENE,
    per_test: int = LISTED,
    seed: int = 0,
    progress: Progress | None = None,
    training: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Pairs:
    """Add other photographs of a scene to the duplicate finder's pairs, ranked by probability.

    `pairs` are those of `find_duplicates` with `per_test` of at least SCORED and `review` 0.
    `embedding` is "network" (trained here on the training images, from `seed`), "classical" or
    package.module:function (see `memaudit.duplicates.features`). A pair that is neither exact nor
    near is of kind "scene" if its probability is at least `scene`; that of a near pair is at least
    its probability by the score alone. Of each test image its duplicates are kept, and the
    `per_test` pairs with the highest score and probability each. `progress` is called with the test
    images searched, `training` with the steps trained, `note` with what is searched otherwise than
    asked: classes with too few training images, and too few images to train a network.

    Raises AuditError when a function of the user's own cannot be used.
    """
    known = list(zip(pairs.train.tolist(), pairs.test.tolist(), strict=True))
    similarity = dict(zip(known, pairs.score.tolist(), strict=True))
    if note is not None and (text := unsearched(data)):
        note(text)
    with own_cores():
        features = features_of(embedding, data, seed, training, note)
    found = gather(data, features, similarity, progress)
    scored = zip(found.train.tolist(), found.test.tolist(), strict=True)
    chance = dict(zip(scored, found.probability.tolist(), strict=True))
    kind_of = dict(zip(known, pairs.kind.tolist(), strict=True))
    by_score = dict(zip(known, pairs.probability.tolist(), strict=True))
    every = [*known, *(pair for pair in chance if pair not in kind_of)]
    train, test = np.array(every, dtype=np.int64).reshape(-1, 2).T
    merged = Pairs(
        train,
        test,
        score=np.array([similarity.get(pair, 0.0) for pair in every], dtype=np.float32),
        kind=np.array([kind_of.get(pair, "candidate") for pair in every]),
        probability=np.array([chance.get(pair, by_score.get(pair)) for pair in every]),
    )
    alone = np.array([by_score.get(pair, 0.0) for pair in every])
    surely = merged.kind == "near"
    merged.probability[surely] = np.maximum(merged.probability, alone)[surely]
    merged.probability[merged.kind == "exact"] = 1
    compared = np.array([pair in chance for pair in every])
    is_scene = compared & (merged.kind == "candidate") & (merged.probability >= scene)
    merged.kind[is_scene] = "scene"
    order = np.lexsort(
        (merged.train, merged.test, -merged.score, -merged.probability, merged.kind != "exact")
    )
    merged = merged.of(order)
    keep = merged.kind != "candidate"
    for values in (merged.score, merged.probability):
        keep |= _rank(merged.test, values) < per_test
    return merged.of(keep)


def unsearched(data: Dataset) -> str:
    """Say which classes with test images have too few training images; empty if none has."""
    of_train, of_test = (
        np.bincount(labels, minlength=len(data.class_names))
        for labels in (data.train_labels, data.test_labels)
    )
    few = np.flatnonzero((of_test > 0) & (of_train < FEWEST))
    if not len(few):
        return ""
    if len(few) == np.count_nonzero(of_test):
        return f"no class is searched for scenes: all have fewer than {FEWEST} training images"
    names = ", ".join(printable(data.class_names[label]) for label in few[:_NAMED].tolist())
    return (
        f"classes with fewer than {FEWEST} training images are not searched for scenes: "
        f"{names}{f' and {len(few) - _NAMED:,} more' if len(few) > _NAMED else ''}"
    )


def _rank(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the rank of each of `values` (p,) within its group, the greatest 0."""
    order = np.lexsort((-values, groups))
    first = np.flatnonzero(np.diff(groups[order], prepend=-1))
    rank = np.empty(len(values), dtype=int)
    rank[order] = np.arange(len(values)) - np.repeat(first, np.diff(first, append=len(values)))
    return rank


def gather(
    data: Dataset,
    features: Features,
    similarity: Mapping[tuple[int, int], float],
    progress: Progress | None = None,
) -> Evidence:
    """Return the evidence for the candidates within each class.

    `features` are fitted to the training images. `similarity` is the duplicate finder's score by
    (train, test); missing pairs have 0. The terms are "global" and "cells" (the features of whole
    images and of their cells, if they have any) and "patches" (pixels), each relative to the class,
    the finder's "score", and "white", the smaller of the two images' shares of white pixels. Test
    images whose class has fewer than FEWEST training images have no candidates. Images without
    structure, such as single colours, are left out.
    """
    structured = [_structured(images) for images in (data.train_images, data.test_images)]
    scored = defaultdict(list)
    for (row, column), score in similarity.items():
        if score > 0 and data.train_labels[row] == data.test_labels[column] and structured[0][row]:
            scored[column].append(row)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    done = 0
    with torch.inference_mode(), own_cores():
        whiten = Whitening()
        for x in squares(data.train_images[:: -(-data.n_train // _FITTED)]):
            whiten.add(patches(x)[0].flatten(0, 1))
        whiten.fit()
        for label in range(len(data.class_names)):
            train = np.flatnonzero((data.train_labels == label) & structured[0])
            tests = np.flatnonzero((data.test_labels == label) & structured[1])
            if len(train) < FEWEST:
                tests = tests[:0]
            each = _COMPARED // (_CANDIDATES + _REFERENCE)
            size = _TESTS if len(train) <= _COMPARED else each
            for start in range(0, len(tests), size):
                test = tests[start : start + size]
                own = [np.searchsorted(train, sorted(scored[row])) for row in test.tolist()]
                found += _compare(data, features, whiten, (train, test), own)
                done += len(test)
                if progress is not None:
                    progress(done, data.n_test)
    rows, tests, terms = (
        (np.concatenate(part) for part in zip(*found, strict=True))
        if found
        else (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty((0, 2)))
    )
    names = ["global", *(["cells"] if terms.shape[1] == 3 else []), "patches"]
    white = [_white(images) for images in (data.train_images, data.test_images)]
    known = zip(rows.tolist(), tests.tolist(), strict=True)
    by_name = dict(zip(names, terms.T, strict=True))
    by_name["score"] = np.array([similarity.get(pair, 0.0) for pair in known])
    by_name["white"] = np.minimum(white[0][rows], white[1][tests])
    return Evidence(rows, tests, features.kind, by_name)


def _compare(
    data: Dataset,
    features: Features,
    whiten: Whitening,
    rows: tuple[np.ndarray, np.ndarray],
    own: list[np.ndarray],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (training rows, test rows, terms relative to the class) of the candidates, by test.

    `rows` are the training and test images of a class; `own` places among the former that are
    candidates of each test image in any case.
    """
    train, test = rows
    images = data.test_images[test]
    views = [images, np.ascontiguousarray(images[:, :, ::-1])]
    vectors = features.train[torch.from_numpy(train)].T
    alike = torch.stack([features.vectors(view) @ vectors for view in views]).amax(0).numpy()
    rng = np.random.default_rng(0)
    listed = [_listed(*given, rng) for given in zip(alike, own, strict=True)]
    needed, where = np.unique(np.concatenate([each for _, each in listed]), return_inverse=True)
    others = data.train_images[train[needed]]
    patched = [
        torch.stack([patch_vectors(square(view), whiten, (1,)) for view in views], 1),
        torch.cat(
            [
                patch_vectors(square(others[k : k + _BLOCK]), whiten)
                for k in range(0, len(others), _BLOCK)
            ]
        ),
    ]
    cells = [features.cells(view, is_train=False) for view in views]
    if cells[0] is not None:
        cells = [torch.stack(cells, 1), features.cells(others, is_train=True)]  # type: ignore[arg-type]
    at = 0
    for k, (count, each) in enumerate(listed):
        places = where[at : at + len(each)]
        at += len(each)
        best = each[:count]
        terms = [relative(alike[k])[best]]
        if cells[0] is not None and cells[1] is not None:
            found = distinct(nearest(cells[0][k], cells[1][places]), _RANKS)
            terms.append(relative(found.numpy())[:count])
        found = overall(nearest(patched[0][k], patched[1][places]))
        terms.append(relative(found.numpy())[:count])
        yield train[best], np.full(count, test[k]), np.column_stack(terms)


def _listed(
    values: np.ndarray, own: np.ndarray, rng: np.random.Generator
) -> tuple[int, np.ndarray]:
    """Return the number of candidates, and their places among `values` (n,), then random others.

    Candidates are the greatest values and the places `own`.
    """
    order = np.argsort(-values, kind="stable")
    candidates = np.concatenate([order[:_CANDIDATES], np.setdiff1d(own, order[:_CANDIDATES])])
    others = np.setdiff1d(order, candidates)
    chosen = rng.choice(others, min(len(others), _REFERENCE), replace=False)
    return len(candidates), np.concatenate([candidates, chosen])


def relative(values: np.ndarray) -> np.ndarray:
    """Return `values` (n,) in standard deviations above what the class reaches, clipped.

    The level is the mean of ranks 3 to 8 among the other values of the class, as an image may have
    several duplicates; with few values, of those ranks that there are.
    """
    last = min(_RANKS[1], len(values) - 1)
    first = min(_RANKS[0], last - 1)
    order = np.argsort(-values, kind="stable")
    rank = np.empty(len(values), dtype=int)
    rank[order] = np.arange(len(values))
    top = values[order]
    # of ranks first to last, leave out the value itself, or else the one nearest to it
    level = (top[first : last + 1].sum() - top[np.clip(rank, first, last)]) / (last - first)
    above: np.ndarray = np.clip((values - level) / (values.std() + 1e-9), *_CLIP)
    return above


def _white(images: np.ndarray) -> np.ndarray:
    """Return the share of white pixels of images (n, h, w, 3), (n,)."""
    return np.array([(image.min(2) > _WHITE).mean() for image in images])


def _structured(images: np.ndarray) -> np.ndarray:
    """Return whether the pixels of images (n, h, w, 3) vary, bool (n,)."""
    spread = [image.std((0, 1)).max() for block in mapped.blocks(images) for image in block]
    return np.array(spread) > _PLAIN
