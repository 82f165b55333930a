"""The files of a study: what each HDF5 file holds, how it is written whole and checked on reading.

Every field of every file is declared here once: name, dtype, shape (as named dimensions), unit.
"""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from memaudit.errors import AuditError


@dataclass(frozen=True)
class Field:
    """One dataset of an HDF5 file; `shape` names dimensions, equal names have equal length."""

    dtype: str
    shape: tuple[str | int, ...]
    unit: str
    optional: bool = False


# Bits are packed along the last axis with numpy.packbits (big-endian bit order); the attributes
# n_train and n_test say how many of them count.
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
    "planted/test_copy_of": Field("int64", ("n_test",), "train point or -1", optional=True),
    "planted/test_edit": Field("str", ("n_test",), "kind of edit or empty", optional=True),
}
SHARD = {
    "trial": Field("int64", ("models",), "trial"),
    "train_mask": Field("uint8", ("models", "train_bytes"), "bit: the point was in training"),
    "train_correct": Field("uint8", ("models", "train_bytes"), "bit: predicted its label"),
    "test_correct": Field("uint8", ("models", "test_bytes"), "bit: predicted its label"),
    "rate": Field("float32", ("models", "epochs"), "learning rate, mean over the epoch's steps"),
    "loss": Field("float32", ("models", "epochs"), "nats, mean over the epoch's steps"),
    "train_accuracy": Field(
        "float32", ("models", "epochs"), "fraction, on augmented images while training"
    ),
    "test_accuracy": Field("float32", ("models", "epochs"), "fraction; NaN where not evaluated"),
    "seconds": Field("float64", ("models",), "wall seconds of training and evaluation"),
}
SCORES = {
    "train_labels": Field("int64", ("n_train",), "class"),
    "test_labels": Field("int64", ("n_test",), "class"),
    "memorization": Field("float32", ("n_train",), "difference of two probabilities"),
    "memorization_se": Field("float32", ("n_train",), "standard error"),
    "n_in": Field("int64", ("n_train",), "models trained with the point"),
    "n_out": Field("int64", ("n_train",), "models trained without the point"),
    "influence/*/train_index": Field("int64", ("class_train",), "train point"),
    "influence/*/test_index": Field("int64", ("class_test",), "test point"),
    "influence/*/influence": Field(
        "float32", ("class_train", "class_test"), "difference of two probabilities"
    ),
    "influence/*/influence_se": Field("float32", ("class_train", "class_test"), "standard error"),
}
ACCURACIES = {
    "*/trial": Field("int64", ("models",), "trial"),
    "*/test_accuracy": Field("float64", ("models",), "percent"),
    "*/test_correct": Field("uint8", ("models", "test_bytes"), "bit: predicted its label"),
    "*/n_removed": Field("int64", ("models",), "train points left out"),
}


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Write to the yielded temporary path; it is flushed and renamed to `path` on success only.

    A file that exists is therefore whole. On any exception the temporary file is removed and what
    stood at `path` stays. Raises AuditError when the disk is full or not writable.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        raise AuditError(
            f"{path}: could not be written ({error.strerror or error}). Earlier results are "
            "untouched; make room or mend the permissions and run again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _declared(contract: Mapping[str, Field], name: str) -> tuple[str, Field]:
    for pattern, field in contract.items():
        if fnmatchcase(name, pattern):
            return pattern, field
    raise ValueError(f"{name} is not a field of this kind of file")


class Writer:
    """Adds declared datasets to an open HDF5 file, with checksums (Fletcher-32) on every block."""

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
        if values.size and not text:  # HDF5 checks sums only of chunked, fixed-size data
            row_bytes = max(1, values[:1].nbytes)
            rows = int(np.clip((1 << 20) // row_bytes, 1, len(values)))
            options |= {"fletcher32": True, "chunks": (rows, *values.shape[1:])}
        dataset = self.file.create_dataset(name, data=values, **options)
        dataset.attrs["unit"] = field.unit


@contextmanager
def create(
    path: str | Path, contract: Mapping[str, Field], attributes: Mapping[str, Any]
) -> Iterator[Writer]:
    """Open `path` for writing by contract; it appears under its name only when complete."""
    with whole(path) as temporary, h5py.File(temporary, "w") as file:
        for key, value in attributes.items():
            is_nested = isinstance(value, dict | list)
            file.attrs[key] = json.dumps(value, sort_keys=True) if is_nested else value
        yield Writer(file, contract)


@contextmanager
def reading(
    path: str | Path, contract: Mapping[str, Field], remedy: str = ""
) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, after checking it against its contract.

    Raises AuditError, naming the file and the remedy, when it is missing, damaged, or not of the
    declared fields, dtypes and shapes.
    """
    remedy = remedy or "Delete it and run the same snakemake command again: it is made anew."
    try:
        with h5py.File(path, "r") as file:
            try:
                _check(file, contract)
            except ValueError as error:
                raise OSError(error) from error
            yield file
    except FileNotFoundError:
        raise AuditError(f"{path}: there is no such file. {remedy}") from None
    except (OSError, KeyError, RuntimeError) as error:
        raise AuditError(
            f"{path}: damaged or not a file of this kind ({error}). {remedy}"
        ) from error


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


def unpack(bits: np.ndarray, count: int) -> np.ndarray:
    """Packed bits (models, bytes) to booleans (models, count)."""
    return np.unpackbits(bits, axis=-1, count=count).view(bool)


def pack(booleans: np.ndarray) -> np.ndarray:
    """Booleans (..., count) to packed bits (..., ceil(count / 8)), uint8."""
    return np.packbits(booleans, axis=-1)
