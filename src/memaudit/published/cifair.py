"""ciFAIR's manual annotation of duplicates in CIFAR (Barz & Denzler 2020, J. Imaging 6(6))."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from memaudit import tables
from memaudit.buckets.leaks import ONE_PICTURE, PUBLISHED, Leak
from memaudit.published.files import REMEDY

EXACT, NEAR, SIMILAR = 0, 1, 2
JUDGMENTS = {EXACT: "exact", NEAR: "near", SIMILAR: "very similar"}


def read_cifair(path: str | Path) -> list[tuple[int, int, int]]:
    """Read ciFAIR's list of test images with a duplicate in training: (test, train, judgment).

    The training image is the nearest one to the test image; the judgment is 0 for exact (almost all
    pixels approximately equal), 1 for near (the same photograph, processed differently), 2 for very
    similar (another photograph). The order is that of the file.

    Raises AuditError, naming file, line and value: a missing column, a malformed cell.
    """
    columns: dict[str, Callable[[str], int]] = {
        "TestID": _index,
        "TrainID": _index,
        "Judgment": ("0", "1", "2").index,
    }
    return [(row[0], row[1], row[2]) for row in tables.read(path, columns, remedy=REMEDY)]


def _index(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def judged_by_cifair(path: str | Path, judgments: Sequence[str]) -> dict[tuple[int, int], bool]:
    """Return for each pair (train, test) that ciFAIR lists whether its judgment counts."""
    return {
        (train, test): JUDGMENTS[judgment] in judgments
        for test, train, judgment in read_cifair(path)
    }


@dataclass(frozen=True)
class Agreement:
    """Agreement of the duplicate finder with ciFAIR: a row of agreement.csv."""

    unit: str
    """what is counted: `pairs` or `test images`"""
    both: int
    """found by both; count"""
    only_cifair: int
    """listed by ciFAIR only; count"""
    only_finder: int
    """found by the finder only; count"""


def agreement(
    found: Iterable[tuple[int, int, str]],
    cifair: Iterable[tuple[int, int, int]],
    judgments: Sequence[int] = (EXACT, NEAR),
) -> list[Agreement]:
    """Compare the finder's duplicates with ciFAIR's, by pair and by test image.

    `found` are (train, test, kind), `cifair` (test, train, judgment) with those of `judgments`
    counted as duplicates. ciFAIR lists one training image per test image, so a finder that finds
    another duplicate agrees by test image but not by pair.
    """
    ours = {(train, test) for train, test, _ in found}
    theirs = {(train, test) for test, train, judgment in cifair if judgment in judgments}
    our_tests, their_tests = {test for _, test in ours}, {test for _, test in theirs}
    both = len(our_tests & their_tests)
    return [
        Agreement("pairs", len(ours & theirs), len(theirs - ours), len(ours - theirs)),
        Agreement("test images", both, len(their_tests) - both, len(our_tests) - both),
    ]


def with_cifair(
    found: Iterable[tuple[int, int, str]],
    cifair: Iterable[tuple[int, int, int]],
    judgments: Sequence[str],
) -> list[Leak]:
    """Merge the finder's duplicates with ciFAIR's, which take precedence, into one sorted list.

    `found` are (train, test, kind), `cifair` (test, train, judgment); `judgments` are those that
    count as duplicates ("exact", "near", "very similar"). ciFAIR's exact duplicates are nearly, but
    not necessarily, pixel-identical; pixel-identical pairs remain the finder's.
    """
    merged = {(i, j): Leak(i, j, kind, "rule") for i, j, kind in found}
    for test, train, judgment in cifair:
        word, known = JUDGMENTS[judgment], merged.pop((train, test), None)
        if known and known.kind == "exact":
            merged[train, test] = known
        elif word in judgments:
            kind = {"exact": ONE_PICTURE, "very similar": "scene"}.get(word, "near")
            merged[train, test] = Leak(train, test, kind, PUBLISHED)
    return sorted(merged.values())
