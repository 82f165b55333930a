"""Measures of the cross-validated probabilities, as docs/duplicates.md reports them."""

from functools import partial

import numpy as np
import pandas as pd
from regression import MODELS

NEAR = 0.55  # score from which the finder calls a pair a near-duplicate


def average_precision(y: np.ndarray, p: np.ndarray) -> float:
    hits = y[np.argsort(-p, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits == 1].mean())


def recall_at(y: np.ndarray, p: np.ndarray, precision: float) -> float:
    """Return the largest recall at a precision of at least `precision`."""
    hits = np.cumsum(y[np.argsort(-p, kind="stable")])
    good = hits / np.arange(1, len(hits) + 1) >= precision
    return float(hits[good].max(initial=0) / y.sum())


def interval(y, p, tests, measure, draws: int = 500) -> tuple[float, float]:
    """Return the 95% percentile interval of a measure, by resampling test images."""
    unique, place = np.unique(tests, return_inverse=True)
    members = [np.flatnonzero(place == k) for k in range(len(unique))]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        index = np.concatenate([members[k] for k in rng.integers(0, len(unique), len(unique))])
        found.append(measure(y[index], p[index]))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def with_near(p: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return probabilities of which those of near-duplicates are at least that by the score."""
    from memaudit.duplicates.calibration import if_selected, probability

    alone = np.array([if_selected(value) for value in probability("score", {"score": score})])
    return np.where(score >= NEAR, np.maximum(p, alone), p)


def chosen_thresholds(p, y, trains, fold, wrong: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the threshold chosen for each fold in the others, and which pairs are called.

    It is the lowest with at most `wrong` examples called wrongly per example with a duplicate.
    """

    def allowed(least: float, among: np.ndarray) -> bool:
        leaking = set(trains[among & (y == 1)].tolist())
        called = set(trains[among & (p >= least)].tolist())
        return len(called - leaking) <= wrong * len(leaking)

    grid = np.arange(0.01, 1, 0.01)
    found = [
        next(least for least in grid if allowed(least, fold != k)) for k in range(fold.max() + 1)
    ]
    return np.array(found), p >= np.array(found)[fold]


def report(rows: pd.DataFrame) -> None:
    columns = ("duplicate", "near_kind", "test", "train", "fold", "score")
    y, kinds, tests, trains, fold, score = (rows[name].to_numpy() for name in columns)
    leaking = set(trains[y == 1].tolist())
    measures = {"average precision": average_precision} | {
        f"recall at precision {least}": partial(recall_at, precision=least)
        for least in (0.9, 0.95, 0.8)
    }
    for kind in MODELS:
        p = rows[f"p_{kind}"].to_numpy()
        print(f"\n{kind}")
        for name, measure in measures.items():
            low, high = interval(y, p, tests, measure)
            print(f"  {name}: {measure(y, p):.3f} ({low:.3f} to {high:.3f})")
        if kind != "score":
            floored = with_near(p, score)
            low, high = interval(y, floored, tests, average_precision)
            found = set(trains[floored >= 0.5].tolist())
            print(
                "  near-duplicates at least at the probability by their score: average precision "
                f"{average_precision(y, floored):.3f} ({low:.3f} to {high:.3f}), "
                f"recall at precision 0.9 {recall_at(y, floored, 0.9):.3f}; "
                f"p >= 0.5: examples {len(found & leaking)}, {len(found - leaking)} wrong"
            )
            least, called = chosen_thresholds(p, y, trains, fold, 30 / 258)
            found = set(trains[called].tolist())
            print(
                "  threshold chosen in the other folds, at most 30 per 258 wrong: "
                f"{least.min():.2f} to {least.max():.2f}; examples {len(found & leaking)}, "
                f"{len(found - leaking)} wrong"
            )
        for least in (0.3, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8):
            called = p >= least
            found = set(trains[called].tolist())
            precision, recall = y[called].mean(), y[called].sum() / y.sum()
            print(
                f"  p >= {least}: precision {precision:.2f}, recall {recall:.2f}; examples "
                f"{len(found & leaking)} of {len(leaking)}, {len(found - leaking)} wrong; "
                + ", ".join(
                    f"{name} {called[kinds == name].sum()} of {(kinds == name).sum()}"
                    for name in ("same_photograph", "same_scene", "unclear")
                )
            )
        for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
            among = (p >= low) & (p < high)
            if among.any():
                print(
                    f"  {low} to {min(high, 1)}: {among.sum()} pairs, mean p "
                    f"{p[among].mean():.2f}, duplicates {y[among].mean():.2f}"
                )
