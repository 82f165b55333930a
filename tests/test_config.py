"""The configuration: errors name the key, its value and what is allowed."""

import copy
import re
import shutil

import pytest
import yaml
from conftest import ROOT, SMALL

from memaudit.data.dataset import save
from memaudit.data.image_folder import count_images
from memaudit.errors import AuditError
from memaudit.models.shards import chunk_names, trials_of
from memaudit.study import config as settings
from memaudit.study import models_needed, schema
from memaudit.study.checks import read_config
from memaudit.study.images import n_images
from memaudit.study.study import Study


def merged(base, extra):
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merged(base[key], value)
        else:
            base[key] = copy.deepcopy(value)
    return base


@pytest.fixture
def paper():
    return yaml.safe_load((ROOT / "config" / "config.yaml").read_text())


@pytest.fixture
def small(paper):
    return merged(paper, SMALL)


def test_the_shipped_configurations_are_valid(paper):
    assert read_config(paper) == read_config({})
    demo = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
    read_config(merged(paper, demo))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sed": 3}, r"sed = 3: unknown key; did you mean seed\? The known keys are dataset, "),
        ({"recipes": {"original": {"lr": 3}}}, r"recipes\.original\.lr = 3: unknown key"),
        ({"seed": "zero"}, "seed = 'zero': must be an integer of at least 0"),
        ({"seed": -1}, "seed = -1: must be an integer of at least 0"),
        ({"trials": 0}, "trials = 0: must be an integer from 1 to 1,000,000"),
        ({"subpopulations": {"by": "eye"}}, r"subpopulations\.by = 'eye': must be one of rule, ch"),
        ({"review": {"decisions": "none.csv"}}, r"review\.decisions = 'none\.csv': file not found"),
        ({"trials": 2.5}, r"trials = 2\.5: must be an integer from 1"),
        (
            {"results": "/abs/path"},
            "results = '/abs/path': must be a relative path",
        ),
        (
            {"recipes": {"weight_decay": {"weight_decay": -0.1}}},
            r"recipes\.weight_decay\.weight_decay = -0\.1: must be a number of at least 0",
        ),
        (
            {"recipes": {"weight_decay": {"network": "resnet99"}}},
            r"network = 'resnet99': must be one of fz_resnet50, resnet50, ",
        ),
        (
            {"recipes": {"weight_decay": {"warmup": 1}}},
            "warmup = 1: must be .* of at least 0 and less than 1",
        ),
        (
            {"recipes": {"original": {"learning_rate": 0}}},
            "learning_rate = 0: must be .* greater than 0",
        ),
        ({"recipes": {"a-b": {}}}, "'a-b'"),
        (
            {"selection": {"memorization": 1.5}},
            r"selection\.memorization = 1\.5: must be a number from -1 to 1",
        ),
        (
            {"selection": {"influence": -2}},
            r"selection\.influence = -2: must be a number from -1 to 1",
        ),
        ({"selection": {"z": float("nan")}}, r"selection\.z = nan: must be a finite number"),
        (
            {"dataset": {"name": False}},
            r"dataset\.name = false: must be .*; if it is a text, write",
        ),
        (
            {"dataset": {"name": "cifar100"}},
            r"dataset\.name = 'cifar100': reserved for",
        ),
        ({"selection": {"z": None}}, r"selection\.z = null: must be a number from 0 to 1,000"),
        ({"dataset": {"kind": "mnist"}}, r"dataset\.kind = 'mnist': must be one of cifar100"),
        (
            {"dataset": {"kind": "image_folder"}},
            r"dataset\.image_folder\.path = null: must be the folder",
        ),
        ({"memorization": {"recipe": "best"}}, r"memorization\.recipe = 'best': must be a name"),
        ({"memorization": {"models": 5}}, r"memorization\.models = 5: must be at least 10"),
        ({"memorization": {"subset_fraction": 0.123}}, "at most two decimals"),
        (
            {"memorization": {"subset_fraction": 1}},
            r"subset_fraction = 1: must be .* from 0\.05 to",
        ),
        (
            {"memorization": {"source": "published_runs", "path": ".", "influence": "all_pairs"}},
            r"memorization\.influence = 'all_pairs': needs subset models",
        ),
        ({"memorization": {"influence": "all"}}, "influence = 'all': must be one of within_class"),
        ({"training": {"device": "tpu"}}, "device = 'tpu': must be one of auto, cpu, cuda"),
        ({"external": {"trak": "nowhere.npy"}}, r"external\.trak = 'nowhere\.npy': file not"),
        ({"external": {"margins": "x"}}, r"external\.margins: the name is reserved"),
        ({"removals": {"a": "results/removals/top_b.txt"}}, r"removals\.a = '.*': file not"),
        ({"removals": {"mine": "nowhere.txt"}}, r"removals\.mine = 'nowhere\.txt': file not"),
        (
            {"results": "src/x"},
            r"results = 'src/x': this is the folder 'src', which holds",
        ),
        ({"results": ".git"}, r"results = '\.git': this is the folder '\.git'"),
        ({"results": "../x"}, r"results = '\.\./x': this is outside the working folder"),
        ({"results": "."}, r"results = '\.': this is the working folder itself"),
        ({"removals": {"subset": "x"}}, r"removals\.subset = 'x': the name is reserved"),
        (
            {"duplicates": {"near": 0.2}},
            r"duplicates\.review = 0\.45: must be at most duplicates\.near \(0\.2\)",
        ),
        (
            {"duplicates": {"embedding": "sscd"}},
            r"duplicates\.embedding = 'sscd': must be auto, network, classical or package\.mod",
        ),
        (
            {"duplicates": {"kinds": ["similar"]}},
            r"duplicates\.kinds\.0 = 'similar': must be one of",
        ),
        ({"duplicates": {"near": 2}}, r"duplicates\.near = 2: must be a number from 0 to 1"),
    ],
)
def test_an_error_names_key_value_and_what_is_allowed(small, change, message):
    with pytest.raises(AuditError, match=message):
        read_config(merged(small, change))


