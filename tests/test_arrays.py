"""Datasets in .npz files, as MedMNIST and Keras write them."""

import csv
import errno
import re
import zipfile

import numpy as np
import pytest
import yaml
from conftest import ROOT

from memaudit.cli import main
from memaudit.cli.scores import _read as read_scores
from memaudit.data import mapped
from memaudit.data.arrays import ArrayFile, read_arrays
from memaudit.duplicates.files import read_sides
from memaudit.errors import AuditError
from memaudit.study.checks import read_config
from memaudit.study.images import image_shape, n_images

RNG = np.random.default_rng(0)


def images(n, *shape):
    return RNG.integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.fixture
def medmnist():
    """Gray 12 x 10 images, labels (n, 1), of the classes 2, 5 and 9."""
    arrays = {}
    for side, n in (("train", 30), ("val", 6), ("test", 9)):
        arrays[f"{side}_images"] = images(n, 10, 12)
        arrays[f"{side}_labels"] = np.resize(np.array([5, 2, 9], np.uint8), n)[:, None]
    return arrays


@pytest.fixture
def saved(tmp_path):
    def save(arrays):
        np.savez_compressed(tmp_path / "mine.npz", **arrays)
        return tmp_path / "mine.npz"

    return save


def test_medmnist(medmnist, saved):
    data = read_arrays(saved(medmnist))
    assert data.class_names == ["2", "5", "9"] and (data.n_train, data.n_test) == (30, 9)
    assert data.train_labels.tolist() == [1, 0, 2] * 10
    assert data.test_images.shape == (9, 10, 12, 3)
    for channel in range(3):
        assert np.array_equal(data.train_images[..., channel], medmnist["train_images"])


@pytest.mark.parametrize("side", ["train", "test"])
def test_validation_images_are_appended_on_request(medmnist, saved, side):
    data = read_arrays(saved(medmnist), validation=side)
    counts = {"train": data.n_train, "test": data.n_test}
    assert counts == {"train": 30, "test": 9} | {side: {"train": 36, "test": 15}[side]}
    assert np.array_equal(getattr(data, f"{side}_images")[-1, ..., 0], medmnist["val_images"][-1])


def test_the_first_images_of_each_class_are_kept(medmnist, saved):
    data = read_arrays(saved(medmnist), per_class=2)
    assert np.array_equal(data.train_images[..., 0], medmnist["train_images"][:6])
    assert data.test_labels.tolist() == [1, 0, 2] * 2


def test_images_are_scaled_to_a_square(medmnist, saved):
    medmnist["test_images"][0] = 77
    data = read_arrays(saved(medmnist), image_size=20)
    assert data.train_images.shape == (30, 20, 20, 3) and (data.test_images[0] == 77).all()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_are_read_in_blocks(medmnist, tmp_path, monkeypatch, save):
    """Of five images; also with a part of the classes, and from an array in Fortran order."""
    monkeypatch.setattr(mapped, "BLOCK", 5 * 120)
    medmnist["test_images"] = np.asfortranarray(medmnist["test_images"])
    save(tmp_path / "mine.npz", **medmnist)
    monkeypatch.setattr(ArrayFile, "_read", blocked(ArrayFile._read))
    file = ArrayFile(tmp_path / "mine.npz", "train")
    assert [len(block) for block in file.blocks("train")] == [5] * 7 + [1]
    data = read_arrays(tmp_path / "mine.npz", "train", per_class=3, scratch=tmp_path)
    assert np.array_equal(data.train_images[..., 2], medmnist["train_images"][:9])
    assert np.array_equal(data.test_images[..., 0], medmnist["test_images"])
    damaged = bytearray((tmp_path / "mine.npz").read_bytes())
    damaged[400] ^= 1  # within train_images
    (tmp_path / "mine.npz").write_bytes(damaged)
    with pytest.raises(AuditError, match="train_images cannot be read"):
        list(file.blocks("train"))


def blocked(read):
    """Refuse to read the training images as a whole."""

    def instead(self, key):
        assert key != "train_images"
        return read(self, key)

    return instead


def test_the_duplicate_finder_reads_them(medmnist, saved):
    train, test = read_sides(saved(medmnist))
    assert (len(train), len(test)) == (30, 9) and test.classes[:3] == ["5", "2", "9"]
    assert np.array_equal(test.images[..., 0], medmnist["test_images"])


def test_the_published_digits_are_those_of_the_configuration():
    """The table of docs/digits is that of its table2.csv, and of the shipped digits."""
    config = yaml.safe_load((ROOT / "config/digits.yaml").read_text())["dataset"]["arrays"]
    data = read_arrays(ROOT / config["path"], image_size=config["image_size"])
    assert (data.n_train, data.n_test, len(data.class_names)) == (300, 1497, 10)
    assert data.train_images.shape[1:] == (16, 16, 3)
    page = (ROOT / "docs/digits/README.md").read_text()
    with open(ROOT / "docs/digits/table2.csv", newline="") as file:
        for row in list(csv.DictReader(file))[:4]:
            values = [f"{float(row[key]):.2f}" for key in ("drop", "excess_drop")]
            assert re.search(
                rf"\| {re.escape(row['row'])} \| [\w ,]+ \| [\w ,]+ \| {row['n_removed']} "
                rf"\| {values[0]} \| [\d.]+ \| {values[1]} ",
                page,
            )
    assert (ROOT / "docs/digits/answer.md").read_text().split("\n\n")[0] in page


