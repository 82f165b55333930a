"""Files of the duplicate finder: images in (a folder or a dataset file), ranked pairs out."""

import hashlib
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memaudit import store, tables
from memaudit.data import dataset, image_folder
from memaudit.data.arrays import read_arrays
from memaudit.data.image_folder import SeveralSizes, Side
from memaudit.data.images import Scale, read_image, viewed_size
from memaudit.data.reader import Report, raise_faults
from memaudit.data.survey import explain_layout
from memaudit.errors import AuditError

if TYPE_CHECKING:
    from memaudit.duplicates.finder import Pairs


_COLUMNS = ("score", "kind", "probability")
_NEEDED = (
    "name a folder with train/<class>/* and test/<class>/*, a dataset file of a study "
    "(data/<name>.h5) or arrays (.npz)"
)
_LONGEST = 64  # side in pixels to which larger images of one size are scaled; 32 are compared


def read_sides(
    path: str | Path,
    image_size: int | None = None,
    sides: Sequence[str] = ("train", "test"),
    report: Report = print,
) -> list[Side]:
    """Read the images of `sides` from a folder, from a dataset file or from an .npz file.

    `path` is a folder with `train/<class>/*` and `test/<class>/*`, or a dataset file
    (`memaudit.store.DATASET`) whose name ends in `.h5`, or a file of arrays
    (`memaudit.data.arrays`) whose name ends in `.npz`. Images are named by their file, relative to
    the folder, or by their index. The sides may have different classes. `image_size` (pixels)
    brings the images of a folder to a square: the shorter side is scaled to it, the centre cropped.
    Without it they must have one size, and keep their proportions if scaled to 64 pixels. Images
    are scaled as they are read, one at a time. `report` is told about images of unusual modes.

    Raises AuditError, naming file and remedy: nothing there, a side or class without images,
    unreadable images; SeveralSizes for images of several sizes without `image_size`.
    """
    path = image_folder.folder_at(path)
    if path.suffix == ".h5":
        if image_size is not None:
            raise AuditError(f"{path}: --image-size applies to folders only; omit it")
        remedy = f"Leave it as it is and {_NEEDED}"
        return _from_dataset(path, dataset.load(path, remedy), sides)
    if path.suffix == ".npz":
        return _from_dataset(path, read_arrays(path, image_size=image_size), sides)
    if not path.is_dir():
        raise AuditError(f"{path}: {image_folder.no_folder(path)}; {_NEEDED}")
    if missing := [side for side in sides if not (path / side).is_dir()]:
        raise AuditError(explain_layout(path, missing))
    faults: list[str] = []
    files = {side: image_folder.class_files(path / side, faults) for side in sides}
    if not any(files.values()):
        raise_faults(path, faults)
    if image_size is None:
        classes = [images for found in files.values() for images in found.values()]
        _check_one_size([file for images in classes for file in images])
    scale = Scale(_LONGEST, crop=False) if image_size is None else Scale(image_size)
    return _with_content(path, image_folder.read_folders(path, files, scale, report, faults))


def _check_one_size(files: Sequence[Path]) -> None:
    """Raise SeveralSizes for images of two sizes, from their headers."""
    first: tuple[Path, tuple[int, int]] | None = None
    for file in files:
        size = viewed_size(file)
        first = first or (size and (file, size))
        if first and size and size != first[1]:
            sizes = [f"{width} x {height}" for width, height in (size, first[1])]
            raise SeveralSizes(f"{file}: {sizes[0]} pixels, but {first[0]} has {sizes[1]}")


def _with_content(root: Path, sides: Sequence[Side]) -> list[Side]:
    """Tell images that are identical only after scaling from those that were identical before.

    Only files whose scaled images are identical are read again.
    """
    content = [[_digest(image) for image in side.images] for side in sides]
    alike: dict[bytes, list[tuple[int, int]]] = {}
    for number, digests in enumerate(content):
        for row, digest in enumerate(digests):
            alike.setdefault(digest, []).append((number, row))
    for rows in alike.values():
        if len(rows) == 1:
            continue
        by_bytes: dict[bytes, list[tuple[int, int]]] = {}
        for number, row in rows:
            with open(root / sides[number].names[row], "rb") as file:
                by_bytes.setdefault(hashlib.file_digest(file, "blake2b").digest(), []).append(
                    (number, row)
                )
        if len(by_bytes) == 1:
            continue
        for same in by_bytes.values():
            number, row = same[0]
            with warnings.catch_warnings():  # given when it was read the first time
                warnings.simplefilter("ignore")
                digest = _digest(read_image(root / sides[number].names[row]).pixels)
            for number, row in same:
                content[number][row] = digest
    return [replace(side, content=found) for side, found in zip(sides, content, strict=True)]


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(f"{image.shape}".encode() + image.tobytes()).digest()


