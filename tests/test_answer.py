"""The answer in a few sentences: correct grammar and honest verdicts in all cases."""

from dataclasses import fields, replace

import pytest

from memaudit.results.answer import answer
from memaudit.results.table2 import Comparison

NAN = float("nan")


def row(recipe, removal, drop, excess, **changes):
    """A row of Table 2 with CIs of ±0.5 around the drop and ±0.7 around the excess drop."""
    values = {field.name: 0.3 for field in fields(Comparison)}
    values |= {
        "row": removal,
        "recipe": recipe,
        "removal": removal,
        "verdict": "larger drop than control",
    }
    values |= {"n_removed": 8, "drop": drop, "drop_sampling_low": drop - 0.5}
    values |= {"drop_sampling_high": drop + 0.5}
    values |= {"excess_drop": excess, "p_excess": 0.01}
    values |= {"excess_drop_low": excess - 0.7, "excess_drop_high": excess + 0.7}
    return Comparison(**(values | changes))


ROWS = [
    row("original", "selected", 2.5, 1.8),
    row("weight_decay", "selected", 1.5, 0.9),
    row("weight_decay", "leakage_shift", 1.2, 0.8, n_removed=5),
    row("weight_decay", "memorized", 0.5, 0.4, n_removed=3),
]
ONE_MODEL = dict.fromkeys(
    (
        *("drop_sampling_low", "drop_sampling_high", "excess_drop_low", "excess_drop_high"),
        *("p_excess", "p_equivalence"),
    ),
    NAN,
)


def with_memorized(**changes):
    return [*ROWS[:3], replace(ROWS[3], **changes)]


BUCKET = (
    "removing the memorized bucket (3 selected examples with neither a duplicate in the test set "
    "nor a subpopulation)"
)


def test_the_answer_in_full():
    assert answer(ROWS, 0.25).split("\n\n") == [
        f"Verdict (recipe weight_decay): {BUCKET} lowers test accuracy by more than removing "
        "random examples: the excess drop is 0.40 pp (95% CI -0.30 to 1.10; p = 0.010). Whether "
        "it exceeds the margin of 0.25 pp is not shown.",
        "The excess drop of all 8 selected training examples is 1.80 pp (95% CI 1.10 to 2.50) with "
        "the recipe original and 0.90 pp (0.20 to 1.60) with the recipe weight_decay. It is the "
        "accuracy drop, 2.50 pp and 1.50 pp, minus that of the size- and class-matched random "
        "control. CIs include test-set sampling; p values of a difference are Holm-adjusted. The "
        "examples were selected by their influence on the same test examples; the drop on others "
        "may be smaller.",
        "Of these, the leakage_shift bucket (5 examples with a duplicate in the test set or in a "
        "subpopulation) has an excess drop of 0.80 pp (95% CI 0.10 to 1.50; p = 0.010) with the "
        "recipe weight_decay.",
    ]


def test_selection_on_one_half_needs_no_reservation():
    assert "may be smaller" not in answer(ROWS, 0.25, held_out_half=True)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        (
            {"excess_drop": 2.0, "excess_drop_low": 1.0},
            f"{BUCKET} lowers test accuracy by more than removing random examples: the excess drop "
            "is 2.00 pp (95% CI 1.00 to 1.10; p = 0.010). The CI is above the margin of 0.25 pp: "
            "these memorized examples matter here.",
        ),
        (
            {"verdict": "larger drop than control, within the margin", "p_equivalence": 0.02},
            f"{BUCKET} lowers test accuracy by more than removing random examples: the excess drop "
            "is 0.40 pp (95% CI -0.30 to 1.10; p = 0.010). It is within the margin of ±0.25 pp "
            "(p = 0.020): these memorized examples make a small difference here.",
        ),
        (
            {"verdict": "smaller drop than control", "excess_drop": -1.0},
            f"{BUCKET} lowers test accuracy by less than removing random examples: the excess drop "
            "is -1.00 pp (95% CI -0.30 to 1.10; p = 0.010). These memorized examples matter less "
            "than random ones here.",
        ),
        (
            {"verdict": "equivalent to control", "p_excess": 0.6, "p_equivalence": 0.0001},
            f"{BUCKET} is equivalent to removing random examples: the excess drop, 0.40 pp (95% CI "
            "-0.30 to 1.10), is within the margin of ±0.25 pp (p < 0.001).",
        ),
        (
            {"verdict": "inconclusive", "p_excess": 0.6},
            f"inconclusive. The excess drop of {BUCKET.removeprefix('removing ')} is 0.40 pp "
            "(95% CI -0.30 to 1.10): neither a difference from removing random examples "
            "(p = 0.600) nor equivalence within ±0.25 pp (p = 0.300) is shown. More trials or test "
            "images are needed.",
        ),
        (
            {"verdict": "nothing removed", "n_removed": 0, "p_excess": NAN},
            "none. The memorized bucket is empty: every selected example has a duplicate in the "
            "test set or is in a subpopulation.",
        ),
        (
            {"verdict": "not tested", "excess_drop": NAN, "p_excess": NAN},
            "none. The memorized bucket was not compared with a random control.",
        ),
    ],
)
def test_the_verdict_is_first_and_on_the_memorized_bucket(changes, verdict):
    first, _, rest = answer(with_memorized(**changes), 0.25).partition("\n\n")
    assert first == f"Verdict (recipe weight_decay): {verdict}"
    assert "the leakage_shift bucket (5 examples" in rest


def test_a_gain_is_a_negative_drop():
    text = answer([row("original", "selected", -0.3, -0.5), *ROWS[1:]], 0.25)
    assert "is -0.50 pp (95% CI -1.20 to 0.20) with the recipe original and 0.90 pp" in text
    assert "the accuracy drop, -0.30 pp and 1.50 pp, minus" in text


def test_nothing_selected():
    rows = [replace(r, n_removed=0, drop=0.0, verdict="nothing removed") for r in ROWS]
    assert answer(rows, 0.25) == (
        "No training example reaches the thresholds of memorization and influence, so nothing was "
        "removed: this study cannot tell whether memorization matters here."
    )


def test_one_trial_has_no_ci_and_no_verdict():
    text = answer([replace(r, **ONE_MODEL, verdict="not tested") for r in ROWS], 0.25)
    first, _, rest = text.partition("\n\n")
    assert first.endswith(
        ": none. One model per arm gives neither a CI nor a test; set trials to 2 or more."
    )
    assert "CI" not in rest and "p =" not in rest


def test_without_a_control_there_is_no_excess_drop():
    none = {"excess_drop": NAN, "excess_drop_low": NAN, "excess_drop_high": NAN, "p_excess": NAN}
    text = answer([replace(r, **none, verdict="not tested") for r in ROWS], 0.25)
    assert (
        "The accuracy drop without all 8 selected training examples is 2.50 pp with the recipe "
        "original and 1.50 pp with the recipe weight_decay; no random control was trained for "
        "comparison. The examples were"
    ) in text
    assert "nan" not in text and "leakage_shift" not in text


def test_published_scores_and_a_single_example():
    text = answer([replace(r, n_removed=1) for r in ROWS], 0.25, "published")
    assert (
        "of the single selected training example (Feldman and Zhang's published pairs) is"
    ) in text
    assert "(1 example with a duplicate" in text and "(1 selected example with neither" in text


def test_a_table_without_the_selected_examples():
    assert answer(ROWS[2:], 0.25).startswith("Table 2 has no row without all selected examples")
