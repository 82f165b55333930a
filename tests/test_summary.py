"""The summary of a study: what it states about the reliability of the selection."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from conftest import SMALL

from memaudit import bits
from memaudit.buckets.assign import Assignment
from memaudit.models.shards import write_shard
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
    models = [
        summary.Trained("original", "subset", None, "CPU", 60.0, dict.fromkeys(range(60), 99.0))
    ]
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
        models = [summary.Trained("original", "none", 0, "CPU", 60.0, {0: 99.0})]
        text = summary.markdown(config, small_dataset, models, found)
        expected = (
            "test set 1, near-duplicate 2 (1.9 expected to be right), another photograph of the "
            "scene 2 (1.2 expected to be right), subpopulation"
        )
        assert (expected in text) == (kind == "cifar10") == ("to be right" in text)


def test_the_summary_names_models_that_failed_to_learn(tmp_path, small_dataset):
    """Accuracy is that on the examples trained on: 75%, but in trial 2 25%."""
    n = small_dataset.n_train
    given = np.arange(n) < 40
    epochs = np.ones(2, dtype=np.float32)
    rows = [
        {
            "trial": np.int64(trial),
            "train_mask": bits.pack(given),
            "train_correct": bits.pack(np.arange(n) >= (30 if trial == 2 else 10)),
            "test_correct": bits.pack(np.ones(small_dataset.n_test, dtype=bool)),
            "seconds": np.float64(15),
            **dict.fromkeys(("rate", "loss", "train_accuracy", "test_accuracy"), epochs),
        }
        for trial in range(4)
    ]
    attributes = {
        "identity": "any",
        "removal": "subset",
        "n_train": n,
        "n_test": small_dataset.n_test,
        "device": "CPU",
    }
    paths = [tmp_path / "000000-000001.h5", tmp_path / "000002-000003.h5"]
    for path, part in zip(paths, (rows[:2], rows[2:]), strict=True):
        write_shard(path, attributes, part)
    found = summary.trained("original", "subset", paths, n)
    assert (found.models, found.removed, found.seconds) == (4, n - 40, 60)
    assert found.fitted == {0: 75, 1: 75, 2: 25, 3: 75}
    assert found.failed == {2: 25}
    assert replace(found, fitted={0: 75, 1: 38}).failed == {}
    empty = summary.Found(assignments=[], leaks=[], pairs=0, answer="", table="", claims="")
    settings = Study(copy.deepcopy(SMALL)).settings
    text = summary.markdown(settings, small_dataset, [found], empty)
    assert "| 4 | 62.50 (25.00) | 15.0 |" in text
    words = "1 of 4 models of original/subset fit less than half of what the median model fits"
    assert f"{words} (trial 2: 25.00%)" in text
    fine = replace(found, fitted={0: 75, 1: 74})
    assert "Failed" not in summary.markdown(settings, small_dataset, [fine], empty)
