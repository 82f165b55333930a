"""Figure of the membership-inference attacks: ROC curves, vulnerability against memorization."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine

from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED
from memaudit.figures.drawing import BLUE, GREEN, GREY, ORANGE, SMALL, WIDTH, headed, plain, save
from memaudit.scores.privacy import ExampleLeakage

_LEAST = 1e-4  # smallest rate on the axes of the ROC curves
_CURVE = 2000  # points drawn of a curve
_COLOURS = {
    "all": "black",
    "selected": GREEN,
    LEAKAGE_SHIFT: BLUE,
    MEMORIZED: ORANGE,
    "not selected": GREY,
}
_LABELS = {
    LEAKAGE_SHIFT: "duplicates, subpopulations (leakage_shift)",
    MEMORIZED: "the other selected (memorized)",
}


def privacy(
    curves: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]],
    examples: Sequence[ExampleLeakage],
    path: str | Path,
) -> None:
    """Draw ROC curves of attacks on groups of examples, and the vulnerability of each example.

    `curves` maps (attack, group) to false-positive and true-positive rates, ascending.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(WIDTH, 5.2), layout=ConstrainedLayoutEngine(wspace=0.06)
    )
    _roc(left, curves)
    _vulnerability(right, examples)
    save(figure, path)


def _roc(axis: Axes, curves: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]]) -> None:
    for (attack, group), (fpr, tpr) in curves.items():
        first = np.searchsorted(fpr, _LEAST)
        places = np.unique(np.geomspace(first + 1, len(fpr), _CURVE).astype(int)) - 1
        axis.plot(
            fpr[places],
            tpr[places],
            color=_COLOURS[group],
            linestyle="-" if attack == "online" else "--",
            linewidth=1.3,
            label=f"all, {attack}" if group == "all" else _LABELS.get(group, group),
        )
    axis.plot([_LEAST, 1], [_LEAST, 1], color="black", linewidth=0.6, linestyle=":")
    axis.set(xscale="log", yscale="log", xlim=(_LEAST, 1.1), ylim=(_LEAST, 1.1))
    axis.set_xlabel("false-positive rate (log scale)", fontsize=SMALL)
    axis.set_ylabel("true-positive rate (log scale)", fontsize=SMALL)
    headed(axis, "ROC of the attack, by training examples\ndotted: chance")
    plain(axis)


def _vulnerability(axis: Axes, examples: Sequence[ExampleLeakage]) -> None:
    for bucket, label in (("", "not selected"), *_LABELS.items()):
        shown = [row for row in examples if row.bucket == bucket]
        axis.scatter(
            [row.memorization for row in shown],
            [row.vulnerability for row in shown],
            s=8 if bucket else 4,
            alpha=0.8 if bucket else 0.3,
            linewidths=0,
            color=_COLOURS[bucket or label],
            label=label,
            rasterized=True,
        )
    axis.axhline(0.5, color="black", linewidth=0.6, linestyle=":")
    axis.set_xlabel("memorization (fraction)", fontsize=SMALL)
    axis.set_ylabel("vulnerability (AUC of the attack on the example)", fontsize=SMALL)
    headed(axis, "Vulnerability of each training example\ndotted: chance")
    plain(axis)
