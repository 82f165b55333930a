"""Summarize a list of duplicates: how much of a test set leaks, and what to do about it."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from memaudit.data.image_folder import Side
from memaudit.duplicates.finder import Pairs
from memaudit.names import printable
from memaudit.templates import count

TOO_OFTEN = 0.002  # share of random pairs that reach the threshold, for a warning
_FEWEST, _HIGHEST = 5, 0.97  # of these pairs; threshold that is advised
SHOWN = 3  # clusters and pairs named at most
PHOTOGRAPHS = (
    "The default of --near was set on photographs: for other kinds of images, inspect the pairs of "
    "kind near and choose --near accordingly."
)


SCENES = (
    "The probabilities were calibrated on photographs of CIFAR: for other images, inspect the "
    "pairs of kind scene and choose --scene accordingly."
)


def summarize(
    pairs: Pairs,
    train: Side,
    test: Side,
    *,
    near: float,
    review: float,
    notes: Sequence[str] = (),
) -> str:
    """Return a summary of leaking test images, their effect on test accuracy, and next steps.

    `pairs` are those of `find_duplicates` on the images of the two sides, `near` and `review` its
    thresholds, `notes` those of `find_scenes`.
    """
    found = _duplicates(pairs)
    exact = set(pairs.test[pairs.kind == "exact"].tolist())
    near_ones = set(pairs.test[pairs.kind == "near"].tolist()) - exact
    leaked = set(found.test.tolist())
    unsure = set(pairs.at_least(review).test.tolist()) - leaked
    lines = [
        f"{count(len(test), 'test image')} compared with {count(len(train), 'training image')}:",
        f"{len(exact):9,} with an exact duplicate in the training set",
        f"{len(near_ones):9,} more with a near-duplicate (score {near:g} or more)",
        f"{len(unsure):9,} more to inspect (score {review:g} or more)",
    ]
    lines += [f"note: {text}" for text in notes]
    if (pairs.kind == "scene").any():
        scenes = len(leaked - exact - near_ones)
        lines.insert(3, f"{scenes:9,} more with another photograph of the scene")
    if leaked:
        share = f"{100 * len(leaked) / len(test):.2f}"
        lines.append(
            f"{share}% of the test images have a duplicate in the training set. Accuracy on all "
            f"test images is at most {share} pp higher than on those without one."
        )

        def describe(group: np.ndarray) -> str:
            rows, tests = group[group < len(train)], group[group >= len(train)] - len(train)
            counts = f"{count(len(tests), 'test image')} and {count(len(rows), 'training image')}"
            names = _named("test", test.names[tests[0]]), _named("train", train.names[rows[0]])
            return f"{counts}: {names[0]}, {names[1]}"

        lines += _clusters(found.train, found.test + len(train), describe)[1]
    lines += _last_lines(found, (train, test), review if unsure else None)
    if leaked:
        lines.append(
            "Report accuracy also without the test images of the pairs of any kind but candidate."
        )
    return "\n".join(lines)


def summarize_within(pairs: Pairs, side: Side, *, near: float, review: float) -> str:
    """Return a summary of the duplicates within one set, and next steps.

    `pairs` are those of `find_within` on the images of the side.
    """
    found = _duplicates(pairs)
    unsure = len(pairs.at_least(review)) - len(found.at_least(review))
    exact = int((pairs.kind == "exact").sum())
    lines = [
        f"{count(len(side), 'training image')} compared with each other:",
        f"{exact:9,} exact duplicates of another image",
        f"{len(found) - exact:9,} pairs of near-duplicates (score {near:g} or more)",
        f"{unsure:9,} more pairs to inspect (score {review:g} or more)",
    ]
    if len(found):

        def describe(group: np.ndarray) -> str:
            one, other = (printable(side.names[row]) for row in group[:2])
            return f"{count(len(group), 'image')}: {one}, {other}"

        redundant, clusters = _clusters(found.train, found.test, describe)
        lines.append(
            f"Keeping one image of each cluster would remove {redundant:,} images "
            f"({100 * redundant / len(side):.2f}%)."
        )
        lines += clusters
    lines += _last_lines(found, (side, side), review if unsure else None)
    if len(found):
        lines.append("Keep all images of a cluster on the same side of any train-test split.")
    return "\n".join(lines)


def random_warning(scores: np.ndarray, near: float) -> str:
    """Return a warning if random pairs, with these scores, reach `near` too often; else ""."""
    often = int((scores >= near).sum())
    if often < _FEWEST or often <= TOO_OFTEN * len(scores):
        return ""
    enough = float(np.quantile(scores, 0.999))
    remedy = f"Set the threshold to more than {enough:.2f}, which 1 in 1,000 random pairs reaches"
    if enough > _HIGHEST:
        remedy = "No threshold separates duplicates here: rely on kind exact"
    return (
        f"warning: {often:,} of {len(scores):,} random pairs of different images "
        f"({100 * often / len(scores):.1f}%) also reach the score {near:g} of near-duplicates. "
        "Unless most of these images are copies of a few, they are too simple or too alike for the "
        "search (shapes, drawings, digits): pairs of kind near need not be duplicates, and their "
        f"probabilities, calibrated on photographs, are too high. {remedy}, and inspect the pairs."
    )


def _duplicates(pairs: Pairs) -> Pairs:
    """Return the exact and near-duplicates."""
    return pairs.of(pairs.kind != "candidate")


def _clusters(
    one: np.ndarray, other: np.ndarray, describe: Callable[[np.ndarray], str]
) -> tuple[int, list[str]]:
    """Return the redundant images of the clusters that the pairs (one, other) form, and lines."""
    numbers, place = np.unique(np.concatenate([one, other]), return_inverse=True)
    edges = coo_array((np.ones(len(one)), place.reshape(2, -1)), shape=(len(numbers),) * 2)
    total, cluster = connected_components(edges, directed=False)
    groups = [numbers[cluster == which] for which in range(total)]
    groups.sort(key=lambda group: (-len(group), group[0]))
    lines = [f"They form {count(total, 'cluster')}, the largest:"]
    for group in groups[:SHOWN]:
        lines.append(f"    {describe(group)}{', ...' if len(group) > 2 else ''}")
    return len(numbers) - total, lines


def _last_lines(found: Pairs, sides: tuple[Side, Side], review: float | None) -> list[str]:
    """Return lines on the threshold, duplicates with different labels, candidates to inspect."""
    train, test = sides
    names = [
        f"{_named('train', train.names[a])} and "
        f"{_named('train' if train is test else 'test', test.names[b])}"
        for a, b in zip(found.train.tolist(), found.test.tolist(), strict=True)
        if train.classes[a] != test.classes[b]
    ]
    lines = [] if len(found) else ["No duplicates were found."]
    if (found.kind == "near").any():
        lines.append(PHOTOGRAPHS)
    if (found.kind == "scene").any():
        lines.append(SCENES)
    if names:
        lines.append(f"{count(len(names), 'pair')} of duplicates with different labels:")
        lines += [f"    {pair}" for pair in names[:SHOWN]]
    if review is not None:
        lines.append(f"Inspect the candidates with a score of {review:g} or more.")
    return lines


def _named(side: str, name: str) -> str:
    """Add the side to an index; a file name includes it."""
    return f"{side} {name}" if name.isdigit() else printable(name)
