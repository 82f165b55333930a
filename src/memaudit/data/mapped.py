"""Arrays of images that stay in files, so that a dataset may be larger than memory."""

import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from memaudit.store import reserve_space

BLOCK = 1 << 24  # bytes that are processed at a time


def read_only(path: str | Path, offset: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return a read-only uint8 array of `shape` that begins at byte `offset` of a file."""
    with open(path, "rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(pages, np.uint8, int(np.prod(shape)), offset).reshape(shape)


def scratch(shape: tuple[int, ...], folder: str | Path) -> np.ndarray:
    """Return a uint8 array of zeros in an unnamed file in `folder`, which vanishes with the array.

    Raises OSError if the disk is full.
    """
    size = int(np.prod(shape))
    with tempfile.TemporaryFile(dir=folder) as file:
        reserve_space(file.fileno(), size)
        file.truncate(size)
        return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8).reshape(shape)


def blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of an array in blocks of about `BLOCK` bytes, one of them in memory."""
    rows = rows_per_block(array)
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
        release(array)


def rows_per_block(array: np.ndarray) -> int:
    """Return how many rows of an array make a block, at least 1."""
    return max(1, BLOCK * len(array) // max(1, array.nbytes))


def release(array: np.ndarray) -> None:
    """Free the memory that holds pages of an array in a file; they are read again when used.

    Changes to a `scratch` array are kept. Any other array is left alone.
    """
    base = array
    while isinstance(base, np.ndarray):
        base = base.base  # type: ignore[assignment]
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
