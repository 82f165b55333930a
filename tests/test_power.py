"""How many models a question takes: textbook formulas, and simulations."""

import numpy as np
import pytest
from scipy import stats

from memaudit.results import power
from memaudit.results.statistics import Arm, TwoWay, welch_drop

SDS = (0.3, 0.3)


def normal_models(*quantiles, difference):
    """Models an arm by the textbook's normal formula, 2 (z + z)^2 sd^2 / difference^2."""
    return int(np.ceil(2 * (sum(map(stats.norm.ppf, quantiles)) * 0.3 / difference) ** 2))


def test_counts_are_the_textbooks_and_one_for_the_t_distribution():
    wanted = [
        normal_models(0.975, difference=0.1),
        normal_models(0.975, 0.8, difference=0.1),
        normal_models(0.95, 0.9, difference=0.25),
    ]
    assert wanted == [70, 142, 25]
    found = [
        power.models_for_half_width(SDS, 0.1),
        power.models_for_power(SDS, 0.1),
        power.models_for_equivalence(SDS, 0.25),
    ]
    assert found == [71, 143, 26]


def test_counts_are_the_fewest_that_do():
    sds = (0.2, 0.5)
    n = power.models_for_half_width(sds, 0.3)
    assert power.half_width(sds, n) <= 0.3 < power.half_width(sds, n - 1)
    n = power.models_for_power(sds, 0.3)
    assert power.power(sds, n, 0.3) >= 0.8 > power.power(sds, n - 1, 0.3)
    n = power.models_for_equivalence(sds, 0.4)
    assert power.equivalence_power(sds, n, 0.4) >= 0.8 > power.equivalence_power(sds, n - 1, 0.4)


def test_half_width_is_welchs(rng):
    samples = [rng.normal(70, sd, 9) for sd in (0.2, 0.6)]
    drop = welch_drop(*samples)
    sds = tuple(float(s.std(ddof=1)) for s in samples)
    assert power.half_width(sds, 9) == pytest.approx((drop.ci_high - drop.ci_low) / 2)


@pytest.mark.parametrize(("sds", "models"), [((0.3, 0.3), 12), ((0.2, 0.5), 30)])
def test_power_is_how_often_the_tests_find(sds, models, rng):
    drop, margin, studies = 0.3, 0.35, 4000
    full, same = (rng.normal(0, sds[0], (studies, models)) for _ in range(2))
    reduced = rng.normal(0, sds[1], (studies, models))

    def p(a, b, side):
        return stats.ttest_ind(a, b, axis=1, equal_var=False, alternative=side).pvalue

    found = np.mean(p(full + drop, reduced, "two-sided") < 0.05)
    both = np.maximum(p(same + margin, reduced, "greater"), p(same - margin, reduced, "less"))
    assert power.power(sds, models, drop) == pytest.approx(found, abs=0.03)
    assert power.equivalence_power(sds, models, margin) == pytest.approx(
        np.mean(both < 0.05), abs=0.03
    )


def test_what_models_cannot_tell():
    assert power.models_for_half_width(SDS, 1e-9) is None
    assert power.models_for_half_width((0.0, 0.0), 0.1) == 2
    assert power.models_for_power((0.0, 0.0), 0.1) == 2
    assert power.models_for_equivalence((0.0, 0.0), 0.1) == 2
    assert np.isnan(power.half_width(SDS, 1))
    one = Arm(np.arange(1), np.ones((1, 5), dtype=bool))
    assert np.isnan(power.image_floor(one, one))


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
        floors.append(power.image_floor(full, reduced))
    found = TwoWay({"full": full, "reduced": reduced}, 400, 0).contrast(["full"], ["reduced"])
    assert floors[1] == pytest.approx(floor, rel=0.06)
    assert floors[0] < 3 * floor  # as it is with few models, naively: 100 sd / root 500 is 4.6
    assert (found.high - found.low) / 2 == pytest.approx(floors[1], rel=0.15)


def test_memorization_scores():
    assert power.memorization_half_width(4000, 0.7) / 1.96 == pytest.approx(0.0173, abs=1e-4)
    assert power.memorization_half_width(100, 0.7) / 1.96 == pytest.approx(0.109, abs=1e-3)
    n = power.models_for_memorization(0.05, 0.7)
    assert n == 1830
    assert power.memorization_half_width(n, 0.7) <= 0.05 < power.memorization_half_width(n - 1, 0.7)
    assert power.models_for_memorization(0.05, 0.7, p_in=1.0, p_out=0.5) < n
    # a score known to 0.1 a side by 400 models takes four times as many for 0.05
    assert power.models_for_measured(0.05, 0.1 / stats.norm.ppf(0.975), 400) == 1600
