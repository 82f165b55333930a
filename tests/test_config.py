"""The configuration: defaults, equal ways of writing it, and its documentation."""

import copy
import shutil

import pytest
import yaml
from conftest import ROOT, merged
from study_files import CONFIG

from memaudit.models.shards import chunk_names, trials_of
from memaudit.study import config as settings
from memaudit.study import schema
from memaudit.study.checks import read_config
from memaudit.study.study import Study


@pytest.fixture
def small():
    return copy.deepcopy(CONFIG)


def test_the_shipped_configurations_are_valid():
    paper, demo = (
        yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())
        for name in ("config", "demo")
    )
    assert read_config(paper) == read_config({})
    read_config(merged(paper, demo))


def test_keys_that_are_not_given_have_the_papers_values(small):
    del small["selection"], small["recipes"]["weight_decay"]["epochs"]
    config = read_config(small)
    assert config.selection == settings.Selection()
    assert config.recipes["weight_decay"].epochs == 160


def test_an_empty_section_has_its_defaults(small):
    small |= dict.fromkeys(("selection", "external", "removals"))
    small["recipes"]["original"] = None
    config = settings.Config.model_validate(small)
    assert config.selection == settings.Selection() and not config.external | config.removals
    assert config.recipes["original"].epochs == 160
    small["recipes"] = None
    assert list(settings.Config.model_validate(small).recipes) == ["original", "weight_decay"]


def test_numbers_in_scientific_notation(small):
    small["recipes"]["weight_decay"]["weight_decay"] = "5e-4"  # what YAML makes of 5e-4
    assert read_config(small).recipes["weight_decay"].weight_decay == 0.0005


@pytest.mark.parametrize(
    "text", ["{max_hours: null}", "{max_hours: 3}", "{max_hours: '1e3', device: cpu}"]
)
def test_values_of_the_command_line_count(text):
    config = merged(copy.deepcopy(CONFIG), {"training": yaml.load(text, yaml.BaseLoader)})
    assert read_config(config).training.max_hours in (None, 3.0, 1000.0)


def test_two_ways_of_writing_a_study_are_equal(small):
    other = copy.deepcopy(small)
    other["memorization"]["models"] = "6e1"
    other["recipes"]["original"]["weight_decay"] = 0.0
    other["recipes"]["weight_decay"] = dict(reversed(other["recipes"]["weight_decay"].items()))
    other["selection"]["memorization"], small["selection"]["memorization"] = -0.0, 0
    other = dict(reversed(other.items()))
    assert repr(Study(other).settings) == repr(Study(small).settings)
    assert type(read_config(other).memorization.models) is int


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
