"""Which test examples pay: what was predicted for them and found, and how the drop adds up."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED
from memaudit.figures.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SMALL,
    WIDTH,
    headed,
    plain,
    save,
)
from memaudit.results.affected import DUPLICATES, NEITHER, Example, Summary

SUBPOPULATIONS = "subpopulations"
_REMOVED = {
    "selected": "all selected examples",
    LEAKAGE_SHIFT: "only those with a duplicate\nor in a subpopulation (leakage_shift)",
    MEMORIZED: "only the others (memorized)",
}
_KINDS = (  # by the removed examples that influence a test example most
    (DUPLICATES, ORANGE, "o", "duplicates of a test image"),
    (SUBPOPULATIONS, GREEN, "^", "in a subpopulation"),
    (NEITHER, BLUE, "s", "neither"),
)
_LINES = (  # a colour, a dash and a marker for each row of the paper's table
    (BLUE, "-", "o"),
    (ORANGE, (0, (6, 1.5)), "D"),
    (GREEN, (0, (4, 1.5, 1, 1.5)), "^"),
    (GREY, (0, (1.5, 1)), "s"),
)


def affected(views: Sequence[tuple[Summary, Sequence[Example]]], path: str | Path) -> None:
    """Predicted against found drops of the test examples of the first of `views`; all as sums.

    `views` are the removals of the paper's table, each with its examples by falling prediction.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 5.6), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)
    _examples(left, *views[0])
    most = max([1, *(len(examples) for _, examples in views)])
    for place, ((summary, examples), line) in enumerate(zip(views, _LINES, strict=False)):
        _sums(right, summary, examples, most * (1.05 + 0.04 * place), *line)
    right.axhline(0, color="black", linewidth=0.6)
    ticks = MaxNLocator(6, integer=True).tick_values(0, most)
    right.set_xticks([tick for tick in ticks if 0 <= tick <= most])
    right.set_xlabel(
        "number of test examples added up,\ngreatest predicted fall first", fontsize=SMALL
    )
    right.set_ylabel("fall of test accuracy (percentage points)", fontsize=SMALL)
    headed(
        right,
        "How the falls add up, by recipe and examples removed\n"
        "thick: found, thin: predicted; at the right: fall on\n"
        "all test examples, 95 % interval over models",
    )
    for axis in (left, right):
        plain(axis)
    save(figure, path)


def _examples(axis: Axes, summary: Summary, examples: Sequence[Example]) -> None:
    """Each test example by the group that it belongs to, and means of tenths of them."""
    kinds = [p.group if p.group in (DUPLICATES, NEITHER) else SUBPOPULATIONS for p in examples]
    for kind, colour, marker, label in _KINDS:
        of = [p for p, its in zip(examples, kinds, strict=True) if its == kind]
        axis.plot(
            [p.predicted for p in of],
            [p.drop for p in of],
            marker,
            color=colour,
            markersize=4.5,
            alpha=0.6,
            markeredgewidth=0.8,
            markerfacecolor="none" if kind == NEITHER else colour,
            linestyle="none",
            zorder=1.5 if kind == NEITHER else 2,  # most are: below the others
            label=f"{label}: {len(of):,} test example{'s' * (len(of) != 1)}",
        )
    if len(examples) >= 20:
        tenths = np.array_split(np.array([(p.predicted, p.drop) for p in examples]), 10)
        means = np.array([part.mean(axis=0) for part in tenths])
        errors = [1.96 * part[:, 1].std(ddof=1) / np.sqrt(len(part)) for part in tenths]
        axis.errorbar(
            *means.T,
            yerr=errors,
            fmt="D",
            color="black",
            markersize=5,
            label="mean of a tenth of them, 95 % interval over examples",
        )
    greatest = max([100.0, *(p.predicted for p in examples)])
    axis.plot([0, greatest], [0, greatest], color="black", linewidth=0.6)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_xlabel(
        "predicted fall of the accuracy on a test example: the sum of the\n"
        "removed examples' influences on it (percentage points)",
        fontsize=SMALL,
    )
    axis.set_ylabel("fall found on the test example (percentage points)", fontsize=SMALL)
    of = _REMOVED.get(summary.removal, summary.removal)
    headed(
        axis,
        f"Test examples that pay when {of} are\n"
        f"removed (recipe {summary.recipe}); line: found as\n"
        "predicted. Most influenced by examples that are",
    )


def _sums(
    axis: Axes,
    summary: Summary,
    examples: Sequence[Example],
    end: float,
    colour: str,
    dash: str | tuple,
    marker: str,
) -> None:
    """The falls of a removal's test examples added up; the whole fall stands at `end`."""
    places = np.arange(len(examples) + 1)
    found, predicted = (
        np.concatenate([[0], np.cumsum([getattr(p, name) for p in examples])])
        / summary.test_examples
        for name in ("drop", "predicted")
    )
    label = f"{summary.recipe}: {_REMOVED.get(summary.removal, summary.removal)}"
    axis.plot(places, predicted, color=colour, linestyle=dash, linewidth=0.8)
    axis.plot(
        places,
        found,
        color=colour,
        linestyle=dash,
        linewidth=2,
        marker=marker,
        markevery=[len(examples)],
        markersize=4,
        label=label,
    )
    axis.plot(end, summary.drop, marker, color=colour, markerfacecolor="white")
    axis.vlines(end, summary.low, summary.high, color=colour, linewidth=1.5, zorder=1)
