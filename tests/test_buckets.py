"""Selection and buckets on cases that can be worked out by hand."""

import csv

import numpy as np
import pytest

from memaudit.buckets.assign import Assignment, assign, removal_lists
from memaudit.buckets.leaks import Leak
from memaudit.buckets.subpopulations import shared_links
from memaudit.scores.facade import Scores
from memaudit.scores.selection import Pair, selecting_half
from memaudit.tables import read_rows, write_rows


def pair(train, test, label=0):
    return Pair(train, test, label, 0.8, 0.05, 0.4, 0.05)


def linked(*links):
    return np.array(links, dtype=np.int64).reshape(-1, 2)


@pytest.fixture
def score_file(tmp_path):
    """Two classes of two training examples and two test examples, 100 models.

    Training examples 0 and 2 are correct exactly when trained on, 1 always, 3 half of the time.
    Test examples 0 and 2 follow training examples 0 and 2; 1 is always wrong, 3 random.
    """
    rng = np.random.default_rng(0)
    mask = rng.random((100, 4)) < 0.5
    train, test = mask.copy(), np.zeros((100, 4), dtype=bool)
    train[:, 1] = True
    train[:, 3] = rng.random(100) < 0.5
    test[:, [0, 2]] = mask[:, [0, 2]]
    test[:, 3] = rng.random(100) < 0.5
    labels = np.array([0, 0, 1, 1])
    Scores.from_arrays(mask, train, test, labels, labels).write(tmp_path / "scores.h5")
    return tmp_path / "scores.h5"


def test_selection_finds_memorized_examples_with_influence(score_file):
    pairs = Scores.from_file(score_file).select(memorization=0.25, influence=0.15, z=3)
    assert [(p.train, p.test, p.label) for p in pairs] == [(0, 0, 0), (2, 2, 1)]
    assert pairs[0].memorization == pytest.approx(1)
    assert pairs[0].influence == pytest.approx(1)


def test_each_threshold_removes_pairs(score_file):
    everything = Scores.from_file(score_file).select(memorization=-1, influence=-1, z=0)
    assert all(p.influence > 0 for p in everything)
    unsure = Scores.from_file(score_file).select(memorization=-1, influence=0.01, z=0)
    sure = Scores.from_file(score_file).select(memorization=-1, influence=0.01, z=5)
    assert {(p.train, p.test) for p in sure} == {(0, 0), (2, 2)}
    assert len(unsure) > len(sure)
    assert not Scores.from_file(score_file).select(memorization=0.25, influence=1.0, z=100)


def test_the_selecting_half_is_stratified_by_class():
    labels = np.array([0] * 10 + [1] * 7 + [2])
    half = selecting_half(labels, seed=0)
    assert [int(half[labels == label].sum()) for label in range(3)] == [5, 3, 0]
    assert np.array_equal(half, selecting_half(labels, seed=0))
    assert not np.array_equal(half, selecting_half(labels, seed=1))
    # a class comes out the same whatever the others are
    assert np.array_equal(half[:10], selecting_half(labels[:10], seed=0))


def test_pairs_survive_the_round_trip(tmp_path):
    pairs = [pair(3, 5, 1), pair(3, 6, 1)]
    write_rows(tmp_path / "pairs.csv", Pair, pairs)
    assert read_rows(tmp_path / "pairs.csv", Pair) == pairs


def test_every_example_gets_one_bucket_and_its_reason(tmp_path):
    pairs = [pair(1, 10), pair(2, 10), pair(2, 11), pair(3, 12), pair(4, 13), pair(5, 14)]
    duplicates = [
        Leak(4, 40, "near", "published annotation"),
        Leak(1, 41, "exact"),
        Leak(1, 42, "near"),
        Leak(9, 43, "exact"),
    ]
    found = assign(pairs, duplicates, linked((1, 2)), ["ant"])
    assert [(a.example, a.bucket, a.reason, a.test_examples) for a in found] == [
        (1, "leakage_shift", "exact", (41,)),
        (2, "leakage_shift", "subpopulation", (10,)),
        (3, "memorized", "none", (12,)),
        (4, "leakage_shift", "near", (40,)),
        (5, "memorized", "none", (14,)),
    ]
    assert [a.example for a in found if a.decided_by == "published annotation"] == [4]
    assert removal_lists(found) == {
        "selected": [1, 2, 3, 4, 5],
        "leakage_shift": [1, 2, 4],
        "memorized": [3, 5],
    }
    write_rows(tmp_path / "buckets.csv", Assignment, found)
    assert read_rows(tmp_path / "buckets.csv", Assignment) == found
    with open(tmp_path / "buckets.csv", newline="") as file:
        header = next(csv.reader(file))
    assert header[:6] == ["example", "class", "memorization", "bucket", "reason", "test_examples"]


def test_no_selected_examples_give_empty_lists():
    assert removal_lists(assign([], [Leak(1, 2, "exact")], linked(), ["ant"])) == {
        "selected": [],
        "leakage_shift": [],
        "memorized": [],
    }


def test_what_is_no_list_of_pairs_is_refused():
    rows = assign([pair(0, 1), pair(3, 1)], [], [[0, 3]], ["ant"])
    assert [row.reason for row in rows] == ["subpopulation"] * 2
    for links in (None, [0, 3], [[0.0, 3.0]]):
        with pytest.raises(ValueError, match="links must be int"):
            assign([pair(0, 1)], [], links, ["ant"])
    for train, test in ((None, None), ([1, 2], [1]), ([True, False], [1, 2])):
        with pytest.raises(ValueError, match="train and test must be int"):
            shared_links(train, test)
