"""Compare the annotations of two people, and merge them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memaudit import tables
from memaudit.buckets.decisions import (
    COLUMNS,
    DIFFERENT,
    ITEMS,
    SKIP,
    Line,
    read_decisions,
    read_lines,
)

NEAR = "near"
Key = tuple[str, tuple[int, ...], tuple[int, ...]]  # item, training examples, test examples
Words = dict[Key, str]  # what an annotator decided, by item


@dataclass(frozen=True)
class Agreement:
    """How far two annotators agree on the items of one kind that both decided.

    `same_word` of the `both` items have the same decision, `same_side` agree on whether it is
    `different`; `kappa` is Cohen's for the latter (NaN where one always decides alike). `only_a`
    and `only_b` were decided by one of them.
    """

    item: str
    both: int
    same_word: int
    same_side: int
    kappa: float
    only_a: int
    only_b: int


def read_words(path: str | Path) -> Words:
    """Read the decided items of a decisions file. Raises AuditError as `read_decisions` does."""
    read_decisions(path)  # checks for contradictions
    lines = (line for _, line in read_lines(path))
    return {_key(line): line.decision for line in lines if line.decision != SKIP}


def _key(line: Line) -> Key:
    return line.item, line.train, line.test


def agreement(a: Words, b: Words) -> list[Agreement]:
    """Return the agreement for each kind of item that one of them decided."""
    found = []
    for item in ITEMS:
        both = sorted(key for key in a.keys() & b.keys() if key[0] == item)
        only = [sum(key[0] == item for key in one.keys() - two.keys()) for one, two in _ways(a, b)]
        if both or any(only):
            same_word = sum(a[key] == b[key] for key in both)
            sides = [(a[key] == DIFFERENT, b[key] == DIFFERENT) for key in both]
            same_side = sum(one == other for one, other in sides)
            found.append(Agreement(item, len(both), same_word, same_side, kappa(sides), *only))
    return found


def _ways(a: Words, b: Words) -> Sequence[tuple[Words, Words]]:
    return (a, b), (b, a)


def kappa(judgments: Sequence[tuple[object, object]]) -> float:
    """Return Cohen's kappa of the pairs of judgments; NaN if chance agreement is complete."""
    n = len(judgments)
    if not n:
        return float("nan")
    observed = sum(one == other for one, other in judgments) / n
    first, second = (Counter(column) for column in zip(*judgments, strict=True))
    expected = sum(first[word] * second[word] for word in first) / n**2
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def disagreements(a: Words, b: Words) -> list[Key]:
    """Return the items that one annotator calls different and the other does not, sorted."""
    both = a.keys() & b.keys()
    return sorted(key for key in both if (a[key] == DIFFERENT) != (b[key] == DIFFERENT))


def merge(a: Words, b: Words, adjudicated: Mapping[Key, str]) -> tuple[Words, list[Key]]:
    """Merge two annotators' decisions; return them and the disagreements nobody adjudicated.

    An item that one annotator decided has that decision; where one says same and the other near, it
    is near. A decision of the adjudicator takes precedence on every item. Disagreements without one
    are left out.
    """
    merged = a | b
    merged |= {key: NEAR for key in a.keys() & b.keys() if a[key] != b[key]}
    open_ = [key for key in disagreements(a, b) if key not in adjudicated]
    for key in open_:
        del merged[key]
    return merged | dict(adjudicated), open_


def write_words(path: str | Path, words: Mapping[Key, str]) -> None:
    """Write a decisions file, sorted."""
    tables.write(path, COLUMNS, ((*key, word) for key, word in sorted(words.items())))


def write_disagreements(path: str | Path, a: Words, b: Words) -> None:
    """Write the disagreements as a decisions file of skipped items, with both decisions.

    The review page imports it; its filter "skip" then shows what is to be adjudicated.
    """
    rows = ((*key, SKIP, a[key], b[key]) for key in disagreements(a, b))
    tables.write(path, [*COLUMNS, "a", "b"], rows)
