"""What follows from a configuration: arms, models, files and sweeps, without Snakemake."""

import copy

import numpy as np
import pytest
from conftest import ROOT, SMALL, merged
from study_files import IMAGES, shard

from memaudit import Scores, store
from memaudit.data.dataset import save
from memaudit.errors import AuditError
from memaudit.study import model_times, models_needed, plan, trained
from memaudit.study.checks import read_config
from memaudit.study.images import n_images
from memaudit.study.study import Study

SWEEPS = {"weight_decay": ["0", 1e-05, 0.005], "thresholds": [1, 0.25], "trials": 2}
SOURCES = ROOT / "data" / "sources.yaml"


@pytest.fixture
def config():
    return merged(copy.deepcopy(SMALL), {"sweeps": SWEEPS})


def test_the_rows_of_table_2(config):
    rows = Study(config).rows
    assert rows[:4] == [
        ("original", "selected"),
        ("weight_decay", "selected"),
        ("weight_decay", "leakage_shift"),
        ("weight_decay", "memorized"),
    ]
    assert rows[4:] == [(recipe, f"random_{removal}") for recipe, removal in rows[:4]]


def test_a_removal_of_the_user_gets_rows_and_its_own_list(config, tmp_path):
    (tmp_path / "mine.txt").write_text("0\n1\n")
    config["removals"] = {"mine": str(tmp_path / "mine.txt")}
    study = Study(config)
    assert study.rows[8:] == [("weight_decay", "mine"), ("weight_decay", "random_mine")]
    assert study.removal_list("random_mine") == str(tmp_path / "mine.txt")
    assert study.removal_list("random_selected") == "results/small/removals/selected.txt"
    assert study.removal_list("none") == study.removal_list("subset") == []


def test_the_models_of_a_study_and_their_shards(config):
    study = Study(config)
    assert study.models[("original", "subset")] == 60
    assert study.models[("weight_decay", "none")] == 3
    assert sum(study.models.values()) == 60 + 10 * 3
    assert study.shards("original", "subset") == [
        f"results/small/models/original/subset/{chunk}.h5"
        for chunk in ("000000-000029", "000030-000059")
    ]
    assert len(study.shards_of(study.arms)) == 10
    gathered = study.gathered([("weight_decay", "memorized")])
    assert gathered["arms"] == [("weight_decay", "memorized", 3)]
    assert gathered["recipes"] == {"weight_decay": study.recipes["weight_decay"]}
    assert gathered["lists"] == {"memorized": "results/small/removals/memorized.txt"}


def test_the_papers_study_needs_four_published_files():
    study = Study({}, SOURCES)
    assert list(study.needed_files.values()) == [
        "cifar100",
        "fz_pairs",
        "fz_memorization",
        "cifair100",
    ]
    assert study.scores == "results/scores/published.h5"
    assert "results/agreement.csv" in study.targets
    assert not [target for target in study.targets if "planted" in target or "fz.npz" in target]
    study = Study({"duplicates": {"cifair": []}, "memorization": {"source": "published_matrix"}})
    assert "cifair100" not in study.needed_files.values()
    assert study.scores == "results/scores/published_matrix.h5"


def test_synthetic_images_need_no_file_and_are_checked(config):
    study = Study(config, SOURCES)
    assert study.needed_files == {} and study.cifar_files == []
    assert {"results/small/planted.csv", "results/small/scores/original_fz.npz"} <= {*study.targets}
    assert (
        n_images(study.config.dataset, "train")
        == n_images(read_config(config).dataset, "train")
        > 50
    )


def test_a_value_that_a_recipe_has_is_that_recipe(config):
    """0 is original and 0.005 weight_decay, which differ in weight decay only; 1e-5 is new."""
    study = Study(config)
    assert study.weight_decay_recipes == {
        "0": "original",
        "0.00001": "weight_decay_0.00001",
        "0.005": "weight_decay",
    }
    configured = study.settings["recipes"]
    derived = study.recipes["weight_decay_0.00001"]
    assert derived == configured["weight_decay"] | {"weight_decay": 1e-05}
    assert {name: study.recipes[name] for name in configured} == configured
    config["recipes"]["original"]["epochs"] = 19
    assert Study(config).weight_decay_recipes["0"] == "weight_decay_0"


