"""Draw selected training examples beside the test examples that they influence.

The most memorized ones, and figures 1 to 3 of the paper: exact duplicates, near-duplicates,
subpopulations.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from memaudit.buckets.assign import Assignment
from memaudit.buckets.leaks import ONE_PICTURE, REASONS, Leak
from memaudit.data.dataset import Dataset
from memaudit.figures.drawing import ORANGE, WIDTH, name, save, show
from memaudit.scores.selection import Pair
from memaudit.templates import count

_MOST, _GROUPS = 12, 6  # pairs, and groups, per figure
_ACROSS = 3  # pairs side by side
_IMAGES = 4  # images per group and side
_TITLE = "Selected training images (left) and their {} in the test set (right{})"
_KINDS = {  # of duplicates: the second line of each pair's caption
    "exact": "identical pixels",
    ONE_PICTURE: "visually the same picture",
    "near": "same photograph",
    "scene": "another photograph of the scene",
}
_SUBPOPULATIONS = "Subpopulations of the selected training images"
_ROWS, _BESIDE = 4, 3  # rows of most memorized examples; test images beside each
_INFLUENCE = (
    "Most memorized of the selected training images (framed), each with the test images that it "
    "influences most"
)
_HEADS = (
    "removed training images,\none group per row",
    "test images that two\nor more of them influence",
)


def influence(dataset: Dataset, pairs: Sequence[Pair], path: str | Path) -> None:
    """Draw the most memorized of the selected images beside the test images they influence.

    Each training image is shown with up to three test images, those that it influences most.
    """
    by_train: dict[int, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: (-pair.memorization, pair.train, -pair.influence)):
        by_train.setdefault(pair.train, []).append(pair)
    shown = list(by_train.values())
    if not shown:
        _message("no selected training example", path)
        return
    wide = min(_BESIDE, max(map(len, shown)))
    across = 6 // wide
    shown = shown[: _ROWS * across]
    rows = -(-len(shown) // across)
    # without constrained layout, whose last digits change from run to run
    figure = plt.figure(figsize=(WIDTH, 1.5 * rows + 0.3))
    figure.suptitle(_INFLUENCE, fontsize=9.5, x=0.01, y=1, ha="left", va="top")
    grid = figure.add_gridspec(
        rows,
        across * (wide + 2) - 1,
        width_ratios=[*[1] * (wide + 1), 0.3] * (across - 1) + [1] * (wide + 1),
        left=0.03,
        right=0.97,
        bottom=0.02,
        top=1 - 0.75 / (1.5 * rows + 0.3),
        hspace=0.55,
        wspace=0.25,
    )
    for number, group in enumerate(shown):
        row, column = divmod(number, across)
        cells = [
            figure.add_subplot(grid[row, column * (wide + 2) + place])
            for place in range(1 + min(wide, len(group)))
        ]
        train = group[0].train
        text = "\n".join([*name(dataset, "train", train), f"memorized {group[0].memorization:.2f}"])
        show(cells[0], dataset.train_images[train], text)
        cells[0].spines[:].set(color=ORANGE, linewidth=2)
        for cell, pair in zip(cells[1:], group, strict=False):
            text = "\n".join([*name(dataset, "test", pair.test), f"influence {pair.influence:.2f}"])
            show(cell, dataset.test_images[pair.test], text)
    save(figure, path)


def duplicate_pairs(
    dataset: Dataset,
    pairs: Sequence[Pair],
    assignments: Sequence[Assignment],
    reason: str,
    path: str | Path,
    *,
    leaks: Sequence[Leak],
) -> None:
    """Draw figure 1 (reason "exact") or 2 ("near"): training images beside their duplicates.

    Figure 2 includes other photographs of a scene (reason "scene"), as in the paper: half of the
    twelve pairs where there are enough of both. Shows those with the highest influence; duplicates
    that are not among the selected `pairs` come last, by memorization. `leaks` are all duplicates:
    they tell identical pixels from visually the same picture, and a figure without images counts
    them.
    """
    reasons = {"exact": ("exact",), "near": ("near", "scene")}[reason]
    shown = _half_of_each(_copies(pairs, assignments, reasons))
    if not shown:
        article, what = {"exact": ("an", "exact duplicate"), "near": ("a", "near-duplicate")}[
            reason
        ]
        selected = {row.example for row in assignments}
        others = sum(REASONS[leak.kind] in reasons and leak.train not in selected for leak in leaks)
        _message(
            f"None of the {len(selected):,} selected examples has {article} {what} in the "
            f"test set;\nleaks.csv lists {count(others, what)} of other training examples.",
            path,
        )
        return
    rows = -(-len(shown) // _ACROSS)
    figure = plt.figure(figsize=(3 * _ACROSS, 2 * rows + 0.3), layout="constrained")
    visual = {(leak.train, leak.test) for leak in leaks if leak.kind == ONE_PICTURE}
    kinds = [
        ONE_PICTURE if row.reason == "exact" and (row.example, test) in visual else row.reason
        for row, test, _ in shown
    ]
    figure.suptitle(_title(kinds), fontsize=9.5, x=0.01, ha="left")
    cells = figure.subfigures(rows, _ACROSS, squeeze=False, wspace=0.04).flat
    for cell, (row, test, value), kind in zip(cells, shown, kinds, strict=False):
        text = "not among the selected pairs" if value is None else f"influence {value:.2f}"
        # as many lines in every cell, so that the images of a row are aligned
        text = f"memorization {row.memorization:.2f}, {text}\n{_KINDS[kind]}"
        cell.suptitle(text, fontsize=8)
        left, right = cell.subplots(1, 2)
        show(left, dataset.train_images[row.example], _label(dataset, "train", row.example))
        show(right, dataset.test_images[test], _label(dataset, "test", test))
    save(figure, path)


Copy = tuple[Assignment, int, float | None]  # (example, its duplicate, influence on it)


def _title(kinds: Collection[str]) -> str:
    """Return the title of a figure of duplicates of these kinds."""
    if not {"exact", ONE_PICTURE} & set(kinds):
        return _TITLE.format("near-duplicates", "")
    if ONE_PICTURE not in kinds:
        return _TITLE.format("exact duplicates", "")
    some = "exact or visually exact" if "exact" in kinds else "visually exact"
    return _TITLE.format(f"{some} duplicates", "; published annotation")


def _half_of_each(copies: Sequence[Copy]) -> list[Copy]:
    """Return the first twelve: six other photographs of a scene last, where there are enough."""
    scenes = [copy for copy in copies if copy[0].reason == "scene"]
    others = [copy for copy in copies if copy[0].reason != "scene"]
    others = others[: max(_MOST // 2, _MOST - len(scenes))]
    return others + scenes[: _MOST - len(others)]


def _copies(
    pairs: Sequence[Pair], assignments: Sequence[Assignment], reasons: Collection[str]
) -> list[Copy]:
    """Return (example, duplicate, influence on it) for the reasons, highest influence first."""
    influence = {(pair.train, pair.test): pair.influence for pair in pairs}
    found = [
        (row, test, influence.get((row.example, test)))
        for row in assignments
        if row.reason in reasons
        for test in row.test_examples
    ]
    return sorted(
        found, key=lambda copy: (-(copy[2] or 0), -copy[0].memorization, copy[0].example, copy[1])
    )


def subpopulations(
    dataset: Dataset,
    pairs: Sequence[Pair],
    assignments: Sequence[Assignment],
    path: str | Path,
) -> None:
    """Draw figure 3: groups of selected training images beside the test images they influence.

    Shows the six groups with the highest sum of influences on the test images that they share, each
    with its four most memorized training images and its four most influenced test images. Those
    that only one of them influences are not shown.
    """
    groups = _groups(pairs, assignments)[:_GROUPS]
    if not groups:
        _message("no subpopulation among the selected training examples", path)
        return
    # columns per side: those of the largest group, at least two for the heading
    wide = [min(_IMAGES, max(2, *(len(group[side]) for group in groups))) for side in (0, 1)]
    figure = plt.figure(
        figsize=(1.06 * sum(wide) + 0.5, 1.6 * len(groups) + 0.7), layout="constrained"
    )
    figure.suptitle(_SUBPOPULATIONS, fontsize=9.5, x=0.01, ha="left")
    grid = figure.add_gridspec(
        len(groups) + 1,
        sum(wide) + 1,
        width_ratios=[*[1] * wide[0], 0.3, *[1] * wide[1]],
        height_ratios=[0.3, *[1] * len(groups)],
    )
    for head, first, columns in zip(_HEADS, (0, wide[0] + 1), wide, strict=True):
        axis = figure.add_subplot(grid[0, first : first + columns])
        # without room of its own, which would make the columns narrower
        axis.text(0, 0, head, fontsize=9).set_in_layout(False)
        axis.axis("off")
    for line, (members, tests) in enumerate(groups, start=1):
        for side, examples, first in (("train", members, 0), ("test", tests, wide[0] + 1)):
            images = dataset.train_images if side == "train" else dataset.test_images
            for place, (index, words) in enumerate(examples[:_IMAGES]):
                axis = figure.add_subplot(grid[line, first + place])
                text = "\n".join([*name(dataset, side, index), words])
                if place == _IMAGES - 1 and len(examples) > _IMAGES:
                    text += f"\n(and {len(examples) - _IMAGES} more)"
                show(axis, images[index], text)
    save(figure, path)


Captioned = list[tuple[int, str]]  # (example, its score in words), highest score first


def _groups(
    pairs: Sequence[Pair], assignments: Sequence[Assignment]
) -> list[tuple[Captioned, Captioned]]:
    """Return the training examples and the shared test examples of each subpopulation.

    Training examples come with their memorization, test examples with the number of members that
    influence them and the highest influence; groups are ordered by the sum of influences. If
    annotators grouped examples that share no test example, all test examples that they influence
    are included.
    """
    called = {row.group for row in assignments if row.reason == "subpopulation"}
    members: dict[int, list[tuple[float, int, str]]] = {}
    for row in assignments:
        if row.group is not None and row.group in called:
            words = f"memorization {row.memorization:.2f}"
            members.setdefault(row.group, []).append((-row.memorization, row.example, words))
    group_of = {example: group for group, scored in members.items() for _, example, _ in scored}
    influences: dict[int, dict[int, list[float]]] = {group: {} for group in members}
    for pair in pairs:
        if pair.train in group_of:
            on_test = influences[group_of[pair.train]].setdefault(pair.test, [])
            on_test.append(pair.influence)
    ranked = []
    for group, by_test in influences.items():
        shared = {test: values for test, values in by_test.items() if len(values) > 1} or by_test
        total = sum(map(sum, shared.values()))
        tests = [
            (-max(values), test, f"by {len(values)}, up to {max(values):.2f}")
            for test, values in shared.items()
        ]
        ranked.append((-total, group, sorted(members[group]), sorted(tests)))
    return [
        ([scored[1:] for scored in train], [scored[1:] for scored in tests])
        for _, _, train, tests in sorted(ranked)
    ]


def _label(dataset: Dataset, side: str, index: int) -> str:
    label, example = name(dataset, side, index)
    example = example if example.startswith(side) else f"{side} {example}"
    return f"{label}\n{example}"


def _message(text: str, path: str | Path) -> None:
    """Draw a figure with a message instead of images."""
    figure, axis = plt.subplots(figsize=(6, 1))
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=11, parse_math=False)
    axis.axis("off")
    save(figure, path)
