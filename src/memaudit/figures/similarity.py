"""Does influence come from duplicates: influence of selected pairs against how alike they look."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from memaudit.buckets.assign import KINDS, Assignment
from memaudit.figures.drawing import BLUE, GREEN, GREY, ORANGE, save
from memaudit.scores.selection import Pair

_REASONS = (
    ("duplicate", KINDS, ORANGE, "o"),
    ("sub-population", ("sub-population",), GREEN, "^"),
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
    """Influence of the selected pairs against the duplicate finder's score, by the point's reason.

    `scores` by (train, test); `near`, `review` and `influence` are the thresholds. Pairs without a
    score stand in a band of their own, spread by their train point.
    """
    reasons = {row.index: row.reason for row in assignments}
    figure, axis = plt.subplots(figsize=(8, 4.8), layout="constrained")
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
            alpha=0.5,
            markeredgewidth=0,
            linestyle="none",
            label=f"{label}: {len(of):,} pairs, {missing:,} not scored",
        )
    axis.axvspan(_UNSCORED - 0.07, _UNSCORED + 0.07, color=GREY, alpha=0.12, linewidth=0)
    lines = ((near, "near duplicate", "--"), (review, "listed for review", ":"))
    for place, text, dash in lines:
        axis.axvline(
            place, color="black", linewidth=0.9, linestyle=dash, label=f"{text}: {place:g}"
        )
    axis.axhline(influence, color=GREY, linewidth=0.9, linestyle="--")
    axis.set_xlim(_UNSCORED - 0.09, 1.03)
    axis.set_ylim(0, 1.03)
    axis.set_xticks(
        [_UNSCORED, 0, 0.2, 0.4, 0.6, 0.8, 1],
        ["not among\ncandidates", "0", "0.2", "0.4", "0.6", "0.8", "1"],
    )
    axis.set_xlabel("duplicate finder's score of the two images (1 = identical)")
    axis.set_ylabel("influence of the train on the test point")
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside upper center", ncols=3)
    axis.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def _beside(train: int) -> float:
    """A place in the band of the unscored, the same each time: the golden ratio spreads evenly."""
    return _UNSCORED + 0.1 * ((train * (np.sqrt(5) - 1) / 2) % 1 - 0.5)
