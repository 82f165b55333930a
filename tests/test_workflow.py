"""The workflow: from images to Table 2, and what an edit rebuilds."""

import copy
import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from conftest import ROOT, SMALL, Study

from memaudit import store, tables
from memaudit.buckets.assign import Assignment
from memaudit.buckets.leaks import Leak
from memaudit.data.dataset import load
from memaudit.models.removals import read_examples
from memaudit.results import table2
from memaudit.scores.external import Judgment
from memaudit.scores.facade import Scores
from memaudit.scores.privacy import ExampleLeakage, Leakage
from memaudit.scores.selection import Pair, selecting_half
from memaudit.study import models_needed
from memaudit.study.owner import claim
from memaudit.study.study import Study as Configured
from memaudit.tables import read_rows

TRAINED = {"train"}
REPORT = {"claims", "summary", "pages"}
AFTER_BUCKETS = {"removals", "planted", "examples", "figures"}
AFTER_SELECTION = {"subpopulations", "buckets"} | AFTER_BUCKETS | REPORT
AFTER_SCORES = {"export_fz", "selection", "review", "reliability"} | AFTER_SELECTION
TABLE = {"accuracies", "table2", "figures", "affected"} | REPORT


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
    assert [row.models for row in rows] == [
        (3, 3),
        None,
        None,
        None,
    ]


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


def test_half_of_the_test_examples_have_no_part_in_the_selection(study):
    study.config["selection"]["held_out_half"] = True
    study.snakemake("results/small/selected_pairs.csv")
    pairs = read_rows(study.results / "selected_pairs.csv", Pair)
    labels = load(study.folder / "data/small.h5").test_labels
    assert len(pairs) > 5
    assert selecting_half(labels, seed=0)[[pair.test for pair in pairs]].all()


def test_figures_are_pictures(finished):
    names = ("influence", "most_memorized", "memorization", "drops", "learning_curves")
    names += ("reliability", "affected", "similarity")
    for name in (*names, "exact_duplicates", "near_duplicates", "subpopulations"):
        assert (finished.results / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (finished.results / f"figures/{name}.svg").read_text()


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
            *(
                "supported",
                "contradicted",
                "equivalent within the margin",
                "inconclusive",
                "not tested",
            ),
        )
        assert (row["claim"] in text) == (row["source"] != "not in the papers")


def test_another_folder_gives_the_same_table(finished, tmp_path):
    again = Study(tmp_path)
    again.snakemake()
    names = ("table2.csv", "table2.md", "buckets.csv", "planted.csv", "duplicates.csv")
    for name in (*names, "reliability.csv", "affected.csv", "groups.csv", "affected_summary.csv"):
        assert digest(again.results / name) == digest(finished.results / name), name


def test_a_finished_study_has_nothing_to_do(study):
    assert study.planned() == {}


def test_settings_of_speed_rerun_nothing(study):
    study.config["training"] |= {"checkpoint_minutes": 1, "max_hours": None, "loader": "resident"}
    study.config["training"]["models_per_job"] = "auto"  # the shards there are keep their names
    study.config["mirror"] = "elsewhere"
    study.config["plan"] = {"drop": 0.5}
    assert study.planned() == {}


def test_a_study_copied_without_its_times_is_not_too_long(study):
    """Without metadata, and with a dataset newer than its models, all jobs look out of date."""
    study.config["training"]["max_hours"] = 1e-6
    files = [p for folder in ("data", "results") for p in (study.folder / folder).rglob("*")]
    for path in filter(Path.is_file, files):
        os.utime(path, (1e9, 1e9))
    shutil.rmtree(study.folder / ".snakemake")
    for name in ("small.h5", "small.sha256"):
        (study.folder / "data" / name).touch()
    table = (study.results / "table2.csv").read_bytes()
    assert study.planned()["train"] > 8
    shard = next(study.results.glob("models/weight_decay/memorized/*.h5"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:3000])
    done = study.snakemake(check=False)
    assert done.returncode != 0
    assert "max_hours = 1e-06: this run would train 3 models" in done.stderr
    shard.write_bytes(whole)
    text = study.snakemake().stderr
    assert "90 models have the modification time of another run; they are taken over" in text
    assert "snakemake --touch" in text
    assert (study.results / "table2.csv").read_bytes() == table


