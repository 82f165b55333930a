"""Leaks: duplicates between training and test set, after all annotations."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from memaudit.buckets.decisions import DIFFERENT, MANUAL, Decisions
from memaudit.duplicates.calibration import if_selected
from memaudit.tables import column, documented

if TYPE_CHECKING:
    from memaudit.data.dataset import Dataset

PUBLISHED = "published annotation"
ONE_PICTURE = "one_picture"
# the reason in buckets.csv that a kind of duplicate gives
REASONS = {"exact": "exact", ONE_PICTURE: "exact", "near": "near", "scene": "scene"}


@documented
@dataclass(frozen=True, order=True)
class Leak:
    """Duplicate of a training example in the test set: a row of leaks.csv."""

    train: int
    """training example; index"""
    test: int
    """test example, of any class; index"""
    kind: str
    """`exact` (identical pixels), `one_picture` (visually the same picture, by a published
    annotation), `near` (the same photograph, processed differently) or `scene` (another
    photograph of the same object in the same scene)"""
    decided_by: str = "rule"
    """`rule` (the duplicate finder), `published annotation` (of F&Z's pairs, or ciFAIR) or
    `manual annotation`"""
    probability: float | None = column(default=None, optional=True)
    """probability that the pair is a duplicate, by the finder; empty if it was annotated"""


def counted(
    leaks: Iterable[Leak],
    kinds: Collection[str],
    probability: Mapping[tuple[int, int], float],
) -> list[Leak]:
    """Return the leaks whose reason is among `kinds`, those by rule with their `probability`."""
    return [
        replace(leak, probability=probability.get((leak.train, leak.test)))
        if leak.decided_by == "rule"
        else leak
        for leak in leaks
        if REASONS[leak.kind] in kinds
    ]


def selected_probabilities(
    selected: Iterable[tuple[int, int]],
    ranked: Mapping[tuple[int, int], tuple[float, float]],
) -> dict[tuple[int, int], float]:
    """Return the probability of the selected pairs (train, test) that the finder ranked.

    `ranked` has score and probability of these, the latter from the search for scenes.
    """
    return {pair: if_selected(ranked[pair][1]) for pair in selected if pair in ranked}


def with_scenes(
    duplicates: Iterable[tuple[int, int, str]],
    raised: Mapping[tuple[int, int], float],
    scene: float,
) -> list[tuple[int, int, str]]:
    """Add the selected pairs of a probability of at least `scene` to the finder's duplicates.

    `duplicates` are (train, test, kind) of every kind, whether or not it counts as leakage, so that
    a near-duplicate is not listed as a scene. `raised` are the probabilities of selected pairs.
    """
    found = {(train, test): kind for train, test, kind in duplicates}
    scenes = {pair: "scene" for pair, chance in raised.items() if chance >= scene}
    return [(*pair, kind) for pair, kind in (scenes | found).items()]


def with_decisions(duplicates: Iterable[Leak], decisions: Decisions, data: "Dataset") -> list[Leak]:
    """Apply manual annotations to the duplicates; return the leaks, sorted.

    The decision "same" makes a pair "exact" if its pixels are identical and "near" otherwise, so
    that "exact" is always a fact about pixels. "near", another photograph, makes it "scene";
    "different" removes it.
    """
    leaks = {(leak.train, leak.test): leak for leak in duplicates}
    for (train, test), decision in decisions.duplicates.items():
        if decision == DIFFERENT:
            leaks.pop((train, test), None)
            continue
        is_identical = (data.train_images[train] == data.test_images[test]).all()
        kind = "scene" if decision != "same" else "exact" if is_identical else "near"
        leaks[train, test] = Leak(train, test, kind, MANUAL)
    return sorted(leaks.values())


def leak_free(leaks: Iterable[Leak], n_test: int) -> list[int]:
    """Return the test examples, out of `n_test`, without a duplicate in the training set."""
    leaked = {leak.test for leak in leaks}
    return [test for test in range(n_test) if test not in leaked]
