"""What is put before a person: candidate duplicate pairs, and groups of training examples."""

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
    """A train and a test example that may show the same shot.

    `score` is the finder's, 0 to 1 (identical); `kind` is "exact", "near" or "candidate".
    """

    train: int
    test: int
    score: float
    kind: str


@dataclass(frozen=True)
class Group:
    """Training examples connected by test examples that two of them or more influence.

    `train` are the members and `test` the shared test examples, both ascending. `part` has for each
    member the number of the part in which the visual check left it, None where it left it alone;
    `similarity` its greatest visual similarity to another member, None where there is none.
    """

    number: int
    train: tuple[int, ...]
    test: tuple[int, ...]
    part: tuple[int | None, ...]
    similarity: tuple[float | None, ...]


def read_candidates(path: str | Path) -> list[Candidate]:
    """Read pairs from a CSV with columns train, test, score, kind; others are passed over."""
    columns = {"train": int, "test": int, "score": float, "kind": str}
    return [Candidate(*row) for row in tables.read(path, columns)]


def as_groups(members: Iterable[Member]) -> list[Group]:
    """The groups that `members` make up, by number."""
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
    """Memorization (n_train,) of all training examples, and the influence of the (train, test) pairs.

    `path` is a file by the contract `memaudit.store.SCORES`. Pairs that it knows no influence of,
    such as those of two classes, are left out.
    """
    pairs, known = set(pairs), {}
    scores = Scores.from_file(path)
    for block in scores.influence:
        row = {train: k for k, train in enumerate(block.train_index.tolist())}
        column = {test: k for k, test in enumerate(block.test_index.tolist())}
        for train, test in pairs:
            if train in row and test in column:
                known[train, test] = float(block.influence[row[train], column[test]])
    return scores.memorization.value, known
