"""Selected pairs: memorized training examples and the test examples that they influence."""

from dataclasses import dataclass

import numpy as np

from memaudit.scores.estimate import InfluenceBlock
from memaudit.seeds import generator
from memaudit.tables import column, documented

# F&Z's thresholds select 1,015 pairs on CIFAR-100; far more mean that nearly all are selected.
MOST_PAIRS = 200_000


@documented
@dataclass(frozen=True)
class Pair:
    """Selected training example and a test example it influences: a row of selected_pairs.csv."""

    train: int
    """training example; index"""
    test: int
    """test example; index"""
    label: int
    """class of both; index into the class names"""
    memorization: float = column(digits=".6g")
    """accuracy on the training example of models trained with it minus that of models
    trained without it; fraction"""
    memorization_se: float = column(digits=".6g")
    """standard error of the memorization; empty for published scores without one; fraction"""
    influence: float = column(digits=".6g")
    """accuracy on the test example of models trained with the training example minus that of
    models trained without it; fraction"""
    influence_se: float = column(digits=".6g")
    """standard error of the influence; empty for published scores without one; fraction"""
    z: float | None = column(digits=".4g", default=None, optional=True)
    """evidence for the influence, as `selection.z` tests it: with the estimator `margins`,
    from the regression of the margins, otherwise influence / influence_se; empty for
    published pairs; standard errors"""


def is_strong(
    block: InfluenceBlock, value: np.ndarray, memorization: float, influence: float, z: float
) -> np.ndarray:
    """Return which pairs of a class `Scores.select` selects, bool (a, b).

    `value` (n_train,) is the memorization of all training examples.
    """
    strong = (block.influence >= influence) & (block.evidence > z)
    return np.asarray(strong & (value[block.train_index] >= memorization)[:, None])


def selecting_half(test_labels: np.ndarray, seed: int) -> np.ndarray:
    """Draw the half of the test set used for selection when the drop is measured on the other half.

    Returns bool (n_test,): True for a random half of each class, rounded down.
    """
    half = np.zeros(len(test_labels), dtype=bool)
    for label in np.unique(test_labels):
        members = np.flatnonzero(test_labels == label)
        half[generator(seed, "half", int(label)).permutation(members)[: len(members) // 2]] = True
    return half
