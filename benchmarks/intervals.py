"""Simulate how often 95% CIs cover the influence and the memorization, by the shape of the margins.

    python benchmarks/intervals.py [--csv FILE]

No model is trained. Each test example has margins with a known effect of one training example, 0.75
to 2.25 standard deviations, and noise of a shape of its own; the true influence is exact. The same
margins as those of training examples give memorization. Two minutes on one core.
"""

import argparse
import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from memaudit import Scores, subset_mask

ROOT = Path(__file__).resolve().parents[1]
SIZES = (60, 140, 400, 1000, 4000)
TESTS, TRAIN, REPEATS = 300, 20, 2
KEPT = 0.7


@dataclass(frozen=True)
class Noise:
    """Noise of mean about 0 and SD about 1: `draw(rng, shape)`, and `above(x)` its upper tail.

    Its SD is `with_example` times as large in models that have the example.
    """

    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    above: Callable[[np.ndarray], np.ndarray]
    with_example: float = 1.0


def two_peaks(share: float, high: float, low: float, sd: float) -> Noise:
    """Return a mixture of two normal distributions, the higher with probability `share`."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return np.where(rng.random(shape) < share, high, low) + sd * rng.standard_normal(shape)

    def above(x: np.ndarray) -> np.ndarray:
        upper, lower = (stats.norm.sf((x - at) / sd) for at in (high, low))
        return share * upper + (1 - share) * lower

    return Noise(draw, above)


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape)


NOISE = {
    "normal": Noise(normal, stats.norm.sf),
    "Student's t, 3 df": Noise(
        lambda rng, shape: rng.standard_t(3, shape) / 3**0.5,
        lambda x: stats.t.sf(x * 3**0.5, 3),
    ),
    "exponential, to the left": Noise(
        lambda rng, shape: 1 - rng.exponential(size=shape),
        lambda x: 1 - np.exp(-np.maximum(0, 1 - x)),
    ),
    "two peaks, 80 and 20%": two_peaks(0.8, 0.5, -2.0, 0.4),
    "two peaks, 50 and 50%": two_peaks(0.5, 1.0, -1.0, 0.3),
    "normal, twice the SD with the example": Noise(normal, stats.norm.sf, with_example=2.0),
}


def simulate(noise: Noise, models: int, repeat: int) -> dict[tuple[str, str], np.ndarray]:
    """Return (error, SE) arrays (2, TESTS) by (estimator, score)."""
    rng = np.random.default_rng([models, repeat])
    mask = np.array([subset_mask(TRAIN, model, KEPT, repeat) for model in range(models)])
    target = rng.integers(TRAIN, size=TESTS)
    effect, without = 1.5 * rng.uniform(0.5, 1.5, TESTS), -0.5 * rng.uniform(0.5, 1.5, TESTS)
    inside = mask[:, target]
    scale = np.where(inside, noise.with_example, 1.0)
    margins = without + effect * inside + scale * noise.draw(rng, inside.shape)
    truth = noise.above(-(without + effect) / noise.with_example) - noise.above(-without)
    # as training examples: every column has its own mask
    labels = np.zeros(TRAIN, dtype=int), np.zeros(TESTS, dtype=int)
    train = np.zeros((models, TRAIN))
    found = {}
    for estimator, given in (("margins", margins), ("difference", margins > 0)):
        scores = Scores.estimate(estimator, mask, train.astype(given.dtype), given, *labels)
        block = next(iter(scores.influence))
        at = target, np.arange(TESTS)
        found[estimator, "influence"] = np.stack(
            [block.influence[at] - truth, block.influence_se[at]]
        )
        own = Scores.estimate(
            estimator, inside, given, given[:, :1], np.zeros(TESTS, dtype=int), labels[1][:1]
        ).memorization
        found[estimator, "memorization"] = np.stack([own.value - truth, own.se])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, default=ROOT / "benchmarks/results/intervals.csv")
    options = parser.parse_args()
    with open(options.csv, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["margins", "models", "estimator", "score", "coverage", "bias", "rmse"])
        for name, noise in NOISE.items():
            for models in SIZES:
                runs = [simulate(noise, models, repeat) for repeat in range(REPEATS)]
                for which in runs[0]:
                    error, se = np.concatenate([run[which] for run in runs], axis=1)
                    row = np.mean(np.abs(error) < 1.96 * se), error.mean(), np.mean(error**2) ** 0.5
                    out.writerow([name, models, *which, *(f"{value:.4f}" for value in row)])
                    print(name, models, *which, *(f"{value:.3f}" for value in row), flush=True)


if __name__ == "__main__":
    main()
