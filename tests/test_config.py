"""The configuration: what is wrong is named, with its value and what is allowed."""

import copy

import pytest
import yaml
from conftest import ROOT, SMALL

from memaudit.errors import AuditError
from memaudit.study import checks, models_needed, plan
from memaudit.study import config as settings

SCHEMA = ROOT / "config" / "schema.yaml"


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
    checks.check(copy.deepcopy(paper), SCHEMA)
    demo = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
    checks.check(merged(paper, demo), SCHEMA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sed": 3}, "sed = 3: there is no such key; the keys are dataset, "),
        ({"recipes": {"original": {"lr": 3}}}, r"recipes\.original\.lr = 3: there is no such key"),
        ({"seed": "zero"}, "seed = 'zero': must be of type integer"),
        ({"seed": -1}, "seed = -1: must be at least 0"),
        ({"trials": 0}, "trials = 0: must be at least 1"),
        ({"subpopulations": {"by": "eye"}}, r"subpopulations\.by = 'eye': must be one of rule, ch"),
        ({"review": {"decisions": "none.csv"}}, r"review\.decisions = 'none\.csv': must be a file"),
        ({"trials": 2.5}, r"trials = 2\.5: must be of type integer"),
        ({"results": "/abs/path"}, "results = '/abs/path': only letters, digits"),
        (
            {"recipes": {"weight_decay": {"weight_decay": -0.1}}},
            r"recipes\.weight_decay\.weight_decay = -0\.1: must be at least 0",
        ),
        (
            {"recipes": {"weight_decay": {"network": "resnet99"}}},
            r"network = 'resnet99': must be one of fz_resnet50, resnet50, ",
        ),
        ({"recipes": {"weight_decay": {"warmup": 1}}}, "warmup = 1: must be less than 1"),
        ({"recipes": {"original": {"learning_rate": 0}}}, "learning_rate = 0: must be greater"),
        ({"recipes": {"a-b": {}}}, "'a-b'"),
        (
            {"selection": {"memorization": 1.5}},
            r"selection\.memorization = 1\.5: must be at most 1 and at least -1",
        ),
        (
            {"selection": {"influence": -2}},
            r"selection\.influence = -2: must be at least -1 and at most 1",
        ),
        ({"selection": {"z": float("nan")}}, r"selection\.z = nan: must be a finite number"),
        ({"dataset": {"name": "cifar100"}}, r"dataset\.name = 'cifar100': give a dataset of kind"),
        ({"selection": {"z": None}}, r"selection\.z = None: must be of type number"),
        ({"dataset": {"kind": "mnist"}}, r"dataset\.kind = 'mnist': must be one of cifar100"),
        (
            {"dataset": {"kind": "image_folder"}},
            r"dataset\.image_folder\.path = None: must name the folder",
        ),
        ({"memorization": {"recipe": "best"}}, r"memorization\.recipe = 'best': must be a name"),
        ({"memorization": {"models": 5}}, r"memorization\.models = 5: must be at least 10"),
        ({"memorization": {"subset_fraction": 0.123}}, "at most two decimals"),
        ({"memorization": {"subset_fraction": 1}}, r"subset_fraction = 1: must be at most 0\.95"),
        (
            {"memorization": {"source": "published_runs", "path": ".", "influence": "all_pairs"}},
            r"memorization\.influence = 'all_pairs': takes subset models",
        ),
        ({"memorization": {"influence": "all"}}, "influence = 'all': must be one of within_class"),
        ({"training": {"device": "tpu"}}, "device = 'tpu': must be one of auto, cpu, cuda"),
        ({"removals": {"mine": "nowhere.txt"}}, r"removals\.mine = 'nowhere.txt': must be a file"),
        ({"results": "src/x"}, r"results = 'src/x': this is the folder 'src', which holds other"),
        ({"results": ".git"}, r"results = '\.git': this is the folder '\.git'"),
        ({"results": "../x"}, r"results = '\.\./x': this is outside the working folder"),
        ({"results": "."}, r"results = '\.': this is the working folder itself"),
        ({"removals": {"subset": "x"}}, r"removals\.subset = 'x': the name is taken"),
        (
            {"duplicates": {"near": 0.2}},
            r"duplicates\.review = 0\.45: must be at most duplicates\.near \(0\.2\)",
        ),
        ({"duplicates": {"near": 2}}, r"duplicates\.near = 2: must be at most 1"),
    ],
)
def test_what_is_wrong_is_named(small, change, message):
    with pytest.raises(AuditError, match=message):
        checks.check(merged(small, change), SCHEMA)


def test_a_missing_section_is_named(small):
    del small["selection"]
    with pytest.raises(AuditError, match="selection is missing"):
        checks.check(small, SCHEMA)


