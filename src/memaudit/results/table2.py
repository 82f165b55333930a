"""Table 2: how far test accuracy falls when a set of examples is removed, against a control."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memaudit import tables
from memaudit.models.removals import CONTROL
from memaudit.results import statistics
from memaudit.results.accuracies import read_arms
from memaudit.results.statistics import Arm, Drop, Estimate, TwoWay, welch_drop

# The paper's Table 2: drop and "+/-" in percentage points, CIFAR-100, ResNet-50. What its "+/-" is
# the paper does not say.
PUBLISHED = {
    ("original", "selected"): (2.54, 0.20),
    ("weight_decay", "selected"): (1.78, 0.32),
    ("weight_decay", "leakage_shift"): (1.25, 0.32),
    ("weight_decay", "memorized"): (0.54, 0.29),
}
PAPER_COLUMNS = {
    ("original", "selected"): "Original",
    ("weight_decay", "selected"): "Model convergence",
    ("weight_decay", "leakage_shift"): "Leakage + Shift",
    ("weight_decay", "memorized"): "Memorized",
}

# Every column of table2.csv, with what it means: the one place that says so.
COLUMNS = {
    "paper_column": "the column of the paper's Table 2 that the row answers; empty for the others",
    "recipe": "how the models were trained: original, without weight decay, or weight_decay, the same "
    "with it",
    "removal": "the examples left out. selected: all that are memorized and influence a test example; "
    "leakage_shift: those of them with a duplicate in the test set or in a subpopulation, which "
    "share the test examples they influence; memorized: the others of them; random_X, the control "
    "of X: as many examples of the same classes, drawn anew for each trial, the same in both recipes "
    "and the smaller controls part of the larger ones; any other name: a list of the study's own",
    "n_removed": "number of training examples left out",
    "n_models_full": "models trained on all examples",
    "n_models_reduced": "models trained without the examples",
    "acc_full": "mean test accuracy of the former, percent",
    "sd_full": "standard deviation over those models, percentage points",
    "acc_reduced": "mean test accuracy of the latter, percent",
    "sd_reduced": "standard deviation over those models, percentage points; of a control it holds "
    "the spread of its random draws too, one for each trial",
    "draws_sd": "of a control: standard deviation over its random draws of examples alone, "
    "percentage points, sqrt(sd_reduced^2 - sd_full^2), taking training to vary as much as on all "
    "examples (models that are right less often vary more by themselves, so it is rather too large); "
    "0 where that alone explains sd_reduced; empty for the others, which are not drawn",
    "draws_sd_low": "lower end of its 95 % interval (Zou & Donner's for a difference of variances)",
    "draws_sd_high": "its upper end",
    "drop": "acc_full - acc_reduced, percentage points",
    "sd": "standard deviation of the difference of two single models, sqrt(sd_full^2 + "
    "sd_reduced^2): how much one pair of trainings varies, not how sure the drop is",
    "se": "standard error of the drop: how sure the drop is on these test images, as far as "
    "training is random",
    "ci_low": "lower end of the 95 % interval of the drop over models, for these test images "
    "(Welch's, which lets the two arms vary differently), percentage points",
    "ci_high": "its upper end",
    "seed_correlation": "correlation of acc_full and acc_reduced over the models that share a "
    "trial, and so their seeds; empty with fewer than four, or where models do not differ",
    "seed_correlation_low": "lower end of its 95 % interval (Fisher's, on the scale of arctanh)",
    "seed_correlation_high": "its upper end. Where the interval excludes 0, models are compared "
    "trial by trial (paired) in all columns from here on; a difference of other arms than these "
    "two goes by their own correlation in the same way. With 20 models or fewer and a true "
    "correlation below 0, which too few models show, 95 % intervals hold the truth in 91 to 94 % "
    "of studies",
    "paired_low": "lower end of the 95 % interval of the drop over pairs of models, for these test "
    "images (Student); empty where models are not paired",
    "paired_high": "its upper end",
    "boot_low": "lower end of the 95 % interval of the drop for other models and other test images "
    "of the same kind: two-way bootstrap, scaled to the variance components. It takes the "
    "examples as given: where they were chosen by their influence on these very test images, the "
    "drop on other images tends to be smaller (see drop_held_out). With fewer than about ten test "
    "images that change (affected.csv) it is too short above. All intervals that follow are of "
    "this kind",
    "boot_high": "its upper end",
    "p_holm": "p of the hypothesis that the drop is 0, two-sided, with the standard error behind "
    "boot_low (models and images) in a t test, so at the border it and that interval may differ; "
    "Holm-adjusted over all rows that are no controls: below 0.05 "
    "there is a drop or a gain; of examples chosen without these test images a table says so "
    "wrongly, of any row, in at most 5 % of studies",
    "tost_p": "p of the hypothesis that the drop is the margin (statistics.margin) or more, up or "
    "down (two one-sided t tests, not adjusted): below 0.05 the drop is smaller than the margin. "
    "Its standard error counts the choice of images at least as much as if the drop were the "
    "margin and its images lost by every model: a few images in a thousand vary as rare events do",
    "drop_vs_random": "the drop less that of its random control, percentage points: what these "
    "examples cost beyond any as many of their classes. The models on all examples cancel. The "
    "control is drawn from all examples of a class, these among them: where they are a large part of "
    "it, this is too small",
    "drop_vs_random_low": "lower end of its 95 % interval",
    "drop_vs_random_high": "its upper end",
    "p_vs_random": "p of the hypothesis that the drop is that of the control, two-sided, with the "
    "standard error behind that interval, Holm-adjusted like p_holm, as a family of its own",
    "interaction": "the drop less that of the recipe original for the same removal, percentage "
    "examples: how weight decay changes it; empty where there is no such other row",
    "interaction_low": "lower end of its 95 % interval",
    "interaction_high": "its upper end",
    "drop_leak_free": "the drop of accuracy on those test examples that have no duplicate in the "
    "training set (leak_free_test.txt), percentage points; empty where there is none",
    "drop_leak_free_low": "lower end of its 95 % interval",
    "drop_leak_free_high": "its upper end",
    "drop_held_out": "the drop of accuracy on the half of the test examples that had no part in "
    "the selection, percentage points; empty unless selection.held_out_half is true",
    "drop_held_out_low": "lower end of its 95 % interval",
    "drop_held_out_high": "its upper end",
    "published_drop": "the paper's drop, for CIFAR-100 with a ResNet-50, percentage points",
    "published_sd": "the number after the paper's +/-, which it does not define",
}
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Settings:
    """What the table's statistics depend on.

    `margin` of equivalence in percentage points, `bootstrap` draws, the study's `seed`.
    """

    margin: float = 0.25
    bootstrap: int = 2000
    seed: int = 0


def table_rows(
    accuracies: str | Path,
    rows: Sequence[tuple[str, str]],
    n_test: int,
    leak_free: np.ndarray,
    held_out: np.ndarray,
    settings: Settings,
) -> list[dict]:
    """The rows of Table 2, each (recipe, removal) compared with the recipe's models on all examples.

    Of the `n_test` test examples, `leak_free` are those of the drop without leaks and `held_out`
    those that had no part in the selection, int64 (examples,) each. A row has a value for each of
    `COLUMNS`; what cannot be said is NaN, or None.
    """
    arms, removed = read_arms(accuracies, rows, n_test)
    tests = {
        "": Contrasts(arms, removed, settings),
        "drop_leak_free": Contrasts(_on(arms, leak_free), removed, settings),
        "drop_held_out": Contrasts(_on(arms, held_out), removed, settings),
    }
    table = [_row(recipe, removal, arms, removed, tests, settings) for recipe, removal in rows]
    _adjust(table)
    return table


def _on(arms: dict[str, Arm], images: np.ndarray) -> dict[str, Arm]:
    return {name: arm.on(images) for name, arm in arms.items()}


class Contrasts:
    """Differences between arms by the two-way bootstrap, on one set of test images.

    `arms` and `removed` as `read_arms` gives them, percentage points throughout.
    """

    def __init__(self, arms: dict[str, Arm], removed: dict[str, int], settings: Settings):
        self.removed = removed
        self.two_way = TwoWay(arms, settings.bootstrap, settings.seed)
        # with nothing removed: the same models, not other ones of equal accuracy
        self.names = {
            name: name if count else f"{name.partition('/')[0]}/none"
            for name, count in removed.items()
        }

    def contrast(self, plus: Sequence[str], minus: Sequence[str]) -> Estimate | None:
        """Accuracies of the arms `plus` less those of `minus`; None where there is no such arm."""
        if not {*plus, *minus} <= self.names.keys():
            return None
        sides = ([self.names[name] for name in side] for side in (plus, minus))
        return self.two_way.contrast(*sides)

    def drop(self, recipe: str, removal: str) -> Estimate | None:
        """How far accuracy falls from the models on all examples."""
        return self.contrast([f"{recipe}/none"], [f"{recipe}/{removal}"])

    def beyond_random(self, recipe: str, removal: str) -> Estimate | None:
        """The drop less its control's: both from the same models on all examples, which cancel."""
        return self.contrast([f"{recipe}/{CONTROL}{removal}"], [f"{recipe}/{removal}"])

    def interaction(self, recipe: str, removal: str) -> Estimate | None:
        """The drop less that of the original recipe; None for that recipe."""
        if recipe == "original":
            return None
        return self.contrast(
            [f"{recipe}/none", f"original/{removal}"], [f"{recipe}/{removal}", "original/none"]
        )


