"""Other photographs of a scene: similarities relative to the class, matching, probabilities."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_duplicates import scenes, to_uint8

from memaudit.data.dataset import Dataset
from memaudit.duplicates import calibration, features, find_duplicates, find_scenes, scene
from memaudit.duplicates.matching import distinct, nearest, overall
from memaudit.errors import AuditError

SIDE, WIDE = 32, 48
SHOTS = 6  # test images that show a scene of a training image from another place

OWN = """
import numpy as np

def means(images):
    cells = images.reshape(len(images), 4, 8, 4, 8, 3).mean((2, 4))
    return cells.reshape(len(images), -1) / 255

def inverted(images):  # changes its input
    np.subtract(255, images, out=images)
    return means(images)

def ragged(images):
    return np.zeros((len(images), 2, 2))

def empty(images):
    return np.zeros((len(images), 0))

def constant(images):
    return np.ones((len(images), 3))

def nan(images):
    return means(images) * np.nan

def wider(images, widths=iter(range(2, 1000))):
    return means(images)[:, : next(widths)]

def broken(images):
    raise OSError("no weights")
"""


@pytest.fixture(autouse=True)
def few_images_are_enough(monkeypatch):
    """Search the small classes below, and train for one step per batch."""
    monkeypatch.setattr(scene, "FEWEST", 20)
    monkeypatch.setattr(features, "FEWEST", 20)
    monkeypatch.setattr(features, "STEPS", 1)


@pytest.fixture(scope="module")
def data():
    """Two classes of 40 training images; test images 0 to 5 show scenes of training images 0 to 5.

    The second photograph is displaced by 6 pixels in both directions, more than the duplicate
    finder searches. Test image 6 is training image 40, of the other class.
    """
    wide = to_uint8(scenes(np.random.default_rng(3), 80, WIDE))
    train = wide[:, 4 : 4 + SIDE, 4 : 4 + SIDE]
    other = wide[:SHOTS, 10 : 10 + SIDE, 10 : 10 + SIDE]
    strangers = to_uint8(scenes(np.random.default_rng(4), 14, SIDE))
    test = np.concatenate([other, train[40:41], strangers])
    labels = np.repeat([0, 1], 40)
    test_labels = np.array([0] * SHOTS + [0] + [0] * 7 + [1] * 7)
    return Dataset(["a", "b"], train, labels, test, test_labels)


@pytest.fixture(scope="module")
def pairs(data):
    return find_duplicates(data.train_images, data.test_images, review=0, per_test=scene.SCORED)


def test_relative_to_the_class_by_hand():
    # the mean of ranks 3 to 8 of the others: without 9, of 6 5 4 3 2 1; without 6, of 5 4 3 2 1 0
    values = np.array([9.0, 7, 8, 6, 5, 4, 3, 2, 1, 0])
    found = scene.relative(values) * values.std()
    assert found[0] == pytest.approx(9 - np.mean([6, 5, 4, 3, 2, 1]))
    assert found[3] == pytest.approx(6 - np.mean([7, 5, 4, 3, 2, 1]))
    assert found[-1] == pytest.approx(0 - np.mean([7, 6, 5, 4, 3, 2]))
    assert scene.relative(np.array([1.0, 0, 0, 0]))[0] > 1
    one = np.zeros(3000)
    one[0] = 1
    assert scene.relative(one)[0] == 14  # the bound


def test_matching_is_the_mean_distance_to_the_nearest_part():
    rng = np.random.default_rng(0)
    test, train = rng.normal(size=(2, 5, 3)), rng.normal(size=(4, 7, 3))
    found = nearest(*(torch.tensor(x, dtype=torch.float32) for x in (test, train)))
    apart = ((test[:, None, :, None] - train[None, :, None, :]) ** 2).sum(-1)
    assert overall(found).numpy() == pytest.approx(-apart.min(3).mean(2).min(0), abs=1e-5)


def test_parts_count_by_how_much_they_exceed_what_others_reach():
    # by part, training images 0 to 4; ranks 2 and 3 are the third and fourth greatest
    found = torch.tensor([[0.0, -9], [-1, -8], [-2, -7], [-3, -6], [-4, -5]])[:, None]
    expected = [(2.5 + 0) / 2, (1.5 + 0) / 2, (0.5 + 0.5) / 2, (0 + 1.5) / 2, (0 + 2.5) / 2]
    assert distinct(found, (2, 4)).tolist() == expected
    mirrored = torch.cat([found, found.flip(0)], 1)  # the better view counts
    assert distinct(mirrored, (2, 4)).tolist() == expected


@pytest.mark.parametrize("embedding", ["classical", "network"])
def test_another_photograph_of_a_scene_is_found(data, pairs, embedding, monkeypatch):
    """The finder misses most; within the class, the scene's training image is the best one."""
    monkeypatch.setattr(features, "RECIPE", replace(features.RECIPE, epochs=1, batch_size=16))
    assert len(set(pairs.test[pairs.kind == "near"].tolist()) & set(range(SHOTS))) <= 1
    found = find_scenes(data, pairs, embedding, scene=0.5)
    assert set(found.kind.tolist()) <= {"exact", "near", "scene", "candidate"}
    assert (found.train[0], found.test[0], found.kind[0]) == (40, 6, "exact")
    best = [found.of(found.test == test) for test in range(data.n_test)]
    chances = [pairs.probability.max() for pairs in best]
    right = [pairs.train[0] == test for test, pairs in enumerate(best[:SHOTS])]
    assert sum(right) >= SHOTS - 2
    assert np.median(chances[:SHOTS]) > np.quantile(chances[SHOTS + 1 :], 0.9)
    scenes_ = found.of(found.kind == "scene")
    assert (data.train_labels[scenes_.train] == data.test_labels[scenes_.test]).all()
    assert (scenes_.probability >= 0.5).all()
    assert (found.of(found.kind == "candidate").probability < 0.5).all()
    assert found.probability[0] == 1 and (np.diff(found.probability[1:]) <= 0).all()
    assert max(np.unique(found.test, return_counts=True)[1]) <= 11


