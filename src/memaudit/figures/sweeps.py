"""The sweeps over weight decay, thresholds and the recipe of the scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED
from memaudit.figures.drawing import (
    BLUE,
    GREEN,
    GREY,
    IN_WORDS,
    ORANGE,
    SMALL,
    headed,
    headed_together,
    intervals,
    plain,
    save,
)
from memaudit.models.removals import CONTROL
from memaudit.results.statistics import Floats
from memaudit.results.sweep_tables import SweepRow, ThresholdRow, WeightDecayRow
from memaudit.scores.rescored import Scored
from memaudit.templates import known

Row = TypeVar("Row", bound=SweepRow)
_SIDES = ((BLUE, "o", -1, "examples removed"), (GREY, "s", 1, "matched random control"))


def weight_decay(rows: Sequence[WeightDecayRow], path: str | Path) -> None:
    """Draw accuracies on all examples, and drops beside their controls, by weight decay."""
    tests, controls = _sides(sorted(rows, key=lambda row: float(row.weight_decay)))
    values = _column(tests, "weight_decay")
    places = _log_places(values)
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 7), sharex=True, layout="constrained")
    label = "test images, 95% CI over models"
    _accuracies(above, places, tests, "acc_full", color=BLUE, marker="o", label=label)
    fitted, sd = _column(tests, "fitted"), np.nan_to_num(_column(tests, "fitted_sd"))
    above.errorbar(
        places,
        fitted,
        yerr=sd,
        color=ORANGE,
        marker="D",
        markersize=4,
        linestyle="--",
        linewidth=1,
        label="training images at the end, ± 1 SD over models",
    )
    above.set_ylabel("images classified correctly (%)", fontsize=SMALL)
    headed(above, "Accuracy of models trained on all examples", columns=2)
    apart = 0.012 * (np.ptp(places) or 1)
    for side, (colour, marker, way, label) in zip((tests, controls), _SIDES, strict=True):
        label = f"{label} ({_count(tests)})" if way < 0 else label
        _drops(below, places + way * apart, side, color=colour, marker=marker, label=label)
    below.axhline(0, color="black", linewidth=0.8)
    below.set_ylabel("accuracy drop (percentage points)", fontsize=SMALL)
    headed(
        below,
        "Accuracy drop without the selected examples. 95% CIs: thick on the fixed\n"
        "test set, capped including test-set sampling",
        columns=2,
    )
    names = [
        row.weight_decay + ("" if row.recipe.startswith("weight_decay_") else f"\n({row.recipe})")
        for row in tests
    ]
    _ticks(below, places, names)
    if not np.ptp(places):
        below.set_xlim(places[0] - 0.5, places[0] + 0.5)
    if values[0] == 0 and len(values) > 1:
        for axis in (above, below):  # the scale is broken between 0 and the smallest value
            axis.axvline((places[0] + places[1]) / 2, color=GREY, linestyle=":", linewidth=1)
    zero = ", 0 apart" if values[0] == 0 and len(values) > 1 else ""
    below.set_xlabel(f"weight decay of the recipe (log scale{zero})", fontsize=SMALL)
    for axis in (above, below):
        plain(axis)
    save(figure, path)


def threshold_curve(rows: Sequence[ThresholdRow], path: str | Path) -> None:
    """Draw test accuracy without all examples at or above a threshold, and of the control.

    One panel per recipe. Feldman & Zhang's figure 2.
    """
    recipes = list(dict.fromkeys(row.recipe for row in rows))
    figure, axes = plt.subplots(
        len(recipes),
        1,
        figsize=(7, 3.1 * len(recipes) + 1.3),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, recipe in zip(axes[:, 0], recipes, strict=True):
        ordered = sorted(rows, key=lambda row: float(row.threshold))
        sides = _sides([row for row in ordered if row.recipe == recipe])
        places = _column(sides[0], "threshold")
        full = sides[0][0]
        axis.axhline(
            full.acc_full,
            color=GREEN,
            linestyle="--",
            linewidth=1.2,
            label="trained on all examples",
        )
        if known(full.acc_full_low):
            ends = full.acc_full_low, full.acc_full_high
            axis.axhspan(*ends, color=GREEN, alpha=0.2, linewidth=0)
        for side, (colour, marker, _, label) in zip(sides, _SIDES, strict=True):
            style = {"color": colour, "marker": marker, "label": label}
            _accuracies(axis, places, side, "acc_reduced", **style)
        axis.set_title(f"recipe {recipe}", fontsize=9.5)
        axis.set_ylabel("test images classified correctly (%)", fontsize=SMALL)
        plain(axis)
    names = [f"{row.threshold}\n{row.n_removed:,}" for row in sides[0]]
    _ticks(axis, places, names)
    axis.set_xlabel(
        "memorization threshold (fraction): examples at or above it are removed\n"
        "below: number of removed examples",
        fontsize=SMALL,
    )
    headed_together(
        figure,
        axes[:1, 0],
        "Test accuracy without the most memorized training examples\n"
        "bars and band: 95% CIs over models",
        columns=3,
    )
    save(figure, path)


def rescored(
    names: tuple[str, str],
    scored: tuple[Scored, Scored],
    buckets: Mapping[int, str],
    threshold: float,
    path: str | Path,
) -> None:
    """Draw the memorization of every example under two recipes, coloured by bucket.

    `buckets` of the examples that the first recipe selects, by example; `threshold` of the
    selection.
    """
    figure, axis = plt.subplots(figsize=(6.4, 7.2), layout="constrained")
    x, y = (one.memorization for one in scored)
    known = ~np.isnan(x) & ~np.isnan(y)
    groups = {"not selected": (np.array([p not in buckets for p in range(len(x))]), GREY, "o")}
    for bucket, colour, marker in ((LEAKAGE_SHIFT, ORANGE, "^"), (MEMORIZED, BLUE, "s")):
        chosen = np.array([buckets.get(p) == bucket for p in range(len(x))])
        groups[f"selected, {IN_WORDS[bucket]}"] = chosen, colour, marker
    for label, (chosen, colour, marker) in groups.items():
        at = chosen & known
        axis.scatter(
            x[at],
            y[at],
            s=9,
            color=colour,
            marker=marker,
            alpha=0.3 if colour == GREY else 0.7,
            linewidth=0,
            label=f"{label} ({at.sum():,})",
            rasterized=True,  # tens of thousands of examples
        )
    ends = min(0.0, float(np.nanmin([x[known], y[known]], initial=0))) - 0.02, 1.02
    axis.plot(ends, ends, color="black", linewidth=0.8)
    for line in (axis.axvline, axis.axhline):
        line(threshold, color="black", linestyle=":", linewidth=0.8)
    axis.set(xlim=ends, ylim=ends, aspect="equal")
    axis.set_xlabel(
        f"memorization under recipe {names[0]}, by which examples are selected (fraction)",
        fontsize=SMALL,
    )
    axis.set_ylabel(f"memorization under recipe {names[1]} (fraction)", fontsize=SMALL)
    headed(
        axis,
        "Memorization of each training example under both recipes\n"
        f"diagonal: equal; dotted: selection threshold ({threshold:g})",
        markerscale=2,
    )
    plain(axis)
    save(figure, path)


def _sides(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows of the removals, and those of their controls in the same order."""
    tests = [row for row in rows if not row.removal.startswith(CONTROL)]
    return tests, [row for row in rows if row.removal.startswith(CONTROL)]


