"""Why a selected example matters: a duplicate in the test set, a subpopulation, or neither.

The paper (sections 4 and 5) puts each selected example in one of two buckets: `leakage_shift` when
the test set holds a duplicate of it or when removing it removes a subpopulation, else `memorized`.
What people decided goes before what was found automatically.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from memaudit.buckets.decisions import MANUAL, Decisions
from memaudit.buckets.leaks import Leak
from memaudit.buckets.subpopulations import components, decided_links
from memaudit.scores.selection import Pair
from memaudit.tables import Rows, column

LEAKAGE_SHIFT, MEMORIZED = "leakage_shift", "memorized"


KINDS = ("exact", "near")  # of duplicates, the one that goes before the other first
# Whose word is told of, where several stand behind a reason.
DECIDERS = (MANUAL, "published annotation", "rule")


@dataclass(frozen=True)
class Assignment:
    """Bucket of a selected training example, with the reason: a row of buckets.csv."""

    example: int = column("training example", "index")
    class_name: str = column("name of its class", name="class")
    memorization: float = column("as in `selected_pairs.csv`", "fraction", digits=".6g")
    bucket: str = column(
        "`leakage_shift` (it has a duplicate in the test set or belongs to a subpopulation) or "
        "`memorized` (neither)"
    )
    reason: str = column(
        "`exact` (a test example has identical pixels), `near` (near-duplicate in the test set), "
        "`subpopulation`, or `none`; the first that applies"
    )
    test_examples: tuple[int, ...] = column(
        "test examples concerned: its duplicates; for `subpopulation`, those that it influences "
        "together with others of its subpopulation; for `none`, all that it influences",
        "indices",
    )
    decided_by: str = column(
        "`manual annotation` (an annotator confirmed this reason or rejected one that takes "
        "precedence over it), `published annotation` (ciFAIR), or `rule`",
        default="rule",
    )
    group: int | None = column(
        "number of its subpopulation, also where a duplicate is the reason; empty without one. "
        "Numbered after manual annotation, so it may differ from `subpopulations.csv`",
        default=None,
    )


def assign(
    pairs: Sequence[Pair],
    leaks: Iterable[Leak],
    links: np.ndarray,
    class_names: Sequence[str],
    decisions: Decisions | None = None,
) -> Rows[Assignment]:
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
        copies[leak.train, leak.kind].append(leak)
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
    return Rows(Assignment, assignments)


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


def removal_lists(assignments: Sequence[Assignment]) -> dict[str, list[int]]:
    """The examples of each of the study's removals: all selected ones, and each bucket."""
    lists = {"selected": [row.example for row in assignments]}
    for bucket in (LEAKAGE_SHIFT, MEMORIZED):
        lists[bucket] = [row.example for row in assignments if row.bucket == bucket]
    return lists
