"""Typed rows survive the round trip and document their columns."""

from dataclasses import dataclass

import numpy as np
import pandas
import pytest

from memaudit import tables
from memaudit.errors import AuditError
from memaudit.scores.selection import Pair


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    """its name"""
    count: int = tables.column(name="n")
    """how
    many"""
    p: float = tables.column(digits=".3g")
    """p value"""
    share: float
    """share of all; percent"""
    is_known: bool
    """whether it is known"""
    best: int | None
    """index of the best"""
    examples: tuple[int, ...]
    """the examples; indices"""


ROWS = [
    Row(name="a, b", count=2, p=0.00012, share=0.5, is_known=True, best=None, examples=(1, 2)),
    Row(name="", count=0, p=1.0, share=float("nan"), is_known=False, best=7, examples=()),
]


def test_rows_survive_the_round_trip(tmp_path):
    tables.write_rows(tmp_path / "rows.csv", Row, ROWS)
    found = tables.read_rows(tmp_path / "rows.csv", Row)
    assert found[0] == ROWS[0]
    assert np.isnan(found[1].share) and found[1].best == 7 and found[1].examples == ()
    first = (tmp_path / "rows.csv").read_text().splitlines()[0]
    assert first == "name,n,p,share,is_known,best,examples"


def test_names_of_any_characters_are_read_back(tmp_path):
    names = ["cr\r.png", "\r\n", "a\nb", 'say "no", twice', "", " lead", "é 日本", "tab\t", "'"]
    path = tmp_path / "names.csv"
    tables.write(path, ["name", "n"], zip(names, range(len(names)), strict=True))
    assert [row["name"] for row in tables.read_texts(path)] == names
    found = pandas.read_csv(path, keep_default_na=False)
    assert found["name"].tolist() == names and found["n"].tolist() == list(range(len(names)))
    assert path.read_bytes().endswith(b"',8\n") and path.read_bytes().startswith(b"name,n\n")


def test_a_row_documents_its_columns():
    assert tables.describe(Row).splitlines()[1:4] == [
        "- `n`: how many",
        "- `p`: p value",
        "- `share`: share of all; percent",
    ]


def test_a_damaged_cell_is_named(tmp_path):
    (tmp_path / "rows.csv").write_text("name,n,p,share,is_known,best,examples\na,1,1,1,perhaps,,\n")
    with pytest.raises(AuditError, match=r"rows.csv, line 2: is_known is 'perhaps'"):
        tables.read_rows(tmp_path / "rows.csv", Row)


def test_a_file_saved_by_excel_is_read(tmp_path):
    (tmp_path / "rows.csv").write_text("example,score\r\n7,0.5\r\n", encoding="utf-8-sig")
    assert tables.read(tmp_path / "rows.csv", {"example": int, "score": float}) == [[7, 0.5]]


def test_a_file_written_before_a_column_existed_is_read(tmp_path):
    @dataclass(frozen=True)
    class Later:
        name: str
        chance: float | None = tables.column(default=None, optional=True)

    path = tmp_path / "rows.csv"
    path.write_text("name\na\n")
    assert tables.read_rows(path, Later) == [Later("a")]
    path.write_text("name,chance\na,0.25\n")
    assert tables.read_rows(path, Later) == [Later("a", 0.25)]
    path.write_text("chance\n0.25\n")
    with pytest.raises(AuditError, match="no column 'name'"):
        tables.read_rows(path, Later)


def test_an_empty_table_has_the_types_of_its_columns():
    row = Pair(0, 1, 0, 0.9, 0.1, 0.2, 0.1, 2.0)
    full, empty = tables.Rows(Pair, [row]).to_frame(), tables.Rows(Pair).to_frame()
    assert not len(empty) and empty["train"].dtype == "int64"
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()
