"""The lists of examples in docs/cifar100, from which the removals follow, and the judged groups."""

import sys
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from studies import N_TEST, N_TRAIN, ROOT

from memaudit import tables
from memaudit.buckets.assign import Assignment, removal_lists
from memaudit.buckets.leaks import Leak, leak_free
from memaudit.buckets.subpopulations import Member
from memaudit.models.removals import read_examples
from memaudit.scores.selection import Pair

JUDGED = ROOT / "data/annotations/cifar100_subpopulations.csv"
MEMORIZED = "memorized.npy"  # bits: F&Z's memorization reaches the threshold
COPIED = ("selected_pairs.csv", "buckets.csv", "leaks.csv", "subpopulations.csv")
BY_FINDER = 118  # selected examples that the duplicate finder finds: docs/published_counts.md
WORDS = ("alike", "partly", "not_alike")


@dataclass(frozen=True)
class Judgment:
    """A group of the rule, judged by eye: a row of cifar100_subpopulations.csv."""

    test: int  # test example
    train: tuple[int, ...]  # training examples that influence it
    reading_a: str  # first reading
    reading_b: str  # second reading
    final: str  # the result


@dataclass(frozen=True)
class Examples:
    """The selected pairs, buckets, leaks, subpopulations and removals of both studies.

    `removed` holds the examples int64 (examples,) of each removal, `memorized` those whose
    published memorization reaches the threshold.
    """

    pairs: list[Pair]
    assignments: list[Assignment]
    leaks: list[Leak]
    members: list[Member]
    removed: dict[str, np.ndarray]
    memorized: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> "Examples":
        """Read the lists; exit if the removals do not follow from the buckets."""
        pairs, assignments, leaks, members = (
            tables.read_rows(folder / name, row)
            for name, row in zip(COPIED, (Pair, Assignment, Leak, Member), strict=True)
        )
        removed = {}
        for name, examples in removal_lists(assignments).items():
            removed[name] = read_examples(folder / f"removals/{name}.txt", N_TRAIN)
            if examples != removed[name].tolist():
                sys.exit(f"{folder}: removals/{name}.txt does not follow from buckets.csv")
        if {pair.train for pair in pairs} != {row.example for row in assignments}:
            sys.exit(f"{folder}: selected_pairs.csv and buckets.csv list different examples")
        leaking = {leak.train for leak in leaks}
        if wrong := [
            row.example
            for row in assignments
            if (row.reason in ("exact", "near", "scene")) != (row.example in leaking)
        ]:
            sys.exit(f"{folder}: buckets.csv and leaks.csv contradict each other: {wrong}")
        bits = np.unpackbits(load_array(folder / MEMORIZED), count=N_TRAIN)
        return cls(pairs, assignments, leaks, members, removed, np.flatnonzero(bits))

    @cached_property
    def influenced(self) -> np.ndarray:
        """Test examples that a selected example influences, int64."""
        return np.unique([pair.test for pair in self.pairs])

    @cached_property
    def leak_free(self) -> np.ndarray:
        """Test images without a known duplicate in the training set, int64."""
        return np.array(leak_free(self.leaks, N_TEST))

    @cached_property
    def duplicated(self) -> np.ndarray:
        """Test images with a known duplicate in the training set, int64."""
        return np.setdiff1d(np.arange(N_TEST), self.leak_free)

    @cached_property
    def duplicated_by_finder(self) -> np.ndarray:
        """Test images with duplicates by the finder's score alone, int64."""
        certain = [one for one in self.leaks if one.decided_by != "rule" or one.kind == "exact"]
        return np.setdiff1d(self.duplicated, [leak.test for leak in certain])

    def mean_memorization(self, bucket: str) -> float:
        return float(np.mean([r.memorization for r in self.assignments if r.bucket == bucket]))


def load_array(path: Path) -> np.ndarray:
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError) as error:
        sys.exit(f"{path}: cannot be read ({error}). A committed file comes back by git checkout")


def odds(examples: Examples) -> dict:
    """Return how often the finder finds duplicates of selected and of other memorized examples.

    Of those pairs of the others that ciFAIR lists, leaks.csv does not state what the finder found:
    hence the odds ratio with all of them and with none.
    """
    n_selected = len(examples.assignments)
    others = {*examples.memorized.tolist()} - {row.example for row in examples.assignments}
    by_finder = len({leak.train for leak in examples.leaks if leak.decided_by == "rule"} & others)
    known = len({leak.train for leak in examples.leaks} & others)
    selected = BY_FINDER / (n_selected - BY_FINDER)
    return {
        "by_finder": BY_FINDER,
        "others": len(others),
        "others_by_finder": by_finder,
        "others_known": known,
        "low": selected / (known / (len(others) - known)),
        "high": selected / (by_finder / (len(others) - by_finder)),
    }


def judged_groups(examples: Examples) -> dict:
    """Return counts of the groups judged by eye, agreement, and the automatic check's result."""
    rows = tables.read_rows(JUDGED, Judgment)
    duplicated = {leak.train for leak in examples.leaks} & {*examples.removed["selected"].tolist()}
    checked = {member.example: member.checked_group for member in examples.members}
    passed = {
        row.test: None not in (found := {checked[i] for i in row.train}) and len(found) == 1
        for row in rows
    }
    one, two = (np.array([getattr(r, name) for r in rows]) for name in ("reading_a", "reading_b"))
    words = {row.test: row.final for row in rows}
    alike = {example for row in rows if row.final == "alike" for example in row.train}
    pairs = {(leak.train, leak.test) for leak in examples.leaks}
    clean = [row for row in rows if not any((train, row.test) in pairs for train in row.train)]
    return {
        "n": len(rows),
        "counts": Counter(words.values()),
        "agreement": float((one == two).mean()),
        "kappa": kappa(one, two),
        "differ": int((one != two).sum()),
        "passed": Counter(words[test] for test, is_passed in passed.items() if is_passed),
        "clean": len(clean),
        "clean_alike": sum(row.final == "alike" for row in clean),
        "examples": len(checked),
        "examples_alike": len(alike),
        "leakage_shift": len(alike | duplicated),
    }


def kappa(one: np.ndarray, two: np.ndarray) -> float:
    """Return Cohen's kappa of two readings."""
    chance = sum(float((one == word).mean() * (two == word).mean()) for word in WORDS)
    return (float((one == two).mean()) - chance) / (1 - chance)
