"""Booleans packed as bits, as shards store them: an eighth of the memory."""

import numpy as np


def unpack(bits: np.ndarray, count: int) -> np.ndarray:
    """Unpack bits (models, bytes) to booleans (models, count)."""
    return np.unpackbits(bits, axis=-1, count=count).view(bool)


def pack(booleans: np.ndarray) -> np.ndarray:
    """Pack booleans (..., count) into bits (..., ceil(count / 8)), uint8."""
    return np.packbits(booleans, axis=-1)


def unpack_columns(bits: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Unpack some columns of bits (models, bytes) to booleans (models, columns)."""
    taken = bits.take(columns >> 3, axis=1, mode="clip")  # "clip" avoids a copy
    taken &= (128 >> (columns & 7)).astype(np.uint8)
    return taken.view(np.uint8) > 0


def count_bits(bits: np.ndarray, count: int) -> np.ndarray:
    """Count the rows of bits (models, bytes) in which each bit is set: int64 (count,)."""
    total = np.zeros(count, dtype=np.int64)
    for first in range(0, len(bits), 255):  # a byte counts to 255
        rows = np.unpackbits(bits[first : first + 255], axis=1, count=count)
        total += np.add.reduce(rows, axis=0, dtype=np.uint8)
    return total
