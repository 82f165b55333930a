"""Which examples matter: memorized ones that influence a test example of their class."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from memaudit import store, tables
from memaudit.errors import AuditError
from memaudit.scores.estimate import (
    InfluenceBlock,
    Memorization,
    read_influence,
    read_memorization,
)
from memaudit.seeds import generator

# F&Z's thresholds give 1,015 pairs on CIFAR-100. Beyond this, examples and test examples are not picked
# out any more, but nearly all of them are taken.
MOST_PAIRS = 200_000


@dataclass(frozen=True)
class Pair:
    """A selected training example and a test example of its class that it influences."""

    train: int
    test: int
    label: int
    memorization: float
    memorization_se: float
    influence: float
    influence_se: float


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
        for row, column in np.argwhere(strong):
            train = int(block.train_index[row])
            pairs.append(
                Pair(
                    train,
                    int(block.test_index[column]),
                    block.label,
                    float(scores.value[train]),
                    float(scores.se[train]),
                    float(block.influence[row, column]),
                    float(block.influence_se[row, column]),
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


def write_pairs(pairs: list[Pair], path: str | Path) -> None:
    """Write pairs as CSV, a column for each field of `Pair`."""
    tables.write(path, [field.name for field in fields(Pair)], map(astuple, pairs), ".6g")


def read_pairs(path: str | Path) -> list[Pair]:
    """Read what `write_pairs` wrote."""
    kinds = {field.name: field.type for field in fields(Pair)}
    kinds |= {"memorization_se": tables.number, "influence_se": tables.number}  # not published
    return [Pair(*row) for row in tables.read(path, kinds)]
