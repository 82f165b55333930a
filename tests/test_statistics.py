"""How sure a drop is: known formulas, and simulations of what the intervals promise."""

import numpy as np
import pytest
from scipy import stats

from memaudit.results import statistics
from memaudit.results.statistics import Arm, Estimate, TwoWay, welch_drop

STUDIES = 2000


def test_the_interval_is_welchs(rng):
    full, reduced = rng.normal(76, 0.28, 30), rng.normal(73.5, 0.6, 20)
    found = welch_drop(full, reduced)
    reference = stats.ttest_ind(full, reduced, equal_var=False).confidence_interval(0.95)
    assert found.drop == pytest.approx(full.mean() - reduced.mean())
    assert (found.ci_low, found.ci_high) == pytest.approx((reference.low, reference.high))
    assert found.sd == pytest.approx(np.hypot(full.std(ddof=1), reduced.std(ddof=1)))
    assert found.se < found.sd / 4


def test_one_model_gives_a_drop_and_no_interval():
    found = welch_drop(np.array([76.0]), np.array([74.0, 75.0]))
    assert found.drop == pytest.approx(1.5)
    assert np.isnan([found.sd, found.se, found.ci_low, found.ci_high]).all()


def test_models_that_all_agree():
    found = welch_drop(np.array([76.0, 76.0]), np.array([75.0, 75.0]))
    assert (found.se, found.ci_low, found.ci_high) == (0, 1, 1)


def test_pairs_have_students_interval(rng):
    full, reduced = rng.normal(76, 0.3, 12), rng.normal(75, 0.3, 12)
    reference = stats.ttest_rel(full, reduced).confidence_interval(0.95)
    found = statistics.paired_interval(full, reduced)
    assert found == pytest.approx((reference.low, reference.high))
    assert np.isnan(statistics.paired_interval(full[:1], reduced[:1])).all()


def test_the_correlations_interval_is_fishers(rng):
    first = rng.normal(size=20)
    second = first + rng.normal(size=20)
    reference = stats.pearsonr(first, second)
    interval = reference.confidence_interval(0.95)
    expected = reference.statistic, interval.low, interval.high
    assert statistics.correlation(first, second) == pytest.approx(expected)
    assert np.isnan(statistics.correlation(first[:3], second[:3])).all()
    assert np.isnan(statistics.correlation(first, np.ones(20))).all()
    assert not statistics.is_paired(first, np.ones(20))
    assert statistics.is_paired(first, first)


def test_holms_adjustment():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.6, 0.7]) == pytest.approx([1, 1])
    assert len(statistics.holm([])) == 0


def welch(full, reduced):
    """Welch's estimate with what the tests need."""
    drop = welch_drop(full, reduced)
    parts = np.array([x.var(ddof=1) / len(x) for x in (full, reduced)])
    freedom = parts.sum() ** 2 / sum(parts**2 / [len(full) - 1, len(reduced) - 1])
    return Estimate(drop.drop, drop.se, freedom, drop.ci_low, drop.ci_high)


def test_p_values_are_those_of_the_t_tests(rng):
    full, reduced = rng.normal(76, 0.3, 12), rng.normal(75.9, 0.5, 9)
    found = welch(full, reduced)
    reference = stats.ttest_ind(full, reduced, equal_var=False)
    assert statistics.no_effect(found) == pytest.approx(reference.pvalue)
    sides = [
        stats.ttest_ind(full + shift, reduced, equal_var=False, alternative=side).pvalue
        for shift, side in ((0.25, "greater"), (-0.25, "less"))
    ]
    assert statistics.equivalence(found, 0.25) == pytest.approx(max(sides))


def test_tests_of_models_that_all_agree_and_of_one_model():
    same = Estimate(0.1, 0.0, np.inf, 0.1, 0.1)
    assert (statistics.no_effect(same), statistics.equivalence(same, 0.25)) == (0, 0)
    assert statistics.equivalence(same, 0.1) == 1
    none = Estimate(0.0, 0.0, np.inf, 0.0, 0.0)
    assert (statistics.no_effect(none), statistics.equivalence(none, 0.25)) == (1, 0)
    single = Estimate(0.1)
    assert np.isnan([statistics.no_effect(single), statistics.equivalence(single, 1)]).all()


def covered(intervals, truth):
    """Part of the intervals that hold the truth."""
    low, high = np.transpose(intervals)
    return float(np.mean((low <= truth) & (truth <= high)))


