"""Probabilities that pairs are duplicates: logistic regressions fitted to annotated pairs.

`calibration.json` holds the coefficients by kind of evidence, and how they were fitted.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np


@cache
def _fitted() -> dict[str, Any]:
    text = (files("memaudit.duplicates") / "calibration.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def probability(kind: str, terms: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the probabilities (p,) of pairs by their `terms` (p,).

    `kind` is "score" (the duplicate finder's alone), "selected" (the same, of a selected pair),
    or "classical", "network" or "embedding" (the terms of `scene.gather` with such features).
    """
    weights = _fitted()["coefficients"][kind]
    logit = sum((terms[name] * weights[name] for name in terms), start=np.array(0.0))
    return np.asarray(1 / (1 + np.exp(-(logit + weights["intercept"]))))


def if_selected(probability: float) -> float:
    """Return the probability of a selected pair whose probability by `scene.gather` is given.

    An influence is evidence: it multiplies the odds.
    """
    odds = probability * np.exp(_fitted()["selection"])
    return float(odds / (odds + (1 - probability)))
