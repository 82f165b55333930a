"""Learning curves: loss and accuracies by epoch."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from memaudit.figures.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SMALL,
    WIDTH,
    headed_together,
    plain,
    save,
)
from memaudit.results.curves import CurveRow
from memaudit.results.statistics import Floats

_LINES = (
    ("train_accuracy", ORANGE, "--", "training images, as augmented, during the epoch"),
    ("test_accuracy", BLUE, "-", "test images"),
)


def learning_curves(rows: Sequence[CurveRow], path: str | Path) -> None:
    """Draw training loss, accuracies and the learning rate; one column per recipe.

    Lines are means over models, bands ± 1 SD over models.
    """
    recipes = list(dict.fromkeys(row.recipe for row in rows))
    figure, axes = plt.subplots(
        3,
        len(recipes),
        figsize=(min(4.2 * len(recipes), WIDTH), 7),
        height_ratios=(3, 3, 1),
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for (losses, accuracies, rates), recipe in zip(axes.T, recipes, strict=True):
        mine = [row for row in rows if row.recipe == recipe]
        _line(losses, mine, "loss", GREEN, "-", "training loss")
        losses.set_title(f"recipe {recipe}, {mine[0].models} models", fontsize=9.5)
        for name, colour, dash, label in _LINES:
            _line(accuracies, mine, name, colour, dash, label)
        _fitted(accuracies, mine[-1])
        rates.plot(_numbers(mine, "epoch"), _numbers(mine, "learning_rate"), color=GREY)
        rates.xaxis.set_major_locator(MaxNLocator(integer=True))
        rates.set_xlabel("epoch", fontsize=SMALL)
    axes[0, 0].set_ylabel("training loss: cross-entropy (nats)", fontsize=SMALL)
    axes[0, 0].set_ylim(bottom=0)
    axes[1, 0].set_ylabel("images classified correctly (%)", fontsize=SMALL)
    axes[2, 0].set_ylabel("learning rate\n(epoch mean)", fontsize=SMALL)
    axes[2, 0].set_ylim(bottom=0)
    for axis in axes.flat:
        plain(axis)
    headed_together(
        figure,
        axes[:, 0],
        "Learning curves of models on all training examples\nmean and band of ± 1 SD over models",
        columns=1 if len(recipes) == 1 else 2,
    )
    save(figure, path)


def _numbers(rows: Sequence[CurveRow], name: str) -> Floats:
    return np.array([getattr(row, name) for row in rows], dtype=float)


def _line(
    axis: Axes, rows: Sequence[CurveRow], name: str, colour: str, dash: str, label: str
) -> None:
    """Draw a curve over the epochs at which it is known, with its band."""
    epochs, values, spread = (_numbers(rows, key) for key in ("epoch", name, f"{name}_sd"))
    known = ~np.isnan(values)
    marker = "o" if known.sum() < len(known) else None
    axis.plot(
        epochs[known],
        values[known],
        color=colour,
        linestyle=dash,
        label=label,
        marker=marker,
        markersize=3.5,
    )
    spread = np.nan_to_num(spread[known])
    axis.fill_between(
        epochs[known],
        values[known] - spread,
        values[known] + spread,
        color=colour,
        alpha=0.25,
        linewidth=0,
    )


def _fitted(axis: Axes, last: CurveRow) -> None:
    """Draw the final accuracy on the unaugmented training images."""
    axis.errorbar(
        last.epoch,
        last.fitted,
        yerr=last.fitted_sd,
        fmt="D",
        color="black",
        markersize=4,
        markerfacecolor="white",
        label="training images at the end, unaugmented (± 1 SD)",
    )
    axis.annotate(
        f"{last.fitted:.1f}",
        (last.epoch, last.fitted),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        fontsize=8,
    )
