"""The papers' claims, judged on accuracies whose differences are known."""

import numpy as np
import pytest
from scipy import stats

from memaudit import tables
from memaudit.buckets.assign import Assignment
from memaudit.buckets.leaks import Leak
from memaudit.results import affected, claims, table2
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
    "weight_decay/none": 84,
    "weight_decay/selected": 80,
    "weight_decay/random_selected": 83,
    "weight_decay/leakage_shift": 81,
    "weight_decay/random_leakage_shift": 83.5,
    "weight_decay/memorized": 83.6,
    "weight_decay/random_memorized": 83.7,
}
# examples 0 to 7 are selected; five of them have a duplicate in the test set, of the others one
LEAKS = [Leak(example, example, "near", "rule") for example in (0, 1, 2, 3, 4, 50)]
MEMORIZED = np.arange(100)
EXAMPLES = [
    Assignment(i, "cat", 0.9, "leakage_shift" if i < 5 else "memorized", "none", (i,))
    for i in range(8)
]


def verdicts(
    percent=PAPER,
    examples=EXAMPLES,
    leaks=LEAKS,
    memorized=MEMORIZED,
    *,
    annotated=False,
    **options,
):
    world = contrasts(percent, **options)
    found = claims.judge(world, examples, leaks, memorized, annotated=annotated)
    return [claim.verdict for claim in found], found


def test_a_world_in_which_every_claim_is_plain_supports_each():
    words, found = verdicts()
    assert words[4] == "not tested"  # described only
    assert words[:4] + words[5:] == ["supported"] * 7
    assert found[0].value == pytest.approx(8, abs=0.6)
    assert all(claim.low < claim.value < claim.high for claim in found)
    assert "below 1 (p" in found[6].reason


def test_the_opposite_world_contradicts_them():
    opposite = PAPER | {
        "original/selected": 83,  # better without them
        "weight_decay/none": 76,
        "weight_decay/selected": 66,
        "weight_decay/leakage_shift": 75,
        "weight_decay/random_leakage_shift": 75,
        "weight_decay/memorized": 68,
        "weight_decay/random_memorized": 75,
    }
    words, _ = verdicts(opposite)
    assert words[:4] + words[5:] == ["contradicted"] * 7


def test_no_difference_is_equivalent_and_supports_claim_7():
    """All arms at 80%: with 30 models and 2,000 test images a difference of 1 pp is ruled out."""
    words, found = verdicts(dict.fromkeys(PAPER, 80.0))
    small = "equivalent within the margin"
    assert words[:3] == [small] * 3 and words[6] == "supported"
    for of_four_arms in (words[3], words[5], words[7]):  # so the standard error is larger
        assert of_four_arms in (small, "inconclusive")
    assert "within ±1 pp" in found[0].reason


def test_what_cannot_be_tested_is_not():
    words, found = verdicts(examples=[], leaks=[], removed={"selected": 0, "memorized": 0})
    assert words[:2] == ["not tested"] * 2 and words[3:] == ["not tested"] * 5
    assert "no example was removed: original/selected" in found[0].reason
    assert found[4].reason == "no example was selected"
    assert np.isnan(found[0].value)


@pytest.mark.parametrize(
    ("memorized", "leaks", "why"),
    [
        (None, LEAKS, "F&Z published no scores"),
        (np.arange(8), LEAKS, "no other example is memorized"),
        (MEMORIZED, [Leak(500, 500, "near", "rule")], "no memorized example has a duplicate"),
        (MEMORIZED, [Leak(i, i, "near") for i in range(100)], "every memorized example has a"),
    ],
)
def test_duplicates_are_compared_among_memorized_examples_only(memorized, leaks, why):
    _, found = verdicts(memorized=memorized, leaks=leaks)
    assert found[4].verdict == "not tested" and why in found[4].reason
    words, found = verdicts(leaks=[*LEAKS, Leak(500, 500, "near", "rule")])
    # 5 of 8 selected, 1 of 92 others; example 500 is not memorized
    assert words[4] == "not tested"
    assert np.isnan(found[4].p_holm)
    expected = stats.contingency.odds_ratio([[5, 3], [1, 91]])
    interval = expected.confidence_interval(0.95)
    assert (found[4].value, found[4].low) == pytest.approx((expected.statistic, interval.low))


def test_an_infinite_odds_ratio_is_not_estimable():
    """All duplicates are of selected examples, so the CI has a lower bound only."""
    _, found = verdicts(leaks=LEAKS[:5])
    assert np.isinf([found[4].value, found[4].high]).all()
    text = claims.markdown(found, "study", 1.0)
    assert (
        f"| odds ratio not estimable (at least {found[4].low:.0f}) |" in text and "inf " not in text
    )


def test_a_small_difference_the_claimed_way_is_not_called_contradicted():
    """A drop of 0.4 with 30 models of 2,000 answers: shown to be under 1, not to be above 0."""
    words, found = verdicts(PAPER | {"original/selected": 79.6})
    assert words[0] in ("equivalent within the margin", "supported") and found[0].value > 0