@pytest.mark.parametrize("shared", [-0.3, 0, 0.5, 0.9])
def test_intervals_over_models_cover_with_pairing_where_it_shows(shared):
    """Twelve trials; `shared` is the correlation of the accuracies of a trial.

    One below 0 is seldom seen in twelve, so too few studies pair: the table's columns say how many
    of their intervals hold the truth.
    """
    rng = np.random.default_rng(1)
    covariance = 0.09 * np.array([[1, shared], [shared, 1]])
    unpaired, chosen = [], []
    for full, reduced in rng.multivariate_normal([76, 74.5], covariance, (STUDIES, 12)).mT:
        drop = welch_drop(full, reduced)
        unpaired.append((drop.ci_low, drop.ci_high))
        paired = statistics.is_paired(full, reduced)
        chosen.append(statistics.paired_interval(full, reduced) if paired else unpaired[-1])
    if shared < 0:
        assert 0.91 < covered(chosen, 1.5) < 0.94
    else:
        assert 0.93 < covered(chosen, 1.5) < 0.97
    if shared == 0.9:  # what pairing is for: without it the interval is far too wide
        assert covered(unpaired, 1.5) > 0.99
        assert np.diff(chosen).mean() < np.diff(unpaired).mean() / 2
    if shared == 0:
        assert 0.93 < covered(unpaired, 1.5) < 0.97


@pytest.mark.parametrize("models", [4, 25])
def test_equivalence_errs_at_most_at_its_level(models):
    rng = np.random.default_rng(2)

    def found_equivalent(difference):
        full = rng.normal(76 + difference, 0.3, (STUDIES, models))
        reduced = rng.normal(76, 0.3, (STUDIES, models))
        return np.mean(
            [
                statistics.equivalence(welch(*pair), 0.25) < 0.05
                for pair in zip(full, reduced, strict=True)
            ]
        )

    chance = 3 * np.sqrt(0.05 * 0.95 / STUDIES)
    assert found_equivalent(0.25) < 0.05 + chance
    assert found_equivalent(-0.25) < 0.05 + chance
    if models == 25:  # what 25 models an arm are for
        assert 0.75 < found_equivalent(0) < 0.85


def test_equivalence_errs_at_most_at_its_level_where_few_images_are_lost(rng):
    """A drop as large as the margin, of about three images of 1,300 that are lost for good."""
    margin, n_images, models, studies = 0.25, 1300, 40, 300
    wrong, by_interval_alone = 0, 0
    for _ in range(studies):
        lost = rng.random(n_images) < margin / 100
        right = np.where(lost, 1, rng.choice([0.02, 0.98], n_images))
        arms = {
            name: Arm(np.arange(models), rng.random((models, n_images)) < chance)
            for name, chance in (("full", right), ("removed", np.where(lost, 0, right)))
        }
        found = TwoWay(arms, 2, 0).contrast(["full"], ["removed"])
        wrong += statistics.equivalence(found, margin) < 0.05
        wrong += statistics.one_sided(found, margin)[0] < 0.05
        room = (margin - abs(found.value)) / found.se
        by_interval_alone += stats.t.sf(room, found.freedom) < 0.05
    chance = 3 * np.sqrt(0.05 * 0.95 / studies)
    assert wrong / studies < 0.05 + chance
    assert by_interval_alone / studies > 0.06  # the variance of images that were not drawn


IMAGES, EASE, MODEL = 100, 1.5, 0.05  # test images; spreads of their ease and of the models
HARDER, AFFECTED, AT_RANDOM = 1.2, 0.3, 0.1


def crossed_study(rng, models, shared=0.0):
    """Arms on test images drawn anew: all examples, a control, the removal.

    The removal makes some images harder, the same for every model; a control some that are drawn
    anew for each model. `shared` is the part of a trial's chance that its models have in common.
    """
    ease = rng.normal(1, EASE, IMAGES)
    harder = {
        "full": 0,
        "control": HARDER * (rng.random((models, IMAGES)) < AT_RANDOM),
        "removed": HARDER * (rng.random(IMAGES) < AFFECTED),
    }
    common = rng.normal(size=(models, IMAGES)), rng.normal(0, MODEL, (models, 1))
    arms = {}
    for name, less in harder.items():
        own = rng.normal(size=(models, IMAGES)), rng.normal(0, MODEL, (models, 1))
        chance = sum(
            np.sqrt(shared) * c + np.sqrt(1 - shared) * o for c, o in zip(common, own, strict=True)
        )
        arms[name] = Arm(np.arange(models), ease - less + chance > 0)
    return arms


def expected(affected):
    """Accuracy over all images there could be, where a part of them became harder, percent."""
    before, after = stats.norm.cdf(np.array([1, 1 - HARDER]) / np.sqrt(EASE**2 + 1 + MODEL**2))
    return 100 * (affected * after + (1 - affected) * before)


