"""The wheel carries the workflow: a study runs from it in an empty folder, without a clone."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

BUILT_FROM = ("LICENSE", "README.md", "Snakefile", "pyproject.toml", "setup.py")
FOLDERS = ("config", "data", "envs", "profiles", "src", "workflow")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The unpacked wheel, as `pip install --no-deps --target` leaves it."""
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheel", "site"))
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, source)
    for name in FOLDERS:
        ignore = shutil.ignore_patterns("*.h5", "*.beton", "*.tar*", "__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(wheels)!r})"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.glob("*.whl")
    shutil.unpack_archive(wheel, target, "zip")
    return target


@pytest.fixture
def memaudit(installed, tmp_path):
    """Call the installed command in an empty folder."""

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "memaudit", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


def test_nothing_is_left_out(installed):
    """All files of the workflow are in the wheel, and it contains itself only once."""
    (metadata,) = installed.glob("memorization_audit-*.dist-info/METADATA")
    assert "Requires-Dist: memorization-audit[train]" in metadata.read_text(encoding="utf-8")
    home = installed / "memaudit" / "_home"
    for folder in ("workflow/rules", "workflow/scripts", "workflow/report", "config"):
        names = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
        assert {path.name for path in (home / folder).iterdir()} == names
    assert (home / "data" / "sources.yaml").exists()
    assert (home / "data" / "digits" / "digits.npz").exists()
    assert (home / "profiles" / "slurm" / "config.yaml").exists()
    assert len(list(installed.rglob("errors.py"))) == 1


def test_the_papers_study_is_planned_in_an_empty_folder(memaudit, installed):
    done = memaudit("run", "--dry-run", "--quiet", "reason")
    assert done.returncode == 0, done.stderr
    assert str(installed) in done.stderr  # the profile that applies
    assert "train" in done.stdout and "table2" in done.stdout
    assert done.stderr.endswith("cost and replace: memaudit plan\n")
    done = memaudit("run", "-n", "all", "--configfile", "config/demo.yaml", "--config", "trials=3")
    command = done.stderr.rpartition("cost and replace: memaudit ")[2].split()
    assert command == ["plan", "--configfile", command[2], "--config", "trials=3"]
    assert memaudit(*command).returncode == 0


def test_from_a_folder_of_images_to_trained_models_in_two_commands(memaudit, tmp_path, rng):
    for side, count in (("train", 20), ("test", 8)):
        for label, name in enumerate(("stripes", "checks", "spots")):
            (tmp_path / "photos" / side / name).mkdir(parents=True)
            for number in range(count):
                image = rng.integers(0, 80, (40, 40, 3), np.uint8)
                image[:: label + 2, :: label or 1] += 150
                Image.fromarray(image).save(tmp_path / f"photos/{side}/{name}/{number}.png")
    done = memaudit("init", "photos", "--hours", "0.005")
    assert done.returncode == 0, done.stderr
    command = done.stdout.strip().splitlines()[-1].split()
    assert command == ["memaudit", "run", "--configfile", "study.yaml"]
    shard = "results/photos/models/original/none/000000-000007.h5"  # the models of one arm
    done = memaudit("run", shard, *command[2:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / shard).exists()
