"""Why a selected example matters: a duplicate in the test set, a subpopulation, or neither.

The paper (sections 4 and 5) puts each selected example in one of two buckets: `leakage_shift` when
the test set holds a duplicate of it or when removing it removes a subpopulation, else `memorized`.
What people decided goes before what was found automatically.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from memaudit import tables
from memaudit.buckets.decisions import MANUAL, Decisions
from memaudit.buckets.leaks import Leak
from memaudit.buckets.subpopulations import components, decided_links
from memaudit.scores.selection import Pair

LEAKAGE_SHIFT, MEMORIZED = "leakage_shift", "memorized"


KINDS = ("exact", "near")  # of duplicates, the one that goes before the other first
# Whose word is told of, where several stand behind a reason.
DECIDERS = (MANUAL, "published annotation", "rule")


@dataclass(frozen=True)
class Assignment:
    """The bucket of a selected example, and why.

    `reason` is "exact" or "near" (a duplicate in the test set), "subpopulation" (it is linked with
    another selected example, see `memaudit.buckets.subpopulations`), or "none". `test_examples` are the
    test examples concerned: the duplicates, those shared with the linked examples, those it influences.
    `decided_by` is "manual annotation" where an annotator confirmed the reason or rejected one that takes
    precedence over it. `group` is the number of its subpopulation, whatever the reason; None without one.
    """

    example: int
    class_name: str
    memorization: float
    bucket: str
    reason: str
    test_examples: tuple[int, ...]
    decided_by: str = "rule"
    group: int | None = None


def assign(
    pairs: Sequence[Pair],
    leaks: Iterable[tuple[int, int, str, str]],
    links: np.ndarray,
    class_names: Sequence[str],
    decisions: Decisions | None = None,
) -> list[Assignment]:
    """A bucket for each selected example, ordered by example.

    `leaks` are (train, test, "exact" or "near", who decided), with people's words in them; a test
    image of any class counts, a leak is a leak. `links` (links, 2) are the pairs of examples that
    belong together, before people's words. An exact duplicate goes before a near one, a duplicate
    before a subpopulation.
    """
    decisions = decisions or Decisions()
    first: dict[int, Pair] = {}
    influenced: dict[int, set[int]] = defaultdict(set)
    for pair in pairs:
        first.setdefault(pair.train, pair)
        influenced[pair.train].add(pair.test)
    copies: dict[tuple[int, str], list[Leak]] = defaultdict(list)
    for leak in leaks:
        copies[leak[0], leak[2]].append(Leak(*leak))
    said = decisions.among(first)
    links = decided_links(links, said)
    group, shared = components(links), _shared_tests(links, influenced)
    denied, joined, parted = decisions.denied(), _ends(said, True), _ends(said, False)
    assignments = []
    for index, example in sorted(first.items()):
        kind = next((kind for kind in KINDS if copies[index, kind]), None)
        if kind:
            reason, tests = kind, {leak.test for leak in copies[index, kind]}
            deciders = {leak.decided_by for leak in copies[index, kind]}
        elif index in group:
            reason, tests = "subpopulation", shared[index] or influenced[index]
            deciders = {MANUAL} if index in denied | joined else {"rule"}
        else:
            reason, tests = "none", influenced[index]
            deciders = {MANUAL} if index in denied | parted else {"rule"}
        assignments.append(
            Assignment(
                index,
                class_names[example.label],
                example.memorization,
                MEMORIZED if reason == "none" else LEAKAGE_SHIFT,
                reason,
                tuple(sorted(tests)),
                min(deciders, key=DECIDERS.index),
                group.get(index),
            )
        )
    return assignments


def _shared_tests(links: np.ndarray, influenced: dict[int, set[int]]) -> dict[int, set[int]]:
    """For each linked example the test examples that it and an example linked with it influence."""
    shared: dict[int, set[int]] = defaultdict(set)
    for a, b in links.tolist():
        both = influenced[a] & influenced[b]
        shared[a] |= both
        shared[b] |= both
    return shared


def _ends(said: dict[tuple[int, int], bool], word: bool) -> set[int]:
    return {example for pair, together in said.items() if together is word for example in pair}


HEADER = ["class" if field.name == "class_name" else field.name for field in fields(Assignment)]


def write_buckets(assignments: Sequence[Assignment], path: str | Path) -> None:
    """Write assignments as CSV; several test examples are separated by blanks."""
    tables.write(path, HEADER, map(astuple, assignments), ".6g")


def read_buckets(path: str | Path) -> list[Assignment]:
    """Read what `write_buckets` wrote."""
    kinds = [
        int,
        str,
        float,
        str,
        str,
        tables.indices,
        str,
        lambda text: int(text) if text else None,
    ]
    columns = dict(zip(HEADER, kinds, strict=True))
    return [Assignment(*row) for row in tables.read(path, columns)]


def removal_lists(assignments: Sequence[Assignment]) -> dict[str, list[int]]:
    """The examples of each of the study's removals: all selected ones, and each bucket."""
    lists = {"selected": [row.example for row in assignments]}
    for bucket in (LEAKAGE_SHIFT, MEMORIZED):
        lists[bucket] = [row.example for row in assignments if row.bucket == bucket]
    return lists
