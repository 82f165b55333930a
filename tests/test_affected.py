"""Which test examples a removal affects, in a study that can be worked out by hand."""

import csv

import numpy as np
import pytest

from memaudit import tables
from memaudit.buckets.assign import assign
from memaudit.buckets.leaks import Leak
from memaudit.figures.affected import affected as draw
from memaudit.results import affected
from memaudit.results.affected import DUPLICATES, NEITHER, OTHERS
from memaudit.results.statistics import Arm, accuracy_drop
from memaudit.scores.estimate import standard_error
from memaudit.scores.selection import Pair

N_TEST, MODELS = 20, 4
CLASSES = ["a"] * N_TEST


def pair(train, test, influence):
    return Pair(train, test, 0, 0.9, 0.05, influence, 0.05)


# 0 has a copy (test 0); 1 and 2 share test 1; 3 is neither; test 1 is 3's a little, too
PAIRS = [pair(0, 0, 0.9), pair(1, 1, 0.5), pair(2, 1, 0.4), pair(2, 2, 0.3), pair(3, 3, 0.6)]
PAIRS.append(pair(3, 1, 0.2))
CALLED = assign(PAIRS, [Leak(0, 0, "exact")], np.array([[1, 2]]), ["a"])


def arm(*lost):
    """Four models; `lost` are (test example, models that are wrong on it)."""
    correct = np.ones((MODELS, N_TEST), dtype=bool)
    for test, models in lost:
        correct[models, test] = False
    return Arm(np.arange(MODELS), correct)


EVERY, HALF, ONE = slice(None), slice(2), slice(1)
ARMS = {
    "original/none": arm((2, ONE)),
    "original/selected": arm((0, EVERY), (1, EVERY), (2, HALF), (3, HALF), (9, ONE)),
    "original/random_selected": arm((1, HALF), (8, ONE)),
    "original/memorized": arm((3, HALF)),
}


@pytest.fixture
def selected():
    return affected.view(ARMS, ("original", "selected"), PAIRS, CALLED, CLASSES)


def test_examples_by_what_was_predicted(selected):
    examples = selected[2]
    assert [(p.test, p.removed, p.group, p.bucket) for p in examples] == [
        (1, 3, "subpopulation 0", "leakage_shift"),
        (0, 1, DUPLICATES, "leakage_shift"),
        (3, 1, NEITHER, "memorized"),
        (2, 1, "subpopulation 0", "leakage_shift"),
    ]
    assert [p.predicted for p in examples] == pytest.approx([110, 90, 60, 30])
    assert [p.drop for p in examples] == [100, 100, 50, 25]
    assert [p.control_drop for p in examples] == [50, 0, 0, -25]
    half = 1.96 * 100 * standard_error(4, 4, 0, 4)
    assert examples[0].low == pytest.approx(100 * (5 / 6 - 1 / 6) - half, abs=0.01)
    assert examples[0].high == 100  # no drop can be greater


def test_groups_add_up_to_the_drop(selected):
    summary, groups, _ = selected
    by_name = {group.group: group for group in groups}
    sizes = {name: (g.removed_examples, g.test_examples) for name, g in by_name.items()}
    assert sizes == {
        "subpopulation 0": (2, 2),
        DUPLICATES: (1, 1),
        NEITHER: (1, 1),
        OTHERS: (0, 16),
    }
    drop = accuracy_drop(ARMS["original/none"], ARMS["original/selected"])
    assert sum(g.contribution for g in groups) == pytest.approx(drop.value)
    assert by_name[DUPLICATES].contribution == pytest.approx(100 / N_TEST)
    assert by_name["subpopulation 0"].contribution == pytest.approx(125 / N_TEST)
    assert by_name["subpopulation 0"].predicted == pytest.approx(140 / N_TEST)
    assert by_name[OTHERS].contribution == pytest.approx(25 / N_TEST)
    assert by_name[OTHERS].mean_drop == pytest.approx(25 / 16)
    assert groups[-1].group == OTHERS
    total = 100 * sum(arm.correct.mean() * s for arm, s in _control())
    assert sum(g.control_contribution for g in groups) == pytest.approx(total)
    assert (summary.low, summary.high) == (drop.low, drop.high)


def _control():
    return (ARMS["original/none"], 1), (ARMS["original/random_selected"], -1)


def test_the_summary(selected):
    """Drop 15 of 100: 11.25 + 2.5 + 1.25 ...: the first three examples carry 250 of 300."""
    found = selected[0]
    assert (found.removed_examples, found.test_examples, found.influenced) == (4, N_TEST, 4)
    assert found.drop == pytest.approx(300 / N_TEST)
    assert found.drop_influenced == pytest.approx(275 / N_TEST)
    assert found.drop_rest == pytest.approx(25 / N_TEST)
    assert found.share_influenced == pytest.approx(275 / 300)
    assert found.examples_for_80_percent == 3
    assert found.predicted == pytest.approx(290 / N_TEST)
    assert found.found_to_predicted == pytest.approx(300 / 290)
    assert found.control_influenced == pytest.approx(25 / N_TEST)


def test_a_bucket_counts_its_own_examples_only():
    """Its control was not trained, and its drop is not sure: what rests on them is empty."""
    summary, groups, examples = affected.view(
        ARMS, ("original", "memorized"), PAIRS, CALLED, CLASSES
    )
    assert [p.test for p in examples] == [3, 1]
    assert [p.predicted for p in examples] == pytest.approx([60, 20])
    assert [g.group for g in groups] == [NEITHER, OTHERS]
    assert summary.removed_examples == 1
    assert np.isnan([p.control_drop for p in examples]).all()
    assert np.isnan([summary.share_influenced, summary.found_to_predicted]).all()
    assert summary.examples_for_80_percent is None


def test_nothing_removed():
    arms = {f"original/{name}": ARMS["original/none"] for name in ("none", "memorized")}
    called = [row for row in CALLED if row.bucket != "memorized"]
    summary, groups, examples = affected.view(
        arms, ("original", "memorized"), PAIRS, called, CLASSES
    )
    assert (examples, summary.influenced, summary.drop) == ([], 0, 0)
    assert [g.group for g in groups] == [OTHERS]


def test_files_and_the_figure(selected, tmp_path):
    summary, groups, examples = selected
    single = {name: Arm(a.trials[:1], a.correct[:1]) for name, a in ARMS.items()}
    few = affected.view(single, ("original", "memorized"), PAIRS, CALLED, CLASSES)
    tables.write_rows(tmp_path / "examples.csv", affected.Example, [*examples, *few[2]])
    tables.write_rows(tmp_path / "groups.csv", affected.Group, [*groups, *few[1]])
    tables.write_rows(tmp_path / "summary.csv", affected.Summary, [summary, few[0]])
    rows = {}
    for name in ("examples", "groups", "summary"):
        text = (tmp_path / f"{name}.csv").read_text()
        assert "nan" not in text.lower()
        assert "None" not in text
        rows[name] = list(csv.DictReader(text.splitlines()))
    assert (rows["examples"][0]["class"], rows["examples"][0]["drop"]) == ("a", "100.0000")
    assert rows["summary"][1]["examples_for_80_percent"] == rows["summary"][1]["low"] == ""
    for name in ("one", "two"):
        draw([(summary, examples), (few[0], few[2])], tmp_path / f"{name}.png")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "duplicates of a test image: 1 test example " in (tmp_path / "one.svg").read_text()
