"""Estimate memorization and influence from models trained on random subsets.

Feldman & Zhang (2020), equation 1: the memorization of training example i is P[i is predicted
correctly | i in the training set] - P[i is predicted correctly | i left out]. The influence of i on
a test example is the same difference for the prediction of the test example. Both probabilities are
estimated by means over models.

Masks and correctness are booleans or packed bits (an eighth of the memory), which are unpacked
block by block. `memaudit.scores.all_pairs` estimates influence across classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memaudit import bits
from memaudit.scores.counting import counts

if TYPE_CHECKING:
    import pandas
    from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Memorization:
    """Memorization of all training examples; every array has shape (n_train,)."""

    value: np.ndarray  # float, -1 to 1; NaN where n_in or n_out is 0
    se: np.ndarray  # float, standard error; NaN where the value is
    n_in: np.ndarray  # int64, models trained with the example
    n_out: np.ndarray  # int64, models trained without it

    def to_frame(self) -> "pandas.DataFrame":
        """Return the scores as a DataFrame with one row per training example."""
        import pandas

        names = {"value": "memorization", "se": "memorization_se"}
        return pandas.DataFrame(vars(self)).rename(columns=names).rename_axis("example")


@dataclass(frozen=True)
class InfluenceBlock:
    """Influence of the training examples of one class on the test examples of the same class."""

    label: int
    train_index: np.ndarray  # int64 (a,)
    test_index: np.ndarray  # int64 (b,)
    influence: np.ndarray  # float32 (a, b), -1 to 1; NaN where n_in or n_out is 0
    influence_se: np.ndarray  # float32 (a, b), standard error; NaN where the influence is
    z: np.ndarray | None = (
        None  # float32 (a, b), evidence for the influence where it is tested apart
    )

    @property
    def evidence(self) -> np.ndarray:
        """The influence in standard errors, as tested by the estimator: (a, b)."""
        if self.z is not None:
            return self.z
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.influence / self.influence_se)


class Influence(tuple[InfluenceBlock, ...]):
    """Influence within classes: one block per class, in the order of the class numbers."""

    __slots__ = ()

    def to_frame(self) -> "pandas.DataFrame":
        """Return all pairs as a DataFrame: train, test, label, influence, influence_se, z."""
        import pandas

        blocks = [
            pandas.DataFrame(
                {
                    "train": np.repeat(block.train_index, len(block.test_index)),
                    "test": np.tile(block.test_index, len(block.train_index)),
                    "label": block.label,
                    "influence": block.influence.ravel(),
                    "influence_se": block.influence_se.ravel(),
                    "z": block.evidence.ravel(),
                }
            )
            for block in self
        ]
        return pandas.concat(blocks, ignore_index=True)


def standard_error(
    right_in: np.ndarray, n_in: np.ndarray, right_out: np.ndarray, n_out: np.ndarray
) -> np.ndarray:
    """Return the standard error of right_in / n_in - right_out / n_out.

    One success and one failure are added to each fraction (Agresti & Caffo 2000), so that the error
    is not zero where all predictions happened to be correct. NaN where n_in or n_out is 0.
    """
    n_in, n_out = (np.where(n > 0, n, np.nan) for n in (n_in, n_out))
    p_in, p_out = (right_in + 1) / (n_in + 2), (right_out + 1) / (n_out + 2)
    return np.asarray(np.sqrt(p_in * (1 - p_in) / (n_in + 2) + p_out * (1 - p_out) / (n_out + 2)))


def _difference(
    right_in: np.ndarray, n_in: np.ndarray, right_out: np.ndarray, n_out: np.ndarray
) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(right_in / n_in - right_out / n_out)


def memorization(
    mask: np.ndarray, train_correct: np.ndarray, n_train: int | None = None
) -> Memorization:
    """Estimate the memorization of every training example.

    Parameters
    ----------
    mask : numpy.ndarray of bool, shape (n_models, n_train)
        Whether the model was trained on the example. Both arrays may also be packed along their
        last axis with `numpy.packbits`, if `n_train` is given.
    train_correct : numpy.ndarray of bool, shape (n_models, n_train)
        Whether the model predicts the label of the example.
    n_train : int, optional
        Number of training examples.

    Returns
    -------
    Memorization
        Arrays of shape (n_train,): `value` and `se` as fractions, `n_in` and `n_out` as numbers of
        models.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Feldman and Zhang (2020), equation 1; standard errors after Agresti and Caffo (2000).

    Examples
    --------
    Two models with the example, one of them correct; two without it, none correct:

    >>> import numpy as np
    >>> from memaudit import memorization
    >>> mask = np.array([[True], [True], [False], [False]])
    >>> correct = np.array([[True], [False], [False], [False]])
    >>> memorization(mask, correct).value
    array([0.5])
    """
    mask, train_correct = np.asarray(mask), np.asarray(train_correct)
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


def packed(values: "ArrayLike", count: int, name: str) -> np.ndarray:
    """Pack booleans (models, count) into bits (models, ceil(count / 8)); return packed bits as is.

    Zeros and ones of a numeric dtype are taken for booleans. Raises ValueError with `name` if the
    shape differs, values are others, missing or masked, or there are no models.
    """
    if np.ma.is_masked(values):
        raise ValueError(
            f"{name} has masked entries; every model needs an outcome for each example"
        )
    values = np.asarray(values)
    width = -(-count // 8)
    is_packed = values.dtype == np.uint8 and values.ndim == 2 and values.shape[1] == width
    if count == 1 and is_packed and (values == 1).any():
        is_packed = False  # not bits: one packed True is 128
    if values.ndim != 2 or not (is_packed or values.shape[1] == count):
        raise ValueError(
            f"{name} has the shape {values.shape}; for {count} labels it must be (models, "
            f"{count}), or packed bits, uint8 (models, {width})"
        )
    if not len(values):
        raise ValueError(f"{name} has no models")
    return values if is_packed else bits.pack(_booleans(values, name))


def _booleans(values: np.ndarray, name: str) -> np.ndarray:
    """Return True for 1 and False for 0; raise ValueError with `name` for other values."""
    if values.dtype == bool:
        return values
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{name} is {values.dtype}; it must be bool, or numbers that are 0 or 1")
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        model, example = np.unravel_index(wrong.argmax(), wrong.shape)
        raise ValueError(
            f"{name} has {wrong.sum():,} values other than 0 and 1, the first "
            f"{values[model, example]} (model {model}, example {example}). Compare probabilities "
            "with a threshold first; leave models without an outcome out"
        )
    return np.asarray(values == 1)


def class_labels(train: "ArrayLike", test: "ArrayLike") -> tuple[np.ndarray, np.ndarray]:
    """Return classes as int64 (n,); a column (n, 1) is taken for them.

    Raises ValueError unless they are whole numbers, and without training examples.
    """
    both = []
    for name, values in (("train_labels", train), ("test_labels", test)):
        found = np.asarray(values)
        if found.ndim == 2 and found.shape[1] == 1:
            found = found[:, 0]
        if found.ndim != 1 or found.dtype.kind not in "iuf":
            raise ValueError(
                f"{name} is {found.dtype} {found.shape}; it must be whole numbers (n,), the class "
                "of each example"
            )
        is_wrong = ~np.isfinite(found) | (found != np.floor(found))
        if is_wrong.any():
            first = int(is_wrong.argmax())
            raise ValueError(f"{name} has {found[first]} at position {first}: not a whole number")
        both.append(found.astype(np.int64))
    if not len(both[0]):
        raise ValueError("train_labels is empty: there are no training examples")
    return both[0], both[1]


def influence_blocks(
    mask: np.ndarray,
    test_correct: np.ndarray,
    train_labels: np.ndarray,
    test_labels: np.ndarray,
) -> Iterator[InfluenceBlock]:
    """Yield the influence of every training example on the test examples of its class, by class.

    mask bool (models, n_train) and test_correct bool (models, n_test), or both as packed bits;
    labels int64 (n_train,) and (n_test,). Memory is that of one block. One matrix product per class
    is enough: the models correct on j without i are all those correct on j minus those with i.
    Raises ValueError if the shapes do not fit together.
    """
    if len(mask) != len(test_correct):
        raise ValueError(
            f"mask has {len(mask)} models, test_correct {len(test_correct)}: must be (models, "
            "n_train) and (models, n_test)"
        )
    train_labels, test_labels = class_labels(train_labels, test_labels)
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
