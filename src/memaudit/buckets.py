"""Why a selected point matters: a duplicate in the test set, a sub-population, or neither.

The paper (sections 4 and 5) puts each selected point in one of two buckets: `leakage_shift` when
the test set holds a duplicate of it or when removing it removes a sub-population, else `memorized`.
"""

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from memaudit import store
from memaudit.selection import Pair

LEAKAGE_SHIFT, MEMORIZED = "leakage_shift", "memorized"


@dataclass(frozen=True)
class Assignment:
    """The bucket of a selected point, and why.

    `reason` is "exact" or "near" (a duplicate in the test set), "sub-population" (it influences a
    test point that another selected point influences too), or "none". `test_points` are the test
    points concerned: the duplicates, the shared ones, or those it influences.
    """

    index: int
    class_name: str
    memorization: float
    bucket: str
    reason: str
    test_points: tuple[int, ...]
    decided_by: str = "rule"


def assign(
    pairs: Sequence[Pair],
    duplicates: Iterable[tuple[int, int, str, str]],
    class_names: Sequence[str],
) -> list[Assignment]:
    """A bucket for each selected point, ordered by index.

    `duplicates` are (train, test, "exact" or "near", who decided); a test image of any class
    counts, a leak is a leak. An exact duplicate goes before a near one, a duplicate before a
    sub-population.
    """
    copies: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    deciders: dict[tuple[int, str], str] = {}
    for train, test, kind, decided_by in duplicates:
        copies[train][kind].append(test)
        deciders[train, kind] = decided_by
    influenced, influencing = defaultdict(list), defaultdict(list)
    first: dict[int, Pair] = {}
    for pair in pairs:
        first.setdefault(pair.train, pair)
        influenced[pair.train].append(pair.test)
        influencing[pair.test].append(pair.train)
    assignments = []
    for index in sorted(first):
        shared = [test for test in influenced[index] if len(influencing[test]) > 1]
        if exact := copies[index]["exact"]:
            bucket, reason, tests = LEAKAGE_SHIFT, "exact", exact
        elif near := copies[index]["near"]:
            bucket, reason, tests = LEAKAGE_SHIFT, "near", near
        elif shared:
            bucket, reason, tests = LEAKAGE_SHIFT, "sub-population", shared
        else:
            bucket, reason, tests = MEMORIZED, "none", influenced[index]
        point = first[index]
        assignments.append(
            Assignment(
                index,
                class_names[point.label],
                point.memorization,
                bucket,
                reason,
                tuple(sorted(tests)),
                deciders.get((index, reason), "rule"),
            )
        )
    return assignments


HEADER = ["class" if field.name == "class_name" else field.name for field in fields(Assignment)]


def write_buckets(assignments: Sequence[Assignment], path: str | Path) -> None:
    """Write assignments as CSV; several test points are separated by blanks."""
    with store.whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(HEADER)
        for row in assignments:
            index, name, value, bucket, reason, tests, by = astuple(row)
            writer.writerow(
                [index, name, f"{value:.6g}", bucket, reason, " ".join(map(str, tests)), by]
            )


def read_buckets(path: str | Path) -> list[Assignment]:
    """Read what `write_buckets` wrote."""
    kinds = [int, str, float, str, str, lambda text: tuple(map(int, text.split())), str]
    columns = dict(zip(HEADER, kinds, strict=True))
    return [Assignment(*row) for row in store.read_rows(path, columns)]


def removal_lists(assignments: Sequence[Assignment]) -> dict[str, list[int]]:
    """The points of each of the study's removals: all selected ones, and each bucket."""
    lists = {"selected": [row.index for row in assignments]}
    for bucket in (LEAKAGE_SHIFT, MEMORIZED):
        lists[bucket] = [row.index for row in assignments if row.bucket == bucket]
    return lists
