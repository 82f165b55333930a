"""The claims of both papers beside what this study found, each with a computed verdict.

A claim states that a difference is above or below 0, or below the margin. The verdict follows from
a two-sided p value, Holm-adjusted over the claims tested, and from a test of equivalence: nothing
is concluded from overlapping intervals.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED, Assignment
from memaudit.buckets.leaks import Leak
from memaudit.models.removals import CONTROL
from memaudit.results import statistics
from memaudit.results.statistics import SIGNIFICANT, Estimate
from memaudit.results.table2 import Contrasts
from memaudit.tables import column
from memaudit.templates import known, p_value, render

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
EQUIVALENT = "equivalent within the margin"
UNTESTED = "not tested"
_NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the papers and this study's verdict: a row of claims.csv."""

    claim: str = column("the claim in words")
    source: str = column("where it is made")
    published: str = column("what was published for it, for CIFAR-100")
    measure: str = column("definition of `value`, with its unit")
    value: float = column("what this study found")
    low: float = column(
        "lower bound of its 95% CI, including test-set sampling; for the odds ratio, of the exact "
        "CI. Not adjusted for multiple testing"
    )
    high: float = column("upper bound of that CI")
    p_holm: float = column(
        "two-sided p value for no difference; for the claim on the margin, for a difference equal "
        "to the margin. Holm-adjusted over the claims tested",
        digits=".3g",
    )
    verdict: str = column(
        f"`{SUPPORTED}`, `{CONTRADICTED}`, `{EQUIVALENT}`, `{INCONCLUSIVE}` or `{UNTESTED}`, as "
        "claims.md defines them"
    )
    because: str = column("the reason for the verdict")


@dataclass(frozen=True, kw_only=True)
class _Test:
    """A claim before its p value is adjusted.

    The claim is a difference above (`sign` 1) or below (-1) `null`, which is 0 or the margin. `p`
    is two-sided, of a difference equal to `null`; `p_equivalence` that of one outside the margin.
    `missing` says why nothing is tested.
    """

    claim: str
    source: str
    published: str
    measure: str
    found: Estimate = Estimate(_NAN)  # noqa: RUF009, frozen
    sign: int = 1
    p: float = _NAN
    p_equivalence: float = _NAN
    null: float = 0.0
    missing: str = ""


def judge(
    contrasts: Contrasts,
    assignments: Sequence[Assignment],
    leaks: Iterable[Leak],
    memorized: npt.NDArray[np.int64] | None,
) -> list[Claim]:
    """Return the claims of both papers, judged by this study.

    `contrasts` are those of Table 2 on all test images; `assignments` the selected examples with
    their buckets; `leaks` the duplicates between training and test set; `memorized` int64
    (examples,) the training examples whose memorization reaches the threshold, selected or not;
    None where it is unknown.
    """
    tests = _of_accuracies(contrasts)
    tests.insert(5, _duplicates(assignments, leaks, memorized))
    tested = [test.p for test in tests if known(test.p)]
    adjusted = iter(statistics.holm(tested).tolist())
    margin = contrasts.settings.margin
    return [_judged(test, next(adjusted) if known(test.p) else _NAN, margin) for test in tests]


def _of_accuracies(contrasts: Contrasts) -> list[_Test]:
    """Return the tests of the claims on accuracy."""
    margin, removed = contrasts.settings.margin, contrasts.removed
    leaked, rest = f"weight_decay/{LEAKAGE_SHIFT}", f"weight_decay/{MEMORIZED}"

    def control(arm: str) -> str:
        return arm.replace("/", f"/{CONTROL}")

    def difference(
        words: tuple[str, str, str, str],
        found: Estimate,
        arms: Sequence[str],
        sign: int = 1,
        null: float = 0.0,
    ) -> _Test:
        claim, source, published, measure = words
        test = _Test(claim=claim, source=source, published=published, measure=measure)
        if empty := [arm for arm in arms if not removed.get(arm)]:
            return replace(test, missing=f"no example was removed: {', '.join(empty)}")
        if null:
            p = 2 * min(statistics.one_sided(found, null))
            return replace(test, found=found, sign=sign, p=p, null=null)
        p, p_other = statistics.no_effect(found), statistics.equivalence(found, margin)
        return replace(test, found=found, sign=sign, p=p, p_equivalence=p_other)

    return [
        difference(
            (
                "Without the memorized training examples that influence test examples, test "
                "accuracy drops.",
                "F&Z; the paper, Table 2, Original",
                "2.54 ± 0.20",
                "drop, original recipe, all selected examples; pp",
            ),
            contrasts.drop("original", "selected"),
            ["original/selected"],
        ),
        difference(
            (
                "It drops by more than when random examples are removed.",
                "F&Z, figure 2",
                "a curve, without numbers",
                "excess drop, original recipe, all selected examples; pp",
            ),
            contrasts.excess_drop("original", "selected"),
            ["original/selected"],
        ),
        difference(
            (
                "Models generalize better with weight decay.",
                "the paper",
                "not given",
                "test accuracy of models on all examples, weight_decay minus original; pp",
            ),
            contrasts.contrast(["weight_decay/none"], ["original/none"]),
            [],
        ),
        difference(
            (
                "The drop is smaller with weight decay.",
                "the paper, Table 2, Model convergence",
                "2.54 → 1.78, so -0.76 (1.28 in its section 5.2)",
                "drop of all selected examples, weight_decay minus original; pp",
            ),
            contrasts.interaction("weight_decay", "selected"),
            ["weight_decay/selected", "original/selected"],
            sign=-1,
        ),
        difference(
            (
                "The excess drop is smaller with weight decay.",
                "this study",
                "not given",
                "excess drop of all selected examples, weight_decay minus original; pp",
            ),
            contrasts.contrast(
                [control("weight_decay/selected"), "original/selected"],
                ["weight_decay/selected", control("original/selected")],
            ),
            ["weight_decay/selected", "original/selected"],
            sign=-1,
        ),
        difference(
            (
                "Removing the examples with a duplicate or in a subpopulation matters more than "
                "removing those that are memorized only.",
                "the paper, Table 2, Leakage + Shift and Memorized",
                "1.25 and 0.54, so 0.71, without controls",
                f"excess drop of the {removed.get(leaked, 0):,} examples in leakage_shift minus "
                f"that of the {removed.get(rest, 0):,} in memorized, weight_decay recipe; pp",
            ),
            contrasts.contrast([control(leaked), rest], [leaked, control(rest)]),
            [rest, leaked],
        ),
        difference(
            (
                "Examples that are memorized only are hardly needed: their excess drop is at most "
                f"{margin:g} pp (this study's margin).",
                "the paper, Table 2, Memorized",
                "0.54 ± 0.29, a drop without a control",
                f"excess drop of the {removed.get(rest, 0):,} examples in memorized, weight_decay "
                "recipe; pp",
            ),
            contrasts.excess_drop("weight_decay", MEMORIZED),
            [rest],
            sign=-1,
            null=margin,
        ),
    ]


