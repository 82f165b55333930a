"""F&Z's published pairs, scores and runs (Feldman & Zhang 2020, arXiv 2008.03703).

Indices refer to CIFAR-100's original order, from 0, except in the released runs
(`read_aux_arrays`). `data/sources.yaml` lists the files.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from memaudit.published.files import check_range, foreign, other_order, read_npy, read_npz
from memaudit.scores.estimate import Influence, InfluenceBlock, Memorization
from memaudit.scores.facade import Scores
from memaudit.scores.selection import Pair

FZ_MODELS, FZ_IN = 4000, 2800  # F&Z's CIFAR-100 models, and those trained with an example (70%)
# The upper bound of a score's standard error, since a fraction of n varies by at most 1 / (4 n).
FZ_SE = float(np.sqrt(1 / (4 * FZ_IN) + 1 / (4 * (FZ_MODELS - FZ_IN))))


def read_fz_pairs(
    path: str | Path, train_labels: np.ndarray, test_labels: np.ndarray
) -> list[Pair]:
    """Read F&Z's published pairs (`cifar100_high_infl_pairs_infl0.15_mem0.25.npz`).

    Ordered by training example, then test example. Standard errors were not published and are NaN.
    `train_labels` (n_train,) and `test_labels` (n_test,) are the classes of the images at hand: the
    two examples of a pair have one class, which verifies that the order of the images is right.

    Raises AuditError, naming the file: not an .npz file, a missing key, arrays of different
    lengths, an index out of range, pairs of two classes.
    """
    train, test, influence, memorization = pair_arrays(path)
    for name, index, labels in (("tr_idx", train, train_labels), ("tt_idx", test, test_labels)):
        check_range(path, name, index, len(labels))
    if apart := np.count_nonzero(train_labels[train] != test_labels[test]):
        raise other_order(path, f"{apart} of {len(train)} pairs join examples of two classes")
    nan = np.nan
    rows = zip(train.tolist(), test.tolist(), memorization, influence, strict=True)
    return [
        Pair(i, j, int(train_labels[i]), float(mem), nan, float(infl), nan)
        for i, j, mem, infl in sorted(rows, key=lambda row: row[:2])
    ]


def pair_arrays(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read tr_idx, tt_idx, infl and mem of F&Z's pairs, each (pairs,)."""
    keys = ("tr_idx", "tt_idx", "infl", "mem")
    arrays = read_npz(path, keys)
    train, test, influence, memorization = (arrays[key] for key in keys)
    if len({array.shape for array in arrays.values()}) > 1 or train.ndim != 1:
        shapes = ", ".join(f"{key} {arrays[key].shape}" for key in keys)
        raise foreign(path, f"the arrays have different lengths: {shapes}")
    if not all(np.issubdtype(index.dtype, np.integer) for index in (train, test)):
        raise foreign(path, "tr_idx and tt_idx must be integers")
    return train, test, influence, memorization


def read_fz_memorization(
    path: str | Path, pairs: Iterable[Pair], train_labels: np.ndarray, test_labels: np.ndarray
) -> Scores:
    """Read F&Z's memorization of all examples (`fz_cifar100_memorization.npy`) as scores.

    Influence is that of the published `pairs`, NaN elsewhere; n_in, n_out and the standard errors
    are those of `read_fz_matrix`.

    Raises AuditError, naming the file: not an .npy file, another number of examples, a value that
    is not a memorization score, a value other than that of the published pairs.
    """
    memorization = read_npy(path)
    if memorization.shape != train_labels.shape or memorization.dtype.kind != "f":
        raise foreign(
            path,
            f"{memorization.dtype} {memorization.shape}, expected floats {train_labels.shape}",
        )
    if not (np.abs(memorization) <= 1).all():
        raise foreign(path, "it has values outside -1 to 1")
    by_class: dict[int, list[Pair]] = {}
    for pair in pairs:
        by_class.setdefault(pair.label, []).append(pair)
        if not np.isclose(memorization[pair.train], pair.memorization, atol=1e-6):
            raise other_order(
                path,
                f"the memorization of example {pair.train} is {memorization[pair.train]:.4f}, in "
                f"the published pairs {pair.memorization:.4f}",
            )
    blocks = []
    for label, chosen in sorted(by_class.items()):
        train, row = np.unique([pair.train for pair in chosen], return_inverse=True)
        test, column = np.unique([pair.test for pair in chosen], return_inverse=True)
        influence = np.full((len(train), len(test)), np.nan, dtype=np.float32)
        influence[row, column] = [pair.influence for pair in chosen]
        blocks.append(_block(label, train, test, influence))
    return _scores(memorization, blocks, train_labels, test_labels)


