"""What the sweeps over weight decay, thresholds and the recipe of the scores show."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED
from memaudit.figures.drawing import BLUE, GREEN, GREY, ORANGE, save
from memaudit.models.removals import CONTROL
from memaudit.scores.rescored import Scored

Rows = Sequence[dict[str, str]]
_SIDES = ((BLUE, "o", -1, "points removed"), (GREY, "s", 1, "as many at random"))


def weight_decay(rows: Rows, path: str | Path) -> None:
    """Accuracies of the models on all points, and drops beside their controls, by weight decay.

    `rows` are those of weight_decay.csv, as text.
    """
    tests, controls = _sides(rows)
    values = np.array([float(row["weight_decay"]) for row in tests])
    order = np.argsort(values, kind="stable")
    tests, controls, values = [tests[i] for i in order], [controls[i] for i in order], values[order]
    places = _log_places(values)
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 6.4), sharex=True)
    _accuracies(above, places, tests, "acc_full", BLUE, "o", "test, ± 95 % interval over models")
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
        label="training images at the end, ± 1 sd over models",
    )
    above.set_ylabel("accuracy of models on all points, %")
    above.legend(frameon=False, fontsize=8)
    apart = 0.012 * (np.ptp(places) or 1)
    for side, (colour, marker, way, label) in zip((tests, controls), _SIDES, strict=True):
        label = f"{label} ({_count(tests)})" if way < 0 else label
        _drops(below, places + way * apart, side, colour, marker, label)
    below.axhline(0, color="black", linewidth=0.8)
    below.set_ylabel("fall in test accuracy,\npercentage points")
    below.legend(frameon=False, fontsize=8)
    names = [
        row["weight_decay"]
        + ("" if row["recipe"].startswith("weight_decay_") else f"\n({row['recipe']})")
        for row in tests
    ]
    below.set_xticks(places, names)
    if values[0] == 0 and len(values) > 1:
        for axis in (above, below):  # the scale is broken between 0 and the smallest value
            axis.axvline((places[0] + places[1]) / 2, color=GREY, linestyle=":", linewidth=1)
    below.set_xlabel(
        "weight decay (log scale, 0 set apart); 95 % intervals of the drop: thick for these test "
        "images,\nthin for others of the kind"
    )
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    save(figure, path)


def threshold_curve(rows: Rows, path: str | Path) -> None:
    """Test accuracy without all points at or above a threshold, and without as many at random.

    `rows` are those of threshold_curve.csv, as text; a panel a recipe. Feldman & Zhang's
    figure 2.
    """
    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
    figure, axes = plt.subplots(
        len(recipes),
        1,
        figsize=(7, 3.1 * len(recipes) + 0.9),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axis, recipe in zip(axes[:, 0], recipes, strict=True):
        sides = _sides([row for row in rows if row["recipe"] == recipe])
        sides = [sorted(side, key=lambda row: float(row["threshold"])) for side in sides]
        places = _column(sides[0], "threshold")
        full = sides[0][0]
        axis.axhline(float(full["acc_full"]), color=GREEN, linewidth=1.2, label="all points")
        if full["acc_full_low"]:
            ends = float(full["acc_full_low"]), float(full["acc_full_high"])
            axis.axhspan(*ends, color=GREEN, alpha=0.2, linewidth=0)
        for side, (colour, marker, _, label) in zip(sides, _SIDES, strict=True):
            _accuracies(axis, places, side, "acc_reduced", colour, marker, label)
        axis.set_title(recipe, fontsize=10)
        axis.set_ylabel("test accuracy, %")
        axis.spines[["top", "right"]].set_visible(False)
    names = [f"{row['threshold']}\n{int(row['n_removed']):,}" for row in sides[0]]
    axis.set_xticks(places, names)
    axis.set_xlabel(
        "memorization from which on points are removed; below it the number of points removed\n"
        "95 % intervals over models"
    )
    axes[0, 0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    save(figure, path)


def rescored(
    names: tuple[str, str],
    scored: tuple[Scored, Scored],
    buckets: Mapping[int, str],
    threshold: float,
    path: str | Path,
) -> None:
    """Memorization of every point under two recipes, coloured by bucket.

    `buckets` are those of the points that the first recipe selects, by point; `threshold` is that
    of the selection.
    """
    figure, axis = plt.subplots(figsize=(6.4, 6.4))
    x, y = (one.memorization for one in scored)
    known = ~np.isnan(x) & ~np.isnan(y)
    groups = {"not selected": (np.array([p not in buckets for p in range(len(x))]), GREY, "o")}
    for bucket, colour, marker in ((LEAKAGE_SHIFT, ORANGE, "^"), (MEMORIZED, BLUE, "s")):
        chosen = np.array([buckets.get(p) == bucket for p in range(len(x))])
        groups[f"selected, {bucket}"] = chosen, colour, marker
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
            rasterized=True,  # tens of thousands of points
        )
    ends = min(0.0, float(np.nanmin([x[known], y[known]], initial=0))) - 0.02, 1.02
    axis.plot(ends, ends, color="black", linewidth=0.8)
    for line in (axis.axvline, axis.axhline):
        line(threshold, color="black", linestyle=":", linewidth=0.8)
    axis.set(xlim=ends, ylim=ends, aspect="equal")
    axis.set_xlabel(f"memorization, recipe {names[0]} (by which points are selected)")
    axis.set_ylabel(f"memorization, recipe {names[1]}")
    axis.legend(
        fontsize=8, loc="upper left", markerscale=2, framealpha=1, edgecolor="white", borderpad=0.1
    )
    axis.text(
        0.98,
        0.02,
        f"diagonal: the same memorization\ndotted: threshold of the selection ({threshold:g})",
        transform=axis.transAxes,
        ha="right",
        va="bottom",
        fontsize=8,
    )
    axis.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def _sides(rows: Rows) -> tuple[list, list]:
    """The rows of the removals, and those of their controls in the same order."""
    tests = [row for row in rows if not row["removal"].startswith(CONTROL)]
    return tests, [row for row in rows if row["removal"].startswith(CONTROL)]


def _column(rows: Rows, name: str) -> np.ndarray:
    """A column; NaN where the cell is empty."""
    return np.array([float(row[name] or "nan") for row in rows])


def _count(rows: Rows) -> str:
    """How many points are removed."""
    counts = sorted({int(row["n_removed"]) for row in rows})
    return " or ".join(f"{count:,}" for count in counts)


def _log_places(values: np.ndarray) -> np.ndarray:
    """Where values, ascending, stand on a log scale: (values,); 0 somewhat before the smallest."""
    positive = values[values > 0]
    if not len(positive):
        return np.zeros(len(values))
    logs = np.log10(positive)
    step = float(np.median(np.diff(logs))) if len(logs) > 1 else 1.0
    zeros = len(values) - len(positive)
    return np.concatenate([np.full(zeros, logs[0] - 1.5 * step), logs])


def _accuracies(
    axis: Axes, places: np.ndarray, rows: Rows, name: str, colour: str, marker: str, label: str
) -> None:
    """Mean accuracies with their intervals over models, joined by a line."""
    values, low, high = (_column(rows, key) for key in (name, f"{name}_low", f"{name}_high"))
    errors = np.nan_to_num(np.array([values - low, high - values]))
    axis.errorbar(
        places,
        values,
        yerr=errors,
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=1.2,
        capsize=2,
        label=label,
    )


def _drops(
    axis: Axes, places: np.ndarray, rows: Rows, colour: str, marker: str, label: str
) -> None:
    """Drops with both intervals: over models thick, with test images thin."""
    for name, width in (("boot", 1.2), ("ci", 3.5)):
        axis.vlines(
            places,
            _column(rows, f"{name}_low"),
            _column(rows, f"{name}_high"),
            colour,
            linewidth=width,
        )
    axis.plot(
        places, _column(rows, "drop"), marker=marker, color=colour, linewidth=0.8, label=label
    )
