"""Put each selected example into a bucket: `leakage_shift` or `memorized`.

The paper (sections 4 and 5) assigns a selected example to `leakage_shift` if the test set contains
a duplicate of it or if removing it removes a subpopulation, and to `memorized` otherwise. Manual
annotations override automatic decisions.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from memaudit.buckets.decisions import MANUAL, Decisions
from memaudit.buckets.leaks import PUBLISHED, REASONS, Leak
from memaudit.buckets.subpopulations import components, decided_links
from memaudit.scores.selection import Pair
from memaudit.tables import Rows, column, documented

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LEAKAGE_SHIFT, MEMORIZED = "leakage_shift", "memorized"
KINDS = ("exact", "near", "scene")  # of duplicates, in order of precedence
_DECIDERS = (MANUAL, PUBLISHED, "rule")  # in order of precedence


@documented
@dataclass(frozen=True)
class Assignment:
    """Bucket of a selected training example, with the reason: a row of buckets.csv."""

    example: int
    """training example; index"""
    class_name: str = column(name="class")
    """name of its class"""
    memorization: float = column(digits=".6g")
    """as in `selected_pairs.csv`; fraction"""
    bucket: str = column()
    """`leakage_shift` (it has a duplicate in the test set or belongs to a subpopulation) or
    `memorized` (neither)"""
    reason: str = column()
    """`exact` (a test example has identical pixels or visually the same picture; `leaks.csv`
    distinguishes them), `near` (near-duplicate in the test set), `scene` (a test example
    shows the same object in the same scene), `subpopulation`, or `none`; the first that
    applies"""
    test_examples: tuple[int, ...] = column()
    """test examples concerned: its duplicates; for `subpopulation`, those that it influences
    together with others of its subpopulation; for `none`, all that it influences; indices"""
    decided_by: str = "rule"
    """`manual annotation` (an annotator confirmed this reason or rejected one that takes
    precedence over it), `published annotation` (of F&Z's pairs, or ciFAIR), or `rule`"""
    group: int | None = None
    """number of its subpopulation, also where a duplicate is the reason; empty without one.
    Numbered after manual annotation, so it may differ from `subpopulations.csv`"""
    probability: float | None = column(default=None, optional=True)
    """probability that it has a duplicate: of its most probable one, if the finder decided;
    empty otherwise"""


def assign(
    pairs: Sequence[Pair],
    leaks: Iterable[Leak],
    links: "ArrayLike",
    class_names: Sequence[str],
    decisions: Decisions | None = None,
) -> Rows[Assignment]:
    """Assign each selected training example to a bucket, with the reason.

    Parameters
    ----------
    pairs : sequence of Pair
        Selected pairs, as `Scores.select` returns them.
    leaks : iterable of Leak
        Duplicates between training and test set, after manual annotation. The test example may be
        of any class.
    links : array_like of int, shape (n_links, 2)
        Training examples that belong to one subpopulation, before manual annotation, as
        `shared_links` returns them.
    class_names : sequence of str
        Names of the classes, by label.
    decisions : Decisions, optional
        Manual annotations.

    Returns
    -------
    Rows of Assignment
        One row per selected training example, in ascending order; ``to_frame()`` returns them as
        a DataFrame. Exact duplicates take precedence over near-duplicates, these over other
        photographs of the scene, and duplicates over subpopulations.

    Raises
    ------
    ValueError
        If `links` are not pairs of integers.

    References
    ----------
    "Is Memorization Actually Necessary for Generalization?", sections 4 and 5.

    Examples
    --------
    Examples 0 and 1 influence the same test example; example 2 influences another one alone:

    >>> from memaudit import Pair, assign, shared_links
    >>> pairs = [Pair(i, test, 0, 0.9, 0.02, 0.5, 0.05) for i, test in enumerate([7, 7, 8])]
    >>> links = shared_links([p.train for p in pairs], [p.test for p in pairs])
    >>> [(row.example, row.reason) for row in assign(pairs, [], links, ["cat"])]
    [(0, 'subpopulation'), (1, 'subpopulation'), (2, 'none')]
    """
    links = np.asarray(links)
    if links.size and (links.ndim != 2 or links.shape[1] != 2 or links.dtype.kind not in "iu"):
        raise ValueError(f"links must be int (n, 2), got {links.dtype} of shape {links.shape}")
    links = links.astype(np.int64).reshape(-1, 2)
    decisions = decisions or Decisions()
    first: dict[int, Pair] = {}
    influenced: dict[int, set[int]] = defaultdict(set)
    for pair in pairs:
        first.setdefault(pair.train, pair)
        influenced[pair.train].add(pair.test)
    copies: dict[tuple[int, str], list[Leak]] = defaultdict(list)
    for leak in leaks:
        copies[leak.train, REASONS[leak.kind]].append(leak)
    together = decisions.among(first)
    links = decided_links(links, together)
    group, shared = components(links), _shared_tests(links, influenced)
    denied = decisions.denied()
    joined = {example for pair, is_one in together.items() if is_one for example in pair}
    parted = {example for pair, is_one in together.items() if not is_one for example in pair}
    rows = Rows(Assignment)
    for example, pair in sorted(first.items()):
        kind = next((kind for kind in KINDS if copies[example, kind]), None)
        known: list[float | None] = []
        if kind:
            reason, tests = kind, {leak.test for leak in copies[example, kind]}
            deciders = {leak.decided_by for leak in copies[example, kind]}
            known = [leak.probability for leak in copies[example, kind]]
        elif example in group:
            reason, tests = "subpopulation", shared[example] or influenced[example]
            deciders = {MANUAL if example in denied | joined else "rule"}
        else:
            reason, tests = "none", influenced[example]
            deciders = {MANUAL if example in denied | parted else "rule"}
        rows.append(
            Assignment(
                example,
                class_names[pair.label],
                pair.memorization,
                MEMORIZED if reason == "none" else LEAKAGE_SHIFT,
                reason,
                tuple(sorted(tests)),
                min(deciders, key=_DECIDERS.index),
                group.get(example),
                None if None in known else max(known, default=None),  # type: ignore[type-var]
            )
        )
    return rows


def _shared_tests(links: np.ndarray, influenced: dict[int, set[int]]) -> dict[int, set[int]]:
    """Return for each linked example the test examples it influences together with a linked one."""
    shared: dict[int, set[int]] = defaultdict(set)
    for a, b in links.tolist():
        both = influenced[a] & influenced[b]
        shared[a] |= both
        shared[b] |= both
    return shared


def removal_lists(assignments: Sequence[Assignment]) -> dict[str, list[int]]:
    """Return the training examples to remove: all selected ones, and each bucket.

    Parameters
    ----------
    assignments : sequence of Assignment
        Assignments, as `assign` returns them.

    Returns
    -------
    dict of str to list of int
        Indices of training examples for the removals "selected", "leakage_shift" and "memorized".

    Examples
    --------
    >>> from memaudit import Assignment, removal_lists
    >>> removal_lists([Assignment(3, "cat", 0.9, "memorized", "none", (7,))])
    {'selected': [3], 'leakage_shift': [], 'memorized': [3]}
    """
    lists = {"selected": [row.example for row in assignments]}
    for bucket in (LEAKAGE_SHIFT, MEMORIZED):
        lists[bucket] = [row.example for row in assignments if row.bucket == bucket]
    return lists
