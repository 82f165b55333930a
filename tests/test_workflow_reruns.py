"""What an edit of the configuration rebuilds, and what it leaves."""

import re

import h5py
import numpy as np

from memaudit.buckets.assign import Assignment
from memaudit.buckets.leaks import Leak
from memaudit.models.removals import read_examples
from memaudit.tables import read_rows

REPORT = {"claims", "summary", "pages"}
AFTER_BUCKETS = {"removals", "planted", "examples", "figures"}
AFTER_SELECTION = {"subpopulations", "buckets"} | AFTER_BUCKETS | REPORT
AFTER_SCORES = {"export_fz", "selection", "review", "reliability"} | AFTER_SELECTION
TABLE = {"accuracies", "table2", "figures", "affected"} | REPORT


def test_a_finished_study_has_nothing_to_do(study):
    assert study.planned() == {}


def test_settings_of_speed_rerun_nothing(study):
    study.config["training"] |= {"checkpoint_minutes": 1, "max_hours": None, "loader": "resident"}
    study.config["training"]["models_per_job"] = "auto"  # the shards there are keep their names
    study.config["mirror"] = "elsewhere"
    study.config["plan"] = {"drop": 0.5}
    assert study.planned() == {}


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
