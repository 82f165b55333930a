"""The summary of a study: what it states about the reliability of the selection."""

import copy

import numpy as np
import pytest
from conftest import SMALL

from memaudit.buckets.assign import Assignment
from memaudit.results import summary
from memaudit.scores.reliability import Quantity
from memaudit.study.study import Study


@pytest.mark.parametrize(
    ("agreement", "is_unreliable"),
    [((0.9, 0.3), True), ((0.1, 0.7), False), ((0.1, np.nan), False), ((), False)],
)
def test_a_selection_that_two_halves_do_not_share_is_unreliable(
    small_dataset, agreement, is_unreliable
):
    """Only the largest sets count, here of 30 models."""
    rows = [
        Quantity("examples_jaccard", models, value)
        for models, value in zip((8, 30), agreement, strict=False)
    ]
    found = summary.Found(
        assignments=[], leaks=[], pairs=0, answer="", table="", claims="", agreement=rows
    )
    models = [summary.Trained("original", "subset", 60, None, "CPU", 60.0)]
    text = summary.markdown(Study(copy.deepcopy(SMALL)).settings, small_dataset, models, found)
    words = "two disjoint sets of 30 models select examples with a Jaccard index of only 0.30"
    assert (words in text) == is_unreliable == ("unreliable" in text)


def test_the_summary_expects_duplicates_where_probabilities_are_calibrated(small_dataset):
    """Near: 0.9, and 1 by annotation; exact: annotated, so that nothing is expected of it."""
    rows = [
        Assignment(k, "cat", 0.9, "leakage_shift", reason, (k,), probability=chance)
        for k, (reason, chance) in enumerate(
            [("near", 0.9), ("near", None), ("scene", 0.5), ("scene", 0.75), ("exact", None)]
        )
    ]
    found = summary.Found(
        assignments=rows, leaks=[], pairs=5, answer="", table="", claims="", agreement=[]
    )
    settings = Study(copy.deepcopy(SMALL)).settings
    for kind in (settings["dataset"]["kind"], "cifar10"):
        config = settings | {"dataset": settings["dataset"] | {"kind": kind}}
        models = [summary.Trained("original", "none", 1, 0, "CPU", 60.0)]
        text = summary.markdown(config, small_dataset, models, found)
        expected = (
            "test set 1, near-duplicate 2 (1.9 expected to be right), another photograph of the "
            "scene 2 (1.2 expected to be right), subpopulation"
        )
        assert (expected in text) == (kind == "cifar10") == ("to be right" in text)
