"""Differences of accuracy: known formulas, and simulations of what the intervals promise."""

import numpy as np
import pytest
from scipy import stats

from memaudit.results import statistics
from memaudit.results.statistics import Arm, Estimate, accuracy_drop
from memaudit.results.two_way import FEW, TwoWay

STUDIES = 2000


def arm(accuracy, first=0):
    """An arm with given test accuracies, percent (models,), from trial `first` on."""
    return Arm(first + np.arange(len(accuracy)), np.asarray(accuracy, dtype=float)[:, None] / 100)


def test_arms_with_the_same_trials_have_students_interval(rng):
    full, reduced = rng.normal(76, 0.3, 12), rng.normal(75, 0.3, 12)
    found = accuracy_drop(arm(full), arm(reduced))
    reference = stats.ttest_rel(full, reduced)
    interval = reference.confidence_interval(0.95)
    assert found.value == pytest.approx(full.mean() - reduced.mean())
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.sd == pytest.approx((full - reduced).std(ddof=1))
    assert found.se == pytest.approx(found.sd / np.sqrt(12))
    assert statistics.no_effect(found) == pytest.approx(reference.pvalue)


def test_arms_with_different_trials_have_welchs_interval(rng):
    full, reduced = rng.normal(76, 0.28, 30), rng.normal(75.9, 0.6, 20)
    found = accuracy_drop(arm(full), arm(reduced))
    reference = stats.ttest_ind(full, reduced, equal_var=False)
    interval = reference.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.sd == pytest.approx(np.hypot(full.std(ddof=1), reduced.std(ddof=1)))
    assert statistics.no_effect(found) == pytest.approx(reference.pvalue)
    sides = [
        stats.ttest_ind(full + shift, reduced, equal_var=False, alternative=side).pvalue
        for shift, side in ((0.25, "greater"), (-0.25, "less"))
    ]
    assert statistics.equivalence(found, 0.25) == pytest.approx(max(sides))
    shifted = accuracy_drop(arm(full[:20]), arm(reduced, first=1))  # as many, but other trials
    reference = stats.ttest_ind(full[:20], reduced, equal_var=False)
    assert statistics.no_effect(shifted) == pytest.approx(reference.pvalue)


def test_one_model_gives_a_drop_and_no_interval():
    found = accuracy_drop(arm([76.0]), arm([74.0, 75.0]))
    assert found.value == pytest.approx(1.5)
    assert np.isnan([found.sd, found.se, found.low, found.high]).all()


def test_models_that_all_agree():
    found = accuracy_drop(arm([76.0, 76.0]), arm([75.0, 75.0]))
    assert (found.se, found.low, found.high) == pytest.approx((0, 1, 1), abs=1e-9)


def test_the_correlation(rng):
    first = rng.normal(size=20)
    second = first + rng.normal(size=20)
    expected = stats.pearsonr(first, second).statistic
    assert statistics.correlation(first, second) == pytest.approx(expected)
    assert np.isnan(statistics.correlation(first[:2], second[:2]))
    assert np.isnan(statistics.correlation(first, np.ones(20)))


def test_holms_adjustment():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.6, 0.7]) == pytest.approx([1, 1])
    assert len(statistics.holm([])) == 0


def test_tests_of_models_that_all_agree_and_of_one_model():
    same = Estimate(0.1, 0.0, 0.0, np.inf, 0.1, 0.1)
    assert (statistics.no_effect(same), statistics.equivalence(same, 0.25)) == (0, 0)
    assert statistics.equivalence(same, 0.1) == 1
    none = statistics.NO_CHANGE
    assert (statistics.no_effect(none), statistics.equivalence(none, 0.25)) == (1, 0)
    single = Estimate(0.1)
    assert np.isnan([statistics.no_effect(single), statistics.equivalence(single, 1)]).all()


def covered(intervals, truth):
    """Share of the intervals that hold the truth."""
    low, high = np.transpose(intervals)
    return float(np.mean((low <= truth) & (truth <= high)))


def accuracies(rng, studies, models, correlation, drop):
    """Accuracies of two arms (studies, models) each, whose trials correlate."""
    covariance = 0.09 * np.array([[1, correlation], [correlation, 1]])
    drawn = rng.multivariate_normal([76, 76 - drop], covariance, (studies, models))
    return drawn[..., 0], drawn[..., 1]


@pytest.mark.parametrize("models", [12, 40])
@pytest.mark.parametrize("correlation", [-0.5, 0, 0.5, 0.9])
def test_paired_intervals_cover_whatever_the_correlation(correlation, models):
    """95% CIs on the fixed test set hold the true drop in 94 to 96% of 4,000 studies."""
    drawn = accuracies(np.random.default_rng(1), 4000, models, correlation, drop=1.5)
    found = [accuracy_drop(arm(full), arm(reduced)) for full, reduced in zip(*drawn, strict=True)]
    assert 0.94 <= covered([(f.low, f.high) for f in found], 1.5) <= 0.96


def test_pairing_narrows_the_interval_where_trials_correlate():
    full, reduced = accuracies(np.random.default_rng(1), 500, 12, 0.9, drop=1.5)
    widths = {0: [], 1: []}  # the same models; with other trials, as if they were independent
    for first in widths:
        for a, b in zip(full, reduced, strict=True):
            found = accuracy_drop(arm(a), arm(b, first))
            widths[first].append(found.high - found.low)
    assert np.mean(widths[0]) < np.mean(widths[1]) / 2


