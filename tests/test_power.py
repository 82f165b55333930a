"""How many models a question takes: textbook formulas, and simulations."""

import numpy as np
import pytest
from scipy import stats

from memaudit.results import power
from memaudit.results.statistics import Arm, accuracy_drop, equivalence, sum_of_parts
from memaudit.results.two_way import TwoWay

SD = 0.3 * np.sqrt(2)  # of the difference of two models of 0.3 each that do not correlate


def normal_models(*quantiles, difference):
    """Models per arm by the textbook's normal formula, 2 (z + z)^2 sd^2 / difference^2."""
    return int(np.ceil(2 * (sum(map(stats.norm.ppf, quantiles)) * 0.3 / difference) ** 2))


def test_counts_are_the_textbooks_and_a_few_for_the_t_distribution():
    wanted = [
        normal_models(0.975, difference=0.1),
        normal_models(0.975, 0.8, difference=0.1),
        normal_models(0.95, 0.9, difference=0.25),
    ]
    assert wanted == [70, 142, 25]
    found = [
        power.models_for_half_width(SD, 0.1),
        power.models_for_power(SD, 0.1),
        power.models_for_equivalence(SD, 0.25, 10**9),
    ]
    assert found == [72, 144, 26]
    # 2,000 test images and a margin that is five of them take more models, 1,000 any number
    assert power.models_for_equivalence(SD, 0.25, 2_000) > 50
    assert power.models_for_equivalence(SD, 0.25, 1_000) is None


def test_counts_are_the_fewest_that_do():
    sd = 0.54
    n = power.models_for_half_width(sd, 0.3)
    assert power.half_width(sd, n) <= 0.3 < power.half_width(sd, n - 1)
    n = power.models_for_power(sd, 0.3)
    assert power.power(sd, n, 0.3) >= 0.8 > power.power(sd, n - 1, 0.3)
    n = power.models_for_equivalence(sd, 0.4, 9_000)
    below, enough = (power.equivalence_power(sd, k, 0.4, 9_000) for k in (n - 1, n))
    assert below < 0.8 <= enough


def test_half_width_is_that_of_the_paired_interval(rng):
    full, reduced = (Arm(np.arange(9), rng.normal(0.7, sd, 9)[:, None]) for sd in (0.002, 0.006))
    drop = accuracy_drop(full, reduced)
    assert power.half_width(drop.sd, 9) == pytest.approx((drop.high - drop.low) / 2)


@pytest.mark.parametrize(("correlation", "models"), [(-0.5, 12), (0, 12), (0.5, 30)])
def test_power_is_how_often_the_tests_find(correlation, models, rng):
    drop, margin, studies = 0.3, 0.35, 4000
    covariance = 0.09 * np.array([[1, correlation], [correlation, 1]])
    full, reduced = np.moveaxis(
        rng.multivariate_normal([0, 0], covariance, (studies, models)), 2, 0
    )
    sd = 0.3 * np.sqrt(2 - 2 * correlation)

    def p(shift, side):
        return stats.ttest_rel(full + shift, reduced, axis=1, alternative=side).pvalue

    found = np.mean(p(drop, "two-sided") < 0.05)
    both = np.maximum(p(margin, "greater"), p(-margin, "less"))
    assert power.power(sd, models, drop) == pytest.approx(found, abs=0.03)
    assert power.equivalence_power(sd, models, margin, 10**9) == pytest.approx(
        np.mean(both < 0.05), abs=0.04
    )


@pytest.mark.parametrize("rows", [1, 4])
def test_power_is_how_often_the_verdicts_find(rows, rng):
    """With the sampling of images, and adjusted: simulated as differences with known variances."""
    models, drop, studies, image_sd, n_images = 20, 0.5, 4000, 0.1, 400
    differences = rng.normal(0, SD, (studies, models))
    chosen = image_sd * rng.normal(0, 1, studies)
    variance = image_sd**2 * rng.chisquare(n_images - 1, studies) / (n_images - 1)
    found = []
    for of_trials, image, of_images in zip(differences, chosen, variance, strict=True):
        parts = (of_trials.var(ddof=1) / models, models - 1), (of_images, n_images - 1)
        found.append((of_trials.mean() + image, *sum_of_parts(parts)))
    value, se, df = np.array(found).T
    adjusted = stats.t.isf(0.025 / rows, df)
    images = (image_sd**2, n_images - 1)
    assert power.power(SD, models, drop, images, rows) == pytest.approx(
        np.mean((value + drop) / se > adjusted), abs=0.03
    )


