"""The identity of a model: what makes it be trained again, and what never may."""

import dataclasses
import hashlib
import json

import pytest
from study_files import IMAGES, RECIPE, SHARD, merge, shard
from test_training import RECIPE as SMALL

from memaudit.errors import AuditError
from memaudit.models import identity
from memaudit.models.identity import FIRST_RECIPE_FIELDS, model_identity, read_identity
from memaudit.models.recipe import Recipe

GOLDEN = (
    '{"dataset":"d1","recipe":{"batch_size":16,"crop_padding":1,"epochs":3,"learning_rate":0.1,'
    '"mirror":true,"momentum":0.9,"network":"tiny","precision":"float32","warmup":0.15,'
    '"weight_decay":0.0},"seed":7,"subset":{"design":"dealt","fraction":0.7},"version":1}'
)
GOLDEN_SHA256 = "b2b3accb49397e4101f5afa706d8ea08f886105d6dbf6802afaeac9ab1738b65"


def of(recipe=SMALL, **options):
    return model_identity(recipe, **{"seed": 7, "dataset": "d1"} | options)


def test_the_text_of_version_1_never_changes():
    """Shards that people have published hold this text: a change here makes them retrain."""
    assert of(subset_fraction=0.7) == GOLDEN
    assert hashlib.sha256(GOLDEN.encode()).hexdigest() == GOLDEN_SHA256
    assert FIRST_RECIPE_FIELDS.keys() <= SMALL.settings().keys()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"dataset": "d2"},
        {"subset_fraction": 0.5},
        {"network_source": "ab"},
        {"recipe": dataclasses.replace(SMALL, precision="tf32")},
        {"recipe": dataclasses.replace(SMALL, network="own:network")},
    ],
)
def test_what_changes_a_model_changes_its_identity(change):
    assert of(**change) != of()


def test_equal_numbers_written_differently_are_the_same():
    assert of(dataclasses.replace(SMALL, weight_decay=0)) == of()
    assert of(subset_fraction=1) == of(subset_fraction=1.0)


@dataclasses.dataclass(frozen=True)
class LaterRecipe(Recipe):
    label_noise: float = 0.0


def test_a_later_field_is_written_only_where_it_differs_from_its_default(monkeypatch):
    later = LaterRecipe(**SMALL.settings())
    assert of(later) == of()
    other = of(dataclasses.replace(later, label_noise=0.1))
    assert json.loads(other)["recipe"]["label_noise"] == 0.1
    monkeypatch.setattr(identity, "Recipe", LaterRecipe)
    assert read_identity(of())["recipe"]["label_noise"] == 0.0
    assert read_identity(other)["recipe"]["label_noise"] == 0.1


def rewritten(tmp_path, monkeypatch, change):
    """Read a shard whose identity was changed by `change`."""
    monkeypatch.chdir(tmp_path)
    text = model_identity(RECIPE, seed=0, dataset=IMAGES.digest(), subset_fraction=0.7)
    changed = json.loads(text)
    change(changed)
    monkeypatch.setattr("study_files.model_identity", lambda *_, **__: json.dumps(changed))
    shard()
    with pytest.raises(AuditError) as caught:
        merge()
    message = str(caught.value)
    assert message.startswith(SHARD) and f"rm -f {SHARD} && snakemake {SHARD}" in message
    return message


def test_shards_of_an_earlier_version_are_refused(tmp_path, monkeypatch):
    message = rewritten(tmp_path, monkeypatch, lambda changed: changed.pop("version"))
    assert "trained by an earlier version of memaudit; retrain them" in message


def test_shards_of_a_later_version_are_refused(tmp_path, monkeypatch):
    message = rewritten(tmp_path, monkeypatch, lambda changed: changed.update(version=2))
    assert "trained by another version of memaudit" in message


def test_another_subset_design_is_refused(tmp_path, monkeypatch):
    message = rewritten(
        tmp_path, monkeypatch, lambda changed: changed["subset"].update(design="adjacent")
    )
    assert "subset design 'adjacent', expected 'dealt'" in message


def test_a_recipe_setting_of_a_later_version_is_refused(tmp_path, monkeypatch):
    message = rewritten(
        tmp_path, monkeypatch, lambda changed: changed["recipe"].update(label_noise=0.1)
    )
    assert "recipe setting label_noise 0.1, expected 'no such setting'" in message


def test_a_damaged_identity_is_refused(tmp_path, monkeypatch):
    message = rewritten(tmp_path, monkeypatch, lambda changed: changed["recipe"].pop("epochs"))
    assert "cannot tell how its models were trained: the recipe lacks epochs" in message
