"""`memaudit init`: from a folder of images to a study that fits the machine."""

import shutil
import subprocess
import unicodedata
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from PIL import Image

from memaudit.cli import main
from memaudit.data.survey import Survey
from memaudit.study import model_times
from memaudit.study.plan import Machine
from memaudit.study.proposal import SIZES, dataset_name, free_name, propose
from memaudit.study.study import Study

CPU = Machine("cpu", 2)


def save(path, size=(48, 40), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).integers(0, 256, (*size[::-1], 4), np.uint8)
    Image.fromarray(noise).convert(mode).save(path)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two classes of twelve training and four test images; the working folder is the parent."""
    monkeypatch.chdir(tmp_path)
    for side, count in (("train", 12), ("test", 4)):
        for name in ("ant", "bee"):
            for number in range(count):
                save(tmp_path / "photos" / side / name / f"{number}.png")
    return tmp_path / "photos"


def init(*arguments, status=0):
    assert main(["init", "photos", *arguments]) == status


def test_a_study_that_takes_longer_than_the_hours_is_said(photos, capsys):
    init("--hours", "0.0001")
    assert "by this estimate the study takes longer than --hours 0.0001" in capsys.readouterr().out


def test_it_writes_a_valid_study_and_prints_its_cost(photos, capsys):
    init()
    out = capsys.readouterr().out
    assert "photos: 24 training images and 8 test images in 2 classes" in out
    assert "48 x 40 pixels, all" in out and "RGB (32)" in out
    assert "With 8 test images" in out and "Classes with fewer than 20 training images: 2" in out
    assert (
        "hours" in out
        and "takes longer" not in out
        and out.endswith("\n  memaudit run --configfile study.yaml\n")
    )
    study = Study(yaml.safe_load((photos.parent / "study.yaml").read_text()))
    assert study.results == "results/photos"
    assert study.config.dataset.image_folder.path == "photos"
    assert study.config.dataset.image_folder.image_size == 32
    assert study.config.memorization.models >= 200 and study.config.subpopulations.by == "checked"
    differing = {
        key
        for key, value in study.settings["recipes"]["original"].items()
        if study.settings["recipes"]["weight_decay"][key] != value
    }
    assert differing == {"weight_decay"}


def test_a_folder_named_by_a_number(photos, capsys):
    study = photos.rename(photos.parent / "2024").parent / "study.yaml"
    assert main(["init", str(photos.parent / "2024"), "-o", str(study)]) == 0
    assert yaml.safe_load(study.read_text())["dataset"]["name"] == "2024"


def test_a_path_with_a_line_break(photos, capsys):
    photos.rename("photos\nof mine")
    assert main(["init", "photos\nof mine"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("photos\\nof mine: 24 training images")
    assert "line breaks and control characters are not allowed" in said.err
    assert not (photos.parent / "study.yaml").exists()


def test_it_overwrites_nothing(photos, capsys):
    (photos.parent / "study.yaml").write_text("mine")
    init(status=1)
    assert "study.yaml: file exists; use --force" in capsys.readouterr().err
    for option, value, words in (
        ("--hours", "nan", "must be a number greater than 0"),
        ("--hours", "inf", "must be a number greater than 0"),
        ("--name", "a b", "must be at most 80 letters"),
        ("--name", "cifar10", "--name cifar10: reserved for that dataset"),
    ):
        init("--force", option, value, status=1)
        said = capsys.readouterr()
        assert not said.out and said.err.startswith(f"error: {option} ") and words in said.err
    for name, kind in (("nothere", "directory"), ("nothere.npz", "file")):
        assert main(["init", name]) == 1
        assert f"{name}: {kind} not found" in capsys.readouterr().err
    init("--output", "other.yaml", "--name", "mine")
    assert (photos.parent / "study.yaml").read_text() == "mine"
    assert 'name: "mine"' in (photos.parent / "other.yaml").read_text()
    init("--force")
    assert 'name: "photos"' in (photos.parent / "study.yaml").read_text()


def test_all_faults_are_listed(photos, capsys):
    for number in range(23):
        (photos / "train" / "ant" / f"broken{number:02d}.png").write_text("no image")
    (photos / "test" / "notes.txt").write_text("")
    (photos / "test" / "bee" / "more").mkdir()
    (photos / "train" / "cow").mkdir()
    save(photos / "test" / "dog" / "0.png")
    init(status=1)
    out, err = capsys.readouterr()
    assert "Images that cannot be read: 23" in out and "... and 3 more" in out
    assert out.count("not an image of a format that is read") == 20
    for fault in (
        "photos/test/notes.txt: not in a class folder",
        "photos/test/bee/more: a folder inside a class folder",
        "class 'cow' is in train/ but not in test/; add images to test/ or remove it from train/",
        "class 'dog' is in test/ but not in train/",
        "photos/train/cow: class 'cow' has no images",
    ):
        assert fault in out
    assert "photos: 28 faults, listed above; study.yaml was not written" in err
    assert not (photos.parent / "study.yaml").exists()


def test_modes_and_sizes_are_noted(photos, capsys):
    save(photos / "train" / "ant" / "gray.png", (20, 30), "L")
    init()
    out = capsys.readouterr().out
    assert "RGB (32), L (1)" in out and "Images are converted to RGB." in out
    assert "2, 20 x 30 to 48 x 40 pixels; shortest side 20" in out
    assert "scaled to one size" in out


@pytest.mark.parametrize(
    "rename, words",
    [
        ({"test": "val"}, "Rename photos/val to photos/test"),
        ({"test": "other"}, "no folder test/; images are expected in photos/train/<class>/*"),
        ({"train": "ant", "test": "bee"}, "no split into a training and a test set"),
    ],
)
def test_another_layout_is_explained(photos, capsys, rename, words):
    for old, new in rename.items():
        (photos / old).rename(photos / new)
    init(status=1)
    assert words in capsys.readouterr().err


def test_the_command_that_splits_a_folder_works(photos, capsys):
    """The bash lines of the message leave a folder that `init` accepts."""
    shutil.rmtree(photos / "test")
    (photos / "train").rename(photos.parent / "all")
    photos.rmdir()
    (photos.parent / "all").rename(photos)
    save(photos / "ant" / "a name with spaces.png")
    init(status=1)
    lines = capsys.readouterr().err.partition("with bash:\n")[2]
    subprocess.run(["bash", "-c", lines], check=True, cwd=photos.parent)
    init()
    out = capsys.readouterr().out
    assert "21 training images and 4 test images in 2 classes" in out


def survey_of(images, side=200, classes=10):
    counts = {str(name): images // classes for name in range(classes)}
    return Survey(
        Path("photos"),
        {"train": counts, "test": counts},
        Counter({(side, side + 10): images}),
        Counter(RGB=images),
    )


@pytest.mark.parametrize("images", [100, 1_000, 10_000, 100_000, 1_000_000])
@pytest.mark.parametrize("machine", [Machine("cpu", 2), Machine("cpu", 64), Machine("gpu", 1)])
@pytest.mark.parametrize("hours", [0.5, 8, 72])
def test_the_study_fits_the_hours(images, machine, hours):
    proposal = propose(survey_of(images), machine, hours)
    weight = 0.7 * proposal.models + 10 * proposal.trials
    assert proposal.seconds * weight / machine.workers / 3600 <= hours
    assert (proposal.models, proposal.trials) in SIZES
    used = min(images, 10 * (proposal.per_class or images))
    assert proposal.batch_size <= used and proposal.epochs >= 20
    assert proposal.max_hours >= hours


def test_more_hours_give_more():
    short, long = (propose(survey_of(5_000), CPU, hours) for hours in (1, 100))
    assert long.models > short.models or long.network != short.network
    assert propose(survey_of(200), CPU, 8).network == "resnet9"
    assert propose(survey_of(50_000), CPU, 8).network == "tiny"
    assert propose(survey_of(1_000_000), CPU, 8).per_class is not None


def test_images_are_left_out_only_if_the_smallest_study_does_not_fit():
    proposal = propose(survey_of(180, classes=3), CPU, 0.03)
    assert (proposal.per_class, proposal.network) == (None, "tiny")
    assert propose(survey_of(180, classes=3), CPU, 0.002).per_class is not None


def test_images_are_not_enlarged():
    assert propose(survey_of(1000, side=200), Machine("gpu", 1), 8).image_size == 64
    assert propose(survey_of(1000, side=33), CPU, 8).image_size == 32
    assert propose(survey_of(1000, side=29), CPU, 8).image_size == 24
    assert propose(survey_of(1000, side=5), CPU, 8).image_size == 16


def test_names_of_datasets():
    assert dataset_name("my photos (new)") == "my_photos_new"
    assert dataset_name("cifar10") == "cifar10_images"
    assert dataset_name("...") == "images" and dataset_name("café") == "cafe"
    names = {dataset_name(name) for name in ("日本", "中国", "фото", "images")}
    assert len(names) == 4 and all(name.isascii() for name in names)
    # the same in both Unicode normal forms
    assert len({dataset_name(unicodedata.normalize(form, "が")) for form in ("NFC", "NFD")}) == 1


def test_a_name_of_other_images_is_not_proposed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a, b = tmp_path / "a/photos", tmp_path / "b/photos"
    assert free_name(a) == free_name(b) == "photos"
    study = "dataset: {kind: image_folder, name: photos, image_folder: {path: a/photos}}\n"
    (tmp_path / "study.yaml").write_text(study)
    (tmp_path / "broken.yaml").write_text("{")
    assert (free_name(a), free_name(b)) == ("photos", "photos_2")
    (tmp_path / "data").mkdir()
    with h5py.File("data/photos_2.h5", "w") as file:
        file.attrs["settings"] = '{"kind": "image_folder", "path": "elsewhere"}'
    assert (free_name(a), free_name(b)) == ("photos", "photos_3")


def stated(kind, network="tiny", **options) -> float:
    training = {"network": network, "side": 32, "images": 99_000, "steps": 100} | options
    return model_times.stated_seconds(kind, model_times.Training(**training))


def test_stated_rates():
    assert stated("cpu") == 10
    assert stated("cpu", side=64) == 40
    fast, medium, slow = (
        stated("gpu", "resnet18", precision=name) for name in ("bfloat16", "tf32", "float32")
    )
    assert fast == pytest.approx(99_000 / 58_000)
    assert medium / fast == pytest.approx(1.6) and slow / fast == pytest.approx(8)
    assert stated("gpu", "my.module:small") == stated("gpu", "fz_resnet50")


def test_a_step_on_a_gpu_takes_the_launch_of_its_kernels():
    steps = 99_000 / 64
    found = stated("gpu", side=8, steps=steps, precision="bfloat16")
    assert found == pytest.approx(0.25e-3 * steps)
