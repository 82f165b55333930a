"""Table 2: what its rows hold and how they read."""

from dataclasses import fields, replace

import numpy as np
import pytest

from memaudit import bits, store, tables
from memaudit.results import table2
from memaudit.results.accuracies import _read_arm
from memaudit.results.table2 import Table2Row
from memaudit.results.two_way import TwoWay

NONE = np.empty(0, dtype=np.int64)
SETTINGS = table2.Settings(margin=0.25, bootstrap=400, seed=0)


@pytest.fixture
def accuracies(tmp_path):
    """Four models on all examples and four without: what each gets right of ten test examples.

    Without the removed examples every model loses test example 9, and one model test example 0.
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
            out.add(f"original/{removal}/test_correct", bits.pack(correct))
            out.add(f"original/{removal}/n_removed", np.full(4, removed))
    return tmp_path / "accuracies.h5"


def rows_of(accuracies, rows=(("original", "selected"),), n=10, **subsets):
    return table2.table_rows(accuracies, rows, n, SETTINGS, subsets)


def page(rows):
    return table2.markdown(rows, "study", "An answer.", 0.25)


def test_the_drop_without_leaks_is_that_on_leak_free_test_examples(accuracies):
    """Test example 9 leaks: without it one of 4 models loses one of 9 examples."""
    (found,) = rows_of(accuracies, leak_free=np.arange(9))
    assert found.drop == pytest.approx(12.5)
    assert found.drop_leak_free == pytest.approx(100 / 36)
    assert found.drop_leak_free_low < 0 < found.drop_leak_free_high
    (everything,) = rows_of(accuracies, leak_free=np.arange(10))
    assert everything.drop_leak_free == pytest.approx(everything.drop)
    assert everything.drop_leak_free_low == everything.drop_sampling_low


def test_the_drop_on_the_held_out_half(accuracies, tmp_path):
    """Test example 9, lost by every model, is held out; test example 0, lost by one, is not."""
    (found,) = rows_of(accuracies, held_out=np.arange(5, 10))
    assert found.drop_held_out == pytest.approx(20)
    tables.write_rows(tmp_path / "table2.csv", Table2Row, rows_of(accuracies))
    (read,) = tables.read_texts(tmp_path / "table2.csv")
    assert [read[name] for name in read if name.startswith("drop_held_out")] == ["", "", ""]
    text = page(rows_of(accuracies))
    assert "held-out half" not in text
    assert "drop on the held-out half | p, no drop" in page([found])
    assert "(`duplicates.near`) was set on photographs" in text


def test_no_leak_free_test_example_no_drop(accuracies, tmp_path):
    rows = rows_of(accuracies, leak_free=NONE)
    tables.write_rows(tmp_path / "table2.csv", Table2Row, rows)
    (read,) = tables.read_texts(tmp_path / "table2.csv")
    assert read["drop"] == "12.5000"
    assert [read[name] for name in read if name.startswith("drop_leak_free")] == ["", "", ""]
    assert "no such images" in page(rows)


ARMS = [
    (recipe, control + removal)
    for control in ("", "random_")
    for recipe, removal in (
        ("original", "selected"),
        ("weight_decay", "selected"),
        ("weight_decay", "memorized"),
    )
]
DROPS = {"none": 0.0, "selected": 0.2, "random_selected": 0.05, "memorized": 0.0}


def write_study(path, models=8, removed=5, shuffle=None):
    """Both recipes on 203 test examples, answers at random but for `DROPS`."""
    rng = np.random.default_rng(5)
    ease = rng.random(203)
    with store.create(path, store.ACCURACIES, {}) as out:
        for recipe, removal in [("original", "none"), ("weight_decay", "none"), *ARMS]:
            drop = DROPS.get(removal, 0.0) / (2 if recipe == "weight_decay" else 1)
            correct = rng.random((models, 203)) < 0.4 + 0.5 * ease - drop
            order = shuffle.permutation(models) if shuffle else np.arange(models)
            group = f"{recipe}/{removal}"
            out.add(f"{group}/trial", order)
            out.add(f"{group}/test_accuracy", 100 * correct.mean(axis=1)[order])
            out.add(f"{group}/test_correct", bits.pack(correct)[order])
            count = 0 if removal == "none" else removed
            out.add(f"{group}/n_removed", np.full(models, count))
    return path


def study_rows(path):
    return rows_of(path, ARMS, 203, leak_free=np.arange(100), held_out=np.arange(100, 203))


def test_every_row_has_what_can_be_estimated(tmp_path):
    rows = study_rows(write_study(tmp_path / "a.h5"))
    by_name = {(row.recipe, row.removal): row for row in rows}
    original, weight_decay = by_name["original", "selected"], by_name["weight_decay", "selected"]
    control = by_name["weight_decay", "random_selected"]
    assert weight_decay.excess_drop == pytest.approx(weight_decay.drop - control.drop)
    assert original.drop_sampling_low < original.drop < original.drop_sampling_high
    assert np.isnan([control.excess_drop, control.p_drop, control.p_excess]).all()
    assert (original.row, control.row) == ("Original", "random control")
    assert (original.verdict, control.verdict) == ("larger drop than control", "")
    assert by_name["weight_decay", "memorized"].verdict == "inconclusive"
    assert original.se == pytest.approx(original.sd_difference / np.sqrt(8))


def test_p_is_adjusted_over_the_rows_that_are_not_controls(tmp_path):
    path = write_study(tmp_path / "a.h5")
    together = study_rows(path)[:3]
    first, _ = rows_of(path, [ARMS[0], ARMS[3]], 203)
    assert min(row.p_excess for row in together) == pytest.approx(3 * first.p_excess)
    assert min(row.p_drop for row in together) == pytest.approx(3 * first.p_drop)
    (alone,) = rows_of(path, [ARMS[2]], 203)
    assert together[2].p_drop == pytest.approx(alone.p_drop)  # the largest of three: as it is


def test_the_order_of_trials_changes_nothing(tmp_path):
    ordered = study_rows(write_study(tmp_path / "a.h5"))
    shuffled = study_rows(write_study(tmp_path / "b.h5", shuffle=np.random.default_rng(6)))
    for name, rows in (("a.csv", ordered), ("b.csv", shuffled)):
        tables.write_rows(tmp_path / name, Table2Row, rows)
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    assert page(ordered) == page(shuffled)


def test_one_model_per_arm_gives_no_ci(tmp_path):
    rows = study_rows(write_study(tmp_path / "a.h5", models=1))
    tables.write_rows(tmp_path / "table2.csv", Table2Row, rows)
    assert "nan" not in (tmp_path / "table2.csv").read_text().lower()
    first = tables.read_texts(tmp_path / "table2.csv")[0]
    assert first["drop"] and first["verdict"] == "not tested"
    names = ("drop_low", "drop_sampling_low", "excess_drop_low", "p_drop", "p_excess", "se")
    assert not any(first[name] for name in (*names, "p_equivalence", "correlation"))
    text = page(rows)
    assert "One model per arm gives no CI and no test" in text
    assert "nan" not in text.lower()


def test_nothing_removed_is_no_drop_and_no_test(tmp_path):
    rows = study_rows(write_study(tmp_path / "a.h5", removed=0))
    for row in rows:
        ends = row.drop_sampling_low, row.drop_sampling_high, row.drop_leak_free_high
        assert (row.drop, *ends) == (0, 0, 0, 0)
        assert np.isnan([row.p_drop, row.p_excess, row.p_equivalence]).all()
        assert row.verdict == ("" if row.row == "random control" else "nothing removed")
    text = page(rows)
    assert "nan" not in text.lower()
    assert "**Nothing was removed for selected, memorized**" in text
    assert "Nothing was removed" not in page(study_rows(write_study(tmp_path / "b.h5")))


def test_published_values_stand_beside_those_of_cifar100_only(accuracies):
    other = rows_of(accuracies)
    assert np.isnan(other[0].published_drop) and "published, pp" not in page(other)
    settings = replace(SETTINGS, published=True)
    papers = table2.table_rows(accuracies, [("original", "selected")], 10, settings)
    assert papers[0].published_drop == 2.54
    with_column, without = (
        [line.count("|") for line in page(rows).splitlines() if line.startswith("|")][:3]
        for rows in (papers, other)
    )
    assert with_column == [13] * 3 and without == [12] * 3
    assert "| 2.54 ± 0.20 |" in page(papers)


def test_rows_are_those_of_the_two_way_bootstrap(accuracies):
    (found,) = rows_of(accuracies)
    with store.reading(accuracies, store.ACCURACIES) as file:
        arms = {f"original/{x}": _read_arm(file[f"original/{x}"], 10) for x in ("none", "selected")}
    both = TwoWay(arms, 400, 0).contrast(["original/none"], ["original/selected"])
    assert (found.drop_sampling_low, found.drop_sampling_high) == (both.low, both.high)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"p_excess": 0.01, "excess_drop": 1.0}, "larger drop than control"),
        ({"p_excess": 0.01, "excess_drop": -1.0}, "smaller drop than control"),
        (
            {"p_excess": 0.01, "excess_drop": 0.1, "p_equivalence": 0.01},
            "larger drop than control, within the margin",
        ),
        (
            {"p_excess": 0.01, "excess_drop": -0.1, "p_equivalence": 0.01},
            "smaller drop than control, within the margin",
        ),
        ({"p_equivalence": 0.01}, "equivalent to control"),
        ({}, "inconclusive"),
        ({"row": "random control"}, ""),
        ({"n_removed": 0}, "nothing removed"),
        ({"p_excess": np.nan}, "not tested"),
    ],
)
def test_the_verdict_follows_the_tests(changes, verdict):
    assert table2.verdict(row(**changes)) == verdict


def row(**changes):
    """A row with numbers made up."""
    texts = {"row": "Original", "recipe": "original", "removal": "selected", "verdict": ""}
    counts = dict.fromkeys(("n_removed", "n_models_full", "n_models_reduced"), 5)
    numbers = {field.name: 0.3 for field in fields(Table2Row)}
    return Table2Row(**(numbers | texts | counts | changes))


def test_table2_csv_begins_with_what_is_read_first():
    first = (
        "row,recipe,removal,n_removed,n_models_full,n_models_reduced,acc_full,acc_reduced,"
        "drop,drop_low,drop_high,drop_sampling_low,drop_sampling_high,"
        "excess_drop,excess_drop_low,excess_drop_high,p_excess,verdict,"
    )
    assert ",".join(tables.column_names(Table2Row)).startswith(first)


def test_the_page_explains_every_column_and_opens_with_the_answer():
    text = page([row()])
    assert text.splitlines()[:3] == ["# Table 2: study", "", "An answer."]
    assert tables.describe(Table2Row) in text
    assert "0.30 ± 0.30" in text


def test_rows_survive_the_round_trip(accuracies, tmp_path):
    found = rows_of(accuracies)
    tables.write_rows(tmp_path / "table2.csv", Table2Row, found)
    (read,) = tables.read_rows(tmp_path / "table2.csv", Table2Row)
    assert (read.row, read.n_removed, read.drop) == ("Original", 3, 12.5)
