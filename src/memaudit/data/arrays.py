"""Read images and labels from an .npz file, as MedMNIST and Keras write them."""

import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps

import memaudit
from memaudit import store
from memaudit.data import mapped
from memaudit.data.dataset import Dataset
from memaudit.data.image_folder import folder_at, on_disk
from memaudit.errors import AuditError

# Names of the images and of the labels of each side: MedMNIST's, then Keras's.
NAMES = (
    {side: (f"{side}_images", f"{side}_labels") for side in ("train", "test", "val")},
    {side: (f"x_{side}", f"y_{side}") for side in ("train", "test", "val")},
)
_IMAGES = "(n, h, w), (n, h, w, 1) or (n, h, w, 3)"


class ArrayFile:
    """An .npz file whose headers and labels are checked; images are read on request.

    `validation` says what is done with validation images: "omit", or join them to "train" or
    "test". Raises AuditError naming file, key, shape and remedy.
    """

    def __init__(self, path: str | Path, validation: str = "omit"):
        self.path = _located(path)
        with _explained(self.path), zipfile.ZipFile(self.path) as archive:
            keys = {Path(name).stem: name for name in archive.namelist() if name.endswith(".npy")}
            self._members = keys
            self._names = next((n for n in NAMES if n["train"][0] in keys), NAMES[0])
            validation_key = keys.get(self._names["val"][0])
            self.n_validation = (
                self._image_shape(archive, validation_key)[0] if validation_key else 0
            )
            self._parts: dict[str, list[str]] = {"train": ["train"], "test": ["test"]}
            if validation != "omit" and validation_key:
                self._parts[validation].append("val")
            self.shapes: dict[str, tuple[int, ...]] = {}
            for part in (part for parts in self._parts.values() for part in parts):
                for key in self._names[part]:
                    if key not in keys:
                        raise self._error(
                            f"has no array {key!r} (it has {', '.join(sorted(keys)) or 'none'}); "
                            "save train_images, train_labels, test_images and test_labels, or "
                            "x_train, y_train, x_test and y_test"
                        )
                self.shapes[part] = self._image_shape(archive, keys[self._names[part][0]])
        self._labels = {part: self._read_labels(part) for part in self.shapes}
        sizes = {part: shape[1:3] for part, shape in self.shapes.items()}
        for part, size in sizes.items():
            if size != sizes["train"]:
                keys_of = [self._names[one][0] for one in (part, "train")]
                raise self._error(
                    f"images of {keys_of[0]} are {size[0]} x {size[1]} pixels, those of "
                    f"{keys_of[1]} {sizes['train'][0]} x {sizes['train'][1]}; bring them to one "
                    "size"
                )
        self.counts = {side: Counter(self.labels(side).tolist()) for side in self._parts}
        self._check_classes()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        _, height, width = self.shapes["train"][:3]
        return width, height

    def labels(self, side: str) -> np.ndarray:
        """Return the labels of a side, "train" or "test", as in the file, int64 (n,)."""
        return np.concatenate([self._labels[part] for part in self._parts[side]])

    def blocks(self, side: str) -> Iterator[np.ndarray]:
        """Yield the images of a side in blocks, uint8 (m, h, w, 3); grey in all three channels.

        A block has `mapped.BLOCK` bytes, also where the file is compressed. Only an array in
        Fortran order, which stores no image in one piece, is read as a whole.
        """
        for part in self._parts[side]:
            for block in self._blocks(self._names[part][0]):
                images = block if block.ndim == 4 else block[..., None]
                yield np.broadcast_to(images, (*images.shape[:3], 3))

    def _blocks(self, key: str) -> Iterator[np.ndarray]:
        with (
            _explained(self.path, key),
            zipfile.ZipFile(self.path) as archive,
            archive.open(self._members[key]) as stream,
        ):
            shape, in_fortran_order, _ = _header(stream)
            if in_fortran_order:
                yield self._read(key)
                return
            size = int(np.prod(shape[1:]))
            rows = max(1, mapped.BLOCK // size)
            for start in range(0, shape[0], rows):
                wanted = min(rows, shape[0] - start)
                data = stream.read(wanted * size)
                if len(data) < wanted * size:
                    raise ValueError(f"it ends after {start + len(data) // size:,} images")
                yield np.frombuffer(data, np.uint8).reshape(wanted, *shape[1:])
            stream.read(1)  # compares the checksum

    def _read(self, key: str) -> np.ndarray:
        with _explained(self.path, key), np.load(self.path, allow_pickle=False) as file:
            array: np.ndarray = file[key]
            return array

    def _image_shape(self, archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
        """Return the shape of an array of images from its header, without reading them."""
        key = Path(name).stem
        with _explained(self.path, key), archive.open(name) as stream:
            shape, _, dtype = _header(stream)
        if dtype != np.uint8:
            raise self._error(
                f"{key} has type {dtype}; expected uint8, 0 to 255: scale the values and convert "
                "them with astype('uint8')"
            )
        if not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))) or 0 in shape:
            hint = ""
            if len(shape) == 4 and shape[1] in (1, 3):
                hint = ": move the channels to the end with transpose(0, 2, 3, 1)"
            raise self._error(f"{key} has shape {shape}; expected {_IMAGES}{hint}")
        return shape

    def _read_labels(self, part: str) -> np.ndarray:
        images, key = self._names[part]
        labels, n = self._read(key), self.shapes[part][0]
        if labels.ndim == 2 and labels.shape[1] > 1:
            raise self._error(
                f"{key} has shape {labels.shape}; expected ({n},) or ({n}, 1): a study needs one "
                "class per image, not several labels or one-hot rows (use argmax(axis=1))"
            )
        if labels.shape not in ((n,), (n, 1)):
            raise self._error(
                f"{key} has shape {labels.shape}; expected ({n},) or ({n}, 1), for the {n:,} "
                f"images of {images}"
            )
        if labels.dtype.kind not in "iu":
            raise self._error(
                f"{key} has type {labels.dtype}; expected integers: number the classes and convert "
                "with astype('int64')"
            )
        if labels.max() > np.iinfo(np.int64).max:
            raise self._error(f"{key} has class {labels.max()}; number the classes from 0")
        return labels.reshape(n).astype(np.int64)

    def _check_classes(self) -> None:
        for one, other in (("train", "test"), ("test", "train")):
            if missing := sorted(set(self.counts[one]) - set(self.counts[other])):
                keys = [self._names[side][1] for side in (one, other)]
                raise self._error(
                    f"{keys[0]} has class {missing[0]}, which {keys[1]} lacks; every class needs "
                    "images on both sides"
                )
        if len(self.counts["train"]) == 1:
            raise self._error(
                f"{self._names['train'][1]} has only one class; at least two are needed"
            )

    def _error(self, what: str) -> AuditError:
        return AuditError(f"{self.path}: {what}")


