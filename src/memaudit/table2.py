"""Table 2: how far test accuracy falls when a set of points is removed, against a control."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy import stats

from memaudit import store
from memaudit.errors import AuditError
from memaudit.models.shards import Origin, read_shards
from memaudit.removals import CONTROL

# The paper's Table 2: drop and "+/-" in percentage points, CIFAR-100, ResNet-50. What its "+/-" is
# the paper does not say.
PUBLISHED = {
    ("original", "selected"): (2.54, 0.20),
    ("converged", "selected"): (1.78, 0.32),
    ("converged", "leakage_shift"): (1.25, 0.32),
    ("converged", "memorized"): (0.54, 0.29),
}
PAPER_COLUMNS = {
    ("original", "selected"): "Original",
    ("converged", "selected"): "Model convergence",
    ("converged", "leakage_shift"): "Leakage + Shift",
    ("converged", "memorized"): "Memorized",
}

# Every column of table2.csv, with what it means: the one place that says so.
COLUMNS = {
    "paper_column": "the column of the paper's Table 2 that the row answers; empty for the others",
    "recipe": "how the models were trained",
    "removal": "the points left out; random_X are as many points of the same classes as X, drawn "
    "anew for each model",
    "n_removed": "number of training points left out",
    "n_models_full": "models trained on all points",
    "n_models_reduced": "models trained without the points",
    "acc_full": "mean test accuracy of the former, percent",
    "sd_full": "standard deviation over those models, percentage points",
    "acc_reduced": "mean test accuracy of the latter, percent",
    "sd_reduced": "standard deviation over those models, percentage points",
    "drop": "acc_full - acc_reduced, percentage points",
    "sd": "standard deviation of the difference of two single models, sqrt(sd_full^2 + "
    "sd_reduced^2): how much one pair of trainings varies, not how sure the drop is",
    "se": "standard error of the drop: how sure the drop is, as far as training is random",
    "ci_low": "lower end of the 95 % interval of the drop (Welch), percentage points",
    "ci_high": "its upper end",
    "drop_leak_free": "the drop of accuracy on those test points that have no duplicate in the "
    "training set (leak_free_test.txt), percentage points; empty where there is none",
    "drop_leak_free_low": "lower end of its 95 % interval (Welch)",
    "drop_leak_free_high": "its upper end",
    "published_drop": "the paper's drop, for CIFAR-100 with a ResNet-50, percentage points",
    "published_sd": "the number after the paper's +/-, which it does not define",
}


@dataclass(frozen=True)
class Drop:
    """The fall in accuracy between two groups of models; percentage points.

    `sd`, `se` and the 95 % interval are NaN where a group has one model: nothing can be said then.
    """

    drop: float
    sd: float
    se: float
    ci_low: float
    ci_high: float


def welch_drop(full: np.ndarray, reduced: np.ndarray, level: float = 0.95) -> Drop:
    """Drop from `full` to `reduced`, test accuracies (models,), with Welch's interval."""
    drop = float(np.mean(full) - np.mean(reduced))
    if min(len(full), len(reduced)) < 2:
        return Drop(drop, *[float("nan")] * 4)
    variances = np.array([np.var(full, ddof=1), np.var(reduced, ddof=1)])
    parts = variances / [len(full), len(reduced)]
    se = float(np.sqrt(parts.sum()))
    if se == 0:
        return Drop(drop, 0.0, 0.0, drop, drop)
    freedom = parts.sum() ** 2 / (parts**2 / [len(full) - 1, len(reduced) - 1]).sum()
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * se
    return Drop(drop, float(np.sqrt(variances.sum())), se, drop - half, drop + half)


def gather_accuracies(
    arms: Sequence[tuple[Origin, str, Sequence[str]]], trials: range, path: str | Path
) -> None:
    """Gather the test accuracy of every model of every arm, by `memaudit.store.ACCURACIES`.

    An arm is (how its models must have been trained, the recipe's name, the shards). Raises what
    `read_shards` raises, and AuditError when models of an arm removed different numbers.
    """
    with store.create(path, store.ACCURACIES, {}) as out:
        for origin, recipe, paths in arms:
            removal = origin.removal
            arm = read_shards(list(paths), trials, ["test_correct", "train_mask"], origin)
            removed = (~arm["train_mask"]).sum(axis=1)
            if len(set(removed.tolist())) > 1:
                raise AuditError(
                    f"{recipe}, {removal}: models were trained without {sorted(set(removed))} "
                    f"points; delete {Path(paths[0]).parent} and run the same command again"
                )
            group = f"{recipe}/{removal}"
            out.add(f"{group}/trial", np.array(trials))
            out.add(f"{group}/test_accuracy", 100 * arm["test_correct"].mean(axis=1))
            out.add(f"{group}/test_correct", store.pack(arm["test_correct"]))
            out.add(f"{group}/n_removed", removed)


