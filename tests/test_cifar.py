"""CIFAR in every published form: small files of the same layout, and the real ones where found."""

import gzip
import hashlib
import io
import pickle
import shutil
import struct
import tarfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import yaml
from conftest import ROOT, supplied

from memaudit.data.cifar import CLASSES, data_files, locate, read_cifar
from memaudit.data.fetch import Source, fetch, forms, read_sources
from memaudit.errors import AuditError

# Computed once from the official binary files; the published annotation is bound to it.
DIGEST = "c2d5e18e3b4f1fb0b566c4160a98f336b013c25f0dad2778098103f2e746b580"

FOLDERS = {
    ("cifar10", "binary"): "cifar-10-batches-bin",
    ("cifar10", "python"): "cifar-10-batches-py",
    ("cifar100", "binary"): "cifar-100-binary",
    ("cifar100", "python"): "cifar-100-python",
}


def sides(kind, rng):
    """{file name without suffix: (images, labels of each kind)} of a small dataset, in order."""
    parts = {f"data_batch_{number}": 3 for number in range(1, 6)} | {"test_batch": 2}
    parts = parts if kind == "cifar10" else {"train": 7, "test": 4}
    classes = (10,) if kind == "cifar10" else (20, 100)
    return {
        name: (
            rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
            np.stack([rng.integers(0, n, count, dtype=np.uint8) for n in classes], axis=1),
        )
        for name, count in parts.items()
    }


def records(images, labels):
    """The content of a binary file."""
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.concatenate([labels, planes], axis=1).tobytes()


