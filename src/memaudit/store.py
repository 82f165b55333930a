"""HDF5 files of a study: declared contents, atomic writing, checks on reading.

Every dataset of every file is declared here once: name, dtype, shape (as named dimensions) and
unit. A file begins with its SHA-256 in the block that HDF5 reserves for users, so corruption is
detected before HDF5 reads the file.
"""

import errno
import hashlib
import io
import json
import os
import shlex
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from memaudit.errors import AuditError


@dataclass(frozen=True)
class Field:
    """One dataset of an HDF5 file; equal names in `shape` are dimensions of equal length."""

    dtype: str
    shape: tuple[str | int, ...]
    unit: str
    optional: bool = False


# Bits are packed along the last axis with numpy.packbits (big-endian bit order); the attributes
# n_train and n_test give the number of valid bits.
DATASET = {
    "train/images": Field("uint8", ("n_train", "height", "width", 3), "RGB, 0 to 255"),
    "train/labels": Field("int64", ("n_train",), "class, an index into class_names"),
    "train/names": Field("str", ("n_train",), "file the image came from", optional=True),
    "test/images": Field("uint8", ("n_test", "height", "width", 3), "RGB, 0 to 255"),
    "test/labels": Field("int64", ("n_test",), "class, an index into class_names"),
    "test/names": Field("str", ("n_test",), "file the image came from", optional=True),
    "class_names": Field("str", ("classes",), "name"),
    "planted/train_role": Field("str", ("n_train",), "what was planted", optional=True),
    "planted/train_subpopulation": Field("int64", ("n_train",), "number", optional=True),
    "planted/test_role": Field("str", ("n_test",), "what was planted", optional=True),
    "planted/test_subpopulation": Field("int64", ("n_test",), "number", optional=True),
    "planted/test_copy_of": Field("int64", ("n_test",), "training example or -1", optional=True),
    "planted/test_edit": Field("str", ("n_test",), "kind of edit or empty", optional=True),
}
SHARD = {
    "trial": Field("int64", ("models",), "trial"),
    "train_mask": Field("uint8", ("models", "train_bytes"), "bit: the example was in training"),
    "train_correct": Field("uint8", ("models", "train_bytes"), "bit: predicted its label"),
    "test_correct": Field("uint8", ("models", "test_bytes"), "bit: predicted its label"),
    "rate": Field("float32", ("models", "epochs"), "learning rate, mean over the epoch's steps"),
    "loss": Field("float32", ("models", "epochs"), "nats, mean over the epoch's steps"),
    "train_accuracy": Field(
        "float32", ("models", "epochs"), "fraction, on augmented images while training"
    ),
    "test_accuracy": Field("float32", ("models", "epochs"), "fraction; NaN where not evaluated"),
    "seconds": Field("float64", ("models",), "wall seconds of training and evaluation"),
    # of subset models, if `memorization.store_margins`
    **{
        f"{side}_{name}": Field("float16", ("models", f"n_{side}"), unit, optional=True)
        for side in ("train", "test")
        for name, unit in (
            ("margin", "logit of the label minus the largest other logit"),
            ("log_odds", "log(p / (1 - p)) of the label's probability p"),
        )
    },
}
MARGINS = [name for name, field in SHARD.items() if field.optional]
SCORES = {
    "train_labels": Field("int64", ("n_train",), "class"),
    "test_labels": Field("int64", ("n_test",), "class"),
    "memorization": Field("float32", ("n_train",), "difference of two probabilities"),
    "memorization_se": Field("float32", ("n_train",), "standard error"),
    "n_in": Field("int64", ("n_train",), "models trained with the example"),
    "n_out": Field("int64", ("n_train",), "models trained without the example"),
    "influence/*/train_index": Field("int64", ("class_train",), "training example"),
    "influence/*/test_index": Field("int64", ("class_test",), "test example"),
    "influence/*/influence": Field(
        "float32", ("class_train", "class_test"), "difference of two probabilities"
    ),
    "influence/*/influence_se": Field("float32", ("class_train", "class_test"), "standard error"),
    "influence/*/z": Field(
        "float32", ("class_train", "class_test"), "evidence, standard errors", optional=True
    ),
}
ALL_PAIRS = {
    "train_labels": Field("int64", ("n_train",), "class"),
    "test_labels": Field("int64", ("n_test",), "class"),
    "n_in": Field("int64", ("n_train",), "models trained with the example"),
    "n_out": Field("int64", ("n_train",), "models trained without the example"),
    "test_right": Field("int64", ("n_test",), "models that are right on the example"),
    "influence": Field("float32", ("n_train", "n_test"), "difference of two probabilities"),
}
ACCURACIES = {
    "*/trial": Field("int64", ("models",), "trial"),
    "*/test_accuracy": Field("float64", ("models",), "percent"),
    "*/test_correct": Field("uint8", ("models", "test_bytes"), "bit: predicted its label"),
    "*/train_accuracy": Field(
        "float64", ("models",), "percent, on the examples trained on as they are", optional=True
    ),
    "*/n_removed": Field("int64", ("models",), "training examples left out"),
}


