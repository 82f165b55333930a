"""The papers' claims, judged on accuracies whose differences are known."""

import numpy as np
import pytest

from memaudit.buckets.assign import Assignment
from memaudit.buckets.leaks import Leak
from memaudit.results import claims
from memaudit.results.statistics import Arm
from memaudit.results.table2 import Contrasts, Settings

SETTINGS = Settings(margin=1.0, bootstrap=200, seed=0)
REMOVED = {"selected": 8, "leakage_shift": 5, "memorized": 3}
N_TEST, N_MODELS = 2000, 30


def arm(rng, accuracy):
    return Arm(np.arange(N_MODELS), rng.random((N_MODELS, N_TEST)) < accuracy / 100)


def contrasts(percent, removed=REMOVED):
    """Arms of independent test answers with the given accuracies, percent, "recipe/removal"."""
    rng = np.random.default_rng(0)
    counts = {}
    for name in percent:
        removal = name.partition("/")[2].removeprefix("random_")
        counts[name] = removed.get(removal, 0)
    return Contrasts({name: arm(rng, value) for name, value in percent.items()}, counts, SETTINGS)


PAPER = {
    "original/none": 80,
    "original/selected": 72,
    "original/random_selected": 79,
    "converged/none": 84,
    "converged/selected": 80,
    "converged/random_selected": 83,
    "converged/leakage_shift": 81,
    "converged/random_leakage_shift": 83.5,
    "converged/memorized": 83.6,
    "converged/random_memorized": 83.7,
}
# points 0 to 7 are selected; five of them have a duplicate in the test set, of the others one
LEAKS = [Leak(point, point, "near", "rule") for point in (0, 1, 2, 3, 4, 50)]
POINTS = [
    Assignment(i, "cat", 0.9, "leakage_shift" if i < 5 else "memorized", "none", (i,))
    for i in range(8)
]


def verdicts(percent=PAPER, points=POINTS, leaks=LEAKS, **options):
    found = claims.judge(contrasts(percent, **options), points, leaks, 1000, SETTINGS)
    return [claim.verdict for claim in found], found


def test_a_world_in_which_every_claim_is_plain_supports_each():
    words, found = verdicts()
    assert words == ["supported"] * 7
    assert found[0].value == pytest.approx(8, abs=0.6)
    assert all(claim.low < claim.value < claim.high for claim in found)
    assert "below 1 (p" in found[-1].because


def test_the_opposite_world_contradicts_them():
    opposite = PAPER | {
        "original/selected": 83,  # better without them
        "converged/none": 76,
        "converged/selected": 66,
        "converged/leakage_shift": 75,
        "converged/random_leakage_shift": 75,
        "converged/memorized": 68,
        "converged/random_memorized": 75,
    }
    few = [Leak(point, point, "near", "rule") for point in range(100, 990)]
    words, _ = verdicts(opposite, leaks=few)
    assert words == ["contradicted"] * 7


def test_no_difference_contradicts_a_claimed_one_and_supports_the_last():
    """All arms at 80 %: with 30 models of 2,000 answers a difference of 1 point is ruled out."""
    words, found = verdicts(dict.fromkeys(PAPER, 80.0))
    assert words[:4] == ["contradicted"] * 4 and words[5:] == ["contradicted", "supported"]
    assert "smaller than 1 points either way" in found[0].because


def test_what_cannot_be_tested_is_not():
    words, found = verdicts(points=[], leaks=[], removed={"selected": 0, "memorized": 0})
    assert words[:2] == ["not tested"] * 2 and words[3:] == ["not tested"] * 4
    assert "no point was removed: original/selected" in found[0].because
    assert found[4].because == "no point was selected"
    assert np.isnan(found[0].value)


def test_one_model_an_arm_is_said_to_be_too_few(tmp_path):
    world = contrasts(PAPER)
    single = {
        name: Arm(one.trials[:1], one.correct[:1]) for name, one in world.two_way.arms.items()
    }
    found = claims.judge(Contrasts(single, world.removed, SETTINGS), POINTS, LEAKS, 1000, SETTINGS)
    assert found[0].verdict == "not tested" and "one model an arm" in found[0].because
    assert found[4].verdict == "supported"  # it is about points, not models
    claims.write_claims(found, tmp_path / "claims.csv")
    assert "nan" not in (tmp_path / "claims.csv").read_text()
    assert "nan" not in claims.markdown(found, "Claims", 1.0)


def test_a_cost_above_zero_within_the_margin_does_not_contradict_the_last_claim():
    """A cost of about 0.8 beyond random points is far from 0, and not shown to be above 1."""
    world = contrasts(PAPER | {"converged/memorized": 82.6})
    loose = claims.judge(world, POINTS, LEAKS, 1000, SETTINGS)[-1]
    assert loose.low > 0.3
    assert loose.verdict == "undecided"
    strict = claims.judge(world, POINTS, LEAKS, 1000, Settings(margin=0.25, bootstrap=200))[-1]
    assert strict.verdict == "contradicted" and "above 0.25" in strict.because


def test_p_values_are_adjusted_for_the_number_of_claims():
    _, found = verdicts()
    alone = contrasts(PAPER)
    from memaudit.results import statistics

    raw = [
        statistics.no_effect(alone.drop("original", "selected")),
        statistics.one_sided(alone.beyond_random("converged", "memorized"), 1.0)[0],
    ]
    assert found[0].p_holm > raw[0] and found[6].p_holm == pytest.approx(raw[1])
