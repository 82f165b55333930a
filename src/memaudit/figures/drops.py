"""Table 2 as a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED
from memaudit.figures.drawing import BLUE, GREY, ORANGE, SMALL, headed, intervals, plain, save
from memaudit.models.removals import CONTROL
from memaudit.results.statistics import Floats
from memaudit.results.table2 import Table2Row
from memaudit.templates import known

# what a row removes, and how its models are trained, in words
_REMOVED = {
    "selected": "all selected",
    LEAKAGE_SHIFT: "duplicates, subpopulations",
    MEMORIZED: "the other selected",
}
_TRAINED = {"original": "without weight decay", "weight_decay": "with weight decay"}
# heights of the lines of one removal, and of single draws, relative to its place
_REMOVAL, _CONTROL, _EXCESS, _PUBLISHED = -0.32, -0.15, 0.08, 0.32
_BELOW = 0.09  # single trials stand so far below the mean


def drops(
    rows: Sequence[Table2Row],
    path: str | Path,
    accuracies: Mapping[tuple[str, str], Floats] = MappingProxyType({}),
) -> None:
    """Draw the drops of Table 2 with both 95% CIs, their controls and excess, and published values.

    A small dot below a control or an excess drop is that of one trial, by the test accuracies
    (models,) of the arms (recipe, removal). Where the arms on all examples have other trials, their
    mean stands for them.
    """
    tests = [row for row in rows if not row.removal.startswith(CONTROL)]
    controls = {(row.recipe, row.removal): row for row in rows if row not in tests}
    figure, axis = plt.subplots(figsize=(7.5, 0.85 * len(tests) + 2.4), layout="constrained")
    labelled: set[str] = set()

    def once(label: str) -> str | None:
        """Return the label for the first of several marks of a kind only."""
        if label in labelled:
            return None
        labelled.add(label)
        return label

    for place, row in enumerate(tests):
        label = once("examples removed")
        _drop(axis, row, place + _REMOVAL, color=BLUE, marker="o", label=label)
        if control := controls.get((row.recipe, CONTROL + row.removal)):
            label = once("matched random control")
            _drop(axis, control, place + _CONTROL, color=GREY, marker="s", label=label)
            full, reduced, drawn = (
                accuracies.get((row.recipe, removal), np.empty(0))
                for removal in ("none", row.removal, control.removal)
            )
            singles = (full if len(full) == len(drawn) else control.acc_full) - drawn
            label = once("a single trial, one model per arm") if len(drawn) else None
            _singles(axis, singles, place + _CONTROL, color=GREY, label=label)
            if len(reduced) == len(drawn):
                _singles(axis, drawn - reduced, place + _EXCESS, color="black")
        if known(row.excess_drop):
            ends = row.excess_drop_low, row.excess_drop_high
            intervals(axis, "x", place + _EXCESS, ends, color="black")
            label = once("excess drop: the difference of the two")
            axis.plot(row.excess_drop, place + _EXCESS, "^", color="black", label=label)
        if known(row.published_drop):
            axis.errorbar(
                row.published_drop,
                place + _PUBLISHED,
                xerr=row.published_sd,
                fmt="D",
                color=ORANGE,
                markerfacecolor="white",
                linewidth=1,
                label=once("published drop (CIFAR-100, ResNet-50)"),
            )
    axis.axvline(0, color="black", linewidth=0.8)
    names = [
        f"{row.n_removed:,} examples: {_REMOVED.get(row.removal, row.removal)}\n"
        f"{_TRAINED.get(row.recipe, row.recipe)}{_row(row)}"
        for row in tests
    ]
    axis.set_yticks(range(len(tests)), names)
    axis.set_ylim(len(tests) - 0.5, -0.5)
    axis.set_xlabel("accuracy drop (percentage points)", fontsize=SMALL)
    axis.set_ylabel(
        "removed training examples; how models are trained (row of Table 2)", fontsize=SMALL
    )
    bars = "95% CIs: thick on the fixed test set, capped including test-set sampling"
    if not any(known(row.drop_low) for row in rows):
        bars = "one model per arm, so without CIs"
    elif any(known(row.excess_drop) for row in rows):
        bars += "\nexcess drop: one CI, including test-set sampling"
    if any(known(row.published_drop) for row in rows):
        bars += "\npublished: without a control; the paper does not define its ±"
    headed(
        axis,
        f"How much test accuracy drops when training examples are removed\n{bars}",
        columns=2,
    )
    plain(axis)
    save(figure, path)


def _row(row: Table2Row) -> str:
    """Return the paper's name of a row in parentheses; empty for a removal of the user's own."""
    return f" ({row.row})" if row.row != row.removal else ""


def _drop(axis: Axes, row: Table2Row, height: float, *, color: str, **style: Any) -> None:
    """Draw a drop with its CIs: on the fixed test set thick, including sampling with caps."""
    intervals(axis, "x", height, (row.drop_low, row.drop_high), color=color, thick=True)
    intervals(axis, "x", height, (row.drop_sampling_low, row.drop_sampling_high), color=color)
    axis.plot(row.drop, height, color=color, linestyle="none", **style)


def _singles(axis: Axes, values: Floats, height: float, **style: Any) -> None:
    """Draw the values of single trials below the mean at `height`."""
    heights = [height + _BELOW] * len(values)
    axis.plot(values, heights, ".", markersize=6, alpha=0.6, markeredgewidth=0, **style)
