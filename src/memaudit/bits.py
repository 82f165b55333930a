"""Truth values as packed bits, as shards hold them: an eighth of the memory."""

import numpy as np


def unpack(bits: np.ndarray, count: int) -> np.ndarray:
    """Packed bits (models, bytes) to booleans (models, count)."""
    return np.unpackbits(bits, axis=-1, count=count).view(bool)


def pack(booleans: np.ndarray) -> np.ndarray:
    """Booleans (..., count) to packed bits (..., ceil(count / 8)), uint8."""
    return np.packbits(booleans, axis=-1)


def unpack_columns(bits: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Some columns of packed bits (models, bytes) as booleans (models, columns)."""
    taken = bits.take(columns >> 3, axis=1, mode="clip")  # "clip" spares a copy
    taken &= (128 >> (columns & 7)).astype(np.uint8)
    return taken != 0


def count_bits(bits: np.ndarray, count: int) -> np.ndarray:
    """In how many rows of packed bits (models, bytes) each bit is set, int64 (count,)."""
    total = np.zeros(count, dtype=np.int64)
    for first in range(0, len(bits), 255):  # as many ones as a byte can count
        rows = np.unpackbits(bits[first : first + 255], axis=1, count=count)
        total += np.add.reduce(rows, axis=0, dtype=np.uint8)
    return total
