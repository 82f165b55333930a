"""The generated dataset with its planted structure, and the user's image folders."""

import numpy as np
import pytest
from image_files import write_folder
from PIL import Image

from memaudit.data.image_folder import read_image_folder
from memaudit.data.longtail import EDITS, LongTail, generate
from memaudit.errors import AuditError

SETTINGS = LongTail(
    image_size=16,
    classes=5,
    head=3,
    head_size=20,
    head_test=0.5,
    small=4,
    small_test=2,
    singletons=3,
    exact=2,
    edited=3,
    mislabelled=2,
    variation=0.4,
    small_variation=1.0,
    noise=8,
)


@pytest.fixture(scope="module")
def generated():
    return generate(SETTINGS, seed=1)


def test_the_same_seed_gives_the_same_images(generated):
    assert generate(SETTINGS, seed=1).digest() == generated.digest()
    assert generate(SETTINGS, seed=2).digest() != generated.digest()


def test_the_sizes_are_those_configured(generated):
    assert generated.n_train == SETTINGS.classes * SETTINGS.train_per_class()
    assert generated.train_images.shape[1:] == (16, 16, 3)
    assert generated.train_images.dtype == np.uint8
    role = generated.planted["train_role"]
    assert {name: (role == name).sum() // 5 for name in np.unique(role)} == {
        "head": 20 + 10 + 7,
        "small": 2 + 3 + 2 + 3,
        "singleton": 3,
        "exact": 2,
        "edited": 3,
        "mislabelled": 2,
    }


def test_small_subpopulations_have_train_and_test_examples_of_one_class(generated):
    planted = generated.planted
    small = np.unique(planted["train_subpopulation"][planted["train_role"] == "small"])
    assert len(small) == 20
    for number in small:
        train = planted["train_subpopulation"] == number
        test = planted["test_subpopulation"] == number
        assert train.sum() in (2, 3)
        assert test.sum() == 2
        labels = {*generated.train_labels[train], *generated.test_labels[test]}
        assert len(labels) == 1


def test_copies_are_where_the_record_says(generated):
    planted = generated.planted
    edits = set()
    for test, train in enumerate(planted["test_copy_of"]):
        if train < 0:
            assert planted["test_role"][test] not in ("exact", "edited")
            continue
        same = np.array_equal(generated.test_images[test], generated.train_images[train])
        assert same == (planted["test_role"][test] == "exact")
        assert generated.test_labels[test] == generated.train_labels[train]
        edits.add(str(planted["test_edit"][test]))
    assert edits == {"", *EDITS}


def test_mislabelled_examples_look_like_another_class(generated):
    """The class whose head is nearest is not the one on the label."""
    role = generated.planted["train_role"]
    flat = generated.train_images.reshape(generated.n_train, -1).astype(float)
    head = np.flatnonzero(role == "head")
    for example in np.flatnonzero(role == "mislabelled"):
        nearest = head[((flat[head] - flat[example]) ** 2).sum(axis=1).argmin()]
        assert generated.train_labels[nearest] != generated.train_labels[example]


def test_a_folder_is_read_in_sorted_order(tmp_path):
    write_folder(tmp_path, each=12)
    (tmp_path / "train" / ".DS_Store").write_text("not a class")
    (tmp_path / "train" / "ant" / ".hidden").write_text("not an image")
    (tmp_path / "train" / "ant" / "Thumbs.db").write_text("not an image")
    (tmp_path / "test" / "desktop.ini").write_text("not a class")
    data = read_image_folder(tmp_path, per_class=11)
    assert data.class_names == ["ant", "bee"]
    assert data.n_train == data.n_test == 22
    assert data.train_names[:3] == ["train/ant/0.png", "train/ant/1.png", "train/ant/10.png"]
    assert np.array_equal(
        data.train_images[2], np.asarray(Image.open(tmp_path / "train/ant/10.png"))
    )
    assert data.train_labels.tolist() == [0] * 11 + [1] * 11


