"""The two studies of docs/cifar100, and which of their models are at hand."""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import yaml

from memaudit.models.removals import CONTROL
from memaudit.models.shards import Origin, reading_shard
from memaudit.published.annotation import CIFAR100_DIGEST
from memaudit.study.study import Study

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs/cifar100"
STUDIES = {"gpu": FOLDER, "cpu": FOLDER / "cpu"}
N_TRAIN, N_TEST = 50_000, 10_000


def config(kind: str) -> Path:
    return ROOT / f"config/cifar100-{kind}.yaml"


def the_study(kind: str) -> Study:
    return Study(yaml.safe_load(config(kind).read_text(encoding="utf-8")))


def shard(folder: Path, arm: tuple[str, str], trial: int) -> Path:
    return folder / "models" / arm[0] / arm[1] / f"{trial:06d}-{trial:06d}.h5"


def processors(study: Study, folder: Path, trial: int) -> dict[Path, str]:
    """Return the processor that trained each model of a trial that there is."""
    found = {}
    for arm in study.arms:
        path = shard(folder, arm, trial)
        if path.exists():
            with reading_shard(path) as file:
                found[path] = str(file.attrs["device"])
    return found


def complete_trials(study: Study, folder: Path) -> int:
    """Return the number of trials, from 0, of which every arm has its model."""
    trial = 0
    while len(found := processors(study, folder, trial)) == len(study.arms):
        if len(kinds := set(found.values())) > 1:
            sys.exit(f"{folder}: the models of trial {trial} are from {' and '.join(kinds)}")
        trial += 1
    return trial


def origin(study: Study, arm: tuple[str, str], removed: dict[str, np.ndarray]) -> Origin:
    """Return how the models of an arm must have been trained.

    The examples of random controls follow from the training labels, which are not at hand.
    """
    recipe, removal = arm
    mask = None
    if not removal.startswith(CONTROL):
        kept = np.ones(N_TRAIN, dtype=bool)
        kept[removed.get(removal, [])] = False

        def mask(trial: int) -> np.ndarray:
            return kept

    return Origin(removal, study.recipes[recipe], study.config.seed, CIFAR100_DIGEST, mask)


def versions(paths: Iterable[Path]) -> list[str]:
    """Return the versions of Python and torch that trained the models."""
    found = set()
    for path in paths:
        with reading_shard(path) as file:
            found.add(f"Python {file.attrs['python']}, torch {file.attrs['torch']}")
    return sorted(found)
