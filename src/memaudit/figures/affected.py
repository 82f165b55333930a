"""Which test points pay: what was predicted for them and found, and how the drop adds up."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from memaudit.figures.drawing import BLUE, GREEN, GREY, ORANGE, save
from memaudit.results.affected import DUPLICATES, NEITHER, Point, Summary

_KINDS = ((DUPLICATES, ORANGE, "o"), ("sub-populations", GREEN, "^"), (NEITHER, BLUE, "s"))
_LINES = (  # a colour and a dash for each row of the paper's table
    (BLUE, "-"),
    (ORANGE, (0, (6, 1.5))),
    (GREEN, (0, (4, 1.5, 1, 1.5))),
    (GREY, (0, (1.5, 1))),
)


def affected(views: Sequence[tuple[Summary, Sequence[Point]]], path: str | Path) -> None:
    """Predicted against found drops of the test points of the first of `views`; all as sums.

    `views` are the removals of the paper's table, each with its points by falling prediction.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11.5, 4.8), layout="constrained")
    _points(left, *views[0])
    for (summary, points), (colour, dash) in zip(views, _LINES, strict=False):
        _sums(right, summary, points, colour, dash)
    right.axhline(0, color="black", linewidth=0.6)
    right.set_xlabel("test points that removed points influence, greatest predicted drop first")
    right.set_ylabel("drop of the whole test set, percentage points")
    right.set_title(
        "how the drop adds up\nthick: found; thin: predicted; circle: the whole drop, 95 %",
        fontsize=10,
    )
    right.legend(frameon=False, fontsize=8, loc="upper left")
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def _points(axis: Axes, summary: Summary, points: Sequence[Point]) -> None:
    """Each test point by the group that it belongs to, and means of tenths of them."""
    kinds = [p.group if p.group in (DUPLICATES, NEITHER) else "sub-populations" for p in points]
    for name, colour, marker in _KINDS:
        of = [p for p, kind in zip(points, kinds, strict=True) if kind == name]
        axis.plot(
            [p.predicted for p in of],
            [p.drop for p in of],
            marker,
            color=colour,
            markersize=4,
            alpha=0.45,
            markeredgewidth=0,
            linestyle="none",
            label=f"{name} ({len(of):,} test points)",
        )
    if len(points) >= 20:
        tenths = np.array_split(np.array([(p.predicted, p.drop) for p in points]), 10)
        means = np.array([part.mean(axis=0) for part in tenths])
        errors = [1.96 * part[:, 1].std(ddof=1) / np.sqrt(len(part)) for part in tenths]
        axis.errorbar(
            *means.T,
            yerr=errors,
            fmt="D",
            color="black",
            markersize=5,
            label="means of tenths, 95 %",
        )
    greatest = max([100.0, *(p.predicted for p in points)])
    axis.plot([0, greatest], [0, greatest], color="black", linewidth=0.6)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_xlabel("predicted: sum of the influences of the removed points, percentage points")
    axis.set_ylabel("found: fall of the accuracy on the point, percentage points")
    axis.set_title(
        f"the test points that pay\n{summary.recipe}, {summary.removal}; line: found as predicted",
        fontsize=10,
    )
    axis.legend(frameon=False, fontsize=8, loc="upper left")


def _sums(axis: Axes, summary: Summary, points: Sequence[Point], colour: str, dash) -> None:
    places = np.arange(len(points) + 1)
    found, predicted = (
        np.concatenate([[0], np.cumsum([getattr(p, name) for p in points])]) / summary.test_points
        for name in ("drop", "predicted")
    )
    label = f"{summary.recipe}, {summary.removal}"
    axis.plot(places, found, color=colour, linestyle=dash, linewidth=2, label=label)
    axis.plot(places, predicted, color=colour, linestyle=dash, linewidth=0.8)
    axis.plot(len(points), summary.drop, "o", color=colour, markerfacecolor="white")
    axis.vlines(len(points), summary.low, summary.high, color=colour, linewidth=1.5)
