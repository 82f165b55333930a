"""Compare the memorization and the selections of two recipes.

Selections differ between sets of models even under one recipe. Two disjoint halves of the models of
one recipe show by how much; a half of one recipe and the other half of the other recipe, which
differ in the recipe as well, are compared with that.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from memaudit.results.statistics import correlation
from memaudit.scores.reliability import Quantity, jaccard
from memaudit.tables import Rows


@dataclass(frozen=True)
class Scored:
    """Memorization (n_train,), NaN where unknown, and the selected pairs (train, test)."""

    memorization: np.ndarray
    pairs: frozenset[tuple[int, int]]

    @property
    def examples(self) -> frozenset[int]:
        """The selected training examples."""
        return frozenset(train for train, _ in self.pairs)


def _overlap(one: Collection[object], other: Collection[object]) -> float:
    return jaccard(len({*one} & {*other}), len({*one} | {*other}))


def _similarities(one: Scored, other: Scored) -> dict[str, float]:
    known = ~np.isnan(one.memorization) & ~np.isnan(other.memorization)
    values = one.memorization[known], other.memorization[known]
    return {
        "correlation of memorization (Pearson)": correlation(*values),
        "correlation of memorization (Spearman)": correlation(*(rankdata(v) for v in values)),
        "Jaccard index of selected examples": _overlap(one.examples, other.examples),
        "Jaccard index of selected pairs": _overlap(one.pairs, other.pairs),
    }


def compare(
    names: tuple[str, str],
    all_models: tuple[Scored, Scored],
    models: int,
    halves: tuple[tuple[Scored, Scored], tuple[Scored, Scored]] | None = None,
    half: int = 0,
) -> Rows[Quantity]:
    """Return the rows of rescored.csv, which compares the recipes `names`.

    `all_models` are the scores from all `models` models of each recipe; ``halves[r]`` those from
    two disjoint sets of `half` models of recipe r, None if there are too few models.
    """
    first, second = all_models
    rows: Rows[Quantity] = Rows(Quantity)

    def add(quantity: str, value: float, count: int = models, meaning: str = "") -> None:
        rows.append(Quantity(quantity, count, float(value), meaning=meaning))

    for name, mine in zip(names, all_models, strict=True):
        add(f"mean memorization under {name}", np.nanmean(mine.memorization))
    for chosen, by in zip(all_models, names, strict=True):
        at = sorted(chosen.examples)
        for name, mine in zip(names, all_models, strict=True):
            value = np.nanmean(mine.memorization[at]) if at else np.nan
            meaning = (
                "" if name == by else "lower by regression to the mean, even without an effect"
            )
            add(
                f"mean memorization under {name} of examples selected under {by}",
                value,
                models,
                meaning,
            )
    for name, mine in zip(names, all_models, strict=True):
        add(f"examples selected under {name}", len(mine.examples))
        add(f"pairs selected under {name}", len(mine.pairs))
    add("examples selected under both", len(first.examples & second.examples))
    add("pairs selected under both", len(first.pairs & second.pairs))
    for quantity, value in _similarities(first, second).items():
        meaning = "same subsets under both recipes, so part of the randomness is shared"
        add(f"{quantity}: {names[0]} and {names[1]}", value, models, meaning)
    if halves:
        for name, (one, other) in zip(names, halves, strict=True):
            for quantity, value in _similarities(one, other).items():
                meaning = "split half: disjoint sets of models of one recipe"
                add(f"{quantity}: two halves of {name}", value, half, meaning)
        crossed = [_similarities(halves[0][at], halves[1][1 - at]) for at in (0, 1)]
        for quantity in crossed[0]:
            value = float(np.mean([found[quantity] for found in crossed]))
            meaning = "disjoint sets of models of the two recipes; compare with the split halves"
            add(f"{quantity}: half of {names[0]} and half of {names[1]}", value, half, meaning)
    return rows
