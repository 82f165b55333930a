"""Which examples matter: memorized ones that influence a test example of their class."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memaudit import store
from memaudit.errors import AuditError
from memaudit.scores.estimate import (
    InfluenceBlock,
    Memorization,
    read_influence,
    read_memorization,
)
from memaudit.seeds import generator
from memaudit.tables import column

# F&Z's thresholds give 1,015 pairs on CIFAR-100. Beyond this, examples and test examples are not picked
# out any more, but nearly all of them are taken.
MOST_PAIRS = 200_000


@dataclass(frozen=True)
class Pair:
    """A selected training example and a test example of its class that it influences."""

    train: int = column("training example", "index")
    test: int = column("test example", "index")
    label: int = column("class of both", "index into the class names")
    memorization: float = column(
        "accuracy on the training example of models trained with it minus that of models trained "
        "without it",
        "fraction",
        digits=".6g",
    )
    memorization_se: float = column(
        "standard error of the memorization; empty for published scores without one",
        "fraction",
        digits=".6g",
    )
    influence: float = column(
        "accuracy on the test example of models trained with the training example minus that of "
        "models trained without it",
        "fraction",
        digits=".6g",
    )
    influence_se: float = column(
        "standard error of the influence; empty for published scores without one",
        "fraction",
        digits=".6g",
    )


def is_strong(
    block: InfluenceBlock, value: np.ndarray, memorization: float, influence: float, z: float
) -> np.ndarray:
    """Which pairs of a class are selected, bool (a, b), as `select` says.

    `value` (n_train,) is the memorization of all training examples.
    """
    strong = (block.influence >= influence) & (block.influence > z * block.influence_se)
    return strong & (value[block.train_index] >= memorization)[:, None]


def select(
    scores: Memorization,
    blocks: Iterable[InfluenceBlock],
    memorization: float = 0.25,
    influence: float = 0.15,
    z: float = 4.0,
) -> list[Pair]:
    """Pairs with mem >= `memorization`, infl >= `influence` and infl > `z` standard errors.

    F&Z's rule (thresholds 0.25 and 0.15) with the demand of significance added: at their 4,000
    models it changes nothing, at a few hundred it takes out the pairs that are noise. Ordered by
    training example, then test example. Raises AuditError when there are more than `MOST_PAIRS`.
    """
    pairs, found, examples = [], 0, 0
    for block in blocks:
        strong = is_strong(block, scores.value, memorization, influence, z)
        found, examples = found + int(strong.sum()), examples + int(strong.any(axis=1).sum())
        if found > MOST_PAIRS:
            continue  # counted only, to say how many there are
        for i, j in np.argwhere(strong):
            train = int(block.train_index[i])
            pairs.append(
                Pair(
                    train,
                    int(block.test_index[j]),
                    block.label,
                    float(scores.value[train]),
                    float(scores.se[train]),
                    float(block.influence[i, j]),
                    float(block.influence_se[i, j]),
                )
            )
    if found > MOST_PAIRS:
        raise AuditError(
            f"selection.memorization = {memorization}, selection.influence = {influence}, "
            f"selection.z = {z}: {found:,} pairs of {examples:,} training examples are selected; at most "
            f"{MOST_PAIRS:,} can be. Raise them."
        )
    return sorted(pairs, key=lambda pair: (pair.train, pair.test))


def select_pairs(path: str | Path, memorization: float, influence: float, z: float) -> list[Pair]:
    """`select` of the scores in a file by the contract `memaudit.store.SCORES`."""
    with store.reading(path, store.SCORES) as file:
        return select(read_memorization(file), read_influence(file), memorization, influence, z)


def selecting_half(test_labels: np.ndarray, seed: int) -> np.ndarray:
    """The test examples by which examples are selected when the drop is measured on the others.

    bool (n_test,): True for half of each class of `test_labels`, drawn at random; of an odd number
    the smaller half is selected by.
    """
    half = np.zeros(len(test_labels), dtype=bool)
    for label in np.unique(test_labels):
        members = np.flatnonzero(test_labels == label)
        half[generator(seed, "half", int(label)).permutation(members)[: len(members) // 2]] = True
    return half
