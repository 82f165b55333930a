"""How well a study of synthetic data recovers the planted structure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import Dataset
from memaudit.scores.selection import Pair
from memaudit.tables import column


@dataclass(frozen=True, kw_only=True)
class Check:
    """One measure from 0 to 1 and the value it should reach: a row of planted.csv."""

    check: str
    """name of the check"""
    value: float
    """value found, 0 to 1; empty if nothing was planted to check"""
    target: float = column(digits="g")
    """value to reach with 140 subset models, 0 to 1"""
    reached: str
    """`yes`, `no` or `nothing to check`"""
    meaning: str
    """what `value` is"""


def _check(name: str, value: float, target: float, meaning: str) -> Check:
    reached = "yes" if value >= target else "no" if value == value else "nothing to check"
    return Check(check=name, value=value, target=target, reached=reached, meaning=meaning)


def _share(part: set[Any], whole: set[Any]) -> float:
    return len(part & whole) / len(whole) if whole else np.nan


def checks(
    dataset: Dataset,
    memorization: npt.NDArray[np.floating[Any]],
    pairs: Sequence[Pair],
    duplicates: Sequence[tuple[int, int, str]],
    assignments: Sequence[Assignment],
) -> list[Check]:
    """Return the checks of how much of `dataset.planted` was found (see `memaudit.data.longtail`).

    `memorization` (n_train,); `duplicates` are the (train, test, kind) reported as exact or near.
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
        _check(
            "memorization_auc",
            float(area),
            0.95,
            "ROC AUC of memorization for planted tail and mislabelled examples versus head "
            "examples",
        ),
        _check(
            "pair_precision",
            float(np.mean(true_pairs)) if true_pairs else np.nan,
            0.9,
            "share of selected pairs whose two examples belong to the same planted subpopulation",
        ),
        _check(
            "copy_recall",
            _share(found, copies),
            0.95,
            "share of planted duplicates that were found",
        ),
        _check(
            "copy_precision",
            _share(copies, found),
            0.9,
            "share of reported duplicates that were planted",
        ),
        _check(
            "subpopulation_precision",
            _share(small, called),
            0.8,
            "share of examples assigned to a subpopulation that are in a planted one of two or "
            "three",
        ),
        _check(
            "subpopulation_recall",
            _share(called, small),
            0.7,
            "share of examples in planted subpopulations of two or three that were assigned to one",
        ),
    ]
