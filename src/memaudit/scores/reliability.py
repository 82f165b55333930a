"""Reliability of the scores: split-half agreement, standard errors, expected false selections.

The subset models are split at random into two disjoint sets of whole balanced blocks (see
`memaudit.models.removals.subset_mask`), so that each set is a complete study. Scores and selections
of the two sets are compared at up to half, a quarter and an eighth of the models, which shows what
more models would change.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from memaudit.models.removals import block_size, subset_mask
from memaudit.results.statistics import correlation
from memaudit.scores.estimate import Memorization, influence_blocks
from memaudit.scores.facade import Scores
from memaudit.scores.margin_influence import influence_from_margins
from memaudit.scores.selection import Pair, is_strong
from memaudit.seeds import generator, seed64
from memaudit.tables import Rows, column

SPLITS = 10  # random splits per size
PARTS = (8, 4, 2)  # the sets compared have 1/8, 1/4 and 1/2 of the models


@dataclass(frozen=True)
class SubsetModels:
    """Subset models of a study; test examples that take no part in the selection are left out.

    mask bool (models, n_train); `train` (models, n_train) and `test` (models, n_test) are what the
    `estimator` needs, correctness or margins; labels int64 (n_train,) and (n_test,); `fraction` of
    the examples is in each mask.
    """

    mask: np.ndarray
    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray
    test_labels: np.ndarray
    fraction: float
    estimator: str = "difference"

    def scores(self, models: np.ndarray) -> Scores:
        """Return the scores estimated from some of the models, int64 (models,)."""
        arrays = self.mask[models], self.train[models], self.test[models]
        return Scores.estimate(self.estimator, *arrays, self.train_labels, self.test_labels)


@dataclass(frozen=True)
class Agreement:
    """Agreement of two disjoint sets of `models` models each; NaN if there is nothing to compare.

    `memorization`, `influence`, `of_memorized`: Pearson correlation between the sets, over all
    training examples, over all pairs within classes, and over the pairs of those training examples
    whose memorization reaches the threshold in either set. `examples`, `pairs`: Jaccard index of
    the selections. `here`, `there`: mean influence of the pairs that one set selects, estimated by
    that set and by the other.
    """

    models: int
    memorization: float
    influence: float
    of_memorized: float
    examples: float
    pairs: float
    here: float
    there: float


@dataclass(frozen=True)
class Quantity:
    """Row of reliability.csv and rescored.csv."""

    quantity: str
    """name of the quantity"""
    models: int
    """number of models: all, or those in each of the sets compared"""
    value: float = column(digits=".4g")
    """value, averaged over the random splits if there are several: correlations and Jaccard
    indices up to 1, scores and standard errors as fractions, otherwise numbers of examples
    or pairs"""
    low: float = column(digits=".4g", default=np.nan)
    """minimum over the splits; empty without splits"""
    high: float = column(digits=".4g", default=np.nan)
    """maximum over the splits; empty without splits"""
    meaning: str = ""
    """definition of the quantity"""


@dataclass(frozen=True)
class ExampleReliability:
    """Row of reliability_examples.csv."""

    example: int
    """training example; index"""
    memorization: float = column(digits=".6g")
    """as in `selected_pairs.csv`; fraction"""
    memorization_se: float = column(digits=".6g")
    """its standard error; fraction"""
    selected: bool = column()
    """whether it is selected; yes or no"""
    p_wrong_side: float = column(digits=".4g")
    """probability that its true memorization is on the other side of the threshold
    `selection.memorization` (normal approximation); 0 to 1"""


def sizes(models: int, fraction: float) -> list[int]:
    """Return the sizes of the sets to compare, ascending: whole blocks, by `PARTS`."""
    parts, _ = block_size(fraction)
    return [parts * blocks for blocks in sorted({models // parts // p for p in PARTS} - {0})]


def disjoint_sets(
    models: int, fraction: float, size: int, split: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw two disjoint sets of `size` models, of whole blocks: int64 (size,) each.

    Within one `split`, smaller sets are subsets of larger ones.
    """
    parts, _ = block_size(fraction)
    blocks = generator(seed, "split", split).permutation(models // parts)
    members = (parts * blocks[:, None] + np.arange(parts)).ravel()
    return np.sort(members[:size]), np.sort(members[-size:])


def jaccard(both: int, either: int) -> float:
    """Return both / either; NaN if both are 0."""
    return both / either if either else np.nan


def agreement(
    study: SubsetModels, sets: tuple[np.ndarray, np.ndarray], thresholds: dict[str, float]
) -> Agreement:
    """Compare two sets of models, int64 (models,) each; `thresholds` as in `Scores.select`."""
    scores = [study.scores(models) for models in sets]
    values = [one.memorization.value for one in scores]
    train = np.concatenate(
        [np.repeat(b.train_index, len(b.test_index)) for b in scores[0].influence]
    )
    influence = np.stack(
        [np.concatenate([b.influence.ravel() for b in s.influence]) for s in scores]
    )
    chosen = np.stack(
        [
            np.concatenate([is_strong(b, value, **thresholds).ravel() for b in one.influence])
            for one, value in zip(scores, values, strict=True)
        ]
    )
    # by memorization, not influence: pairs chosen for the noise of one set would not correlate
    reached = (np.maximum(*values) >= thresholds["memorization"])[train]
    examples = [set(train[one].tolist()) for one in chosen]
    there = influence[::-1]
    return Agreement(
        len(sets[0]),
        correlation(*values),
        correlation(*influence),
        correlation(*influence[:, reached]),
        jaccard(len(examples[0] & examples[1]), len(examples[0] | examples[1])),
        jaccard(int(chosen.all(axis=0).sum()), int(chosen.any(axis=0).sum())),
        *(
            float(x[chosen].mean(dtype=np.float64)) if chosen.any() else np.nan
            for x in (influence, there)
        ),
    )


def agreements(study: SubsetModels, thresholds: dict[str, float], seed: int) -> list[Agreement]:
    """Compare `SPLITS` random splits of each of the `sizes`; empty with fewer than two blocks."""
    models = len(study.mask)
    return [
        agreement(study, disjoint_sets(models, study.fraction, size, split, seed), thresholds)
        for size in sizes(models, study.fraction)
        for split in range(SPLITS)
    ]


def spearman_brown(correlation: float, times: float = 2.0) -> float:
    """Predict the correlation between scores from `times` as many models in each set.

    t r / (1 + (t - 1) r), which is 2 r / (1 + r) for halves (Spearman 1910, Brown 1910).
    """
    return times * correlation / (1 + (times - 1) * correlation)


def false_pairs(
    study: SubsetModels, value: np.ndarray, thresholds: dict[str, float], seed: int
) -> list[int]:
    """Count the pairs selected when no training example has any influence, in `SPLITS` draws.

    The models' predictions are kept and their subsets are drawn again with another seed, so that
    predictions are independent of the subsets and every selected pair is false. `value` (n_train,)
    is the memorization of the training examples, which is kept too.
    """
    models, n_train = study.mask.shape
    labels = study.train_labels, study.test_labels
    influence = influence_from_margins if study.estimator == "margins" else influence_blocks
    found = []
    for draw in range(SPLITS):
        other = seed64(seed, "chance", draw)
        mask = np.array([subset_mask(n_train, m, study.fraction, other) for m in range(models)])
        blocks = influence(mask, study.test, *labels)
        found.append(sum(int(is_strong(block, value, **thresholds).sum()) for block in blocks))
    return found


def p_wrong_side(value: np.ndarray, se: np.ndarray, threshold: float) -> np.ndarray:
    """Return the probability (n,) that the true score is on the other side of `threshold`.

    `value`, `se` (n,): estimates and standard errors; normal approximation without a prior. In
    simulations (binomial counts, three distributions of true memorization), its sum over the
    examples on one side is 0.8 to 1.4 times the true number at 400 models and more, and 0.8 to 2.5
    times at 60 to 100. A fitted prior, normal or nonparametric, did no better, because the standard
    error depends on the value itself.
    """
    return np.asarray(ndtr(-np.abs(value - threshold) / se))


def is_selected(pairs: Sequence[Pair], n_train: int) -> np.ndarray:
    """Return which training examples are selected, bool (n_train,)."""
    return np.isin(np.arange(n_train), [pair.train for pair in pairs])


def example_rows(
    scores: Memorization, pairs: Sequence[Pair], threshold: float
) -> Rows[ExampleReliability]:
    """Return the rows of reliability_examples.csv, one per training example."""
    n = len(scores.value)
    other = p_wrong_side(scores.value, scores.se, threshold)
    columns = np.arange(n), scores.value, scores.se, is_selected(pairs, n), other
    rows = zip(*(values.tolist() for values in columns), strict=True)
    return Rows(ExampleReliability, (ExampleReliability(*row) for row in rows))


# field of `Agreement`: quantity, meaning
_AGREEMENTS = {
    "memorization": (
        "memorization_correlation",
        "correlation of memorization between two disjoint sets of models, over training examples",
    ),
    "influence": (
        "influence_correlation",
        "correlation of influence between the sets, over all pairs within classes (mostly noise)",
    ),
    "of_memorized": (
        "memorized_influence_correlation",
        "the same for training examples with memorization above the threshold in either set",
    ),
    "examples": ("examples_jaccard", "Jaccard index of the examples that the two sets select"),
    "pairs": ("pairs_jaccard", "Jaccard index of the pairs that the two sets select"),
    "here": ("influence_of_selected", "mean influence of the pairs that one set selects"),
    "there": (
        "influence_of_selected_in_other_set",
        "mean influence of the same pairs estimated by the other set, free of selection bias",
    ),
}
_RELIABILITY = "reliability of the scores from all models (Spearman-Brown prediction)"


def quantities(
    scores: Scores,
    pairs: Sequence[Pair],
    found: Sequence[Agreement],
    false: Sequence[int],
    threshold: float,
) -> Rows[Quantity]:
    """Return the rows of reliability.csv.

    `scores` and the selected `pairs` are those of all models; `found` and `false` are the results
    of `agreements` and `false_pairs`; `threshold` is that of memorization.
    """
    value, se = scores.memorization.value, scores.memorization.se
    models = int((scores.memorization.n_in + scores.memorization.n_out).max())
    rows: Rows[Quantity] = Rows(Quantity)

    def add(name: str, values: Sequence[float], meaning: str, count: int = models) -> None:
        known = [value for value in values if value == value]
        mean = float(np.mean(known)) if known else np.nan
        spread = (min(known), max(known)) if len(known) > 1 else (np.nan, np.nan)
        rows.append(Quantity(name, count, mean, *spread, meaning))

    half = max((a.models for a in found), default=0)
    for field, (name, meaning) in _AGREEMENTS.items():
        for size in sorted({a.models for a in found}):
            add(name, [getattr(a, field) for a in found if a.models == size], meaning, size)
        if name.endswith("correlation"):
            halves = [getattr(a, field) for a in found if a.models == half]
            predicted = [spearman_brown(r, models / half) for r in halves]
            add(name.replace("correlation", "reliability"), predicted, _RELIABILITY)
    errors = np.concatenate([block.influence_se.ravel() for block in scores.influence])
    for score, values, of in (
        ("memorization", se, "over training examples"),
        ("influence", errors, "over all pairs within classes"),
    ):
        add(f"{score}_se_median", [float(np.nanmedian(values))], f"median standard error {of}")
        add(f"{score}_se_max", [float(np.nanmax(values))], f"largest standard error {of}")
    other = p_wrong_side(value, se, threshold)
    selected, below = is_selected(pairs, len(value)), value < threshold
    add("examples_selected", [int(selected.sum())], "selected training examples")
    add("pairs_selected", [len(pairs)], "selected pairs")
    add(
        "expected_false_pairs",
        false,
        "pairs selected when the subsets are drawn again and no example has any influence",
    )
    add(
        "expected_false_examples",
        [float(other[selected].sum())],
        "selected examples whose true memorization is expected to be below the threshold",
    )
    add(
        "expected_missed_examples",
        [float(other[below].sum())],
        "examples below the threshold whose true memorization is expected to reach it",
    )
    add(
        "uncertain_examples",
        [int(((other > 0.05) & (selected | below)).sum())],
        "examples on the wrong side of the threshold with a probability above 0.05",
    )
    return rows
