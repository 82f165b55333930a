"""Figure of the scores of other methods: each quantity with its CI, by score."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from memaudit.figures.drawing import BLUE, GREY, SMALL, WIDTH, headed, plain, save
from memaudit.scores.external import OURS, Judgment

_TITLES = {
    "lds": "Linear datamodeling score",
    "rank_correlation": "Rank correlation with memorization",
    "overlap": "Overlap with the memorized examples",
}


def external(rows: Sequence[Judgment], path: str | Path) -> None:
    """Draw one panel for each quantity in `rows`, with one line per score."""
    panels = {name: [row for row in rows if row.quantity == name] for name in _TITLES}
    panels = {name: shown for name, shown in panels.items() if shown} or {"lds": []}
    most = max(len(shown) for shown in panels.values())
    figure, axes = plt.subplots(
        1, len(panels), figsize=(WIDTH, 1.6 + 0.3 * most), layout="constrained", squeeze=False
    )
    for axis, (name, shown) in zip(axes[0], panels.items(), strict=True):
        for place, row in enumerate(shown):
            colour = GREY if row.score in OURS else BLUE
            axis.hlines(place, row.low, row.high, color=colour, linewidth=1.3)
            axis.plot(row.value, place, "o", color=colour, markersize=4)
        if name == "lds":
            axis.plot([], "o", color=GREY, markersize=4, label="this study's estimators")
            axis.plot([], "o", color=BLUE, markersize=4, label="other methods")
        if shown:
            axis.axvline(shown[0].chance, color="black", linewidth=0.6, linestyle=":")
        axis.set_yticks(range(len(shown)), [row.score for row in shown])
        axis.set_ylim(len(shown) - 0.5, -0.5)
        axis.grid(axis="x", linewidth=0.4)
        axis.set_xlabel("95% CI; dotted: random score", fontsize=SMALL)
        headed(axis, _TITLES[name])
        plain(axis)
    save(figure, path)
