"""CIFAR-10 and CIFAR-100 from their binary archives, in the original order, without pickle.

A record is the label (CIFAR-100: the coarse and the fine one), a byte each, then the red, the green
and the blue plane of 32 x 32 bytes, row by row (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError

COUNTS = (50_000, 10_000)  # train and test images of either dataset
_SIDE = 32  # pixels
_PIXEL_BYTES = 3 * _SIDE * _SIDE


@dataclass(frozen=True)
class _Layout:
    """What an archive holds; `labels` are the files of class names, one for each label byte."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: tuple[tuple[str, int], ...]  # file, number of classes; the last is the one used


_CIFAR10 = _Layout(
    tuple(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)),
    ("cifar-10-batches-bin/test_batch.bin",),
    (("cifar-10-batches-bin/batches.meta.txt", 10),),
)
_CIFAR100 = _Layout(
    ("cifar-100-binary/train.bin",),
    ("cifar-100-binary/test.bin",),
    (
        ("cifar-100-binary/coarse_label_names.txt", 20),
        ("cifar-100-binary/fine_label_names.txt", 100),
    ),
)


def read_cifar10(archive: str | Path, expected: tuple[int, int] | None = COUNTS) -> Dataset:
    """Read `cifar-10-binary.tar.gz`: example i is image i of the original order, batches 1 to 5.

    Images are uint8 (n, 32, 32, 3), labels int64 0 to 9. `expected` is the number of train and test
    images there must be; None takes any. Nothing is written to disk.

    Raises AuditError, naming the archive and the member: missing, cut off, broken, no whole number
    of records, a label out of range, another number of images than expected.
    """
    return _read(Path(archive), _CIFAR10, expected)


def read_cifar100(archive: str | Path, expected: tuple[int, int] | None = COUNTS) -> Dataset:
    """Read `cifar-100-binary.tar.gz`: example i is image i of the original order.

    Labels are the fine ones, 0 to 99; the published scores are in this order and by these classes.
    All else as for `read_cifar10`.
    """
    return _read(Path(archive), _CIFAR100, expected)


def _read(archive: Path, layout: _Layout, expected: tuple[int, int] | None) -> Dataset:
    label_files = [name for name, _ in layout.labels]
    contents = _members(archive, {*layout.train, *layout.test, *label_files})
    class_names: list[str] = []
    for name, classes in layout.labels:
        lines = contents[name].decode("ascii", errors="replace").splitlines()
        class_names = [line.strip() for line in lines if line.strip()]
        if len(class_names) != classes:
            raise _broken(archive, f"{name} has {len(class_names)} class names, not {classes}")
    sides = [_side(archive, names, contents, layout) for names in (layout.train, layout.test)]
    found = tuple(len(labels) for _, labels in sides)
    if expected is not None and found != tuple(expected):
        raise _broken(
            archive,
            f"{found[0]:,} train and {found[1]:,} test images, expected {expected[0]:,} and "
            f"{expected[1]:,}",
        )
    (train_images, train_labels), (test_images, test_labels) = sides
    return Dataset(class_names, train_images, train_labels, test_images, test_labels)


def _broken(archive: Path, what: str) -> AuditError:
    return AuditError(f"{archive}: {what}. Delete it and get it again, or name the right archive.")


def _members(archive: Path, wanted: set[str]) -> dict[str, bytes]:
    """The contents of the wanted members, read from the stream; the rest is passed over."""
    found = {}
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    name = str(PurePosixPath(member.name))
                    if name in wanted and member.isreg():
                        found[name] = tar.extractfile(member).read()
            while stream.read(1 << 20):  # to the end, where gzip keeps its checksum
                pass
    except FileNotFoundError:
        raise AuditError(f"{archive}: there is no such file") from None
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise _broken(archive, f"cut off, or not a .tar.gz archive ({error})") from error
    if missing := sorted(wanted - set(found)):
        raise _broken(archive, f"{missing[0]} is not in it")
    return found


def _side(
    archive: Path, names: Iterable[str], contents: dict[str, bytes], layout: _Layout
) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 32, 32, 3) and labels int64 (n,) of the members, one after the other."""
    images, labels = [], []
    label_bytes = len(layout.labels)
    record = label_bytes + _PIXEL_BYTES
    for name in names:
        content = contents[name]
        if not content or len(content) % record:
            raise _broken(
                archive,
                f"{name} has {len(content):,} bytes, no whole number of {record}-byte images",
            )
        records = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
        for column, (_, classes) in enumerate(layout.labels):
            if (wrong := records[:, column] >= classes).any():
                first = int(wrong.argmax())
                raise _broken(
                    archive,
                    f"{name}, image {first}: label {records[first, column]} of {classes} classes",
                )
        planes = records[:, label_bytes:].reshape(-1, 3, _SIDE, _SIDE)
        images.append(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)))
        labels.append(records[:, label_bytes - 1].astype(np.int64))
    return np.concatenate(images), np.concatenate(labels)
