"""Crop and flip as a function of (seed, epoch, example) alone.

Zero-pad by `padding`, cut a window of the original size at (dy, dx), mirror it left to right or
not. What an example undergoes in an epoch does not depend on the batch, the order, the loader, the
number of workers or how many other examples there are, so every loader delivers identical batches.
"""

from typing import NamedTuple

import numpy as np


class Augmentation(NamedTuple):
    """What each example undergoes in one epoch; arrays (n,), indexed by example."""

    dy: np.ndarray  # int64, rows from the top of the padded image, 0 to 2 * padding
    dx: np.ndarray  # int64, columns from its left
    flip: np.ndarray  # bool, mirrored after the cut


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele et al. 2014): uint64 in, well-mixed uint64 out."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def augmentation(seed: int, epoch: int, n: int, padding: int, mirror: bool) -> Augmentation:
    """Augmentation of examples 0 to n - 1 in `epoch` (from 0); `seed` is 63 bits, one for each model.

    The hash of example i is mix(mix(seed + (epoch + 1) * g) + (i + 1) * g) with g the golden ratio in
    64 bits. Its lowest bit is the flip, bits 16 to 39 scaled to 0..2*padding are dy, bits 40 to 63
    dx. `padding` is in pixels, 0 for no crop.
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
