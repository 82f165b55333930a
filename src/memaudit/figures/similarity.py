"""Figure of influence against image similarity, for the selected pairs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from memaudit.buckets.assign import Assignment
from memaudit.figures.drawing import BLUE, GREEN, GREY, ORANGE, PINK, SMALL, headed, plain, save
from memaudit.scores.selection import Pair

_REASONS = (
    ("training image has a duplicate in the test set", ("exact", "near"), ORANGE, "o"),
    ("another photograph of its scene is in the test set", ("scene",), PINK, "D"),
    ("training image in a subpopulation", ("subpopulation",), GREEN, "^"),
    ("neither", ("none",), BLUE, "s"),
)
_UNSCORED = -0.12  # position of the pairs that the duplicate finder did not score


def similarity(
    pairs: Sequence[Pair],
    assignments: Sequence[Assignment],
    scores: Mapping[tuple[int, int], float],
    near: float,
    review: float,
    influence: float,
    path: str | Path,
) -> None:
    """Draw the influence of the selected pairs against the duplicate finder's score, by reason.

    `scores` by (train, test); `near`, `review` and `influence` are the thresholds. Pairs without a
    score are drawn in a separate band.
    """
    reasons = {row.example: row.reason for row in assignments}
    figure, axis = plt.subplots(figsize=(8, 5.4), layout="constrained")
    for label, kinds, colour, marker in _REASONS:
        of = [pair for pair in pairs if reasons[pair.train] in kinds]
        if not of and kinds == ("scene",):
            continue
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
            zorder=1.5
            if kinds == ("none",)
            else 2,  # the most frequent reason, drawn below the others
            label=f"{label} ({len(of):,} pairs, {missing:,} not scored)",
        )
    axis.axvspan(_UNSCORED - 0.07, _UNSCORED + 0.07, color=GREY, alpha=0.12, linewidth=0)
    lines = (
        (near, "threshold for near-duplicates", "--"),
        (review, "threshold for review", ":"),
    )
    for place, text, dash in lines:
        axis.axvline(
            place, color="black", linewidth=0.9, linestyle=dash, label=f"{text} ({place:g})"
        )
    axis.axhline(
        influence,
        color=GREY,
        linewidth=0.9,
        linestyle="-.",
        label=f"threshold for influence ({influence:g})",
    )
    axis.set_xlim(_UNSCORED - 0.09, 1.03)
    axis.set_ylim(0, 1.03)
    axis.set_xticks(
        [_UNSCORED, 0, 0.2, 0.4, 0.6, 0.8, 1],
        ["not\nscored", "0", "0.2", "0.4", "0.6", "0.8", "1"],
    )
    axis.set_xlabel(
        "similarity of the two images: score of the duplicate finder (1: identical)", fontsize=SMALL
    )
    axis.set_ylabel(
        "influence (fraction): accuracy on the test image of models\n"
        "trained with the training image minus that without it",
        fontsize=SMALL,
    )
    headed(
        axis,
        "Influence and image similarity of the selected pairs of a training and a test image",
        columns=2,
    )
    plain(axis)
    save(figure, path)


def _beside(train: int) -> float:
    """Return a position in the band of unscored pairs, spread evenly by the golden ratio."""
    return _UNSCORED + 0.1 * (train * (5**0.5 - 1) / 2 % 1 - 0.5)
