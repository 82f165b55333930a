"""Are there enough subset models: what two sets of them agree on."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from memaudit.figures.drawing import BLUE, GREY, ORANGE, save
from memaudit.scores.reliability import Agreement

_PALEST = 0.1  # of a count: a single point must be seen on white


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
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
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
    axis.figure.colorbar(shown, ax=axis, label="training points (log scale)", shrink=0.85)
    shown.colorbar.ax.set_ylim(bottom=1)
    axis.plot(ends, ends, color="black", linewidth=0.6)
    for line in (axis.axvline, axis.axhline):
        line(threshold, color=ORANGE, linewidth=1, linestyle="--")
    half = max(a.models for a in found)
    mean = np.mean([a.memorization for a in found if a.models == half])
    axis.set_title(
        f"memorization by two halves of the models\ncorrelation {mean:.3f}; dashed: the threshold",
        fontsize=10,
    )
    axis.set_xlabel(f"memorization by {half} models")
    axis.set_ylabel(f"memorization by {half} others")
    axis.set_aspect("equal")


def _by_models(axis: Axes, found: Sequence[Agreement], models: int) -> None:
    """Mean over splits, and from the least to the greatest, against the number of models."""
    sizes = sorted({a.models for a in found})
    lines = (
        ("memorization", "correlation of memorization", GREY, "s"),
        ("points", "selected points in common (Jaccard)", BLUE, "o"),
        ("pairs", "selected pairs in common (Jaccard)", ORANGE, "^"),
    )
    for at, (name, label, colour, marker) in enumerate(lines):
        values = [[getattr(a, name) for a in found if a.models == size] for size in sizes]
        values = np.nan_to_num(
            np.array(values)
        )  # sets that both select nothing have none in common
        means = values.mean(axis=1)
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
    axis.set_xlim(right=1.15 * models)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("models in each of two sets (log scale)")
    axis.set_ylabel("agreement of the two sets, 1 = the same")
    axis.set_title("would other models select the same?\nmean and range over splits", fontsize=10)
    axis.grid(axis="y", linewidth=0.4)
    axis.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0.02, 0.02))
    axis.spines[["top", "right"]].set_visible(False)
