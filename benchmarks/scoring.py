"""Compare influence estimation with F&Z's formula and a plain matrix product, on one core.

    python benchmarks/scoring.py              write the tables in benchmarks/README.md
    python benchmarks/scoring.py --csv FILE   write only the speed-ups

The methods alternate in one process. Times are CPU time, which other processes affect less than
wall time. Memory is measured in a separate process per method. --csv omits the paper's size.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import shared

from memaudit import bits, store
from memaudit.scores.all_pairs import influence_rows, write_all_pairs
from memaudit.scores.estimate import influence_blocks
from memaudit.scores.facade import Scores

BEGIN, END = "<!-- written by scoring.py -->", "<!-- end of scoring.py -->"
WAYS = {
    "formula": "F&Z's formula in NumPy",
    "product": "plain matrix product",
    "within": "within class (1/20 of all pairs)",
    "all_pairs": "all pairs",
    "file": "all pairs, written to a file",
}
COMPARED = [
    ("within", "formula"),
    ("all_pairs", "formula"),
    ("file", "formula"),
    ("all_pairs", "product"),
    ("file", "product"),
]


@dataclass(frozen=True)
class Size:
    """Numbers of models, training examples, test examples and classes."""

    models: int
    train: int
    test: int
    classes: int

    def __str__(self) -> str:
        return (
            f"{self.models:,} models, {self.train:,} training and {self.test:,} test examples, "
            f"{self.classes} classes"
        )


MEASURED, PAPER = Size(1_000, 10_000, 2_000, 20), Size(4_000, 50_000, 10_000, 100)


def inputs(size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return masks and test correctness as packed bits (models, bytes), and the labels."""
    rng = np.random.default_rng(0)

    def random_bits(examples: int, share: float) -> np.ndarray:
        rows = (rng.random(examples, dtype=np.float32) < share for _ in range(size.models))
        return np.stack([bits.pack(row) for row in rows])

    mask, right = random_bits(size.train, 0.7), random_bits(size.test, 0.6)
    labels = (rng.permutation(np.arange(n) % size.classes) for n in (size.train, size.test))
    return mask, right, *labels


