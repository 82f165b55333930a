"""The commands of the tutorial and the how-to pages run; long ones as dry runs."""

import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from test_docs import commands

GUIDES = ("README.md", "docs/tutorial.md", "docs/how-to.md", "docs/images.md", "docs/training.md")
# commands, by their first words, that need what is not here, or that other tests run
ELSEWHERE = {
    "make": "creates the environment with packages of 6 GB; the study is in tests/test_demo.py",
    "memaudit init pathmnist.npz": "tests/test_arrays.py, with arrays of that form",
    "export": "another instruction set; tests/test_training.py compares the bits",
}
REPORT = "tests/test_workflow_results.py: needs a finished study"
SHORT = {"init", "plan", "duplicates", "--unlock"}  # these are run as they are


def elsewhere(words):
    """Return why a command is not run here, or None."""
    reasons = [why for start, why in ELSEWHERE.items() if " ".join(words).startswith(start)]
    return REPORT if "--report" in words else next(iter(reasons), None)


def blocks(page, language):
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", (ROOT / page).read_text(), re.M | re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clone, by links, with the photos of a reader and the network of docs/training.md."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("Snakefile", "config", "envs", "profiles", "slurm", "workflow"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "data").mkdir()
    for name in ("digits", "annotations", "sources.yaml"):
        (folder / "data" / name).symlink_to(ROOT / "data" / name)
    rng = np.random.default_rng(0)
    for side, images in (("train", 24), ("test", 6)):
        for name in ("ant", "bee"):
            (folder / "photos" / side / name).mkdir(parents=True)
            for number in range(images):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "photos" / side / name / f"{number}.png")
    (folder / "my_networks.py").write_text(blocks("docs/training.md", "python")[0])
    own = next(block for block in blocks("docs/training.md", "yaml") if "# own.yaml" in block)
    (folder / "own.yaml").write_text(own)
    return folder


def test_the_commands_of_the_guides_run(folder):
    """In the order of the pages; README and how-to write the same study.yaml."""
    done = set()
    for page, words in ((p, words) for guide in GUIDES for p, words in commands() if p == guide):
        command = tuple(words)
        if command in done or elsewhere(words):
            continue
        done.add(command)
        run = [sys.executable, "-m", *words]
        if not SHORT & set(words):
            run.append("--dry-run")
        if "init" in words:
            (folder / "study.yaml").unlink(missing_ok=True)
        ended = subprocess.run(
            run, cwd=folder, env=os.environ, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, f"{page}: {' '.join(words)}\n{ended.stdout}{ended.stderr}"
        if "own.yaml" in words:
            assert "my_networks:two_layers: " in ended.stderr  # it was timed
    assert len(done) >= 10 and (folder / "pairs.csv").exists()


@pytest.mark.parametrize("page", ["README.md", "docs/how-to.md"])
def test_scores_in_three_lines(page):
    rng = np.random.default_rng(0)
    names = {
        "mask": rng.random((40, 30)) < 0.7,
        "train_correct": rng.random((40, 30)) < 0.8,
        "test_correct": rng.random((40, 10)) < 0.8,
        "train_labels": np.arange(30) % 2,
        "test_labels": np.arange(10) % 2,
    }
    (code,) = [block for block in blocks(page, "python") if "Scores" in block]
    exec(textwrap.dedent(code), names)
    assert len(names["scores"].memorization.to_frame()) == 30


def test_the_networks_of_the_guide_are_networks():
    for code in blocks("docs/training.md", "python"):
        names = {}
        exec(code, names)
        (function,) = [names[name] for name in ("two_layers", "mobile") if name in names]
        assert function(7).eval()(torch.rand(2, 3, 32, 32)).shape == (2, 7)
