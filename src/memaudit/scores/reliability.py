"""How far the scores can be relied on: do other models give the same ones, and select the same?

The subset models are split at random into two sets, by whole balanced blocks (`subset_mask` of
`memaudit.models.removals`), so that each set is a study of its own, and what the two
say is compared: at half of the models, and at fewer, to see what more models would bring.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from scipy.special import ndtr

from memaudit import tables
from memaudit.models.removals import block_size, subset_mask
from memaudit.scores.estimate import influence_blocks, memorization
from memaudit.scores.selection import is_strong
from memaudit.seeds import generator, seed64

SPLITS = 10  # random splits of each size
PARTS = (8, 4, 2)  # the sets compared have 1/8, 1/4 and 1/2 of the models


@dataclass(frozen=True)
class SubsetModels:
    """What the subset models of a study got right.

    mask, train_correct bool (models, n_train), test_correct bool (models, n_test), the labels int64
    (n_train,) and (n_test,); `fraction` of the examples is in each mask. Test examples that have no
    part in the selection are left out.
    """

    mask: np.ndarray
    train_correct: np.ndarray
    test_correct: np.ndarray
    train_labels: np.ndarray
    test_labels: np.ndarray
    fraction: float


@dataclass(frozen=True)
class Agreement:
    """What two sets of `models` models each agree on; NaN where there is nothing to compare.

    `memorization`, `influence`, `of_memorized`: Pearson correlations of the two sets' scores, of
    all training examples, of all pairs of a class, and of the pairs of those training examples whose
    memorization reaches the threshold in either set.
    `examples`, `pairs`: Jaccard index (common to both / in either) of what they select. `here`,
    `there`: mean influence of the pairs that one set selects, by that set and by the other.
    """

    models: int
    memorization: float
    influence: float
    of_memorized: float
    examples: float
    pairs: float
    here: float
    there: float


def sizes(models: int, fraction: float) -> list[int]:
    """How many models the sets to compare have: whole blocks, by `PARTS`, ascending."""
    parts, _ = block_size(fraction)
    return [parts * blocks for blocks in sorted({models // parts // p for p in PARTS} - {0})]


def disjoint_sets(
    models: int, fraction: float, size: int, split: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of `size` models without a common one, of whole blocks: int64 (size,) each.

    Of one `split` the smaller sets are parts of the larger ones' blocks.
    """
    parts, _ = block_size(fraction)
    blocks = generator(seed, "split", split).permutation(models // parts)
    members = (parts * blocks[:, None] + np.arange(parts)).ravel()
    return np.sort(members[:size]), np.sort(members[-size:])


def agreement(
    study: SubsetModels, sets: tuple[np.ndarray, np.ndarray], thresholds: dict[str, float]
) -> Agreement:
    """Compare two sets of models, int64 (models,) each, as `disjoint_sets` gives them.

    `thresholds` are the arguments of `selection.select`. Memory is that of the sets' masks
    and the influence of one class.
    """
    values = [memorization(study.mask[m], study.train_correct[m]).value for m in sets]
    labels = study.train_labels, study.test_labels
    blocks = [influence_blocks(study.mask[m], study.test_correct[m], *labels) for m in sets]
    # by memorization, not influence: pairs picked by the noise of either side would not correlate
    memorized = np.maximum(*values) >= thresholds["memorization"]
    everything, of_memorized = _Correlation(), _Correlation()
    examples = np.zeros((2, len(study.train_labels)), dtype=bool)
    both = either = 0
    here = there = 0.0
    for pair in zip(*blocks, strict=True):
        one, two = (block.influence for block in pair)
        everything.add(one, two)
        reached = memorized[pair[0].train_index]
        of_memorized.add(one[reached], two[reached])
        chosen = [is_strong(b, v, **thresholds) for b, v in zip(pair, values, strict=True)]
        for side, found in enumerate(chosen):
            examples[side, pair[side].train_index] = found.any(axis=1)
            here += float(pair[side].influence[found].sum(dtype=np.float64))
            there += float(pair[1 - side].influence[found].sum(dtype=np.float64))
        both += int((chosen[0] & chosen[1]).sum())
        either += int((chosen[0] | chosen[1]).sum())
    in_all = both + either  # each set's selected pairs, added up
    return Agreement(
        len(sets[0]),
        _Correlation().add(*values).value,
        everything.value,
        of_memorized.value,
        _ratio(int(examples.all(axis=0).sum()), int(examples.any(axis=0).sum())),
        _ratio(both, either),
        _ratio(here, in_all),
        _ratio(there, in_all),
    )


def agreements(study: SubsetModels, thresholds: dict[str, float], seed: int) -> list[Agreement]:
    """`SPLITS` random splits of each of the `sizes`, ascending; none with fewer than two blocks."""
    models = len(study.mask)
    return [
        agreement(study, disjoint_sets(models, study.fraction, size, split, seed), thresholds)
        for size in sizes(models, study.fraction)
        for split in range(SPLITS)
    ]


class _Correlation:
    """Pearson's correlation of values that come in parts."""

    def __init__(self):
        self.sums = np.zeros(6)

    def add(self, x: np.ndarray, y: np.ndarray) -> "_Correlation":
        x, y = (np.asarray(v, dtype=np.float64).ravel() for v in (x, y))
        self.sums += [x.size, x.sum(), y.sum(), x @ x, y @ y, x @ y]
        return self

    @property
    def value(self) -> float:
        n, x, y, xx, yy, xy = self.sums
        if n < 3 or min(n * xx - x * x, n * yy - y * y) <= 1e-9 * n:
            return float("nan")
        return float((n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y)))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def spearman_brown(correlation: float, times: float = 2.0) -> float:
    """What a correlation of scores says of scores from `times` as many models.

    t r / (1 + (t - 1) r), for halves 2 r / (1 + r): the correlation that the latter would have with
    those of as many other models (Spearman 1910, Brown 1910).
    """
    return times * correlation / (1 + (times - 1) * correlation)