@pytest.mark.parametrize("labels", [(), (1,)])
def test_keras(saved, labels):
    arrays = {}
    for side, n in (("train", 8), ("test", 4)):
        arrays[f"x_{side}"] = images(n, 8, 8, 3)
        arrays[f"y_{side}"] = np.resize([0, 1], n).reshape(n, *labels)
    data = read_arrays(saved(arrays), validation="train")
    assert np.array_equal(data.train_images, arrays["x_train"])
    assert data.test_labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"test_labels": None}, r"no array 'test_labels' \(it has test_images, train_images"),
        ({"train_images": images(30, 3, 8, 8)}, r"train_images has shape \(30, 3, 8, 8\).*transp"),
        ({"train_images": images(0, 8, 8)}, r"train_images has shape \(0, 8, 8\); expected"),
        ({"train_images": np.zeros((30, 8, 8))}, r"train_images has type float64; expected uint8"),
        ({"test_images": images(9, 8, 8)}, r"test_images are 8 x 8 pixels, those of train_images"),
        ({"test_labels": np.zeros((9, 14), int)}, r"test_labels has shape \(9, 14\).*argmax"),
        ({"train_labels": np.zeros(31, int)}, r"train_labels has shape \(31,\).*30 images"),
        ({"train_labels": np.zeros(30)}, r"train_labels has type float64; expected integers"),
        ({"train_labels": np.zeros(30, object)}, r"train_labels holds Python objects"),
        (
            {"train_labels": np.full(30, 2**63, np.uint64)},
            r"train_labels has class 9223372036854775808",
        ),
        ({"test_labels": np.full(9, 7)}, r"train_labels has class 2, which test_labels lacks"),
        (
            {"train_labels": np.zeros(30, int), "test_labels": np.zeros(9, int)},
            r"train_labels has only one class",
        ),
    ],
)
def test_errors_name_file_key_and_shape(medmnist, saved, changed, message):
    given = {key: value for key, value in (medmnist | changed).items() if value is not None}
    with pytest.raises(AuditError, match=rf"mine\.npz: .*{message}"):
        read_arrays(saved(given))


def test_what_is_no_npz_file_is_refused(tmp_path, medmnist, saved):
    path = saved(medmnist)
    path.write_bytes(path.read_bytes()[:-200])
    for name, message in (
        ("mine.npz", "not an .npz file, or damaged"),
        ("missing.npz", "file not found; name an .npz file with train_images"),
    ):
        with pytest.raises(AuditError, match=rf"{name}: {message}"):
            ArrayFile(tmp_path / name)


def test_a_failing_disk_is_not_called_damage(medmnist, saved, monkeypatch):
    path = saved(medmnist)

    def fail(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    # zipfile answers with "File is not a zip file"
    monkeypatch.setattr(zipfile, "_EndRecData", fail)
    for read in (ArrayFile, lambda path: read_scores(path, None)):
        with pytest.raises(AuditError, match=r"mine\.npz: cannot be read \(Input/output error\)"):
            read(path)


def test_a_study_is_proposed(medmnist, saved, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    saved(medmnist)
    assert main(["init", "mine.npz"]) == 0
    out = capsys.readouterr().out
    assert "mine.npz: 30 training images and 9 test images in 3 classes" in out
    assert "12 x 10 pixels, all" in out and "6 validation images are left out" in out
    text = (tmp_path / "study.yaml").read_text()
    dataset = read_config(yaml.safe_load(text)).dataset
    assert read_config(yaml.safe_load(text)).subpopulations.by == "rule"  # gray images
    assert (dataset.kind, dataset.name, dataset.arrays.path) == ("arrays", "mine", "mine.npz")
    assert (n_images(dataset, "train"), n_images(dataset, "test")) == (30, 9)
    assert image_shape(dataset) == (16, 16)


def test_a_faulty_file_is_reported_before_anything_runs(medmnist, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(medmnist | {"train_labels": np.zeros(31, int)})
    config = {"dataset": {"kind": "arrays", "name": "mine", "arrays": {"path": "mine.npz"}}}
    config["memorization"] = {"source": "estimate"}
    with pytest.raises(AuditError, match=r"arrays\.path = 'mine\.npz': train_labels has shape"):
        read_config(config)
    saved(medmnist)
    with pytest.raises(AuditError, match=r"original\.batch_size = 512: more than the 21 examples"):
        read_config(config)
