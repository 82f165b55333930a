"""Influence of every training example on every test example (F&Z 2020, equation 1).

Counts are enough: of the `right(j)` models correct on j, `right_in(i, j)` were trained with i and
the others without it, so

    influence = right_in / n_in - (right - right_in) / n_out
              = (right_in - right n_in / models) models / (n_in n_out).

50,000 x 10,000 influences take 2 GB: they are computed and written in blocks of training examples.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

from memaudit import bits, store
from memaudit.errors import require
from memaudit.scores.counting import doubled, joint
from memaudit.scores.estimate import packed, standard_error

BLOCK = 1024  # training examples per product: enough for full speed


def influence_rows(
    mask: np.ndarray, test_correct: np.ndarray, n_train: int, n_test: int, device: str = "cpu"
) -> Iterator[np.ndarray]:
    """Yield the influence on all test examples in blocks of up to 1024 training examples, in order.

    mask bool (models, n_train) and test_correct bool (models, n_test), or both as packed bits. Each
    block is float32 (examples, n_test), NaN for examples in all subsets or in none, and valid until
    the next one is requested. Computed on the CPU by NumPy with the threads of its BLAS, or on a
    GPU ("cuda:0") by torch; counts are exact on both (sums of zeros and ones in float32, up to
    2**24). Raises ValueError if the shapes do not fit together.
    """
    if len(mask) != len(test_correct):
        raise ValueError(f"mask has {len(mask)} models, test_correct {len(test_correct)}")
    models = len(mask)
    mask, test_correct = packed(mask, n_train, "mask"), packed(test_correct, n_test, "test_correct")
    n_in = bits.count_bits(mask, n_train)
    with np.errstate(divide="ignore"):
        scale = (models / (n_in * (models - n_in))).astype(np.float32)
    share = (n_in / models).astype(np.float32)
    right = bits.count_bits(test_correct, n_test).astype(np.float32)
    scaled = (_on_cpu if device == "cpu" else _on_gpu)(test_correct, n_test, right, device)
    for first in range(0, n_train, BLOCK):
        rows = slice(first, min(first + BLOCK, n_train))
        inside = bits.unpack(mask[:, first // 8 : -(-rows.stop // 8)], rows.stop - first)
        yield scaled(inside, share[rows, None], scale[rows, None])


Scaled = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _on_cpu(test_correct: np.ndarray, n_test: int, right: np.ndarray, device: str) -> Scaled:
    correct = doubled(bits.unpack(test_correct, n_test))
    block = np.empty((BLOCK, n_test), dtype=np.float32)

    def scaled(inside: np.ndarray, share: np.ndarray, scale: np.ndarray) -> np.ndarray:
        found = block[: inside.shape[1]]
        with np.errstate(invalid="ignore"):
            for rows in joint(inside.astype(np.float32), correct, found):
                found[rows] -= share[rows] * right
                found[rows] *= scale[rows]
        return found

    return scaled


def _on_gpu(test_correct: np.ndarray, n_test: int, right: np.ndarray, device: str) -> Scaled:
    torch = require("torch", "train")
    correct = torch.from_numpy(bits.unpack(test_correct, n_test)).to(device).float()
    right_there = torch.from_numpy(right).to(device)

    def scaled(inside: np.ndarray, share: np.ndarray, scale: np.ndarray) -> np.ndarray:
        found = torch.from_numpy(inside).to(device).float().T @ correct
        found -= torch.from_numpy(share).to(device) * right_there
        found *= torch.from_numpy(scale).to(device)
        return np.asarray(found.cpu())

    return scaled


def write_all_pairs(
    path: str | Path,
    mask: np.ndarray,
    test_correct: np.ndarray,
    train_labels: np.ndarray,
    test_labels: np.ndarray,
    *,
    device: str = "cpu",
    report: Callable[[str], None] = lambda line: None,
) -> None:
    """Compute all influences and write them as declared in `memaudit.store.ALL_PAIRS`.

    The file takes 4 bytes per pair; `read_pairs` derives standard errors from it. Arguments as for
    `influence_rows`. Raises AuditError before computing if the disk has too little space.
    """
    n_train, n_test = len(train_labels), len(test_labels)
    n_in = bits.count_bits(packed(mask, n_train, "mask"), n_train)
    fields = {
        "train_labels": train_labels,
        "test_labels": test_labels,
        "n_in": n_in,
        "n_out": len(mask) - n_in,
        "test_right": bits.count_bits(packed(test_correct, n_test, "test_correct"), n_test),
    }
    attributes = {"models": len(mask)}
    with store.create_large(
        path, store.ALL_PAIRS, attributes, fields, {"influence": (n_train, n_test)}
    ) as append:
        done = 0
        for rows in influence_rows(mask, test_correct, n_train, n_test, device):
            append(rows)
            done += len(rows)
            report(f"influence of {done} of {n_train} examples on all {n_test} test examples")


def read_pairs(file: h5py.File, examples: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return influence and standard error of some training examples, from an open file.

    Both (examples, n_test): the influence float32 as stored, its standard error float64, from the
    counts recovered from the influence.
    """
    influence = file["influence"][examples]
    n_in, n_out = (file[name][examples][:, None] for name in ("n_in", "n_out"))
    right, models = file["test_right"][:], n_in + n_out
    with np.errstate(invalid="ignore"):
        right_in = np.rint(influence * (n_in * n_out / models) + right * (n_in / models))
    return influence, standard_error(right_in, n_in, right - right_in, n_out)