def chance_pairs(
    study: SubsetModels, value: np.ndarray, thresholds: dict[str, float], seed: int
) -> list[int]:
    """How many pairs are selected where no example has an influence, in `SPLITS` drawings.

    The models' answers are kept, and their subsets drawn anew, balanced as they are: then none
    depends on any example, and what the rule selects is chance. `value` (n_train,) is the
    memorization of the training examples, which stays as it is.
    """
    models, n_train = study.mask.shape
    labels = study.train_labels, study.test_labels
    found = []
    for draw in range(SPLITS):
        other = seed64(seed, "chance", draw)
        mask = np.array([subset_mask(n_train, m, study.fraction, other) for m in range(models)])
        blocks = influence_blocks(mask, study.test_correct, *labels)
        found.append(sum(int(is_strong(block, value, **thresholds).sum()) for block in blocks))
    return found


def p_other_side(value: np.ndarray, se: np.ndarray, threshold: float) -> np.ndarray:
    """Probability (n,) that a score's true value is on the other side of `threshold`.

    `value`, `se` (n,): estimates and standard errors; normal approximation, no prior. By
    simulation (binomial counts, three distributions of true memorization) its sum over the examples
    above and over those below is 0.8 to 1.4 times the true number at 400 models and more, and 0.8
    to 2.5 times at 60 to 100. A normal prior fitted to the scores, or one fitted without a form,
    did no better: the standard error depends on the value itself.
    """
    return ndtr(-np.abs(value - threshold) / se)


@dataclass(frozen=True)
class Quantity:
    """A row of reliability.csv; `models` is the number that the value is about.

    Where there were several splits, `value` is their mean, `low` and `high` their least and
    greatest.
    """

    quantity: str
    models: int
    value: float
    low: float
    high: float
    meaning: str


MEANINGS = {
    "memorization": "correlation of the memorization of all training examples between two sets of "
    "so many models each without a common one: mean, least and greatest over random splits",
    "influence": "the same of the influence of all pairs of a class; most have next to none, so "
    "this is mostly about noise",
    "of_memorized": "the same of the pairs of those training examples whose memorization reaches the "
    "threshold in either set",
    "examples": "Jaccard index, common to both / in either, of the examples that two such sets select",
    "pairs": "the same of the selected pairs",
    "here": "mean influence of the pairs that one set selects, by that set",
    "there": "mean influence of the same pairs by the other set, which did not choose them: what "
    "is missing to the former is the luck of having been chosen",
}
NAMES = {
    "memorization": "memorization_correlation",
    "influence": "influence_correlation",
    "of_memorized": "memorized_influence_correlation",
    "examples": "examples_jaccard",
    "pairs": "pairs_jaccard",
    "here": "influence_of_selected",
    "there": "influence_of_selected_by_others",
}
WHOLE = (
    "what the correlation of the halves says of all models (Spearman-Brown): the correlation with "
    "the scores that as many other models would give"
)


