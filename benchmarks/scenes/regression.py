"""Logistic regressions on the evidence, evaluated by nested cross-validation by test image.

The terms and the penalty are chosen by likelihood in folds of the training part of each outer
fold, then fitted to that part and applied to the outer fold.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize

FOLDS = 10


def _forms(*features: str) -> tuple:
    """Return regressions on features and the score, the terms of each; a tuple shares a weight."""
    return (features, "score", "white"), (*features, "score", "white"), (*features, "score")


MODELS = {
    "network": _forms("global", "cells", "patches"),
    "classical": _forms("global", "patches"),
    "score": (("score",),),
}
PENALTIES = (0.3, 1.0, 3.0)


def matrix(rows: pd.DataFrame, kind: str, terms: tuple) -> np.ndarray:
    """Return the terms of a regression (pairs, terms)."""

    def column(name: str | tuple) -> np.ndarray:
        if isinstance(name, tuple):
            return sum(map(column, name))
        return rows[name if name in ("score", "white") else f"{kind}_{name}"].to_numpy(float)

    return np.column_stack([column(name) for name in terms])


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


def folds_of(tests: pd.Series, count: int, seed: int) -> np.ndarray:
    """Return the fold of each pair, so that all pairs of a test image are in one."""
    unique, place = np.unique(tests, return_inverse=True)
    return np.random.default_rng(seed).permutation(len(unique))[place] % count


def chosen(rows: pd.DataFrame, kind: str) -> tuple[tuple, float, np.ndarray]:
    """Return terms and penalty with the best cross-validated likelihood, and the weights."""
    best, y, fold = None, rows["duplicate"].to_numpy(), folds_of(rows["test"], 5, seed=1)
    for terms in MODELS[kind]:
        x = matrix(rows, kind, terms)
        for penalty in PENALTIES:
            p = np.empty(len(y))
            for k in range(5):
                p[fold == k] = apply(x[fold == k], fit(x[fold != k], y[fold != k], penalty))
            value = np.log(np.where(y == 1, p, 1 - p)).mean()
            if best is None or value > best[0] + 1e-4:
                best = (value, terms, penalty, fit(x, y, penalty))
    return best[1:]


def cross_validated(rows: pd.DataFrame, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the nested cross-validated probability and the fold of each pair."""
    fold, p = folds_of(rows["test"], FOLDS, seed=0), np.empty(len(rows))
    for k in range(FOLDS):
        terms, _, w = chosen(rows[fold != k], kind)
        p[fold == k] = apply(matrix(rows[fold == k], kind, terms), w)
    return p, fold
