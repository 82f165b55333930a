"""Crop and flip as a function of (seed, epoch, example) alone.

The image is zero-padded by `padding`, a window of the original size is cut at (dy, dx) and
mirrored left to right or not. This does not depend on the batch, the order, the loader, the number
of workers or the number of examples, so every loader delivers identical batches.
"""

from typing import NamedTuple

import numpy as np


class Augmentation(NamedTuple):
    """The augmentation of each example in one epoch; arrays (n,), indexed by example."""

    dy: np.ndarray  # int64, rows from the top of the padded image, 0 to 2 * padding
    dx: np.ndarray  # int64, columns from its left
    flip: np.ndarray  # bool, mirrored after the cut


def _mix(x: np.ndarray) -> np.ndarray:
    """Apply the finaliser of splitmix64 (Steele et al. 2014) to uint64 values."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def augmentation(seed: int, epoch: int, n: int, padding: int, mirror: bool) -> Augmentation:
    """Draw the augmentation of examples 0 to n - 1 in `epoch` (from 0).

    `seed` has 63 bits, one per model; `padding` is in pixels, 0 for no crop. The hash of example i
    is mix(mix(seed + (epoch + 1) * g) + (i + 1) * g) with g the golden ratio in 64 bits. Its lowest
    bit is the flip, bits 16 to 39 scaled to 0..2*padding are dy, bits 40 to 63 dx.
    """
    golden = 0x9E3779B97F4A7C15
    start = np.array([(seed + (epoch + 1) * golden) % 2**64], dtype=np.uint64)
    examples = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(golden)
    bits = _mix(_mix(start) + examples)
    low24, places = np.uint64(0xFFFFFF), np.uint64(2 * padding + 1)

    def offset(shift: int) -> np.ndarray:
        scaled = ((bits >> np.uint64(shift)) & low24) * places
        return (scaled >> np.uint64(24)).astype(np.int64)

    flip = (bits & np.uint64(1)).astype(bool) & mirror
    return Augmentation(offset(16), offset(40), flip)
