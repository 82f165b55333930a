"""Table 2: how far test accuracy drops when a set of examples is removed, against a control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from memaudit.models.removals import CONTROL
from memaudit.results import statistics
from memaudit.results.accuracies import read_arms
from memaudit.results.statistics import NO_CHANGE, SIGNIFICANT, Arm, Estimate, accuracy_drop
from memaudit.results.two_way import TwoWay
from memaudit.tables import column, describe
from memaudit.templates import known, render

# The paper's Table 2: its label of a row, its drop and "+/-" (which it does not define), percentage
# points, CIFAR-100, ResNet-50.
PUBLISHED = {
    ("original", "selected"): ("Original", 2.54, 0.20),
    ("weight_decay", "selected"): ("Model convergence", 1.78, 0.32),
    ("weight_decay", "leakage_shift"): ("Leakage + Shift", 1.25, 0.32),
    ("weight_decay", "memorized"): ("Memorized", 0.54, 0.29),
}
RANDOM = "random control"

# Verdicts on the excess drop
EXCESS, EXCESS_WITHIN = "larger drop than control", "larger drop than control, within the margin"
LESS, LESS_WITHIN = "smaller drop than control", "smaller drop than control, within the margin"
EQUIVALENT, INCONCLUSIVE = "equivalent to control", "inconclusive"
NOTHING, UNTESTED = "nothing removed", "not tested"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One removal under one recipe, compared with the recipe's models on all examples."""

    row: str
    recipe: str
    removal: str
    n_removed: int
    n_models_full: int
    n_models_reduced: int
    acc_full: float
    acc_reduced: float
    drop: float
    drop_low: float
    drop_high: float
    drop_sampling_low: float
    drop_sampling_high: float
    excess_drop: float
    excess_drop_low: float
    excess_drop_high: float
    p_excess: float = column(digits=".3g")
    verdict: str
    p_drop: float = column(digits=".3g")
    p_equivalence: float = column(digits=".3g")
    sd_full: float
    sd_reduced: float
    sd_difference: float
    se: float
    correlation: float


@dataclass(frozen=True, kw_only=True)
class Table2Row(Comparison):
    """A row of table2.csv."""

    drop_leak_free: float
    drop_leak_free_low: float
    drop_leak_free_high: float
    drop_held_out: float
    drop_held_out_low: float
    drop_held_out_high: float
    published_drop: float
    published_sd: float


@dataclass(frozen=True)
class Settings:
    """What the statistics depend on.

    `margin` of equivalence in percentage points, `bootstrap` draws, the study's `seed`. With
    `published` the paper's values, which are for CIFAR-100, stand beside those found.
    """

    margin: float = 0.25
    bootstrap: int = 2000
    seed: int = 0
    published: bool = False


class Contrasts:
    """Differences between arms, including test-set sampling, on one set of test images.

    `arms` and `removed` as `read_arms` returns them.
    """

    def __init__(self, arms: Mapping[str, Arm], removed: Mapping[str, int], settings: Settings):
        self.removed, self.settings = removed, settings
        self.two_way = TwoWay(arms, settings.bootstrap, settings.seed)
        # with nothing removed: the same models, not other ones of equal accuracy
        self.names = {
            name: name if count else f"{name.partition('/')[0]}/none"
            for name, count in removed.items()
        }

    def contrast(self, plus: Sequence[str], minus: Sequence[str]) -> Estimate:
        """Estimate the accuracies of the arms `plus` minus those of `minus`; NaN without an arm."""
        if not {*plus, *minus} <= self.names.keys():
            return Estimate(np.nan)
        plus, minus = ([self.names[name] for name in side] for side in (plus, minus))
        return self.two_way.contrast(plus, minus)

    def drop(self, recipe: str, removal: str) -> Estimate:
        """Estimate the accuracy drop from the models on all examples."""
        return self.contrast([f"{recipe}/none"], [f"{recipe}/{removal}"])

    def excess_drop(self, recipe: str, removal: str) -> Estimate:
        """Estimate the drop minus the control's; the models on all examples cancel."""
        return self.contrast([f"{recipe}/{CONTROL}{removal}"], [f"{recipe}/{removal}"])

    def interaction(self, recipe: str, removal: str) -> Estimate:
        """Estimate the drop minus that of the recipe `original`."""
        return self.contrast(
            [f"{recipe}/none", f"original/{removal}"], [f"{recipe}/{removal}", "original/none"]
        )


def comparisons(contrasts: Contrasts, rows: Sequence[tuple[str, str]]) -> list[Comparison]:
    """Return the comparison for each (recipe, removal); what is unknown is NaN.

    p values are adjusted over the rows that are not controls.
    """
    table = [_comparison(contrasts, recipe, removal) for recipe, removal in rows]
    p_drop, p_excess = (
        _adjusted([getattr(row, name) for row in table]) for name in ("p_drop", "p_excess")
    )
    table = [
        replace(row, p_drop=float(drop), p_excess=float(excess))
        for row, drop, excess in zip(table, p_drop, p_excess, strict=True)
    ]
    return [replace(row, verdict=verdict(row)) for row in table]