def read_arrays(
    path: str | Path,
    validation: str = "omit",
    image_size: int | None = None,
    per_class: int | None = None,
    scratch: str | Path | None = None,
) -> Dataset:
    """Read an .npz file of images and labels as a dataset.

    `validation` is "omit", or the side, "train" or "test", that validation images are appended to.
    `image_size` (pixels) brings every image to a square: the shorter side is scaled to it and the
    centre cropped. `per_class` keeps the first images of each class, on both sides. With
    `scratch`, a folder, the pixels are kept there in an unnamed file instead of in memory. Raises
    AuditError as `ArrayFile`.
    """
    file = ArrayFile(path, validation)
    classes = np.unique(file.labels("train"))
    width, height = (image_size, image_size) if image_size else file.size
    read = {}
    for side in ("train", "test"):
        labels = file.labels(side)
        kept = np.sort(np.concatenate([np.flatnonzero(labels == c)[:per_class] for c in classes]))
        shape = (len(kept), height, width, 3)
        images = on_disk(shape, scratch) if scratch else np.empty(shape, np.uint8)
        first = 0
        for block in file.blocks(side):
            rows = slice(*np.searchsorted(kept, (first, first + len(block))))
            chosen = block[kept[rows] - first]
            images[rows] = (
                [_scaled(image, image_size) for image in chosen] if image_size else chosen
            )
            mapped.release(images)
            first += len(block)
        read[side] = images, np.searchsorted(classes, labels[kept])
    return Dataset([str(value) for value in classes], *read["train"], *read["test"])


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of an array: its shape, whether it is in Fortran order, its type."""
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"version {version} of the format")
    shape, in_fortran_order, dtype = read(stream)
    return tuple(shape), in_fortran_order, dtype


def _located(path: str | Path) -> Path:
    """Return the path; for one that does not exist, that of a file that memaudit ships."""
    path = folder_at(path)
    shipped = Path(memaudit.__file__).parent / "_home" / path
    return shipped if not path.exists() and shipped.exists() else path


def _scaled(image: np.ndarray, side: int) -> np.ndarray:
    square = ImageOps.fit(Image.fromarray(image), (side, side), Image.Resampling.LANCZOS)
    return np.asarray(square)


@contextmanager
def _explained(path: Path, key: str = "") -> Iterator[None]:
    """Raise AuditError naming the file, and the array if it is known, for what cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise AuditError(
            f"{path}: file not found; name an .npz file with train_images, train_labels, "
            "test_images and test_labels"
        ) from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if unreadable := store.system_error(path, error):
            raise unreadable from None
        if "Object arrays" in str(error):
            raise AuditError(
                f"{path}: {key} holds Python objects, which are not loaded; save it as an array of "
                "numbers"
            ) from None
        what = f"{key} cannot be read" if key else "not an .npz file, or damaged"
        raise AuditError(f"{path}: {what} ({error}); write the file again") from None