def _from_dataset(path: Path, data: dataset.Dataset, sides: Sequence[str]) -> list[Side]:
    read = []
    for side in sides:
        images, labels = getattr(data, f"{side}_images"), getattr(data, f"{side}_labels")
        if not images.size:
            raise AuditError(f"{path}: it has no {side} images")
        names = getattr(data, f"{side}_names") or list(map(str, range(len(labels))))
        read.append(Side(images, names, [data.class_names[label] for label in labels]))
    return read


def as_dataset(train: Side, test: Side) -> dataset.Dataset:
    """Return the two sides as a dataset; the classes are numbered by name."""
    names = sorted({*train.classes, *test.classes})
    number = {name: label for label, name in enumerate(names)}
    labels = [np.array([number[name] for name in side.classes]) for side in (train, test)]
    return dataset.Dataset(names, train.images, labels[0], test.images, labels[1])


def write_duplicates(
    pairs: "Pairs",
    path: str | Path,
    train_names: Sequence[str] = (),
    test_names: Sequence[str] = (),
) -> None:
    """Write ranked pairs as CSV: train, test (indices), score, kind, probability.

    If the names of all images are given, columns train_path and test_path follow.
    """
    header, rows = ["train", "test", *_COLUMNS], _rows(pairs)
    if train_names and test_names:
        header += ["train_path", "test_path"]
        rows = ((*row, train_names[row[0]], test_names[row[1]]) for row in rows)  # type: ignore[misc]
    tables.write(path, header, rows, ".4f")


def write_pairs(
    pairs: "Pairs",
    path: str | Path,
    train_names: Sequence[str],
    test_names: Sequence[str],
    columns: tuple[str, str] = ("train_path", "test_path"),
) -> None:
    """Write ranked pairs as CSV by the names of the images: `columns`, score, kind, probability."""
    rows = ((train_names[train], test_names[test], *rest) for train, test, *rest in _rows(pairs))
    tables.write(path, [*columns, *_COLUMNS], rows, ".4f")


def _rows(pairs: "Pairs") -> Iterator[tuple[int, int, float, str, float]]:
    columns = (pairs.train, pairs.test, *(getattr(pairs, name) for name in _COLUMNS))
    return zip(*(column.tolist() for column in columns), strict=True)


def read_duplicates(
    path: str | Path, kinds: Collection[str] = ("exact", "near")
) -> list[tuple[int, int, str]]:
    """Read the pairs of the given kinds as (train, test, kind)."""
    rows = tables.read(path, {"train": int, "test": int, "kind": str})
    return [(train, test, kind) for train, test, kind in rows if kind in kinds]


def read_probabilities(path: str | Path) -> dict[tuple[int, int], float]:
    """Read the probability of each pair (train, test) that `write_duplicates` wrote."""
    columns = {"train": int, "test": int, "probability": float}
    return {(train, test): chance for train, test, chance in tables.read(path, columns)}


def read_ranked(
    path: str | Path, data: dataset.Dataset
) -> dict[tuple[int, int], tuple[float, float]]:
    """Read score and probability of each pair (train, test) that `write_pairs` wrote, by indices.

    The pairs are those of `data`, by name or index. Raises AuditError for a name that is not in it.
    """
    kinds = {"train_path": str, "test_path": str, "score": float, "probability": float}
    train, test = (
        {str(name): index for index, name in enumerate(names)}
        for names in (
            data.train_names or range(data.n_train),
            data.test_names or range(data.n_test),
        )
    )
    found = {}
    for a, b, score, probability in tables.read(path, kinds):
        if a not in train or b not in test:
            raise AuditError(
                f"{path}: {a}, {b} is not a pair of this dataset. {store.rebuild_hint(path)}"
            )
        found[train[a], test[b]] = score, probability
    return found
