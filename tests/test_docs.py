"""The documentation: the site builds without a warning, and its commands exist."""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest
from conftest import ROOT

from memaudit.cli import COMMANDS

PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + [
        path
        for name in ("docs", "config", "profiles", "data/digits")
        for path in ROOT.glob(f"{name}/**/*.md")
    ]
)
# files of a reader
OWN = {"study.yaml", "mine.yaml", "own.yaml"}


def commands():
    """Return (page, words) of every command in a fenced block of shell code."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^ *```(?:sh|bash)\n(.*?)^ *```", page.read_text(), re.M | re.S):
            # synopses have optional parts in brackets
            text = re.sub(r"[\[\]]", " ", block.replace("\\\n", " "))
            for line in text.splitlines():
                if words := shlex.split(line, comments=True):
                    found.append((page.relative_to(ROOT).as_posix(), words))
    return found


def help_of(*command):
    done = subprocess.run(
        [sys.executable, "-m", *command, "--help"], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def rules():
    files = [*ROOT.glob("workflow/rules/*.smk"), ROOT / "workflow/Snakefile"]
    return {
        name
        for file in files
        for name in re.findall(r"^(?:rule|checkpoint) (\w+):", file.read_text(), re.M)
    }


@pytest.fixture(scope="module")
def known_options():
    helps = {name: help_of("memaudit", name) for name in COMMANDS if name not in ("run", "plan")}
    helps["snakemake"] = helps["run"] = helps["plan"] = help_of("snakemake")
    return {name: set(re.findall(r"--?[A-Za-z][\w-]*", text)) for name, text in helps.items()}


def test_commands_are_found():
    assert len(commands()) > 40


def test_the_commands_exist(rules, known_options):
    targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.M))
    wrong = []
    for page, words in commands():
        name, *rest = [word for word in words if word not in ("nice", "sudo")]
        name = name.removeprefix(".venv/bin/")
        if name == "make":
            unknown = [word for word in rest if "=" not in word and word not in targets]
        elif name in ("memaudit", "snakemake"):
            command = rest.pop(0) if name == "memaudit" else name
            options = [word.partition("=")[0] for word in rest if re.match("-+[a-z]", word)]
            unknown = [word for word in options if word not in known_options.get(command, ())]
            unknown += [] if command in known_options else [command]
            if command in ("snakemake", "run", "plan"):
                unknown += [word for word in rest if not exists(word, rules)]
        else:
            continue
        wrong += [f"{page}: {' '.join(words)}: {' '.join(unknown)}"] if unknown else []
    assert not wrong, "\n".join(wrong)


def exists(word, rules):
    """Whether a word of a snakemake command is a rule, a result, a setting or a file."""
    return (
        word.startswith(("-", "results/"))
        or "=" in word
        or word in rules | OWN | {"slurm", "targets", "options", "snakemake", "N"}
        or word.endswith(".html")
        or (ROOT / word).exists()
    )


@pytest.mark.skipif(not find_spec("mkdocs"), reason="needs MkDocs: make .venv/docs")
def test_the_site_builds_without_a_warning(tmp_path):
    """Offline: links between pages, to headings and to images lead somewhere."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "api.html").read_text()
    for name in import_module("memaudit").__all__:
        assert f".{name}" in api


def test_targets_of_snakemake_are_not_taken_for_configuration_files():
    """--configfile takes all words up to the next option or "--"."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/**/*.md")]
    wrong = [
        f"{page}: {match}"
        for page in pages
        for match in re.findall(r"--configfile \S+ (?:results|data)/\S+", page.read_text())
    ]
    assert not wrong
