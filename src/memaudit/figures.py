"""The figures: what the scores look like, and what removing points costs."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from memaudit import store
from memaudit.buckets import LEAKAGE_SHIFT, MEMORIZED, Assignment
from memaudit.data.dataset import Dataset

# Okabe & Ito's colours, told apart by the colour-blind.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"


def _save(figure: Figure, path: str | Path) -> None:
    # A fixed software tag, so that the same results give the same file.
    with store.whole(path) as temporary:
        figure.savefig(
            temporary, format="png", dpi=150, bbox_inches="tight", metadata={"Software": "memaudit"}
        )
    plt.close(figure)


def most_memorized(
    dataset: Dataset,
    memorization: np.ndarray,
    se: np.ndarray,
    path: str | Path,
    rows: int = 5,
    columns: int = 10,
) -> None:
    """The train images of highest memorization, with class, score and standard error."""
    order = np.argsort(-np.nan_to_num(memorization, nan=-np.inf), kind="stable")[: rows * columns]
    figure, axes = plt.subplots(rows, columns, figsize=(1.35 * columns, 1.75 * rows))
    for axis in axes.flat:
        axis.axis("off")
    for axis, index in zip(axes.flat, order, strict=False):
        axis.imshow(dataset.train_images[index], interpolation="nearest")
        name = dataset.class_names[dataset.train_labels[index]]
        spread = "" if np.isnan(se[index]) else f" ± {se[index]:.2f}"
        label = f"{name}\n{memorization[index]:.2f}{spread}\n"
        axis.set_title(label + dataset.name("train", index).rsplit("/", 1)[-1], fontsize=7)
    figure.suptitle(
        "Most memorized training images: class, memorization ± standard error, point",
        fontsize=10,
    )
    figure.tight_layout()
    _save(figure, path)


def memorization_histogram(
    dataset: Dataset,
    memorization: np.ndarray,
    assignments: Sequence[Assignment],
    path: str | Path,
) -> None:
    """Memorization of all train points, and of the selected ones by bucket."""
    figure, axis = plt.subplots(figsize=(7, 4))
    bins = np.linspace(min(0.0, float(np.nanmin(memorization, initial=0))), 1, 51)
    groups = {"training points with a score": (memorization[~np.isnan(memorization)], GREY)}
    for bucket, colour in ((LEAKAGE_SHIFT, ORANGE), (MEMORIZED, BLUE)):
        points = [row.index for row in assignments if row.bucket == bucket]
        groups[f"selected, {bucket}"] = (memorization[points], colour)
    for label, (values, colour) in groups.items():
        axis.hist(
            values,
            bins,
            histtype="stepfilled" if colour == GREY else "step",
            color=colour,
            alpha=0.35 if colour == GREY else 1,
            linewidth=1.8,
            label=f"{label} ({len(values):,})",
        )
    axis.set_yscale("log")
    axis.set_ylim(bottom=0.7)
    axis.set_xlabel("memorization (accuracy on the point, with it minus without it in training)")
    axis.set_ylabel("training points (log scale)")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


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
    _save(figure, path)
