"""The finder's files: images in (a folder or a dataset file), ranked pairs out and in again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memaudit import store, tables
from memaudit.data import dataset, image_folder
from memaudit.errors import AuditError

if TYPE_CHECKING:
    from memaudit.duplicates.finder import Pairs


class SeveralSizes(AuditError):  # noqa: N818, it may be mended at once
    """Images of a folder have several sizes, and none was given to scale them to."""


@dataclass(frozen=True)
class Side:
    """Images (n, h, w, 3) uint8 RGB; what each is called (its file, or its index) and its class."""

    images: np.ndarray
    names: list[str]
    classes: list[str]

    def __len__(self) -> int:
        return len(self.names)


def read_sides(
    path: str | Path, image_size: int | None = None, sides: Sequence[str] = ("train", "test")
) -> list[Side]:
    """Read the images of ``sides`` from a folder or from a dataset file.

    ``path`` is a folder with ``train/<class>/*`` and ``test/<class>/*``, or an HDF5 file by the
    contract `memaudit.store.DATASET` (its name ends in ``.h5``). Names are files relative to the
    folder; images of a dataset file that came from no files are called by their index. Classes
    need not be the same on both sides. ``image_size`` (pixels) brings the images of a folder to a
    square: the shorter side is scaled to it and the middle cut out.

    Raises AuditError, naming file and remedy: nothing there, a side or class without images, a file
    that is no image, images of several sizes without ``image_size``.
    """
    path = Path(path)
    if path.suffix == ".h5":
        return _from_dataset(path, image_size, sides)
    if not path.is_dir():
        what = "this is a file" if path.exists() else "there is no such folder"
        raise AuditError(
            f"{path}: {what}; name a folder with train/<class>/* and test/<class>/*, or a dataset "
            "file (.h5)"
        )
    files = {side: image_folder.class_files(path / side, None) for side in sides}
    read: list[Side] = []
    first: tuple[Path, tuple[int, ...]] | None = None
    for side in sides:
        named = [(file, name) for name, found in files[side].items() for file in found]
        images = np.empty(0)
        for row, (file, _) in enumerate(named):
            image = image_folder.read_image(file, image_size)
            first = first or (file, image.shape)
            if image.shape != first[1]:
                raise SeveralSizes(
                    f"{file}: {_size(image.shape)} pixels, but {first[0]} has {_size(first[1])}"
                )
            if not row:
                images = np.empty((len(named), *image.shape), np.uint8)
            images[row] = image
        names = [file.relative_to(path).as_posix() for file, _ in named]
        read.append(Side(images, names, [name for _, name in named]))
    return read


def _from_dataset(path: Path, image_size: int | None, sides: Sequence[str]) -> list[Side]:
    if image_size is not None:
        raise AuditError(f"{path}: --image-size is for folders; leave it out")
    data = dataset.load(path)
    read = []
    for side in sides:
        labels = getattr(data, f"{side}_labels")
        names = getattr(data, f"{side}_names") or [str(row) for row in range(len(labels))]
        images = getattr(data, f"{side}_images")
        if not images.size:
            raise AuditError(f"{path}: there are no {side} images in it")
        read.append(Side(images, names, [data.class_names[label] for label in labels]))
    return read


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"


def write_duplicates(
    pairs: "Pairs",
    path: str | Path,
    train_names: Sequence[str] = (),
    test_names: Sequence[str] = (),
) -> None:
    """Write ranked pairs as CSV: train, test (indices), score, kind.

    With the names of all images, columns train_path and test_path follow.
    """
    named = bool(train_names and test_names)
    header = ["train", "test", "score", "kind"] + ["train_path", "test_path"] * named
    rows = (
        [train, test, score, kind, *([train_names[train], test_names[test]] if named else [])]
        for train, test, score, kind in _rows(pairs)
    )
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
        [train_names[train], test_names[test], score, kind]
        for train, test, score, kind in _rows(pairs)
    )
    tables.write(path, [*columns, "score", "kind"], rows, ".4f")


def _rows(pairs: "Pairs") -> Iterable[tuple[int, int, float, str]]:
    columns = (pairs.train, pairs.test, pairs.score, pairs.kind)
    return zip(*(column.tolist() for column in columns), strict=True)


def read_duplicates(path: str | Path) -> list[tuple[int, int, str]]:
    """Read the pairs called "exact" or "near": (train, test, kind)."""
    rows = tables.read(path, {"train": int, "test": int, "kind": str})
    return [(train, test, kind) for train, test, kind in rows if kind != "candidate"]


def read_scores(
    path: str | Path, train_names: Sequence[str], test_names: Sequence[str]
) -> dict[tuple[int, int], float]:
    """The score of each pair (train, test) that `write_pairs` wrote, by the images' indices.

    The names are those that it was given. Raises AuditError for one that is not among them.
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
                f"{path}: {a}, {b} is no pair of this dataset. {store.rebuild_hint(path)}"
            )
        scores[train[a], test[b]] = score
    return scores
