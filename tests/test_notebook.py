"""The notebook runs and prints its stored outputs."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import matplotlib
import pytest

import memaudit

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def test_the_notebook_prints_its_stored_outputs(monkeypatch):
    matplotlib.use("Agg")
    names: dict = {}
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    shown = 0
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec("".join(cell["source"]), names)
        stored = [out["text"] for out in cell["outputs"] if out["output_type"] == "stream"]
        assert printed.getvalue() == "".join("".join(text) for text in stored)
        shown += len(stored)
    assert shown >= 4


def test_exported_names_exist():
    for name in memaudit.__all__:
        assert callable(getattr(memaudit, name))
        assert name in dir(memaudit)
    with pytest.raises(AttributeError, match="no attribute 'memorisation'"):
        memaudit.memorisation  # noqa: B018
