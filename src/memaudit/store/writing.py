"""Write HDF5 files of declared contents, with their checksum."""

import errno
import glob
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from memaudit.store.checksum import SEAL_BYTES, seal
from memaudit.store.fields import Field, declared
from memaudit.store.outputs import atomic_write, destination, explained_errors, remains_prefix


class Writer:
    """Adds declared datasets to an open HDF5 file."""

    def __init__(self, file: h5py.File, contract: Mapping[str, Field]):
        self.file = file
        self.contract = contract

    def add(self, name: str, values: Any) -> None:
        _, field = declared(self.contract, name)
        text = field.dtype == "str"
        values = np.asarray(values, dtype=object if text else field.dtype)
        if values.ndim != len(field.shape):
            raise ValueError(f"{name}: {values.ndim} dimensions, declared {field.shape}")
        options: dict[str, Any] = {"dtype": h5py.string_dtype()} if text else {}
        dataset = self.file.create_dataset(name, data=values, **options)
        dataset.attrs["unit"] = field.unit

    def reserve(self, name: str, shape: tuple[int, ...]) -> h5py.Dataset:
        """Add a dataset whose values follow; its position is fixed and no data is written."""
        _, field = declared(self.contract, name)
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
    content[:SEAL_BYTES] = seal(hashlib.sha256(content[SEAL_BYTES:]).hexdigest())
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def create_large(
    path: str | Path,
    contract: Mapping[str, Field],
    attributes: Mapping[str, Any],
    fields: Mapping[str, Any],
    large: Mapping[str, tuple[int, ...]],
) -> Iterator[Callable[[np.ndarray], None]]:
    """Open `path` like `create` when some datasets, `large` (name: shape), do not fit in memory.

    `fields` are the other datasets. Yields a function that appends rows of the first large dataset
    that is incomplete, an array (any number, *shape[1:]). HDF5 lays out the file in memory without
    them, and rows are appended by plain writes, which a full disk does not crash. Space for all of
    them is reserved first, so that too small a disk fails before the computation. Raises AuditError
    as `atomic_write` does, and ValueError for missing rows, surplus rows or another shape.
    """
    path = Path(path)
    memory = _SparseMemory()
    with _in_memory(memory, contract, attributes) as writer:
        for key, values in fields.items():
            writer.add(key, values)
        reserved = {name: writer.reserve(name, shape) for name, shape in large.items()}
        # those without rows have no place in the file
        parts = [_Part.of(name, rows) for name, rows in reserved.items() if rows.nbytes]
        writer.file.flush()
        size = writer.file.id.get_filesize()
    between = []  # what lies before each part, and after the last
    starts, ends = [part.start for part in parts], [part.end for part in parts]
    for start, stop in zip([0, *ends], [*starts, size], strict=True):
        if start > stop:
            raise RuntimeError(f"{path}: HDF5 did not store {', '.join(large)} in this order")
        between.append(bytearray(stop - start))
        memory.seek(start)
        memory.readinto(between[-1])
    with explained_errors(path):
        target = destination(path)
        if isinstance(target, Path):
            pattern = glob.escape(remains_prefix(target)) + "*.tmp"
            for left in target.parent.glob(pattern):  # large remains of a killed run
                left.unlink(missing_ok=True)
    with atomic_write(path) as temporary, open(temporary, "wb") as out:
        reserve_space(out.fileno(), size)
        out.write(between[0])
        digest = hashlib.sha256(between[0][SEAL_BYTES:])
        number = 0

        def append(rows: np.ndarray) -> None:
            nonlocal number
            part = parts[min(number, len(parts) - 1)]
            rows = np.ascontiguousarray(rows, dtype=part.dtype)
            if rows.shape[1:] != part.shape[1:] or out.tell() + rows.nbytes > part.end:
                raise ValueError(f"{part.name}: rows {rows.shape} do not fit into {part.shape}")
            out.write(rows.data)
            digest.update(rows.data)
            if out.tell() == part.end:
                number += 1
                out.write(between[number])
                digest.update(between[number])

        yield append
        if number < len(parts):
            raise ValueError(f"{parts[number].name}: rows are missing")
        out.seek(0)
        out.write(seal(digest.hexdigest()))


@dataclass(frozen=True)
class _Part:
    """A dataset whose rows are appended, with its place in the file in bytes."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    end: int

    @classmethod
    def of(cls, name: str, rows: h5py.Dataset) -> Self:
        start = rows.id.get_offset()
        return cls(name, rows.dtype, rows.shape, start, start + rows.nbytes)


class _SparseMemory(io.RawIOBase):
    """A file in memory in which blocks that were never written take no space."""

    BLOCK = 1 << 16  # bytes

    def __init__(self) -> None:
        self.blocks: dict[int, bytearray] = {}
        self.position = 0
        self.size = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = start + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def write(self, content: Any) -> int:
        content = memoryview(content).cast("B")
        for block, part, at in self._parts(len(content)):
            written = self.blocks.setdefault(block, bytearray(self.BLOCK))
            written[part] = content[at : at + part.stop - part.start]
        self.truncate(max(self.size, self.position))
        return len(content)

    def readinto(self, buffer: Any) -> int:
        buffer = memoryview(buffer).cast("B")
        for block, part, at in self._parts(len(buffer)):
            length = part.stop - part.start
            buffer[at : at + length] = (
                self.blocks[block][part] if block in self.blocks else bytes(length)
            )
        return len(buffer)

    def truncate(self, size: int | None = None) -> int:
        self.size = self.position if size is None else size
        return self.size

    def _parts(self, length: int) -> Iterator[tuple[int, slice, int]]:
        """Yield block number, its part, and place in the buffer for the next `length` bytes."""
        start = self.position
        self.position += length
        while start < self.position:
            block, first = divmod(start, self.BLOCK)
            stop = min(self.BLOCK, first + self.position - start)
            yield block, slice(first, stop), start - self.position + length
            start += stop - first


@contextmanager
def _in_memory(
    memory: io.BytesIO | _SparseMemory, contract: Mapping[str, Field], attributes: Mapping[str, Any]
) -> Iterator[Writer]:
    with h5py.File(memory, "w", userblock_size=SEAL_BYTES) as file:
        for key, value in attributes.items():
            is_nested = isinstance(value, dict | list)
            file.attrs[key] = json.dumps(value, sort_keys=True) if is_nested else value
        yield Writer(file, contract)


def reserve_space(descriptor: int, size: int) -> None:
    """Reserve `size` bytes if the file system can. Raises OSError if the disk is full."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
