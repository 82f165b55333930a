"""The user's own images: `train/<class>/*` and `test/<class>/*`, in any format Pillow reads."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError

SIDES = ("train", "test")


def read_image_folder(
    path: str | Path, image_size: int | None = None, per_class: int | None = None
) -> Dataset:
    """Read a folder of images as a dataset.

    Classes and files are taken in sorted order, hidden files left out. `image_size` (pixels) brings
    every image to a square of that size: the shorter side is scaled to it and the middle cut out;
    without it all images must already have one size. `per_class` keeps the first so many train
    images of a class, and as many test images.

    Raises AuditError naming the folder, class or file: a side or class that is missing or empty, a
    class on one side only, a folder or file out of place, a name that is not UTF-8, a file that is
    no image or broken, images of several sizes.
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
        raise AuditError(
            f"{root / 'train'}: only one class, {names[0]!r}; there must be two or more"
        )
    sides = {}
    first: tuple[Path, tuple[int, ...]] | None = None
    for side in SIDES:
        images, labels, origins = [], [], []
        for label, name in enumerate(names):
            for file in files[side][name]:
                image = read_image(file, image_size)
                first = first or (file, image.shape)
                if image.shape != first[1]:
                    raise AuditError(
                        f"{file}: {_size(image.shape)} pixels, but {first[0]} has "
                        f"{_size(first[1])}; set dataset.image_folder.image_size"
                    )
                images.append(image)
                labels.append(label)
                origins.append(str(file.relative_to(root)))
        sides[side] = np.stack(images), np.array(labels, dtype=np.int64), origins
    return Dataset(
        class_names=names,
        train_images=sides["train"][0],
        train_labels=sides["train"][1],
        test_images=sides["test"][0],
        test_labels=sides["test"][1],
        train_names=sides["train"][2],
        test_names=sides["test"][2],
    )


def class_files(folder: Path, per_class: int | None) -> dict[str, list[Path]]:
    """The image files below each class folder of `folder`, at most `per_class` of each, sorted."""
    if not folder.is_dir():
        raise AuditError(
            f"{folder}: there is no such folder; images are expected in {folder}/<class>/*"
        )
    classes = _visible(folder)
    if not classes:
        raise AuditError(f"{folder}: no class folders; images are expected in {folder}/<class>/*")
    found = {}
    for entry in classes:
        if not entry.is_dir():
            raise AuditError(
                f"{entry}: is in no class; put it into {folder}/<class>/ or take it away"
            )
        files = _visible(entry)
        if not files:
            raise AuditError(f"{entry}: class {entry.name!r} has no images")
        for file in files:
            if not file.is_file():
                what = "a folder within a class" if file.is_dir() else "a link that leads nowhere"
                raise AuditError(
                    f"{file}: {what}; images lie directly in {entry}/: move them there, or take it "
                    "away"
                )
        found[entry.name] = files[:per_class]
    return found


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without hidden files."""
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


def read_image(file: Path, size: int | None) -> np.ndarray:
    """One image as uint8 (h, w, 3), upright by its EXIF tag."""
    try:
        with Image.open(file) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            elif image.mode in ("I", "F"):
                raise AuditError(
                    f"{file}: pixels of 32 bits have no known range; save it with 8 or 16 bits"
                )
            image = image.convert("RGB")
            if size is not None:
                image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
            return np.asarray(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise AuditError(
            f"{file}: not an image, or a broken one ({error}); mend it or take it away"
        ) from error
    except Image.DecompressionBombError as error:
        raise AuditError(f"{file}: {error}") from error


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
