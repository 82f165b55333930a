"""Does influence come from duplicates: influence of selected pairs against how alike they look."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from memaudit.buckets.assign import KINDS, Assignment
from memaudit.figures.drawing import BLUE, GREEN, GREY, ORANGE, SMALL, headed, plain, save
from memaudit.scores.selection import Pair

_REASONS = (
    ("with a duplicate in the test set", KINDS, ORANGE, "o"),
    ("in a subpopulation", ("subpopulation",), GREEN, "^"),
    ("neither", ("none",), BLUE, "s"),
)
_UNSCORED = -0.12  # where pairs stand that the finder did not score


def similarity(
    pairs: Sequence[Pair],
    assignments: Sequence[Assignment],
    scores: Mapping[tuple[int, int], float],
    near: float,
    review: float,
    influence: float,
    path: str | Path,
) -> None:
    """Influence of the selected pairs against the duplicate finder's score, by the example's reason.

    `scores` by (train, test); `near`, `review` and `influence` are the thresholds. Pairs without a
    score stand in a band of their own, spread by their training example.
    """
    reasons = {row.example: row.reason for row in assignments}
    figure, axis = plt.subplots(figsize=(8, 5.4), layout="constrained")
    for label, kinds, colour, marker in _REASONS:
        of = [pair for pair in pairs if reasons[pair.train] in kinds]
        places = [scores.get((p.train, p.test), _beside(p.train)) for p in of]
        values = [pair.influence for pair in of]
        missing = sum((p.train, p.test) not in scores for p in of)
        axis.plot(
            places,
            values,
            marker,
            color=colour,
            markersize=4.5,
            alpha=0.6,
            markeredgewidth=0.8,
            markerfacecolor="none" if kinds == ("none",) else colour,
            linestyle="none",
            zorder=1.5 if kinds == ("none",) else 2,  # most are: below the others
            label=f"{label}: {len(of):,} pairs, {missing:,} not scored",
        )
    axis.axvspan(_UNSCORED - 0.07, _UNSCORED + 0.07, color=GREY, alpha=0.12, linewidth=0)
    lines = (
        (near, "similarity of a near duplicate", "--"),
        (review, "similarity of a pair listed for review", ":"),
    )
    for place, text, dash in lines:
        axis.axvline(
            place, color="black", linewidth=0.9, linestyle=dash, label=f"{text}: {place:g} or more"
        )
    axis.axhline(
        influence,
        color=GREY,
        linewidth=0.9,
        linestyle="-.",
        label=f"influence of a selected pair: {influence:g} or more",
    )
    axis.set_xlim(_UNSCORED - 0.09, 1.03)
    axis.set_ylim(0, 1.03)
    axis.set_xticks(
        [_UNSCORED, 0, 0.2, 0.4, 0.6, 0.8, 1],
        ["not\nscored", "0", "0.2", "0.4", "0.6", "0.8", "1"],
    )
    axis.set_xlabel(
        "similarity of the two images: the duplicate finder's score (1 = identical)", fontsize=SMALL
    )
    axis.set_ylabel(
        "influence: accuracy on the test image with the training\n"
        "image, less that without it (fraction)",
        fontsize=SMALL,
    )
    headed(
        axis,
        "Does influence come from duplicates? Each mark is a selected pair of a training and a\n"
        "test image, by what its training image is:",
        columns=2,
    )
    plain(axis)
    save(figure, path)


def _beside(train: int) -> float:
    """A place in the band of the unscored, the same each time: the golden ratio spreads evenly."""
    return _UNSCORED + 0.1 * ((train * (np.sqrt(5) - 1) / 2) % 1 - 0.5)