def _column(rows: Sequence[SweepRow], name: str) -> Floats:
    return np.array([float(getattr(row, name)) for row in rows])


def _count(rows: Sequence[SweepRow]) -> str:
    """Return how many examples are removed."""
    counts = sorted({row.n_removed for row in rows})
    return " or ".join(f"{count:,}" for count in counts)


def _ticks(axis: Axes, places: Floats, names: Sequence[str]) -> None:
    """Name places on the horizontal axis, ascending; lower down where names would overlap."""
    lines = 1 + max(name.count("\n") for name in names)
    ends: list[float] = []  # the last place that is named on each level
    shown = []
    for place, name in zip(places, names, strict=True):
        near = 0.12 * np.ptp(places)
        level = next((k for k, end in enumerate(ends) if place - end >= near), len(ends))
        ends[level : level + 1] = [place]
        shown.append("\n" * lines * level + name)
    axis.set_xticks(places, shown)


def _log_places(values: Floats) -> Floats:
    """Where values, ascending, stand on a log scale: (values,); 0 somewhat before the smallest."""
    positive = values[values > 0]
    if not len(positive):
        return np.zeros(len(values))
    logs = np.log10(positive)
    step = float(np.median(np.diff(logs))) if len(logs) > 1 else 1.0
    zeros = len(values) - len(positive)
    return np.concatenate([np.full(zeros, logs[0] - 1.5 * step), logs])


def _accuracies(
    axis: Axes,
    places: Floats,
    rows: Sequence[SweepRow],
    name: str,
    **style: Any,
) -> None:
    """Draw mean accuracies with their CIs over models, joined by a line."""
    values, low, high = (_column(rows, key) for key in (name, f"{name}_low", f"{name}_high"))
    errors = np.nan_to_num(np.array([values - low, high - values]))
    axis.errorbar(
        places,
        values,
        yerr=errors,
        markersize=5,
        linewidth=1.2,
        capsize=2,
        **style,
    )


def _drops(
    axis: Axes, places: Floats, rows: Sequence[SweepRow], *, color: str, **style: Any
) -> None:
    """Draw drops with both CIs: on the fixed test set thick, including sampling with caps."""
    for name, thick in (("drop", True), ("drop_sampling", False)):
        ends = _column(rows, f"{name}_low"), _column(rows, f"{name}_high")
        intervals(axis, "y", places, ends, color=color, thick=thick)
    axis.plot(places, _column(rows, "drop"), color=color, linewidth=0.8, **style)
