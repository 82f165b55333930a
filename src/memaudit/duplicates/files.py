"""Files of the duplicate finder: images in (a folder or a dataset file), ranked pairs out."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memaudit import store, tables
from memaudit.data import dataset, image_folder
from memaudit.data.image_folder import SeveralSizes, Side
from memaudit.data.images import Report, Scale, raise_faults, read_image, viewed_size
from memaudit.errors import AuditError

if TYPE_CHECKING:
    from memaudit.duplicates.finder import Pairs


_LONGEST = 64  # side in pixels to which larger images of one size are scaled; 32 are compared


def read_sides(
    path: str | Path,
    image_size: int | None = None,
    sides: Sequence[str] = ("train", "test"),
    report: Report = print,
) -> list[Side]:
    """Read the images of `sides` from a folder or from a dataset file.

    `path` is a folder with `train/<class>/*` and `test/<class>/*`, or a dataset file
    (`memaudit.store.DATASET`) whose name ends in `.h5`. Images are named by their file, relative to
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
        return _from_dataset(path, sides)
    if not path.is_dir():
        what = "this is a file" if path.exists() else "directory not found"
        raise AuditError(
            f"{path}: {what}; name a folder with train/<class>/* and test/<class>/*, or a dataset "
            "file (.h5)"
        )
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
            digest = _digest(read_image(root / sides[number].names[row]).pixels)
            for number, row in same:
                content[number][row] = digest
    return [replace(side, content=found) for side, found in zip(sides, content, strict=True)]


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(f"{image.shape}".encode() + image.tobytes()).digest()


def _from_dataset(path: Path, sides: Sequence[str]) -> list[Side]:
    data = dataset.load(path)
    read = []
    for side in sides:
        images, labels = getattr(data, f"{side}_images"), getattr(data, f"{side}_labels")
        if not images.size:
            raise AuditError(f"{path}: it has no {side} images")
        names = getattr(data, f"{side}_names") or list(map(str, range(len(labels))))
        read.append(Side(images, names, [data.class_names[label] for label in labels]))
    return read


def write_duplicates(
    pairs: "Pairs",
    path: str | Path,
    train_names: Sequence[str] = (),
    test_names: Sequence[str] = (),
) -> None:
    """Write ranked pairs as CSV: train, test (indices), score, kind.

    If the names of all images are given, columns train_path and test_path follow.
    """
    header, rows = ["train", "test", "score", "kind"], _rows(pairs)
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
    """Write ranked pairs as CSV by the names of the images: train_path, test_path, score, kind."""
    rows = (
        (train_names[train], test_names[test], score, kind)
        for train, test, score, kind in _rows(pairs)
    )
    tables.write(path, [*columns, "score", "kind"], rows, ".4f")


def _rows(pairs: "Pairs") -> Iterator[tuple[int, int, float, str]]:
    columns = (pairs.train, pairs.test, pairs.score, pairs.kind)
    return zip(*(column.tolist() for column in columns), strict=True)


def read_duplicates(path: str | Path) -> list[tuple[int, int, str]]:
    """Read the pairs of kind "exact" or "near" as (train, test, kind)."""
    rows = tables.read(path, {"train": int, "test": int, "kind": str})
    return [(train, test, kind) for train, test, kind in rows if kind != "candidate"]


def read_scores(
    path: str | Path, train_names: Sequence[str], test_names: Sequence[str]
) -> dict[tuple[int, int], float]:
    """Read the score of each pair (train, test) that `write_pairs` wrote, by indices.

    Takes the names that `write_pairs` took. Raises AuditError for a name that is not among them.
    """
    kinds = {"train_path": str, "test_path": str, "score": float}
    train, test = (
        {str(name): index for index, name in enumerate(names)}
        for names in (train_names, test_names)
    )
    scores = {}
    for a, b, score in tables.read(path, kinds):
        if a not in train or b not in test:
            raise AuditError(
                f"{path}: {a}, {b} is not a pair of this dataset. {store.rebuild_hint(path)}"
            )
        scores[train[a], test[b]] = score
    return scores
