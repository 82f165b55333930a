"""The duplicates that count, one list: the finder's, the published annotation's, people's."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from memaudit import tables
from memaudit.buckets.decisions import DIFFERENT, MANUAL, Decisions
from memaudit.data.dataset import Dataset


class Leak(NamedTuple):
    """A test example and a duplicate of it in the training set."""

    train: int
    test: int
    kind: str  # "exact" or "near"
    decided_by: str  # "rule", "published annotation" or "manual annotation"


def with_decisions(
    duplicates: Iterable[tuple[int, int, str, str]], decisions: Decisions, data: Dataset
) -> list[Leak]:
    """Duplicates (train, test, kind, who decided) with people's words over them, sorted.

    "same" makes a pair "exact" where the pixels of both are identical and "near" otherwise, so that
    "exact" is a fact about pixels also where a person decided; "near" makes it "near"; "different"
    takes it off the list.
    """
    leaks = {(leak[0], leak[1]): Leak(*leak) for leak in duplicates}
    for (train, test), word in decisions.duplicates.items():
        if word == DIFFERENT:
            leaks.pop((train, test), None)
            continue
        identical = (data.train_images[train] == data.test_images[test]).all()
        kind = "exact" if word == "same" and identical else "near"
        leaks[train, test] = Leak(train, test, kind, MANUAL)
    return sorted(leaks.values())


def leak_free(leaks: Iterable[Leak], n_test: int) -> list[int]:
    """The test examples, of `n_test`, without a duplicate among the training examples."""
    leaked = {leak.test for leak in leaks}
    return [test for test in range(n_test) if test not in leaked]


def write_leaks(leaks: Iterable[Leak], path: str | Path) -> None:
    """Write leaks as CSV, a column for each field of `Leak`."""
    tables.write(path, Leak._fields, leaks)


def read_leaks(path: str | Path) -> list[Leak]:
    """Read what `write_leaks` wrote."""
    columns = dict(zip(Leak._fields, [int, int, str, str], strict=True))
    return [Leak(*row) for row in tables.read(path, columns)]
