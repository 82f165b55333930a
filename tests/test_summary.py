"""The summary of a study: what it states about the reliability of the selection."""

import copy

import numpy as np
import pytest
from conftest import SMALL

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
