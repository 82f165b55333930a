"""The tables of the sweeps over weight decay and thresholds: Table 2's statistics, row by row."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from memaudit import store
from memaudit.results import table2
from memaudit.results.statistics import mean_interval

# The columns of weight_decay.csv and threshold_curve.csv, after that of the value. Those that are
# not here, Table 2 has too, and explains.
COLUMNS = (
    "recipe",
    "removal",
    "n_removed",
    "n_models_full",
    "n_models_reduced",
    "fitted",
    "fitted_sd",
    "acc_full",
    "acc_full_low",
    "acc_full_high",
    "sd_full",
    "acc_reduced",
    "acc_reduced_low",
    "acc_reduced_high",
    "sd_reduced",
    "drop",
    "se",
    "ci_low",
    "ci_high",
    "boot_low",
    "boot_high",
    "p_holm",
    "drop_vs_random",
    "drop_vs_random_low",
    "drop_vs_random_high",
)
OWN_COLUMNS = {
    "weight_decay": "the recipe's weight decay; all else is as in the recipe `weight_decay`",
    "threshold": "examples with memorization at or above this value were removed",
    "fitted": "accuracy of the models trained on all examples on the unaugmented training "
    "images, at the end of training, percent",
    "fitted_sd": "its SD over models, percentage points",
    "acc_full_low": "lower bound of the 95% CI of acc_full over models (Student), percent",
    "acc_full_high": "upper bound",
    "acc_reduced_low": "lower bound of the 95% CI of acc_reduced over models (Student), percent",
    "acc_reduced_high": "upper bound",
}
_NOTHING = np.empty(0, dtype=np.int64)


def sweep_rows(
    accuracies: str | Path,
    name: str,
    rows: Sequence[tuple[str, str, str]],
    n_test: int,
    settings: table2.Settings,
) -> list[dict]:
    """The rows of a sweep, each (value, recipe, removal) compared with its recipe on all examples.

    `name` is what was swept over, the first column; `accuracies` a file by the contract
    `memaudit.store.ACCURACIES`. The tests are adjusted over the rows that are no controls.
    """
    arms = [(recipe, removal) for _, recipe, removal in rows]
    found = table2.table_rows(accuracies, arms, n_test, _NOTHING, _NOTHING, settings)
    with store.reading(accuracies, store.ACCURACIES) as file:
        for (value, recipe, removal), row in zip(rows, found, strict=True):
            fitted = file[f"{recipe}/none/train_accuracy"][:]
            row[name] = value
            row["fitted"] = float(fitted.mean())
            row["fitted_sd"] = float(fitted.std(ddof=1)) if len(fitted) > 1 else np.nan
            for side, arm in (("acc_full", "none"), ("acc_reduced", removal)):
                ends = mean_interval(file[f"{recipe}/{arm}/test_accuracy"][:])
                row[f"{side}_low"], row[f"{side}_high"] = ends
    return [{column: row[column] for column in (name, *COLUMNS)} for row in found]
