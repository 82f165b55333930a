"""Logistic regressions on the evidence, evaluated by nested cross-validation by test image.

The terms and the penalty are chosen by likelihood in folds of the training part of each outer
fold, then fitted to that part and applied to the outer fold.
"""

import numpy as np
from scipy.optimize import minimize

FOLDS = 10
# terms of a regression: a tuple shares one weight
MODELS = {
    "network": (
        (("global", "cells", "patches"), "score", "white"),
        ("global", "cells", "patches", "score", "white"),
        ("global", "cells", "patches", "score"),
    ),
    "classical": (
        (("global", "patches"), "score", "white"),
        ("global", "patches", "score", "white"),
        ("global", "patches", "score"),
    ),
    "score": (("score",),),
}
PENALTIES = (0.3, 1.0, 3.0)


def matrix(rows: list[dict[str, float]], kind: str, terms: tuple) -> np.ndarray:
    """Return the terms of a regression (pairs, terms)."""

    def column(name: str) -> np.ndarray:
        own = name if name in ("score", "white") else f"{kind}_{name}"
        return np.array([float(row[own]) for row in rows])

    return np.column_stack(
        [sum(map(column, name)) if isinstance(name, tuple) else column(name) for name in terms]
    )


def fit(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """Return weights and intercept of a logistic regression with a ridge on standardized terms."""
    mean, scale = x.mean(0), x.std(0) + 1e-9
    z = np.column_stack([(x - mean) / scale, np.ones(len(x))])

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        logit = z @ w
        ridge = penalty * np.r_[w[:-1], 0]
        value = np.logaddexp(0, logit).sum() - y @ logit + 0.5 * ridge @ w
        return value, z.T @ (1 / (1 + np.exp(-logit)) - y) + ridge

    w = minimize(loss, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B").x
    slope = w[:-1] / scale
    return np.r_[slope, w[-1] - slope @ mean]


def apply(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(x @ w[:-1] + w[-1])))


def folds_of(tests: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the fold of each pair, so that all pairs of a test image are in one."""
    unique, place = np.unique(tests, return_inverse=True)
    return np.random.default_rng(seed).permutation(len(unique))[place] % count


def chosen(rows: list[dict[str, float]], kind: str, y: np.ndarray, tests: np.ndarray) -> tuple:
    """Return the terms and penalty with the best cross-validated likelihood."""
    best = None
    for terms in MODELS[kind]:
        x = matrix(rows, kind, terms)
        for penalty in PENALTIES:
            p = np.empty(len(y))
            fold = folds_of(tests, 5, seed=1)
            for k in range(5):
                p[fold == k] = apply(x[fold == k], fit(x[fold != k], y[fold != k], penalty))
            value = np.log(np.where(y == 1, p, 1 - p)).mean()
            if best is None or value > best[0] + 1e-4:
                best = (value, terms, penalty)
    return best[1:]


def cross_validated(rows: list[dict[str, float]], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the nested cross-validated probability and the fold of each pair."""
    y = np.array([int(row["duplicate"]) for row in rows])
    tests = np.array([int(row["test"]) for row in rows])
    fold, p = folds_of(tests, FOLDS, seed=0), np.empty(len(y))
    for k in range(FOLDS):
        own = [row for row, f in zip(rows, fold, strict=True) if f != k]
        out = [row for row, f in zip(rows, fold, strict=True) if f == k]
        terms, penalty = chosen(own, kind, y[fold != k], tests[fold != k])
        w = fit(matrix(own, kind, terms), y[fold != k], penalty)
        p[fold == k] = apply(matrix(out, kind, terms), w)
    return p, fold
