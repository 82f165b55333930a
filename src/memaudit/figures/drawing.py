"""What all figures share: colours, how an image is shown, how a figure is saved."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memaudit import store
from memaudit.data.dataset import Dataset

# Okabe & Ito's colours, told apart by the colour-blind.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"

_LONGEST = 16  # characters of a name under an image
# Fixed tags, so that the same results give the same files.
_TAGS = {"png": {"Software": "memaudit"}, "svg": {"Date": None, "Creator": "memaudit"}}


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG and as SVG, under the name of `path` with either suffix; close it."""
    for kind, tags in _TAGS.items():
        with (
            store.whole(Path(path).with_suffix(f".{kind}")) as temporary,
            plt.rc_context({"svg.hashsalt": "memaudit"}),
        ):
            figure.savefig(temporary, format=kind, dpi=150, bbox_inches="tight", metadata=tags)
    plt.close(figure)


def name(dataset: Dataset, side: str, index: int) -> tuple[str, str]:
    """Class and name of a point, short enough to stand at its image."""
    labels = dataset.train_labels if side == "train" else dataset.test_labels
    texts = dataset.class_names[labels[index]], dataset.name(side, index).rsplit("/", 1)[-1]
    return tuple(t if len(t) <= _LONGEST else f"{t[: _LONGEST - 1]}…" for t in texts)


def show(axis: Axes, image: np.ndarray, text: str) -> None:
    """Show an image with every pixel enlarged, in a thin frame, and text above it."""
    # not clipped to the frame, which it fills: an SVG names clip paths anew each time
    axis.imshow(image, interpolation="nearest", clip_on=False)
    axis.set_title(text, fontsize=7, parse_math=False)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(color=GREY, linewidth=0.4)
