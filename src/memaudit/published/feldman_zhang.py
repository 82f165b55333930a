"""F&Z's published pairs, scores and runs (Feldman & Zhang 2020, arXiv 2008.03703).

All indices are those of CIFAR-100's original order, counted from 0, except in the released runs
(`read_aux_arrays`). `data/sources.yaml` says where the files come from.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memaudit.published.files import check_range, foreign, other_order, read_npz
from memaudit.scores.estimate import Influence, InfluenceBlock, Memorization
from memaudit.scores.facade import Scores
from memaudit.scores.selection import Pair

FZ_MODELS, FZ_FRACTION = 4000, 0.7  # F&Z's CIFAR-100 models, and the part of the examples in each


def read_fz_pairs(
    path: str | Path, train_labels: np.ndarray, test_labels: np.ndarray
) -> list[Pair]:
    """F&Z's published pairs (`cifar100_high_infl_pairs_infl0.15_mem0.25.npz`) as selected pairs.

    The file has `tr_idx`, `tt_idx`, `infl` and `mem`, each (pairs,): mem >= 0.25, infl >= 0.15.
    train_labels (n_train,) and test_labels (n_test,) are the classes of the images at hand; the two
    examples of a pair are of one class, which tells whether those are in the order that the indices
    mean. Standard errors were not published and are NaN. Ordered by training example, then test example.

    Raises AuditError, naming the file: not an .npz, a key missing, arrays that do not belong
    together, an index out of range, pairs of two classes.
    """
    train, test, influence, memorization = pair_arrays(path)
    for name, index, labels in (("tr_idx", train, train_labels), ("tt_idx", test, test_labels)):
        check_range(path, name, index, len(labels))
    apart = np.count_nonzero(train_labels[train] != test_labels[test])
    if apart:
        raise other_order(path, f"{apart} of {len(train)} pairs join examples of two classes")
    order = np.lexsort((test, train))
    return [
        Pair(
            int(train[row]),
            int(test[row]),
            int(train_labels[train[row]]),
            float(memorization[row]),
            float("nan"),
            float(influence[row]),
            float("nan"),
        )
        for row in order
    ]


def pair_arrays(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    keys = ("tr_idx", "tt_idx", "infl", "mem")
    arrays = read_npz(path, keys)
    train, test, influence, memorization = (arrays[key] for key in keys)
    if len({array.shape for array in arrays.values()}) > 1 or train.ndim != 1:
        shapes = ", ".join(f"{key} {arrays[key].shape}" for key in keys)
        raise foreign(path, f"the arrays are not of one length: {shapes}")
    if not all(np.issubdtype(index.dtype, np.integer) for index in (train, test)):
        raise foreign(path, "tr_idx and tt_idx must be whole numbers")
    return train, test, influence, memorization


def read_fz_matrix(
    path: str | Path, train_labels: np.ndarray, test_labels: np.ndarray, se: float | None = None
) -> tuple[np.ndarray, list[InfluenceBlock]]:
    """F&Z's scores of all examples (`cifar100_infl_matrix.npz`): memorization and influence.

    Returns memorization, float (n_train,), and for each class the influence of its training examples on
    its test examples. Standard errors were not published: `se` stands for all of them, by default the
    bound of `largest_se`. Reads what `memaudit.scores.facade.Scores.export_fz` writes, too.

    Raises AuditError, naming the file and the key: not an .npz, a key missing, another shape, an
    index out of range or of another class, labels other than those of the images at hand.
    """
    se = largest_se() if se is None else se
    classes = [int(label) for label in np.unique(train_labels)]
    per_class = ("infl_matrix_class{}", "tr_classidx_{}", "tt_classidx_{}")
    keys = ["tr_labels", "tt_labels", "tr_mem"]
    arrays = read_npz(path, keys + [key.format(label) for label in classes for key in per_class])
    for key, labels in (("tr_labels", train_labels), ("tt_labels", test_labels)):
        if arrays[key].shape != labels.shape:
            raise foreign(path, f"{key} is {arrays[key].shape}, the images are {labels.shape}")
        if other := np.count_nonzero(arrays[key] != labels):
            raise other_order(path, f"{other} of {len(labels)} labels in {key} are others")
    memorization = arrays["tr_mem"]
    if memorization.shape != train_labels.shape:
        raise foreign(path, f"tr_mem is {memorization.shape}, expected {train_labels.shape}")
    blocks = []
    for label in classes:
        influence, train, test = (arrays[key.format(label)] for key in per_class)
        for key, index, labels in (
            (per_class[1], train, train_labels),
            (per_class[2], test, test_labels),
        ):
            check_range(path, key.format(label), index, len(labels))
            if (labels[index] != label).any():
                raise foreign(path, f"{key.format(label)} has examples of other classes")
        if influence.shape != (len(train), len(test)):
            raise foreign(
                path,
                f"{per_class[0].format(label)} is {influence.shape}, expected "
                f"{(len(train), len(test))}",
            )
        blocks.append(
            InfluenceBlock(
                label,
                train.astype(np.int64),
                test.astype(np.int64),
                influence.astype(np.float32),
                np.full(influence.shape, se, dtype=np.float32),
            )
        )
    return memorization, blocks


def largest_se(models: int = FZ_MODELS, fraction: float = FZ_FRACTION) -> float:
    """The largest standard error a score from so many subset models can have.

    sqrt(1 / (4 n_in) + 1 / (4 n_out)), since a fraction of n varies by at most 1 / (4 n); 0.017 at
    F&Z's 4,000 models on 70 % subsets.
    """
    n_in, n_out = _in_and_out(models, fraction)
    return float(np.sqrt(1 / (4 * n_in) + 1 / (4 * n_out)))


def _in_and_out(models: int, fraction: float) -> tuple[int, int]:
    n_in = round(models * fraction)
    return n_in, models - n_in


def write_fz_scores(
    path: str | Path,
    out: str | Path,
    train_labels: np.ndarray,
    test_labels: np.ndarray,
    models: int = FZ_MODELS,
    fraction: float = FZ_FRACTION,
) -> None:
    """Write F&Z's scores by the contract `memaudit.store.SCORES`, so that selection reads them.

    What was not published is filled with what is known: n_in and n_out with their expectations
    (2,800 and 1,200), every standard error with its upper bound `largest_se`. The attribute
    `standard_errors` of the file says so. Raises what `read_fz_matrix` raises.
    """
    bound = largest_se(models, fraction)
    memorization, blocks = read_fz_matrix(path, train_labels, test_labels, bound)
    n_in, n_out = _in_and_out(models, fraction)
    all_examples = np.ones(len(train_labels), dtype=np.int64)
    scores = Memorization(
        memorization, all_examples * bound, all_examples * n_in, all_examples * n_out
    )
    Scores(scores, Influence(blocks), train_labels, test_labels).write(
        out,
        models=models,
        source=Path(path).name,
        standard_errors="upper bound; n_in and n_out are expectations",
    )


def read_aux_arrays(
    paths: Sequence[str | Path], n_train: int, n_test: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F&Z's released runs, one `aux_arrays.npz` each: what scores are estimated from.

    Returns the training mask (k, n_train), correctness on the training examples (k, n_train) and on the
    test examples (k, n_test), all bool, row i from paths[i]. A run has `subsample_idx` (the examples it
    trained on), `index_{train,removed,test}` and `correctness_{train,removed,test}` (0 or 1),
    where train and removed together are all training examples (README of
    google-research/heldout-influence-estimation).

    The indices are those of the data set that the run was made with. The release's CIFAR-10 runs
    count in the order in which TensorFlow Datasets (cifar10:3.0.2) yields the images (`libdata/`
    there), which is not the original order: bring the columns into your own before you compare.

    Raises AuditError, naming the file: not an .npz, a key missing, an example missing, counted twice
    or out of range, a correctness that is neither 0 nor 1, a subset other than `index_train`.
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
            raise foreign(path, "subsample_idx and index_train are not the same examples")
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
        raise foreign(path, f"{name}: example {example} is there {times[example]} times, not once")
