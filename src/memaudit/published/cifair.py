"""ciFAIR's hand-judged duplicates of CIFAR (Barz & Denzler 2020, J. Imaging 6(6))."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from memaudit import tables
from memaudit.buckets.leaks import Leak
from memaudit.errors import AuditError
from memaudit.published.files import foreign

EXACT, NEAR, SIMILAR = 0, 1, 2  # ciFAIR's judgments: nearly the same pixels, same shot, very alike
JUDGMENTS = {EXACT: "exact", NEAR: "near", SIMILAR: "very similar"}


def read_cifair(path: str | Path) -> list[tuple[int, int, int]]:
    """ciFAIR's list of test images with a duplicate in the train set: (test, train, judgment).

    For each test image listed its nearest training image, as people judged it: 0 exact (almost all
    pixels about the same), 1 near (the same shot, processed otherwise), 2 very similar (another
    shot). In the order of the file, which is that of a distance between features.

    Raises AuditError, naming file, line and value: missing columns, a value that is no index, a
    judgment that is none of these.
    """
    columns = ("TestID", "TrainID", "Judgment")
    rows = []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if missing := sorted(set(columns) - set(reader.fieldnames or ())):
                raise foreign(path, f"there is no column {missing[0]}")
            for row in reader:
                texts = [row[column] or "" for column in columns]
                for column, text in zip(columns, texts, strict=True):
                    if not text.isdecimal():
                        raise foreign(path, f"line {reader.line_num}: {column} is {text!r}")
                test, train, judgment = map(int, texts)
                if judgment not in JUDGMENTS:
                    raise foreign(
                        path, f"line {reader.line_num}: Judgment is {judgment}, not 0, 1 or 2"
                    )
                rows.append((test, train, judgment))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AuditError(f"{path}: cannot be read ({error})") from None
    return rows


@dataclass(frozen=True)
class Agreement:
    """How far two lists of duplicates agree: counts of `unit`, "pairs" or "test images"."""

    unit: str
    both: int
    only_cifair: int
    only_detector: int


def agreement(
    detected: Iterable[tuple[int, int, str]],
    cifair: Iterable[tuple[int, int, int]],
    judgments: Sequence[int] = (EXACT, NEAR),
) -> list[Agreement]:
    """A detector's duplicates beside ciFAIR's, as pairs and as test images.

    detected are (train, test, kind), as `memaudit.duplicates.read_duplicates` gives them, cifair
    (test, train, judgment), as `read_cifair` does; only rows with one of `judgments` count, and
    what people judged otherwise counts as not listed. ciFAIR lists one training image for each test
    image, so a detector that finds another copy agrees by test image and not by pair.
    """
    ours = {(train, test) for train, test, _ in detected}
    theirs = {(train, test) for test, train, judgment in cifair if judgment in judgments}
    tests = {test for _, test in ours}, {test for _, test in theirs}
    return [
        Agreement(unit, len(one & other), len(other - one), len(one - other))
        for unit, (one, other) in {"pairs": (ours, theirs), "test images": tests}.items()
    ]


def with_judgments(
    detected: Iterable[tuple[int, int, str]],
    cifair: Iterable[tuple[int, int, int]],
    judgments: Sequence[str],
) -> list[Leak]:
    """A detector's duplicates and ciFAIR's as one sorted list.

    detected are (train, test, kind), cifair (test, train, judgment); `judgments` are the words that
    count ("exact", "near", "very similar"). On a pair that people judged their word stands: it is a
    duplicate if the judgment counts, "exact" or else "near", and none if not.
    """
    judged = {(train, test): JUDGMENTS[judgment] for test, train, judgment in cifair}
    merged = [
        Leak(train, test, kind, "rule")
        for train, test, kind in detected
        if (train, test) not in judged
    ]
    merged += [
        Leak(train, test, "exact" if word == "exact" else "near", "published annotation")
        for (train, test), word in judged.items()
        if word in judgments
    ]
    return sorted(merged)


def write_agreement(rows: Sequence[Agreement], path: str | Path) -> None:
    """Write what `agreement` says as CSV."""
    tables.write(path, [field.name for field in fields(Agreement)], map(astuple, rows))
