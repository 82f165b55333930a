"""Targets and settings besides the paper's study, and the workflow as a module."""

import subprocess
import sys

import numpy as np
import pytest
import yaml
from conftest import ROOT, SMALL

from memaudit import store, tables
from memaudit.buckets.assign import Assignment
from memaudit.data.dataset import load
from memaudit.models.removals import read_examples
from memaudit.scores.external import Judgment
from memaudit.scores.facade import Scores
from memaudit.scores.privacy import ExampleLeakage, Leakage
from memaudit.scores.selection import Pair, selecting_half
from memaudit.study.owner import claim
from memaudit.tables import read_rows


def test_half_of_the_test_examples_have_no_part_in_the_selection(study):
    study.config["selection"]["held_out_half"] = True
    study.snakemake("results/small/selected_pairs.csv")
    pairs = read_rows(study.results / "selected_pairs.csv", Pair)
    labels = load(study.folder / "data/small.h5").test_labels
    assert len(pairs) > 5
    assert selecting_half(labels, seed=0)[[pair.test for pair in pairs]].all()


def test_scores_from_margins_need_no_new_models(study):
    study.config["memorization"]["estimator"] = "margins"
    assert study.planned("results/small/scores/original.h5") == {"scores": 1}
    study.snakemake("results/small/reliability.csv")
    scores = Scores.from_file(study.results / "scores/original.h5")
    assert all(block.z is not None for block in scores.influence)
    assert len(scores.select(z=2.5)) > 0


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
    before = [path.read_bytes() for path in made]
    np.save(study.folder / "pixels.npy", images[0])
    done = study.snakemake("external", check=False)
    assert done.returncode and "training x test" in done.stdout + done.stderr
    assert [path.read_bytes() for path in made] == before, "a wrong file leaves earlier results"
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


def test_a_removal_of_the_user_gets_a_row_and_a_control(study):
    (study.folder / "mine.txt").write_text("0\n1\n2\n3\n4\n")
    study.config["removals"] = {"mine": "mine.txt"}
    study.snakemake("results/small/table2.csv")
    rows = tables.read_texts(study.results / "table2.csv")
    assert [(r["removal"], r["n_removed"]) for r in rows[8:]] == [
        ("mine", "5"),
        ("random_mine", "5"),
    ]


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
