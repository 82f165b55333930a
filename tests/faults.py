"""`FAULTS`: invalid configurations and damaged files.

The configurations must be refused; the files are read by the code that a job of the workflow runs.
"""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import yaml
from conftest import ROOT, SMALL
from PIL import Image
from test_config import merged

from memaudit import bits
from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import load
from memaudit.data.fetch import fetch
from memaudit.data.image_folder import read_image_folder
from memaudit.data.longtail import LongTail, generate
from memaudit.duplicates import read_duplicates
from memaudit.models.identity import model_identity
from memaudit.models.recipe import Recipe
from memaudit.models.removals import read_examples, subset_mask
from memaudit.models.shards import Origin, read_shards, write_shard
from memaudit.published.cifair import read_cifair
from memaudit.published.feldman_zhang import read_fz_pairs
from memaudit.scores.selection import Pair
from memaudit.study.checks import check_files, read_config
from memaudit.study.owner import claim
from memaudit.tables import read_rows

PAPER = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
CONFIG = merged(copy.deepcopy(PAPER), SMALL)
IMAGES = generate(LongTail(**CONFIG["dataset"]["longtail"]), seed=0)
RECIPE = Recipe.of(CONFIG["recipes"]["original"])
SHARD = "shards/000000-000001.h5"
AGAIN = f"rm -f {SHARD} && snakemake {SHARD}"


# --- valid files, to be damaged ------------------------------------------------------------------


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


def pairs():
    read_fz_pairs("pairs.npz", IMAGES.train_labels, IMAGES.test_labels)


def fetched():
    fetch("it", "sources.yaml", "data", report=lambda line: None)


def folder():
    read_image_folder("images")


# --- ways to break it -----------------------------------------------------------------------------


def refused(change):
    """A fault of the configuration: `change` overrides keys of the small study."""

    def act():
        config = copy.deepcopy(CONFIG)
        change(config) if callable(change) else merged(config, change)
        read_config(config)

    return act


def config_file(content):
    def act():
        write("mine.yaml", content)
        check_files(["mine.yaml"])

    return act