SEAL_BYTES = 512  # HDF5's user block, which holds the checksum
HDF5 = b"\x89HDF\r\n\x1a\n"  # first bytes of a file without a checksum, which is not verified


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to; on success it is flushed and renamed to `path`.

    A file that exists is therefore complete. On any exception the temporary file is removed and an
    existing `path` is kept. Raises AuditError if the disk is full or not writable.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        raise AuditError(
            f"{path}: could not be written ({reason(error)}). Earlier results are unchanged; free "
            "disk space or fix the permissions, then run again."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically, as UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def reason(error: OSError) -> str:
    """Return the system's description of an error on one line (HDF5's own takes several)."""
    return os.strerror(error.errno) if error.errno else " ".join(str(error).split())


def _declared(contract: Mapping[str, Field], name: str) -> tuple[str, Field]:
    for pattern, field in contract.items():
        if fnmatchcase(name, pattern):
            return pattern, field
    raise ValueError(f"{name} is not a field of this kind of file")


class Writer:
    """Adds declared datasets to an open HDF5 file."""

    def __init__(self, file: h5py.File, contract: Mapping[str, Field]):
        self.file = file
        self.contract = contract

    def add(self, name: str, values: Any) -> None:
        _, field = _declared(self.contract, name)
        text = field.dtype == "str"
        values = np.asarray(values, dtype=object if text else field.dtype)
        if values.ndim != len(field.shape):
            raise ValueError(f"{name}: {values.ndim} dimensions, declared {field.shape}")
        options: dict[str, Any] = {"dtype": h5py.string_dtype()} if text else {}
        dataset = self.file.create_dataset(name, data=values, **options)
        dataset.attrs["unit"] = field.unit

    def reserve(self, name: str, shape: tuple[int, ...]) -> h5py.Dataset:
        """Add a dataset whose values follow; its position is fixed and no data is written."""
        _, field = _declared(self.contract, name)
        early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        dataset = self.file.create_dataset(name, shape, field.dtype, dcpl=early, fill_time="never")
        dataset.attrs["unit"] = field.unit
        return dataset


@contextmanager
def create(
    path: str | Path, contract: Mapping[str, Field], attributes: Mapping[str, Any]
) -> Iterator[Writer]:
    """Open `path` for writing the datasets of `contract`; it appears only when complete.

    HDF5 writes to memory and the finished file is written to disk at once, because HDF5 crashes on
    a full disk.
    """
    memory = io.BytesIO()
    with _in_memory(memory, contract, attributes) as writer:
        yield writer
    content = memory.getbuffer()
    content[:SEAL_BYTES] = _seal(hashlib.sha256(content[SEAL_BYTES:]).hexdigest())
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def create_large(
    path: str | Path,
    contract: Mapping[str, Field],
    attributes: Mapping[str, Any],
    fields: Mapping[str, Any],
    name: str,
    shape: tuple[int, ...],
) -> Iterator[Callable[[np.ndarray], None]]:
    """Open `path` like `create` when one dataset, `name` of `shape`, is too large for memory.

    `fields` are the other datasets. Yields a function that appends rows of `name`, an array (any
    number, *shape[1:]), until it is complete. HDF5 lays out the file in memory with `name` at its
    end, and rows are appended by plain writes, which a full disk does not crash. Space for all of
    them is reserved first, so that too small a disk fails before the computation. Raises AuditError
    as `atomic_write` does, and ValueError for missing rows, surplus rows or another shape.
    """
    path = Path(path)
    memory = io.BytesIO()
    # enough space at the start for all metadata of HDF5, so that the large dataset comes last
    with _in_memory(memory, contract, attributes, meta_block_size=2**16) as writer:
        for key, values in fields.items():
            writer.add(key, values)
        large = writer.reserve(name, shape)
        dtype, start, size = large.dtype, large.id.get_offset(), large.nbytes
        writer.file.flush()
        if writer.file.id.get_filesize() != start + size:
            raise RuntimeError(f"{path}: HDF5 did not put {name} at the file's end")
    head = memory.getbuffer()[:start]
    for left in path.parent.glob(f".{path.name}.*.tmp"):  # large remains of a killed run
        left.unlink(missing_ok=True)
    with atomic_write(path) as temporary, open(temporary, "wb") as out:
        _reserve(out.fileno(), start + size)
        out.write(head)
        digest = hashlib.sha256(head[SEAL_BYTES:])

        def append(rows: np.ndarray) -> None:
            rows = np.ascontiguousarray(rows, dtype=dtype)
            if rows.shape[1:] != shape[1:] or out.tell() + rows.nbytes > start + size:
                raise ValueError(f"{name}: rows {rows.shape} do not fit what is left of {shape}")
            out.write(rows.data)
            digest.update(rows.data)

        yield append
        if out.tell() != start + size:
            raise ValueError(f"{name}: {out.tell() - start} bytes of {size} were written")
        out.seek(0)
        out.write(_seal(digest.hexdigest()))


@contextmanager
def _in_memory(
    memory: io.BytesIO, contract: Mapping[str, Field], attributes: Mapping[str, Any], **options: Any
) -> Iterator[Writer]:
    with h5py.File(memory, "w", userblock_size=SEAL_BYTES, **options) as file:
        for key, value in attributes.items():
            is_nested = isinstance(value, dict | list)
            file.attrs[key] = json.dumps(value, sort_keys=True) if is_nested else value
        yield Writer(file, contract)


def _reserve(descriptor: int, size: int) -> None:
    """Reserve `size` bytes if the file system can. Raises OSError if the disk is full."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def _seal(digest: str) -> bytes:
    """Return the first block of a file; `digest` is the SHA-256 of what follows."""
    return f"memaudit sha256 {digest}".encode().ljust(SEAL_BYTES, b"\n")


def _check_seal(path: str | Path) -> None:
    with open(path, "rb") as file:
        head = file.read(SEAL_BYTES)
        if head.startswith(HDF5):
            return
        if not head.startswith(b"memaudit sha256 "):
            raise ValueError("not an HDF5 file" if head else "empty file")
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if head != _seal(found):
        raise ValueError("wrong checksum: truncated or modified since it was written")


def rebuild_hint(path: str | Path) -> str:
    """Return the command that rebuilds a missing or damaged file of the study."""
    name = shlex.quote(str(path))
    return f"To rebuild it: rm -f {name} && snakemake {name} (and your --configfile after it)"


@contextmanager
def reading(
    path: str | Path, contract: Mapping[str, Field], remedy: str = ""
) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading after verifying its checksum and its declared contents.

    Raises AuditError naming the file and the remedy if it is missing, damaged, or does not have the
    declared datasets, dtypes and shapes.
    """
    remedy = remedy or rebuild_hint(path)
    with _opened(path, contract, remedy) as file:
        try:
            yield file
        except OSError as error:  # a failing disk, or damage in a file without a checksum
            raise AuditError(f"{path}: cannot be read ({reason(error)}). {remedy}") from error


def _opened(path: str | Path, contract: Mapping[str, Field], remedy: str) -> h5py.File:
    try:
        _check_seal(path)
        file = h5py.File(path, "r")
        try:
            _check(file, contract)
        except Exception:
            file.close()
            raise
        return file
    except FileNotFoundError:
        raise AuditError(f"{path}: file not found. {remedy}") from None
    except (IsADirectoryError, PermissionError) as error:
        raise AuditError(f"{path}: cannot be read ({reason(error)})") from None
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        what = reason(error) if isinstance(error, OSError) else error
        raise AuditError(f"{path}: damaged or of another kind ({what}). {remedy}") from None


def _check(file: h5py.File, contract: Mapping[str, Field]) -> None:
    found: list[str] = []
    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
    )
    for pattern, field in contract.items():
        names = [name for name in found if fnmatchcase(name, pattern)]
        if not names and not field.optional:
            raise ValueError(f"no dataset {pattern!r}")
        for name in names:
            _check_field(file[name], field)
    sizes: dict[str, tuple[int, str]] = {}
    for name in found:
        pattern, field = _declared(contract, name)
        group = name.rpartition("/")[0] if "*" in pattern else ""
        for dimension, length in zip(field.shape, file[name].shape, strict=True):
            if isinstance(dimension, int):
                continue
            known, other = sizes.setdefault(f"{group}:{dimension}", (length, name))
            if known != length:
                raise ValueError(f"{name} has {length} {dimension}, {other} has {known}")


def _check_field(dataset: h5py.Dataset, field: Field) -> None:
    if field.dtype == "str":
        good = h5py.check_string_dtype(dataset.dtype) is not None
    else:
        good = dataset.dtype == np.dtype(field.dtype)
    if not good:
        raise ValueError(f"{dataset.name} is {dataset.dtype}, expected {field.dtype}")
    fixed = [(i, d) for i, d in enumerate(field.shape) if isinstance(d, int)]
    if dataset.ndim != len(field.shape) or any(dataset.shape[i] != d for i, d in fixed):
        raise ValueError(f"{dataset.name} has shape {dataset.shape}, expected {field.shape}")
