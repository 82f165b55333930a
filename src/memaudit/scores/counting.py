"""Co-occurrence counts over models by matrix products of half the width.

Sums of zeros and ones are exact in float32 up to 2**24. A count of at most 4,095 models takes 12
bits, so one float32 holds two: the product with b + 4096 c has the product with b in its lower 12
bits and the product with c above them.
"""

from collections.abc import Iterator

import numpy as np

MOST = 4095  # models per product
_SHIFT = np.float32(4096)
_STRIP = 16  # rows separated at a time: few enough to stay in the processor's cache


def doubled(right: np.ndarray) -> np.ndarray:
    """Put two columns of booleans (models, b) into one float32: (models, ceil(b / 2)).

    Column j is paired with column j + ceil(b / 2).
    """
    half = -(-right.shape[1] // 2)
    both = right[:, :half].astype(np.float32)
    both[:, : right.shape[1] - half] += right[:, half:] * _SHIFT
    return both


def joint(inside: np.ndarray, both: np.ndarray, out: np.ndarray) -> Iterator[slice]:
    """Count the models with inside[:, i] and right[:, j] both 1 into out[i, j].

    inside zeros and ones, float32 (models, a); both = doubled(right), right (models, b); out
    float32 (a, b). Yields slices of rows of out as they are completed.
    """
    width, half = out.shape[1], both.shape[1]
    for done in range(0, len(inside), MOST):
        product = inside[done : done + MOST].T @ both[done : done + MOST]
        for first in range(0, len(out), _STRIP):
            rows = slice(first, first + _STRIP)
            upper = np.floor(product[rows] / _SHIFT)
            product[rows] -= upper * _SHIFT
            if done:
                out[rows, :half] += product[rows]
                out[rows, half:] += upper[:, : width - half]
            else:
                out[rows, :half] = product[rows]
                out[rows, half:] = upper[:, : width - half]
            if done + MOST >= len(inside):
                yield rows


def counts(inside: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Count the models with inside[:, i] and right[:, j] both True: float32 (a, b)."""
    out = np.empty((inside.shape[1], right.shape[1]), dtype=np.float32)
    for _ in joint(inside.astype(np.float32), doubled(right), out):
        pass
    return out
