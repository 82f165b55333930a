"""The CSV files of a study: one way to write them, one to read them."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import numpy as np

from memaudit import store
from memaudit.errors import AuditError
from memaudit.store import rebuild_hint

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


def write(
    path: str | Path,
    columns: Sequence[str],
    rows: Iterable[Iterable[Any]],
    digits: str | Mapping[str, str] = ".4g",
) -> None:
    """Write rows as CSV, whole or not at all; `columns` names them.

    Floats are written by `digits`, one format or one by column. What cannot be said (None, NaN) is
    an empty cell, a truth is "yes" or "no", several indices are separated by blanks.
    """
    formats = digits if isinstance(digits, Mapping) else dict.fromkeys(columns, digits)
    with (
        store.atomic_write(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as out,
    ):
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            named = zip(columns, row, strict=True)
            writer.writerow([_cell(value, formats.get(column, ".4g")) for column, value in named])


def _cell(value: Any, digits: str) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return "" if value != value else f"{value:{digits}}"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def read_texts(path: str | Path) -> list[dict[str, str]]:
    """Read a table as text, a dict a row."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read(path: str | Path, columns: Mapping[str, Callable[[str], Any]]) -> list[list[Any]]:
    """The rows of a CSV file, each the values of `columns`: name -> what makes the value of a text.

    Raises AuditError, naming file, line, column and text, for what is missing or cannot be read.
    """
    rows = []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
                raise AuditError(f"{path}: there is no column {missing[0]!r}. {rebuild_hint(path)}")
            for row in reader:
                for name, make in columns.items():
                    text = row[name] or ""
                    try:
                        row[name] = make(text)
                    except ValueError:
                        line = reader.line_num
                        raise AuditError(
                            f"{path}, line {line}: {name} is {text!r}. {rebuild_hint(path)}"
                        ) from None
                rows.append([row[name] for name in columns])
    except FileNotFoundError:
        raise AuditError(f"{path}: there is no such file. {rebuild_hint(path)}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AuditError(f"{path}: cannot be read ({error}). {rebuild_hint(path)}") from None
    return rows


def indices(text: str) -> tuple[int, ...]:
    """Several indices in one column of a CSV file, separated by blanks."""
    return tuple(map(int, text.split()))


def number(text: str) -> float:
    """A number in a column of a CSV file; NaN where the cell is empty."""
    return float(text) if text else float("nan")


def integer_or_none(text: str) -> int | None:
    """An integer, or nothing, in a column of a CSV file."""
    return int(text) if text else None


def yes_or_no(text: str) -> bool:
    """A truth value in a column of a CSV file."""
    if text not in ("yes", "no"):
        raise ValueError(text)
    return text == "yes"


# How a field of a typed row is read, by its annotation.
_PARSERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: number,
    bool: yes_or_no,
    int | None: integer_or_none,
    tuple[int, ...]: indices,
}


def column(
    meaning: str, unit: str = "", *, digits: str = ".4f", name: str = "", default: Any = MISSING
) -> Any:
    """Declare a field of a typed row: a column of its CSV file, with its meaning and unit.

    `digits` is the format of a float; `name` the column's name where it is not the field's.
    """
    metadata = {"meaning": meaning, "unit": unit, "digits": digits, "name": name}
    return field(metadata=metadata, default=default)


def column_names(kind: type) -> list[str]:
    """Return the columns of the typed row `kind`, in order."""
    return [one.metadata["name"] or one.name for one in fields(kind)]


def describe(kind: type) -> str:
    """Return the documentation of the columns of `kind`, one Markdown list item per column."""
    lines = []
    for name, one in zip(column_names(kind), fields(kind), strict=True):
        unit = f"; {one.metadata['unit']}" if one.metadata["unit"] else ""
        lines.append(f"- `{name}`: {one.metadata['meaning']}{unit}")
    return "\n".join(lines)


def write_rows(path: str | Path, kind: type[Row], rows: Iterable[Row]) -> None:
    """Write typed rows as CSV, with one column per field of the dataclass `kind`."""
    names = column_names(kind)
    digits = {name: one.metadata["digits"] for name, one in zip(names, fields(kind), strict=True)}
    write(path, names, ([getattr(row, f.name) for f in fields(kind)] for row in rows), digits)


def read_rows(path: str | Path, kind: type[Row]) -> list[Row]:
    """Read what `write_rows` wrote. Raises AuditError as `read` does."""
    types = get_type_hints(kind)
    parsers = {
        name: _PARSERS[types[one.name]]
        for name, one in zip(column_names(kind), fields(kind), strict=True)
    }
    names = [one.name for one in fields(kind)]
    return [kind(**dict(zip(names, row, strict=True))) for row in read(path, parsers)]
