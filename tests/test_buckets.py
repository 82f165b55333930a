"""Selection, buckets and the table, on cases small enough to work out by hand."""

import csv

import numpy as np
import pytest
from scipy import stats

from memaudit import scores, store, table2
from memaudit.buckets import assign, read_buckets, removal_lists, write_buckets
from memaudit.selection import Pair, read_pairs, select_pairs, write_pairs
from memaudit.table2 import welch_drop


def pair(train, test, label=0):
    return Pair(train, test, label, 0.8, 0.05, 0.4, 0.05)


def linked(*links):
    return np.array(links, dtype=np.int64).reshape(-1, 2)


@pytest.fixture
def score_file(tmp_path):
    """Two classes of two train points and two test points, 100 models.

    Points 0 and 2 are right exactly when trained on; point 1 always; point 3 half of the time.
    Test points 0 and 2 follow train points 0 and 2; test point 1 always wrong; test 3 at random.
    """
    rng = np.random.default_rng(0)
    mask = rng.random((100, 4)) < 0.5
    train, test = mask.copy(), np.zeros((100, 4), dtype=bool)
    train[:, 1] = True
    train[:, 3] = rng.random(100) < 0.5
    test[:, [0, 2]] = mask[:, [0, 2]]
    test[:, 3] = rng.random(100) < 0.5
    labels = np.array([0, 0, 1, 1])
    scores.write_scores(tmp_path / "scores.h5", mask, train, test, labels, labels)
    return tmp_path / "scores.h5"


def test_selection_takes_memorized_points_that_matter(score_file):
    pairs = select_pairs(score_file, memorization=0.25, influence=0.15, z=3)
    assert [(p.train, p.test, p.label) for p in pairs] == [(0, 0, 0), (2, 2, 1)]
    assert pairs[0].memorization == pytest.approx(1)
    assert pairs[0].influence == pytest.approx(1)


def test_thresholds_and_significance_each_take_away(score_file):
    everything = select_pairs(score_file, memorization=-1, influence=-1, z=0)
    assert all(p.influence > 0 for p in everything)
    unsure = select_pairs(score_file, memorization=-1, influence=0.01, z=0)
    sure = select_pairs(score_file, memorization=-1, influence=0.01, z=5)
    assert {(p.train, p.test) for p in sure} == {(0, 0), (2, 2)}
    assert len(unsure) > len(sure)
    assert not select_pairs(score_file, memorization=0.25, influence=1.0, z=100)


def test_pairs_there_and_back(tmp_path):
    pairs = [pair(3, 5, 1), pair(3, 6, 1)]
    write_pairs(pairs, tmp_path / "pairs.csv")
    assert read_pairs(tmp_path / "pairs.csv") == pairs


def test_every_point_gets_one_bucket_and_its_reason(tmp_path):
    pairs = [pair(1, 10), pair(2, 10), pair(2, 11), pair(3, 12), pair(4, 13), pair(5, 14)]
    duplicates = [
        (4, 40, "near", "published annotation"),
        (1, 41, "exact", "rule"),
        (1, 42, "near", "rule"),
        (9, 43, "exact", "rule"),
    ]
    found = assign(pairs, duplicates, linked((1, 2)), ["ant"])
    assert [(a.index, a.bucket, a.reason, a.test_points) for a in found] == [
        (1, "leakage_shift", "exact", (41,)),
        (2, "leakage_shift", "sub-population", (10,)),
        (3, "memorized", "none", (12,)),
        (4, "leakage_shift", "near", (40,)),
        (5, "memorized", "none", (14,)),
    ]
    assert [a.index for a in found if a.decided_by == "published annotation"] == [4]
    assert removal_lists(found) == {
        "selected": [1, 2, 3, 4, 5],
        "leakage_shift": [1, 2, 4],
        "memorized": [3, 5],
    }
    write_buckets(found, tmp_path / "buckets.csv")
    assert read_buckets(tmp_path / "buckets.csv") == found
    with open(tmp_path / "buckets.csv", newline="") as file:
        header = next(csv.reader(file))
    assert header[:6] == ["index", "class", "memorization", "bucket", "reason", "test_points"]


def test_nothing_selected_gives_empty_lists():
    assert removal_lists(assign([], [(1, 2, "exact", "rule")], linked(), ["ant"])) == {
        "selected": [],
        "leakage_shift": [],
        "memorized": [],
    }


