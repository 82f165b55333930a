"""Scores from margins: unbiased, with standard errors that hold, and well defined at the edges."""

import numpy as np
import pytest
from scipy.special import ndtr

from memaudit import Scores, bits
from memaudit.models.removals import subset_mask
from memaudit.scores.estimate import influence_blocks, memorization
from memaudit.scores.margin_influence import influence_from_margins
from memaudit.scores.margins import bandwidth, memorization_from_margins, moderated

FRACTION = 0.7
TRAIN, TEST = 60, 200  # examples of the one class of `planted`


def masks(models, n, seed=0):
    return np.array([subset_mask(n, model, FRACTION, seed) for model in range(models)])


def planted(models, seed, noise="normal"):
    """Return mask, margins, and the true influence, of test examples that two examples influence.

    The second influence is half the first. Truth: the difference of probabilities of a positive
    margin with and without the example, in the mean over whether the other one is in the subset.
    """
    rng = np.random.default_rng(seed)
    mask = masks(models, TRAIN, seed)
    first, second = np.array([rng.permutation(TRAIN)[:2] for _ in range(TEST)]).T
    one = rng.uniform(0.6, 3.0, TEST)
    base, two = rng.normal(-0.6, 0.8, TEST) - FRACTION * one, one / 2
    mean = base + one * mask[:, first] + two * mask[:, second]
    draws = {
        "normal": rng.normal(size=mean.shape),
        "uniform": rng.uniform(-(3**0.5), 3**0.5, mean.shape),
        "skewed": rng.gamma(4.0, 0.5, mean.shape) - 2,
    }
    truth = np.zeros((TRAIN, TEST))
    for which, own, other in ((first, one, two), (second, two, one)):
        with_other, without = (ndtr(base + own + at) - ndtr(base + at) for at in (other, 0.0))
        truth[which, np.arange(TEST)] = FRACTION * with_other + (1 - FRACTION) * without
    return mask, mean + draws[noise], truth


def influence_of(mask, margins):
    labels = np.zeros(TRAIN, int), np.zeros(margins.shape[1], int)
    (block,) = influence_from_margins(mask, margins, *labels)
    return block


@pytest.mark.parametrize(("models", "bias"), [(60, 0.02), (140, 0.01)])
def test_influence_is_unbiased_and_its_intervals_cover(models, bias):
    errors, ses = [], []
    for seed in range(5):
        mask, margins, truth = planted(models, seed)
        block, strong = influence_of(mask, margins), truth >= 0.15
        errors.append((block.influence - truth)[strong])
        ses.append(block.influence_se[strong])
    error, se = np.concatenate(errors), np.concatenate(ses)
    assert len(error) > 1000
    assert abs(error.mean()) < bias
    assert 0.92 <= (np.abs(error) < 1.96 * se).mean() <= 0.97


def test_influence_is_selected_where_it_is_planted():
    mask, margins, truth = planted(140, 9)
    block = influence_of(mask, margins)
    selected = (block.influence >= 0.15) & (block.z > 4)
    assert (truth[selected] > 0).mean() > 0.99
    assert selected[truth >= 0.3].mean() > 0.9
    # redrawn subsets: nothing is left to find
    chance = influence_of(masks(140, TRAIN, seed=100), margins)
    assert ((chance.influence >= 0.15) & (chance.z > 4)).sum() <= 2
    assert 0.8 < chance.z.std() < 1.2


def test_influence_needs_fewer_models_than_the_difference():
    labels = np.zeros(TRAIN, int), np.zeros(TEST, int)
    mask, margins, truth = planted(100, 3)
    (plain,) = influence_blocks(mask, margins > 0, *labels)
    squared = [
        np.mean((block.influence - truth)[truth >= 0.15] ** 2)
        for block in (influence_of(mask, margins), plain)
    ]
    assert squared[0] < squared[1] / 1.4


def normal_margins(models, n, seed):
    """Return mask, margins and the true memorization of examples with normal margins."""
    rng = np.random.default_rng(seed)
    mask = masks(models, n, seed)
    shift, base = rng.uniform(0, 4, n), rng.normal(-1, 1, n)
    sd = 2 / np.sqrt(rng.chisquare(8, n) / 8)
    margins = rng.normal(base + shift * mask, sd)
    return mask, margins, ndtr((base + shift) / sd) - ndtr(base / sd)


@pytest.mark.parametrize("models", [60, 140])
def test_memorization_is_unbiased_and_its_intervals_cover(models):
    mask, margins, truth = normal_margins(models, 3000, 1)
    found = memorization_from_margins(mask, margins)
    error = found.value - truth
    assert abs(error.mean()) < 0.004
    assert abs(error[truth >= 0.25].mean()) < 0.01
    assert 0.92 <= (np.abs(error) < 1.96 * found.se).mean() <= 0.97
    plain = memorization(mask, margins > 0)
    assert np.mean(error**2) < np.mean((plain.value - truth) ** 2) / 1.25