def write(path, content):
    with open(path, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def edited(path, edit, act):
    """Run `act` after an edit of the bytes of a file."""

    def run():
        with open(path, "rb") as file:
            content = bytearray(file.read())
        write(path, edit(content))
        act()

    return run


def after(break_it, act):
    def run():
        break_it()
        act()

    return run


def flip(place):
    """Flip one bit at `place`, a number or the bytes found there."""

    def edit(content):
        at = place if isinstance(place, int) else content.index(place)
        content[at] ^= 4
        return content

    return edit


def image(path, mode, value):
    def make():
        Image.new(mode, (8, 8), value).save(path)

    return make


def move(old, new):
    return lambda: Path(old).rename(new)


def npz(**arrays):
    def make():
        content = {"tr_idx": [0], "tt_idx": [0], "infl": [0.5], "mem": [0.5]} | arrays
        np.savez("pairs.npz", **{k: v for k, v in content.items() if v is not None})

    return make


OTHER = generate(LongTail(**CONFIG["dataset"]["longtail"]), seed=1)
EPOCHS = dataclasses.replace(RECIPE, epochs=2)
MATRIX = {"kind": "cifar100", "name": "cifar100"}
PUBLISHED = {"dataset": MATRIX, "memorization": {"source": "published", "path": "x.npz"}}
RUNS = {"memorization": {"source": "published_runs", "path": "nowhere"}}

# name: (what is done, what the message must hold)
FAULTS = {
    # configurations
    "unknown key": (refused({"sede": 3}), ["sede = 3", "unknown key", "seed"]),
    "unknown nested key": (refused({"training": {"gpu": 1}}), ["training.gpu = 1", "device"]),
    "missing keys": (
        refused({"recipes": {"mine": CONFIG["recipes"]["original"] | {"epochs": None}}}),
        ["recipes.mine.epochs = null", "integer from 1"],
    ),
    "number for a section": (refused({"training": True}), ["training = true", "mapping"]),
    "list for a number": (refused({"trials": [3]}), ["trials = [3]", "integer"]),
    "null for a number": (refused({"selection": {"z": None}}), ["selection.z = null", "number"]),
    "NaN": (refused({"selection": {"z": float("nan")}}), ["selection.z = nan", "finite"]),
    "1e400": (refused({"training": {"max_hours": "1e400"}}), ["max_hours = inf", "finite"]),
    "negative": (refused({"seed": -1}), ["seed = -1", "of at least 0"]),
    "half a model": (refused({"trials": 2.5}), ["trials = 2.5", "integer"]),
    "more models than names": (refused({"trials": 2_000_000}), ["trials", "from 1 to 1,000,000"]),
    "endless data": (
        refused({"dataset": {"longtail": {"head": 10**30}}}),
        ["dataset.longtail.head", "from 1 to 1,000"],
    ),
    "yes and no": (
        refused({"recipes": {"original": {"mirror": "maybe"}}}),
        ["recipes.original.mirror = 'maybe'", "true or false"],
    ),
    "words for null": (
        refused({"training": {"max_hours": "none"}}),
        ["'none'", "or null"],
    ),
    "a number for a name": (
        refused(lambda c: c["recipes"].update({1: c["recipes"]["original"]})),
        ["recipes.1: the key 1 must be text"],
    ),
    "blank in a name": (refused({"dataset": {"name": "my photos"}}), ["'my photos'", "no blanks"]),
    "unicode in results": (refused({"results": "résultats"}), ["results = 'résultats'", "only"]),
    "long name": (refused({"dataset": {"name": "x" * 300}}), ["dataset.name", "at most 80"]),
    "two lines": (refused({"dataset": {"name": "demo\n"}}), ["'demo\\n'", "line breaks"]),
    "network": (
        refused({"recipes": {"original": {"network": "vgg"}}}),
        ["recipes.original.network = 'vgg'", "resnet18"],
    ),
    "recipe that is not there": (
        refused({"memorization": {"recipe": "best"}}),
        ["memorization.recipe = 'best'", "original, weight_decay"],
    ),
    "fraction": (
        refused({"memorization": {"subset_fraction": 0.123}}),
        ["subset_fraction = 0.123", "two decimals"],
    ),
    "too few models": (refused({"memorization": {"models": 5}}), ["models = 5", "at least 10"]),
    "review over near": (refused({"duplicates": {"near": 0.2}}), ["duplicates.review", "near"]),
    "no folder of images": (
        refused({"dataset": {"kind": "image_folder"}}),
        ["dataset.image_folder.path = null", "train/<class>"],
    ),
    "published scores of other images": (
        refused({"memorization": {"source": "published"}}),
        ["memorization.source = 'published'", "cifar100", "estimate"],
    ),
    "a path that is not read": (refused(PUBLISHED), ["memorization.path = 'x.npz'", "null"]),
    "a path to nowhere": (refused(RUNS), ["memorization.path = 'nowhere'", "directory not found"]),
    "braces in a path": (refused({"removals": {"a": "{x}.txt"}}), ["removals.a", "braces"]),
    "removal without a file": (refused({"removals": {"a": "no.txt"}}), ["removals.a", "no.txt"]),
    "a removal's name is taken": (refused({"removals": {"subset": "x"}}), ["removals.subset"]),
    "a key twice": (
        config_file("trials: 3\nseed: 1\ntraining:\n  device: cpu\n  device: cuda\n"),
        ["mine.yaml, line 5", "duplicate key training.device"],
    ),
    "results of another dataset": (
        after(lambda: claim("results", "first"), lambda: claim("results", "mine")),
        ["results = 'results'", "'first'", "results/mine", "delete results/dataset.txt"],
    ),
    # shards
    "empty shard": (edited(SHARD, lambda c: b"", merge), [SHARD, "empty", AGAIN]),
    "text for a shard": (
        edited(SHARD, lambda c: b"a,b\n", merge),
        [SHARD, "not an HDF5 file", AGAIN],
    ),
    "truncated shard": (edited(SHARD, lambda c: c[:-1], merge), [SHARD, "checksum", AGAIN]),
    "grown shard": (edited(SHARD, lambda c: c + b"\0", merge), [SHARD, "checksum", AGAIN]),
    "bit of a shard's seal": (edited(SHARD, flip(30), merge), [SHARD, "checksum", AGAIN]),
    "bit of its superblock": (edited(SHARD, flip(520), merge), [SHARD, "checksum", AGAIN]),
    "bit of its attributes": (edited(SHARD, flip(b"epochs"), merge), [SHARD, "checksum", AGAIN]),
    "bit of its data": (edited(SHARD, flip(bits.pack(mask(1)).tobytes()), merge), [SHARD, AGAIN]),
    "shard that is not there": (
        after(lambda: Path(SHARD).unlink(), merge),
        [SHARD, "not found", AGAIN],
    ),
    "shard of another removal": (
        after(lambda: shard(removal="none"), merge),
        [SHARD, "removal 'none', expected 'subset'", AGAIN],
    ),
    "shard of another recipe": (
        after(lambda: shard(recipe=EPOCHS), merge),
        [SHARD, "epochs 2, expected 20", AGAIN],
    ),
    "shard of another seed": (
        after(lambda: shard(seed=7), merge),
        [SHARD, "seed 7, expected 0", AGAIN],
    ),
    "shard of other images": (
        after(lambda: shard(images=OTHER), merge),
        [SHARD, "dataset", IMAGES.digest(), AGAIN],
    ),
    "shard of other examples": (
        after(lambda: shard(mask=lambda trial: mask(trial + 1)), merge),
        [SHARD, "trial 0 was trained on other examples", AGAIN],
    ),
    "shard without a trial": (
        after(lambda: shard(trials=[0]), merge),
        ["trial 1 is missing", AGAIN],
    ),
    "shard with a trial more": (
        after(lambda: shard(trials=[0, 1, 2]), merge),
        [SHARD, "trial 2 is in it, too", AGAIN],
    ),
    "shard with a trial twice": (after(lambda: shard(trials=[0, 0]), merge), [SHARD, AGAIN]),
    # other files of a study
    "truncated dataset": (
        edited("data/it.h5", lambda c: c[:9000], lambda: load("data/it.h5")),
        ["data/it.h5", "checksum", "rm -f data/it.h5 && snakemake data/it.h5"],
    ),
    "shard for a dataset": (
        after(shard, lambda: load(SHARD)),
        [SHARD, "no dataset 'train/images'"],
    ),
    "pairs of another table": (
        after(lambda: write("p.csv", "a,b\n1,2\n"), lambda: read_rows("p.csv", Pair)),
        ["p.csv", "no column 'train'", "rm -f p.csv && snakemake p.csv"],
    ),
    "buckets cut off": (
        after(
            lambda: write(
                "b.csv",
                "example,class,memorization,bucket,reason,test_examples,decided_by,group\n"
                "3,ant,0.5,memorized,none,4,rule,\n7,an",
            ),
            lambda: read_rows("b.csv", Assignment),
        ),
        ["b.csv, line 3", "no cell in column 'memorization'"],
    ),
    "duplicates not in UTF-8": (
        after(
            lambda: write("d.csv", b"train,test,kind\n\xff,1,exact\n"),
            lambda: read_duplicates("d.csv"),
        ),
        ["d.csv", "cannot be read", "rm -f d.csv"],
    ),
    # images
    "broken JPEG": (
        after(
            lambda: write("images/train/ant/0.jpg", b"\xff\xd8\xff\xe0 no more"),
            folder,
        ),
        ["images/train/ant/0.jpg", "not an image, or damaged", "remove it"],
    ),
    "truncated PNG": (
        edited("images/test/bee/1.png", lambda c: c[:100], folder),
        ["images/test/bee/1.png", "damaged"],
    ),
    "text among images": (
        after(lambda: write("images/train/ant/notes.txt", "hello"), folder),
        ["images/train/ant/notes.txt", "not an image"],
    ),
    "image of 32 bits": (
        after(image("images/train/ant/0.tif", "F", 0.5), folder),
        ["images/train/ant/0.tif", "32-bit", "8 or 16"],
    ),
    "empty class": (
        after(lambda: Path("images/train/cat").mkdir(), folder),
        ["images/train/cat", "class 'cat' has no images"],
    ),
    "class on one side": (
        after(move("images/test/bee", "bee"), folder),
        ["class 'bee' is in train/ but not in test/"],
    ),
    "folder within a class": (
        after(move("images/test/bee", "images/test/ant/more"), folder),
        ["images/test/ant/more", "a folder inside a class folder"],
    ),
    "image in no class": (
        after(move("images/test/ant/0.png", "images/test/0.png"), folder),
        ["images/test/0.png", "not in a class folder"],
    ),
    "name that is not UTF-8": (
        after(lambda: write(b"images/train/ant/\xff.png", ""), folder),
        ["images/train/ant/\\xff.png", "rename it"],
    ),
    # lists, published and fetched files
    "example out of range": (
        after(lambda: write("r.txt", "1\n99999\n"), lambda: read_examples("r.txt", IMAGES.n_train)),
        ["r.txt", "99999", f"0 to {IMAGES.n_train - 1}"],
    ),
    "example twice": (
        after(lambda: write("r.txt", "1\n2\n1\n"), lambda: read_examples("r.txt")),
        ["r.txt, line 3", "example 1 is listed twice"],
    ),
    "no number": (
        after(lambda: write("r.txt", "1\n2.5\n"), lambda: read_examples("r.txt")),
        ["r.txt, line 2", "'2.5'", "training example"],
    ),
    "text for published pairs": (
        after(lambda: write("pairs.npz", "no zip"), pairs),
        ["pairs.npz", "not a file of numpy arrays", "published file"],
    ),
    "published pairs cut off": (
        after(npz(), edited("pairs.npz", lambda c: c[:300], pairs)),
        ["pairs.npz", "damaged", "published file"],
    ),
    "published pairs as pickle": (
        after(npz(mem=np.array([None])), pairs),
        ["pairs.npz", "no arrays in it"],
    ),
    "published pairs without a key": (after(npz(infl=None), pairs), ["pairs.npz", "no 'infl'"]),
    "published pairs out of range": (
        after(npz(tt_idx=[10**6]), pairs),
        ["pairs.npz", "tt_idx has 1000000"],
    ),
    "ciFAIR's list with another judgment": (
        after(
            lambda: write("c.csv", "TestID,TrainID,Judgment\n1,2,9\n"), lambda: read_cifair("c.csv")
        ),
        ["c.csv", "line 2", "Judgment is '9'"],
    ),
    "fetched file with another checksum": (
        after(lambda: write("data/file.bin", "something else"), fetched),
        ["data/file.bin", "expected sha256 00", "Move it elsewhere"],
    ),
    "list of sources that is none": (
        after(lambda: write("sources.yaml", "a: [1\n"), fetched),
        ["sources.yaml", "cannot be read"],
    ),
}
