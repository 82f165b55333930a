"""What a user can break: each fault is told in words that name it and what to do, no traceback.

One table, `FAULTS`: broken configurations, which the check must refuse, and broken files, each read
by the code that the workflow's job runs. At the end, the same through Snakemake itself.
"""

import contextlib
import copy
import dataclasses
import json
import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, SMALL, Study
from PIL import Image
from test_config import SCHEMA, merged
from test_datasets import write_folder

from memaudit import bits
from memaudit.buckets.assign import read_buckets
from memaudit.data.dataset import load, save
from memaudit.data.fetch import fetch
from memaudit.data.image_folder import read_image_folder
from memaudit.data.longtail import LongTail, generate
from memaudit.duplicates import read_duplicates
from memaudit.models.recipe import Recipe
from memaudit.models.removals import read_points, subset_mask
from memaudit.models.shards import Origin, read_shards, write_shard
from memaudit.published.cifair import read_cifair
from memaudit.published.feldman_zhang import read_fz_pairs
from memaudit.scores.selection import read_pairs
from memaudit.study import checks
from memaudit.study import config as settings
from memaudit.study.jobs import job

PAPER = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
CONFIG = merged(copy.deepcopy(PAPER), SMALL)
IMAGES = generate(LongTail(**CONFIG["dataset"]["longtail"]), seed=0)
RECIPE = Recipe.of(CONFIG["recipes"]["original"])
SHARD = "shards/000000-000001.h5"
AGAIN = f"rm -f {SHARD} && snakemake {SHARD}"


# --- what is right, to be broken ------------------------------------------------------------------


def mask(trial: int) -> np.ndarray:
    return subset_mask(IMAGES.n_train, trial, 0.7, 0)