@pytest.mark.parametrize("noise", ["uniform", "skewed"])
def test_both_estimators_agree_with_many_models(noise):
    """The margins are not normal, so the kernel is biased; its bias is less than the noise."""
    mask, margins, truth = planted(4000, 5, noise)
    labels = np.zeros(TRAIN, int), np.zeros(TEST, int)
    (plain,) = influence_blocks(mask, margins > 0, *labels)
    ours = influence_of(mask, margins)
    strong = truth >= 0.1
    apart = (ours.influence - plain.influence)[strong]
    assert np.sqrt(np.mean(apart**2)) < 1.5 * np.sqrt(np.mean(plain.influence_se[strong] ** 2))
    assert abs(apart.mean()) < 0.015
    found = memorization_from_margins(mask, margins[:, :TRAIN])
    other = memorization(mask, margins[:, :TRAIN] > 0)
    assert np.abs(found.value - other.value).max() < 4 * other.se.max()


def test_the_bandwidth_shrinks_with_the_models():
    assert bandwidth(20) == bandwidth(100) == 0.5
    assert bandwidth(1600) == pytest.approx(0.125)


def test_intervals_cover_where_failures_are_rare():
    """A few failures, far from the other margins, are often not among the models of a group."""
    rng = np.random.default_rng(0)
    mask = masks(60, 4000)
    fails = rng.random(mask.shape) < np.where(mask, 0.0, 0.98) + 0.01
    margins = np.where(fails, -6.0, 6.0) + rng.normal(size=mask.shape)
    found = memorization_from_margins(mask, margins)
    assert abs(found.value.mean() - 0.98) < 0.003
    assert (np.abs(found.value - 0.98) < 1.96 * found.se).mean() > 0.9
    assert found.se.min() == pytest.approx(np.sqrt((1 / 42**2 + 1 / 18**2) / 3))