BY_CHANCE = (
    "pairs that the same rule selects where the models' answers are kept and their subsets drawn "
    "anew, so that no example has an influence: about as many of the selected ones are chance, or "
    "somewhat more; mean, least and greatest of the drawings"
)


def quantities(
    found: Sequence[Agreement],
    models: int,
    memorization: np.ndarray,
    memorization_se: np.ndarray,
    influence_se: tuple[float, float],
    selected: np.ndarray,
    threshold: float,
    pairs: int,
    by_chance: Sequence[int],
) -> list[Quantity]:
    """The rows of reliability.csv.

    `memorization`, `memorization_se` (n_train,) and the (median, greatest) standard error of
    influence are of all `models` models; `selected` bool (n_train,) are the selected examples,
    `pairs` the number of selected pairs, `by_chance` those of `chance_pairs`.
    """
    rows = []
    for name, text in MEANINGS.items():
        for size in sorted({a.models for a in found}):
            values = [getattr(a, name) for a in found if a.models == size]
            rows.append(Quantity(NAMES[name], size, *_mean_and_range(values), text))
        if name in ("memorization", "influence", "of_memorized"):
            half = max((a.models for a in found), default=0)
            values = [
                spearman_brown(getattr(a, name), models / half) for a in found if a.models == half
            ]
            whole = NAMES[name].replace("correlation", "reliability")
            rows.append(Quantity(whole, models, *_mean_and_range(values), WHOLE))
    nothing = float("nan"), float("nan")

    def add(name: str, value: float, meaning: str) -> None:
        rows.append(Quantity(name, models, float(value), *nothing, meaning))

    examples = (
        "of memorization, over the training examples",
        "of influence, over all pairs of a class",
    )
    errors = (np.median(memorization_se), memorization_se.max()), influence_se
    for score, text, values in zip(("memorization", "influence"), examples, errors, strict=True):
        for word, value in zip(("median", "greatest"), values, strict=True):
            add(f"{score}_se_{word}", value, f"{word} standard error {text}")
    wrong = p_other_side(memorization, memorization_se, threshold)
    below = memorization < threshold
    add("examples_selected", selected.sum(), "training examples selected by all models")
    add("pairs_selected", pairs, "pairs selected by all models")
    rows.append(Quantity("pairs_by_chance", models, *_mean_and_range(by_chance), BY_CHANCE))
    add(
        "expected_wrongly_in",
        wrong[selected].sum(),
        "selected examples whose true memorization is expected to be below the threshold: the sum "
        "of their probabilities of it (p_other_side in reliability_examples.csv); whether their "
        "influence reaches its threshold is another question, which examples_jaccard holds too",
    )
    add(
        "expected_wrongly_out",
        wrong[below].sum(),
        "examples whose memorization is below the threshold though its true value is expected to "
        "reach it: the sum of their probabilities; not all of them influence a test example",
    )
    add(
        "uncertain_examples",
        ((wrong > 0.05) & (selected | below)).sum(),
        "examples, selected or below the threshold, that are on the wrong side of it with a "
        "probability of more than 0.05",
    )
    return rows


def _mean_and_range(values: Sequence[float]) -> tuple[float, float, float]:
    """(mean, least, greatest) of the values that are there; NaN where none is."""
    there = [value for value in values if value == value]
    if not there:
        return (float("nan"),) * 3
    return float(np.mean(there)), min(there), max(there)


def write_quantities(rows: Sequence[Quantity], path: str | Path) -> None:
    """Write the rows as CSV; what cannot be said is an empty cell."""
    tables.write(path, [field.name for field in fields(Quantity)], map(astuple, rows))


def write_examples(
    value: np.ndarray,
    se: np.ndarray,
    selected: np.ndarray,
    threshold: float,
    path: str | Path,
) -> None:
    """Write a row a training example as CSV: memorization, its error, selected, `p_other_side`."""
    wrong = p_other_side(value, se, threshold)
    columns = ("example", "memorization", "memorization_se", "selected", "p_other_side")
    numbers = (array.tolist() for array in (np.arange(len(value)), value, se, selected, wrong))
    digits = {"memorization": ".6g", "memorization_se": ".6g"}
    tables.write(path, columns, zip(*numbers, strict=True), digits)
