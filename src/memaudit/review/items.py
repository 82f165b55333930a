"""The items to annotate: candidate duplicate pairs, and groups of training examples."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memaudit import tables
from memaudit.buckets.subpopulations import Member
from memaudit.scores.facade import Scores


@dataclass(frozen=True)
class Candidate:
    """A training and a test example that may be duplicates.

    `score` is the duplicate finder's, 0 to 1 (identical); `kind` is "exact", "near" or "candidate".
    """

    train: int
    test: int
    score: float
    kind: str


@dataclass(frozen=True)
class Group:
    """Training examples connected by test examples that two or more of them influence.

    `train` are the members and `test` the shared test examples, both ascending. `part` is for each
    member its group after the visual check, None if it has none; `similarity` its greatest visual
    similarity to another member, None if it has none.
    """

    number: int
    train: tuple[int, ...]
    test: tuple[int, ...]
    part: tuple[int | None, ...]
    similarity: tuple[float | None, ...]


def read_candidates(path: str | Path) -> list[Candidate]:
    """Read pairs from a CSV with columns train, test, score, kind; others are ignored."""
    columns = {"train": int, "test": int, "score": float, "kind": str}
    return [Candidate(*row) for row in tables.read(path, columns)]


def as_groups(members: Iterable[Member]) -> list[Group]:
    """Return the groups that `members` form, by number."""
    together = defaultdict(list)
    for member in sorted(members, key=lambda member: (member.group, member.example)):
        together[member.group].append(member)
    return [
        Group(
            number,
            tuple(member.example for member in group),
            tuple(sorted({test for member in group for test in member.test_examples})),
            tuple(member.checked_group for member in group),
            tuple(member.similarity for member in group),
        )
        for number, group in together.items()
    ]


def read_scores(
    path: str | Path, pairs: Iterable[tuple[int, int]]
) -> tuple[np.ndarray, dict[tuple[int, int], float]]:
    """Read the memorization (n_train,) of all training examples and the influence of `pairs`.

    `path` is a scores file (`memaudit.store.SCORES`); `pairs` are (train, test). Pairs without a
    known influence, such as those of two classes, are omitted.
    """
    pairs, known = set(pairs), {}
    scores = Scores.from_file(path)
    for block in scores.influence:
        row = {train: k for k, train in enumerate(block.train_index.tolist())}
        column = {test: k for k, test in enumerate(block.test_index.tolist())}
        for train, test in pairs:
            if train in row and test in column:
                value = float(block.influence[row[train], column[test]])
                if not np.isnan(value):
                    known[train, test] = value
    return scores.memorization.value, known
