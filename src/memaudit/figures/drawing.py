"""Colours, legends and helpers to draw and save figures.

Figures are at most `WIDTH` inches wide with text of at least 7 pt, so that they can be printed.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memaudit import store
from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED
from memaudit.data.dataset import Dataset
from memaudit.names import nfc, printable

# Okabe and Ito's colours, distinguishable for colour-blind readers.
BLUE, ORANGE, GREEN, GREY, PINK = "#0072B2", "#D55E00", "#009E73", "#7F7F7F", "#CC79A7"
WIDTH = 9  # inches
SMALL = 8.5  # font size of axes and legends, in pt
# Labels of the buckets.
IN_WORDS = {
    LEAKAGE_SHIFT: "with a duplicate or in a subpopulation (leakage_shift)",
    MEMORIZED: "neither (memorized)",
}

# Fonts for names in scripts that matplotlib's own font lacks, those used that are installed.
_OTHER_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Noto Emoji",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "Hiragino Sans",
    "PingFang SC",
    "Apple SD Gothic Neo",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Segoe UI Symbol",
    "Unifont",
)

_LONGEST = 16  # characters of a name at an image
# Fixed metadata, so that the same results give the same files.
_TAGS = {"png": {"Software": "memaudit"}, "svg": {"Date": None, "Creator": "memaudit"}}


def headed(axis: Axes, title: str, columns: int = 1, **options: Any) -> None:
    """Put title and legend above the axes, where they hide no data.

    Constrained layout makes room for them; lines wider than the axes make the axes narrower.
    `options` are passed to the legend.
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
    """Put one title and legend above several axes."""
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


def intervals(
    axis: Axes, way: str, at: Any, ends: tuple[Any, Any], *, color: str, thick: bool = False
) -> None:
    """Draw intervals along the `way` x or y, thick or thin with caps; those of NaN are left out."""
    low, high = (np.asarray(end, dtype=float) for end in ends)
    middle, half = (low + high) / 2, (high - low) / 2
    if np.isnan(half).all():
        return
    width, cap = (3.5, 0) if thick else (1.2, 3.5)
    places = (
        {"x": middle, "y": at, "xerr": half} if way == "x" else {"x": at, "y": middle, "yerr": half}
    )
    axis.errorbar(**places, fmt="none", ecolor=color, elinewidth=width, capsize=cap)


def plain(axis: Axes) -> None:
    """Remove the upper and right side of the frame and use small tick labels."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=SMALL)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG and as SVG, at `path` with either suffix, and close it."""
    for kind, tags in _TAGS.items():
        with (
            store.atomic_write(Path(path).with_suffix(f".{kind}")) as temporary,
            plt.rc_context({"svg.hashsalt": "memaudit"}),
        ):
            figure.savefig(temporary, format=kind, dpi=150, bbox_inches="tight", metadata=tags)
    plt.close(figure)


def name(dataset: Dataset, side: str, index: int) -> tuple[str, str]:
    """Return class and name of an example, shortened to fit at its image.

    A name with characters that no font has is replaced by the number of the class or example.
    """
    labels = dataset.train_labels if side == "train" else dataset.test_labels
    label = dataset.class_names[labels[index]]
    example = dataset.name(side, index).rsplit("/", 1)[-1]
    return (
        _shortened(label) if _is_drawable(label) else f"class {labels[index]}",
        _shortened(example) if _is_drawable(example) else f"{side} {index}",
    )


def replaced_names(dataset: Dataset) -> str:
    """Return a sentence on names that figures replace by numbers; empty if there are none."""
    lacking = [text for text in dataset.class_names if not _is_drawable(text)]
    files = dataset.train_names + dataset.test_names
    lacking += [text for text in files if not _is_drawable(text.rsplit("/", 1)[-1])]
    if not lacking:
        return ""
    return (
        f"{len(lacking):,} names of classes or files have characters that no installed font has "
        f"(first: {printable(lacking[0])}); figures show their index instead. Install a font such "
        "as Noto Sans CJK or Noto Emoji"
    )


def _is_drawable(text: str) -> bool:
    return all(
        any(font.get_char_index(ord(character)) for font in _fonts())
        for character in nfc(printable(text))
    )


@cache
def _fonts() -> list[Any]:
    """Let matplotlib use the installed ones of the fonts, and return all that it uses."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    families = ["DejaVu Sans", *(family for family in _OTHER_FONTS if family in installed)]
    plt.rcParams["font.family"] = families
    return [font_manager.get_font(font_manager.findfont(family)) for family in families]


def _shortened(text: str) -> str:
    text = nfc(printable(text))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def show(axis: Axes, image: np.ndarray, text: str) -> None:
    """Show an image with visible pixels, in a thin frame, with text above it."""
    # not clipped: the names of clip paths in an SVG change from run to run
    axis.imshow(image, interpolation="nearest", clip_on=False)
    axis.set_title(text, fontsize=7, parse_math=False)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set(color=GREY, linewidth=0.4)
