"""Reliability of the scores, in studies with known memorization and influence."""

import csv

import numpy as np
import pytest

from memaudit.figures.reliability import reliability as draw
from memaudit.models.removals import subset_mask
from memaudit.scores import reliability
from memaudit.scores.estimate import influence_blocks, memorization, standard_error
from memaudit.scores.reliability import SubsetModels, agreement, agreements, disjoint_sets
from memaudit.scores.selection import is_strong
from memaudit.tables import write_rows

THRESHOLDS = {"memorization": 0.25, "influence": 0.15, "z": 2}


def known_study(models, seed=0, n=200, classes=10):
    """Simulate models with known probabilities; return also true memorization and influence.

    Test example j depends on training example j (the first half of each class) and on nothing else.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), n // classes)
    own = np.where(rng.random(n) < 0.6, 0.0, rng.random(n))
    tests = np.flatnonzero(np.arange(n) % (n // classes) < n // classes // 2)
    mask = np.array([subset_mask(n, model, 0.7, seed) for model in range(models)])
    train = rng.random((models, n)) < np.where(mask, 1.0, 1.0 - own)
    test = rng.random((models, len(tests))) < 0.95 - own[tests] * (~mask[:, tests]) * 0.9
    influence = np.zeros((n, len(tests)))
    influence[tests, np.arange(len(tests))] = 0.9 * own[tests]
    return SubsetModels(mask, train, test, labels, labels[tests], 0.7), own, influence


@pytest.mark.parametrize(("models", "sizes"), [(400, [50, 100, 200]), (65, [10, 30]), (19, [])])
def test_sets_are_disjoint_and_balanced(models, sizes):
    """Sets consist of whole blocks; each leaves out every example equally often."""
    found = [size for size in reliability.sizes(models, 0.7) if 2 * size <= models]
    assert found == sizes
    mask = np.array([subset_mask(53, model, 0.7, 0) for model in range(models)])
    for size in sizes:
        one, two = disjoint_sets(models, 0.7, size, split=3, seed=0)
        assert len(set(one) | set(two)) == 2 * size
        for members in (one, two):
            assert (mask[members].sum(axis=0) == 0.7 * size).all()
    if len(sizes) > 1:
        larger, smaller = (disjoint_sets(models, 0.7, size, 3, 0)[0] for size in sizes[:-3:-1])
        assert set(smaller) < set(larger)
        assert set(larger) != set(disjoint_sets(models, 0.7, sizes[-1], 4, 0)[0])


def test_a_set_agrees_with_itself():
    study, *_ = known_study(20)
    same = np.arange(20)
    found = agreement(study, (same, same), THRESHOLDS)
    numbers = [found.memorization, found.influence, found.of_memorized, found.examples, found.pairs]
    assert numbers == pytest.approx([1] * 5)
    assert found.here == found.there > 0.15


def test_agreement_of_two_small_sets_by_hand():
    """Two training examples, one test example: one set selects both pairs, one only the first."""
    half = np.array([[1, 1], [1, 0], [0, 1], [0, 0]] * 2, dtype=bool)
    mask = np.tile(half, (2, 1))
    both, first = mask[:8].any(axis=1), mask[8:, 0]
    study = SubsetModels(
        mask,
        mask,
        np.concatenate([both, first])[:, None],
        np.zeros(2, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        0.5,
    )
    thresholds = {"memorization": 0.25, "influence": 0.15, "z": 0}
    found = agreement(study, (np.arange(8), np.arange(8, 16)), thresholds)
    # influences by the first set 0.5 and 0.5, by the second 1 and 0
    assert (found.examples, found.pairs) == (0.5, 0.5)
    assert found.here == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert found.there == pytest.approx((1 + 0 + 0.5) / 3)


def test_spearman_brown_predicts_the_correlation_with_the_truth():
    """The prediction is the squared correlation of the scores with the true memorization."""
    study, own, _ = known_study(120)
    found = agreements(study, THRESHOLDS, seed=0)
    assert [a.models for a in found] == [10] * 10 + [30] * 10 + [60] * 10
    halves = np.mean([a.memorization for a in found[-10:]])
    scores = memorization(study.mask, study.train).value
    assert halves < reliability.spearman_brown(halves)
    truth = np.corrcoef(scores, own)[0, 1] ** 2
    assert reliability.spearman_brown(halves) == pytest.approx(truth, abs=0.01)


def test_the_other_set_is_free_of_selection_bias():
    """The selecting set overestimates the influence of its selected pairs; the other does not."""
    study, _, influence = known_study(400)
    here, there, true = [], [], []
    for split in range(5):
        sets = disjoint_sets(400, 0.7, 50, split, seed=0)
        found = agreement(study, sets, THRESHOLDS)
        here.append(found.here)
        there.append(found.there)
        for members in sets:
            mask, labels = study.mask[members], (study.train_labels, study.test_labels)
            value = memorization(mask, study.train[members]).value
            for block in influence_blocks(mask, study.test[members], *labels):
                chosen = np.argwhere(is_strong(block, value, **THRESHOLDS))
                true += [influence[block.train_index[i], block.test_index[j]] for i, j in chosen]
    assert np.mean(there) == pytest.approx(np.mean(true), abs=0.02)
    assert np.mean(here) > np.mean(true) + 0.05


def test_spearman_brown_formula():
    assert reliability.spearman_brown(0.5) == pytest.approx(2 / 3)
    assert reliability.spearman_brown(0.5, 1) == 0.5
    assert reliability.spearman_brown(2 / 3, 0.5) == pytest.approx(0.5)


def test_probability_of_the_other_side():
    found = reliability.p_wrong_side(np.array([0.25, 0.348, 0.152, 0.9]), np.full(4, 0.05), 0.25)
    assert found == pytest.approx([0.5, 0.025, 0.025, 0], abs=1e-4)


@pytest.mark.parametrize("models", [400, 1000])
def test_expected_false_selections_match_the_true_number(models, rng):
    """20,000 examples, 80% with memorization below 0.02, others uniform; binomial counts."""
    true = np.where(rng.random(20_000) < 0.8, 0.02 * rng.random(20_000), rng.random(20_000))
    n_in, n_out = int(0.7 * models), int(0.3 * models)
    right_in, right_out = rng.binomial(n_in, 1.0, 20_000), rng.binomial(n_out, 1 - true)
    value = right_in / n_in - right_out / n_out
    wrong = reliability.p_wrong_side(value, standard_error(right_in, n_in, right_out, n_out), 0.25)
    for above in (True, False):
        side = (value >= 0.25) == above
        expected, found = wrong[side].sum(), ((true >= 0.25) != above)[side].sum()
        assert 0.7 < expected / found < 1.5
    assert reliability.p_wrong_side(value, np.full(20_000, 1e-9), 0.25)[value > 0.25].sum() < 1e-6


@pytest.mark.parametrize("accuracy", [0.2, 0.7, 0.9])
def test_expected_false_pairs_match_the_true_number(accuracy, rng):
    """Some predictions depend on a training example, the others on none.

    By counts of right answers, whose chance is not the same up and down away from one half.
    """
    models, n_train, n_test = 100, 200, 150
    mask = np.array([subset_mask(n_train, model, 0.7, 3) for model in range(models)])
    right = np.full((models, n_test), accuracy)
    planted = np.arange(30)
    right[:, planted] -= (
        0.8 * accuracy * ~mask[:, planted]
    )  # test example j takes training example j
    test = rng.random((models, n_test)) < right
    labels = np.zeros(n_train, int), np.zeros(n_test, int)
    study = SubsetModels(mask, mask, test, *labels, 0.7)
    limits = {"memorization": 0.25, "influence": 0.15, "z": 2.5}
    value = np.full(n_train, 0.5)
    (block,) = influence_blocks(mask, test, *labels)
    strong = is_strong(block, value, **limits)
    false = strong.sum() - strong[planted, planted].sum()
    found = reliability.false_pairs(study, value, limits, seed=0)
    assert len(set(found)) > 1 and false > 20
    assert np.mean(found) == pytest.approx(false, rel=0.35)
    assert reliability.false_pairs(study, np.zeros(n_train), limits, seed=0) == [0] * 10


@pytest.mark.parametrize("models", [40, 10])
def test_rows_and_figure_with_enough_and_too_few_models(models, tmp_path):
    study, *_ = known_study(models)
    found = agreements(study, THRESHOLDS, seed=0)
    scores = study.scores(np.arange(models))
    pairs = scores.select(0.4, 0, 0)
    selected = {pair.train for pair in pairs}
    rows = reliability.quantities(scores, pairs, found, [2, 4], 0.25)
    write_rows(tmp_path / "r.csv", reliability.Quantity, rows)
    rows = reliability.example_rows(scores.memorization, pairs, 0.25)
    write_rows(tmp_path / "examples.csv", reliability.ExampleReliability, rows)
    with open(tmp_path / "r.csv", newline="") as file:
        by_name = {(r["quantity"], r["models"]): r for r in csv.DictReader(file)}
    with open(tmp_path / "examples.csv", newline="") as file:
        examples = list(csv.DictReader(file))
    assert int(by_name["examples_selected", str(models)]["value"]) == len(selected)
    wrong = sum(float(p["p_wrong_side"]) for p in examples if p["selected"] == "yes")
    expected = float(by_name["expected_false_examples", str(models)]["value"])
    assert wrong == pytest.approx(expected, rel=1e-3)
    halves = by_name.get(("memorization_correlation", "20"))
    whole = by_name["memorization_reliability", str(models)]
    if models == 10:
        assert halves is None
        assert whole["value"] == ""
    else:
        assert float(halves["low"]) <= float(halves["value"]) <= float(halves["high"])
        assert float(whole["value"]) > float(halves["value"])
    value = scores.memorization.value
    draw((value, value), found, 0.25, models, tmp_path / "r.png")
    is_said = "too few" in (tmp_path / "r.svg").read_text()
    assert is_said == (models == 10)
