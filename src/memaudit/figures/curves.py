"""How models learn: loss and accuracies by epoch."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

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

_LINES = (
    ("train_accuracy", ORANGE, "--", "training images, augmented, while training"),
    ("test_accuracy", BLUE, "-", "test images"),
)


def learning_curves(rows: Sequence[dict[str, str]], path: str | Path) -> None:
    """Training loss with the learning rate, and accuracies; a column of panels for each recipe.

    `rows` are those of learning_curves.csv, as text. Lines are means over models, bands one
    standard deviation over models either way.
    """
    recipes = list(dict.fromkeys(row["recipe"] for row in rows))
    figure, axes = plt.subplots(
        2,
        len(recipes),
        figsize=(min(4.2 * len(recipes), WIDTH), 6),
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for (losses, accuracies), recipe in zip(axes.T, recipes, strict=True):
        mine = [row for row in rows if row["recipe"] == recipe]
        _line(losses, mine, "loss", GREEN, "-", "training loss")
        peak = _rate(losses, mine)
        losses.set_title(
            f"recipe {recipe}, {mine[0]['models']} models\n"
            f"learning rate up to {peak:.3g} (epoch mean)",
            fontsize=9.5,
        )
        for name, colour, dash, label in _LINES:
            _line(accuracies, mine, name, colour, dash, label)
        _fitted(accuracies, mine[-1])
        accuracies.set_xlabel("epochs (passes over the training images)", fontsize=SMALL)
    axes[0, 0].set_ylabel("training loss: cross-entropy (nats)", fontsize=SMALL)
    axes[0, 0].set_ylim(bottom=0)
    axes[1, 0].set_ylabel("images classified correctly (%)", fontsize=SMALL)
    for axis in axes.flat:
        plain(axis)
    headed_together(
        figure,
        axes[:, 0],
        "How models on all training examples learn: mean and, as a band,\n"
        "± 1 standard deviation (sd) over models",
        columns=1 if len(recipes) == 1 else 2,
    )
    save(figure, path)


def _numbers(rows: Sequence[dict[str, str]], name: str) -> np.ndarray:
    """A column; NaN where the cell is empty."""
    return np.array([float(row[name] or "nan") for row in rows])


def _line(
    axis: Axes, rows: Sequence[dict[str, str]], name: str, colour: str, dash: str, label: str
) -> None:
    """A curve over the epochs at which it is known, with its band; examples where they are few."""
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


def _rate(axis: Axes, rows: Sequence[dict[str, str]]) -> float:
    """The learning rate in its shape only, its peak at the axis' top; returns the peak."""
    rate = _numbers(rows, "learning_rate")
    axis.plot(
        _numbers(rows, "epoch"),
        rate / rate.max(),
        color=GREY,
        linestyle=":",
        linewidth=1.2,
        transform=axis.get_xaxis_transform(),
        label="learning rate (0 to its greatest)",
    )
    return float(rate.max())


def _fitted(axis: Axes, last: dict[str, str]) -> None:
    """What the models get right of their training images at the end, without augmentation."""
    axis.errorbar(
        float(last["epoch"]),
        float(last["fitted"]),
        yerr=float(last["fitted_sd"] or "nan"),
        fmt="D",
        color="black",
        markersize=4,
        markerfacecolor="white",
        label="training images at the end, as they are (± 1 sd)",
    )
    axis.annotate(
        f"{float(last['fitted']):.1f}",
        (float(last["epoch"]), float(last["fitted"])),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        fontsize=8,
    )
