"""Manual annotations from the review page.

A decisions file is a CSV with the columns `item`, `train`, `test` and `decision`. A row with item
`duplicate` is about one training and one test example. A row with item `group` is about two or more
training examples, separated by blanks, and applies to every pair of them. Decisions on a group
therefore remain valid when more models enlarge, shrink or merge the group.
"""

import codecs
import csv
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import IO

from memaudit.errors import AuditError

COLUMNS = ("item", "train", "test", "decision")
DATASET = "dataset"  # optional column: the beginning of the dataset's digest
ITEMS = ("duplicate", "group")
DUPLICATE, GROUP = ITEMS
WORDS = ("same", "near", "different", "skip")
DIFFERENT, SKIP = WORDS[2:]
MANUAL = "manual annotation"
_EXAMPLES = {"train": "training example", "test": "test example"}


@dataclass(frozen=True)
class Decisions:
    """Manual annotations without the skipped items.

    `duplicates` maps (train, test) to the decision; `together` maps two training examples, the
    smaller index first, to whether they belong to one subpopulation.
    """

    duplicates: dict[tuple[int, int], str] = field(default_factory=dict)
    together: dict[tuple[int, int], bool] = field(default_factory=dict)

    def denied(self) -> set[int]:
        """Return the training examples for which a suggested duplicate was rejected."""
        return {train for (train, _), word in self.duplicates.items() if word == DIFFERENT}

    def among(self, selected: Collection[int]) -> dict[tuple[int, int], bool]:
        """Return `together` for the pairs of which both examples are selected."""
        return {
            (a, b): word
            for (a, b), word in self.together.items()
            if a in selected and b in selected
        }


def read_decisions(
    path: str | Path, n_train: int | None = None, n_test: int | None = None, digest: str = ""
) -> Decisions:
    """Read a decisions file; columns other than the four and `dataset` are ignored.

    Raises AuditError naming file, line and value for a missing column or cell, an unknown item or
    decision, an invalid index (out of range if `n_train` and `n_test` are given), a line made on
    a dataset with another digest than `digest`, and for two lines that contradict each other.
    """
    duplicates: dict[tuple[int, int], str] = {}
    together: dict[tuple[int, int], bool] = {}
    lines: dict[tuple[str, int, int], str] = {}
    for number, row in read_lines(path, n_train, n_test, digest):
        for pair in row.pairs() if row.decision != SKIP else ():
            if row.item == DUPLICATE:
                is_same = duplicates.setdefault(pair, row.decision) == row.decision
            else:
                is_one = row.decision != DIFFERENT
                is_same = together.setdefault(pair, is_one) == is_one
            line = f"line {number} says {row.decision}"
            before = lines.setdefault((row.item, *pair), line)
            if not is_same:
                raise AuditError(
                    f"{path}, line {number}: {row.decision} for {_name(row.item, pair)}, but "
                    f"{before}; delete one of the two lines"
                )
    return Decisions(duplicates, together)


@dataclass(frozen=True, order=True)
class Line:
    """A line of a decisions file: the item, its examples in ascending order, and the decision.

    `dataset` is the beginning of the digest of the dataset on which it was made, if it is known.
    """

    item: str
    train: tuple[int, ...]
    test: tuple[int, ...]
    decision: str
    dataset: str = ""

    def pairs(self) -> list[tuple[int, int]]:
        """Return the pairs of examples that the line is about: of a group, its training pairs."""
        return [
            *(zip(self.train, self.test, strict=True) if self.item == DUPLICATE else ()),
            *(combinations(self.train, 2) if self.item == GROUP else ()),
        ]


def read_lines(
    path: str | Path, n_train: int | None = None, n_test: int | None = None, digest: str = ""
) -> Iterator[tuple[int, Line]]:
    """Yield the lines of a decisions file with their numbers; raises as `read_decisions` does."""
    try:
        with _text(path) as file:
            reader = csv.DictReader(file, delimiter=_delimiter(file))
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise AuditError(
                    f"{path}: there is no column {missing[0]}; the first line must be "
                    f"{','.join(COLUMNS)}, as the review page exports it"
                )
            for row in reader:
                if not any(row[name] for name in COLUMNS):
                    continue  # spreadsheets write lines of empty cells
                where = f"{path}, line {reader.line_num}"
                if digest and not digest.startswith((row.get(DATASET) or "").strip()):
                    raise AuditError(
                        f"{where}: this decision was made on another dataset ({row[DATASET]}, not "
                        f"{digest[:16]}); name the decisions on this one in review.decisions"
                    )
                yield reader.line_num, _parse(row, where, n_train, n_test)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise AuditError(f"{path}: the decisions cannot be read ({why})") from None


def _text(path: str | Path) -> IO[str]:
    """Open a text that a spreadsheet may have saved: UTF-8 with or without a mark, or UTF-16."""
    with open(path, "rb") as file:
        is_utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return open(path, newline="", encoding="utf-16" if is_utf16 else "utf-8-sig")


def _delimiter(file: IO[str]) -> str:
    """Return what separates the columns: spreadsheets write ; or tabs in many countries.

    `file` is left at its beginning, or after a first line such as "sep=;" that names it.
    """
    first = file.readline()
    if first.lower().startswith("sep="):
        return first[4:5]
    file.seek(0)
    return max(",;\t", key=first.count)


def _parse(
    row: Mapping[str, str | None], where: str, n_train: int | None, n_test: int | None
) -> Line:
    """Return the line that a row of the file is."""
    item = _one_of(row["item"], "item", ITEMS, where)
    word = _one_of(row["decision"], "decision", WORDS, where)
    train = _indices(row["train"], "train", n_train, where)
    test = _indices(row["test"], "test", n_test, where)
    if item == DUPLICATE and (len(train) != 1 or len(test) != 1):
        raise AuditError(
            f"{where}: a duplicate needs one training and one test example, not "
            f"{row['train']!r} and {row['test']!r}"
        )
    if item == GROUP and len(train) < 2:
        raise AuditError(
            f"{where}: a group needs two or more training examples, not {row['train']!r}"
        )
    made_on = (row.get(DATASET) or "").strip()
    return Line(item, tuple(sorted(train)), tuple(sorted(test)), word, made_on)


def _name(item: str, pair: tuple[int, int]) -> str:
    return f"train {pair[0]} and {'test' if item == DUPLICATE else 'train'} {pair[1]}"


def _one_of(text: str | None, name: str, known: tuple[str, ...], where: str) -> str:
    word = (text or "").strip().lower()
    if word not in known:
        raise AuditError(f"{where}: {name} is {word[:40]!r}, must be one of {', '.join(known)}")
    return word


def _indices(text: str | None, side: str, count: int | None, where: str) -> list[int]:
    examples: dict[int, None] = {}
    for word in (text or "").split():
        if not (word.isascii() and word.isdecimal() and len(word) <= 12):
            raise AuditError(
                f"{where}: {word[:40]!r} is not the index of a {_EXAMPLES[side]} (0, 1, 2, ...)"
            )
        if count is not None and int(word) >= count:
            raise AuditError(
                f"{where}: {_EXAMPLES[side]} {word} is out of range; indices go from 0 to "
                f"{count - 1}. Were these decisions made on another dataset?"
            )
        if int(word) in examples:
            raise AuditError(f"{where}: {_EXAMPLES[side]} {word} is listed twice")
        examples[int(word)] = None
    return list(examples)
