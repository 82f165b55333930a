"""Read and write the CSV files of a study, as typed rows or by columns."""

import ast
import csv
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, field, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import numpy as np

from memaudit import store
from memaudit.errors import AuditError

if TYPE_CHECKING:
    import pandas
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


def write(
    path: str | Path,
    columns: Sequence[str],
    rows: Iterable[Iterable[Any]],
    digits: str | Mapping[str, str] = ".4g",
) -> None:
    """Write rows as CSV with the named columns, atomically.

    `digits` formats the floats: one format, or one per column. None and NaN become empty cells,
    truth values "yes" or "no", and tuples of indices are joined by blanks. pandas is not used here:
    it has one float format per file and would be imported by every job.
    """
    formats = digits if isinstance(digits, Mapping) else dict.fromkeys(columns, digits)
    with (
        store.atomic_write(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as out,
    ):
        # before Python 3.13 a cell is quoted only for the characters of the line's own end
        lines = SimpleNamespace(write=lambda line: out.write(line.removesuffix("\r\n") + "\n"))
        writer = csv.writer(lines, lineterminator="\r\n")
        writer.writerow(columns)
        for row in rows:
            named = zip(columns, row, strict=True)
            writer.writerow([_cell(value, formats.get(name, ".4g")) for name, value in named])


def _cell(value: Any, digits: str) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return "" if value != value else f"{value:{digits}}"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def read_texts(path: str | Path) -> list[dict[str, str]]:
    """Read a CSV file as text, one dictionary per row."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def read(
    path: str | Path, columns: Mapping[str, Callable[[str], Any]], remedy: str = ""
) -> list[list[Any]]:
    """Read `columns` of a CSV file; each maps to the function that parses its cells.

    Raises AuditError naming file, line, column and text for a cell that is missing or malformed,
    and the remedy, by default to rebuild the file.
    """
    remedy = remedy or store.rebuild_hint(path)
    rows = []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # Excel writes the mark
            reader = csv.DictReader(file)
            if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
                raise _broken(path, remedy, f": there is no column {missing[0]!r}")
            for row in reader:
                values = []
                for name, parse in columns.items():
                    if row[name] is None:  # the line is too short
                        where = f", line {reader.line_num}: "
                        raise _broken(path, remedy, f"{where}there is no cell in column {name!r}")
                    try:
                        values.append(parse(row[name]))
                    except ValueError:
                        where = f", line {reader.line_num}: "
                        raise _broken(path, remedy, f"{where}{name} is {row[name]!r}") from None
                rows.append(values)
    except FileNotFoundError:
        raise _broken(path, remedy, ": file not found") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        if unreadable := store.system_error(path, error):
            raise unreadable from None
        raise _broken(path, remedy, f": cannot be read ({error})") from None
    return rows


def _broken(path: str | Path, remedy: str, what: str) -> AuditError:
    return AuditError(f"{path}{what}. {remedy}")


def indices(text: str) -> tuple[int, ...]:
    """Parse indices separated by blanks."""
    return tuple(map(int, text.split()))


def number(text: str) -> float:
    """Parse a number; an empty cell is NaN."""
    return float(text) if text else np.nan


# How a field of a typed row is parsed, by its annotation.
_PARSERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: number,
    float | None: lambda text: float(text) if text else None,
    bool: lambda text: ("no", "yes").index(text) == 1,
    int | None: lambda text: int(text) if text else None,
    tuple[int, ...]: indices,
}


def column(
    *,
    digits: str = ".4f",
    name: str = "",
    default: Any = MISSING,
    optional: bool = False,
) -> Any:
    """Declare a field of a typed row that is not written as it is named, or not as others are.

    `digits` is the format of a float; `name` the column's name where it is not the field's;
    `optional` says that files written before the column existed are read, with the default. The
    docstring below a field states the meaning and unit of its column.
    """
    metadata = {"digits": digits, "name": name, "optional": optional}
    return field(metadata=metadata, default=default)


def column_names(kind: type) -> list[str]:
    """Return the columns of the typed row `kind`, in order."""
    return [one.metadata.get("name") or one.name for one in fields(kind)]


def _field_docstrings(kind: type) -> dict[str, str]:
    """Return the docstring below each field of a class that has one, on one line."""
    found = {}
    (defined,) = ast.parse(dedent(inspect.getsource(kind))).body
    for pair in pairwise(ast.iter_child_nodes(defined)):
        match pair:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(text))):
                found[name] = " ".join(text.split())
    return found


def meanings(kind: type) -> list[tuple[str, str]]:
    """Return the columns of `kind`, each with its meaning and unit."""
    known: dict[str, str] = {}
    for base in filter(is_dataclass, reversed(kind.__mro__)):
        known |= _field_docstrings(base)
    return [
        (name, known[one.name]) for name, one in zip(column_names(kind), fields(kind), strict=True)
    ]


def describe(kind: type) -> str:
    """Return the documentation of the columns of `kind`, one Markdown list item per column."""
    return "\n".join(f"- `{name}`: {meaning}" for name, meaning in meanings(kind))


_OF_TYPE: dict[Any, Any] = {int: 0, float: 0.0, float | None: 0.0, str: "", bool: False}


class Rows(list[Row]):
    """List of typed rows of one kind that converts to a DataFrame."""

    def __init__(self, kind: type[Row], rows: Iterable[Row] = ()):
        super().__init__(rows)
        self.kind = kind

    def to_frame(self) -> "pandas.DataFrame":
        """Return the rows as a DataFrame with the columns of their CSV file."""
        import pandas

        types = get_type_hints(self.kind)
        # a row that is dropped gives the columns of an empty table their types
        columns = [
            [getattr(row, f.name) for row in self] or [_OF_TYPE.get(types[f.name])]
            for f in fields(self.kind)
        ]
        frame = pandas.DataFrame(dict(zip(column_names(self.kind), columns, strict=True)))
        return frame if self else frame.iloc[:0].copy()


def documented(kind: type[Row]) -> type[Row]:
    """Add the columns of a typed row to its docstring, as a numpydoc section; a decorator.

    Where the source code is not at hand, as in a package of bytecode, the docstring stays.
    """
    try:
        columns = meanings(kind)
    except OSError:
        return kind
    types = get_type_hints(kind)
    lines = [
        f"{one.name} : {_type_name(types[one.name])}\n    {text[0].upper()}{text[1:]}."
        for one, (_, text) in zip(fields(kind), columns, strict=True)
    ]
    kind.__doc__ = "\n".join(
        [inspect.cleandoc(kind.__doc__ or ""), "", "Parameters", "-" * 10, *lines]
    )
    return kind


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def write_rows(path: str | Path, kind: type[Row], rows: Iterable[Row]) -> None:
    """Write typed rows as CSV, with one column per field of the dataclass `kind`."""
    names = column_names(kind)
    digits = {
        name: one.metadata.get("digits", ".4f")
        for name, one in zip(names, fields(kind), strict=True)
    }
    write(path, names, ([getattr(row, f.name) for f in fields(kind)] for row in rows), digits)


def header(path: str | Path) -> list[str]:
    """Return the columns of a CSV file; none if it cannot be read."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def read_rows(path: str | Path, kind: type[Row]) -> Rows[Row]:
    """Read the rows that `write_rows` wrote. Raises AuditError as `read` does.

    A file of an earlier version may lack optional columns, which then have their defaults.
    """
    types, columns = get_type_hints(kind), header(path)
    known = {
        name: one
        for name, one in zip(column_names(kind), fields(kind), strict=True)
        if name in columns or not one.metadata.get("optional")
    }
    parsers = {name: _PARSERS[types[one.name]] for name, one in known.items()}
    names = [one.name for one in known.values()]
    rows = (kind(**dict(zip(names, row, strict=True))) for row in read(path, parsers))
    return Rows(kind, rows)