def _adjusted(values: Sequence[float]) -> statistics.Floats:
    """Return Holm-adjusted p values of one family; NaN stays NaN."""
    p = np.array(values, dtype=float)
    tested = ~np.isnan(p)
    p[tested] = statistics.holm(p[tested])
    return p


def _comparison(contrasts: Contrasts, recipe: str, removal: str) -> Comparison:
    """Return a row; its p values are not adjusted yet and its verdict is missing."""
    arms = contrasts.two_way.arms
    full, reduced = arms[f"{recipe}/none"], arms[f"{recipe}/{removal}"]
    n_removed = contrasts.removed[f"{recipe}/{removal}"]
    is_control = removal.startswith(CONTROL)
    fixed = accuracy_drop(full, reduced) if n_removed else NO_CHANGE
    sampled = contrasts.drop(recipe, removal)
    excess = contrasts.excess_drop(recipe, removal)
    is_paired = n_removed and np.array_equal(full.trials, reduced.trials)
    return Comparison(
        row=RANDOM if is_control else PUBLISHED.get((recipe, removal), (removal,))[0],
        recipe=recipe,
        removal=removal,
        n_removed=n_removed,
        n_models_full=len(full.trials),
        n_models_reduced=len(reduced.trials),
        acc_full=float(full.accuracy.mean()),
        acc_reduced=float(reduced.accuracy.mean()),
        drop=fixed.value,
        drop_low=fixed.low,
        drop_high=fixed.high,
        drop_sampling_low=sampled.low,
        drop_sampling_high=sampled.high,
        excess_drop=excess.value,
        excess_drop_low=excess.low,
        excess_drop_high=excess.high,
        p_excess=statistics.no_effect(excess) if n_removed else np.nan,
        verdict="",
        p_drop=statistics.no_effect(sampled) if n_removed and not is_control else np.nan,
        p_equivalence=(
            statistics.equivalence(excess, contrasts.settings.margin) if n_removed else np.nan
        ),
        sd_full=_sd(full),
        sd_reduced=_sd(reduced),
        sd_difference=fixed.sd,
        se=fixed.se,
        correlation=statistics.correlation(full.accuracy, reduced.accuracy)
        if is_paired
        else np.nan,
    )


def table_rows(
    accuracies: str | Path,
    rows: Sequence[tuple[str, str]],
    n_test: int,
    settings: Settings,
    subsets: Mapping[str, npt.NDArray[np.int64]] = MappingProxyType({}),
) -> list[Table2Row]:
    """Return the rows of Table 2, one for each (recipe, removal).

    `subsets` of the `n_test` test images by name, int64 (images,): `leak_free` and `held_out`, for
    the columns drop_<name>. What is unknown is NaN.
    """
    arms, removed = read_arms(accuracies, rows, n_test)
    on = {
        name: Contrasts({key: arm.on(images) for key, arm in arms.items()}, removed, settings)
        for name, images in subsets.items()
    }
    table = []
    for row in comparisons(Contrasts(arms, removed, settings), rows):
        leak_free, held_out = (
            on[name].drop(row.recipe, row.removal) if name in on else Estimate(np.nan)
            for name in ("leak_free", "held_out")
        )
        paper = PUBLISHED if settings.published else {}
        _, published_drop, published_sd = paper.get((row.recipe, row.removal), ("", np.nan, np.nan))
        table.append(
            Table2Row(
                **vars(row),
                drop_leak_free=leak_free.value,
                drop_leak_free_low=leak_free.low,
                drop_leak_free_high=leak_free.high,
                drop_held_out=held_out.value,
                drop_held_out_low=held_out.low,
                drop_held_out_high=held_out.high,
                published_drop=published_drop,
                published_sd=published_sd,
            )
        )
    return table


def _sd(arm: Arm) -> float:
    return float(np.std(arm.accuracy, ddof=1)) if len(arm.trials) > 1 else np.nan


def verdict(row: Comparison) -> str:
    """Return the verdict on the excess drop of a row; empty for a control."""
    if row.row == RANDOM:
        return ""
    if not row.n_removed:
        return NOTHING
    if not known(row.p_excess):
        return UNTESTED
    is_within = row.p_equivalence < SIGNIFICANT
    if row.p_excess >= SIGNIFICANT:
        return EQUIVALENT if is_within else INCONCLUSIVE
    if row.excess_drop > 0:
        return EXCESS_WITHIN if is_within else EXCESS
    return LESS_WITHIN if is_within else LESS


def markdown(rows: Sequence[Table2Row], name: str, answer: str, margin: float) -> str:
    """Return Table 2 for readers: the answer, the table, and what its columns mean."""
    columns = describe(Table2Row)
    return render(
        "table2.md",
        rows=rows,
        name=name,
        answer=answer,
        margin=margin,
        columns=columns,
    )