def models(study):
    """Models of each arm of every sweep that can be run."""
    return {
        name: {arm: study.n_models(*arm) for arm in study.sweeps[name].arms}
        for name in study.possible_sweeps
    }


def test_the_arms_of_a_sweep_and_their_models(config):
    """An arm that is also in Table 2 has as many models as there (3), others `sweeps.trials`."""
    found = models(Study(config))
    assert found["weight_decay"] == {
        (recipe, removal): 2 if recipe == "weight_decay_0.00001" else 3
        for recipe in ("original", "weight_decay_0.00001", "weight_decay")
        for removal in ("none", "selected", "random_selected")
    }
    lists = ("above_1", "random_above_1", "above_0.25", "random_above_0.25")
    assert found["threshold_curve"] == {
        (recipe, removal): 3 if removal == "none" else 2
        for recipe in ("original", "weight_decay")
        for removal in ("none", *lists)
    }
    assert found["rescored"] == {("original", "subset"): 60, ("weight_decay", "subset"): 60}
    config["memorization"]["recipe"] = "weight_decay"
    assert Study(config).other_recipe == "original"


def test_the_plan_states_what_a_sweep_adds(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study, machine = Study(config), plan.Machine("cpu", 1)
    counts = {cost.name: cost.models for cost in plan.sweep_costs(study, machine)}
    expected = {"weight_decay": 6, "rescored": 60, "threshold_curve": 16, "sweeps": 82}
    assert counts == expected
    # a recipe of a sweep takes as long as the recipe that it is derived from
    ours, theirs = (
        plan.part(study, machine, (recipe, "none"), 2)
        for recipe in ("weight_decay_0.00001", "weight_decay")
    )
    assert (ours.recipe, ours.seconds) == ("weight_decay_0.00001", theirs.seconds)


def test_the_plan_counts_the_start_of_each_job_and_names_the_basis(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_networks.py").write_text("def small(classes): ...")
    config["recipes"]["original"]["network"] = "my_networks:small"
    study, machine = Study(config), plan.Machine("gpu", 1)
    part = plan.part(study, machine, ("original", "none"), 61)  # 30 models per job
    assert part.hours == pytest.approx((61 * part.seconds + 3 * 10) / 3600)
    assert part.basis == "as fz_resnet50"
    assert plan.part(study, machine, ("weight_decay", "none"), 1).basis == "stated rate"
    text = plan.render_cost(study, plan.Machine("cpu", 2, "a GPU was given, but " + 20 * "no use "))
    assert "Training stops on this machine:\n  a GPU was given, but no use" in text
    assert "A network of your own is assumed to take as long as fz_resnet50;" in text
    assert max(map(len, text.splitlines())) <= 100


def test_only_models_of_the_present_recipe_are_measured(config, tmp_path, monkeypatch):
    """Their seconds are 1 each; subset models are trained on 0.7 of the examples."""
    monkeypatch.chdir(tmp_path)
    study = Study(config)
    store.write_text(study.digest, f"{IMAGES.digest()}\n")
    everything = np.ones(IMAGES.n_train, bool)
    folder = f"{study.results}/models/original"
    shard(f"{folder}/none/000000-000001.h5", removal="none", mask=lambda trial: everything)

    def cost(study, removal):
        return model_times.seconds_per_model(study, "cpu", ("original", removal))

    assert cost(study, "none") == cost(study, "selected") == (1.0, "measured")
    assert cost(study, "subset") == (pytest.approx(0.7), "measured")
    for change in ({"network": "resnet9"}, {"epochs": 600}):
        changed = Study(merged(copy.deepcopy(config), {"recipes": {"original": change}}))
        assert {cost(changed, removal)[1] for removal in ("none", "subset")} == {"stated rate"}
    (tmp_path / folder / "none/000000-000001.h5").unlink()
    shard(f"{folder}/subset/000000-000001.h5")
    assert cost(study, "subset") == (1.0, "measured")
    assert cost(study, "none") == (pytest.approx(1 / 0.7), "measured")


def test_the_plan_names_removals_without_examples(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study(config)
    lists = tmp_path / study.results / "removals"
    lists.mkdir(parents=True)
    for name, text in (("memorized", "# none\n"), ("leakage_shift", "3\n")):
        (lists / f"{name}.txt").write_text(text)
    text = plan.render_cost(study, plan.Machine("cpu", 1))
    assert "No example is removed in memorized: models" in text


def test_the_plan_counts_models_without_margins(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study(config)
    save(IMAGES, study.dataset)
    store.write_text(study.digest, f"{IMAGES.digest()}\n")
    path = f"{study.results}/models/original/subset/000000-000029.h5"
    shard(path, trials=range(30))
    text = plan.render_cost(study, plan.Machine("cpu", 1))
    assert "30 subset models were trained without keeping margins: they will be trained" in text
    assert trained.untrained(study, path) == 30
    config["memorization"]["store_margins"] = False
    assert "margins" not in plan.render_cost(Study(config), plan.Machine("cpu", 1))
    assert trained.untrained(Study(config), path) == 0


def test_the_plan_foresees_that_the_images_may_be_others(config, tmp_path, monkeypatch):
    """Which only reading them tells."""
    monkeypatch.chdir(tmp_path)
    study, machine = Study(config), plan.Machine("cpu", 1)
    changed = Study(merged(copy.deepcopy(config), {"dataset": {"longtail": {"noise": 9}}}))
    save(IMAGES, study.dataset, {"kind": "longtail", **study.image_settings})
    assert not trained.reread(changed), "there are no models"
    shard(f"{study.results}/models/original/subset/000000-000029.h5", trials=range(30))
    assert "other settings" not in plan.render_cost(study, machine)
    text = " ".join(plan.render_cost(changed, machine).split())
    assert "data/small.h5 was written with other settings (dataset.longtail.noise)" in text
    save(IMAGES, study.dataset)  # by an earlier version, which did not record them
    assert not trained.reread(changed)


def test_the_plan_says_how_many_models_margins_need_once_there_are_scores(
    config, tmp_path, monkeypatch, rng
):
    monkeypatch.chdir(tmp_path)
    config["memorization"]["estimator"] = "margins"
    study = Study(config)
    later = "estimator margins: fewer; how many is known once there are scores"
    assert later in models_needed.render_needed(study)
    mask, margin = rng.random((60, 8)) < 0.7, rng.normal(size=(60, 8))
    scores = Scores.from_margins(mask, margin, margin, np.zeros(8), np.zeros(8))
    scores.write(f"{study.results}/scores/{study.scored}.h5", estimator="margins")
    text = models_needed.render_needed(study)
    assert "estimator margins: fewer\n" in text and "training examples, from 60 models: " in text


def test_jobs_are_sized_by_the_estimate_and_keep_their_shards(config, tmp_path, monkeypatch):
    """Half an hour each, or a part for every worker; shards and the record decide before that."""
    monkeypatch.chdir(tmp_path)
    config["training"]["models_per_job"] = "auto"
    seconds = {"gpu": 100.0, "cpu": 4000.0}
    monkeypatch.setattr(plan, "seconds_per_model", lambda study, kind, arm: (seconds[kind], ""))

    def sized(kind, workers=1):
        study = Study(config)
        plan.size_jobs(study, plan.Machine(kind, workers))
        return study

    assert sized("cpu").models_per_job("original") == 1
    study = sized("gpu")
    assert len(study.shards("original", "subset")) == 60 / 18 + 2 / 3  # of 18, 18, 18 and 6 models
    assert sized("gpu", 6).models_per_job("original") == 60 / 6
    assert study.shards("weight_decay", "none")[0].endswith("/000000-000002.h5")
    study.record_jobs()
    seconds["gpu"] = 10.0  # the first models were faster
    assert sized("gpu").models_per_job("original") == 18
    (tmp_path / "results/small/models_per_job.json").unlink()
    kept = tmp_path / "results/small/models/original/subset/.000020-000039.partial"
    kept.mkdir(parents=True)
    assert sized("gpu").models_per_job("original") == 20
    assert Study(config).models_per_job("original") == 1  # not sized
    (tmp_path / "results/small/models_per_job.json").write_text("[1]")
    with pytest.raises(AuditError, match=r"models_per_job\.json: not a list of the models"):
        sized("gpu")


@pytest.mark.parametrize(
    ("source", "lacking"),
    [
        ("estimate", set()),
        ("published_matrix", {"rescored"}),
        ("published_runs", {"rescored"}),
        ("published", {"rescored"}),
    ],
)
def test_published_scores_do_not_allow_every_sweep(source, lacking, tmp_path):
    path = str(tmp_path) if source == "published_runs" else None
    study = Study({"memorization": {"source": source, "path": path}})
    assert {name for name, sweep in study.sweeps.items() if sweep.lacks} == lacking
    assert set(models(study)) == {"weight_decay", "rescored", "threshold_curve"} - lacking


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sweeps": {"weight_decay": [0.1, "1e-1"]}}, r"sweeps\.weight_decay = .*occurs twice"),
        ({"sweeps": {"weight_decay": [-1]}}, r"weight_decay\.0 = -1: must be a number of at least"),
        ({"sweeps": {"thresholds": []}}, r"sweeps\.thresholds = \[\]: must be a non-empty list"),
        ({"sweeps": {"thresholds": [0]}}, r"sweeps\.thresholds\.0 = 0: must be a number greater"),
        ({"sweeps": {"thresholds": [1.1]}}, r"thresholds\.0 = 1\.1: must be a .* and at most 1"),
        ({"sweeps": {"recipes": ["best"]}}, r"sweeps\.recipes = 'best': must be a name under rec"),
        ({"sweeps": {"trials": 0}}, r"sweeps\.trials = 0: must be an integer from 1"),
        ({"removals": {"above_1": "x"}}, r"removals\.above_1 = 'x': the name is reserved"),
    ],
)
def test_an_error_names_key_value_and_what_is_allowed(config, change, message):
    with pytest.raises(AuditError, match=message):
        read_config(merged(config, change))


def test_a_recipe_cannot_have_a_name_of_the_sweep(config):
    config["recipes"]["weight_decay_0"] = Study({}).settings["recipes"]["original"]
    with pytest.raises(AuditError, match=r"recipes\.weight_decay_0: names that begin with"):
        read_config(config)


def test_cifar_is_read_from_an_extracted_folder(tmp_path):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test"):
        (folder / name).touch()
    config = {"dataset": {"cifar100": {"path": str(tmp_path)}}}
    assert Study(config).cifar_files == [str(folder / "train"), str(folder / "test")]
    assert "cifar100" not in Study(config).needed_files.values()
    (folder / "test").unlink()
    with pytest.raises(AuditError, match="test: file not found, although others"):
        _ = Study(config).cifar
    config["dataset"]["cifar100"]["path"] = str(tmp_path / "none")
    with pytest.raises(AuditError, match=r"dataset\.cifar100\.path = .*: no such file"):
        Study(config)


def test_the_annotation_is_used_for_cifar100_only():
    assert str(Study({}).annotation).endswith("data/annotations/cifar100_fz_pairs.csv")
    assert Study({"duplicates": {"fz_annotation": False}}).annotation == []
    other = {"dataset": {"kind": "cifar10", "name": "c"}, "memorization": {"source": "estimate"}}
    assert Study(other).annotation == []


def test_scenes_are_searched_where_their_probabilities_were_checked():
    assert Study({}).embedding == "network" and Study({}).embedding_source is None
    assert Study(SMALL).embedding is None
    asked = {**SMALL, "duplicates": {"embedding": "classical"}}
    assert Study(asked).embedding == "classical"
    assert Study({"duplicates": {"embedding": None}}).embedding is None
    assert Study({}).duplicate_rule == ("exact, near ≥ 0.55, scene p ≥ 0.5")
    assert Study({"duplicates": {"embedding": None, "kinds": ["scene"]}}).duplicate_rule == "none"
