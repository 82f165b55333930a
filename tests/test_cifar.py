"""CIFAR's binary archives: archives of the same layout, whole and broken."""

import io
import tarfile

import numpy as np
import pytest

from memaudit.data.cifar import read_cifar10, read_cifar100
from memaudit.errors import AuditError

BATCHES = [f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)]
TEST_BATCH = "cifar-10-batches-bin/test_batch.bin"


def records(rng, count, classes):
    """(bytes, images, labels): `count` records with a label byte for each number of classes."""
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = np.stack([rng.integers(0, n, count, dtype=np.uint8) for n in classes], axis=1)
    content = b"".join(
        label.tobytes() + b"".join(image[:, :, channel].tobytes() for channel in range(3))
        for label, image in zip(labels, images, strict=True)
    )
    return content, images, labels[:, -1]


def write_archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def names(count, word="class"):
    """A file of class names as in the archives, with an empty line at its end."""
    return "".join(f"{word}_{number}\n" for number in range(count)).encode() + b"\n"


@pytest.fixture
def cifar10(rng):
    """Members of a small CIFAR-10, test batch first, and the images and labels by member."""
    parts = {name: records(rng, 3, [10]) for name in [TEST_BATCH, *reversed(BATCHES)]}
    members = {name: part[0] for name, part in parts.items()}
    members["cifar-10-batches-bin/readme.html"] = b"not wanted"
    members["cifar-10-batches-bin/batches.meta.txt"] = names(10)
    return members, parts


@pytest.fixture
def cifar100(rng):
    parts = {
        f"cifar-100-binary/{side}.bin": records(rng, count, [20, 100])
        for side, count in (("train", 7), ("test", 4))
    }
    members = {name: part[0] for name, part in parts.items()}
    members["cifar-100-binary/fine_label_names.txt"] = names(100, "fine")
    members["cifar-100-binary/coarse_label_names.txt"] = names(20, "coarse")
    return members, parts


def test_cifar10_comes_back_pixel_by_pixel_in_batch_order(tmp_path, cifar10):
    members, parts = cifar10
    data = read_cifar10(write_archive(tmp_path / "c.tar.gz", members), expected=(15, 3))
    assert data.train_images.dtype == np.uint8
    assert data.train_images.shape == (15, 32, 32, 3)
    assert data.train_labels.dtype == np.int64
    assert np.array_equal(data.train_images, np.concatenate([parts[name][1] for name in BATCHES]))
    assert np.array_equal(data.train_labels, np.concatenate([parts[name][2] for name in BATCHES]))
    assert np.array_equal(data.test_images, parts[TEST_BATCH][1])
    assert data.class_names == [f"class_{number}" for number in range(10)]
    assert [p.name for p in tmp_path.iterdir()] == ["c.tar.gz"]


def test_cifar100_has_the_fine_labels(tmp_path, cifar100):
    members, parts = cifar100
    data = read_cifar100(write_archive(tmp_path / "c.tar.gz", members), expected=None)
    _, images, fine = parts["cifar-100-binary/train.bin"]
    assert np.array_equal(data.train_images, images)
    assert np.array_equal(data.train_labels, fine)
    assert (data.n_train, data.n_test) == (7, 4)
    assert (data.class_names[0], data.class_names[99]) == ("fine_0", "fine_99")


def test_members_may_be_named_from_here(tmp_path, cifar100):
    members = {f"./{name}": content for name, content in cifar100[0].items()}
    assert read_cifar100(write_archive(tmp_path / "c.tar.gz", members), None).n_train == 7


def test_another_number_of_images_is_an_error(tmp_path, cifar100):
    path = write_archive(tmp_path / "c.tar.gz", cifar100[0])
    with pytest.raises(AuditError, match=r"7 train and 4 test images, expected 50,000 and 10,000"):
        read_cifar100(path)


def replace(name, change):
    return lambda members: members | {name: change(members[name])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            replace(BATCHES[2], lambda text: text[:-1]),
            r"data_batch_3\.bin has 9,218 bytes, no",
        ),
        (replace(BATCHES[0], lambda text: b""), r"data_batch_1\.bin has 0 bytes"),
        (
            replace(TEST_BATCH, lambda text: text[:3073] + b"\x0a" + text[3074:]),
            r"test_batch\.bin, image 1: label 10 of 10 classes",
        ),
        (
            replace("cifar-10-batches-bin/batches.meta.txt", lambda text: b"cat\ndog\n"),
            r"batches\.meta\.txt has 2 class names, not 10",
        ),
        (
            lambda members: {k: v for k, v in members.items() if k != BATCHES[4]},
            r"data_batch_5\.bin is not in it",
        ),
    ],
)
def test_what_is_wrong_inside_is_named(tmp_path, cifar10, change, message):
    path = write_archive(tmp_path / "c.tar.gz", change(cifar10[0]))
    with pytest.raises(AuditError, match=message):
        read_cifar10(path, expected=None)


def test_a_coarse_label_out_of_range_is_found(tmp_path, cifar100):
    members, _ = cifar100
    members["cifar-100-binary/train.bin"] = b"\x14" + members["cifar-100-binary/train.bin"][1:]
    with pytest.raises(AuditError, match=r"train\.bin, image 0: label 20 of 20 classes"):
        read_cifar100(write_archive(tmp_path / "c.tar.gz", members), expected=None)


def test_a_link_is_not_a_member(tmp_path, cifar100):
    members, _ = cifar100
    path = tmp_path / "c.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if name.endswith("train.bin"):
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    with pytest.raises(AuditError, match=r"train\.bin is not in it"):
        read_cifar100(path, expected=None)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.99, -4])
def test_an_archive_that_was_cut_off_is_found(tmp_path, cifar10, kept):
    path = write_archive(tmp_path / "c.tar.gz", cifar10[0])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) if kept > 0 else kept])
    with pytest.raises(AuditError, match=r"c\.tar\.gz: cut off, or not a \.tar\.gz"):
        read_cifar10(path, expected=None)


def test_a_flipped_bit_is_found(tmp_path, cifar10):
    path = write_archive(tmp_path / "c.tar.gz", cifar10[0])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(AuditError, match="cut off, or not"):
        read_cifar10(path, expected=None)


def test_no_archive_at_all(tmp_path):
    with pytest.raises(AuditError, match=r"none\.tar\.gz: there is no such file"):
        read_cifar10(tmp_path / "none.tar.gz")
    (tmp_path / "page.tar.gz").write_text("<html>not found</html>")
    with pytest.raises(AuditError, match=r"page\.tar\.gz: cut off, or not"):
        read_cifar10(tmp_path / "page.tar.gz")