def test_max_hours_counts_what_an_edit_may_train(study):
    study.config["training"]["max_hours"] = 1e-6
    study.config["selection"]["memorization"] = 0.9
    done = study.snakemake(check=False)
    assert "max_hours = 1e-06: this run would train 24 models" in done.stderr


def test_until_says_what_to_name_instead(study):
    for rule, file in (
        ("scores", "scores/original.h5"),
        ("buckets", "buckets.csv"),
        ("train", "models/original/subset/000000-000029.h5"),
    ):
        spelling = {"scores": ["-nU", rule], "buckets": ["--unti=" + rule]}
        done = study.snakemake(*spelling.get(rule, ["--until", rule]), "-n", check=False)
        assert done.returncode != 0
        assert f"instead: snakemake results/small/{file}" in done.stderr + done.stdout
    for omitting in (["--omit-from", "selection"], ["-O", "selection"]):
        done = study.snakemake(*omitting, "-n", check=False)
        assert done.returncode != 0
        assert "--omit-from does not work with the checkpoints" in done.stderr + done.stdout


def test_a_damaged_dataset_is_one_error(study):
    (study.folder / "data/small.h5").write_bytes(b"junk")
    done = study.snakemake("-n", check=False)
    text = done.stdout + done.stderr
    assert done.returncode != 0 and "small.h5: damaged or of another kind" in text
    assert "Traceback" not in text


def test_models_of_other_images_are_not_replaced(study):
    before = {
        p: p.read_bytes() for p in [*study.results.rglob("*.h5"), *study.folder.glob("data/*")]
    }
    study.config["dataset"]["longtail"]["noise"] += 1
    done = study.snakemake(check=False)
    assert done.returncode != 0
    found = re.search(
        r"small/models: (\d+) finished models were trained on other images", done.stderr
    )
    assert found and int(found[1]) == 60 + 10 * 3
    assert {p: p.read_bytes() for p in before} == before


def test_models_that_will_be_replaced_are_counted(study):
    study.config["recipes"]["weight_decay"]["weight_decay"] = 0.01
    words = (
        "21 finished models (shards in results/small/models: 7) were trained with other settings"
    )
    for arguments in (["-n"], ["plan"]):
        done = study.snakemake(*arguments)
        text = " ".join((done.stdout + done.stderr).split())
        assert f"{words} (recipes.weight_decay.weight_decay) and will be replaced" in text
    study.config["recipes"]["weight_decay"]["weight_decay"] = 0.005
    assert "will be replaced" not in study.snakemake("-n").stderr


def test_images_that_did_not_change_train_nothing(study):
    """Touched, or rebuilt with the same content."""
    (study.folder / "data/small.h5").touch()
    assert "train" not in study.planned()
    before = {p: p.stat().st_mtime_ns for p in study.results.rglob("models/**/*.h5")}
    (study.folder / "data/small.h5").unlink()
    study.snakemake()
    assert {p: p.stat().st_mtime_ns for p in study.results.rglob("models/**/*.h5")} == before


def test_weight_decay_of_one_recipe(study):
    study.config["recipes"]["weight_decay"]["weight_decay"] = 0.01
    assert study.planned() == {"train": 7} | dict.fromkeys(TABLE | {"learning_curves"}, 1)


def test_settings_of_the_scored_recipe(study):
    study.config["recipes"]["original"]["epochs"] = 19
    planned = study.planned()
    assert planned["scores"] == 1
    assert "dataset" not in planned
    assert "duplicates" not in planned


def test_a_threshold_trains_no_subset_model(study):
    study.config["selection"]["memorization"] = 0.9
    planned = study.planned()
    # beforehand only an upper bound is known: every removal may turn out to have changed
    assert planned == {"train": 8} | dict.fromkeys((AFTER_SCORES - {"export_fz"}) | TABLE, 1)


