"""Memorization and influence by the subset estimator (Feldman & Zhang 2020, section 2).

Equation 1: mem(i) = P[model is right on i | i in training] - P[model is right on i | i left out];
the influence of training example i on test example j is the same difference for j. Both probabilities are
estimated by means over models trained on random subsets.

Masks and correctness come as booleans or, as shards hold them, as packed bits: an eighth of the
memory, and unpacked only as far as is being worked on. `memaudit.scores.all_pairs` has
the influence across classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from memaudit import bits, store
from memaudit.scores.counting import counts


@dataclass(frozen=True)
class Memorization:
    """Scores of all training examples; every array is (n_train,)."""

    value: np.ndarray  # float64, -1 to 1; NaN where n_in or n_out is 0
    se: np.ndarray  # float64, standard error; NaN like the value
    n_in: np.ndarray  # int64, models trained with the example
    n_out: np.ndarray  # int64, models trained without it


@dataclass(frozen=True)
class InfluenceBlock:
    """Influence of the training examples of one class on the test examples of the same class."""

    label: int
    train_index: np.ndarray  # int64 (a,)
    test_index: np.ndarray  # int64 (b,)
    influence: np.ndarray  # float32 (a, b), -1 to 1; NaN where n_in or n_out is 0
    influence_se: np.ndarray  # float32 (a, b), standard error; NaN like the influence


def standard_error(
    right_in: np.ndarray, n_in: np.ndarray, right_out: np.ndarray, n_out: np.ndarray
) -> np.ndarray:
    """Standard error of a difference of two fractions, right_in / n_in - right_out / n_out.

    With one success and one failure added to each (Agresti & Caffo 2000), so that an example that
    happened to be right every time is not given an error of zero. NaN where n_in or n_out is 0.
    """
    n_in, n_out = (np.where(n > 0, n, np.nan) for n in (n_in, n_out))
    p_in, p_out = (right_in + 1) / (n_in + 2), (right_out + 1) / (n_out + 2)
    return np.sqrt(p_in * (1 - p_in) / (n_in + 2) + p_out * (1 - p_out) / (n_out + 2))


def _difference(right_in, n_in, right_out, n_out) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return right_in / n_in - right_out / n_out


def memorization(
    mask: np.ndarray, train_correct: np.ndarray, n_train: int | None = None
) -> Memorization:
    """Memorization of every training example.

    mask bool (models, n_train): the example was in training; train_correct bool (models, n_train):
    the model is right on it; or both as packed bits, uint8 (models, ceil(n_train / 8)), with
    n_train given. Raises ValueError when the shapes differ.
    """
    if mask.shape != train_correct.shape or mask.ndim != 2:
        raise ValueError(
            f"mask {mask.shape} and train_correct {train_correct.shape} must both be "
            "(models, n_train)"
        )
    n_train = mask.shape[1] if n_train is None else n_train
    inside, right = packed(mask, n_train, "mask"), packed(train_correct, n_train, "train_correct")
    n_in, right_in = bits.count_bits(inside, n_train), bits.count_bits(inside & right, n_train)
    n_out = len(mask) - n_in
    right_out = bits.count_bits(right, n_train) - right_in
    value = _difference(right_in, n_in, right_out, n_out)
    return Memorization(value, standard_error(right_in, n_in, right_out, n_out), n_in, n_out)


def packed(values: np.ndarray, count: int, name: str) -> np.ndarray:
    """Booleans (models, count), or packed bits already, as packed bits (models, ceil(count / 8)).

    Raises ValueError, with `name`, when the shape is not that.
    """
    width = count if values.dtype == bool else -(-count // 8)
    if values.ndim != 2 or values.shape[1] != width or values.dtype not in (bool, np.uint8):
        raise ValueError(
            f"{name} is {values.dtype} {values.shape}; it must be bool (models, {count}) or packed "
            f"bits, uint8 (models, {-(-count // 8)})"
        )
    return bits.pack(values) if values.dtype == bool else values


def influence_blocks(
    mask: np.ndarray,
    test_correct: np.ndarray,
    train_labels: np.ndarray,
    test_labels: np.ndarray,
) -> Iterator[InfluenceBlock]:
    """Influence of every training example on every test example of its class, one class at a time.

    mask bool (models, n_train), test_correct bool (models, n_test), or both as packed bits; labels
    int64. One matrix product a class: the models right on j without i are all that are right on j
    less those with i. Memory is that of one class's block. Raises ValueError when the shapes
    disagree.
    """
    if len(mask) != len(test_correct):
        raise ValueError(
            f"mask has {len(mask)} models, test_correct {len(test_correct)}: must be (models, "
            "n_train) and (models, n_test)"
        )
    mask = packed(mask, len(train_labels), "mask")
    test_correct = packed(test_correct, len(test_labels), "test_correct")
    trained_with = bits.count_bits(mask, len(train_labels)).astype(np.float32)
    right_on = bits.count_bits(test_correct, len(test_labels)).astype(np.float32)
    for label in np.unique(train_labels):
        train_index = np.flatnonzero(train_labels == label)
        test_index = np.flatnonzero(test_labels == label)
        inside = bits.unpack_columns(mask, train_index)
        right_in = counts(inside, bits.unpack_columns(test_correct, test_index))
        right_out = right_on[test_index] - right_in
        n_in = trained_with[train_index, None]
        n_out = len(mask) - n_in
        yield InfluenceBlock(
            int(label),
            train_index,
            test_index,
            _difference(right_in, n_in, right_out, n_out),
            standard_error(right_in, n_in, right_out, n_out),
        )


def write_scores(
    path: str | Path,
    mask: np.ndarray,
    train_correct: np.ndarray,
    test_correct: np.ndarray,
    train_labels: np.ndarray,
    test_labels: np.ndarray,
) -> Memorization:
    """Compute all scores and write them by the contract `memaudit.store.SCORES`.

    Masks and correctness are bool (models, examples) or packed bits.
    """
    scores = memorization(mask, train_correct, len(train_labels))
    with store.create(path, store.SCORES, {"models": len(mask)}) as out:
        out.add("train_labels", train_labels)
        out.add("test_labels", test_labels)
        out.add("memorization", scores.value)
        out.add("memorization_se", scores.se)
        out.add("n_in", scores.n_in)
        out.add("n_out", scores.n_out)
        for block in influence_blocks(mask, test_correct, train_labels, test_labels):
            for name in ("train_index", "test_index", "influence", "influence_se"):
                out.add(f"influence/class{block.label}/{name}", getattr(block, name))
    return scores


def read_memorization(file: h5py.File) -> Memorization:
    """The scores of all training examples in an open scores file."""
    names = ("memorization", "memorization_se", "n_in", "n_out")
    return Memorization(*(file[name][:] for name in names))


def read_influence(file: h5py.File) -> Iterator[InfluenceBlock]:
    """The blocks of an open scores file, by class number."""
    for name in sorted(file["influence"], key=lambda text: int(text.removeprefix("class"))):
        group = file["influence"][name]
        names = ("train_index", "test_index", "influence", "influence_se")
        yield InfluenceBlock(int(name.removeprefix("class")), *(group[key][:] for key in names))


def export_fz(scores: str | Path, path: str | Path) -> None:
    """Write scores as an .npz with the keys of F&Z's published `cifar100_infl_matrix.npz`.

    `tr_labels`, `tt_labels`, `tr_mem`, and for each class c `infl_matrix_class{c}` (train x test),
    `tr_classidx_{c}`, `tt_classidx_{c}`.
    """
    with store.reading(scores, store.SCORES) as file:
        arrays = {
            "tr_labels": file["train_labels"][:],
            "tt_labels": file["test_labels"][:],
            "tr_mem": file["memorization"][:],
        }
        for block in read_influence(file):
            arrays[f"infl_matrix_class{block.label}"] = block.influence
            arrays[f"tr_classidx_{block.label}"] = block.train_index
            arrays[f"tt_classidx_{block.label}"] = block.test_index
    with store.atomic_write(path) as temporary, open(temporary, "wb") as out:
        np.savez(out, **arrays)
