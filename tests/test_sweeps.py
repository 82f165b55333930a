"""Sweeps and learning curves: what they are made of, their statistics, and that they run."""

import csv
import shutil

import h5py
import numpy as np
import pytest
from conftest import ROOT
from scipy import stats

from memaudit import bits, store, tables
from memaudit.errors import AuditError
from memaudit.figures.curves import learning_curves
from memaudit.figures.sweeps import _log_places
from memaudit.models.removals import examples_above, read_examples
from memaudit.results import curves, statistics, sweep_tables, table2
from memaudit.results.sweep_tables import ThresholdRow, WeightDecayRow
from memaudit.scores import rescored
from memaudit.scores.rescored import Scored


def test_examples_at_and_above_a_threshold():
    memorization = np.array([0.3, np.nan, 0.25, 0.2, 1.0])
    assert examples_above(memorization, 0.25) == [0, 2, 4]
    assert examples_above(memorization[:4], 1) == []
    with pytest.raises(AuditError, match=r"sweeps\.thresholds: all 2 training examples have mem"):
        examples_above(memorization[[0, 4]], 0.25)


def test_the_interval_of_a_mean_is_students(rng):
    values = rng.normal(76, 0.3, 9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert statistics.mean_interval(values) == pytest.approx((expected.low, expected.high))
    assert np.isnan(statistics.mean_interval(values[:1])).all()


def scored(memorization, *pairs):
    return Scored(np.array(memorization), frozenset(pairs))


def test_two_recipes_are_compared():
    """Examples 1 and 2 of three selected ones in common, one of four pairs; halves as made up."""
    first = scored([0.2, 0.4, 0.6, np.nan], (1, 5), (2, 6))
    second = scored([0.1, 0.2, 0.3, 0.4], (1, 5), (2, 7), (3, 5))
    same, none = scored([0.2, 0.4, 0.6, 0.8], (1, 5)), scored([0.8, 0.6, 0.4, 0.2])
    rows = rescored.compare(("a", "b"), (first, second), 40, ((same, same), (same, none)), 20)
    found = {row.quantity: (row.value, row.models) for row in rows}
    assert found["mean memorization under a"] == (pytest.approx(0.4), 40)
    assert found["mean memorization under a of examples selected under b"][0] == pytest.approx(0.5)
    assert found["examples selected under b"] == (3, 40)
    assert found["examples selected under both"] == (2, 40)
    assert found["pairs selected under both"] == (1, 40)
    assert found["correlation of memorization (Pearson): a and b"][0] == pytest.approx(1)
    assert found["Jaccard index of selected examples: a and b"][0] == pytest.approx(2 / 3)
    assert found["Jaccard index of selected pairs: a and b"][0] == pytest.approx(1 / 4)
    assert found["Jaccard index of selected pairs: two halves of a"] == (1, 20)
    assert found["Jaccard index of selected pairs: two halves of b"] == (0, 20)
    spearman = "correlation of memorization (Spearman): two halves of b"
    assert found[spearman][0] == pytest.approx(-1)
    # a's first half with b's second, and a's second with b's first: 0 and 1
    assert found["Jaccard index of selected pairs: half of a and half of b"] == (0.5, 20)
    few = rescored.compare(("a", "b"), (none, none), 10)
    assert not [row for row in few if "hal" in row.quantity]
    assert np.isnan([row.value for row in few if row.quantity.startswith("Jaccard")]).all()


def test_learning_curves_are_means_over_models(tmp_path):
    """Two models, two epochs; the first was evaluated in the last epoch only."""
    models = {
        "rate": np.array([[0.1, 0.3], [0.1, 0.3]], dtype=np.float32),
        "loss": np.array([[2, 1], [4, 1]], dtype=np.float32),
        "train_accuracy": np.array([[0.5, 0.75], [0.25, 0.75]], dtype=np.float32),
        "test_accuracy": np.array([[np.nan, 0.5], [0.25, 0.75]], dtype=np.float32),
        "train_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]], dtype=bool),
        "train_correct": np.array([[1, 1, 0, 0], [1, 1, 1, 1]], dtype=bool),
    }
    first, last = rows = curves.curve_rows("a", models)
    assert (first.loss, first.loss_sd) == (3, pytest.approx(2**0.5))
    assert (first.train_accuracy, first.test_accuracy) == (37.5, 25)
    assert (first.test_models, last.test_models, last.models) == (1, 2, 2)
    assert np.isnan([first.test_accuracy_sd, first.fitted]).all()
    assert (last.test_accuracy, last.fitted) == (62.5, 75)
    assert last.learning_rate == pytest.approx(0.3)
    tables.write_rows(tmp_path / "c.csv", curves.CurveRow, rows)
    assert tables.read_texts(tmp_path / "c.csv")[0]["fitted"] == ""
    learning_curves(tables.read_rows(tmp_path / "c.csv", curves.CurveRow), tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_zero_has_a_place_on_the_log_scale():
    places = _log_places(np.array([0, 0.001, 0.01, 0.1]))
    assert places == pytest.approx([-4.5, -3, -2, -1])
    assert _log_places(np.array([0.0])) == pytest.approx([0])


def test_a_sweeps_rows_are_table_2s(tmp_path):
    rng = np.random.default_rng(3)
    rows = [("0", "a", "selected"), ("0", "a", "random_selected")]
    with store.create(tmp_path / "s.h5", store.ACCURACIES, {}) as out:
        for removal, models, removed in (("none", 5, 0), ("selected", 3, 7)):
            for name in (removal, f"random_{removal}")[: 2 if removed else 1]:
                correct = rng.random((models, 40)) < 0.7
                out.add(f"a/{name}/trial", np.arange(models))
                out.add(f"a/{name}/test_accuracy", 100 * correct.mean(axis=1))
                out.add(f"a/{name}/test_correct", bits.pack(correct))
                out.add(f"a/{name}/train_accuracy", np.linspace(90, 100, models))
                out.add(f"a/{name}/n_removed", np.full(models, removed))
    config = table2.Settings(bootstrap=200)
    path = tmp_path / "s.h5"
    found = sweep_tables.sweep_rows(path, WeightDecayRow, rows, 40, config)
    table = table2.table_rows(path, [r[1:] for r in rows], 40, config)
    names = tables.column_names(WeightDecayRow)
    assert names[:4] == ["weight_decay", "row", "recipe", "removal"]
    shared = [name for name in names if name in tables.column_names(table2.Table2Row)]
    for mine, theirs in zip(found, table, strict=True):
        np.testing.assert_equal(*([getattr(row, c) for c in shared] for row in (mine, theirs)))
        assert mine.acc_full_low < mine.acc_full < mine.acc_full_high
    assert (found[0].n_models_full, found[0].n_models_reduced) == (5, 3)
    assert (found[0].fitted, found[0].weight_decay) == (pytest.approx(95), "0")


def test_every_column_is_explained():
    text = (ROOT / "docs" / "sweeps.md").read_text()
    assert tables.describe(curves.CurveRow) in text
    own = {
        line
        for kind in (WeightDecayRow, ThresholdRow)
        for line in tables.describe(kind).splitlines()
    } - set(tables.describe(table2.Table2Row).splitlines())
    assert len(own) == 8 and own <= set(text.splitlines())


def test_sweeps_over_values_run(study):
    """Values that the study has are taken from it; a new threshold then trains its own alone."""
    study.config["sweeps"] = {
        "weight_decay": [0.005],
        "thresholds": [0.5],
        "recipes": ["original"],
        "trials": 2,
    }
    study.snakemake("weight_decay", "threshold_curve")
    trained = [
        path.parent.parent.name for path in study.results.glob("models/*/*/000000-000001.h5")
    ]
    assert trained == ["original"] * 2
    table = tables.read_texts(study.results / "table2.csv")
    of_table = {(row["recipe"], row["removal"]): row for row in table}
    rows = tables.read_texts(study.results / "weight_decay.csv")
    assert [(r["weight_decay"], r["recipe"], r["removal"]) for r in rows] == [
        ("0.005", "weight_decay", "selected"),
        ("0.005", "weight_decay", "random_selected"),
    ]
    same = of_table["weight_decay", "selected"]
    columns = ("drop", "drop_low", "drop_sampling_high", "excess_drop_low")
    assert [rows[0][c] for c in columns] == [same[c] for c in columns]
    row, control = tables.read_texts(study.results / "threshold_curve.csv")
    examples = read_examples(study.results / "removals/above_0.5.txt")
    with h5py.File(study.results / "scores/original.h5") as file:
        assert np.array_equal(examples, np.flatnonzero(file["memorization"][:] >= 0.5))
    assert row["n_removed"] == control["n_removed"] == str(len(examples))
    for name in ("weight_decay", "threshold_curve"):
        assert "</svg>" in (study.results / f"figures/{name}.svg").read_text()
    study.snakemake("all", "weight_decay", "threshold_curve", "--report", "report.html")
    report = (study.folder / "report.html").read_text()
    for name in ("drops", "weight_decay", "threshold_curve"):
        assert f"figures/{name}.png" in report
    study.config["sweeps"] |= {"weight_decay": [0.005, 0.05], "thresholds": [0.5, 0.9]}
    assert study.planned("weight_decay", "threshold_curve") == {
        "above": 1,
        "train": 3 + 2,
        "weight_decay_accuracies": 1,
        "weight_decay": 1,
        "threshold_accuracies": 1,
        "threshold_curve": 1,
    }


def test_a_recipe_is_compared_with_itself(study):
    """`weight_decay` with the settings and the subset models of `original` says just the same."""
    study.config["recipes"]["weight_decay"] = study.config["recipes"]["original"]
    models = study.results / "models"
    shutil.copytree(models / "original/subset", models / "weight_decay/subset")
    study.snakemake("rescored")
    with open(study.results / "rescored.csv", newline="") as file:
        found = {row["quantity"]: row["value"] for row in csv.DictReader(file)}
    for quantity in ("correlation of memorization (Pearson)", "Jaccard index of selected"):
        same = [v for name, v in found.items() if name.startswith(quantity) and "hal" not in name]
        assert same == ["1"] * (1 if "Pearson" in quantity else 2)
    with open(study.results / "buckets.csv", newline="") as file:
        examples = len(list(csv.DictReader(file)))
    assert [found[f"examples selected under {name}"] for name in ("original", "weight_decay")] == [
        str(examples)
    ] * 2
    for quantity in (
        "Jaccard index of selected examples",
        "correlation of memorization (Pearson)",
    ):
        within = found[f"{quantity}: two halves of original"]
        assert within == found[f"{quantity}: half of original and half of weight_decay"] != "1"
    assert "</svg>" in (study.results / "figures/rescored.svg").read_text()
