"""The claims of both papers beside what this study found, each with a computed verdict.

A claim states that a difference is above or below 0, or below the margin. The verdict follows from
a two-sided p value, Holm-adjusted over the papers' claims tested, and from a test of equivalence:
nothing is concluded from overlapping intervals. The texts of the claims are in claims.yaml.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

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
OURS = "not in the papers"  # the source of a claim that is tested in addition
EQUIVALENT = "equivalent within the margin"
UNTESTED = "not tested"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of the papers and this study's verdict: a row of claims.csv."""

    claim: str
    """the claim in words"""
    source: str
    """where it is made"""
    published: str
    """what was published for it, for CIFAR-100"""
    measure: str
    """definition of `value`, with its unit"""
    value: float
    """what this study found"""
    low: float
    """lower bound of its 95% CI, including test-set sampling; for the odds ratio, of the
    exact CI. Not adjusted for multiple testing"""
    high: float
    """upper bound of that CI"""
    p_holm: float = column(digits=".3g")
    """two-sided p value for no difference; for the claim on the margin, for a difference
    equal to the margin. Holm-adjusted over the papers' claims tested, not adjusted for other
    claims"""
    verdict: str
    """`supported`, `contradicted`, `equivalent within the margin`, `inconclusive` or `not
    tested`, as claims.md defines them"""
    reason: str
    """the reason for the verdict"""


@dataclass(frozen=True, kw_only=True)
class _Test:
    """What a claim states and what was found, before its p value is adjusted.

    The claim is a difference above (`sign` 1) or below (-1) `null`, which is 0 or the margin. `p`
    is two-sided, of a difference equal to `null`; `p_equivalence` that of one outside the margin.
    `missing` says why nothing is tested.
    """

    found: Estimate = Estimate(np.nan)  # noqa: RUF009, frozen
    sign: int = 1
    p: float = np.nan
    p_equivalence: float = np.nan
    null: float = 0.0
    missing: str = ""


