"""Memorization under another recipe: does the other one memorize, and select, the same examples?

Two sets of selected examples differ by chance, too. What chance does is seen in two halves of the
models of one recipe, which share no model and no subset; beside it stand a half of one recipe and
the other half of the other, which differ in the recipe as well.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from scipy import stats

from memaudit import tables
from memaudit.models.removals import block_size


@dataclass(frozen=True)
class Scored:
    """What some models of one recipe say.

    memorization (n_train,), NaN where it is not known; `pairs` (train, test) are those selected.
    """

    memorization: np.ndarray
    pairs: frozenset[tuple[int, int]]

    @property
    def examples(self) -> frozenset[int]:
        """The selected training examples."""
        return frozenset(train for train, _ in self.pairs)


@dataclass(frozen=True)
class Quantity:
    """A row of rescored.csv; `models`: of each of the two studies compared. NaN: cannot be said."""

    quantity: str
    value: float
    models: int
    meaning: str


def halves(models: int, fraction: float) -> tuple[range, range]:
    """Two sets of subset models, as large as can be, each of whole balanced blocks; or empty ones.

    Each is a study of its own: every example is left out equally often in it.
    """
    parts, _ = block_size(fraction)
    size = models // (2 * parts) * parts
    return range(size), range(size, 2 * size)


def _jaccard(one: frozenset, other: frozenset) -> float:
    return len(one & other) / len(one | other) if one or other else float("nan")


def _correlations(one: Scored, other: Scored) -> tuple[float, float]:
    """Pearson's and Spearman's, over the examples that both score."""
    known = ~np.isnan(one.memorization) & ~np.isnan(other.memorization)
    values = one.memorization[known], other.memorization[known]
    if known.sum() < 2 or not np.ptp(values[0]) or not np.ptp(values[1]):
        return float("nan"), float("nan")
    return float(stats.pearsonr(*values).statistic), float(stats.spearmanr(*values).statistic)


def _alike(one: Scored, other: Scored) -> np.ndarray:
    """Pearson's and Spearman's correlation; Jaccard overlap of selected examples, of pairs: (4,)."""
    overlaps = _jaccard(one.examples, other.examples), _jaccard(one.pairs, other.pairs)
    return np.array([*_correlations(one, other), *overlaps])


_ALIKE = {
    "correlation of memorization (Pearson)": "over all examples that both score",
    "correlation of memorization (Spearman)": "the same of ranks",
    "Jaccard overlap of the selected examples": "examples in both, of those in either",
    "Jaccard overlap of the selected pairs": "of a training example and a test example",
}


def compare(
    names: tuple[str, str],
    whole: tuple[Scored, Scored],
    models: int,
    parts: tuple[tuple[Scored, Scored], tuple[Scored, Scored]] | None = None,
    half: int = 0,
) -> list[Quantity]:
    """Two recipes, by all `models` of each and, where there are `parts`, by halves of them.

    `parts[r]` are the two halves of recipe r, `half` models each; None where there are too few.
    """
    first, second = whole
    both = first.examples & second.examples
    rows = []
    for name, mine in zip(names, whole, strict=True):
        rows.append(
            Quantity(
                f"mean memorization under {name}", float(np.nanmean(mine.memorization)), models, ""
            )
        )
    for chosen, by in zip(whole, names, strict=True):
        at = sorted(chosen.examples)
        for name, mine in zip(names, whole, strict=True):
            value = float(np.nanmean(mine.memorization[at])) if at else float("nan")
            quantity = f"mean memorization under {name} of what {by} selects"
            meaning = "chosen for being high: the other recipe's is lower by chance, too"
            rows.append(Quantity(quantity, value, models, meaning))
    for name, mine in zip(names, whole, strict=True):
        rows.append(Quantity(f"examples selected under {name}", len(mine.examples), models, ""))
        rows.append(Quantity(f"pairs selected under {name}", len(mine.pairs), models, ""))
    rows.append(Quantity("examples selected under both", len(both), models, ""))
    rows.append(Quantity("pairs selected under both", len(first.pairs & second.pairs), models, ""))
    compared = [
        (
            f"{names[0]} and {names[1]}",
            _alike(first, second),
            models,
            "; the subsets of both are the same, so that chance is partly shared",
        )
    ]
    if parts:
        for name, (one, other) in zip(names, parts, strict=True):
            why = "; the noise floor: two halves of one recipe's models, none in both"
            compared.append((f"two halves of {name}", _alike(one, other), half, why))
        crossed = [_alike(parts[0][at], parts[1][1 - at]) for at in (0, 1)]
        why = "; a half of one recipe and the other half of the other, beside the noise floor"
        across = f"half of {names[0]} and half of {names[1]}"
        compared.append((across, np.mean(crossed, axis=0), half, why))
    for who, values, count, why in compared:
        rows += [
            Quantity(f"{quantity}: {who}", float(value), count, meaning + why)
            for (quantity, meaning), value in zip(_ALIKE.items(), values, strict=True)
        ]
    return rows


def write_quantities(rows: Sequence[Quantity], path: str | Path) -> None:
    """Write quantities as CSV, a column for each field of `Quantity`; empty where NaN."""
    tables.write(path, [field.name for field in fields(Quantity)], map(astuple, rows), ".4f")