def formula(mask: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Compute influence (n_test, n_train) as F&Z's demo does: two masked means over all models.

    The products are float32; they are divided by integer counts, so the means are float64.
    """

    def mean(inside: np.ndarray) -> np.ndarray:
        return right.T.astype(np.float32) @ inside / np.maximum(inside.sum(axis=0), 1e-10)

    return (mean(mask) - mean(~mask)).astype(np.float32)


def ways(size: Size, folder: Path) -> dict[str, Callable[[], Callable[[], object]]]:
    """Return for each method a function that prepares its inputs and returns the measured call."""
    mask, right, *labels = inputs(size)

    def booleans() -> tuple[np.ndarray, np.ndarray]:
        return bits.unpack(mask, size.train), bits.unpack(right, size.test)

    def of_formula():
        both = booleans()
        return lambda: formula(*both)

    def of_product():
        inside, correct = (values.astype(np.float32) for values in booleans())
        return lambda: inside.T @ correct

    def of_within():
        both = booleans()
        return lambda: list(influence_blocks(*both, *labels))

    def of_all_pairs():
        both = booleans()
        return lambda: [None for _ in influence_rows(*both, size.train, size.test)]

    def of_file():
        both = booleans()
        return lambda: write_all_pairs(folder / "all_pairs.h5", *both, *labels)

    makers = (of_formula, of_product, of_within, of_all_pairs, of_file)
    return dict(zip(WAYS, makers, strict=True))


def peak_mb() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


def memory(way: str, folder: Path) -> float:
    """Return the peak memory of one run in MB, excluding its inputs."""
    run = ways(MEASURED, folder)[way]()
    before = peak_mb()
    run()
    return peak_mb() - before


def write_margins(mask: np.ndarray, labels: list[np.ndarray], folder: Path) -> None:
    """Write train.npy and test.npy, float16 margins, a few models at a time.

    Two training examples of its class influence each test example, so the screen lets them enter.
    """
    rng = np.random.default_rng(1)
    members = [np.flatnonzero(labels[0] == label) for label in range(PAPER.classes)]
    pairs = np.array([rng.choice(members[label], 2, replace=False) for label in labels[1]])
    effects, bases = rng.uniform(0.5, 2, pairs.shape), rng.normal(0, 1, PAPER.test)
    own, easy = rng.uniform(0, 3, PAPER.train), rng.normal(0, 1, PAPER.train)
    files = [
        np.lib.format.open_memmap(folder / f"{side}.npy", "w+", np.float16, (PAPER.models, n))
        for side, n in (("train", PAPER.train), ("test", PAPER.test))
    ]
    for first in range(0, PAPER.models, 100):
        inside = bits.unpack(mask[first : first + 100], PAPER.train)
        means = easy + own * inside, bases + (effects * inside[:, pairs]).sum(axis=2)
        for file, mean in zip(files, means, strict=True):
            file[first : first + 100] = mean + rng.standard_normal(mean.shape, dtype=np.float32)


def paper(way: str, folder: Path) -> tuple[float, float, float]:
    """Write scores of the paper's size; return wall seconds, CPU seconds and peak memory in MB."""
    mask, right, *labels = inputs(PAPER)
    if way == "margins":
        write_margins(mask, labels, folder)
    started, used = time.perf_counter(), time.process_time()
    if way == "within":
        Scores.from_arrays(mask, mask, right, *labels).write(folder / "scores.h5")
    elif way == "margins":
        margins = (np.load(folder / f"{side}.npy") for side in ("train", "test"))
        Scores.from_margins(mask, *margins, *labels).write(folder / "scores.h5")
    else:
        write_all_pairs(folder / "all_pairs.h5", mask, right, *labels)
    return time.perf_counter() - started, time.process_time() - used, peak_mb()


def alone(kind: str, way: str, folder: Path):
    """Run `memory` or `paper` in a separate process."""
    command = [sys.executable, __file__, "--alone", kind, way, str(folder)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def differences(folder: Path) -> dict[str, float]:
    """Return the largest absolute difference from the formula's values."""
    mask, right, *labels = inputs(MEASURED)
    expected = formula(bits.unpack(mask, MEASURED.train), bits.unpack(right, MEASURED.test)).T
    blocks = influence_blocks(mask, right, *labels)
    write_all_pairs(folder / "all_pairs.h5", mask, right, *labels)
    with store.reading(folder / "all_pairs.h5", store.ALL_PAIRS) as file:
        return {
            "within": max(
                np.abs(b.influence - expected[np.ix_(b.train_index, b.test_index)]).max()
                for b in blocks
            ),
            "all_pairs": np.abs(file["influence"][:] - expected).max(),
        }


def measure(rounds: int, folder: Path) -> dict[str, list[float]]:
    """Return CPU seconds per method and round, after one warm-up round."""
    runs = {way: make() for way, make in ways(MEASURED, folder).items()}
    seconds: dict[str, list[float]] = {way: [] for way in runs}
    for number in range(rounds + 1):
        for way, run in runs.items():
            started = time.process_time()
            run()
            taken = time.process_time() - started
            if number:
                seconds[way].append(taken)
                print(f"round {number}, {WAYS[way]}: {taken:.3f} s", flush=True)
    return seconds


def ratios(seconds: dict[str, list[float]], way: str, other: str) -> list[float]:
    return [b / a for a, b in zip(seconds[way], seconds[other], strict=True)]


def report(seconds, peaks, apart, full, load: float) -> str:
    """Return the README's measured section; `load` is the load average at the start."""

    rows = [
        f"Measured on one core ({shared.processor()}); {shared.versions('numpy', 'h5py')}. "
        f"{MEASURED}. CPU time, median (range) of {len(seconds['formula'])} rounds; memory without "
        f"the inputs. Load average at the start: {load:.1f}.",
        "",
        "| | seconds | speed-up over the formula | speed-up over the product | memory, MB |",
        "|---|---:|---:|---:|---:|",
    ]
    for way, title in WAYS.items():
        cells = [
            shared.spread(ratios(seconds, way, other), "{:.2f}") if (way, other) in COMPARED else ""
            for other in ("formula", "product")
        ]
        taken = shared.spread(seconds[way], "{:.3f}")
        rows.append(f"| {title} | {taken} | {' | '.join(cells)} | {peaks[way]:.0f} |")
    rows += [
        "",
        f"Largest difference from the formula's values: {apart['within']:.1e} within class, "
        f"{apart['all_pairs']:.1e} for all pairs.",
        "",
        f"At the paper's size ({PAPER}), one core, from packed bits to a complete file:",
        "",
        "| | wall seconds | CPU seconds | memory including inputs, MB |",
        "|---|---:|---:|---:|",
        "| within class, with memorization and standard errors | "
        + " | ".join(f"{value:.1f}" for value in full["within"])
        + " |",
        "| within class from margins (480 MB, read from disk) | "
        + " | ".join(f"{value:.0f}" for value in full["margins"])
        + " |",
        "| all pairs, 2 GB | " + " | ".join(f"{value:.0f}" for value in full["file"]) + " |",
    ]
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, help="write the speed-ups here instead of the README")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--alone", nargs=3, help="one run, as JSON (internal)")
    given = parser.parse_args()
    if given.alone:
        kind, way, folder = given.alone
        print(json.dumps({"memory": memory, "paper": paper}[kind](way, Path(folder))))
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        if not given.csv:  # first, because a process inherits the peak memory of its parent
            peaks = {way: alone("memory", way, folder) for way in WAYS}
            full = {way: alone("paper", way, folder) for way in ("within", "margins", "file")}
        seconds = measure(given.rounds, folder)
        if given.csv:
            found = [
                shared.row("scoring", WAYS[way], WAYS[other], ratios(seconds, way, other))
                for way, other in COMPARED
            ]
            shared.write_rows(found, given.csv)
            return
        text = report(seconds, peaks, differences(folder), full, load)
    shared.write_measured(BEGIN, END, text)


if __name__ == "__main__":
    main()
