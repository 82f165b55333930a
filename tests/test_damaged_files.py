"""Damaged files and files of another study: a job names the file and what to do."""

import dataclasses
from pathlib import Path

import pytest
from image_files import write_folder
from study_files import IMAGES, OTHER, RECIPE, SHARD, mask, merge, shard, told, write

from memaudit import bits
from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import load, save
from memaudit.data.image_folder import read_image_folder
from memaudit.duplicates import read_duplicates
from memaudit.scores.selection import Pair
from memaudit.study.owner import claim
from memaudit.tables import read_rows

AGAIN = f"rm -f {SHARD} && snakemake {SHARD}"
EPOCHS = dataclasses.replace(RECIPE, epochs=2)


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Return a working folder with one valid file of each kind."""
    monkeypatch.chdir(tmp_path)
    shard()
    write_folder(tmp_path / "images")
    save(IMAGES, "data/it.h5")
    return tmp_path


def folder():
    read_image_folder("images")


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


# name: (what is done, what the message must hold)
FAULTS = {
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
    "results of another dataset": (
        after(lambda: claim("results", "first"), lambda: claim("results", "mine")),
        ["results = 'results'", "'first'", "results/mine", "delete results/dataset.txt"],
    ),
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
    "class on one side": (
        after(lambda: Path("images/test/bee").rename("bee"), folder),
        ["class 'bee' is in train/ but not in test/"],
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_error_names_the_fault(lab, name, capsys):
    act, fragments = FAULTS[name]
    text = told(act, capsys)
    for fragment in fragments:
        assert fragment in text
    assert len(text.splitlines()) == 1


def test_what_is_right_is_read(lab):
    for act in (merge, folder, lambda: load("data/it.h5")):
        act()