@pytest.mark.parametrize("models", [4, 25])
def test_equivalence_errs_at_most_at_its_level(models):
    rng = np.random.default_rng(2)

    def found_equivalent(difference):
        drawn = accuracies(rng, STUDIES, models, 0, difference)
        return np.mean(
            [
                statistics.equivalence(accuracy_drop(arm(a), arm(b)), 0.25) < 0.05
                for a, b in zip(*drawn, strict=True)
            ]
        )

    chance = 3 * np.sqrt(0.05 * 0.95 / STUDIES)
    assert found_equivalent(0.25) < 0.05 + chance
    assert found_equivalent(-0.25) < 0.05 + chance
    if models == 25:  # what 25 models per arm are for
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
        by_interval_alone += stats.t.sf(room, found.df) < 0.05
    chance = 3 * np.sqrt(0.05 * 0.95 / studies)
    assert wrong / studies < 0.05 + chance
    assert by_interval_alone / studies > 0.06  # the variance of images that were not drawn


IMAGES, EASE, MODEL = 100, 1.5, 0.05  # test images; spreads of their ease and of the models
HARDER, AFFECTED, AT_RANDOM = 1.2, 0.3, 0.1


def crossed_study(rng, models, shared=0.0):
    """Arms on newly drawn test images: all examples, a control, the removal.

    The removal makes some images harder, the same for every model; a control some that are drawn
    for each model. `shared` is the part of a trial's randomness that its models have in
    common; below 0 the removal reverses it.
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
        way = -1 if shared < 0 and name == "removed" else 1
        chance = sum(
            way * np.sqrt(abs(shared)) * c + np.sqrt(1 - abs(shared)) * o
            for c, o in zip(common, own, strict=True)
        )
        arms[name] = Arm(np.arange(models), ease - less + chance > 0)
    return arms


def expected(affected):
    """Accuracy over all images there could be, where a part of them became harder, percent."""
    before, after = stats.norm.cdf(np.array([1, 1 - HARDER]) / np.sqrt(EASE**2 + 1 + MODEL**2))
    return 100 * (affected * after + (1 - affected) * before)


@pytest.mark.parametrize(("models", "shared"), [(4, 0), (12, -0.5), (12, 0), (12, 0.95), (30, 0)])
def test_two_way_intervals_cover_where_test_images_are_sampled(models, shared):
    """CIs including test-set sampling hold the true drop; those on the fixed test set do not."""
    rng = np.random.default_rng(3)
    two_way, one_way, apart = [], [], []
    for seed in range(STUDIES):
        arms = crossed_study(rng, models, shared)
        found = TwoWay(arms, 400, seed).contrast(["full"], ["removed"])
        two_way.append((found.low, found.high))
        drop = accuracy_drop(arms["full"], arms["removed"])
        one_way.append((drop.low, drop.high))
        sides = [arms[name].correct.mean(axis=0) for name in ("full", "removed")]
        half = 2 * np.hypot(drop.se, 100 * np.sqrt(sum(side.var() for side in sides) / IMAGES))
        apart.append((drop.value - half, drop.value + half))
    truth = expected(0) - expected(AFFECTED)
    assert 0.93 < covered(two_way, truth) < (0.97 if models >= FEW else 0.995)
    if models == 30:  # right about these images, wrong about others
        assert covered(one_way, truth) < 0.8
        # as if each arm had test images of its own: no use of the images they share
        assert covered(apart, truth) > 0.99


def test_the_excess_drop_has_the_variance_of_two_arms_not_of_four():
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
    arms = crossed_study(rng, 8)
    few = {name: arms[name] for name in ("full", "removed")}
    intervals = [TwoWay(a, 300, 0).contrast(["full"], ["removed"]) for a in (arms, few)]
    assert intervals[0] == intervals[1]
    assert intervals[0] != TwoWay(few, 300, 1).contrast(["full"], ["removed"])


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


def test_arms_that_are_none_are_refused_in_words():
    correct = np.ones((8, 5), dtype=bool)
    for trials, problem in (
        (np.arange(7), "7 trials for 8 rows"),
        (np.array([0, 1, 2, 3, 4, 5, 6, 6]), "must ascend, each once"),
        (range(8), "trials must be an array .* got range"),
    ):
        with pytest.raises(ValueError, match=problem):
            Arm(trials, correct)
    with pytest.raises(ValueError, match="correct must be an array of 2 dimension"):
        Arm(np.arange(8), None)
    full, other = Arm(np.arange(8), correct), Arm(np.arange(8), correct[:, :4])
    with pytest.raises(ValueError, match=r"same test images, got .*'full': 5, 'reduced': 4"):
        accuracy_drop(full, other)
    with pytest.raises(ValueError, match=r"same test images, got .*'a': 5, 'b': 4"):
        TwoWay({"a": full, "b": other}, 10, 0)
    with pytest.raises(ValueError, match="no arm"):
        TwoWay({}, 10, 0)


def test_the_type_of_the_trials_decides_no_pairing(rng):
    full, reduced = arm(rng.normal(70, 1, 6)), arm(rng.normal(69, 1, 6))
    narrow = Arm(reduced.trials.astype(np.int32), reduced.correct)
    assert accuracy_drop(full, narrow) == accuracy_drop(full, reduced)