def test_a_threshold_that_changes_no_set_retrains_nothing(study):
    before = {p: p.stat().st_mtime_ns for p in study.results.rglob("models/**/*.h5")}
    lists = {p.name: p.read_text() for p in study.results.glob("removals/*.txt")}
    with h5py.File(study.results / "scores/original.h5") as file:
        values = file["memorization"][:]
    below = values[values < 0.25].max()
    study.config["selection"]["memorization"] = float(below + 0.25) / 2
    study.snakemake()
    assert {p.name: p.read_text() for p in study.results.glob("removals/*.txt")} == lists
    assert {p: p.stat().st_mtime_ns for p in study.results.rglob("models/**/*.h5")} == before
    assert study.planned() == {}


def test_a_threshold_retrains_the_removals_that_changed(study):
    before = {p: p.stat().st_mtime_ns for p in study.results.rglob("models/**/*.h5")}
    study.config["duplicates"] = {"near": 0.0, "review": 0.0}
    lists = {p.name: p.read_text() for p in study.results.glob("removals/*.txt")}
    study.snakemake()
    after = {p.name: p.read_text() for p in study.results.glob("removals/*.txt")}
    assert after["selected.txt"] == lists["selected.txt"]
    assert after["memorized.txt"] != lists["memorized.txt"]
    changed = {p.parent.name for p, time in before.items() if p.stat().st_mtime_ns != time}
    assert changed == {"leakage_shift", "memorized", "random_leakage_shift", "random_memorized"}


def test_a_manual_annotation_rebuilds_what_it_changes(study):
    """A duplicate and a group are denied; the models of the two buckets are trained again."""
    before = {p: p.stat().st_mtime_ns for p in study.results.rglob("models/**/*.h5")}
    buckets, leaks = (study.results / f"{name}.csv" for name in ("buckets", "leaks"))
    called = read_rows(buckets, Assignment)
    copy = next(r for r in called if r.reason in ("exact", "near") and r.group is None)
    group = next(r.group for r in called if r.reason == "subpopulation")
    members = [r.example for r in called if r.group == group]
    lines = [f"duplicate,{copy.example},{test},different" for test in copy.test_examples]
    lines.append(f"group,{' '.join(map(str, members))},,different")
    (study.folder / "said.csv").write_text("\n".join(["item,train,test,decision", *lines, ""]))
    study.config["review"] = {"decisions": "said.csv"}
    again = {"leaks", "buckets"} | AFTER_BUCKETS | TABLE
    assert study.planned() == {"train": 8} | dict.fromkeys(again, 1)
    done = study.snakemake("results/small/table2.csv")
    assert "out of date: snakemake claims summary pages figures affected" in done.stdout
    now = {r.example: r for r in read_rows(buckets, Assignment)}
    assert (now[copy.example].reason, now[copy.example].decided_by) == ("none", "manual annotation")
    alone = [now[index] for index in members if now[index].reason not in ("exact", "near")]
    assert {(r.reason, r.decided_by) for r in alone} == {("none", "manual annotation")}
    others = [r for r in called if r.example not in (copy.example, *members)]
    for row in others:
        assert (now[row.example].reason, now[row.example].decided_by) == (row.reason, "rule")
    assert not {leak.test for leak in read_rows(leaks, Leak)} & set(copy.test_examples)
    clean = read_examples(study.results / "leak_free_test.txt").tolist()
    assert set(copy.test_examples) <= set(clean)
    changed = {p.parent.name for p, time in before.items() if p.stat().st_mtime_ns != time}
    assert changed == {"leakage_shift", "memorized", "random_leakage_shift", "random_memorized"}


def test_more_subset_models_train_only_the_new(study):
    study.config["memorization"]["models"] = 90
    planned = study.planned("results/small/scores/original.h5")
    assert planned == {"train": 1, "scores": 1}
    study.config["memorization"]["models"] = 75
    assert study.planned("results/small/scores/original.h5") == {"train": 1, "scores": 1}


