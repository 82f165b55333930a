"""Figure of the reliability of the scores: agreement of disjoint sets of subset models."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.layout_engine import ConstrainedLayoutEngine

from memaudit.figures.drawing import BLUE, GREY, ORANGE, SMALL, WIDTH, headed, plain, save
from memaudit.scores.reliability import Agreement

_PALEST = 0.1  # below one, so that a cell with a single example is visible on white


def reliability(
    halves: tuple[np.ndarray, np.ndarray] | None,
    found: Sequence[Agreement],
    threshold: float,
    models: int,
    path: str | Path,
) -> None:
    """Draw memorization in two split halves, and the agreement of sets by number of models.

    `halves`: memorization (n_train,) in the two sets of one split, None with too few models;
    `found`: the agreement of all splits; `threshold`: that of memorization; `models`: their number.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(WIDTH, 4.9), layout=ConstrainedLayoutEngine(wspace=0.06)
    )
    if halves is not None and found:
        _halves(left, halves, found, threshold)
        _by_models(right, found, models)
    else:
        for axis in (left, right):
            text = f"{models} models are too few to split into two balanced halves"
            axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=9)
            axis.axis("off")
    save(figure, path)


def _halves(
    axis: Axes, halves: tuple[np.ndarray, np.ndarray], found: Sequence[Agreement], threshold: float
) -> None:
    ends = min(0.0, *(float(half.min()) for half in halves)), 1.0
    shown = axis.hexbin(
        *halves,
        gridsize=45,
        extent=(*ends, *ends),
        norm=LogNorm(vmin=_PALEST),
        cmap="Blues",
        mincnt=1,
    )
    bar = axis.figure.colorbar(shown, ax=axis, shrink=0.8, format="{x:,g}")
    bar.set_label("training examples per cell (log scale)", fontsize=SMALL)
    bar.ax.set_ylim(bottom=1)
    bar.ax.tick_params(labelsize=SMALL)
    axis.plot(ends, ends, color="black", linewidth=0.6)
    for line in (axis.axvline, axis.axhline):
        line(threshold, color=ORANGE, linewidth=1, linestyle="--")
    half = max(a.models for a in found)
    mean = np.mean([a.memorization for a in found if a.models == half])
    headed(
        axis,
        "Memorization of each training example in two split halves\n"
        f"mean correlation {mean:.3f}; dashed: threshold for selection",
    )
    axis.set_xlabel(f"memorization from {half:,} models (fraction)", fontsize=SMALL)
    axis.set_ylabel(f"memorization from {half:,} other models (fraction)", fontsize=SMALL)
    axis.tick_params(labelsize=SMALL)
    axis.set_aspect("equal")


def _by_models(axis: Axes, found: Sequence[Agreement], models: int) -> None:
    """Draw mean and range over the splits against the number of models."""
    sizes = sorted({a.models for a in found})
    lines = (
        ("memorization", "correlation of memorization", GREY, "s"),
        ("examples", "Jaccard index of selected examples", BLUE, "o"),
        ("pairs", "Jaccard index of selected pairs", ORANGE, "^"),
    )
    least = 0.0
    for at, (name, label, colour, marker) in enumerate(lines):
        by_size = [[getattr(a, name) for a in found if a.models == size] for size in sizes]
        values = np.nan_to_num(np.array(by_size))  # NaN: neither set selects anything
        means, least = values.mean(axis=1), min(least, values.min())
        places = np.array(sizes) * (1 + 0.02 * (at - 1))
        axis.plot(places, means, marker=marker, color=colour, label=label)
        axis.vlines(places, values.min(axis=1), values.max(axis=1), color=colour, linewidth=2.5)
    axis.set_xscale("log")
    axis.set_xticks([*sizes, models], [f"{n:,}" for n in (*sizes, models)])
    axis.minorticks_off()
    axis.axvline(models, color="black", linewidth=0.8, linestyle=":")
    axis.annotate(
        "all models",
        (models, 0.02),
        xytext=(-3, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        fontsize=8,
    )
    axis.set_xlim(0.85 * sizes[0], 1.15 * models)
    axis.set_ylim(least - 0.02, 1.02)
    axis.set_xlabel("models in each of the two sets (log scale)", fontsize=SMALL)
    axis.set_ylabel("agreement of two disjoint sets of models", fontsize=SMALL)
    axis.grid(axis="y", linewidth=0.4)
    headed(axis, "Agreement of disjoint sets of models\nmean over random splits; bars: range")
    plain(axis)
