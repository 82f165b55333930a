"""The published annotation of F&Z's 1,015 pairs: which of them are duplicates.

`data/annotations/README.md` states how it was made. It applies to CIFAR-100 in its original order
and to no other data.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memaudit import tables
from memaudit.buckets.leaks import ONE_PICTURE, PUBLISHED, Leak
from memaudit.data.dataset import Dataset
from memaudit.published.files import REMEDY

# `Dataset.digest` of CIFAR-100, original order
CIFAR100_DIGEST = "c2d5e18e3b4f1fb0b566c4160a98f336b013c25f0dad2778098103f2e746b580"
JUDGMENTS = ("exact", "near", "similar", "different")
# the annotation's "exact" means visually the same picture, not identical pixels
KINDS = {"exact": ONE_PICTURE, "near": "near"}
NEAR_KINDS = ("same_photograph", "same_scene", "unclear")
SCENE = NEAR_KINDS[1]


@dataclass(frozen=True)
class AnnotatedPair:
    """One pair: `judgment` is one of JUDGMENTS; `near_kind` of a duplicate one of NEAR_KINDS."""

    train: int
    test: int
    judgment: str
    near_kind: str


def read_annotation(path: str | Path) -> list[AnnotatedPair]:
    """Read `data/annotations/cifar100_fz_pairs.csv`.

    Raises AuditError, naming file, line and value: a missing column, a malformed cell.
    """

    def one_of(known: Sequence[str]) -> Any:
        return lambda text: known[known.index(text)]

    columns = {"train": int, "test": int, "final": one_of(JUDGMENTS)}
    columns["near_kind"] = one_of(("", *NEAR_KINDS))
    return [AnnotatedPair(*row) for row in tables.read(path, columns, remedy=REMEDY)]


def judged_pairs(path: str | Path, data: Dataset) -> dict[tuple[int, int], bool]:
    """Return whether each annotated pair (train, test) is a duplicate; none for other data."""
    if data.digest() != CIFAR100_DIGEST:
        return {}
    return {(pair.train, pair.test): pair.judgment in KINDS for pair in read_annotation(path)}


def with_annotation(
    leaks: Iterable[Leak], annotation: Iterable[AnnotatedPair], data: Dataset
) -> list[Leak]:
    """Merge duplicates with the annotation, which takes precedence; unchanged for other data."""
    if data.digest() != CIFAR100_DIGEST:
        return list(leaks)
    judged = {(pair.train, pair.test): pair for pair in annotation}
    merged = [leak for leak in leaks if (leak.train, leak.test) not in judged]
    merged += [
        Leak(*key, "scene" if pair.near_kind == SCENE else KINDS[pair.judgment], PUBLISHED)
        for key, pair in judged.items()
        if pair.judgment in KINDS
    ]
    return sorted(merged)
