"""How well a study of the generated dataset found what was planted in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from memaudit import tables
from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import Dataset
from memaudit.scores.selection import Pair


@dataclass(frozen=True)
class Check:
    """One measure, from 0 to 1, and the value it should reach."""

    name: str
    value: float
    target: float
    meaning: str

    @property
    def reached(self) -> bool:
        return self.value >= self.target


def _share(part: set, whole: set) -> float:
    return len(part & whole) / len(whole) if whole else float("nan")


def checks(
    dataset: Dataset,
    memorization: np.ndarray,
    pairs: Sequence[Pair],
    duplicates: Sequence[tuple[int, int, str]],
    assignments: Sequence[Assignment],
) -> list[Check]:
    """Compare what was found with `dataset.planted` (see `memaudit.data.longtail`).

    `memorization` (n_train,); `duplicates` are the (train, test, kind) called exact or near.
    """
    planted = dataset.planted
    role, subpopulation = planted["train_role"], planted["train_subpopulation"]
    head = memorization[role == "head"]
    tail = memorization[role != "head"]
    area = np.nan
    if len(tail) and len(head):
        area = stats.mannwhitneyu(tail, head).statistic / (len(tail) * len(head))
    true_pairs = [subpopulation[p.train] == planted["test_subpopulation"][p.test] for p in pairs]
    copies = {(int(i), j) for j, i in enumerate(planted["test_copy_of"]) if i >= 0}
    found = {(train, test) for train, test, _ in duplicates}
    called = {row.example for row in assignments if row.reason == "subpopulation"}
    small = set(np.flatnonzero(role == "small").tolist())
    return [
        Check(
            "memorization_auc",
            float(area),
            0.95,
            "ROC AUC of memorization, planted tail and mislabelled examples against the head",
        ),
        Check(
            "pair_precision",
            float(np.mean(true_pairs)) if true_pairs else float("nan"),
            0.9,
            "selected pairs of a training example and a test example of its subpopulation, or its copy",
        ),
        Check("copy_recall", _share(found, copies), 0.95, "planted copies that were found"),
        Check("copy_precision", _share(copies, found), 0.9, "pairs called copies that are"),
        Check(
            "subpopulation_precision",
            _share(small, called),
            0.8,
            "examples called subpopulation that are of a planted one of two or three",
        ),
        Check(
            "subpopulation_recall",
            _share(called, small),
            0.7,
            "examples of the planted subpopulations of two or three that were called so",
        ),
    ]


def write_checks(results: Sequence[Check], path: str | Path) -> None:
    """Write checks as CSV: check, value, target, reached, meaning."""

    def reached(check: Check) -> bool | str:
        return check.reached if check.value == check.value else "nothing to check"

    rows = ((c.name, c.value, c.target, reached(c), c.meaning) for c in results)
    columns = ("check", "value", "target", "reached", "meaning")
    tables.write(path, columns, rows, {"value": ".4f"})
