"""The tables of the sweeps over weight decay and thresholds: Table 2's statistics, row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from memaudit import store
from memaudit.results import table2
from memaudit.results.accuracies import read_arms
from memaudit.results.statistics import mean_interval
from memaudit.results.table2 import Comparison, Contrasts


@dataclass(frozen=True, kw_only=True)
class SweepRow(Comparison):
    """A row of Table 2 with what a sweep adds."""

    fitted: float
    """accuracy of the models on all examples on their unaugmented training images at the end
    of training: whether they fit what they were trained on; percent"""
    fitted_sd: float
    """SD of fitted over models; pp"""
    acc_full_low: float
    """lower bound of the 95% CI of acc_full over models (Student); percent"""
    acc_full_high: float
    """upper bound of that CI; percent"""
    acc_reduced_low: float
    """lower bound of the 95% CI of acc_reduced; percent"""
    acc_reduced_high: float
    """upper bound of that CI; percent"""


@dataclass(frozen=True, kw_only=True)
class _WeightDecay:
    weight_decay: str
    """weight decay of the recipe, which is `weight_decay` otherwise"""


@dataclass(frozen=True, kw_only=True)
class _Threshold:
    threshold: str
    """memorization at or above which examples are removed; fraction"""


@dataclass(frozen=True, kw_only=True)
class WeightDecayRow(SweepRow, _WeightDecay):
    """A row of weight_decay.csv; its own column comes first."""


@dataclass(frozen=True, kw_only=True)
class ThresholdRow(SweepRow, _Threshold):
    """A row of threshold_curve.csv; its own column comes first."""


Row = TypeVar("Row", WeightDecayRow, ThresholdRow)


def sweep_rows(
    accuracies: str | Path,
    kind: type[Row],
    rows: Sequence[tuple[str, str, str]],
    n_test: int,
    settings: table2.Settings,
) -> list[Row]:
    """Return the rows of a sweep, one for each (value, recipe, removal).

    `kind` says what was swept over; `accuracies` is a file by the contract
    `memaudit.store.ACCURACIES`. p values are adjusted over the rows that are not controls.
    """
    arms = [(recipe, removal) for _, recipe, removal in rows]
    contrasts = Contrasts(*read_arms(accuracies, arms, n_test), settings)
    name = "weight_decay" if kind is WeightDecayRow else "threshold"
    found = []
    with store.reading(accuracies, store.ACCURACIES) as file:
        for (value, recipe, removal), row in zip(
            rows, table2.comparisons(contrasts, arms), strict=True
        ):
            fitted = file[f"{recipe}/none/train_accuracy"][:]
            full, reduced = (
                mean_interval(file[f"{recipe}/{arm}/test_accuracy"][:]) for arm in ("none", removal)
            )
            swept: dict[str, Any] = {name: value}
            found.append(
                kind(
                    **swept,
                    **vars(row),
                    fitted=float(fitted.mean()),
                    fitted_sd=float(fitted.std(ddof=1)) if len(fitted) > 1 else np.nan,
                    acc_full_low=full[0],
                    acc_full_high=full[1],
                    acc_reduced_low=reduced[0],
                    acc_reduced_high=reduced[1],
                )
            )
    return found