def judge(
    contrasts: Contrasts,
    assignments: Sequence[Assignment],
    leaks: Iterable[Leak],
    memorized: npt.NDArray[np.int64] | None,
    *,
    annotated: bool = False,
) -> list[Claim]:
    """Return the claims of both papers, judged by this study.

    `contrasts` are those of Table 2 on all test images; `assignments` the selected examples with
    their buckets; `leaks` the duplicates between training and test set; `memorized` int64
    (examples,) the training examples whose memorization reaches the threshold, selected or not;
    None where it is unknown; `annotated` whether a published annotation covers the pairs of the
    selected examples only.
    """
    import yaml

    tests = _of_accuracies(contrasts)
    tests["duplicates"] = _duplicates(assignments, leaks, memorized, annotated=annotated)
    margin = contrasts.settings.margin
    numbers = {
        name: contrasts.removed.get(f"weight_decay/{name}", 0)
        for name in (LEAKAGE_SHIFT, MEMORIZED)
    }
    file = resources.files("memaudit.results") / "claims.yaml"
    texts: dict[str, dict[str, str]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    tested = [n for n, text in texts.items() if known(tests[n].p) and text["source"] != OURS]
    adjusted = dict(zip(tested, statistics.holm([tests[name].p for name in tested]), strict=True))
    claims = []
    for name, text in texts.items():
        test, found = tests[name], tests[name].found
        p = float(adjusted.get(name, test.p))
        verdict, reason = _verdict(test, p, margin)
        words = {key: part.format(**numbers, margin=margin) for key, part in text.items()}
        claims.append(
            Claim(
                **words,
                value=found.value,
                low=found.low,
                high=found.high,
                p_holm=p,
                verdict=verdict,
                reason=reason,
            )
        )
    return claims


def _of_accuracies(contrasts: Contrasts) -> dict[str, _Test]:
    """Return the tests of the claims on accuracy, by their names in claims.yaml."""
    margin, removed = contrasts.settings.margin, contrasts.removed
    leaked, rest = f"weight_decay/{LEAKAGE_SHIFT}", f"weight_decay/{MEMORIZED}"
    selected, decayed = "original/selected", "weight_decay/selected"

    def control(arm: str) -> str:
        return arm.replace("/", f"/{CONTROL}")

    def difference(found: Estimate, *arms: str, sign: int = 1, null: float = 0.0) -> _Test:
        if empty := [arm for arm in arms if not removed.get(arm)]:
            return _Test(missing=f"no example was removed: {', '.join(empty)}")
        if null:
            p = 2 * min(statistics.one_sided(found, null))
            return _Test(found=found, sign=sign, p=p, null=null)
        p, p_other = statistics.no_effect(found), statistics.equivalence(found, margin)
        return _Test(found=found, sign=sign, p=p, p_equivalence=p_other)

    return {
        "drop": difference(contrasts.drop("original", "selected"), selected),
        "excess_drop": difference(contrasts.excess_drop("original", "selected"), selected),
        "weight_decay": difference(contrasts.contrast(["weight_decay/none"], ["original/none"])),
        "smaller_drop": difference(
            contrasts.interaction("weight_decay", "selected"), decayed, selected, sign=-1
        ),
        "leakage_shift": difference(
            contrasts.contrast([control(leaked), rest], [leaked, control(rest)]), rest, leaked
        ),
        "memorized": difference(
            contrasts.excess_drop("weight_decay", MEMORIZED), rest, sign=-1, null=margin
        ),
        "smaller_excess_drop": difference(
            contrasts.contrast([control(decayed), selected], [decayed, control(selected)]),
            *(decayed, selected),
            sign=-1,
        ),
    }


def _duplicates(
    assignments: Sequence[Assignment],
    leaks: Iterable[Leak],
    memorized: npt.NDArray[np.int64] | None,
    *,
    annotated: bool,
) -> _Test:
    """Return how much more often selected examples have duplicates than other memorized ones.

    It is not tested: examples with a duplicate are selected because they influence it.
    """
    leaks, selected = list(leaks), {row.example for row in assignments}
    others = set() if memorized is None else set(memorized.tolist()) - selected
    leaked = {leak.train for leak in leaks}
    both, rest = len(selected & leaked), len(others & leaked)
    if not selected:
        return _Test(missing="no example was selected")
    if memorized is None:
        return _Test(missing="F&Z published no scores of examples that are not selected")
    if not both + rest:
        return _Test(missing="no memorized example has a duplicate")
    if not others:
        return _Test(missing="no other example is memorized")
    if both + rest == len(selected) + len(others):
        return _Test(missing="every memorized example has a duplicate")
    if annotated:
        return _Test(
            missing="duplicates of selected examples were annotated, those of others only "
            "searched, so an odds ratio would be too large"
        )
    from scipy import stats  # takes a second to import

    table = np.array([[both, len(selected) - both], [rest, len(others) - rest]])
    ratio = stats.contingency.odds_ratio(table)
    interval = ratio.confidence_interval(statistics.LEVEL)
    found = Estimate(float(ratio.statistic), low=float(interval.low), high=float(interval.high))
    missing = "descriptive: follows largely from the selection"
    if any(leak.decided_by == "manual annotation" and leak.train in selected for leak in leaks):
        missing += "; biased upwards where only pairs of selected examples were annotated"
    return _Test(found=found, null=1.0, missing=missing)


def _verdict(test: _Test, p: float, margin: float) -> tuple[str, str]:
    """Return the verdict on a claim and the reason."""
    is_above, is_within = test.found.value > test.null, test.p_equivalence < SIGNIFICANT
    if test.missing:
        return UNTESTED, test.missing
    if not known(p):
        return UNTESTED, "one model per arm, or an arm is missing"
    within = f"within ±{margin:g} pp (p {p_value(test.p_equivalence)})"
    if p < SIGNIFICANT:
        reason = f"{'above' if is_above else 'below'} {test.null:g} (p {p_value(p)})"
        verdict = SUPPORTED if is_above == (test.sign > 0) else CONTRADICTED
        return verdict, f"{reason}, but {within}" if is_within else reason
    if is_within:
        return EQUIVALENT, within
    reason = f"no difference from {test.null:g} is shown (p {p_value(p)})"
    reason += ", nor equivalence" if known(test.p_equivalence) else ""
    return INCONCLUSIVE, reason


def markdown(claims: Sequence[Claim], name: str, margin: float, published: bool = False) -> str:
    """Return the claims for readers; `published` if the selected examples are F&Z's."""
    return render("claims.md", claims=claims, name=name, margin=margin, published=published)
