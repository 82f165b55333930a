"""The installed package: its imports, its documentation, and what the core can do alone."""

import ast
import doctest
import inspect
import subprocess
import sys
from importlib import import_module

import pytest
from conftest import ROOT
from numpydoc.validate import validate

import memaudit

EXTRAS = ("torch", "torchvision", "ffcv", "snakemake", "pydantic", "jinja2", "matplotlib", "yaml")
# Sections and first lines; not the order of words such as "See Also", nor private members.
CHECKS = ("GL03", "GL08", "SS01", "SS02", "SS03", "SS05", "PR01", "PR02", "PR03", "RT01", "EX01")
BLOCKED = f"""
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_importing_memaudit_imports_its_core_only():
    loaded = python("import memaudit, sys; memaudit.Scores; print(*sys.modules)").split()
    assert not {*EXTRAS, "pandas", "scipy.stats"} & set(loaded)


def test_every_name_is_imported_without_the_extras():
    """The duplicate finder, which needs one, names it when it is called."""
    code = f"""{BLOCKED}
import inspect, pydoc
import memaudit, memaudit.duplicates
from memaudit import *
assert set(memaudit.__all__) < set(dir()), dir()
assert {{name for name, _ in inspect.getmembers(memaudit)}} > set(memaudit.__all__)
assert "Raise ImportError: torch is not" in pydoc.render_doc(memaudit)
for act in (find_duplicates, lambda: memaudit.duplicates.find_duplicates):
    try:
        act()
    except ImportError as error:
        assert isinstance(error, memaudit.errors.AuditError)
        print(error)
"""
    said = (
        "torch is not installed; install it with: pip install '.[train]' (in a clone of memaudit)\n"
    )
    assert python(code) == 2 * said


def test_the_notebook_computes_without_the_extras(tmp_path):
    """Scores, selection, buckets and CIs; only its figure needs matplotlib."""
    import json

    cells = json.loads((ROOT / "docs/notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lines = "\n".join(code).splitlines()
    computing = "\n".join(line for line in lines if "plt" not in line)
    printed = python(f"{BLOCKED}\n{computing}")
    stored = [out for cell in cells for out in cell.get("outputs", []) if "text" in out]
    assert printed == "".join("".join(out["text"]) for out in stored)


def test_type_checkers_see_the_names_that_are_exported():
    """The imports for type checkers are those that `__getattr__` makes."""
    tree = ast.parse((ROOT / "src/memaudit/__init__.pyi").read_text())
    imports = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("memaudit.")
        for alias in node.names
        if alias.asname
    }
    assert imports == {name: f"memaudit.{module}" for name, module in memaudit._MODULES.items()}
    assert len(imports) == 21 and "Scores" in imports
    for name, module in imports.items():
        assert getattr(memaudit, name) is getattr(import_module(module), name)
    assert (ROOT / "src/memaudit/py.typed").exists()


@pytest.mark.parametrize("name", memaudit.__all__)
def test_exported_names_are_documented(name):
    """numpydoc's checks of sections and first lines hold, also for the methods of `Scores`."""
    path = f"{getattr(memaudit, name).__module__}.{name}"
    paths = [path]
    if name == "Scores":
        paths += [f"{path}.{method}" for method in ("from_arrays", "from_file", "write", "select")]
    for one in paths:
        errors = [f"{code}: {text}" for code, text in validate(one)["errors"] if code in CHECKS]
        if one != path or (inspect.isclass(getattr(memaudit, name)) and name != "Scores"):
            errors = [error for error in errors if not error.startswith("EX01")]
        assert not errors, one


@pytest.mark.parametrize("module", sorted(set(memaudit._MODULES.values())))
def test_examples_in_docstrings_are_right(module):
    found = doctest.testmod(import_module(f"memaudit.{module}"))
    assert not found.failed


def test_exported_functions_take_at_most_five_positional_arguments():
    for name in memaudit.__all__:
        function = getattr(memaudit, name)
        if inspect.isfunction(function):
            kinds = [p.kind for p in inspect.signature(function).parameters.values()]
            assert kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD) <= 5, name


@pytest.mark.parametrize("command", ["run", "scores"])
def test_commands_need_no_docstrings(command):
    """As under python -OO, which removes them."""
    run = [sys.executable, "-OO", "-m", "memaudit", command, "--help"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
