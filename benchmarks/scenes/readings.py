"""Fit the probability of pairs that were not selected by influence to readings of such pairs."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

READINGS = Path(__file__).parents[1] / "results/scene_readings.csv"


def selection(coefficients: dict[str, dict[str, float]]) -> float:
    """Return how much more often selected pairs are duplicates than others, in log odds.

    `coefficients` are those fitted to selected pairs; the others are the most probable pairs of
    random test images in READINGS. Prints how the difference transfers between datasets.
    """
    rows = pd.read_csv(READINGS).assign(intercept=1).fillna(0)
    weights = pd.DataFrame(coefficients).fillna(0)
    logit = (rows[weights.index] * weights[rows["evidence"]].T.to_numpy()).sum(axis=1).to_numpy()
    y, weight = rows["duplicate"].to_numpy(), rows["weight"].to_numpy()
    groups = (rows["dataset"] + " " + rows["evidence"]).to_numpy(str)

    def likelihood(shift: float, among: np.ndarray) -> float:
        x = logit[among] - shift
        return float(np.average(y[among] * x - np.logaddexp(0, x), weights=weight[among]))

    def best(among: np.ndarray) -> float:
        return float(minimize_scalar(lambda shift: -likelihood(shift, among)).x)

    first = np.char.startswith(groups, "cifar100")
    shifts = {"none": 0.0, "of CIFAR-100": best(first), "of all": best(first | True)}
    for group in dict.fromkeys(groups):
        among = groups == group
        tried = shifts | {"its own": best(among)}
        values = {name: round(likelihood(shift, among), 3) for name, shift in tried.items()}
        print(f"{group}: {among.sum()} readings, own shift {best(among):.2f}, likelihood {values}")
        p = 1 / (1 + np.exp(shifts["of all"] - logit))
        for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
            part = among & (p >= low) & (p < high)
            mean, right = (np.average(values[part], weights=weight[part]) for values in (p, y))
            print(
                f"  {low} to {min(high, 1)}: {part.sum()}, mean {mean:.2f}, duplicates {right:.2f}"
            )
        for name, shift in shifts.items():
            called = among & (logit >= shift)
            recall = (weight * y)[called].sum() / (weight * y)[among].sum()
            right = np.average(y[called], weights=weight[called])
            print(
                f"  p >= 0.5 with the factor {name}: {called.sum()}, precision {right:.2f}, "
                f"recall {recall:.2f}"
            )
    return shifts["of all"]