def test_network_features_depend_on_the_seed_alone(data, monkeypatch):
    monkeypatch.setattr(features, "RECIPE", replace(features.RECIPE, epochs=1, batch_size=16))
    found = [features.features_of("network", data, seed) for seed in (0, 0, 1)]
    with torch.inference_mode():
        one, same, other = (each.vectors(data.test_images) for each in found)
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert one.norm(dim=1).numpy() == pytest.approx(1, abs=1e-4)


def test_an_embedding_of_ones_own(data, pairs, tmp_path, monkeypatch):
    (tmp_path / "embeddings.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    found = find_scenes(data, pairs, "embeddings:means", scene=0.5)
    assert (found.train[0], found.test[0]) == (40, 6) and len(found) > len(data.test_images)
    before = data.train_images.copy()
    find_scenes(data, pairs, "embeddings:inverted")
    assert (data.train_images == before).all()
    for name, message in {
        "ragged": r"embedding embeddings:ragged: returned \(\d+, 2, 2\) for \d+ images",
        "empty": r"embedding embeddings:empty: returned \(\d+, 0\) for \d+ images",
        "constant": "embedding embeddings:constant: returned the same vector for all of 64 images",
        "nan": "embedding embeddings:nan: returned values that are not finite",
        "wider": "embedding embeddings:wider: returned vectors of 3 values, after others of 2",
        "broken": r"embedding embeddings:broken: failed \(OSError: no weights, raised in ",
        "none": r"embedding embeddings:none: .*embeddings\.py has no function none",
    }.items():
        with pytest.raises(AuditError, match=message):
            features.check_embedding(f"embeddings:{name}", data.train_images[:64])
    with pytest.raises(AuditError, match="embedding nowhere:f: module nowhere not found"):
        find_scenes(data, pairs, "nowhere:f")
    with pytest.raises(AuditError, match=r"embedding emb\.good: must be package\.module:function"):
        find_scenes(data, pairs, "emb.good")


def test_classes_that_are_too_small_have_no_candidates(data, pairs):
    notes = []
    few = replace(data, train_labels=(np.arange(80) > 18).astype(np.int64))
    found = find_scenes(few, pairs, "classical", scene=0.0, note=notes.append)
    assert set(data.test_labels[found.test[found.kind == "scene"]].tolist()) <= {1}
    assert notes == ["classes with fewer than 20 training images are not searched for scenes: a"]
    assert scene.unsearched(data) == ""


def test_images_without_structure_are_no_scenes(data):
    flat = np.full_like(data.train_images[:20], 90)
    flat += np.arange(20, dtype=np.uint8)[:, None, None, None]
    train = np.concatenate([data.train_images[:20], flat])
    labels = np.zeros(40, dtype=np.int64)
    plain = replace(data, train_images=train, train_labels=labels, test_images=flat[:2] - 30)
    plain = replace(plain, test_labels=labels[:2])
    pairs = find_duplicates(plain.train_images, plain.test_images, review=0, per_test=scene.SCORED)
    assert set(find_scenes(plain, pairs, "classical", scene=0.1).kind.tolist()) == {"candidate"}


def test_a_near_duplicate_is_at_least_as_probable_as_its_score_says(data, pairs, monkeypatch):
    """Even where the evidence relative to the class speaks against it."""
    monkeypatch.setattr(
        calibration, "probability", lambda kind, terms: np.zeros(len(terms["score"]))
    )
    monkeypatch.setattr(scene, "probability", calibration.probability)
    kind = np.where(pairs.score > np.median(pairs.score), "near", "candidate")
    found = find_scenes(data, replace(pairs, kind=kind), "classical")
    near = found.kind == "near"
    keys = [list(zip(found.train, found.test, strict=True)) for found in (pairs, found)]
    before = dict(zip(keys[0], pairs.probability, strict=True))
    expected = [before[key] for key, is_near in zip(keys[1], near, strict=True) if is_near]
    assert near.any() and found.probability[near].tolist() == expected
    assert (np.diff(found.probability) <= 0).all()  # still the most probable first


def test_few_training_images_are_searched_without_a_network(data, pairs, monkeypatch):
    monkeypatch.setattr(features, "FEWEST", 81)
    notes = []
    found = find_scenes(data, pairs, "network", note=notes.append)
    classical = find_scenes(data, pairs, "classical")
    assert found.probability.tolist() == classical.probability.tolist()
    assert "80 training images are too few to train a network (at least 81)" in notes[0]


def test_few_images_are_trained_on_for_more_epochs(data, monkeypatch):
    monkeypatch.setattr(features, "RECIPE", replace(features.RECIPE, epochs=1, batch_size=16))
    monkeypatch.setattr(features, "STEPS", 12)
    shown = []
    features.train_network(data, 0, lambda *progress: shown.append(progress))
    assert shown == [(step, 15) for step in range(1, 16)]  # 3 epochs of 5 steps


@pytest.mark.parametrize("kind", ["score", "classical", "network", "embedding"])
def test_more_evidence_makes_a_pair_more_probable(kind):
    terms = {"score": np.array([0, 0.5, 1])}
    if kind != "score":
        terms |= {name: np.array([0.0, 2, 4]) for name in ("global", "patches")}
    chance = calibration.probability(kind, terms)
    assert 0 < chance[0] < chance[1] < chance[2] < 1