def _duplicates(
    assignments: Sequence[Assignment],
    leaks: Iterable[Leak],
    memorized: npt.NDArray[np.int64] | None,
) -> _Test:
    """Return how much more often selected examples have duplicates than other memorized ones.

    It is not tested: examples with a duplicate are selected because they influence it.
    """
    test = _Test(
        claim="Selected examples have a duplicate in the test set more often than other memorized "
        "examples.",
        source="the paper",
        published="277 of 1,015; no comparison published",
        measure="odds of a duplicate in the test set, selected examples over other examples whose "
        "memorization reaches the threshold; ratio",
        null=1.0,
    )
    selected = {row.example for row in assignments}
    others = set() if memorized is None else set(memorized.tolist()) - selected
    leaked = {leak.train for leak in leaks}
    both, rest = len(selected & leaked), len(others & leaked)
    if not selected:
        return replace(test, missing="no example was selected")
    if memorized is None:
        return replace(test, missing="F&Z published no scores of examples that are not selected")
    if not both + rest:
        return replace(test, missing="no memorized example has a duplicate")
    if not others:
        return replace(test, missing="no other example is memorized")
    if both + rest == len(selected) + len(others):
        return replace(test, missing="every memorized example has a duplicate")
    from scipy import stats  # takes a second to import

    table = np.array([[both, len(selected) - both], [rest, len(others) - rest]])
    ratio = stats.contingency.odds_ratio(table)
    interval = ratio.confidence_interval(statistics.LEVEL)
    found = Estimate(float(ratio.statistic), low=float(interval.low), high=float(interval.high))
    return replace(test, found=found, missing="descriptive: see the note on claim 6")


def _judged(test: _Test, p: float, margin: float) -> Claim:
    """Return a claim with its verdict, by its adjusted p value."""
    verdict, because = _verdict(test, p, margin)
    return Claim(
        claim=test.claim,
        source=test.source,
        published=test.published,
        measure=test.measure,
        value=test.found.value,
        low=test.found.low,
        high=test.found.high,
        p_holm=p,
        verdict=verdict,
        because=because,
    )


def _verdict(test: _Test, p: float, margin: float) -> tuple[str, str]:
    """Return the verdict on a claim and the reason."""
    is_above, is_within = test.found.value > test.null, test.p_equivalence < SIGNIFICANT
    if test.missing:
        return UNTESTED, test.missing
    if not known(p):
        return UNTESTED, "one model per arm, or an arm is missing"
    within = f"within ±{margin:g} pp (p {p_value(test.p_equivalence)})"
    if p < SIGNIFICANT:
        because = f"{'above' if is_above else 'below'} {test.null:g} (p {p_value(p)})"
        verdict = SUPPORTED if is_above == (test.sign > 0) else CONTRADICTED
        return verdict, f"{because}, but {within}" if is_within else because
    if is_within:
        return EQUIVALENT, within
    because = f"no difference from {test.null:g} is shown (p {p_value(p)})"
    return INCONCLUSIVE, because + (", nor equivalence" if known(test.p_equivalence) else "")


def markdown(claims: Sequence[Claim], name: str, margin: float) -> str:
    """Return the claims for readers."""
    return render("claims.md", claims=claims, name=name, margin=margin)
