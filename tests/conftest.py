"""Shared fixtures: a study that is small enough to run in seconds, images, review pages."""

import copy
import dataclasses
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import browser
import numpy as np
import pytest
import review_pages
import yaml
from PIL import Image

from memaudit.data.dataset import Dataset
from memaudit.data.longtail import LongTail, generate

ROOT = Path(__file__).resolve().parents[1]

# Few classes and epochs, and thresholds that such models reach.
SMALL = {
    "results": "results/small",
    "dataset": {
        "kind": "longtail",
        "name": "small",
        "longtail": {
            "image_size": 8,
            "classes": 3,
            "head": 1,
            "head_size": 12,
            "head_test": 1,
            "small": 3,
            "small_test": 2,
            "singletons": 3,
            "exact": 2,
            "edited": 2,
            "mislabelled": 1,
            "variation": 0.4,
            "small_variation": 1.0,
            "noise": 8,
        },
    },
    "memorization": {"source": "estimate", "models": 60},
    "selection": {"memorization": 0.25, "influence": 0.15, "z": 2.5},
    "duplicates": {"near": 0.8},
    "recipes": {
        name: {
            "network": "tiny",
            "epochs": 20,
            "batch_size": 16,
            "learning_rate": 0.2,
            "weight_decay": decay,
            "crop_padding": 1,
            "mirror": False,
        }
        for name, decay in (("original", 0), ("weight_decay", 0.005))
    },
    "trials": 3,
    "training": {"models_per_job": 30, "device": "cpu", "test_every": 0},
}


def merged(base, extra):
    """Return `base`, changed to have the values of `extra` at all depths."""
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merged(base[key], value)
        else:
            base[key] = copy.deepcopy(value)
    return base


def supplied(file: str) -> Path:
    """A published file that is not part of the repository; without it the test is skipped."""
    folders = os.environ.get("MEMAUDIT_MIRROR", "").split(os.pathsep)
    for folder in [*filter(None, folders), ROOT.parent / "shared" / "data"]:
        if (Path(folder) / file).is_file():
            return Path(folder) / file
    return pytest.skip(f"{file} not found; name its folder in MEMAUDIT_MIRROR")


class Study:
    """A working directory with the shipped configuration, overridden by a small one."""

    def __init__(self, folder: Path):
        self.folder = folder
        if not (folder / "config").exists():
            shutil.copytree(ROOT / "config", folder / "config")
        self.config = yaml.safe_load(yaml.safe_dump(SMALL))

    @property
    def results(self) -> Path:
        return self.folder / self.config["results"]

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run snakemake with the current small configuration."""
        (self.folder / "small.yaml").write_text(yaml.safe_dump(self.config))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", str(self.folder), *arguments, "--configfile", "small.yaml"]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def planned(self, *targets: str) -> dict[str, int]:
        """Return the number of jobs per rule in a dry run, without `default`."""
        text = self.snakemake(*targets, "-n", "--quiet", "reason").stdout
        if "Nothing to be done" in text:
            return {}
        lines = text.split("Job stats:")[1].split("total")[0].splitlines()[3:]
        counts = {line.split()[0]: int(line.split()[1]) for line in lines if line.split()}
        counts.pop("default", None)
        return counts


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Study:
    """Return a finished small study, run once for all test processes.

    It is shared and must not be modified; tests that write use `study`.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with open(base / "finished.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        study, done = Study(base / "finished"), base / "finished.done"
        if not done.exists():
            study.snakemake()
            done.touch()
    return study


@pytest.fixture
def study(finished, tmp_path) -> Study:
    """Return a copy of the finished study that may be modified."""
    return Study(shutil.copytree(finished.folder, tmp_path / "study"))


@pytest.fixture(scope="session")
def small_dataset() -> Dataset:
    """Return the small study's dataset."""
    return generate(LongTail(**SMALL["dataset"]["longtail"]), seed=0)


@pytest.fixture(scope="session")
def noise_dataset(small_dataset) -> Dataset:
    """Return a dataset of noise, so that no image looks like another; classes by turns."""
    rng = np.random.default_rng(1)
    train, test = (rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8) for n in (50, 31))
    return dataclasses.replace(
        small_dataset,
        class_names=["cat", "dog", "</script>"],
        train_images=train,
        train_labels=np.arange(50) % 3,
        test_images=test,
        test_labels=np.arange(31) % 3,
    )


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Start one Chromium for all tests of a process."""
    yield from browser.chromium(tmp_path_factory.mktemp("downloads"))


@pytest.fixture
def open_page(chromium, noise_dataset, tmp_path):
    """Return a function that writes a review page, of `review_pages.write`, and opens it.

    Each test has a study of its own name: pages on disk share one storage.
    """
    browser.resize(chromium.driver, 1280, 800)

    def open_(folder="page", dataset=noise_dataset, **options):
        options = {"study": tmp_path.name} | options
        path = review_pages.write(tmp_path / folder / "index.html", dataset, **options)
        return browser.Page(chromium, path)

    yield open_
    logged = [entry["message"] for entry in chromium.driver.get_log("browser")]
    assert not [text for text in logged if "beforeunload" not in text]


@pytest.fixture
def page(open_page) -> browser.Page:
    """Return a review page, open in the browser."""
    return open_page()


@pytest.fixture
def save_image(tmp_path):
    """Return a function that saves an image, or its pixels, and returns its file."""

    def save(image, name="a.png", **options):
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
