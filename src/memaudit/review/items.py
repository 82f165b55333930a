"""What is put before a person: candidate duplicate pairs, and groups of train points."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from memaudit import store
from memaudit.errors import AuditError
from memaudit.scores import read_influence


@dataclass(frozen=True)
class Candidate:
    """A train and a test point that may show the same shot.

    `score` is the finder's, 0 to 1 (identical); `kind` is "exact", "near" or "candidate".
    """

    train: int
    test: int
    score: float
    kind: str


@dataclass(frozen=True)
class Group:
    """Train points connected by test points that two of them or more influence.

    `train` are the members and `test` the shared test points, both ascending. `part` has for each
    member the number of the part in which the visual check left it, None where it left it alone;
    `similarity` its greatest visual similarity to another member, None where there is none.
    """

    number: int
    train: tuple[int, ...]
    test: tuple[int, ...]
    part: tuple[int | None, ...]
    similarity: tuple[float | None, ...]


@contextmanager
def _rows(path: str | Path, columns: tuple[str, ...]) -> Iterator[Iterator[dict[str, str]]]:
    """The rows of a CSV file that has at least these columns.

    Raises AuditError, naming the file, when it is missing, lacks a column, or holds something that
    is no number where one belongs.
    """
    remedy = "Delete it and run the same snakemake command again: it is made anew."
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
                raise AuditError(f"{path}: there is no column {missing[0]!r}. {remedy}")
            try:
                yield reader
            except (ValueError, TypeError, AttributeError) as error:
                raise AuditError(f"{path}, line {reader.line_num}: {error}. {remedy}") from error
    except FileNotFoundError:
        raise AuditError(f"{path}: there is no such file. {remedy}") from None


def read_candidates(path: str | Path) -> list[Candidate]:
    """Read pairs from a CSV with columns train, test, score, kind; others are passed over."""
    with _rows(path, ("train", "test", "score", "kind")) as rows:
        return [
            Candidate(int(row["train"]), int(row["test"]), float(row["score"]), row["kind"])
            for row in rows
        ]


def read_groups(path: str | Path) -> list[Group]:
    """Read groups from a CSV with a row for each member, in order of their numbers.

    Columns: group (number), checked_group (number or empty), train (index), test_points (indices,
    separated by blanks), similarity (or empty); others are passed over.
    """
    with _rows(path, ("group", "checked_group", "train", "test_points", "similarity")) as rows:
        return as_groups(
            SimpleNamespace(
                group=int(row["group"]),
                checked_group=int(row["checked_group"]) if row["checked_group"] else None,
                train=int(row["train"]),
                test_points=tuple(map(int, row["test_points"].split())),
                similarity=float(row["similarity"]) if row["similarity"] else None,
            )
            for row in rows
        )


def as_groups(members: Iterable) -> list[Group]:
    """The groups, by number, of members that have the columns of `read_groups` as attributes."""
    together = defaultdict(list)
    for member in sorted(members, key=lambda member: (member.group, member.train)):
        together[member.group].append(member)
    return [
        Group(
            number,
            tuple(member.train for member in group),
            tuple(sorted({test for member in group for test in member.test_points})),
            tuple(member.checked_group for member in group),
            tuple(member.similarity for member in group),
        )
        for number, group in together.items()
    ]


def read_scores(
    path: str | Path, pairs: Iterable[tuple[int, int]]
) -> tuple[np.ndarray, dict[tuple[int, int], float]]:
    """Memorization (n_train,) of all train points, and the influence of the (train, test) pairs.

    `path` is a file by the contract `memaudit.store.SCORES`. Pairs that it knows no influence of,
    such as those of two classes, are left out.
    """
    pairs, known = set(pairs), {}
    with store.reading(path, store.SCORES) as file:
        for block in read_influence(file):
            row = {train: k for k, train in enumerate(block.train_index.tolist())}
            column = {test: k for k, test in enumerate(block.test_index.tolist())}
            for train, test in pairs:
                if train in row and test in column:
                    known[train, test] = float(block.influence[row[train], column[test]])
        return file["memorization"][:], known