def test_any_format_and_size_is_scaled_to_one(tmp_path):
    shapes = [(10, 20, 3), (30, 9, 3), (12, 12, 3)]
    write_folder(
        tmp_path,
        each=3,
        image=lambda number: np.full(shapes[number % 3], 90, np.uint8),
        formats=("png", "jpg", "bmp", "gif", "webp"),
    )
    data = read_image_folder(tmp_path, image_size=12)
    assert data.train_images.shape == (6, 12, 12, 3)


def test_16_bit_images_are_reduced_and_32_bit_images_refused(tmp_path):
    write_folder(tmp_path)
    Image.fromarray(np.full((16, 24), 30000, np.uint16)).save(tmp_path / "train/ant/0.png")
    assert (read_image_folder(tmp_path).train_images[0] == 30000 >> 8).all()
    (tmp_path / "train/ant/0.png").unlink()
    Image.fromarray(np.full((16, 24), 0.5, np.float32)).save(tmp_path / "train/ant/0.tif")
    with pytest.raises(AuditError, match=r"0\.tif: 32-bit pixels"):
        read_image_folder(tmp_path)


def test_grey_and_transparent_images_become_rgb(tmp_path):
    write_folder(tmp_path)
    Image.fromarray(np.full((16, 24), 90, np.uint8)).save(tmp_path / "train/ant/0.png")
    Image.new("RGBA", (24, 16), (10, 20, 30, 255)).save(tmp_path / "train/ant/1.png")
    data = read_image_folder(tmp_path)
    assert (data.train_images[0] == 90).all()
    assert (data.train_images[1] == [10, 20, 30]).all()


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "test").rename(root / "val"), r"test: directory not found"),
        (lambda root: (root / "train/cat").mkdir(), r"train/cat: class 'cat' has no images"),
        (
            lambda root: (root / "train/bee").rename(root / "train/cat"),
            r"class 'cat' is in train/ but not in test/",
        ),
        (
            lambda root: (root / "test/bee").rename(root / "test/ant/more"),
            r"test/ant/more: a folder inside a class folder; images are expected in .*test/<class>",
        ),
        (
            lambda root: (root / "test/bee").rename(root / "bee"),
            r"class 'bee' is in train/ but not",
        ),
        (
            lambda root: (root / "train/bee/2.png").rename(root / "train/2.png"),
            r"train/2\.png: not in a class folder",
        ),
        (
            lambda root: (root / "train/bee/3.png").symlink_to("nowhere"),
            r"bee/3\.png: a broken link",
        ),
        (
            lambda root: (root / "train/bee/2.png").rename(root / "train/bee" / "\udcff.png"),
            r"train/bee/\\xff\.png: the name is not UTF-8; rename it",
        ),
        (lambda root: (root / "test/bee/1.png").write_text("text"), r"bee/1\.png: not an image"),
        (
            lambda root: (root / "test/bee/1.png").write_bytes(
                (root / "test/bee/1.png").read_bytes()[:100]
            ),
            r"bee/1\.png: not an image",
        ),
        (lambda root: (root / "train/bee/2.png").write_bytes(b""), r"bee/2\.png: an empty file"),
        (
            lambda root: Image.new("RGB", (9, 8)).save(root / "test/ant/0.png"),
            r"test/ant/0\.png: 9 x 8 pixels, but .*train/ant/0\.png has 24 x 16",
        ),
    ],
)
def test_errors_name_the_problem_in_a_folder(tmp_path, break_it, message):
    write_folder(tmp_path, each=3)
    break_it(tmp_path)
    with pytest.raises(AuditError, match=message):
        read_image_folder(tmp_path)


def test_one_class_is_too_few(tmp_path):
    write_folder(tmp_path, classes=("ant",))
    with pytest.raises(AuditError, match="at least two are needed"):
        read_image_folder(tmp_path)
