"""What removing points costs."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from memaudit.figures.drawing import BLUE, GREY, save


def drops(rows: Sequence[dict[str, str]], path: str | Path) -> None:
    """Drops of Table 2 with their 95 % intervals, each beside its random control.

    `rows` are those of table2.csv, as text.
    """
    controls = {(r["recipe"], r["removal"].removeprefix("random_")): r for r in rows}
    tests = [r for r in rows if not r["removal"].startswith("random_")]
    figure, axis = plt.subplots(figsize=(7.5, 0.75 * len(tests) + 1.2))
    for place, row in enumerate(tests):
        pair = (
            (row, BLUE, "o", -0.14, "points removed"),
            (controls.get((row["recipe"], row["removal"])), GREY, "s", 0.14, "as many at random"),
        )
        for entry, colour, marker, offset, label in pair:
            if entry is None:
                continue
            drop = float(entry["drop"])
            if entry["se"]:
                ends = float(entry["ci_low"]), float(entry["ci_high"])
                axis.plot(ends, [place + offset] * 2, color=colour, linewidth=2)
            axis.plot(
                drop, place + offset, marker, color=colour, label=label if place == 0 else None
            )
    axis.axvline(0, color="black", linewidth=0.8)
    names = [
        f"{r['paper_column'] or r['removal']}\n{r['recipe']}, {r['n_removed']} points"
        for r in tests
    ]
    axis.set_yticks(range(len(tests)), names)
    axis.invert_yaxis()
    axis.set_xlabel("fall in test accuracy, percentage points (95 % interval)")
    axis.legend(frameon=False, loc="best")
    axis.spines[["top", "right"]].set_visible(False)
    save(figure, path)