class Python2(pickle._Pickler):
    """Pickle as Python 2 did, protocol 2: bytes and text are both its byte strings."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        value = value if isinstance(value, bytes) else value.encode()
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string


def batch(images, labels):
    """The content of a file of the Python version."""
    pixels = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    keys = ["labels"] if labels.shape[1] == 1 else ["coarse_labels", "fine_labels"]
    columns = {key: labels[:, k].tolist() for k, key in enumerate(keys)}
    out = io.BytesIO()
    Python2(out, protocol=2).dump({"data": np.ascontiguousarray(pixels), **columns})
    return out.getvalue().replace(b"numpy._core.", b"numpy.core.")


class Files:
    """A small dataset as the members of an archive, with the sources that name their checksums."""

    def __init__(self, kind, version, parts):
        self.kind, self.parts = kind, parts
        folder, write = FOLDERS[kind, version], records if version == "binary" else batch
        suffix = ".bin" if version == "binary" else ""
        self.members = {f"{folder}/{n}{suffix}": write(*part) for n, part in parts.items()}
        self.archive = f"{kind}-{version}.tar.gz"
        self.name = kind if version == "binary" else f"{kind}_python"

    @property
    def sources(self):
        checksums = {
            name: f"sha256:{hashlib.sha256(content).hexdigest()}"
            for name, content in self.members.items()
        }
        texts = dict.fromkeys(("licence", "citation", "use", "checked"), "none")
        nothing = {"size": None, "sha256": None, "md5": "0" * 32}
        return {
            self.name: Source(self.archive, ["https://x"], **nothing, **texts, members=checksums)
        }

    def pack(self, folder, members=None):
        """Write the archive."""
        path = folder / self.archive
        with tarfile.open(path, "w:gz") as tar:
            for name, content in {"folder/readme.html": b"", **(members or self.members)}.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path

    def extract(self, folder):
        """Write the extracted files."""
        for name, content in self.members.items():
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            (folder / name).write_bytes(content)
        return (folder / name).parent


@pytest.fixture(params=FOLDERS, ids="-".join)
def files(request, rng):
    kind, version = request.param
    return Files(kind, version, sides(kind, rng))


@pytest.fixture
def binary(rng):
    return Files("cifar100", "binary", sides("cifar100", rng))


@pytest.mark.parametrize("how", ["archive", "folder"])
def test_every_form_gives_the_same_images_in_order(tmp_path, files, how):
    path = files.pack(tmp_path) if how == "archive" else files.extract(tmp_path)
    before = set(tmp_path.rglob("*"))
    data = read_cifar(files.kind, path, files.sources)
    train = [part for name, part in files.parts.items() if not name.startswith("test")]
    assert np.array_equal(data.train_images, np.concatenate([images for images, _ in train]))
    assert np.array_equal(data.train_labels, np.concatenate([label[:, -1] for _, label in train]))
    test = next(part for name, part in files.parts.items() if name.startswith("test"))
    assert np.array_equal(data.test_images, test[0])
    assert np.array_equal(data.test_labels, test[1][:, -1])
    assert (data.train_images.dtype, data.train_labels.dtype) == (np.uint8, np.int64)
    assert data.class_names == CLASSES[files.kind]
    assert set(tmp_path.rglob("*")) == before


def test_members_may_have_a_relative_path(tmp_path, binary):
    members = {f"./{name}": content for name, content in binary.members.items()}
    assert read_cifar("cifar100", binary.pack(tmp_path, members), binary.sources).n_train == 7


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[: len(content) // 7],
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: content[3074:] + content[:3074],
    ],
    ids=["half a file", "one image", "a flipped bit", "another order"],
)
def test_a_file_with_another_checksum_is_named(tmp_path, files, change):
    sources = files.sources
    name = next(iter(files.members))
    files.members[name] = change(files.members[name])
    message = rf"{Path(name).name}: expected sha256 \w+, found \w+ .*another order.*Replace it"
    with pytest.raises(AuditError, match=message):
        read_cifar(files.kind, files.extract(tmp_path), sources)
    with pytest.raises(AuditError, match=message):
        read_cifar(files.kind, files.pack(tmp_path), sources)


def test_a_pickle_is_opened_only_after_its_checksum_matched(tmp_path, rng, monkeypatch):
    files = Files("cifar100", "python", sides("cifar100", rng))
    sources = files.sources
    files.members["cifar-100-python/train"] = pickle.dumps(print)
    monkeypatch.setattr("memaudit.data.cifar._unpickled", lambda *_: pytest.fail("opened"))
    with pytest.raises(AuditError, match="expected sha256"):
        read_cifar("cifar100", files.extract(tmp_path), sources)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(print), "builtins.print is not allowed"),
        (
            pickle.dumps({b"data": np.zeros((2, 3)), b"fine_labels": [1, 2]}),
            r"data float64 \(2, 3\)",
        ),
        (pickle.dumps([1]), "not a data file of cifar100"),
        (b"text", "not a data file of cifar100"),
        (
            pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"fine_labels": [100]}),
            "label 100",
        ),
    ],
)
def test_a_pickle_with_the_right_checksum_holds_arrays_only(tmp_path, rng, content, message):
    files = Files("cifar100", "python", sides("cifar100", rng))
    files.members["cifar-100-python/train"] = content
    with pytest.raises(AuditError, match=message):
        read_cifar("cifar100", files.extract(tmp_path), files.sources)


def test_a_label_out_of_range_is_found(tmp_path, binary):
    content = binary.members["cifar-100-binary/test.bin"]
    binary.members["cifar-100-binary/test.bin"] = content[:1] + b"\x64" + content[2:]
    with pytest.raises(AuditError, match=r"test\.bin: label 100 of 100 classes"):
        read_cifar("cifar100", binary.extract(tmp_path), binary.sources)


def test_a_file_without_checksum_is_checked_by_its_size(tmp_path, rng):
    files = Files("cifar10", "binary", sides("cifar10", rng))
    sources = files.sources
    sources["cifar10"].members.update(
        {name: f"bytes:{len(content)}" for name, content in files.members.items()}
    )
    lines = []
    assert read_cifar("cifar10", files.extract(tmp_path), sources, lines.append).n_train == 15
    assert len(lines) == 6 and "only the size was checked" in lines[0]
    with pytest.raises(AuditError, match=r"not the published file .expected md5"):
        read_cifar("cifar10", files.pack(tmp_path), sources)  # of an archive, the checksum is known
    name = "cifar-10-batches-bin/data_batch_3.bin"
    (tmp_path / name).write_bytes(files.members[name][:3073])
    with pytest.raises(AuditError, match=r"data_batch_3\.bin: expected bytes 9219, found 3073"):
        read_cifar("cifar10", tmp_path / "cifar-10-batches-bin", sources)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.99, -4])
def test_a_truncated_archive_is_found(tmp_path, binary, kept):
    path = binary.pack(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) if kept > 0 else kept])
    with pytest.raises(AuditError, match=r"\.tar\.gz: not a complete \.tar\.gz"):
        read_cifar("cifar100", path, binary.sources)


def test_what_is_not_in_an_archive_is_named(tmp_path, binary):
    members = dict(list(binary.members.items())[:1])
    with pytest.raises(AuditError, match=r"cifar-100-binary/test\.bin is not in it"):
        read_cifar("cifar100", binary.pack(tmp_path, members), binary.sources)
    with pytest.raises(AuditError, match=r"none\.tar\.gz: file not found"):
        read_cifar("cifar100", tmp_path / "none.tar.gz", binary.sources)
    (tmp_path / "page.tar.gz").write_text("<html>not found</html>")
    with tarfile.open(tmp_path / "c.tar.xz", "w:xz") as tar:
        tar.add(binary.extract(tmp_path), "cifar-100-binary")
    for name in ("page.tar.gz", "c.tar.xz"):
        with pytest.raises(AuditError, match=rf"{name}: not a complete \.tar\.gz") as caught:
            read_cifar("cifar100", tmp_path / name, binary.sources)
        message = str(caught.value)
        assert "Expected: https://x. If it is one of these, download it again" in message
        assert "extract it" in message and "elete" not in message


def test_a_link_is_not_a_member(tmp_path, binary):
    path = tmp_path / "c.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in binary.members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)
    with pytest.raises(AuditError, match=r"train\.bin is not in it"):
        read_cifar("cifar100", path, binary.sources)


def test_the_images_are_located_wherever_they_are(tmp_path, rng):
    both = [Files("cifar100", version, sides("cifar100", rng)) for version in ("binary", "python")]
    sources = both[0].sources | both[1].sources
    data, mirror, path = (tmp_path / name for name in ("data", "mirror", "mine"))
    for folder in (data, mirror, path):
        folder.mkdir()

    def found(path=None):
        return locate("cifar100", sources, path, data, mirror)

    assert found() == data / both[0].archive  # to be downloaded
    both[1].extract(mirror)
    assert found() == mirror / "cifar-100-python"
    assert [file.name for file in data_files(found(), forms("cifar100", sources))] == [
        "train",
        "test",
    ]
    both[1].pack(mirror)
    assert found() == data / both[1].archive  # to be copied there
    (data / "cifar-100-binary").symlink_to(both[0].extract(tmp_path / "elsewhere"))
    assert found() == data / "cifar-100-binary"
    assert data_files(found(), forms("cifar100", sources)) == [
        found() / "train.bin",
        found() / "test.bin",
    ]
    assert read_cifar("cifar100", found(), sources).n_train == 7
    both[0].pack(data)
    assert found() == data / both[0].archive
    assert data_files(found(), forms("cifar100", sources)) == [found()]
    with pytest.raises(AuditError, match=r"mine: no cifar100 files found .dataset\.cifar100\.path"):
        found(path)
    extracted = both[0].extract(path)
    assert found(path) == found(extracted) == extracted
    assert found(both[1].pack(path)) == path / both[1].archive
    shutil.move(extracted, tmp_path / "renamed")
    assert found(tmp_path / "renamed") == tmp_path / "renamed"
    (tmp_path / "renamed" / "test.bin").unlink()
    with pytest.raises(AuditError, match=r"renamed/test\.bin: file not found, although others"):
        found(tmp_path / "renamed")


def test_a_failed_download_names_every_accepted_form(tmp_path, monkeypatch):
    entries = yaml.safe_load((ROOT / "data/sources.yaml").read_text())
    for entry in entries.values():
        entry["urls"] = ["http://localhost:9/nowhere"]
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(entries))
    monkeypatch.delenv("MEMAUDIT_MIRROR", raising=False)
    for kind in ("cifar10", "cifar100"):
        with pytest.raises(AuditError) as caught:
            fetch(kind, tmp_path / "sources.yaml", tmp_path / "data")
        known = forms(kind, read_sources(tmp_path / "sources.yaml"))
        names = [form.file for form in known]
        names += [FOLDERS[kind, version] + "/" for version in ("binary", "python")]
        for name in (*names, f"{tmp_path}/data/", "MEMAUDIT_MIRROR", f"dataset.{kind}.path"):
            assert name in str(caught.value)


def test_shipped_checksums_are_those_that_torchvision_pins():
    datasets = pytest.importorskip("torchvision.datasets")
    sources = read_sources(ROOT / "data" / "sources.yaml")
    for name, theirs in (
        ("cifar10_python", datasets.CIFAR10),
        ("cifar100_python", datasets.CIFAR100),
    ):
        ours = sources[name]
        assert (ours.file, ours.md5) == (theirs.filename, theirs.tgz_md5)
        pinned = {
            f"{theirs.base_folder}/{file}": f"md5:{md5}"
            for file, md5 in [*theirs.train_list, *theirs.test_list]
        }
        assert list(ours.members) == list(pinned)
        if name == "cifar10_python":
            assert ours.members == pinned


def test_the_real_images_are_read_from_folder_and_archive(tmp_path):
    with tarfile.open(supplied("cifar-100-binary.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    sources = read_sources(ROOT / "data" / "sources.yaml")
    folder = locate("cifar100", sources, tmp_path, tmp_path / "data")
    assert folder == tmp_path / "cifar-100-binary"
    data = read_cifar("cifar100", folder, sources)
    assert (data.n_train, data.n_test) == (50_000, 10_000)
    assert np.bincount(data.train_labels).tolist() == [500] * 100
    assert np.bincount(data.test_labels).tolist() == [100] * 100
    names = (folder / "fine_label_names.txt").read_text().split()
    assert data.class_names == names
    assert data.digest() == DIGEST
    packed = tmp_path / "packed.tar.gz"
    with (
        gzip.open(packed, "wb", compresslevel=0) as out,
        tarfile.open(fileobj=out, mode="w") as tar,
    ):
        tar.add(folder, "cifar-100-binary")
    assert read_cifar("cifar100", packed, sources).digest() == DIGEST
    half = (folder / "train.bin").read_bytes()[: 25_000 * 3074]
    (folder / "train.bin").write_bytes(half)
    with pytest.raises(AuditError, match=r"train\.bin: expected sha256 f3129.*76,850,000 bytes\)"):
        read_cifar("cifar100", folder, sources)
