"""Which test examples lose accuracy: predicted and measured drops, per example and summed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED
from memaudit.figures.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    SMALL,
    WIDTH,
    headed,
    plain,
    save,
)
from memaudit.results.affected import DUPLICATES, NEITHER, Example, Summary
from memaudit.templates import known

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
Line = tuple[str, str | tuple[float, tuple[float, ...]], str]
_LINES: tuple[Line, ...] = (  # a colour, a dash and a marker for each row of the paper's table
    ("black", "-", "o"),
    (PINK, (0, (6, 1.5)), "D"),
    (ORANGE, (0, (4, 1.5, 1, 1.5)), "^"),
    (BLUE, (0, (1.5, 1)), "s"),
)


def affected(
    views: Sequence[tuple[Summary, Sequence[Example]]], path: str | Path, published: bool = False
) -> None:
    """Draw found against predicted drops of all selected examples, and the sums of all `views`.

    `views` are the removals of the paper's table, each with its examples by predicted drop: the
    last one of all selected examples stands on the left. `published` tells whether the influences
    that predict it are F&Z's.
    """
    layout = ConstrainedLayoutEngine(wspace=0.06)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 5.6), layout=layout)
    whole = [view for view in views if view[0].removal == views[0][0].removal][-1]
    _examples(left, *whole, ",\nby F&Z's ResNet-50" if published else "")
    most = max([1, *(len(examples) for _, examples in views)])
    for place, ((summary, examples), line) in enumerate(zip(views, _LINES, strict=False)):
        _sums(right, summary, examples, end=most * (1.05 + 0.04 * place), line=line)
    right.axhline(0, color="black", linewidth=0.6)
    ticks = MaxNLocator(6, integer=True).tick_values(0, most)
    # the last tick is the end; none so near that their labels overlap
    right.set_xticks([*(tick for tick in ticks if 0 <= tick <= 0.9 * most), most])
    right.set_xlabel(
        "number of test examples summed,\ngreatest predicted drop first", fontsize=SMALL
    )
    right.set_ylabel("drop in test accuracy (percentage points)", fontsize=SMALL)
    headed(
        right,
        "Cumulative drop, by recipe and examples removed\n"
        "thick: measured, thin: predicted, pale: random control\n"
        "hollow: whole test set, 95% CI on the fixed test set",
    )
    for axis in (left, right):
        plain(axis)
    save(figure, path)


def _examples(axis: Axes, summary: Summary, examples: Sequence[Example], by: str) -> None:
    """Draw each test example by its group, and means of tenths; the drop is predicted `by`.

    All marks are shifted vertically at random, by up to a third of the step between two drops.
    """
    kinds = [p.group if p.group in (DUPLICATES, NEITHER) else SUBPOPULATIONS for p in examples]
    step = 100 / max([1, *(p.models_reduced for p in examples)])
    apart = np.random.default_rng(0).uniform(-0.3, 0.3, len(examples)) * min(step, 25)
    for kind, colour, marker, label in _KINDS:
        its = [place for place, other in enumerate(kinds) if other == kind]
        members = [examples[place] for place in its]
        axis.plot(
            [p.predicted for p in members],
            np.array([p.drop for p in members]) + apart[its],
            marker,
            color=colour,
            markersize=3.5,
            alpha=0.6,
            markeredgewidth=0.8,
            markerfacecolor="none" if kind == NEITHER else colour,
            linestyle="none",
            zorder=1.5 if kind == NEITHER else 2,  # most are: below the others
            label=f"{label}: {len(members):,} test example{'s' * (len(members) != 1)}",
        )
    if len(examples) >= 20:
        label = "mean of a tenth of the marks, 95% CI over examples"
        _tenths(axis, examples, "drop", color="black", marker="D", label=label)
        if known(examples[0].control_drop):
            label = "the same under the matched random control"
            _tenths(axis, examples, "control_drop", color=GREY, marker="s", label=label)
    greatest = max([100.0, *(p.predicted for p in examples)])
    axis.plot([0, greatest], [0, greatest], color="black", linewidth=0.6)
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_xlabel(
        "predicted drop on a test example: sum of the\n"
        f"removed examples' influences on it{by} (percentage points)",
        fontsize=SMALL,
    )
    axis.set_ylabel(
        "measured drop on the test example (percentage points)\nmarks shifted at random",
        fontsize=SMALL,
    )
    of = _REMOVED.get(summary.removal, summary.removal)
    headed(
        axis,
        f"Influenced test examples after removing {of}\n"
        f"(recipe {summary.recipe}); line: measured = predicted.\n"
        "Marked by the removed examples that influence them most:",
    )


def _tenths(axis: Axes, examples: Sequence[Example], name: str, **style: Any) -> None:
    """Draw the mean of the attribute `name` in each tenth of the examples, with its 95% CI."""
    tenths = np.array_split(np.array([(p.predicted, getattr(p, name)) for p in examples]), 10)
    means = np.array([part.mean(axis=0) for part in tenths])
    errors = [1.96 * part[:, 1].std(ddof=1) / np.sqrt(len(part)) for part in tenths]
    axis.errorbar(means[:, 0], means[:, 1], yerr=errors, linestyle="none", markersize=5, **style)


def _sums(
    axis: Axes,
    summary: Summary,
    examples: Sequence[Example],
    *,
    end: float,
    line: Line,
) -> None:
    """Draw the cumulative drop of a removal; the total drop stands at `end`."""
    colour, dash, marker = line
    places = np.arange(len(examples) + 1)
    found, predicted, control = (
        np.concatenate([[0], np.cumsum([getattr(p, name) for p in examples])])
        / summary.test_examples
        for name in ("drop", "predicted", "control_drop")
    )
    label = f"{summary.recipe}: {_REMOVED.get(summary.removal, summary.removal)}"
    axis.plot(places, predicted, color=colour, linestyle=dash, linewidth=0.8)
    axis.plot(places, control, color=colour, linewidth=2, alpha=0.3)
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
