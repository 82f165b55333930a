"""The answer in a few sentences: correct grammar and honest verdicts in all cases."""

from dataclasses import fields, replace

import pytest

from memaudit.results.answer import answer
from memaudit.results.table2 import Comparison

NAN = float("nan")


def row(recipe, removal, drop, excess, **changes):
    """A row of Table 2 with CIs of ±0.5 around the drop and ±0.7 around the excess drop."""
    values = {field.name: 0.3 for field in fields(Comparison)}
    values |= {"row": removal, "recipe": recipe, "removal": removal, "verdict": "excess drop"}
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


def test_the_answer_in_full():
    assert answer(ROWS, 0.25).split("\n\n") == [
        "Removing the 8 selected training examples lowers test accuracy by 2.50 pp (95% CI "
        "including test-set sampling: 2.00 to 3.00) with the recipe original and by 1.50 pp (1.00 "
        "to 2.00) with the recipe weight_decay; the excess drop over the size- and class-matched "
        "random control is 1.80 pp (1.10 to 2.50) and 0.90 pp (0.20 to 1.60), respectively. The "
        "drops are measured on the test examples by which the training examples were selected, and "
        "may be smaller on others.",
        "With weight_decay, the excess drop is 0.80 pp (0.10 to 1.50) for the 5 examples with a "
        "duplicate in the test set or in a subpopulation (leakage_shift) and 0.40 pp (-0.30 to "
        "1.10) for the 3 examples with neither (memorized); it differs significantly from 0 for "
        "both.",
        "Verdict: memorization is needed here; removing the memorized bucket lowers accuracy by "
        "more than removing random examples (p = 0.010, Holm-adjusted).",
    ]


def test_selection_on_one_half_needs_no_reservation():
    assert "may be smaller" not in answer(ROWS, 0.25, held_out_half=True)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        (
            {"verdict": "excess drop, within the margin"},
            "Verdict: memorization is needed here, but only slightly; the excess drop of the "
            "memorized bucket is above 0 (p = 0.010, Holm-adjusted) and within the margin of "
            "±0.25 pp.",
        ),
        (
            {"verdict": "smaller drop than control", "excess_drop": -1.0},
            "Verdict: memorization is not needed here; removing the memorized bucket lowers "
            "accuracy by less than removing random examples (p = 0.010, Holm-adjusted).",
        ),
        (
            {"verdict": "equivalent to control", "p_excess": 0.6, "p_equivalence": 0.0001},
            "Verdict: memorization is not needed here; removing the memorized bucket is equivalent "
            "to removing random examples within ±0.25 pp (p < 0.001).",
        ),
        (
            {"verdict": "inconclusive", "p_excess": 0.6},
            "; it differs significantly from 0 only for leakage_shift.\n\n"
            "Verdict: inconclusive for the memorized bucket: neither an excess drop (p = 0.600, "
            "Holm-adjusted) nor equivalence to its control within ±0.25 pp (p = 0.300) is shown, "
            "so more trials or test images are needed.",
        ),
        (
            {"verdict": "nothing removed", "n_removed": 0, "p_excess": NAN},
            "for the 5 examples with a duplicate in the test set or in a subpopulation "
            "(leakage_shift); it differs significantly from 0.\n\n"
            "Verdict: none on memorization alone, as the memorized bucket is empty.",
        ),
        (
            {"verdict": "not tested", "excess_drop": NAN, "p_excess": NAN},
            "Verdict: none, as the memorized bucket was not compared with a random control.",
        ),
    ],
)
def test_the_verdict_is_on_the_memorized_bucket(changes, verdict):
    assert answer(with_memorized(**changes), 0.25).endswith(verdict)


def test_a_gain_is_called_one_with_its_ci_turned_round():
    text = answer([row("original", "selected", -0.3, -0.5), *ROWS[1:]], 0.25)
    assert (
        "raises test accuracy by 0.30 pp (95% CI including test-set sampling: -0.20 to 0.80) with "
        "the recipe original and lowers it by 1.50 pp"
    ) in text
    assert "is -0.50 pp (-1.20 to 0.20)" in text


def test_nothing_selected():
    rows = [replace(r, n_removed=0, drop=0.0, verdict="nothing removed") for r in ROWS]
    assert answer(rows, 0.25) == (
        "No training example reaches the thresholds of memorization and influence, so nothing was "
        "removed: this study cannot tell whether memorization is needed here."
    )


def test_one_trial_has_no_ci_and_no_verdict():
    text = answer([replace(r, **ONE_MODEL, verdict="not tested") for r in ROWS], 0.25)
    assert "CI " not in text.partition("Verdict:")[0] and "significant" not in text
    assert text.endswith(
        "Verdict: none, as one model per arm gives neither a CI nor a test; set trials to 2 or "
        "more."
    )


def test_without_a_control_there_is_no_excess_drop():
    none = {"excess_drop": NAN, "excess_drop_low": NAN, "excess_drop_high": NAN, "p_excess": NAN}
    text = answer([replace(r, **none, verdict="not tested") for r in ROWS], 0.25)
    assert "; no random control was trained for comparison. The drops are" in text
    assert "on others.\n\nVerdict: none, as" in text
    assert "nan" not in text


def test_published_scores_and_a_single_example():
    text = answer([replace(r, n_removed=1) for r in ROWS], 0.25, "published")
    assert text.startswith(
        "Removing the single selected training example (Feldman and Zhang's published pairs) lowers"
    )
    assert "for the 1 example with" in text


def test_a_table_without_the_selected_examples():
    assert answer(ROWS[2:], 0.25).startswith("Table 2 has no row without all selected examples")
