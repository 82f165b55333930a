"""What removing examples costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from memaudit.figures.drawing import BLUE, GREY, ORANGE, SMALL, headed, plain, save
from memaudit.models.removals import CONTROL

_APART = 0.22  # between the lines of one removal
_DRAWS = 0.1  # single draws stand so far below their mean


def drops(
    rows: Sequence[dict[str, str]],
    path: str | Path,
    accuracies: Mapping[tuple[str, str], np.ndarray] = MappingProxyType({}),
) -> None:
    """Drops of Table 2 with both 95 % intervals, each beside its control and what was published.

    `rows` are those of table2.csv, as text. A small dot beside a control is one of its draws, by
    the test accuracies (models,) of its arm (recipe, removal): the mean on all examples less that of
    the model trained without the drawn examples.
    """
    tests = [r for r in rows if not r["removal"].startswith(CONTROL)]
    controls = {(r["recipe"], r["removal"]): r for r in rows if r not in tests}
    figure, axis = plt.subplots(figsize=(7.5, 0.85 * len(tests) + 2.4), layout="constrained")
    said = set()

    def once(label: str) -> str | None:
        """The label of the first of several marks of a kind."""
        return None if label in said else said.add(label) or label

    for place, row in enumerate(tests):
        _drop(axis, row, place - _APART, BLUE, "o", once("examples removed"))
        if control := controls.get((row["recipe"], CONTROL + row["removal"])):
            drawn = accuracies.get((control["recipe"], control["removal"]), [])
            axis.plot(
                [float(control["acc_full"]) - accuracy for accuracy in drawn],
                [place + _DRAWS] * len(drawn),
                ".",
                color=GREY,
                markersize=6,
                alpha=0.6,
                markeredgewidth=0,
                label=once("a single random draw, one model") if len(drawn) else None,
            )
            _drop(axis, control, place, GREY, "s", once("as many at random"))
        if row["published_drop"]:
            axis.errorbar(
                float(row["published_drop"]),
                place + _APART,
                xerr=float(row["published_sd"]),
                fmt="D",
                color=ORANGE,
                markerfacecolor="white",
                linewidth=1,
                label=once("the paper's, CIFAR-100, with its ±"),
            )
    axis.axvline(0, color="black", linewidth=0.8)
    names = [
        f"{r['paper_column'] or r['removal']}\n{r['removal']}: {r['n_removed']} examples\n"
        f"recipe {r['recipe']}"
        for r in tests
    ]
    axis.set_yticks(range(len(tests)), names)
    axis.set_ylim(len(tests) - 0.5, -0.5)
    axis.set_xlabel("fall in test accuracy (percentage points)", fontsize=SMALL)
    axis.set_ylabel("row of Table 2", fontsize=SMALL)
    headed(
        axis,
        "What leaving out training examples costs. 95 % intervals: thick over models,\n"
        "for these test images; thin also over test images, for others of the kind",
        columns=2,
    )
    plain(axis)
    save(figure, path)


def _drop(
    axis: Axes, row: dict[str, str], height: float, colour: str, marker: str, label: str | None
) -> None:
    """A drop with its intervals, where it has any: over models thick, with test images thin."""
    for name, width in (("boot", 1.2), ("ci", 3.5)):
        if row[f"{name}_low"]:
            ends = float(row[f"{name}_low"]), float(row[f"{name}_high"])
            axis.plot(ends, [height] * 2, color=colour, linewidth=width, solid_capstyle="butt")
    axis.plot(float(row["drop"]), height, marker, color=colour, linestyle="none", label=label)
