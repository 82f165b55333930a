"""Read a user's images: `train/<class>/*` and `test/<class>/*`, in any format that Pillow reads."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError

SIDES = ("train", "test")


class SeveralSizes(AuditError):  # noqa: N818, a caller may choose a size and continue
    """Images have several sizes, and no size was given to scale them to."""


@dataclass(frozen=True)
class Side:
    """Images (n, h, w, 3) uint8 RGB with the name (file or index) and the class of each."""

    images: np.ndarray
    names: list[str]
    classes: list[str]

    def __len__(self) -> int:
        return len(self.names)


def read_image_folder(
    path: str | Path, image_size: int | None = None, per_class: int | None = None
) -> Dataset:
    """Read a folder of images as a dataset.

    Classes and files are taken in sorted order, without hidden files. `image_size` (pixels) brings
    every image to a square: the shorter side is scaled to it and the centre cropped; without it all
    images must have one size. `per_class` limits the training images, and the test images, of each
    class.

    Raises AuditError naming the folder, class or file: a missing or empty side or class, a class
    on one side only, a misplaced folder or file, a name that is not UTF-8, an unreadable image,
    images of several sizes.
    """
    root = Path(path)
    files = {side: class_files(root / side, per_class) for side in SIDES}
    names = sorted(files["train"])
    for one, other in (SIDES, SIDES[::-1]):
        if missing := sorted(set(files[one]) - set(files[other])):
            raise AuditError(
                f"{root}: class {missing[0]!r} is in {one}/ but not in {other}/; "
                "every class needs images on both sides"
            )
    if len(names) < 2:
        raise AuditError(f"{root / 'train'}: only one class, {names[0]!r}; at least two are needed")
    try:
        train, test = read_folders(root, files, image_size)
    except SeveralSizes as error:
        raise AuditError(f"{error}; set dataset.image_folder.image_size") from None
    number = {name: label for label, name in enumerate(names)}
    train_labels, test_labels = (
        np.array([number[name] for name in side.classes], dtype=np.int64) for side in (train, test)
    )
    return Dataset(
        names, train.images, train_labels, test.images, test_labels, train.names, test.names
    )


def read_folders(
    root: Path, files: dict[str, dict[str, list[Path]]], image_size: int | None
) -> list[Side]:
    """Read the files of each side, {side: {class: files}}, to images of one size."""
    sides = []
    first: tuple[Path, tuple[int, ...]] | None = None
    for classes in files.values():
        named = [(file, name) for name in sorted(classes) for file in classes[name]]
        images = np.empty(0, np.uint8)
        for row, (file, _) in enumerate(named):
            image = read_image(file, image_size)
            first = first or (file, image.shape)
            if image.shape != first[1]:
                raise SeveralSizes(
                    f"{file}: {_size(image.shape)} pixels, but {first[0]} has {_size(first[1])}"
                )
            if not row:
                images = np.empty((len(named), *image.shape), np.uint8)
            images[row] = image
        names = [file.relative_to(root).as_posix() for file, _ in named]
        sides.append(Side(images, names, [name for _, name in named]))
    return sides


def class_files(folder: Path, per_class: int | None) -> dict[str, list[Path]]:
    """Return the image files of each class folder of `folder`, sorted, at most `per_class` each."""
    layout = f"images are expected in {folder}/<class>/*"
    if not folder.is_dir():
        raise AuditError(f"{folder}: directory not found; {layout}")
    classes = visible(folder)
    if not classes:
        raise AuditError(f"{folder}: no class folders; {layout}")
    found = {}
    for entry in classes:
        if not entry.is_dir():
            raise AuditError(f"{entry}: not in a class folder; {layout}. Move or remove it")
        files = visible(entry)
        if not files:
            raise AuditError(f"{entry}: class {entry.name!r} has no images")
        for file in files:
            if not file.is_file():
                what = "a folder inside a class folder" if file.is_dir() else "a broken link"
                raise AuditError(f"{file}: {what}; {layout}. Move or remove it")
        found[entry.name] = files[:per_class]
    return found


def visible(folder: Path) -> list[Path]:
    """Return the entries of a folder, sorted, without hidden files."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise AuditError(f"{folder}: cannot be read ({error.strerror})") from None
    for entry in entries:
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            name = os.fsencode(entry.name).decode(errors="backslashreplace")
            raise AuditError(f"{folder}/{name}: the name is not UTF-8; rename it") from None
    return entries


def count_images(folder: str | Path, side: str, per_class: int | None) -> int:
    """Count the images of a side, "train" or "test", that `read_image_folder` would read."""
    classes = [images for images in Path(folder, side).glob("*/") if images.is_dir()]
    counts = [sum(1 for _ in images.iterdir()) for images in classes]
    return sum(min(count, per_class or count) for count in counts)


def read_image(file: Path, size: int | None) -> np.ndarray:
    """Read one image as uint8 (h, w, 3), oriented by its EXIF tag."""
    try:
        with Image.open(file) as opened:
            image: Image.Image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            elif image.mode in ("I", "F"):
                raise AuditError(
                    f"{file}: 32-bit pixels have no defined range; save it with 8 or 16 bits"
                )
            image = image.convert("RGB")
            if size is not None:
                image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
            return np.asarray(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise AuditError(
            f"{file}: not an image, or damaged ({error}); replace or remove it"
        ) from error
    except Image.DecompressionBombError as error:
        raise AuditError(f"{file}: {error}") from error


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