def test_privacy_is_a_target_that_trains_nothing(study):
    assert study.planned("privacy") == {"privacy": 1}
    study.snakemake("privacy")
    rows = read_rows(study.results / "privacy.csv", Leakage)
    found = {(row.attack, row.quantity): row for row in rows if row.group == "all"}
    assert len(found) == 10
    assert found["online", "auc"].low > 0.5
    assert found["online", "auc"].n_models == 60
    assert found["online", "rank_correlation"].value > 0.5
    examples = read_rows(study.results / "privacy_examples.csv", ExampleLeakage)
    buckets = read_rows(study.results / "buckets.csv", Assignment)
    assert {row.example for row in examples if row.bucket} == {row.example for row in buckets}
    study.config["memorization"]["store_margins"] = False
    assert study.planned("results/small/scores/original.h5") == {}, "stored margins stay"
    done = study.snakemake("privacy", check=False)
    assert "memorization.store_margins = False" in done.stdout + done.stderr


def test_scores_of_other_methods_are_judged_and_their_top_examples_removed(study):
    """`external` trains nothing; a list of top examples is a removal like any other."""
    data = load(study.folder / "data/small.h5")
    scores = Scores.from_file(study.results / "scores/original.h5")
    images = [x.reshape(len(x), -1) / 255 - 0.5 for x in (data.train_images, data.test_images)]
    np.save(study.folder / "pixels.npy", images[0] @ images[1].T)
    np.save(study.folder / "forgetting.npy", -scores.memorization.value)
    study.config["external"] = {"pixels": "pixels.npy", "forgetting": "forgetting.npy"}
    assert study.planned("external") == {"external": 1}
    study.snakemake("external")
    rows = {(r.score, r.quantity): r for r in read_rows(study.results / "external.csv", Judgment)}
    assert rows["forgetting", "rank_correlation"].value == -1
    assert rows["forgetting", "overlap"].value == 1
    assert rows["margins", "lds"].low > 0
    assert rows["pixels", "lds"].models == 60
    made = [study.results / name for name in ("external.csv", "figures/external.png")]
    before = [digest(path) for path in made]
    np.save(study.folder / "pixels.npy", images[0])
    done = study.snakemake("external", check=False)
    assert done.returncode and "training x test" in done.stdout + done.stderr
    assert [digest(path) for path in made] == before, "a wrong file leaves earlier results"
    name = "results/small/removals/top_forgetting.txt"
    study.config["removals"] = {"forgotten": name}
    assert study.planned()["train"] == 2
    study.snakemake(name)
    selected = read_examples(study.results / "removals/selected.txt")
    top = read_examples(study.folder / name)
    assert len(top) == len(selected)
    rest = np.delete(scores.memorization.value, top)
    assert scores.memorization.value[top].min() >= rest.max()
    study.config["external"] = {}
    done = study.snakemake("external", check=False)
    assert "name their files under `external`" in done.stdout + done.stderr


def test_scores_from_margins_need_no_new_models(study):
    study.config["memorization"]["estimator"] = "margins"
    assert study.planned("results/small/scores/original.h5") == {"scores": 1}
    study.snakemake("results/small/reliability.csv")
    scores = Scores.from_file(study.results / "scores/original.h5")
    assert all(block.z is not None for block in scores.influence)
    assert len(scores.select(z=2.5)) > 0


def test_more_trials_keep_the_models_there_are(study):
    study.config["trials"] = 4
    arm = study.results / "models/weight_decay/memorized"
    study.snakemake("results/small/models/weight_decay/memorized/000000-000003.h5")
    log = (study.results / "logs/train/weight_decay/memorized/000000-000003.log").read_text()
    assert "3 of 4 models found, not trained again" in log
    with h5py.File(arm / "000000-000003.h5") as new, h5py.File(arm / "000000-000002.h5") as old:
        assert np.array_equal(new["test_correct"][:3], old["test_correct"])
        assert new.attrs["device"] == old.attrs["device"]
        assert re.fullmatch(r"CPU \(.+\), one thread", new.attrs["device"])