def read_fz_matrix(path: str | Path, train_labels: np.ndarray, test_labels: np.ndarray) -> Scores:
    """Read F&Z's scores of all examples (`cifar100_infl_matrix.npz`).

    What was not published is filled in: n_in and n_out with their expectations (2,800 and 1,200),
    every standard error with its upper bound (0.017). Also reads what `Scores.export_fz` writes.

    Raises AuditError, naming the file and the key: not an .npz file, a missing key, another shape,
    an index out of range or of another class, labels other than those of the images at hand.
    """
    classes = [int(label) for label in np.unique(train_labels)]
    per_class = ("infl_matrix_class{}", "tr_classidx_{}", "tt_classidx_{}")
    keys = ["tr_labels", "tt_labels", "tr_mem"]
    arrays = read_npz(path, keys + [key.format(label) for label in classes for key in per_class])
    for key, labels in (("tr_labels", train_labels), ("tt_labels", test_labels)):
        if arrays[key].shape != labels.shape:
            raise foreign(path, f"{key} is {arrays[key].shape}, the images are {labels.shape}")
        if other := np.count_nonzero(arrays[key] != labels):
            raise other_order(path, f"{other} of {len(labels)} labels in {key} differ")
    memorization = arrays["tr_mem"]
    if memorization.shape != train_labels.shape:
        raise foreign(path, f"tr_mem is {memorization.shape}, expected {train_labels.shape}")
    blocks = []
    for label in classes:
        names = [key.format(label) for key in per_class]
        influence, train, test = (arrays[name] for name in names)
        for name, index, labels in (
            (names[1], train, train_labels),
            (names[2], test, test_labels),
        ):
            check_range(path, name, index, len(labels))
            if (labels[index] != label).any():
                raise foreign(path, f"{name} has examples of other classes")
        expected = (len(train), len(test))
        if influence.shape != expected:
            raise foreign(path, f"{names[0]} is {influence.shape}, expected {expected}")
        blocks.append(_block(label, train, test, influence))
    return _scores(memorization, blocks, train_labels, test_labels)


def _block(
    label: int, train: np.ndarray, test: np.ndarray, influence: np.ndarray
) -> InfluenceBlock:
    se = np.where(np.isnan(influence), np.nan, FZ_SE).astype(np.float32)
    index = train.astype(np.int64), test.astype(np.int64)
    return InfluenceBlock(label, *index, influence.astype(np.float32), se)


def _scores(
    memorization: np.ndarray,
    blocks: Sequence[InfluenceBlock],
    train_labels: np.ndarray,
    test_labels: np.ndarray,
) -> Scores:
    ones = np.ones(len(train_labels), dtype=np.int64)
    filled = Memorization(memorization, ones * FZ_SE, ones * FZ_IN, ones * (FZ_MODELS - FZ_IN))
    return Scores(filled, Influence(blocks), train_labels, test_labels)


def read_aux_arrays(
    paths: Sequence[str | Path], n_train: int, n_test: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read F&Z's released runs, one `aux_arrays.npz` per run, as masks and correctness.

    Returns the training mask (k, n_train), the correctness on training examples (k, n_train) and
    on test examples (k, n_test), all bool, row i from paths[i]. A run has `subsample_idx` (the
    examples it trained on), `index_{train,removed,test}` and `correctness_{train,removed,test}`
    (0 or 1); train and removed together are all training examples (README of
    google-research/heldout-influence-estimation).

    The indices are those of the dataset that the run used. The released CIFAR-10 runs use the order
    in which TensorFlow Datasets (cifar10:3.0.2) yields the images (`libdata/` there), not the
    original order: reorder the columns before comparing.

    Raises AuditError, naming the file: not an .npz file, a missing key, an example missing, listed
    twice or out of range, a correctness other than 0 and 1, a subset other than `index_train`.
    """
    mask = np.zeros((len(paths), n_train), dtype=bool)
    train_correct = np.zeros((len(paths), n_train), dtype=bool)
    test_correct = np.zeros((len(paths), n_test), dtype=bool)
    parts = ("train", "removed", "test")
    for row, path in enumerate(paths):
        keys = [f"{kind}_{part}" for part in parts for kind in ("index", "correctness")]
        run = read_npz(path, [*keys, "subsample_idx"])
        for part in parts:
            index, correct = run[f"index_{part}"], run[f"correctness_{part}"]
            if index.ndim != 1 or index.shape != correct.shape:
                raise foreign(
                    path, f"index_{part} is {index.shape}, correctness_{part} {correct.shape}"
                )
            if not np.isin(correct, (0, 1)).all():
                raise foreign(path, f"correctness_{part} has values that are neither 0 nor 1")
        both = np.concatenate([run["index_train"], run["index_removed"]])
        _check_all_once(path, "index_train and index_removed", both, n_train)
        _check_all_once(path, "index_test", run["index_test"], n_test)
        if not np.array_equal(np.sort(run["subsample_idx"]), np.sort(run["index_train"])):
            raise foreign(path, "subsample_idx and index_train hold different examples")
        mask[row, run["index_train"]] = True
        for part in ("train", "removed"):
            train_correct[row, run[f"index_{part}"]] = run[f"correctness_{part}"]
        test_correct[row, run["index_test"]] = run["correctness_test"]
    return mask, train_correct, test_correct


def _check_all_once(path: str | Path, name: str, index: np.ndarray, count: int) -> None:
    check_range(path, name, index, count)
    times = np.bincount(index, minlength=count)
    if (times != 1).any():
        example = int((times != 1).argmax())
        raise foreign(path, f"{name}: example {example} occurs {times[example]} times, not once")
