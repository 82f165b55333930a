"""Figures of the scores: the most memorized images, and the histogram by bucket."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullFormatter

from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED, Assignment
from memaudit.data.dataset import Dataset
from memaudit.figures.drawing import (
    BLUE,
    GREY,
    IN_WORDS,
    ORANGE,
    SMALL,
    WIDTH,
    headed,
    name,
    plain,
    save,
    show,
)


def most_memorized(
    dataset: Dataset,
    memorization: np.ndarray,
    se: np.ndarray,
    path: str | Path,
    rows: int = 6,
    columns: int = 8,
) -> None:
    """Draw the most memorized training images with class, memorization ± SE and name."""
    order = np.argsort(-np.nan_to_num(memorization, nan=-np.inf), kind="stable")[: rows * columns]
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 1.6 * rows))
    for axis in axes.flat[len(order) :]:
        axis.axis("off")
    for axis, index in zip(axes.flat, order, strict=False):
        spread = "" if np.isnan(se[index]) else f" ± {se[index]:.2f}"
        label, example = name(dataset, "train", index)
        show(
            axis,
            dataset.train_images[index],
            f"{label}\n{memorization[index]:.2f}{spread}\n{example}",
        )
    figure.suptitle(
        "Most memorized training images: class, memorization ± SE (fraction), name",
        fontsize=10,
    )
    figure.tight_layout()
    save(figure, path)


def memorization_histogram(
    dataset: Dataset,
    memorization: np.ndarray,
    assignments: Sequence[Assignment],
    path: str | Path,
) -> None:
    """Draw histograms of memorization: all training examples, and the selected ones by bucket."""
    figure, axis = plt.subplots(figsize=(7, 4.6), layout="constrained")
    bins = np.linspace(min(0.0, float(np.nanmin(memorization, initial=0))), 1, 51)
    groups = {"all training examples with a score": (memorization[~np.isnan(memorization)], GREY)}
    for bucket, colour in ((LEAKAGE_SHIFT, ORANGE), (MEMORIZED, BLUE)):
        examples = [row.example for row in assignments if row.bucket == bucket]
        groups[f"selected, {IN_WORDS[bucket]}"] = (memorization[examples], colour)
    for label, (values, colour) in groups.items():
        axis.hist(
            values,
            bins.tolist(),
            histtype="stepfilled" if colour == GREY else "step",
            color=colour,
            alpha=0.35 if colour == GREY else 1,
            linewidth=1.8,
            linestyle="--" if colour == ORANGE else "-",
            label=f"{label} ({len(values):,})",
        )
    axis.set_yscale("log")
    axis.set_ylim(bottom=0.7)
    axis.yaxis.set_major_formatter("{x:,g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel(
        "memorization (fraction): accuracy on a training example of models trained with it minus\n"
        "that of models trained without it",
        fontsize=SMALL,
    )
    axis.set_ylabel(
        f"training examples per bin of {bins[1] - bins[0]:.2g} (log scale)",
        fontsize=SMALL,
    )
    headed(axis, "Memorization of the training examples")
    plain(axis)
    save(figure, path)