def test_the_interval_is_welchs(rng):
    full, reduced = rng.normal(76, 0.28, 30), rng.normal(73.5, 0.6, 20)
    found = welch_drop(full, reduced)
    reference = stats.ttest_ind(full, reduced, equal_var=False).confidence_interval(0.95)
    assert found.drop == pytest.approx(full.mean() - reduced.mean())
    assert (found.ci_low, found.ci_high) == pytest.approx((reference.low, reference.high))
    assert found.sd == pytest.approx(np.hypot(full.std(ddof=1), reduced.std(ddof=1)))
    assert found.se < found.sd / 4


def test_one_model_gives_a_drop_and_no_interval():
    found = welch_drop(np.array([76.0]), np.array([74.0, 75.0]))
    assert found.drop == pytest.approx(1.5)
    assert np.isnan([found.sd, found.se, found.ci_low, found.ci_high]).all()


def test_models_that_all_agree():
    found = welch_drop(np.array([76.0, 76.0]), np.array([75.0, 75.0]))
    assert (found.se, found.ci_low, found.ci_high) == (0, 1, 1)


@pytest.fixture
def accuracies(tmp_path):
    """Four models on all points and four without: what each gets right of ten test points.

    Removal costs every model test point 9, and one model test point 0 too.
    """
    full = np.ones((4, 10), dtype=bool)
    full[0, 5] = False
    reduced = full.copy()
    reduced[:, 9] = False
    reduced[1, 0] = False
    with store.create(tmp_path / "accuracies.h5", store.ACCURACIES, {}) as out:
        for removal, correct, removed in (("none", full, 0), ("selected", reduced, 3)):
            out.add(f"original/{removal}/trial", np.arange(4))
            out.add(f"original/{removal}/test_accuracy", 100 * correct.mean(axis=1))
            out.add(f"original/{removal}/test_correct", store.pack(correct))
            out.add(f"original/{removal}/n_removed", np.full(4, removed))
    return tmp_path / "accuracies.h5"


def test_the_drop_without_leaks_is_of_the_leak_free_test_points(accuracies):
    """Test point 9 leaks: without it one of 4 models loses one of 9 points, on average 100 / 36."""
    arms = [("original", "selected")]
    (found,) = table2.table_rows(accuracies, arms, np.arange(9))
    assert found["drop"] == pytest.approx(12.5)
    assert found["drop_leak_free"] == pytest.approx(100 / 36)
    full, reduced = (np.array(x) * 100 / 9 for x in ((8, 9, 9, 9), (8, 8, 9, 9)))
    reference = stats.ttest_ind(full, reduced, equal_var=False).confidence_interval(0.95)
    interval = found["drop_leak_free_low"], found["drop_leak_free_high"]
    assert interval == pytest.approx((reference.low, reference.high))
    (everything,) = table2.table_rows(accuracies, arms, np.arange(10))
    assert everything["drop_leak_free"] == pytest.approx(everything["drop"])
    assert everything["drop_leak_free_low"] == pytest.approx(everything["ci_low"])


def test_no_leak_free_test_point_no_drop(accuracies, tmp_path):
    rows = table2.table_rows(accuracies, [("original", "selected")], np.empty(0, dtype=np.int64))
    table2.write_csv(rows, tmp_path / "table2.csv")
    (read,) = table2.read_csv(tmp_path / "table2.csv")
    assert read["drop"] == "12.5000"
    assert [read[name] for name in read if name.startswith("drop_leak_free")] == ["", "", ""]
    assert "none left" in table2.markdown(rows, "Table 2")


def row(**changes):
    values = dict.fromkeys(table2.COLUMNS, "")
    values |= {"recipe": "original", "removal": "selected", "paper_column": "Original"}
    numbers = {"n_removed": 5, "n_models_full": 1, "n_models_reduced": 1, "acc_full": 50.0}
    numbers |= {"acc_reduced": 48.0, "drop": 2.0}
    unsure = ["sd_full", "sd_reduced", "sd", "se", "ci_low", "ci_high", "drop_leak_free"]
    nothing = dict.fromkeys([*unsure, "drop_leak_free_low", "drop_leak_free_high"], np.nan)
    return values | numbers | nothing | {"published_drop": 2.54, "published_sd": 0.2} | changes


def test_what_cannot_be_said_is_left_empty(tmp_path):
    table2.write_csv([row()], tmp_path / "table2.csv")
    assert "nan" not in (tmp_path / "table2.csv").read_text().lower()
    (read,) = table2.read_csv(tmp_path / "table2.csv")
    assert list(read) == list(table2.COLUMNS)
    assert (read["drop"], read["se"], read["published_drop"]) == ("2.0000", "", "2.5400")
    text = table2.markdown([row()], "Table 2")
    assert "none: one model" in text
    assert "2.54 ± 0.2" in text
    assert "nan" not in text.lower()
    assert all(f"`{column}`" in text for column in table2.COLUMNS)
