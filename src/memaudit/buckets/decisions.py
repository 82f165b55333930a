"""What people decided on the review page, and how it overrides what was found automatically.

A decisions file is a CSV `item,train,test,decision`. A row with item `duplicate` is about one train
and one test example; a row with item `group` is about two or more training examples, separated by blanks:
it says something of every pair of them. So decisions on a group hold on when more models make the
group larger, smaller, or part of another.
"""

import csv
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from memaudit.errors import AuditError

COLUMNS = ("item", "train", "test", "decision")
ITEMS = ("duplicate", "group")
DUPLICATE = ITEMS[0]
WORDS = ("same", "near", "different", "skip")
DIFFERENT, SKIP = WORDS[2:]
MANUAL = "manual annotation"


@dataclass(frozen=True)
class Decisions:
    """People's decisions, those to skip left out.

    `duplicates` maps (train, test) to a word; `together` maps two training examples, the smaller first,
    to whether they belong to one subpopulation.
    """

    duplicates: dict[tuple[int, int], str] = field(default_factory=dict)
    together: dict[tuple[int, int], bool] = field(default_factory=dict)

    def denied(self) -> set[int]:
        """Training examples of which a person said that something is not a duplicate of theirs."""
        return {train for (train, _), word in self.duplicates.items() if word == DIFFERENT}

    def among(self, selected: Collection[int]) -> dict[tuple[int, int], bool]:
        """`together` of the pairs of which both are selected; other words wait until they are."""
        return {
            (a, b): word
            for (a, b), word in self.together.items()
            if a in selected and b in selected
        }


_SIDES = {"train": "training", "test": "test"}  # as adjectives


def read_decisions(
    path: str | Path, n_train: int | None = None, n_test: int | None = None
) -> Decisions:
    """Read a decisions file. Columns beyond the four are ignored.

    Raises AuditError, naming file, line and value: missing columns or cells, an unknown item or
    word, what is no index or one out of range (where `n_train` and `n_test` are given), and two
    lines that contradict each other.
    """
    said: dict[tuple[str, int, int], tuple[str | bool, str]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise AuditError(
                    f"{path}: there is no column {missing[0]}; the first line must be "
                    f"{','.join(COLUMNS)}, as the review page exports it"
                )
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                item, pairs, word = _parse(row, where, n_train, n_test)
                meaning = word if item == DUPLICATE else word != DIFFERENT
                for pair in pairs if word != SKIP else ():
                    known, before = said.setdefault(
                        (item, *pair), (meaning, f"line {reader.line_num} says {word}")
                    )
                    if known != meaning:
                        raise AuditError(
                            f"{where}: {word} for {_name(item, pair)}, but {before}; delete one of "
                            "the two lines"
                        )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AuditError(f"{path}: the decisions cannot be read ({error})") from None
    return Decisions(
        *({(a, b): said[i, a, b][0] for i, a, b in said if i == item} for item in ITEMS)
    )


def _parse(
    row: dict, where: str, n_train: int | None, n_test: int | None
) -> tuple[str, list[tuple[int, int]], str]:
    """The item, the pairs of examples it is about, and the decision, of one row of the file."""
    item = _one_of(row["item"], "item", ITEMS, where)
    word = _one_of(row["decision"], "decision", WORDS, where)
    train = _indices(row["train"], "train", n_train, where)
    test = _indices(row["test"], "test", n_test, where)
    if item == DUPLICATE:
        if len(train) != 1 or len(test) != 1:
            raise AuditError(
                f"{where}: a duplicate is one train and one test example, not {row['train']!r} and "
                f"{row['test']!r}"
            )
        return item, [(train[0], test[0])], word
    if len(train) < 2:
        raise AuditError(f"{where}: a group is two training examples or more, not {row['train']!r}")
    return item, list(combinations(sorted(train), 2)), word


def _name(item: str, pair: tuple[int, int]) -> str:
    return f"train {pair[0]} and {'test' if item == DUPLICATE else 'train'} {pair[1]}"


def _one_of(text: str | None, name: str, known: tuple[str, ...], where: str) -> str:
    word = (text or "").strip()
    if word not in known:
        raise AuditError(f"{where}: {name} is {word[:40]!r}, must be one of {', '.join(known)}")
    return word


def _indices(text: str | None, side: str, count: int | None, where: str) -> list[int]:
    examples: dict[int, None] = {}
    for word in (text or "").split():
        if not (word.isascii() and word.isdecimal() and len(word) <= 12):
            raise AuditError(f"{where}: {word[:40]!r} is not a {side} index (0, 1, 2, ...)")
        if count is not None and int(word) >= count:
            raise AuditError(
                f"{where}: {_SIDES[side]} example {word} is out of range; indices go from 0 "
                f"to {count - 1}. Were these decisions made on another dataset?"
            )
        if int(word) in examples:
            raise AuditError(f"{where}: {_SIDES[side]} example {word} is listed twice")
        examples[int(word)] = None
    return list(examples)
