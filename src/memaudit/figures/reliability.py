"""Are there enough subset models: what two sets of them agree on."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from memaudit.figures.drawing import BLUE, GREY, ORANGE, SMALL, WIDTH, headed, plain, save
from memaudit.scores.reliability import Agreement

_PALEST = 0.1  # of a count: a single example must be seen on white


def reliability(
    halves: tuple[np.ndarray, np.ndarray],
    found: Sequence[Agreement],
    threshold: float,
    models: int,
    path: str | Path,
) -> None:
    """Memorization by two halves of the models, and what sets of fewer and more of them agree on.

    `halves` (n_train,) each are of one split into two sets; `found` are those of all splits;
    `threshold` is that of memorization; `models` are all there are.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.9), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)
    if found:
        _halves(left, halves, found, threshold)
        _by_models(right, found, models)
    else:
        for axis in (left, right):
            text = f"{models} models are too few to split in two balanced halves"
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
    axis.figure.colorbar(shown, ax=axis, shrink=0.8, format="{x:,g}")
    shown.colorbar.set_label("training examples in a cell (log scale)", fontsize=SMALL)
    shown.colorbar.ax.set_ylim(bottom=1)
    axis.plot(ends, ends, color="black", linewidth=0.6)
    for line in (axis.axvline, axis.axhline):
        line(threshold, color=ORANGE, linewidth=1, linestyle="--")
    half = max(a.models for a in found)
    mean = np.mean([a.memorization for a in found if a.models == half])
    headed(
        axis,
        "Memorization of each training example, twice\n"
        f"correlation {mean:.3f}; dashed: threshold of the selection",
    )
    axis.set_xlabel(f"memorization by {half:,} models (fraction)", fontsize=SMALL)
    axis.set_ylabel(f"memorization by {half:,} other models (fraction)", fontsize=SMALL)
    axis.tick_params(labelsize=SMALL)
    shown.colorbar.ax.tick_params(labelsize=SMALL)
    axis.set_aspect("equal")


def _by_models(axis: Axes, found: Sequence[Agreement], models: int) -> None:
    """Mean over splits, and from the least to the greatest, against the number of models."""
    sizes = sorted({a.models for a in found})
    lines = (
        ("memorization", "correlation of memorization, all examples", GREY, "s"),
        ("examples", "examples selected by both, of those by either", BLUE, "o"),
        ("pairs", "pairs selected by both, of those by either", ORANGE, "^"),
    )
    least = 0.0
    for at, (name, label, colour, marker) in enumerate(lines):
        values = [[getattr(a, name) for a in found if a.models == size] for size in sizes]
        values = np.nan_to_num(
            np.array(values)
        )  # sets that both select nothing have none in common
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
    axis.set_xlabel("number of models in each of the two sets (log scale)", fontsize=SMALL)
    axis.set_ylabel("agreement of two sets of models (1 = the same)", fontsize=SMALL)
    axis.grid(axis="y", linewidth=0.4)
    headed(
        axis, "Would other models select the same?\nmean of random splits, bars: least to greatest"
    )
    plain(axis)
