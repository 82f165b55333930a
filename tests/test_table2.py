"""Table 2: what its rows hold and how they read."""

import numpy as np
import pytest

from memaudit import bits, store, tables
from memaudit.results import table2, table2_page
from memaudit.results.accuracies import _read_arm
from memaudit.results.statistics import TwoWay

NONE = np.empty(0, dtype=np.int64)
SETTINGS = table2.Settings(margin=0.25, bootstrap=400, seed=0)


@pytest.fixture
def accuracies(tmp_path):
    """Four models on all examples and four without: what each gets right of ten test examples.

    Removal costs every model test example 9, and one model test example 0 too.
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


def rows_of(accuracies, rows=(("original", "selected"),), n=10, leak_free=NONE, held_out=NONE):
    return table2.table_rows(accuracies, rows, n, leak_free, held_out, SETTINGS)


def test_the_drop_without_leaks_is_of_the_leak_free_test_examples(accuracies):
    """Test example 9 leaks: without it one of 4 models loses one of 9 examples, on average 100 / 36."""
    (found,) = rows_of(accuracies, leak_free=np.arange(9))
    assert found["drop"] == pytest.approx(12.5)
    assert found["drop_leak_free"] == pytest.approx(100 / 36)
    assert found["drop_leak_free_low"] < 0 < found["drop_leak_free_high"]
    (everything,) = rows_of(accuracies, leak_free=np.arange(10))
    assert everything["drop_leak_free"] == pytest.approx(everything["drop"])
    assert everything["drop_leak_free_low"] == everything["boot_low"]


def test_the_drop_on_the_half_that_selected_nothing(accuracies, tmp_path):
    """Test example 9, lost by every model, is among these five; test example 0, lost by one, not."""
    (found,) = rows_of(accuracies, held_out=np.arange(5, 10))
    assert found["drop_held_out"] == pytest.approx(20)
    table2.write_csv(rows_of(accuracies), tmp_path / "table2.csv")
    (read,) = tables.read_texts(tmp_path / "table2.csv")
    assert [read[name] for name in read if name.startswith("drop_held_out")] == ["", "", ""]
    assert "not asked for" in table2_page.markdown(rows_of(accuracies), "Table 2")


def test_no_leak_free_test_example_no_drop(accuracies, tmp_path):
    rows = rows_of(accuracies)
    table2.write_csv(rows, tmp_path / "table2.csv")
    (read,) = tables.read_texts(tmp_path / "table2.csv")
    assert read["drop"] == "12.5000"
    assert [read[name] for name in read if name.startswith("drop_leak_free")] == ["", "", ""]
    assert "none left" in table2_page.markdown(rows, "Table 2")


ARMS = [
    (recipe, control + removal)
    for control in ("", "random_")
    for recipe, removal in (
        ("original", "selected"),
        ("weight_decay", "selected"),
        ("weight_decay", "memorized"),
    )
]
FALLS = {"none": 0.0, "selected": 0.2, "random_selected": 0.05, "memorized": 0.0}


def write_study(path, models=8, removed=5, shuffle=None):
    """Both recipes on 203 test examples, answers at random but for `FALLS`."""
    rng = np.random.default_rng(5)
    ease = rng.random(203)
    with store.create(path, store.ACCURACIES, {}) as out:
        for recipe, removal in [("original", "none"), ("weight_decay", "none"), *ARMS]:
            fall = FALLS.get(removal, 0.0) / (2 if recipe == "weight_decay" else 1)
            correct = rng.random((models, 203)) < 0.4 + 0.5 * ease - fall
            order = shuffle.permutation(models) if shuffle else np.arange(models)
            group = f"{recipe}/{removal}"
            out.add(f"{group}/trial", order)
            out.add(f"{group}/test_accuracy", 100 * correct.mean(axis=1)[order])
            out.add(f"{group}/test_correct", bits.pack(correct)[order])
            count = 0 if removal == "none" else removed
            out.add(f"{group}/n_removed", np.full(models, count))
    return path


def study_rows(path):
    return rows_of(path, ARMS, 203, np.arange(100), np.arange(100, 203))


def test_every_row_says_what_it_can(tmp_path):
    rows = study_rows(write_study(tmp_path / "a.h5"))
    by_name = {(row["recipe"], row["removal"]): row for row in rows}
    original, weight_decay = by_name["original", "selected"], by_name["weight_decay", "selected"]
    control = by_name["weight_decay", "random_selected"]
    assert weight_decay["drop_vs_random"] == pytest.approx(weight_decay["drop"] - control["drop"])
    assert weight_decay["interaction"] == pytest.approx(weight_decay["drop"] - original["drop"])
    assert original["boot_low"] < original["drop"] < original["boot_high"]
    assert np.isnan(original["interaction"])
    assert np.isnan(by_name["weight_decay", "memorized"]["interaction"])
    assert not np.isnan(control["interaction"])
    assert np.isnan(control["drop_vs_random"])
    assert np.isnan(control["p_holm"])
    assert not np.isnan(control["tost_p"])
    assert all(list(row) == list(table2.COLUMNS) for row in rows)
    assert table2_page.verdict(original, 0.25) == "a drop, more than random"
    assert np.isnan(control["p_vs_random"])
    assert table2_page.verdict(by_name["weight_decay", "memorized"], 0.25) == "undecided"


def test_p_is_adjusted_over_the_rows_that_are_no_controls(tmp_path):
    path = write_study(tmp_path / "a.h5")
    with_others = study_rows(path)[2]
    (alone,) = rows_of(path, [ARMS[2]], 203)
    smallest = min(row["p_holm"] for row in study_rows(path)[:3])
    against = [row["p_vs_random"] for row in rows_of(path, [ARMS[0], ARMS[3]], 203)]
    assert min(row["p_vs_random"] for row in study_rows(path)[:3]) == pytest.approx(3 * against[0])
    assert with_others["p_holm"] == pytest.approx(alone["p_holm"])  # the largest of three: as it is
    (first,) = rows_of(path, [ARMS[0]], 203)
    assert smallest == pytest.approx(3 * first["p_holm"])


def test_the_order_of_trials_changes_nothing(tmp_path):
    ordered = study_rows(write_study(tmp_path / "a.h5"))
    shuffled = study_rows(write_study(tmp_path / "b.h5", shuffle=np.random.default_rng(6)))
    for name, rows in (("a.csv", ordered), ("b.csv", shuffled)):
        table2.write_csv(rows, tmp_path / name)
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    assert table2_page.markdown(ordered, "t") == table2_page.markdown(shuffled, "t")


def test_one_model_an_arm_is_said_in_words(tmp_path):
    rows = study_rows(write_study(tmp_path / "a.h5", models=1))
    table2.write_csv(rows, tmp_path / "table2.csv")
    assert "nan" not in (tmp_path / "table2.csv").read_text().lower()
    first = tables.read_texts(tmp_path / "table2.csv")[0]
    assert first["drop"]
    for name in ("ci_low", "boot_low", "p_holm", "tost_p", "seed_correlation", "paired_low"):
        assert first[name] == ""
    text = table2_page.markdown(rows, "Table 2")
    assert "No interval and no test can be given" in text
    assert "none: one model" in text
    assert "nan" not in text.lower()


def test_nothing_removed_is_no_drop_and_no_test(tmp_path):
    rows = study_rows(write_study(tmp_path / "a.h5", removed=0))
    for row in rows:
        numbers = [row[name] for name in ("drop", "boot_low", "boot_high", "drop_leak_free_high")]
        assert numbers == [0, 0, 0, 0]
        assert np.isnan([row["p_holm"], row["tost_p"]]).all()
        assert table2_page.verdict(row, 0.25) == "nothing was removed"
    assert "nan" not in table2_page.markdown(rows, "Table 2").lower()


def test_rows_are_those_of_the_two_way_bootstrap(accuracies):
    (found,) = rows_of(accuracies)
    with store.reading(accuracies, store.ACCURACIES) as file:
        arms = {f"original/{x}": _read_arm(file[f"original/{x}"], 10) for x in ("none", "selected")}
    both = TwoWay(arms, 400, 0).contrast(["original/none"], ["original/selected"])
    assert (found["boot_low"], found["boot_high"]) == (both.low, both.high)
    assert both.paired == (not np.isnan(found["paired_low"]))


DROP = {"p_holm": 0.01, "tost_p": 0.9}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"p_holm": 0.01, "tost_p": 0.9}, "a drop"),
        ({"p_holm": 0.01, "tost_p": 0.9, "drop": -1.0}, "a gain"),
        ({"p_holm": 0.01, "tost_p": 0.01}, "a drop, smaller than 0.25"),
        ({"p_holm": 0.3, "tost_p": 0.01}, "smaller than 0.25"),
        ({"p_holm": 0.3, "tost_p": 0.3}, "undecided"),
        (DROP | {"p_vs_random": 0.01, "drop_vs_random": 1.0}, "a drop, more than random"),
        (DROP | {"p_vs_random": 0.01, "drop_vs_random": -1.0}, "a drop, less than random"),
        (DROP | {"p_vs_random": 0.3}, "a drop, not shown to be more than random"),
        (DROP | {"p_vs_random": 0.3, "drop": -1.0}, "a gain"),
        (
            {"p_holm": 0.3, "tost_p": 0.3, "p_vs_random": 0.01, "drop_vs_random": 1.0},
            "undecided, more than random",
        ),
        ({"removal": "random_selected", "p_holm": np.nan, "tost_p": 0.01}, "smaller than 0.25"),
        ({"removal": "random_selected", "p_holm": np.nan, "tost_p": 0.3}, ""),
        ({"n_removed": 0}, "nothing was removed"),
        ({}, "none: one model"),
    ],
)
def test_the_verdict_follows_the_tests(changes, words):
    assert table2_page.verdict(row(**changes), 0.25) == words


def row(**changes):
    values = dict.fromkeys(table2.COLUMNS, "")
    values |= {"recipe": "original", "removal": "selected", "paper_column": "Original"}
    numbers = {"n_removed": 5, "n_models_full": 1, "n_models_reduced": 1, "acc_full": 50.0}
    numbers |= {"acc_reduced": 48.0, "drop": 2.0}
    known = {*numbers, "recipe", "removal", "paper_column"}
    nothing = {name: np.nan for name in table2.COLUMNS if name not in known}
    return values | numbers | nothing | {"published_drop": 2.54, "published_sd": 0.2} | changes


def test_what_cannot_be_said_is_left_empty(tmp_path):
    table2.write_csv([row()], tmp_path / "table2.csv")
    assert "nan" not in (tmp_path / "table2.csv").read_text().lower()
    (read,) = tables.read_texts(tmp_path / "table2.csv")
    assert list(read) == list(table2.COLUMNS)
    assert (read["drop"], read["se"], read["published_drop"]) == ("2.0000", "", "2.5400")
    text = table2_page.markdown([row()], "Table 2")
    assert "none: one model" in text
    assert "2.54 ± 0.2" in text
    assert "nan" not in text.lower()
    assert all(f"`{column}`" in text for column in table2.COLUMNS)
