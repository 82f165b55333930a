"""Files of a small study without a run: shards of models that guess, and the dataset."""

import numpy as np
import pytest
import yaml
from conftest import ROOT, SMALL, merged

from memaudit import bits
from memaudit.data.longtail import LongTail, generate
from memaudit.models.identity import model_identity
from memaudit.models.recipe import Recipe
from memaudit.models.removals import subset_mask
from memaudit.models.shards import Origin, read_shards, write_shard
from memaudit.study.jobs import job

CONFIG = merged(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()), SMALL)
IMAGES = generate(LongTail(**CONFIG["dataset"]["longtail"]), seed=0)
OTHER = generate(LongTail(**CONFIG["dataset"]["longtail"]), seed=1)
RECIPE = Recipe.of(CONFIG["recipes"]["original"])
SHARD = "shards/000000-000001.h5"


def mask(trial: int) -> np.ndarray:
    return subset_mask(IMAGES.n_train, trial, 0.7, 0)


def shard(
    path=SHARD, trials=(0, 1), recipe=RECIPE, seed=0, images=None, removal="subset", mask=mask
):
    """Write a shard of models that guess."""
    images, rng = images or IMAGES, np.random.default_rng(0)
    fraction = 0.7 if removal == "subset" else None
    attributes = {
        "identity": model_identity(
            recipe, seed=seed, dataset=images.digest(), subset_fraction=fraction
        ),
        "recipe_name": "original",
        "removal": removal,
        "n_train": images.n_train,
        "n_test": images.n_test,
        "device": "CPU (any), one thread",
    }
    curves = dict.fromkeys(
        ("rate", "loss", "train_accuracy", "test_accuracy"), np.ones(recipe.epochs, np.float32)
    )
    rows = [
        {
            "trial": np.int64(trial),
            "train_mask": bits.pack(mask(trial)),
            "train_correct": bits.pack(rng.random(images.n_train) < 0.5),
            "test_correct": bits.pack(rng.random(images.n_test) < 0.5),
            "seconds": np.float64(1),
            **curves,
        }
        for trial in trials
    ]
    write_shard(path, attributes, rows)


def merge():
    origin = Origin("subset", RECIPE.settings(), 0, IMAGES.digest(), mask)
    read_shards([SHARD], range(2), ["test_correct"], origin)


def write(path, content):
    with open(path, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def told(act, capsys) -> str:
    """Return the message of a job that runs `act`, in its log and on standard error."""
    with pytest.raises(SystemExit) as stopped, job("log/it.log"):
        act()
    assert stopped.value.code == 1
    shown = capsys.readouterr()
    with open("log/it.log") as file:
        log = file.read()
    assert "Traceback" not in shown.out + shown.err + log
    assert "allow_pickle" not in shown.err
    text = shown.err.removeprefix("error: ")
    assert text.strip() in log
    return text.strip()
