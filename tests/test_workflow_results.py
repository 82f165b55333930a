"""A finished study: its tables, figures, report and summary agree with each other."""

import copy
import csv
import shutil

import h5py
import numpy as np
import pytest
from conftest import Study

from memaudit import tables
from memaudit.buckets.assign import Assignment
from memaudit.results import table2
from memaudit.scores.selection import Pair
from memaudit.study import models_needed
from memaudit.study.study import Study as Configured
from memaudit.tables import read_rows


def test_table_2_comes_out(finished):
    rows = tables.read_texts(finished.results / "table2.csv")
    assert [(r["recipe"], r["removal"]) for r in rows][:4] == [
        ("original", "selected"),
        ("weight_decay", "selected"),
        ("weight_decay", "leakage_shift"),
        ("weight_decay", "memorized"),
    ]
    by_name = {(r["recipe"], r["removal"]): r for r in rows}
    for r in rows:
        assert r["n_models_full"] == r["n_models_reduced"] == "3"
        drop = float(r["acc_full"]) - float(r["acc_reduced"])
        assert drop == pytest.approx(float(r["drop"]), abs=2e-4)
        assert float(r["drop_low"]) <= drop <= float(r["drop_high"])
        bucket = by_name[r["recipe"], r["removal"].removeprefix("random_")]
        assert r["n_removed"] == bucket["n_removed"]
    sizes = [
        int(by_name["weight_decay", name]["n_removed"]) for name in ("leakage_shift", "memorized")
    ]
    assert sum(sizes) == int(by_name["original", "selected"]["n_removed"]) > 10
    assert by_name["original", "selected"]["published_drop"] == ""  # that is for CIFAR-100


def test_the_drop_is_split_among_the_test_examples(finished):
    """Contributions of groups add up to the drops of Table 2, for each row of the paper's."""
    drops = {
        (r["recipe"], r["removal"]): float(r["drop"])
        for r in tables.read_texts(finished.results / "table2.csv")[:4]
    }
    groups = tables.read_texts(finished.results / "groups.csv")
    summaries = tables.read_texts(finished.results / "affected_summary.csv")
    examples = tables.read_texts(finished.results / "affected.csv")
    assert [(s["recipe"], s["removal"]) for s in summaries] == list(drops)
    for summary in summaries:
        arm = summary["recipe"], summary["removal"]
        of = [g for g in groups if (g["recipe"], g["removal"]) == arm]
        assert sum(float(g["contribution"]) for g in of) == pytest.approx(drops[arm], abs=0.01)
        assert sum(int(g["test_examples"]) for g in of) == int(summary["test_examples"])
        here = [p for p in examples if (p["recipe"], p["removal"]) == arm]
        assert len(here) == int(summary["influenced"]) > 0


