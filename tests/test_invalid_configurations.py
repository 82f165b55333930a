"""Invalid configurations: the error names the key, its value and what is allowed."""

import copy
import re
from pathlib import Path

import pytest
import yaml
from conftest import SMALL, merged
from image_files import write_folder
from study_files import CONFIG

from memaudit.data.dataset import save
from memaudit.data.image_folder import count_images, read_image_folder
from memaudit.errors import AuditError
from memaudit.study import models_needed
from memaudit.study.checks import check_files, read_config
from memaudit.study.images import n_images
from memaudit.study.study import Study


@pytest.fixture
def small():
    return copy.deepcopy(CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sed": 3}, r"sed = 3: unknown key; did you mean seed\? The known keys are dataset, "),
        ({"recipes": {"original": {"lr": 3}}}, r"recipes\.original\.lr = 3: unknown key"),
        ({"training": {"gpu": 1}}, r"training\.gpu = 1: unknown key.*device"),
        ({"training": True}, r"training = true: must be .*mapping"),
        ({"trials": [3]}, r"trials = \[3\]: must be an integer"),
        ({"seed": "zero"}, "seed = 'zero': must be an integer of at least 0"),
        ({"seed": -1}, "seed = -1: must be an integer of at least 0"),
        ({"trials": 0}, "trials = 0: must be an integer from 1 to 1,000,000"),
        ({"trials": 2_000_000}, "trials = 2000000: must be an integer from 1 to 1,000,000"),
        ({"dataset": {"longtail": {"head": 10**30}}}, r"longtail\.head = 1.*from 1 to 1,000"),
        ({"training": {"max_hours": "1e400"}}, "max_hours = inf: must be a finite number"),
        ({"training": {"max_hours": "none"}}, "max_hours = 'none': must be .*or null"),
        ({"recipes": {"original": {"mirror": "maybe"}}}, "mirror = 'maybe': .*true or false"),
        (
            {"recipes": {"mine": {"network": "tiny", "epochs": None}}},
            r"recipes\.mine\.epochs = null: must be an integer from 1",
        ),
        ({"recipes": {1: {}}}, r"recipes\.1: the key 1 must be text"),
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
        ({"dataset": {"name": "my photos"}}, r"dataset\.name = 'my photos': .*no blanks"),
        ({"dataset": {"name": "x" * 300}}, r"dataset\.name = 'x+.*at most 80"),
        ({"dataset": {"name": "demo\n"}}, r"dataset\.name = 'demo\\n': .*line breaks"),
        ({"selection": {"z": None}}, r"selection\.z = null: must be a number from 0 to 1,000"),
        ({"dataset": {"kind": "mnist"}}, r"dataset\.kind = 'mnist': must be one of cifar100"),
        (
            {"dataset": {"kind": "image_folder"}},
            r"dataset\.image_folder\.path = null: must be the folder.*train/<class>",
        ),
        (
            {"memorization": {"recipe": "best"}},
            r"\.recipe = 'best': must be a name .*weight_decay\)",
        ),
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
        ({"memorization": {"source": "published"}}, "source = 'published': .*cifar100.*estimate"),
        (
            {
                "dataset": {"kind": "cifar100", "name": "cifar100"},
                "memorization": {"source": "published", "path": "x.npz"},
            },
            r"memorization\.path = 'x\.npz': not used .*set it to null",
        ),
        (
            {"memorization": {"source": "published_runs", "path": "nowhere"}},
            r"memorization\.path = 'nowhere': directory not found",
        ),
        ({"memorization": {"influence": "all"}}, "influence = 'all': must be one of within_class"),
        ({"training": {"device": "tpu"}}, "device = 'tpu': must be one of auto, cpu, cuda"),
        ({"external": {"trak": "nowhere.npy"}}, r"external\.trak = 'nowhere\.npy': file not"),
        ({"external": {"margins": "x"}}, r"external\.margins: the name is reserved"),
        ({"removals": {"a": "results/removals/top_b.txt"}}, r"removals\.a = '.*': file not"),
        ({"removals": {"mine": "nowhere.txt"}}, r"removals\.mine = 'nowhere\.txt': file not"),
        ({"removals": {"a": "{x}.txt"}}, r"removals\.a = .*braces"),
        ({"results": "résultats"}, "results = 'résultats': must be .*only"),
        (
            {"results": "src/x"},
            r"results = 'src/x': this is the folder 'src', which holds",
        ),
        ({"results": ".git"}, r"results = '\.git': this is the folder '\.git'"),
        ({"results": "../x"}, r"results = '\.\./x': this is outside the working folder"),
        (
            {"duplicates": {"embedding": "foo:bar"}},
            r"duplicates\.embedding: embedding foo:bar: mod",
        ),
        ({"results": "."}, r"results = '\.': this is the working folder itself"),
        ({"removals": {"subset": "x"}}, r"removals\.subset = 'x': the name is reserved"),
        (
            {"duplicates": {"near": 0.2}},
            r"duplicates\.review = 0\.45: must be at most duplicates\.near \(0\.2\); lower it, too",
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


def test_every_missing_key_is_reported(small):
    small["recipes"]["extra"] = {"network": "tiny"}
    with pytest.raises(AuditError) as caught:
        read_config(small)
    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith("  recipes.extra: missing epochs, batch_size, learning_rate, ")


def test_all_problems_are_reported_at_once(small):
    small["seed"], small["trials"] = -1, 0
    with pytest.raises(AuditError) as caught:
        read_config(small)
    assert len(str(caught.value).splitlines()) == 3


def test_more_removals_than_examples(small, tmp_path):
    (tmp_path / "mine.txt").write_text("".join(f"{i}\n" for i in range(500)))
    small["removals"] = {"mine": str(tmp_path / "mine.txt")}
    n = n_images(read_config(SMALL).dataset, "train")
    with pytest.raises(AuditError, match=rf"removals\.mine.*lists 500 examples of {n}"):
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


def test_results_are_not_written_among_the_images(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(Path("photos"))
    Path("notes.yaml").touch()
    small["dataset"] = {"kind": "image_folder", "name": "mine", "image_folder": {"path": "photos"}}
    for results in ("photos", "photos/train", "photos/test/ant"):
        with pytest.raises(AuditError, match=f"results = '{results}': .* images of photos; use"):
            read_config(small | {"results": results})
    with pytest.raises(AuditError, match=r"results = 'notes\.yaml': this is a file"):
        read_config(small | {"results": "notes.yaml"})
    with pytest.raises(AuditError, match=r"'notes\.yaml/mine': this is in the file 'notes\.yaml'"):
        read_config(small | {"results": "notes.yaml/mine"})


@pytest.mark.parametrize(
    ("path", "message"),
    [("photos/train", r"no images in train/<class>/\*"), ("notes.yaml", "this is a file")],
)
def test_a_folder_without_images(small, tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    write_folder(Path("photos"))
    Path("notes.yaml").touch()
    small["dataset"] = {"kind": "image_folder", "name": "mine", "image_folder": {"path": path}}
    with pytest.raises(AuditError, match=rf"image_folder\.path = '{path}': {message}"):
        read_config(small)


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


def test_a_key_that_occurs_twice_is_named_with_its_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("trials: 3\nseed: 1\ntraining:\n  device: cpu\n  device: cuda\n")
    with pytest.raises(AuditError, match=r"mine\.yaml, line 5: duplicate key training\.device"):
        check_files([path])


def test_a_batch_larger_than_the_folder_is_refused_before_and_after_it_is_read(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "mine", each=10)
    given = {
        "dataset": {"kind": "image_folder", "name": "mine", "image_folder": {"path": "mine"}},
        "memorization": {"source": "estimate"},
    }
    wrong = r"original\.batch_size = 512: more than the 14 examples"
    with pytest.raises(AuditError, match=wrong):
        read_config(given)
    Path("data").mkdir()
    save(read_image_folder("mine"), "data/mine.h5")
    with pytest.raises(AuditError, match=wrong):
        read_config(given)


def test_a_folder_that_will_be_read_with_other_settings_is_counted(tmp_path, monkeypatch):
    """Not the file that will be replaced."""
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "mine", each=30)
    given = {
        "dataset": {"kind": "image_folder", "name": "mine", "image_folder": {"path": "mine"}},
        "memorization": {"source": "estimate"},
        "recipes": {name: {"batch_size": 32} for name in ("original", "weight_decay")},
    }
    of_all = read_config(given)
    Path("data").mkdir()
    few = of_all.dataset.image_folder.model_dump() | {"per_class": 10}
    settings = {"kind": "image_folder", **few}
    save(read_image_folder("mine", per_class=10), "data/mine.h5", settings)
    assert read_config(given) == of_all
    given["dataset"]["image_folder"]["per_class"] = 10
    with pytest.raises(AuditError, match="batch_size = 32: more than the 14 examples"):
        read_config(given)