def _accuracy_on(points: np.ndarray, arm: h5py.Group) -> np.ndarray:
    """Accuracy of an arm's models on some of the test points, percent (models,); NaN on none."""
    bits = arm["test_correct"][:]
    correct = store.unpack(bits, 8 * bits.shape[1])[:, points]
    return 100 * correct.mean(axis=1) if len(points) else np.full(len(bits), np.nan)


def table_rows(
    accuracies: str | Path, arms: Sequence[tuple[str, str]], leak_free: np.ndarray
) -> list[dict]:
    """The rows of Table 2 for `arms`, each compared with the recipe's models on all points.

    `leak_free` are the test points, int64 (points,), of the drop without leaks.
    """
    rows = []
    with store.reading(accuracies, store.ACCURACIES) as file:
        for recipe, removal in arms:
            arm, everything = file[f"{recipe}/{removal}"], file[f"{recipe}/none"]
            full, reduced = everything["test_accuracy"][:], arm["test_accuracy"][:]
            n_removed = int(arm["n_removed"][0])
            drop = welch_drop(full, reduced)
            clean = welch_drop(_accuracy_on(leak_free, everything), _accuracy_on(leak_free, arm))
            if not n_removed:  # the same models, not other ones of equal accuracy
                drop = Drop(0.0, 0.0, 0.0, 0.0, 0.0)
                clean = drop if len(leak_free) else clean
            published = PUBLISHED.get((recipe, removal), (None, None))
            rows.append(
                {
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
                    "drop": drop.drop,
                    "sd": drop.sd,
                    "se": drop.se,
                    "ci_low": drop.ci_low,
                    "ci_high": drop.ci_high,
                    "drop_leak_free": clean.drop,
                    "drop_leak_free_low": clean.ci_low,
                    "drop_leak_free_high": clean.ci_high,
                    "published_drop": published[0],
                    "published_sd": published[1],
                }
            )
    return rows


def write_csv(rows: Sequence[dict], path: str | Path) -> None:
    """Write rows as CSV; what cannot be said is an empty cell."""

    def cell(value) -> str:
        if value is None or value != value:  # None or NaN
            return ""
        return f"{value:.4f}" if isinstance(value, float) else str(value)

    with store.whole(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([cell(row[column]) for column in COLUMNS] for row in rows)


def read_csv(path: str | Path) -> list[dict[str, str]]:
    """Read a table as text, a dict a row."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def markdown(rows: Sequence[dict], title: str) -> str:
    """The table for readers: the paper's columns, then the controls, then what the words mean."""
    lines = [
        f"# {title}",
        "",
        "Test accuracy lost when points are removed from training, in percentage points.",
        "",
        "| row | recipe | removed | points | models | accuracy, % | drop | 95 % interval | se | "
        "drop, leak-free | published (CIFAR-100) |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        is_control = row["removal"].startswith(CONTROL)
        name = row["paper_column"] or ("*random control*" if is_control else "")
        interval, se, published = "none: one model", "", ""
        if row["se"] == row["se"]:
            interval, se = f"{row['ci_low']:.2f} to {row['ci_high']:.2f}", f"{row['se']:.2f}"
        clean = row["drop_leak_free"]
        clean = f"{clean:.2f}" if clean == clean else "none left"
        if row["published_drop"] is not None:
            published = f"{row['published_drop']} ± {row['published_sd']}"
        lines.append(
            f"| {name} | {row['recipe']} | {row['removal']} | {row['n_removed']} "
            f"| {row['n_models_full']} / {row['n_models_reduced']} "
            f"| {row['acc_full']:.2f} → {row['acc_reduced']:.2f} | {row['drop']:.2f} | {interval} "
            f"| {se} | {clean} | {published} |"
        )
    lines += [
        "",
        "The published values are the paper's, for CIFAR-100 and a ResNet-50; other data need not "
        "agree with them. The columns of `table2.csv`:",
        "",
        *(f"- `{name}`: {meaning}" for name, meaning in COLUMNS.items()),
        "",
    ]
    return "\n".join(lines)
