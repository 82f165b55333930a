"""The workflow stops with one message, and keeps what is there."""

import contextlib
import dataclasses
import os
import re
import resource
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import Study
from image_files import write_folder
from study_files import IMAGES, RECIPE, shard, write

from memaudit.data.dataset import save
from memaudit.study.owner import claim


@pytest.fixture
def quick(tmp_path):
    """A study whose ten subset models train in a second, with its dataset."""
    study = Study(tmp_path)
    study.config["memorization"]["models"] = study.config["training"]["models_per_job"] = 10
    study.config["recipes"]["original"]["epochs"] = 1
    return study


def failed(study, *arguments) -> str:
    """Return what Snakemake prints, which must fail without a traceback."""
    done = study.snakemake(*arguments, check=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in text
    return text


def test_snakemake_prints_the_configuration_errors(quick):
    quick.config["trials"], quick.config["memorization"]["path"] = [3], "nowhere"
    assert "trials = [3]: must be an integer from 1" in failed(quick, "-n")


def test_a_folder_without_a_configuration_uses_the_defaults(quick):
    planned = quick.planned()
    (quick.folder / "config" / "config.yaml").unlink()
    assert quick.planned() == planned


def test_snakemake_stops_before_it_writes_over_another_study(quick):
    claim(quick.results, "first")
    text = failed(quick, "data/small.h5")
    assert "this folder holds the study of the dataset 'first'" in text
    assert not (quick.folder / "data").exists()


def test_the_command_in_the_message_rebuilds_a_damaged_shard(quick):
    with contextlib.chdir(quick.folder):
        save(IMAGES, "data/small.h5")
        write("data/small.sha256", IMAGES.digest())
        name = "results/small/models/original/subset/000000-000009.h5"
        recipe = dataclasses.replace(RECIPE, epochs=1)
        shard(name, range(10), recipe)
        with open(name, "rb+") as file:
            file.truncate(3000)
        scores = "results/small/scores/original.h5"
        text = failed(quick, scores)
        command = re.search(r"rebuild it: (rm -f (\S+) && snakemake (\S+)) ", text)
        assert shlex.split(command[1])[2] == command[3] == name
        Path(command[2]).unlink()
        quick.snakemake(command[3], scores)
        assert Path(scores).exists()


def test_a_full_disk_is_one_message(quick):
    quick.config["dataset"]["longtail"]["image_size"] = 64
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, old[1]))
    try:
        text = failed(quick, "data/small.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert "data/small.h5: could not be written (File too large)" in text
    assert not [p for p in quick.folder.glob("data/*") if "small" in p.name]


def test_images_that_cannot_be_read_do_not_cost_the_dataset(quick):
    write_folder(quick.folder / "photos", each=10)
    photos = {"path": "photos", "per_class": 9}
    quick.config["dataset"] = {"kind": "image_folder", "name": "mine", "image_folder": photos}
    quick.config["recipes"]["original"]["batch_size"] = 4
    quick.config["recipes"]["weight_decay"]["batch_size"] = 4
    files = [quick.folder / "data" / name for name in ("mine.h5", "mine.sha256")]
    image = quick.folder / "photos/train/ant/1.png"
    whole = image.read_bytes()
    image.write_text("no image")
    text = failed(quick, "data/mine.h5")
    assert "photos/train/ant/1.png: not an image" in text
    assert not any(file.exists() for file in files)
    image.write_bytes(whole)
    quick.snakemake("data/mine.h5")
    before = [file.read_bytes() for file in files]
    (quick.folder / "photos").rename(quick.folder / "moved")
    assert quick.planned("data/mine.h5") == {}  # the settings are unchanged
    photos["path"] = "photso"
    assert "image_folder.path = 'photso': directory not" in failed(quick, "data/mine.h5")
    photos["path"] = "moved"
    (quick.folder / "moved/train/ant/1.png").write_bytes(b"")
    assert "empty file" in failed(quick, "data/mine.h5")
    assert [file.read_bytes() for file in files] == before


def test_a_damaged_dataset_is_one_error(study):
    (study.folder / "data/small.h5").write_bytes(b"junk")
    assert "small.h5: damaged or of another kind" in failed(study, "-n")


def test_models_of_other_images_are_not_replaced(study):
    before = {
        p: p.read_bytes() for p in [*study.results.rglob("*.h5"), *study.folder.glob("data/*")]
    }
    study.config["dataset"]["longtail"]["noise"] += 1
    models = 60 + 10 * 3
    text = failed(study)
    assert f"small/models: {models} finished models were trained on other images" in text
    assert "small.h5 was written with other settings (dataset.longtail.noise)" in text
    assert {p: p.read_bytes() for p in before} == before


def test_max_hours_counts_what_an_edit_may_train(study):
    study.config["training"]["max_hours"] = 1e-6
    study.config["selection"]["memorization"] = 0.9
    assert "max_hours = 1e-06: this run would train 24 models" in failed(study)


def test_a_study_copied_without_its_times_is_not_too_long(study):
    """Without metadata, and with a dataset newer than its models, all jobs look out of date."""
    study.config["training"]["max_hours"] = 1e-6
    files = [p for folder in ("data", "results") for p in (study.folder / folder).rglob("*")]
    for path in filter(Path.is_file, files):
        os.utime(path, (1e9, 1e9))
    shutil.rmtree(study.folder / ".snakemake")
    for name in ("small.h5", "small.sha256"):
        (study.folder / "data" / name).touch()
    table = (study.results / "table2.csv").read_bytes()
    assert study.planned()["train"] > 8
    path = next(study.results.glob("models/weight_decay/memorized/*.h5"))
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])
    assert "max_hours = 1e-06: this run would train 3 models" in failed(study)
    path.write_bytes(whole)
    text = study.snakemake().stderr
    assert "90 models have the modification time of another run; they are taken over" in text
    assert "snakemake --touch" in text
    assert (study.results / "table2.csv").read_bytes() == table


def test_until_says_what_to_name_instead(study):
    for rule, file in (
        ("scores", "scores/original.h5"),
        ("buckets", "buckets.csv"),
        ("train", "models/original/subset/000000-000029.h5"),
    ):
        spelling = {"scores": ["-nU", rule], "buckets": ["--unti=" + rule]}
        text = failed(study, *spelling.get(rule, ["--until", rule]), "-n")
        assert f"instead: snakemake results/small/{file}" in text
    for omitting in ("--omit-from", "-O"):
        text = failed(study, omitting, "selection", "-n")
        assert "--omit-from does not work with the checkpoints" in text


def test_divergence_is_one_message(study):
    study.config["recipes"]["weight_decay"]["learning_rate"] = 1e30
    target = "results/small/models/weight_decay/none/000000-000002.h5"
    assert "recipe weight_decay, removal none, trial 0, epoch 1 of 20" in failed(study, target)