def _row(
    recipe: str,
    removal: str,
    arms: dict[str, Arm],
    removed: dict[str, int],
    tests: dict[str, Contrasts],
    settings: Settings,
) -> dict:
    """A row; its p_holm and p_vs_random are not adjusted yet."""
    everything, arm = arms[f"{recipe}/none"], arms[f"{recipe}/{removal}"]
    full, reduced = everything.accuracy, arm.accuracy
    n_removed = removed[f"{recipe}/{removal}"]
    drop = welch_drop(full, reduced) if n_removed else Drop(0.0, 0.0, 0.0, 0.0, 0.0)
    both = tests[""].drop(recipe, removal)
    _, *of = np.intersect1d(everything.trials, arm.trials, return_indices=True)
    common = full[of[0]], reduced[of[1]]
    correlation = statistics.correlation(*common) if n_removed else (np.nan,) * 3
    paired = statistics.paired_interval(full, reduced) if both.paired else (np.nan,) * 2
    published = PUBLISHED.get((recipe, removal), (None, None))
    is_drawn = removal.startswith(CONTROL) and n_removed
    draws = statistics.extra_sd(reduced, full) if is_drawn else (np.nan,) * 3
    row = {
        "paper_column": PAPER_COLUMNS.get((recipe, removal), ""),
        "recipe": recipe,
        "removal": removal,
        "n_removed": n_removed,
        "n_models_full": len(full),
        "n_models_reduced": len(reduced),
        "acc_full": full.mean(),
        "sd_full": np.std(full, ddof=1) if len(full) > 1 else np.nan,
        "acc_reduced": reduced.mean(),
        "sd_reduced": np.std(reduced, ddof=1) if len(reduced) > 1 else np.nan,
        "draws_sd": draws[0],
        "draws_sd_low": draws[1],
        "draws_sd_high": draws[2],
        "drop": drop.drop,
        "sd": drop.sd,
        "se": drop.se,
        "ci_low": drop.ci_low,
        "ci_high": drop.ci_high,
        "seed_correlation": correlation[0],
        "seed_correlation_low": correlation[1],
        "seed_correlation_high": correlation[2],
        "paired_low": paired[0],
        "paired_high": paired[1],
        "boot_low": both.low,
        "boot_high": both.high,
        "p_holm": statistics.no_effect(both) if n_removed else np.nan,
        "tost_p": statistics.equivalence(both, settings.margin) if n_removed else np.nan,
        "published_drop": published[0],
        "published_sd": published[1],
    }
    others = {
        "drop_vs_random": tests[""].beyond_random(recipe, removal),
        "interaction": tests[""].interaction(recipe, removal),
        "drop_leak_free": tests["drop_leak_free"].drop(recipe, removal),
        "drop_held_out": tests["drop_held_out"].drop(recipe, removal),
    }
    vs_random = others["drop_vs_random"]
    row["p_vs_random"] = statistics.no_effect(vs_random) if vs_random and n_removed else np.nan
    for name, found in others.items():
        found = found or Estimate(np.nan)
        row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return {column: row[column] for column in COLUMNS}


def _adjust(table: list[dict]) -> None:
    """Adjust both p: the family are the rows that are no controls; a control has none."""
    for row in table:
        if row["removal"].startswith(CONTROL):
            row["p_holm"] = np.nan
    for name in ("p_holm", "p_vs_random"):
        family = [row for row in table if not np.isnan(row[name])]
        for row, p in zip(family, statistics.holm([row[name] for row in family]), strict=True):
            row[name] = float(p)


DIGITS = dict.fromkeys(COLUMNS, ".4f") | dict.fromkeys(("p_holm", "p_vs_random", "tost_p"), ".3g")


def write_csv(rows: Sequence[dict], path: str | Path, columns: Iterable[str] = COLUMNS) -> None:
    """Write rows as CSV; what cannot be said is an empty cell."""
    columns = list(columns)
    formats = dict.fromkeys(columns, ".4f") | DIGITS
    tables.write(path, columns, ([row[column] for column in columns] for row in rows), formats)