def test_a_bad_decision_is_named_before_anything_runs(small, tmp_path):
    (tmp_path / "said.csv").write_text("item,train,test,decision\nduplicate,1,2,maybe\n")
    small["review"] = {"decisions": str(tmp_path / "said.csv")}
    with pytest.raises(AuditError, match=r"said\.csv, line 2: decision is 'maybe', must be one of"):
        checks.check(small, SCHEMA)


def test_a_folder_of_images_that_is_not_there(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small["dataset"] = {"kind": "image_folder", "name": "mine"}
    small["dataset"]["image_folder"] = {"path": "photos", "image_size": 8, "per_class": 2}
    with pytest.raises(AuditError, match=r"image_folder\.path = 'photos': must be a folder"):
        checks.check(small, SCHEMA)
    for side, count in (("train", 3), ("test", 1)):
        for name in ("cat", "dog"):
            (tmp_path / "photos" / side / name).mkdir(parents=True)
            for number in range(count):
                (tmp_path / "photos" / side / name / f"{number}.png").touch()
    checks.check(small, SCHEMA)
    for listed, message in (
        ("# none\n", "the list is empty"),
        ("0\n1\n2\n3\n", "lists 4 examples of 4"),
    ):
        (tmp_path / "mine.txt").write_text(listed)
        small["removals"] = {"mine": "mine.txt"}
        with pytest.raises(AuditError, match=rf"removals\.mine = 'mine\.txt': .*{message}"):
            checks.check(small, SCHEMA)
    folder = small["dataset"]["image_folder"]
    assert (plan.count_images(folder, "train"), plan.count_images(folder, "test")) == (4, 2)
    assert plan.count_images(folder | {"per_class": None}, "train") == 6
    assert models_needed.n_test(small) == 2


def test_more_removals_than_examples(small, tmp_path):
    (tmp_path / "mine.txt").write_text("".join(f"{i}\n" for i in range(500)))
    small["removals"] = {"mine": str(tmp_path / "mine.txt")}
    n = settings.n_train(small)
    with pytest.raises(AuditError, match=rf"removals\.mine.*lists 500 examples of {n}"):
        checks.check(small, SCHEMA)


def test_numbers_as_people_write_them(small):
    small["recipes"]["weight_decay"]["weight_decay"] = "5e-4"  # what YAML makes of 5e-4
    checks.check(small, SCHEMA)
    assert small["recipes"]["weight_decay"]["weight_decay"] == 0.0005


def test_two_ways_of_writing_are_one_study(small):
    other = copy.deepcopy(small)
    other["memorization"]["models"] = "6e1"
    other["recipes"]["original"]["weight_decay"] = 0.0
    other["recipes"]["weight_decay"] = dict(reversed(other["recipes"]["weight_decay"].items()))
    other = dict(reversed(other.items()))
    for config in (small, other):
        checks.check(config, SCHEMA)
    assert repr(other) == repr(small)
    assert type(other["memorization"]["models"]) is int


def test_every_missing_key_is_told(small):
    small["recipes"]["extra"] = {"network": "tiny"}
    with pytest.raises(AuditError) as caught:
        checks.check(small, SCHEMA)
    for name in ("epochs", "batch_size", "mirror"):
        assert f"recipes.extra.{name} is missing" in str(caught.value)


def test_all_faults_are_told_at_once(small):
    small["seed"], small["trials"] = -1, 0
    with pytest.raises(AuditError) as caught:
        checks.check(small, SCHEMA)
    assert len(str(caught.value).splitlines()) == 3


def keys(node, path=()):
    for name, child in node.get("properties", {}).items():
        yield (*path, name), child
        yield from keys(child, (*path, name))
    if isinstance(extra := node.get("additionalProperties"), dict):
        yield from keys(extra, (*path, "<name>"))


def test_every_key_is_described_and_documented():
    schema = yaml.safe_load(SCHEMA.read_text())
    readme = (ROOT / "config" / "README.md").read_text()
    for path, child in keys(schema):
        if "properties" in child or ("additionalProperties" in child and path[-1] != "removals"):
            continue
        assert child.get("description"), path
        assert f"`{'.'.join(path)}`" in readme, f"config/README.md does not explain {path}"


def test_the_rows_of_table_2(small):
    rows = settings.arms(small)
    assert rows[:4] == [
        ("original", "selected"),
        ("weight_decay", "selected"),
        ("weight_decay", "leakage_shift"),
        ("weight_decay", "memorized"),
    ]
    assert rows[4:] == [(recipe, f"random_{removal}") for recipe, removal in rows[:4]]
    small["removals"] = {"mine": "x"}
    assert settings.arms(small)[8:] == [("weight_decay", "mine"), ("weight_decay", "random_mine")]


def test_chunks_cover_every_trial_once():
    names = settings.chunks(23, 10)
    assert names == ["000000-000009", "000010-000019", "000020-000022"]
    assert [trial for name in names for trial in settings.trials_of(name)] == list(range(23))
