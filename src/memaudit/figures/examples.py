"""Figures 1 to 3 of the paper: exact duplicates, near duplicates, subpopulations.

All three show selected training examples, whose removal lowers accuracy.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import Dataset
from memaudit.figures.drawing import name, save, show
from memaudit.scores.selection import Pair

_MOST, _GROUPS = 12, 6  # pairs, and groups, in a figure: it fits a page
_ACROSS = 3  # pairs side by side
_IMAGES = 4  # images of a group on either side
_TITLES = {
    "exact": "Selected training images (left) and test images of exactly the same content (right)",
    "near": "Selected training images (left) and test images that show the same shot (right)",
}
_HEADS = ("selected training images, a group in a row", "test images that they influence")


def duplicate_pairs(
    dataset: Dataset,
    pairs: Sequence[Pair],
    assignments: Sequence[Assignment],
    reason: str,
    path: str | Path,
) -> None:
    """Figure 1 (reason "exact") and 2 ("near"): selected training images beside their duplicates.

    The twelve pairs of greatest influence; those of which it is not among the selected `pairs` come
    last, by memorization.
    """
    shown = _copies(pairs, assignments, reason)[:_MOST]
    if not shown:
        _say(f"no {reason} duplicate among the selected examples", path)
        return
    rows = -(-len(shown) // _ACROSS)
    figure = plt.figure(figsize=(3 * _ACROSS, 2 * rows + 0.3), layout="constrained")
    figure.suptitle(_TITLES[reason], fontsize=9.5, x=0.01, ha="left")
    cells = figure.subfigures(rows, _ACROSS, squeeze=False, wspace=0.04).flat
    for cell, (row, test, value) in zip(cells, shown, strict=False):
        text = "not among the selected pairs" if value is None else f"influence {value:.2f}"
        cell.suptitle(f"memorization {row.memorization:.2f}, {text}", fontsize=8)
        left, right = cell.subplots(1, 2)
        show(left, dataset.train_images[row.example], _label(dataset, "train", row.example))
        show(right, dataset.test_images[test], _label(dataset, "test", test))
    save(figure, path)


def _copies(
    pairs: Sequence[Pair], assignments: Sequence[Assignment], reason: str
) -> list[tuple[Assignment, int, float | None]]:
    """Examples of a reason with each of their duplicates and the influence on it, greatest first."""
    influence = {(pair.train, pair.test): pair.influence for pair in pairs}
    found = [
        (row, test, influence.get((row.example, test)))
        for row in assignments
        if row.reason == reason
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
    """Figure 3: groups of training images that are removed, beside the test images they influence.

    The six groups with the greatest sum of influences on the test images that they share; of
    each the four training images of highest memorization and the four test images influenced most.
    """
    groups = _groups(pairs, assignments)[:_GROUPS]
    if not groups:
        _say("no subpopulation among the selected examples", path)
        return
    # as many columns a side as the largest group takes, but two at least, for the heading
    wide = [min(_IMAGES, max(2, *(len(group[side]) for group in groups))) for side in (0, 1)]
    figure = plt.figure(
        figsize=(1.05 * sum(wide) + 0.5, 1.6 * len(groups) + 0.4), layout="constrained"
    )
    grid = figure.add_gridspec(
        len(groups) + 1,
        sum(wide) + 1,
        width_ratios=[*[1] * wide[0], 0.3, *[1] * wide[1]],
        height_ratios=[0.2, *[1] * len(groups)],
    )
    for head, first, columns in zip(_HEADS, (0, wide[0] + 1), wide, strict=True):
        axis = figure.add_subplot(grid[0, first : first + columns])
        axis.text(0, 0, head, fontsize=9)
        axis.axis("off")
    for line, (members, tests) in enumerate(groups, start=1):
        sides = (
            ("train", "memorization", members, 0),
            ("test", "influence", tests, wide[0] + 1),
        )
        for side, word, examples, first in sides:
            images = dataset.train_images if side == "train" else dataset.test_images
            for place, (index, value) in enumerate(examples[:_IMAGES]):
                axis = figure.add_subplot(grid[line, first + place])
                text = "\n".join([*name(dataset, side, index), f"{word} {value:.2f}"])
                if place == _IMAGES - 1 and len(examples) > _IMAGES:
                    text += f"\n(and {len(examples) - _IMAGES} more)"
                show(axis, images[index], text)
    save(figure, path)


Scored = list[tuple[int, float]]  # examples, greatest value first


def _groups(
    pairs: Sequence[Pair], assignments: Sequence[Assignment]
) -> list[tuple[Scored, Scored]]:
    """Of each subpopulation its training examples and the test examples that two of them influence.

    Training examples come with their memorization, test examples with the greatest influence on them;
    groups by the sum of influences, greatest first. Where people put examples together that share no
    test example, all test examples that they influence are taken.
    """
    called = {row.group for row in assignments if row.reason == "subpopulation"}
    members: dict[int, Scored] = {}
    for row in assignments:
        if row.group in called:
            members.setdefault(row.group, []).append((row.example, row.memorization))
    group_of = {index: group for group, examples in members.items() for index, _ in examples}
    influences: dict[int, dict[int, list[float]]] = {group: {} for group in members}
    for pair in pairs:
        if pair.train in group_of:
            on_test = influences[group_of[pair.train]].setdefault(pair.test, [])
            on_test.append(pair.influence)
    ranked = []
    for group, on_test in influences.items():
        shared = {t: v for t, v in on_test.items() if len(v) > 1} or on_test
        total = sum(sum(values) for values in shared.values())
        tests = [(test, max(values)) for test, values in shared.items()]
        ranked.append((-total, group, _falling(members[group]), _falling(tests)))
    return [(train, tests) for _, _, train, tests in sorted(ranked)]


def _falling(examples: Scored) -> Scored:
    return sorted(examples, key=lambda example: (-example[1], example[0]))


def _label(dataset: Dataset, side: str, index: int) -> str:
    label, example = name(dataset, side, index)
    example = example if example.startswith(side) else f"{side} {example}"
    return f"{label}\n{example}"


def _say(text: str, path: str | Path) -> None:
    """A figure that says that there is nothing to show."""
    figure, axis = plt.subplots(figsize=(6, 1))
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=11, parse_math=False)
    axis.axis("off")
    save(figure, path)