def shard(
    path=SHARD, trials=(0, 1), recipe=RECIPE, seed=0, images=None, removal="subset", mask=mask
):
    """Write a shard whose models guessed."""
    images, rng = images or IMAGES, np.random.default_rng(0)
    identity = {"recipe": recipe.settings(), "seed": seed, "dataset": images.digest()}
    attributes = {
        "identity": json.dumps(identity, sort_keys=True),
        "recipe_name": "original",
        "removal": removal,
        "n_train": images.n_train,
        "n_test": images.n_test,
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
    """A fault of the configuration: `change` is laid over the small study's."""

    def act():
        config = copy.deepcopy(CONFIG)
        change(config) if callable(change) else merged(config, change)
        checks.check(config, SCHEMA)

    return act


def config_file(content):
    def act():
        write("mine.yaml", content)
        checks.check_files(["mine.yaml"])

    return act


def write(path, content):
    with open(path, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def edited(path, edit, act):
    """`act` on the file `path` after `edit` of its bytes."""

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
    """One bit of one byte; `place` is a number, or bytes that lie there."""

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
    "unknown key": (refused({"sede": 3}), ["sede = 3", "no such key", "seed"]),
    "unknown nested key": (refused({"training": {"gpu": 1}}), ["training.gpu = 1", "device"]),
    "missing section": (refused(lambda c: c.pop("selection")), ["selection is missing"]),
    "section without keys": (refused({"training": None}), ["training = None", "object"]),
    "list for a number": (refused({"trials": [3]}), ["trials = [3]", "integer"]),
    "null for a number": (refused({"selection": {"z": None}}), ["selection.z = None", "number"]),
    "NaN": (refused({"selection": {"z": float("nan")}}), ["selection.z = nan", "finite"]),
    "1e400": (refused({"training": {"max_hours": "1e400"}}), ["max_hours = inf", "finite"]),
    "negative": (refused({"seed": -1}), ["seed = -1", "at least 0"]),
    "half a model": (refused({"trials": 2.5}), ["trials = 2.5", "integer"]),
    "more models than names": (refused({"trials": 2_000_000}), ["trials", "at most 1000000"]),
    "endless data": (
        refused({"dataset": {"longtail": {"head": 10**30}}}),
        ["dataset.longtail.head", "at most 1000 and at least 1"],
    ),
    "yes and no": (
        refused({"recipes": {"original": {"mirror": "maybe"}}}),
        ["recipes.original.mirror = 'maybe'", "boolean"],
    ),
    "words for null": (refused({"training": {"max_hours": "none"}}), ["'none'", "number or null"]),
    "a number for a name": (
        refused(lambda c: c["recipes"].update({1: c["recipes"]["original"]})),
        ["recipes.1: the key 1 must be a text"],
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
        ["memorization.recipe = 'best'", "original, converged"],
    ),
    "fraction": (
        refused({"memorization": {"subset_fraction": 0.123}}),
        ["subset_fraction = 0.123", "two decimals"],
    ),
    "too few models": (refused({"memorization": {"models": 5}}), ["models = 5", "at least 10"]),
    "review over near": (refused({"duplicates": {"near": 0.2}}), ["duplicates.review", "near"]),
    "no folder of images": (
        refused({"dataset": {"kind": "image_folder"}}),
        ["dataset.image_folder.path = None", "train/<class>"],
    ),
    "published scores of other images": (
        refused({"memorization": {"source": "published"}}),
        ["memorization.source = 'published'", "cifar100", "estimate"],
    ),
    "a path that is not read": (refused(PUBLISHED), ["memorization.path = 'x.npz'", "null"]),
    "a path to nowhere": (refused(RUNS), ["memorization.path = 'nowhere'", "must be a folder"]),
    "braces in a path": (refused({"removals": {"a": "{x}.txt"}}), ["removals.a", "braces"]),
    "removal without a file": (refused({"removals": {"a": "no.txt"}}), ["removals.a", "no.txt"]),
    "a removal's name is taken": (refused({"removals": {"subset": "x"}}), ["removals.subset"]),
    "a key twice": (
        config_file("trials: 3\nseed: 1\ntraining:\n  device: cpu\n  device: cuda\n"),
        ["mine.yaml, line 5", "training.device", "twice"],
    ),
    "results of another dataset": (
        after(
            lambda: settings.claim("results", "first"), lambda: settings.claim("results", "mine")
        ),
        ["results = 'results'", "'first'", "results/mine", "delete results/dataset.txt"],
    ),
    # shards
    "empty shard": (edited(SHARD, lambda c: b"", merge), [SHARD, "empty", AGAIN]),
    "text for a shard": (edited(SHARD, lambda c: b"a,b\n", merge), [SHARD, "no HDF5", AGAIN]),
    "truncated shard": (edited(SHARD, lambda c: c[:-1], merge), [SHARD, "checksum", AGAIN]),
    "grown shard": (edited(SHARD, lambda c: c + b"\0", merge), [SHARD, "checksum", AGAIN]),
    "bit of a shard's seal": (edited(SHARD, flip(30), merge), [SHARD, "checksum", AGAIN]),
    "bit of its superblock": (edited(SHARD, flip(520), merge), [SHARD, "checksum", AGAIN]),
    "bit of its attributes": (edited(SHARD, flip(b"epochs"), merge), [SHARD, "checksum", AGAIN]),
    "bit of its data": (edited(SHARD, flip(bits.pack(mask(1)).tobytes()), merge), [SHARD, AGAIN]),
    "shard that is not there": (
        after(lambda: Path(SHARD).unlink(), merge),
        [SHARD, "no such", AGAIN],
    ),
    "shard of another removal": (
        after(lambda: shard(removal="none"), merge),
        [SHARD, "removal 'none', not 'subset'", AGAIN],
    ),
    "shard of another recipe": (
        after(lambda: shard(recipe=EPOCHS), merge),
        [SHARD, "epochs 2, not 20", AGAIN],
    ),
    "shard of another seed": (
        after(lambda: shard(seed=7), merge),
        [SHARD, "seed 7, not 0", AGAIN],
    ),
    "shard of other images": (
        after(lambda: shard(images=OTHER), merge),
        [SHARD, "dataset", IMAGES.digest(), AGAIN],
    ),
    "shard of other points": (
        after(lambda: shard(mask=lambda trial: mask(trial + 1)), merge),
        [SHARD, "trial 0 was trained on other points", AGAIN],
    ),
    "shard without a trial": (after(lambda: shard(trials=[0]), merge), ["trial 1 is not", AGAIN]),
    "shard with a trial more": (
        after(lambda: shard(trials=[0, 1, 2]), merge),
        [SHARD, "it holds trial 2", AGAIN],
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
        after(lambda: write("p.csv", "a,b\n1,2\n"), lambda: read_pairs("p.csv")),
        ["p.csv", "no column 'train'", "rm -f p.csv && snakemake p.csv"],
    ),
    "buckets cut off": (
        after(
            lambda: write(
                "b.csv",
                "index,class,memorization,bucket,reason,test_points,decided_by,group\n"
                "3,ant,0.5,memorized,none,4,rule\n7,an",
            ),
            lambda: read_buckets("b.csv"),
        ),
        ["b.csv, line 3", "memorization is ''"],
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
        ["images/train/ant/0.jpg", "not an image, or a broken one", "take it away"],
    ),
    "truncated PNG": (
        edited("images/test/bee/1.png", lambda c: c[:100], folder),
        ["images/test/bee/1.png", "broken"],
    ),
    "text among images": (
        after(lambda: write("images/train/ant/notes.txt", "hello"), folder),
        ["images/train/ant/notes.txt", "not an image"],
    ),
    "image of 32 bits": (
        after(image("images/train/ant/0.tif", "F", 0.5), folder),
        ["images/train/ant/0.tif", "32 bits", "8 or 16"],
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
        ["images/test/ant/more", "a folder within a class"],
    ),
    "image in no class": (
        after(move("images/test/ant/0.png", "images/test/0.png"), folder),
        ["images/test/0.png", "in no class"],
    ),
    "name that is not UTF-8": (
        after(lambda: write(b"images/train/ant/\xff.png", ""), folder),
        ["images/train/ant/\\xff.png", "rename it"],
    ),
    # lists, published and fetched files
    "point out of range": (
        after(lambda: write("r.txt", "1\n99999\n"), lambda: read_points("r.txt", IMAGES.n_train)),
        ["r.txt", "99999", f"0 to {IMAGES.n_train - 1}"],
    ),
    "point twice": (
        after(lambda: write("r.txt", "1\n2\n1\n"), lambda: read_points("r.txt")),
        ["r.txt, line 3", "point 1 is listed twice"],
    ),
    "no number": (
        after(lambda: write("r.txt", "1\n2.5\n"), lambda: read_points("r.txt")),
        ["r.txt, line 2", "'2.5'", "train index"],
    ),
    "text for published pairs": (
        after(lambda: write("pairs.npz", "no zip"), pairs),
        ["pairs.npz", "not an .npz", "published file"],
    ),
    "published pairs cut off": (
        after(npz(), edited("pairs.npz", lambda c: c[:300], pairs)),
        ["pairs.npz", "broken", "published file"],
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
        ["c.csv", "line 2", "Judgment is 9"],
    ),
    "fetched file with another checksum": (
        after(lambda: write("data/file.bin", "something else"), fetched),
        ["data/file.bin", "expected sha256 00", "Delete it"],
    ),
    "list of sources that is none": (
        after(lambda: write("sources.yaml", "a: [1\n"), fetched),
        ["sources.yaml", "cannot be read"],
    ),
}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A working folder with one of each file, all of them right."""
    monkeypatch.chdir(tmp_path)
    shard()
    write_folder(tmp_path / "images")
    source = dict.fromkeys(("licence", "citation", "use", "checked"), "none")
    source |= {"file": "file.bin", "urls": ["http://nowhere/file.bin"], "size": None}
    source |= {"sha256": "0" * 64, "md5": None}
    write("sources.yaml", yaml.safe_dump({"it": source}))
    save(IMAGES, "data/it.h5")
    return tmp_path


def told(act, capsys) -> str:
    """What a job that does `act` tells the user, in its log and on the terminal."""
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


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_in_words(lab, name, capsys):
    act, fragments = FAULTS[name]
    text = told(act, capsys)
    for fragment in fragments:
        assert fragment in text
    lines = text.removeprefix("the configuration is not valid:\n").splitlines()
    assert len(lines) == 1 or "inf" in text


def test_there_are_as_many_as_were_promised():
    configurations = sum(act.__qualname__.startswith("refused") for act, _ in FAULTS.values())
    assert configurations >= 20
    assert len(FAULTS) - configurations >= 20


def test_what_is_right_is_read(lab):
    npz()()
    for act in (refused({}), merge, folder, lambda: load("data/it.h5")):
        act()


@pytest.mark.parametrize(
    "text", ["{max_hours: null}", "{max_hours: 3}", "{max_hours: '1e3', device: cpu}"]
)
def test_values_of_the_command_line_count(text):
    config = merged(copy.deepcopy(CONFIG), {"training": yaml.load(text, yaml.BaseLoader)})
    checks.check(config, SCHEMA)
    assert config["training"]["max_hours"] in (None, 3.0, 1000.0)


@pytest.mark.parametrize("limit", [0, 600, 5_000, 20_000])
def test_a_full_disk_leaves_what_was_there(lab, limit, capsys):
    """The kernel refuses to let a file grow beyond the limit, as it does on a full disk."""
    before = {p: p.read_bytes() for p in lab.rglob("*") if p.is_file()}
    old = resource.getrlimit(resource.RLIMIT_FSIZE)

    def act():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
        try:
            save(OTHER, "data/it.h5")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)

    text = told(act, capsys)
    assert "data/it.h5: could not be written (File too large). Earlier results are" in text
    assert len(text.splitlines()) == 1
    assert {
        p: p.read_bytes() for p in lab.rglob("*") if p.is_file() and p.suffix != ".log"
    } == before


def test_a_disk_that_is_really_full(lab, capsys):
    """A file system of 100 KB, where this may be mounted, filled up but for a few blocks."""
    Path("disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "none", "disk"]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes root")
    try:
        write("disk/old.h5", b"old")
        for size in (95_000, 80_000, 60_000):
            write("disk/fill", bytes(size))
            text = told(lambda: save(IMAGES, "disk/it.h5"), capsys)
            assert "disk/it.h5: could not be written (No space left on device)" in text
            assert sorted(p.name for p in Path("disk").iterdir()) == ["fill", "old.h5"]
        Path("disk/fill").unlink()
        save(IMAGES, "disk/it.h5")
    finally:
        subprocess.run(["umount", "disk"], check=True)


def test_a_log_that_does_not_fit_does_not_hide_the_error(lab, capsys):
    with pytest.raises(SystemExit), job("/dev/full") as report:
        report("going on")
        read_points("nowhere.txt")
    shown = capsys.readouterr().err
    assert shown.startswith("error: nowhere.txt: the list of points cannot be read")
    with pytest.raises(SystemExit), job("data/it.h5/log"):
        pass
    assert capsys.readouterr().err == "error: data/it.h5: File exists\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(lab, capsys):
    (lab / "data").chmod(0o500)
    try:
        text = told(lambda: save(OTHER, "data/it.h5"), capsys)
    finally:
        (lab / "data").chmod(0o700)
    assert "data/it.h5: could not be written (Permission denied)" in text


def test_a_file_where_a_folder_should_be(lab, capsys):
    write("results", "")
    text = told(lambda: save(OTHER, "results/a/it.h5"), capsys)
    assert "results/a/it.h5: could not be written (Not a directory)" in text


def test_ctrl_c_during_imports_says_nothing():
    code = "from memaudit.study.jobs import job\nraise KeyboardInterrupt"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr == ""


# --- the same through Snakemake -------------------------------------------------------------------


@pytest.fixture
def quick(tmp_path):
    """A study whose ten subset models train in a second, with its dataset."""
    study = Study(tmp_path)
    study.config["memorization"]["models"] = study.config["training"]["models_per_job"] = 10
    study.config["recipes"]["original"]["epochs"] = 1
    return study


def failed(done) -> str:
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in text
    return text


def test_snakemake_says_what_is_wrong_with_the_configuration(quick):
    quick.config["trials"], quick.config["memorization"]["path"] = [3], "nowhere"
    assert "trials = [3]: must be of type integer" in failed(quick.snakemake("-n", check=False))


def test_a_folder_without_the_configuration_is_told(quick):
    (quick.folder / "config" / "config.yaml").unlink()
    text = failed(quick.snakemake("-n", check=False))
    assert "There is no config/config.yaml in this folder" in text


def test_the_command_that_the_message_names_makes_a_damaged_shard_anew(quick):
    with contextlib.chdir(quick.folder):
        save(IMAGES, "data/small.h5")
        write("data/small.sha256", IMAGES.digest())
        name = "results/small/models/original/subset/000000-000009.h5"
        recipe = dataclasses.replace(RECIPE, epochs=1)
        shard(name, range(10), recipe)
        with open(name, "rb+") as file:
            file.truncate(3000)
        scores = "results/small/scores/original.h5"
        text = failed(quick.snakemake(scores, check=False))
        command = re.search(r"make it anew: (rm -f (\S+) && snakemake (\S+)) ", text)
        assert shlex.split(command[1])[2] == command[3] == name
        Path(command[2]).unlink()
        quick.snakemake(command[3], scores)
        assert Path(scores).exists()


def test_a_full_disk_ends_snakemake_in_words(quick):
    quick.config["dataset"]["longtail"]["image_size"] = 64
    command = quick.snakemake
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, old[1]))
    try:
        text = failed(command("data/small.h5", check=False))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert "data/small.h5: could not be written (File too large)" in text
    assert not [p for p in quick.folder.glob("data/*") if "small" in p.name]


def test_snakemake_stops_before_it_writes_over_another_study(quick):
    settings.claim(quick.results, "first")
    text = failed(quick.snakemake("data/small.h5", check=False))
    assert "this folder holds the study of the dataset 'first'" in text
    assert not (quick.folder / "data").exists()