def test_every_selected_example_has_one_bucket(finished):
    with open(finished.results / "buckets.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    examples = [int(r["example"]) for r in rows]
    assert len(set(examples)) == len(examples) > 10
    lists = {
        name: set(map(int, (finished.results / f"removals/{name}.txt").read_text().split()))
        for name in ("selected", "leakage_shift", "memorized")
    }
    assert lists["selected"] == set(examples)
    assert lists["leakage_shift"] | lists["memorized"] == lists["selected"]
    assert not lists["leakage_shift"] & lists["memorized"]


def test_shards_hold_what_others_rely_on(finished):
    shards = sorted((finished.results / "models/original/subset").glob("*.h5"))
    assert len(shards) == 2
    with h5py.File(shards[0]) as file:
        assert file["train_mask"].shape[0] == file["train_correct"].shape[0] == 30
        count = int(file.attrs["n_train"])
        mask = np.unpackbits(file["train_mask"][:], axis=1, count=count)
    assert mask.mean() == pytest.approx(0.7, abs=0.01)
    with h5py.File(finished.results / "scores/original.h5") as file:
        assert file["memorization"].shape == (count,)


def test_reliability_is_of_the_scores_and_the_selection(finished):
    rows = tables.read_texts(finished.results / "reliability.csv")
    by_name = {(r["quantity"], r["models"]): r["value"] for r in rows}
    pairs = read_rows(finished.results / "selected_pairs.csv", Pair)
    assert int(by_name["examples_selected", "60"]) == len({pair.train for pair in pairs})
    halves = float(by_name["memorization_correlation", "30"])
    assert 0.5 < halves < float(by_name["memorization_reliability", "60"]) < 1


def test_the_plan_counts_models_by_those_that_are_trained(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    rows = models_needed.rows(Configured(finished.config))
    assert len(rows) == 4
    with h5py.File("results/small/accuracies.h5") as file:
        for row in rows:
            assert row.models == (3, 3)
            control, reduced = (
                file[f"{row.recipe}/{prefix}{row.removal}/test_accuracy"][:]
                for prefix in ("random_", "")
            )
            assert row.sd == pytest.approx((control - reduced).std(ddof=1), abs=1e-3)
    text = models_needed.render_needed(Configured(finished.config))
    assert "memorized examples, from 60 models: " in text
    assert text.count(" 3, 3 ") == 4
    assert max(map(len, text.splitlines())) <= 100
    other = copy.deepcopy(finished.config)
    other["recipes"]["weight_decay"]["weight_decay"] = 0.01  # its models are of another recipe
    rows = models_needed.rows(Configured(other))
    assert [row.models for row in rows] == [(3, 3), None, None, None]


def test_figures_are_pictures(finished):
    names = ("influence", "most_memorized", "memorization", "drops", "learning_curves")
    names += ("reliability", "affected", "similarity")
    for name in (*names, "exact_duplicates", "near_duplicates", "subpopulations"):
        assert (finished.results / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (finished.results / f"figures/{name}.svg").read_text()


def test_the_summary_counts_what_was_trained(finished):
    text = (finished.results / "summary.md").read_text()
    models = [row for row in text.splitlines() if row.startswith("| original | subset")]
    assert "| 60 |" in models[0] and "CPU" in models[0]
    assert "**Models.** 90 models" in text
    assert (finished.results / "answer.md").read_text().strip() in text
    selected = read_rows(finished.results / "buckets.csv", Assignment)
    assert f": {len(selected):,} examples in" in text
    with open(finished.results / "claims.csv", newline="") as file:
        claims = list(csv.DictReader(file))
    assert len(claims) == 8
    for row in claims:
        assert row["verdict"] in (
            "supported",
            "contradicted",
            "equivalent within the margin",
            "inconclusive",
            "not tested",
        )
        assert (row["claim"] in text) == (row["source"] != "not in the papers")


def test_the_report_is_one_file_in_reading_order(study):
    # as in a folder without config/config.yaml: the front page shows settings that are not given
    shutil.rmtree(study.folder / "config")
    study.config["selection"] = {"z": 2.5}
    study.snakemake("--report", "report.html")
    text = (study.folder / "report.html").read_text()
    assert "Does memorization matter for this dataset?" in text
    assert "1 The answer" in text
    answer = (study.results / "answer.md").read_text()
    assert answer.startswith("Verdict (recipe ") and answer.partition(" selected")[0] in text
    for name in ("answer.html", "table2.html", "claims.html", "drops.png", "subpopulations.png"):
        assert f"results/small/{name}" in text.replace("report/", "").replace("figures/", "")
    page = (study.results / "report/table2.html").read_text()
    for column in tables.column_names(table2.Table2Row):
        assert f"<code>{column}</code>" in page


def test_another_folder_gives_the_same_table(finished, tmp_path):
    again = Study(tmp_path)
    again.snakemake()
    names = ("table2.csv", "table2.md", "buckets.csv", "planted.csv", "duplicates.csv")
    for name in (*names, "reliability.csv", "affected.csv", "groups.csv", "affected_summary.csv"):
        assert (again.results / name).read_bytes() == (finished.results / name).read_bytes(), name
