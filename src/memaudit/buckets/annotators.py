"""Compare the annotations of two people, and merge them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memaudit import tables
from memaudit.buckets.decisions import (
    COLUMNS,
    DATASET,
    DIFFERENT,
    GROUP,
    ITEMS,
    SKIP,
    Line,
    read_decisions,
    read_lines,
)
from memaudit.errors import AuditError

NEAR = "near"
Key = tuple[str, tuple[int, ...], tuple[int, ...]]  # item, training examples, test examples
Pair = tuple[str, int, int]  # item, training example, test example or other training example
Words = dict[Key, str]  # what an annotator decided, by item


@dataclass(frozen=True)
class Agreement:
    """How far two annotators agree on the pairs of examples of one kind of item.

    A group counts by its pairs of training examples. Of the pairs that `both` decided, `same_word`
    have the same decision, and `same_side` agree on whether it is `different`; `kappa` is Cohen's
    for the latter (NaN if all decisions are alike). `only_a` and `only_b` were decided by one of
    them.
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
    return {
        (line.item, line.train, line.test): line.decision for line in lines if line.decision != SKIP
    }


def dataset_of(paths: Sequence[str | Path]) -> str:
    """Return the dataset that decisions files name, if any does. Raises AuditError for two."""
    found: dict[str, str | Path] = {}
    for path in paths:
        for _, line in read_lines(path):
            found.setdefault(line.dataset, path)
    found.pop("", None)
    if len(found) > 1:
        (one, first), (two, second) = list(found.items())[:2]
        raise AuditError(
            f"{first} and {second} were made on different datasets ({one}, {two}); compare "
            "annotations of one dataset"
        )
    return next(iter(found), "")


def by_pair(words: Mapping[Key, str]) -> dict[Pair, str]:
    """Return the decision on each pair of examples: of a group, on every two training examples."""
    return {pair: word for key, word in words.items() for pair in _pairs(key)}


def _pairs(key: Key) -> list[Pair]:
    return [(key[0], *pair) for pair in Line(*key, "").pairs()]


def agreement(a: Words, b: Words) -> list[Agreement]:
    """Return the agreement for each kind of item that one of them decided."""
    found = []
    one, two = by_pair(a), by_pair(b)
    ways = (one, two), (two, one)
    for item in ITEMS:
        both = sorted(pair for pair in one.keys() & two.keys() if pair[0] == item)
        only = [sum(pair[0] == item for pair in x.keys() - y.keys()) for x, y in ways]
        if both or any(only):
            same_word = sum(one[pair] == two[pair] for pair in both)
            sides = [(one[pair] == DIFFERENT, two[pair] == DIFFERENT) for pair in both]
            same_side = sum(x == y for x, y in sides)
            found.append(Agreement(item, len(both), same_word, same_side, kappa(sides), *only))
    return found


def kappa(judgments: Sequence[tuple[object, object]]) -> float:
    """Return Cohen's kappa of the pairs of judgments; NaN if chance agreement is complete."""
    n = len(judgments)
    if not n:
        return float("nan")
    observed = sum(one == other for one, other in judgments) / n
    first, second = (Counter(column) for column in zip(*judgments, strict=True))
    expected = sum(first[word] * second[word] for word in first) / n**2
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def _contradicted(a: Mapping[Key, str], b: Mapping[Key, str]) -> set[Pair]:
    """Return the pairs of examples that one annotator calls different and the other does not."""
    one, two = by_pair(a), by_pair(b)
    both = one.keys() & two.keys()
    return {pair for pair in both if (one[pair] == DIFFERENT) != (two[pair] == DIFFERENT)}


def disagreements(a: Words, b: Words) -> list[Key]:
    """Return the items with a pair that one calls different and the other does not, sorted."""
    wrong = _contradicted(a, b)
    return sorted(key for key in a.keys() | b.keys() if wrong.intersection(_pairs(key)))


def merge(a: Words, b: Words, adjudicated: Mapping[Key, str]) -> tuple[Words, list[Key]]:
    """Merge two annotators' decisions; return them and the disagreements nobody adjudicated.

    An item that one annotator decided has that decision; where one says same and the other near, it
    is near. A decision of the adjudicator takes precedence on every pair of examples: of a group
    that contradicts it, or another group, the other pairs are kept. Disagreements without one are
    left out.
    """
    settled, wrong = by_pair(adjudicated), _contradicted(a, b)
    given = a | b
    given |= {key: NEAR for key in a.keys() & b.keys() if a[key] != b[key]}
    merged: Words = {}
    for key, word in given.items():
        pairs = _pairs(key)
        against = {
            pair
            for pair in pairs
            if pair in wrong or (settled.get(pair, word) == DIFFERENT) != (word == DIFFERENT)
        }
        if not against:
            merged[key] = word
        elif key[0] == GROUP:
            kept = [pair[1:] for pair in pairs if pair not in against and pair not in settled]
            merged |= {(GROUP, pair, key[2]): word for pair in kept}
    open_ = [
        key
        for key in disagreements(a, b)
        if any(pair in wrong and pair not in settled for pair in _pairs(key))
    ]
    return merged | dict(adjudicated), open_


def foreign(a: Words, b: Words, adjudicated: Mapping[Key, str]) -> list[Key]:
    """Return the adjudicated items of which neither annotator decided any pair."""
    known = by_pair(a) | by_pair(b)
    return [key for key in adjudicated if not known.keys() & set(_pairs(key))]


def write_words(path: str | Path, words: Mapping[Key, str], dataset: str = "") -> None:
    """Write a decisions file, sorted."""
    rows = ((*key, word, dataset) for key, word in sorted(words.items()))
    tables.write(path, [*COLUMNS, DATASET], rows)


def write_disagreements(path: str | Path, a: Words, b: Words, dataset: str = "") -> None:
    """Write the disagreements as a decisions file of skipped items, with both decisions.

    The review page imports it; its filter "skip" then shows what is to be adjudicated.
    """
    rows = ((*key, SKIP, a.get(key, ""), b.get(key, ""), dataset) for key in disagreements(a, b))
    tables.write(path, [*COLUMNS, "a", "b", DATASET], rows)