def test_keys_that_are_not_given_have_the_papers_values(small):
    del small["selection"], small["recipes"]["weight_decay"]["epochs"]
    config = read_config(small)
    assert config.selection == settings.Selection()
    assert config.recipes["weight_decay"].epochs == 160


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["recipes"].update(converged={"network": "tiny"}), r"recipes\.converged"),
        (lambda c: c["memorization"].update(recipe="converged"), r"memorization\.recipe = 'conv"),
        (lambda c: c["sweeps"].update(recipes=["converged"]), r"sweeps\.recipes = 'converged'"),
    ],
)
def test_an_old_name_is_answered_by_the_new_one(small, change, message):
    change(small)
    with pytest.raises(AuditError, match=f"{message}.*: this recipe is now called weight_decay"):
        read_config(small)


def test_an_invalid_annotation_is_reported_before_anything_runs(small, tmp_path):
    (tmp_path / "said.csv").write_text("item,train,test,decision\nduplicate,1,2,maybe\n")
    small["review"] = {"decisions": str(tmp_path / "said.csv")}
    with pytest.raises(
        AuditError, match=r"said\.csv', line 2: decision is 'maybe', must be one of"
    ):
        read_config(small)


def test_a_missing_folder_of_images(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small["dataset"] = {"kind": "image_folder", "name": "mine"}
    small["dataset"]["image_folder"] = {"path": "photos", "image_size": 8, "per_class": 40}
    with pytest.raises(AuditError, match=r"image_folder\.path = 'photos': directory not found"):
        read_config(small)
    for side, count in (("train", 42), ("test", 1)):
        for name in ("cat", "dog"):
            (tmp_path / "photos" / side / name).mkdir(parents=True)
            for number in range(count):
                (tmp_path / "photos" / side / name / f"{number}.png").touch()
    read_config(small)
    for listed, message in (
        ("# none\n", "the list is empty"),
        ("".join(f"{i}\n" for i in range(80)), "lists 80 examples of 80"),
    ):
        (tmp_path / "mine.txt").write_text(listed)
        small["removals"] = {"mine": "mine.txt"}
        with pytest.raises(AuditError, match=rf"removals\.mine = 'mine\.txt': {message}"):
            read_config(small)
    assert [count_images("photos", side, 40) for side in ("train", "test")] == [80, 2]
    assert count_images("photos", "train", None) == 84
    del small["removals"]
    assert models_needed.n_test(Study(small)) == 2


@pytest.mark.parametrize(
    ("kind", "message"),
    [("image_folder", "directory not found"), ("arrays", "file not found")],
)
def test_a_path_is_checked_unless_the_dataset_was_read_with_it(
    small, small_dataset, tmp_path, monkeypatch, kind, message
):
    """The source of a dataset that is written may have moved away; a changed path is an error."""
    monkeypatch.chdir(tmp_path)
    small["dataset"] = {"kind": kind, "name": "mine", kind: {"path": "was/here.npz"}}
    with pytest.raises(AuditError, match=message):
        read_config(small)
    save(small_dataset, "data/mine.h5")  # without a record of its settings
    dataset = read_config(small).dataset
    save(small_dataset, "data/mine.h5", {"kind": kind, **dataset.model_dump()[kind]})
    read_config(small)
    small["dataset"][kind]["path"] = "typo/here.npz"
    with pytest.raises(AuditError, match=rf"{kind}\.path = 'typo/here\.npz': {message}"):
        read_config(small)


def test_more_removals_than_examples(small, tmp_path):
    (tmp_path / "mine.txt").write_text("".join(f"{i}\n" for i in range(500)))
    small["removals"] = {"mine": str(tmp_path / "mine.txt")}
    n = n_images(read_config(SMALL).dataset, "train")
    with pytest.raises(AuditError, match=rf"removals\.mine.*lists 500 examples of {n}"):
        read_config(small)


def test_numbers_in_scientific_notation(small):
    small["recipes"]["weight_decay"]["weight_decay"] = "5e-4"  # what YAML makes of 5e-4
    assert read_config(small).recipes["weight_decay"].weight_decay == 0.0005


def test_two_ways_of_writing_a_study_are_equal(small):
    other = copy.deepcopy(small)
    other["memorization"]["models"] = "6e1"
    other["recipes"]["original"]["weight_decay"] = 0.0
    other["recipes"]["weight_decay"] = dict(reversed(other["recipes"]["weight_decay"].items()))
    other["selection"]["memorization"], small["selection"]["memorization"] = -0.0, 0
    other = dict(reversed(other.items()))
    assert repr(Study(other).settings) == repr(Study(small).settings)
    assert type(read_config(other).memorization.models) is int


def test_every_missing_key_is_reported(small):
    small["recipes"]["extra"] = {"network": "tiny"}
    with pytest.raises(AuditError) as caught:
        read_config(small)
    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith("  recipes.extra: missing epochs, batch_size, learning_rate, ")


def test_an_empty_section_has_its_defaults(small):
    small |= dict.fromkeys(("selection", "external", "removals"))
    small["recipes"]["original"] = None
    config = settings.Config.model_validate(small)
    assert config.selection == settings.Selection() and not config.external | config.removals
    assert config.recipes["original"].epochs == 160
    small["recipes"] = None
    assert list(settings.Config.model_validate(small).recipes) == ["original", "weight_decay"]


def test_all_problems_are_reported_at_once(small):
    small["seed"], small["trials"] = -1, 0
    with pytest.raises(AuditError) as caught:
        read_config(small)
    assert len(str(caught.value).splitlines()) == 3


def test_the_documentation_is_that_of_the_model(tmp_path):
    for name in ("README.md", "schema.json"):
        shutil.copy(ROOT / "config" / name, tmp_path)
    schema.write_documentation(tmp_path)
    for name in ("README.md", "schema.json"):
        shipped = (ROOT / "config" / name).read_text()
        assert (tmp_path / name).read_text() == shipped, "run `make docs-config`"
    for key, node in schema.documented_keys(settings.Config.model_json_schema()):
        assert node["description"] and node["rebuilds"], key


def test_chunks_cover_every_trial_once():
    names = chunk_names(23, 10)
    assert names == ["000000-000009", "000010-000019", "000020-000022"]
    assert [trial for name in names for trial in trials_of(name)] == list(range(23))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("results: 1_000", "results = 1000: read as a number, not as text; write it in quotes"),
        ("results: 2024-01-02", "results = 2024-01-02: read as a date, not as text"),
        ("dataset: {name: 2024_01}", "dataset.name = 202401: read as a number, not as text"),
        ("mirror: false", "text or null; did you mean recipes.<name>.mirror?"),
        ("epochs: 3", "unknown key; did you mean recipes.<name>.epochs? The known keys"),
    ],
)
def test_values_that_yaml_reads_as_another_type_and_misplaced_keys(text, message):
    with pytest.raises(AuditError, match=re.escape(message)):
        read_config(yaml.safe_load(text))