@pytest.mark.parametrize(("models", "margin"), [(60, 0.5), (150, 0.4)])
def test_power_is_how_often_no_drop_is_shown_to_be_small(models, margin, rng):
    """No image changes; by the verdict's own test, of 1,500 images."""
    n_test, shown, sds = 1500, 0, []
    for _ in range(500):
        right = rng.beta(0.6, 0.2, n_test)
        arms = {name: Arm(np.arange(models), rng.random((models, n_test)) < right) for name in "ab"}
        found = TwoWay(arms, 2, 0).contrast(["a"], ["b"])
        shown += equivalence(found, margin) < 0.05
        sds.append(found.sd)
    sd = float(np.sqrt(np.mean(np.square(sds))))
    expected = power.equivalence_power(sd, models, margin, n_test)
    assert 0.3 < expected < 0.95
    assert expected == pytest.approx(shown / 500, abs=0.06)


def test_what_models_cannot_tell():
    assert power.models_for_half_width(SD, 1e-9) is None
    assert power.models_for_half_width(0.0, 0.1) == 2
    assert power.models_for_power(0.0, 0.1) == 2
    assert power.models_for_equivalence(0.0, 0.1, 10**6) == 2
    assert np.isnan(power.half_width(SD, 1))
    one = Arm(np.arange(1), np.ones((1, 5), dtype=bool))
    assert power.images_of(one, one) == power.FIXED_TEST_SET
    images = (0.2**2, 999)  # half-width 0.39: 0.2 drowns in the sampling of images
    assert power.models_for_power(SD, 0.2, images) is None
    assert power.models_for_power(SD, 1.0, images) is not None


def test_the_floor_is_what_is_left_with_all_models(rng):
    """Of images with known probabilities; at any number of models, and two-way at very many."""
    before, after = rng.random(500), np.zeros(500)
    after[:] = before - 0.4 * before * (rng.random(500) < 0.1)
    floor = 1.96 * 100 * (before - after).std(ddof=1) / np.sqrt(500)
    floors = []
    for models in (5, 1000):
        full, reduced = (
            Arm(np.arange(models), rng.random((models, 500)) < p) for p in (before, after)
        )
        floors.append(power.image_floor(power.images_of(full, reduced)))
    found = TwoWay({"full": full, "reduced": reduced}, 400, 0).contrast(["full"], ["reduced"])
    assert floors[1] == pytest.approx(floor, rel=0.06)
    assert floors[0] < 3 * floor  # as it is with few models, naively: 100 sd / root 500 is 4.6
    assert (found.high - found.low) / 2 == pytest.approx(floors[1], rel=0.15)


def test_what_images_add_shrinks_with_the_drop():
    """37 of 10,000 test images right 27% less often: a drop of 0.1, of 888 one of 2.4."""
    measured, images = 888 * 0.27 / 100, (888 * 0.27**2 / 10_000**2 * 100**2, 9_999)
    small, freedom = power.images_at(0.1, images, measured, 10_000)
    assert freedom == 9_999
    assert np.sqrt(small) == pytest.approx(100 * np.sqrt(37 * 0.27**2) / 10_000, rel=0.01)
    assert power.models_for_power(SD, 0.1, (small, freedom), 4) == pytest.approx(286, abs=6)
    # never more than if every model lost the images for good, nor less than nothing
    assert power.images_at(1.0, (9.0, 99), 0.5, 100)[0] == pytest.approx(100**2 * 0.01 * 0.99 / 100)
    assert power.images_at(1.0, (0.0, 99), 0.0, 100)[0] == pytest.approx(100**2 * 0.01 * 0.99 / 100)
    assert power.images_at(0.0, images, measured, 10_000)[0] == 0


def test_memorization_scores():
    assert power.memorization_half_width(4000, 0.7) / 1.96 == pytest.approx(0.0173, abs=1e-4)
    assert power.memorization_half_width(100, 0.7) / 1.96 == pytest.approx(0.109, abs=1e-3)
    n = power.models_for_memorization(0.05, 0.7)
    assert n == 1830
    assert power.memorization_half_width(n, 0.7) <= 0.05 < power.memorization_half_width(n - 1, 0.7)
    assert power.models_for_memorization(0.05, 0.7, p_in=1.0, p_out=0.5) < n
    # a score known to 0.1 a side by 400 models takes four times as many for 0.05
    assert power.models_for_measured(0.05, 0.1 / stats.norm.ppf(0.975), 400) == 1600