@pytest.mark.parametrize(("models", "shared"), [(4, 0), (30, 0), (12, 0.95)])
def test_two_way_intervals_cover_where_test_images_are_drawn_anew(models, shared):
    rng = np.random.default_rng(3)
    two_way, one_way, apart, paired = [], [], [], 0
    for seed in range(STUDIES):
        arms = crossed_study(rng, models, shared)
        found = TwoWay(arms, 400, seed).contrast(["full"], ["removed"])
        two_way.append((found.low, found.high))
        paired += found.paired
        drop = welch_drop(arms["full"].accuracy, arms["removed"].accuracy)
        one_way.append((drop.ci_low, drop.ci_high))
        sides = [arms[name].correct.mean(axis=0) for name in ("full", "removed")]
        half = 2 * np.hypot(drop.se, 100 * np.sqrt(sum(side.var() for side in sides) / IMAGES))
        apart.append((drop.drop - half, drop.drop + half))
    truth = expected(0) - expected(AFFECTED)
    assert 0.93 < covered(two_way, truth) < 0.97
    if models == 30:  # over models only: sure of these images, wrong of the others
        assert covered(one_way, truth) < 0.8
        # as if each arm had test images of its own: no use of the images they share
        assert covered(apart, truth) > 0.99
    assert (paired > STUDIES / 2) == (shared > 0)


def test_a_drop_less_its_controls_has_the_chance_of_two_arms_not_of_four():
    rng = np.random.default_rng(4)
    right, separate = [], []
    for seed in range(STUDIES):
        two_way = TwoWay(crossed_study(rng, 6), 400, seed)
        found = two_way.contrast(["full", "control"], ["removed", "full"])
        right.append((found.low, found.high))
        drops = [two_way.contrast(["full"], [name]) for name in ("removed", "control")]
        half = 2 * np.hypot(*(drop.se for drop in drops))
        separate.append((found.value - half, found.value + half))
    assert found == two_way.contrast(["control"], ["removed"])
    truth = expected(AT_RANDOM) - expected(AFFECTED)
    assert 0.93 < covered(right, truth) < 0.97
    assert covered(separate, truth) > 0.97


def test_the_interaction_is_a_contrast_of_four_arms(rng):
    arms = {
        f"{recipe}{k}": crossed_study(rng, 8)[k] for recipe in "ab" for k in ("full", "removed")
    }
    found = TwoWay(arms, 400, 0).contrast(["afull", "bremoved"], ["aremoved", "bfull"])
    means = {name: arm.accuracy.mean() for name, arm in arms.items()}
    difference = means["afull"] - means["aremoved"] - (means["bfull"] - means["bremoved"])
    assert found.value == pytest.approx(difference)
    models = sum(arm.accuracy.var(ddof=1) / 8 for arm in arms.values())
    assert found.se**2 > models
    assert found.low < found.value < found.high


def test_another_arm_leaves_an_interval_as_it_is(rng):
    arms = crossed_study(rng, 5)
    few = {name: arms[name] for name in ("full", "removed")}
    intervals = [TwoWay(a, 300, 0).contrast(["full"], ["removed"]) for a in (arms, few)]
    assert intervals[0] == intervals[1]
    assert intervals[0] != TwoWay(few, 300, 1).contrast(["full"], ["removed"])


def test_the_spread_of_draws_is_told_from_that_of_training(rng):
    """Variances of both add up; the interval holds the draws' sd as often as it says."""
    found = [
        statistics.extra_sd(rng.normal(0, np.hypot(0.3, draws), 12), rng.normal(0, 0.3, 12))
        for draws in (0.4,) * STUDIES
    ]
    assert np.median([f[0] for f in found]) == pytest.approx(0.4, abs=0.03)
    assert 0.93 < covered([f[1:] for f in found], 0.4) < 0.98
    nothing = [statistics.extra_sd(*rng.normal(0, 0.3, (2, 12)))[1] for _ in range(STUDIES)]
    assert np.mean(np.array(nothing) > 0) < 0.04
    values = np.array([1.0, 2.0, 4.0])
    more = np.sqrt(4 - 1) * values.std(ddof=1)
    assert statistics.extra_sd(2 * values, values)[0] == pytest.approx(more)
    assert statistics.extra_sd(values, 2 * values)[0] == 0
    assert np.isnan(statistics.extra_sd(values, values[:1])).all()


def test_what_no_interval_can_be_given_for(rng):
    arms = crossed_study(rng, 3)
    single = {name: Arm(arm.trials[:1], arm.correct[:1]) for name, arm in arms.items()}
    images = {name: arm.on(np.arange(1)) for name, arm in arms.items()}
    for few in (single, images):
        found = TwoWay(few, 300, 0).contrast(["full"], ["removed"])
        assert not np.isnan(found.value)
        assert np.isnan([found.se, found.low, found.high]).all()
    nothing = {name: arm.on(np.arange(0)) for name, arm in arms.items()}
    assert np.isnan(TwoWay(nothing, 300, 0).contrast(["full"], ["removed"]).value)
    alike = {name: Arm(np.arange(3), np.ones((3, 9), dtype=bool)) for name in arms}
    found = TwoWay(alike, 300, 0).contrast(["full"], ["removed"])
    # nothing changed on nine images: that says little of others (one image is 11 examples)
    assert (found.value, found.se) == (0, pytest.approx(100 / 9))
    assert found.low < -11 and found.high > 11
    assert statistics.equivalence(found, 0.25) > 0.4
