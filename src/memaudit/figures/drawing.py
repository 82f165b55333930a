"""What all figures share: colours, legends, how an image is shown, how a figure is saved.

Figures are at most `WIDTH` wide and no text is below 7 points, so they can be printed as they are.
"""

from collections.abc import Iterable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memaudit import store
from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED
from memaudit.data.dataset import Dataset

# Okabe & Ito's colours, told apart by the colour-blind.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
WIDTH = 9  # inches
SMALL = 8.5  # points (1/72 inch): text of axes and legends
# The buckets of selected examples in words, for those who have not read what they mean.
IN_WORDS = {
    LEAKAGE_SHIFT: "with a duplicate or in a subpopulation (leakage_shift)",
    MEMORIZED: "neither (memorized)",
}

_LONGEST = 16  # characters of a name under an image
# Fixed tags, so that the same results give the same files.
_TAGS = {"png": {"Software": "memaudit"}, "svg": {"Date": None, "Creator": "memaudit"}}


def headed(axis: Axes, title: str, columns: int = 1, **options) -> None:
    """Title and legend above the axes, where neither can lie over data.

    For figures with constrained layout, which makes room for them: what is wider than the axes
    makes them narrower, so lines are to be short. `options` are the legend's.
    """
    if axis.get_legend_handles_labels()[0]:
        legend = axis.legend(
            title=title,
            title_fontsize=9.5,
            fontsize=SMALL,
            frameon=False,
            alignment="left",
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0.3,
            borderpad=0,
            ncols=columns,
            **options,
        )
        legend.get_title().set_parse_math(False)
    else:
        axis.set_title(title, fontsize=9.5, loc="left", parse_math=False)


def headed_together(figure: Figure, axes: Iterable[Axes], title: str, columns: int = 2) -> None:
    """As `headed`, a title and a legend for several axes, above all of them."""
    found = [axis.get_legend_handles_labels() for axis in axes]
    shown = {label: handle for pair in found for handle, label in zip(*pair, strict=True)}
    figure.legend(
        shown.values(),
        shown.keys(),
        title=title,
        title_fontsize=9.5,
        alignment="left",
        fontsize=SMALL,
        frameon=False,
        loc="outside upper center",
        ncols=columns,
    )


def plain(axis: Axes) -> None:
    """Axes without the frame's upper and right side, with small tick labels."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=SMALL)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG and as SVG, under the name of `path` with either suffix; close it."""
    for kind, tags in _TAGS.items():
        with (
            store.atomic_write(Path(path).with_suffix(f".{kind}")) as temporary,
            plt.rc_context({"svg.hashsalt": "memaudit"}),
        ):
            figure.savefig(temporary, format=kind, dpi=150, bbox_inches="tight", metadata=tags)
    plt.close(figure)


def name(dataset: Dataset, side: str, index: int) -> tuple[str, str]:
    """Class and name of an example, short enough to stand at its image."""
    labels = dataset.train_labels if side == "train" else dataset.test_labels
    texts = dataset.class_names[labels[index]], dataset.name(side, index).rsplit("/", 1)[-1]
    return tuple(t if len(t) <= _LONGEST else f"{t[: _LONGEST - 1]}…" for t in texts)


def show(axis: Axes, image: np.ndarray, text: str) -> None:
    """Show an image with every pixel enlarged, in a thin frame, and text above it."""
    # not clipped, because the names of clip paths in an SVG differ between runs
    axis.imshow(image, interpolation="nearest", clip_on=False)
    axis.set_title(text, fontsize=7, parse_math=False)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(color=GREY, linewidth=0.4)
