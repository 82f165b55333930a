"""What the sweeps over weight decay, thresholds and the recipe of the scores show."""

from collections.abc import Mapping, Sequence
from pathlib import Path

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
    plain,
    save,
)
from memaudit.models.removals import CONTROL
from memaudit.scores.rescored import Scored

Rows = Sequence[dict[str, str]]
_SIDES = ((BLUE, "o", -1, "examples removed"), (GREY, "s", 1, "as many at random"))


def weight_decay(rows: Rows, path: str | Path) -> None:
    """Accuracies of the models on all examples, and drops beside their controls, by weight decay.

    `rows` are those of weight_decay.csv, as text.
    """
    tests, controls = _sides(rows)
    values = np.array([float(row["weight_decay"]) for row in tests])
    order = np.argsort(values, kind="stable")
    tests, controls, values = [tests[i] for i in order], [controls[i] for i in order], values[order]
    places = _log_places(values)
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 7), sharex=True, layout="constrained")
    _accuracies(
        above, places, tests, "acc_full", BLUE, "o", "test images, 95 % interval over models"
    )
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
    above.set_ylabel("images classified correctly (%)", fontsize=SMALL)
    headed(above, "Accuracy of models trained on all examples", columns=2)
    apart = 0.012 * (np.ptp(places) or 1)
    for side, (colour, marker, way, label) in zip((tests, controls), _SIDES, strict=True):
        label = f"{label} ({_count(tests)})" if way < 0 else label
        _drops(below, places + way * apart, side, colour, marker, label)
    below.axhline(0, color="black", linewidth=0.8)
    below.set_ylabel("fall in test accuracy (percentage points)", fontsize=SMALL)
    headed(
        below,
        "What leaving out the selected examples costs. 95 % intervals: thick over models,\n"
        "for these test images; thin also over test images, for others of the kind",
        columns=2,
    )
    names = [
        row["weight_decay"]
        + ("" if row["recipe"].startswith("weight_decay_") else f"\n({row['recipe']})")
        for row in tests
    ]
    _ticks(below, places, names)
    if not np.ptp(places):
        below.set_xlim(places[0] - 0.5, places[0] + 0.5)
    if values[0] == 0 and len(values) > 1:
        for axis in (above, below):  # the scale is broken between 0 and the smallest value
            axis.axvline((places[0] + places[1]) / 2, color=GREY, linestyle=":", linewidth=1)
    apart = ", 0 set apart" if values[0] == 0 and len(values) > 1 else ""
    below.set_xlabel(
        f"weight decay of the recipe that models are trained by (no unit; log scale{apart})",
        fontsize=SMALL,
    )
    for axis in (above, below):
        plain(axis)
    save(figure, path)


def threshold_curve(rows: Rows, path: str | Path) -> None:
    """Test accuracy without all examples at or above a threshold, and without as many at random.

    `rows` are those of threshold_curve.csv, as text; a panel a recipe. Feldman & Zhang's
    figure 2.
    """
    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
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
        sides = _sides([row for row in rows if row["recipe"] == recipe])
        sides = [sorted(side, key=lambda row: float(row["threshold"])) for side in sides]
        places = _column(sides[0], "threshold")
        full = sides[0][0]
        axis.axhline(
            float(full["acc_full"]),
            color=GREEN,
            linestyle="--",
            linewidth=1.2,
            label="trained on all examples",
        )
        if full["acc_full_low"]:
            ends = float(full["acc_full_low"]), float(full["acc_full_high"])
            axis.axhspan(*ends, color=GREEN, alpha=0.2, linewidth=0)
        for side, (colour, marker, _, label) in zip(sides, _SIDES, strict=True):
            _accuracies(axis, places, side, "acc_reduced", colour, marker, label)
        axis.set_title(f"recipe {recipe}", fontsize=9.5)
        axis.set_ylabel("test images classified correctly (%)", fontsize=SMALL)
        plain(axis)
    names = [f"{row['threshold']}\n{int(row['n_removed']):,}" for row in sides[0]]
    _ticks(axis, places, names)
    axis.set_xlabel(
        "threshold: training examples of at least so much memorization (fraction) are removed\n"
        "under it: how many they are",
        fontsize=SMALL,
    )
    headed_together(
        figure,
        axes[:1, 0],
        "Test accuracy without the most memorized training examples\n"
        "bars and band: 95 % intervals over models",
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
    """Memorization of every example under two recipes, coloured by bucket.

    `buckets` are those of the examples that the first recipe selects, by example; `threshold` is that
    of the selection.
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
        "Are the same training examples memorized under both recipes?\n"
        f"diagonal: equally; dotted: threshold of the selection ({threshold:g})",
        markerscale=2,
    )
    plain(axis)
    save(figure, path)


def _sides(rows: Rows) -> tuple[list, list]:
    """The rows of the removals, and those of their controls in the same order."""
    tests = [row for row in rows if not row["removal"].startswith(CONTROL)]
    return tests, [row for row in rows if row["removal"].startswith(CONTROL)]


def _column(rows: Rows, name: str) -> np.ndarray:
    """A column; NaN where the cell is empty."""
    return np.array([float(row[name] or "nan") for row in rows])


def _count(rows: Rows) -> str:
    """How many examples are removed."""
    counts = sorted({int(row["n_removed"]) for row in rows})
    return " or ".join(f"{count:,}" for count in counts)


def _ticks(axis: Axes, places: np.ndarray, names: Sequence[str]) -> None:
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