def test_packed_masks_and_half_precision_change_nothing():
    mask, margins, _ = planted(60, 2)
    halved = margins.astype(np.float16)
    one, two = influence_of(mask, halved), influence_of(bits.pack(mask), halved.astype(float))
    for name in ("influence", "influence_se", "z"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    wide = np.tile(halved, 2)[:, :TRAIN]
    found = memorization_from_margins(mask, wide), memorization_from_margins(bits.pack(mask), wide)
    assert np.array_equal(found[0].value, found[1].value)
    assert np.array_equal(found[0].se, found[1].se)


def test_blocks_of_examples_do_not_change_the_memorization(monkeypatch):
    mask, margins, _ = normal_margins(40, 100, 0)
    whole = memorization_from_margins(mask, margins)
    monkeypatch.setattr("memaudit.scores.margins._BLOCK", 40 * 16)
    parts = memorization_from_margins(mask, margins)
    assert np.array_equal(whole.value, parts.value)
    assert np.array_equal(whole.se, parts.se)


def test_an_example_in_all_subsets_or_in_none_has_no_scores():
    mask, margins, _ = planted(60, 4)
    mask[:, 3], mask[:, 8] = True, False
    lacking = np.isin(np.arange(TRAIN), [3, 8])
    found = memorization_from_margins(mask, margins[:, :TRAIN])
    block = influence_of(mask, margins)
    for values in (found.value, found.se):
        assert np.array_equal(np.isnan(values), lacking)
    for values in (block.influence, block.influence_se, block.z):
        assert np.array_equal(np.isnan(values).any(axis=1), lacking)
        assert np.array_equal(np.isnan(values).all(axis=1), lacking)


@pytest.mark.parametrize("constant", [-2.0, 0.0, 5.0])
def test_constant_margins_have_no_influence(constant):
    mask, margins, _ = planted(60, 4)
    margins[:, :5] = constant
    block = influence_of(mask, margins)
    assert np.abs(block.influence[:, :5]).max() < 1e-6
    assert np.abs(block.z[:, :5]).max() < 4
    found = memorization_from_margins(mask, margins[:, :TRAIN])
    assert np.isfinite(found.value).all()
    assert np.abs(found.value[:5]).max() < 1e-6
    everything = memorization_from_margins(mask, np.full((60, TRAIN), constant))
    assert np.abs(everything.value).max() < 1e-6


def test_a_constant_margin_leaves_the_others_alone():
    """Whether its value is exact in binary or not: its variance is 0, not a rounding error."""
    mask, margins, _ = planted(60, 3)
    found = []
    for constant in (0.5, 0.7):
        margins[:, 0] = constant
        found.append(memorization_from_margins(mask, margins[:, :TRAIN]))
    assert np.array_equal(found[0].value[1:], found[1].value[1:])
    assert np.array_equal(found[0].se[1:], found[1].se[1:])


def test_an_example_that_one_model_lacks_has_a_bounded_error():
    """That model's margin is fitted exactly if the example enters the regression."""
    rng = np.random.default_rng(5)
    mask = rng.random((60, TRAIN)) < 0.7
    mask[:, 0] = np.arange(60) > 0
    margins = rng.normal(1, 0.5, (60, 4))
    margins[0] = -9
    block = influence_of(mask, margins)
    assert (block.z[0] > 4).all()
    low = np.sqrt((1 + 1 / 59**2) / 3)
    assert (block.influence_se[0] > 0.99 * low).all() and (block.influence_se[0] < 3 * low).all()


@pytest.mark.parametrize("models", [10, 14])
def test_few_models_are_scored_without_screening(models):
    mask, margins, _ = planted(models, 6)
    block = influence_of(mask, margins)
    assert np.isfinite(block.influence).all()
    assert (block.influence_se > 0).all()
    assert np.isfinite(memorization_from_margins(mask, margins[:, :TRAIN]).value).all()


def test_examples_that_are_always_together_do_not_break_the_regression():
    mask, margins, truth = planted(80, 7)
    influences = int(truth[:, 0].argmax())
    twin = (influences + 1) % TRAIN
    mask[:, twin] = mask[:, influences]
    block = influence_of(mask, margins)
    unknown = np.isnan(block.influence)
    assert unknown[[influences, twin], 0].sum() == 1  # one of them entered
    assert unknown.sum() == unknown[[influences, twin]].sum()
    assert np.array_equal(unknown, np.isnan(block.z))
    assert np.nanmax(block.influence_se) < 1


def test_variances_are_moderated():
    rng = np.random.default_rng(0)
    freedom = np.full(4000, 6)
    same = moderated(4 * rng.chisquare(6, 4000) / 6, freedom)
    assert np.std(np.log(same)) < 0.1
    assert np.median(same) == pytest.approx(4, rel=0.05)
    true = 1 / (rng.chisquare(10, 4000) / 10)  # prior with 10 degrees of freedom
    sample = true * rng.chisquare(6, 4000) / 6
    best = (10 + 6 * sample) / 16
    assert moderated(sample, freedom) == pytest.approx(best, rel=0.25)


def test_shapes_are_checked():
    mask, margins, _ = planted(20, 0)
    with pytest.raises(ValueError, match="train_margin has the shape"):
        memorization_from_margins(mask, margins[:10, :TRAIN], TRAIN)
    with pytest.raises(ValueError, match="test_margin has shape"):
        influence_of(mask[:10], margins)
    with pytest.raises(ValueError, match="train_margin has masked entries"):
        memorization_from_margins(mask, np.ma.masked_less(margins[:, :TRAIN], 0), TRAIN)
    labels = np.zeros(TRAIN), np.zeros(margins.shape[1])
    arrays = mask, margins[:, :TRAIN], margins
    scores = Scores.from_margins(*[one.tolist() for one in arrays], *labels)
    assert scores.train_labels.dtype == np.int64
    assert np.array_equal(
        scores.memorization.value, Scores.from_margins(*arrays, *labels).memorization.value
    )
    pairs = scores.select(-1, -1, 1).to_frame()
    every = scores.influence.to_frame().set_index(["train", "test"])
    assert len(pairs) > 5 and (pairs.z > 1).all()
    block = scores.influence[0]
    assert [block.z[p.train, p.test] for p in pairs.itertuples()] == pairs.z.tolist()
    assert every.loc[[(p.train, p.test) for p in pairs.itertuples()]].z.tolist() == pairs.z.tolist()
    of_bits = mask, mask, margins > 0
    for estimate, outputs in ((Scores.from_margins, arrays), (Scores.from_arrays, of_bits)):
        with pytest.raises(ValueError, match="has no models"):
            estimate(*[one[:0] for one in outputs], *labels)
        with pytest.raises(ValueError, match=r"train_labels has 0\.5 at position 1: not a whole"):
            estimate(*outputs, np.arange(TRAIN) / 2, labels[1])
        with pytest.raises(ValueError, match=r"test_labels is .*; it must be whole numbers \(n,\)"):
            estimate(*outputs, labels[0], np.eye(2)[labels[1].astype(int)])
        column = estimate(*outputs, labels[0], labels[1][:, None])
        assert np.array_equal(column.test_labels, labels[1])
    for k, name in enumerate(("train_margin", "test_margin"), start=1):
        given = [one > 0 if i == k else one for i, one in enumerate(arrays)]
        with pytest.raises(ValueError, match=f"{name} has only the values 0 and 1"):
            Scores.from_margins(*[one.astype(float) for one in given], *labels)
