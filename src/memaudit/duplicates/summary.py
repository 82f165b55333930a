"""What a list of duplicates means: how much of a test set leaks, and what to do about it."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from memaudit.duplicates.files import Side
from memaudit.duplicates.finder import Pairs

SHOWN = 3  # clusters and pairs named at most


def summarize(pairs: Pairs, train: Side, test: Side, *, near: float, review: float) -> str:
    """Say how many test images leak, what that can do to test accuracy, and what to do next.

    ``pairs`` are those of `find_duplicates` on the images of the two sides, ``near`` and ``review``
    its thresholds.
    """
    called = _called(pairs)
    exact = set(pairs.test[pairs.kind == "exact"].tolist())
    leaked = set(called.test.tolist())
    asked = set(pairs.at_least(review).test.tolist()) - leaked
    lines = [
        f"{_count(len(test), 'test image')} against {_count(len(train), 'training image')}:",
        f"{len(exact):9,} with an exact copy in train",
        f"{len(leaked - exact):9,} more with a near copy (score {near:g} or more)",
        f"{len(asked):9,} more to look at (score {review:g} or more)",
    ]
    if not leaked:
        lines.append("No copies were found.")
    else:
        share = f"{100 * len(leaked) / len(test):.2f}"
        lines.append(
            f"{share} % of the test images have a copy in train. Accuracy on all test images is at "
            f"most {share} examples higher than on those without one."
        )
        groups = _clusters(called.train, called.test + len(train))
        lines.append(f"They form {_count(len(groups), 'cluster')}, the largest:")
        for group in groups[:SHOWN]:
            rows, tests = group[group < len(train)], group[group >= len(train)] - len(train)
            lines.append(
                f"    {_count(len(tests), 'test image')} and {_count(len(rows), 'training image')}: "
                f"{_named('test', test.names[tests[0]])}, {_named('train', train.names[rows[0]])}"
                f"{_more(group, 2)}"
            )
    lines += _across_classes(called, train, test)
    if asked:
        lines.append(f"Look at the candidates with a score of {review:g} or more.")
    if leaked:
        lines.append(
            "Report accuracy also without the test images in rows of the kind exact or near."
        )
    return "\n".join(lines)


def summarize_within(pairs: Pairs, side: Side, *, near: float, review: float) -> str:
    """Say how many images of one set are copies of others, and what to do next.

    ``pairs`` are those of `find_within` on the images of the side.
    """
    called = _called(pairs)
    asked = len(pairs.at_least(review)) - len(called.at_least(review))
    exact = int((pairs.kind == "exact").sum())
    lines = [
        f"{_count(len(side), 'training image')} among themselves:",
        f"{exact:9,} exact copies of another",
        f"{len(called) - exact:9,} pairs of near copies (score {near:g} or more)",
        f"{asked:9,} pairs more to look at (score {review:g} or more)",
    ]
    if not len(called):
        lines.append("No copies were found.")
    else:
        groups = _clusters(called.train, called.test)
        spare = sum(map(len, groups)) - len(groups)
        lines.append(
            f"They form {_count(len(groups), 'cluster')}; keeping one image of each would take "
            f"{spare:,} away ({100 * spare / len(side):.2f} %). The largest:"
        )
        for group in groups[:SHOWN]:
            one, other = (side.names[row] for row in group[:2])
            lines.append(f"    {_count(len(group), 'image')}: {one}, {other}{_more(group, 2)}")
    lines += _across_classes(called, side, side)
    if asked:
        lines.append(f"Look at the candidates with a score of {review:g} or more.")
    if len(called):
        lines.append("Keep the images of a cluster on one side of any split into train and test.")
    return "\n".join(lines)


def _called(pairs: Pairs) -> Pairs:
    """Return the pairs called exact or near."""
    keep = pairs.kind != "candidate"
    return Pairs(pairs.train[keep], pairs.test[keep], pairs.score[keep], pairs.kind[keep])


def _clusters(one: np.ndarray, other: np.ndarray) -> list[np.ndarray]:
    """Return the groups of numbers that the pairs (one, other) connect, largest first."""
    numbers, place = np.unique(np.concatenate([one, other]), return_inverse=True)
    edges = coo_array((np.ones(len(one)), place.reshape(2, -1)), shape=(len(numbers),) * 2)
    count, cluster = connected_components(edges, directed=False)
    groups = [numbers[cluster == which] for which in range(count)]
    return sorted(groups, key=lambda group: (-len(group), group[0]))


def _across_classes(called: Pairs, train: Side, test: Side) -> list[str]:
    """Lines on those pairs whose images have two classes."""
    names = [
        f"{train.names[a]} and {test.names[b]}"
        for a, b in zip(called.train.tolist(), called.test.tolist(), strict=True)
        if train.classes[a] != test.classes[b]
    ]
    if not names:
        return []
    head = f"{_count(len(names), 'pair')} of copies with two classes (a wrong label?):"
    return [head, *(f"    {pair}" for pair in names[:SHOWN])]


def _named(side: str, name: str) -> str:
    """A file's name says on which side it is; an index does not."""
    return f"{side} {name}" if name.isdigit() else name


def _more(group: np.ndarray, shown: int) -> str:
    return ", ..." if len(group) > shown else ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
