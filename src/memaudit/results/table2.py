"""Table 2: how far test accuracy drops when a set of examples is removed, against a control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

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
    """the paper's label of the row (Original, Model convergence, Leakage + Shift,
    Memorized), `random control`, or the name of one of your own removals"""
    recipe: str
    """how models are trained: `original` (no weight decay) or `weight_decay`"""
    removal: str
    """the training examples removed. `selected`: all that are memorized and influence a test
    example; `leakage_shift`: those of them with a duplicate in the test set or in a
    subpopulation (selected examples that influence a common test example and, with
    `subpopulations.by: checked`, look alike); `memorized`: the others; `random_X`: the size-
    and class-matched random control of X, drawn again for each trial and from all examples
    of a class, those of X included; any other name: one of your own removals"""
    n_removed: int
    """number of training examples removed"""
    n_models_full: int
    """number of models trained on all examples"""
    n_models_reduced: int
    """number of models trained without the removed examples"""
    acc_full: float
    """mean test accuracy of the models trained on all examples; percent"""
    acc_reduced: float
    """mean test accuracy of the models trained without the removed examples; percent"""
    drop: float
    """accuracy drop, acc_full - acc_reduced; pp"""
    drop_low: float
    """lower bound of its 95% CI on the fixed test set: training randomness only (Student's t
    over trials; Welch where the two arms have different trials); pp"""
    drop_high: float
    """upper bound of that CI; pp"""
    drop_sampling_low: float
    """lower bound of its 95% CI, including test-set sampling: two-way bootstrap over trials
    and test images, scaled to the variance components; Student's t with fewer than six
    trials. It takes the removed examples as given: since they were selected on the same test
    images, drops on others tend to be smaller (see drop_held_out). Too narrow with fewer
    than about ten affected test images (affected.csv); pp"""
    drop_sampling_high: float
    """upper bound of that CI; pp"""
    excess_drop: float
    """drop minus the drop of the matched random control. Biased towards 0 where the examples
    are a large part of their classes, as the control then contains many of them; pp"""
    excess_drop_low: float
    """lower bound of its 95% CI, including test-set sampling; pp"""
    excess_drop_high: float
    """upper bound of its 95% CI, including test-set sampling; pp"""
    p_excess: float = column(digits=".3g")
    """p value of the test that the excess drop is 0, two-sided, including test-set sampling;
    Holm-adjusted over the rows that are not controls, which controls the family-wise error
    rate"""
    verdict: str
    """`larger drop than control` or `smaller drop than control`: p_excess < 0.05;
    `equivalent to control`: p_equivalence < 0.05; `inconclusive`: neither (add trials or
    test images); `nothing removed`; `not tested`: one model per arm, or no control. With `,
    within the margin`: both p < 0.05"""
    p_drop: float = column(digits=".3g")
    """p value of the test that the drop is 0, two-sided, including test-set sampling;
    Holm-adjusted as p_excess is, as a family of its own"""
    p_equivalence: float = column(digits=".3g")
    """p value of the test that the excess drop is `statistics.margin` or more in either
    direction (two one-sided t tests, including test-set sampling, not adjusted): below 0.05
    the removal is equivalent to its control. The standard error is at least the one that an
    excess drop equal to the margin would have, since a few changed images are rare events"""
    sd_full: float
    """SD of test accuracy over the models trained on all examples; pp"""
    sd_reduced: float
    """SD of test accuracy over the models trained without the removed examples; of a control
    it includes the variation between its random draws; pp"""
    sd_difference: float
    """SD over trials of the drop within a trial; pp"""
    se: float
    """standard error of the drop on the fixed test set; pp"""
    correlation: float
    """correlation over trials of the accuracies of the two arms, for information; empty with
    fewer than three models or if those of an arm do not vary"""


@dataclass(frozen=True, kw_only=True)
class Table2Row(Comparison):
    """A row of table2.csv."""

    drop_leak_free: float
    """drop on the test images without a duplicate in the training set (leak_free_test.txt); pp"""
    drop_leak_free_low: float
    """lower bound of its 95% CI, including test-set sampling; pp"""
    drop_leak_free_high: float
    """upper bound of its 95% CI, including test-set sampling; pp"""
    drop_held_out: float
    """drop on the half of the test images that was not used for selection; empty unless
    selection.held_out_half is true; pp"""
    drop_held_out_low: float
    """lower bound of its 95% CI, including test-set sampling; pp"""
    drop_held_out_high: float
    """upper bound of its 95% CI, including test-set sampling; pp"""
    published_drop: float
    """the paper's drop, for CIFAR-100 with a ResNet-50; empty for other data; pp"""
    published_sd: float
    """the number after the paper's ±, which it does not define; empty for other data; pp"""


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
        **statistics.with_bounds("drop", fixed),
        drop_sampling_low=sampled.low,
        drop_sampling_high=sampled.high,
        **statistics.with_bounds("excess_drop", excess),
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
    paper = PUBLISHED if settings.published else {}
    table = []
    for row in comparisons(Contrasts(arms, removed, settings), rows):
        on_subsets: dict[str, Any] = {}
        for name in ("leak_free", "held_out"):
            drop = on[name].drop(row.recipe, row.removal) if name in on else Estimate(np.nan)
            on_subsets |= statistics.with_bounds(f"drop_{name}", drop)
        _, published_drop, published_sd = paper.get((row.recipe, row.removal), ("", np.nan, np.nan))
        table.append(
            Table2Row(
                **vars(row),
                **on_subsets,
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
