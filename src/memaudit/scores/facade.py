"""Scores of a dataset in one object: compute or read them, select examples, write them."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from memaudit import store
from memaudit.errors import AuditError
from memaudit.scores.estimate import (
    Influence,
    InfluenceBlock,
    Memorization,
    class_labels,
    influence_blocks,
    memorization,
)
from memaudit.scores.margin_influence import influence_from_margins
from memaudit.scores.margins import memorization_from_margins, refuse_correctness
from memaudit.scores.selection import MOST_PAIRS, Pair, is_strong
from memaudit.tables import Rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

# the fields of shards that an estimator needs besides the training mask
ESTIMATORS = {
    "difference": ("train_correct", "test_correct"),
    "margins": ("train_margin", "test_margin"),
}
NEGATIVE = -0.1  # mean memorization below which the mask may be inverted
_MEMORIZATION = {"value": "memorization", "se": "memorization_se", "n_in": "n_in", "n_out": "n_out"}
_BLOCK = ("train_index", "test_index", "influence", "influence_se", "z")


@dataclass(frozen=True)
class Scores:
    """Memorization of every training example and its influence on the test examples of its class.

    Use `from_arrays` to estimate scores from models trained on random subsets, and `from_file` to
    read the scores file of a study.

    Parameters
    ----------
    memorization : Memorization
        Arrays of shape (n_train,): `value`, `se` (standard error), `n_in` and `n_out`.
        ``memorization.to_frame()`` has one row per training example.
    influence : Influence
        One `InfluenceBlock` per class, in the order of the class numbers.
        ``influence.to_frame()`` has one row per pair of a training and a test example of one class.
    train_labels, test_labels : numpy.ndarray of int64
        Classes, of shape (n_train,) and (n_test,).

    References
    ----------
    V. Feldman and C. Zhang, "What Neural Networks Memorize and Why: Discovering the Long Tail via
    Influence Estimation", NeurIPS 2020, equation 1.

    Examples
    --------
    Eight models; the first test example is predicted correctly whenever training example 0 was
    trained on:

    >>> import numpy as np
    >>> from memaudit import Scores
    >>> mask = np.array([[1, 1], [1, 0], [0, 1], [0, 0]] * 2, dtype=bool)
    >>> scores = Scores.from_arrays(mask, mask, mask[:, :1], [0, 0], [0])
    >>> scores.memorization.value
    array([1., 1.])
    >>> [(pair.train, pair.test) for pair in scores.select(z=2)]
    [(0, 0)]
    >>> scores.select(z=2).to_frame()[["train", "test", "influence"]]
       train  test  influence
    0      0     0        1.0
    """

    memorization: Memorization
    influence: Influence
    train_labels: np.ndarray
    test_labels: np.ndarray

    @classmethod
    def from_arrays(
        cls,
        mask: np.ndarray,
        train_correct: np.ndarray,
        test_correct: np.ndarray,
        train_labels: "ArrayLike",
        test_labels: "ArrayLike",
    ) -> "Scores":
        """Estimate scores from models trained on random subsets of the training set.

        Parameters
        ----------
        mask : numpy.ndarray of bool, shape (n_models, n_train)
            Whether the model was trained on the example. It may be packed along the last axis with
            `numpy.packbits` if `train_correct` is, too; `test_correct` may be packed in any case.
        train_correct : numpy.ndarray of bool, shape (n_models, n_train)
            Whether the model predicts the label of the training example.
        test_correct : numpy.ndarray of bool, shape (n_models, n_test)
            Whether the model predicts the label of the test example.
        train_labels, test_labels : array_like of int
            Classes, of shape (n_train,) and (n_test,).

        Returns
        -------
        Scores
            Scores as fractions from -1 to 1; NaN for an example in all subsets or in none.

        Raises
        ------
        ValueError
            If the shapes do not fit together, values are other than stated or missing, or there
            are no models.

        References
        ----------
        Feldman and Zhang (2020), equation 1; standard errors after Agresti and Caffo (2000).
        """
        arrays = mask, train_correct, test_correct, train_labels, test_labels
        return cls.estimate("difference", *arrays)._with_warnings(least="one")

    @classmethod
    def from_margins(
        cls,
        mask: np.ndarray,
        train_margin: np.ndarray,
        test_margin: np.ndarray,
        train_labels: "ArrayLike",
        test_labels: "ArrayLike",
    ) -> "Scores":
        """Estimate the same scores from margins, which takes fewer models.

        Parameters
        ----------
        mask : numpy.ndarray of bool, shape (n_models, n_train)
            Whether the model was trained on the example; or packed along the last axis.
        train_margin : numpy.ndarray of float, shape (n_models, n_train)
            Logit of the label minus the largest other logit; positive where the prediction is
            correct.
        test_margin : numpy.ndarray of float, shape (n_models, n_test)
            The same for the test examples.
        train_labels, test_labels : array_like of int
            Classes, of shape (n_train,) and (n_test,).

        Returns
        -------
        Scores
            Scores as fractions. `select` tests influences by the regression of the margins.

        Raises
        ------
        ValueError
            If the shapes do not fit together, values are other than stated or missing, or there
            are no models.

        References
        ----------
        Feldman and Zhang (2020), equation 1, for the quantities; `docs/estimator.md` for the
        estimator.
        """
        arrays = mask, train_margin, test_margin, train_labels, test_labels
        return cls.estimate("margins", *arrays)._with_warnings(least="two")

    @classmethod
    def estimate(cls, estimator: str, *arrays: Any) -> "Scores":
        """Return the scores of `from_margins` or `from_arrays` ("difference"), without warnings.

        `arrays` are theirs, in the same order. Raises ValueError as they do, and for an unknown
        estimator.
        """
        if estimator not in ESTIMATORS:
            known = " or ".join(ESTIMATORS)
            raise ValueError(f"estimator = {estimator!r}: must be {known}")
        mask, train, test, train_labels, test_labels = arrays
        labels = class_labels(train_labels, test_labels)
        if estimator == "margins":
            found = memorization_from_margins(mask, train, len(labels[0]))
            refuse_correctness("train_margin", train)
            refuse_correctness("test_margin", test)
            return cls(found, Influence(influence_from_margins(mask, test, *labels)), *labels)
        found = memorization(mask, train, len(labels[0]))
        return cls(found, Influence(influence_blocks(mask, test, *labels)), *labels)

    def _with_warnings(self, least: str) -> "Scores":
        """Warn of scores that could not be estimated; `least` is the number of models needed."""
        if unknown := int(np.isnan(self.memorization.value).sum()):
            warnings.warn(
                f"{unknown:,} examples have no score: too few models were trained with them, or "
                f"without them ({least} needed of each)",
                stacklevel=3,
            )
        known = self.memorization.value[~np.isnan(self.memorization.value)]
        if known.size and (mean := known.mean()) < NEGATIVE:
            warnings.warn(
                f"the mean memorization is {mean:.2f}: models are less often right on the examples "
                "that they were trained on. Is mask True where a model was trained on the example?",
                stacklevel=3,
            )
        if not np.isin(self.train_labels, self.test_labels).any():
            warnings.warn(
                "no test example has the class of a training example, so no influence was "
                "estimated; check train_labels and test_labels",
                stacklevel=3,
            )
        return self

    @classmethod
    def from_file(cls, path: str | Path) -> "Scores":
        """Read a scores file, such as `results/scores/original.h5` of a study.

        Parameters
        ----------
        path : str or pathlib.Path
            File written by `write` or by the workflow.

        Returns
        -------
        Scores
            The scores in the file.

        Raises
        ------
        AuditError
            If the file is missing, damaged, or not a scores file.
        """
        return study_scores(
            path,
            "Give a file that Scores.write or a study wrote, such as "
            "results/photos/scores/original.h5",
        )

    def write(self, path: str | Path, **attributes: Any) -> None:
        """Write the scores to an HDF5 file, atomically.

        Parameters
        ----------
        path : str or pathlib.Path
            File to write; `memaudit.store.SCORES` declares its datasets.
        **attributes
            Attributes of the file; `models` is set to the number of models unless given.

        Raises
        ------
        AuditError
            If the disk is full or not writable.
        """
        scores = self.memorization
        attributes.setdefault("models", int(np.max(scores.n_in + scores.n_out, initial=0)))
        with store.create(path, store.SCORES, attributes) as out:
            out.add("train_labels", self.train_labels)
            out.add("test_labels", self.test_labels)
            for name, key in _MEMORIZATION.items():
                out.add(key, getattr(scores, name))
            for block in self.influence:
                for name in _BLOCK:
                    if (values := getattr(block, name)) is not None:
                        out.add(f"influence/class{block.label}/{name}", values)

    def export_fz(self, path: str | Path) -> None:
        """Write the scores as .npz with the keys of F&Z's published `cifar100_infl_matrix.npz`.

        Parameters
        ----------
        path : str or pathlib.Path
            File to write, with the keys `tr_labels`, `tt_labels`, `tr_mem` and, for each class c,
            `infl_matrix_class{c}` (train x test), `tr_classidx_{c}` and `tt_classidx_{c}`.

        Raises
        ------
        AuditError
            If the disk is full or not writable.
        """
        arrays: dict[str, Any] = {
            "tr_labels": self.train_labels,
            "tt_labels": self.test_labels,
            "tr_mem": self.memorization.value,
        }
        for block in self.influence:
            arrays[f"infl_matrix_class{block.label}"] = block.influence
            arrays[f"tr_classidx_{block.label}"] = block.train_index
            arrays[f"tt_classidx_{block.label}"] = block.test_index
        with store.atomic_write(path) as temporary, open(temporary, "wb") as out:
            np.savez(out, **arrays)

    def select(
        self, memorization: float = 0.25, influence: float = 0.15, z: float = 4.0
    ) -> Rows[Pair]:
        """Select memorized training examples that influence a test example of their class.

        This is F&Z's rule with a significance threshold added. At their 4,000 models `z` changes
        nothing; at a few hundred models it removes pairs that are noise.

        Parameters
        ----------
        memorization : float
            Smallest memorization of a selected training example, as a fraction.
        influence : float
            Smallest influence on the test example, as a fraction.
        z : float
            The evidence for the influence must exceed this: its z of the regression of the margins
            for `from_margins`, its number of standard errors for `from_arrays`.

        Returns
        -------
        Rows of Pair
            List of the selected pairs, ordered by training and test example; ``to_frame()``
            returns it as a DataFrame.

        Raises
        ------
        ValueError
            If a threshold is not a number in its range.
        AuditError
            If more than 200,000 pairs are selected.

        References
        ----------
        Feldman and Zhang (2020), section 4.
        """
        for name, given, least, most in (
            ("memorization", memorization, -1.0, 1.0),
            ("influence", influence, -1.0, 1.0),
            ("z", z, 0.0, np.inf),
        ):
            is_number = isinstance(given, Real) and not isinstance(given, bool)
            if not is_number or not least <= given <= most:
                raise ValueError(f"{name} = {given!r}: must be a number from {least:g} to {most:g}")
        pairs: list[Pair] = []
        found, examples = 0, 0
        value, se = self.memorization.value, self.memorization.se
        for block in self.influence:
            strong = is_strong(block, value, memorization, influence, z)
            found, examples = found + int(strong.sum()), examples + int(strong.any(axis=1).sum())
            if found > MOST_PAIRS:
                continue  # only count the rest, for the message
            rows, columns = np.nonzero(strong)
            train, test = block.train_index[rows], block.test_index[columns]
            label = np.full(len(train), block.label)
            measured = (x[strong] for x in (block.influence, block.influence_se, block.evidence))
            fields = (train, test, label, value[train], se[train], *measured)
            pairs += map(Pair, *(field.tolist() for field in fields))
        if found > MOST_PAIRS:
            raise AuditError(
                f"selection.memorization = {memorization}, selection.influence = {influence}, "
                f"selection.z = {z}: {found:,} pairs of {examples:,} training examples are "
                f"selected; at most {MOST_PAIRS:,} pairs are allowed. Raise the thresholds."
            )
        return Rows(Pair, sorted(pairs, key=lambda pair: (pair.train, pair.test)))


def study_scores(path: str | Path, remedy: str = "") -> Scores:
    """Read a scores file of the study; the `remedy` for a damaged one is to rebuild it."""
    with store.reading(path, store.SCORES, remedy) as file:
        values = {name: file[key][:] for name, key in _MEMORIZATION.items()}
        labels = file["train_labels"][:], file["test_labels"][:]
        return Scores(Memorization(**values), Influence(_read_blocks(file["influence"])), *labels)


def _read_blocks(groups: h5py.Group) -> Iterator[InfluenceBlock]:
    for label in sorted(int(name.removeprefix("class")) for name in groups):
        group = groups[f"class{label}"]
        yield InfluenceBlock(label, *(group[name][:] for name in _BLOCK if name in group))