def test_an_edited_network_of_the_users_own_trains_its_models_again(study):
    source = study.folder / "nets.py"
    source.write_text("from memaudit.models.networks import tiny\n")
    study.config["recipes"]["original"]["network"] = "nets:tiny"
    shard = "results/small/models/original/none/000000-000002.h5"
    study.snakemake(shard)
    assert study.planned(shard) == {}
    source.write_text(source.read_text() + "# edited\n")
    assert study.planned(shard) == {"train": 1}
    study.snakemake(shard)
    log = (study.results / "logs/train/original/none/000000-000002.log").read_text()
    assert "training 3 models (nets:tiny" in log


def test_memorization_under_weight_decay_is_a_target(study):
    planned = study.planned("results/small/scores/weight_decay.h5")
    assert planned == {"train": 2, "scores": 1}


def test_all_pairs_are_a_file_on_request(study):
    study.config["memorization"]["influence"] = "all_pairs"
    assert study.planned() == {"all_pairs": 1, "pages": 1, "summary": 1}
    path = study.results / "scores/original_all_pairs.h5"
    study.snakemake(str(path.relative_to(study.folder)))
    scores = Scores.from_file(study.results / "scores/original.h5")
    with store.reading(path, store.ALL_PAIRS) as pairs:
        for block in scores.influence:
            found = pairs["influence"][:][np.ix_(block.train_index, block.test_index)]
            assert found == pytest.approx(block.influence, abs=1e-6)


def test_a_removal_of_the_user_gets_a_row_and_a_control(study):
    (study.folder / "mine.txt").write_text("0\n1\n2\n3\n4\n")
    study.config["removals"] = {"mine": "mine.txt"}
    study.snakemake("results/small/table2.csv")
    rows = tables.read_texts(study.results / "table2.csv")
    assert [(r["removal"], r["n_removed"]) for r in rows[8:]] == [
        ("mine", "5"),
        ("random_mine", "5"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(seeds=1), "seeds = 1: unknown key"),
        (
            lambda c: c["selection"].update(influence=3),
            "influence = 3: must be a number from",
        ),
    ],
)
def test_an_invalid_configuration_is_one_message(study, change, message):
    change(study.config)
    done = study.snakemake("-n", check=False)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_an_invalid_image_is_one_message(study):
    folder = study.folder / "images"
    for side in ("train", "test"):
        for name in ("a", "b"):
            (folder / side / name).mkdir(parents=True)
            for number in range(20):
                (folder / side / name / f"{number}.png").write_text("no image")
    study.config["dataset"] |= {"kind": "image_folder", "image_folder": {"path": "images"}}
    study.config["dataset"]["name"] = "mine"
    study.config["results"] = "results/mine"
    done = study.snakemake("data/mine.h5", check=False)
    assert done.returncode != 0
    assert "images/train/a/1.png: not an image" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (study.folder / "data/mine.h5").exists()


def test_divergence_is_one_message(study):
    study.config["recipes"]["weight_decay"]["learning_rate"] = 1e30
    target = "results/small/models/weight_decay/none/000000-000002.h5"
    done = study.snakemake(target, check=False)
    assert done.returncode != 0
    assert "recipe weight_decay, removal none, trial 0, epoch 1 of 20" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_study_is_a_module_of_another_workflow(tmp_path):
    """Only keys that differ from the defaults are given; rules have a prefix; guards hold."""
    (tmp_path / "Snakefile").write_text(
        'configfile: "study.yaml"\n'
        f'module memaudit:\n    snakefile: "{ROOT}/workflow/Snakefile"\n    config: config\n'
        "use rule * from memaudit as memaudit_*\n"
    )
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(SMALL))

    def snakemake(*arguments):
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    status, text = snakemake("--dry-run")
    assert status == 0, text
    assert "memaudit_table2" in text and "memaudit_all" in text
    status, text = snakemake("data/small.h5")
    assert status == 0, text
    assert load(tmp_path / "data/small.h5").n_train > 50
    claim(tmp_path / "results/small", "other")
    status, text = snakemake("--dry-run")
    assert status != 0 and "holds the study of the dataset 'other'" in text
    status, text = snakemake("--dry-run", "--config", "sed=3")
    assert status != 0 and "sed = 3: unknown key" in text
