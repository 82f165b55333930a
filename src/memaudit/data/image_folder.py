"""Read a user's images: `train/<class>/*` and `test/<class>/*`, in any format that Pillow reads."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from memaudit.data import mapped
from memaudit.data.dataset import Dataset
from memaudit.data.images import Scale
from memaudit.data.reader import Reader, Report, raise_faults
from memaudit.errors import AuditError
from memaudit.names import nfc, printable

SIDES = ("train", "test")
_WINDOWS_FILES = {"thumbs.db", "desktop.ini"}  # ignored like hidden files

Files = dict[str, list[Path]]  # the images of each class, by its name in Unicode form NFC


class SeveralSizes(AuditError):  # noqa: N818, a caller may choose a size and continue
    """Images have several sizes, and no size was given to scale them to."""


@dataclass(frozen=True)
class Side:
    """Images (n, h, w, 3) uint8 RGB with the name (file or index) and the class of each.

    Two images with equal `content` were identical before they were scaled; it is empty for images
    that were not scaled.
    """

    images: np.ndarray
    names: list[str]
    classes: list[str]
    content: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)


def read_image_folder(
    path: str | Path,
    image_size: int | None = None,
    per_class: int | None = None,
    report: Report = print,
    scratch: str | Path | None = None,
) -> Dataset:
    """Read a folder of images as a dataset.

    Classes and files are taken in sorted order, without hidden files. `image_size` (pixels) brings
    every image to a square: the shorter side is scaled to it and the centre cropped; without it all
    images must have one size. `per_class` limits the training images, and the test images, of each
    class. `report` is told what was done to images of unusual modes. With `scratch`, a folder,
    the pixels are kept there in an unnamed file instead of in memory.

    Raises AuditError naming up to twenty folders, classes or files: a missing or empty side or
    class, a class on one side only, a misplaced folder or file, a name that is not UTF-8, an
    unreadable image, images of several sizes.
    """
    root = folder_at(path)
    faults: list[str] = []
    files = {side: class_files(root / side, faults) for side in SIDES}
    for one, other in (SIDES, SIDES[::-1]):
        if files[one] and files[other]:
            faults += [
                f"{printable(str(root))}: class {name!r} is in {one}/ but not in {other}/; "
                "every class needs images on both sides"
                for name in sorted(set(files[one]) - set(files[other]))
            ]
    names = sorted(files["train"])
    if len(names) == 1:
        faults.append(f"{root / 'train'}: only one class, {names[0]!r}; at least two are needed")
    used = {
        side: {name: images[:per_class] for name, images in classes.items()}
        for side, classes in files.items()
    }
    try:
        scale = None if image_size is None else Scale(image_size)
        train, test = read_folders(root, used, scale, report, faults, scratch)
    except SeveralSizes as error:
        raise SeveralSizes(f"{error}; set dataset.image_folder.image_size") from None
    number = {name: label for label, name in enumerate(names)}
    train_labels, test_labels = (
        np.array([number[name] for name in side.classes], dtype=np.int64) for side in (train, test)
    )
    return Dataset(
        names, train.images, train_labels, test.images, test_labels, train.names, test.names
    )


def read_folders(
    root: Path,
    files: dict[str, Files],
    scale: Scale | None,
    report: Report,
    faults: Sequence[str] = (),
    scratch: str | Path | None = None,
) -> list[Side]:
    """Read the files of each side, {side: {class: files}}, to images of one size.

    The pixels are kept in memory, or in an unnamed file in the folder `scratch`.

    Raises AuditError with `faults`, found before, and all unreadable images; SeveralSizes if that
    is the only problem.
    """
    sides = []
    total = sum(len(images) for classes in files.values() for images in classes.values())
    first: tuple[Path, tuple[int, int]] | None = None
    unlike = ""
    with Reader() as reader:
        for classes in files.values():
            named = [(file, name) for name in sorted(classes) for file in classes[name]]
            images = np.empty(0, np.uint8)
            for row, (file, _) in enumerate(named):
                picture = reader.read(file, scale)
                if picture is None:
                    continue
                if first is None:
                    first = file, picture.size
                    if scratch is None:
                        _check_memory(root, total, picture.pixels.shape)
                if picture.size != first[1] and not (scale and scale.crop):
                    unlike = unlike or (
                        f"{printable(str(file))}: {_size(picture.size)} pixels, but "
                        f"{printable(str(first[0]))} has {_size(first[1])}"
                    )
                    continue
                if not images.size:
                    shape = (len(named), *picture.pixels.shape)
                    images = on_disk(shape, scratch) if scratch else np.empty(shape, np.uint8)
                images[row] = picture.pixels
                if not (row + 1) % mapped.rows_per_block(images):
                    mapped.release(images)
            names = [file.relative_to(root).as_posix() for file, _ in named]
            sides.append(Side(images, names, [name for _, name in named]))
    raise_faults(root, [*faults, *reader.faults, *reader.range_faults()])
    if unlike:
        raise SeveralSizes(unlike)
    for note in reader.notes():
        report(note)
    return sides


def class_files(folder: Path, faults: list[str]) -> Files:
    """Return the image files of each class folder of `folder`, sorted.

    What is missing, out of place or ambiguous is added to `faults`.
    """
    layout = f"images are expected in {printable(str(folder))}/<class>/*"
    found: Files = {}
    if not folder.is_dir():
        faults.append(f"{printable(str(folder))}: {no_folder(folder)}; {layout}")
        return found
    entries = visible(folder, faults)
    if not entries:
        faults.append(f"{printable(str(folder))}: no class folders; {layout}")
    for entry in entries:
        shown = printable(str(entry))
        if not entry.is_dir():
            faults.append(f"{shown}: not in a class folder; {layout}. Move or remove it")
            continue
        files = []
        for file in visible(entry, faults):
            if file.is_file():
                files.append(file)
                continue
            what = "a folder inside a class folder" if file.is_dir() else "not a file"
            what = what if file.exists() else "a broken link"
            faults.append(f"{printable(str(file))}: {what}; {layout}. Move or remove it")
        if not files:
            faults.append(f"{shown}: class {nfc(entry.name)!r} has no images")
        found[nfc(entry.name)] = files
    return found


def visible(folder: Path, faults: list[str]) -> list[Path]:
    """Return the entries of a folder sorted by their names in form NFC, without hidden files
    and those that Windows writes.

    A folder or names that cannot be read, and names equal in NFC, are added to `faults`.
    """
    try:
        entries = [
            entry
            for entry in folder.iterdir()
            if not entry.name.startswith(".") and entry.name.lower() not in _WINDOWS_FILES
        ]
    except OSError as error:
        faults.append(f"{printable(str(folder))}: cannot be read ({error.strerror})")
        return []
    kept = []
    for entry in entries:
        try:
            entry.name.encode()
            kept.append(entry)
        except UnicodeEncodeError:
            name, encoding = os.fsencode(entry.name), sys.getfilesystemencoding()
            try:
                name.decode()
                what = f"Python reads names as {encoding} in this locale; set PYTHONUTF8=1"
            except UnicodeDecodeError:
                what = "the name is not UTF-8; rename it"
            shown = name.decode(errors="backslashreplace")
            faults.append(f"{printable(str(folder))}/{shown}: {what}")
    kept.sort(key=lambda entry: (nfc(entry.name), entry.name))
    for _, group in groupby(kept, key=lambda entry: nfc(entry.name)):
        same = [ascii(entry.name) for entry in group]
        if len(same) > 1:
            faults.append(
                f"{printable(str(folder))}: {' and '.join(same)} are one name in two Unicode "
                "normal forms (NFC, NFD); merge or rename them"
            )
    return kept


def folder_at(path: str | Path) -> Path:
    """Return the path with `~` replaced by the home directory."""
    return Path(os.path.expanduser(path))  # noqa: PTH111, Path raises for an unknown user


def no_folder(path: Path) -> str:
    """Say why `path` is not a folder."""
    return "this is a file" if path.is_file() else "directory not found"


def count_images(folder: str | Path, side: str, per_class: int | None) -> int:
    """Count the images of a side, "train" or "test", that `read_image_folder` would read."""
    classes = [visible(entry, []) for entry in class_folders(folder, side)]
    return sum(min(len(images), per_class or len(images)) for images in classes)


def class_folders(folder: str | Path, side: str) -> list[Path]:
    """Return the folders of the classes of a side, "train" or "test"; none if it is missing."""
    root = folder_at(folder) / side
    return [entry for entry in visible(root, []) if entry.is_dir()] if root.is_dir() else []


def on_disk(shape: tuple[int, ...], folder: str | Path) -> np.ndarray:
    """Return `mapped.scratch`; raises AuditError if the disk is full."""
    try:
        return mapped.scratch(shape, folder)
    except OSError as error:
        raise AuditError(
            f"{printable(str(folder))}: {np.prod(shape) / 1e9:,.1f} GB for pixels cannot be stored "
            f"({error.strerror}). Free disk space, or set an image size"
        ) from None


def _check_memory(root: Path, images: int, shape: tuple[int, ...]) -> None:
    """Raise AuditError if the images do not fit in the memory that this process may use."""
    needed, free = images * int(np.prod(shape)), _free_memory()
    if free is not None and needed > free:
        raise AuditError(
            f"{printable(str(root))}: {images:,} images of {_size((shape[1], shape[0]))} pixels "
            f"need {needed / 1e9:,.1f} GB of memory, {free / 1e9:,.1f} GB are available; set a "
            "smaller image size to scale them to (dataset.image_folder.image_size, --image-size)"
        )


def _free_memory() -> int | None:
    """Return the bytes that this process may still allocate, None if unknown."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvail"))
        used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
        import resource  # not on Windows, nor is /proc
    except (OSError, StopIteration, ValueError):
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return free
    return min(free, max(0, limit - used * resource.getpagesize()))


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