def test_one_model_per_arm_is_too_few(tmp_path):
    world = contrasts(PAPER)
    single = {
        name: Arm(one.trials[:1], one.correct[:1]) for name, one in world.two_way.arms.items()
    }
    found = claims.judge(Contrasts(single, world.removed, SETTINGS), EXAMPLES, LEAKS, MEMORIZED)
    assert found[0].verdict == "not tested" and "one model per arm" in found[0].reason
    assert found[4].value > 1  # it is about examples, not models
    tables.write_rows(tmp_path / "claims.csv", claims.Claim, found)
    assert "nan" not in (tmp_path / "claims.csv").read_text()
    assert "nan" not in claims.markdown(found, "Claims", 1.0)


def test_an_excess_drop_not_shown_to_exceed_the_margin_does_not_contradict_claim_7():
    """An excess drop of about 0.8 is far from 0, and not shown to be above 1."""
    world = contrasts(PAPER | {"weight_decay/memorized": 82.6})
    loose = claims.judge(world, EXAMPLES, LEAKS, MEMORIZED)[6]
    assert loose.low > 0.3
    assert loose.verdict == "inconclusive"
    world.settings = Settings(margin=0.25, bootstrap=200)
    strict = claims.judge(world, EXAMPLES, LEAKS, MEMORIZED)[6]
    assert strict.verdict == "contradicted" and "above 0.25" in strict.reason


def test_a_world_with_the_papers_numbers_does_not_contradict_claim_7():
    """A drop of 0.54 without a control says little about an excess drop of at most 0.25."""
    world = contrasts(
        {
            **{
                "original/none": 76.06,
                "original/selected": 73.52,
                "original/random_selected": 75.6,
            },
            **{"weight_decay/none": 77.4, "weight_decay/selected": 75.62},
            **{"weight_decay/random_selected": 77.0, "weight_decay/leakage_shift": 76.15},
            **{"weight_decay/random_leakage_shift": 77.2, "weight_decay/memorized": 76.86},
            "weight_decay/random_memorized": 77.06,
        }
    )
    world.settings = Settings(margin=0.25, bootstrap=200)
    found = claims.judge(world, EXAMPLES, LEAKS, MEMORIZED)
    assert [claim.verdict for claim in found[:3]] == ["supported"] * 3
    assert found[6].verdict == "inconclusive" and "contradicted" not in found[3].verdict
    text = claims.markdown(found, "study", 0.25)
    assert "would be within this margin only if the control dropped by 0.29 pp or more" in text


def test_p_values_are_adjusted_for_the_number_of_claims():
    _, found = verdicts()
    alone = contrasts(PAPER)
    from memaudit.results import statistics

    raw = statistics.no_effect(alone.drop("original", "selected"))
    assert found[0].p_holm > raw
    excess = alone.excess_drop("weight_decay", "memorized")
    assert excess.value < 1
    assert found[6].p_holm >= 2 * statistics.one_sided(excess, 1.0)[1]


def test_a_claim_of_this_study_does_not_weaken_those_of_the_papers(monkeypatch):
    """Of p values of 0.03 each, six are of the papers' claims; the last claim is this study's."""
    monkeypatch.setattr(claims.statistics, "no_effect", lambda _: 0.03)
    monkeypatch.setattr(claims.statistics, "one_sided", lambda *_: (0.015, 0.985))
    _, found = verdicts()
    p = [claim.p_holm for claim in found if claim.value == claim.value]
    assert p[:4] + p[5:] == pytest.approx([6 * 0.03] * 6 + [0.03])


def test_annotated_pairs_of_selected_examples_bias_the_odds_ratio():
    assert "biased" not in verdicts()[1][4].reason
    annotated = [Leak(0, 0, "near", "manual annotation"), *LEAKS[1:]]
    assert "biased upwards" in verdicts(leaks=annotated)[1][4].reason
    of_all = [Leak(0, 0, "near", "published annotation"), *LEAKS[1:]]  # as ciFAIR's list is
    assert "biased" not in verdicts(leaks=of_all)[1][4].reason
    found = verdicts(leaks=of_all, annotated=True)[1][4]
    assert np.isnan(found.value) and "would be too large" in found.reason


def test_the_description_of_the_columns_names_every_word_that_they_hold():
    drops = (table2.EXCESS, table2.LESS, table2.EQUIVALENT, table2.INCONCLUSIVE, table2.NOTHING)
    for kind, column, words in (
        (
            claims.Claim,
            "verdict",
            ("supported", "contradicted", claims.EQUIVALENT, "inconclusive", claims.UNTESTED),
        ),
        (table2.Table2Row, "verdict", (*drops, table2.UNTESTED, "within the margin")),
        (affected.Example, "group", (affected.DUPLICATES, "subpopulation", affected.NEITHER)),
        (affected.Group, "group", (affected.OTHERS,)),
    ):
        meaning = dict(tables.meanings(kind))[column]
        assert [word for word in words if word not in meaning] == []
