"""What the two papers claim, beside what this study found: each with a verdict that is computed.

A claim says which way a difference should go. The verdict follows from its p value, adjusted for
the number of claims tested (Holm), and from a test of equivalence: nothing is concluded from
intervals that overlap, or from a claim that could not be tested here.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from memaudit import tables
from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED, Assignment
from memaudit.buckets.leaks import Leak
from memaudit.models.removals import CONTROL
from memaudit.results import statistics
from memaudit.results.statistics import Estimate
from memaudit.results.table2 import COLUMNS, SIGNIFICANT, Contrasts, Settings
from memaudit.results.table2_page import number

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
NEGLIGIBLE = "too small to matter"
UNTESTED = "not tested"


@dataclass(frozen=True)
class Claim:
    """A claim, what the papers report for it, and what was found here.

    `measure` says what `value` is, with its unit; `low` and `high` are its 95 % interval over
    models and test images (`statistics.TwoWay`) or, for the odds ratio, the exact one. What cannot
    be said is NaN. `verdict` is "supported", "contradicted", "too small to matter", "undecided" or
    "not tested".
    """

    claim: str
    source: str
    published: str
    measure: str
    value: float
    low: float
    high: float
    p_holm: float
    verdict: str
    because: str


@dataclass(frozen=True)
class _Test:
    """A claim before its p is adjusted.

    `sign` of the difference claimed, 1 or -1: `p` is that of no difference (`null`), `same_p` that
    of one outside the margin. Or 0 where at most the margin is claimed: `null` is the margin, `p`
    that of a difference of at most so much, `same_p` that of one of at least so much. `missing`
    says why nothing could be measured.
    """

    claim: str
    source: str
    published: str
    measure: str
    found: Estimate
    sign: int
    p: float
    same_p: float = float("nan")
    null: float = 0.0
    missing: str = ""


def judge(
    contrasts: Contrasts,
    assignments: Sequence[Assignment],
    leaks: Iterable[Leak],
    memorized: np.ndarray | None,
    settings: Settings,
) -> list[Claim]:
    """The claims of both papers, judged by this study.

    `contrasts` are those of Table 2 on all test images; `assignments` the selected examples with
    their buckets; `leaks` the duplicates that count; `memorized` int64 (examples,) the training
    examples whose memorization reaches the threshold, selected or not; None where it is not known.
    """
    tests = [
        _drop(contrasts, settings),
        _beyond_random(contrasts, settings),
        _better(contrasts, settings),
        _converged(contrasts, settings),
        _converged_beyond_random(contrasts, settings),
        _duplicates(assignments, leaks, memorized),
        _bucket_against_bucket(contrasts, assignments, settings),
        _memorized(contrasts, assignments, settings),
    ]
    tested = [test.p for test in tests if test.p == test.p]
    adjusted = iter(statistics.holm(tested))
    return [
        _judged(test, float(next(adjusted)) if test.p == test.p else float("nan"), settings.margin)
        for test in tests
    ]


def _judged(test: _Test, p: float, margin: float) -> Claim:
    """A claim with its verdict."""
    found, within = test.found, test.same_p < SIGNIFICANT
    above = found.value > test.null
    small = f"smaller than {margin:g} pp either way (p {_p(test.same_p)})"
    if test.missing:
        verdict, because = UNTESTED, test.missing
    elif p != p:
        verdict, because = UNTESTED, "with one model an arm nothing can be tested"
    elif not test.sign:
        verdict, because = _at_most(p, test.same_p, margin)
    elif p < SIGNIFICANT:
        verdict = SUPPORTED if above == (test.sign > 0) else CONTRADICTED
        because = f"{'above' if above else 'below'} {test.null:g} (p {_p(p)})"
        because += f", but {small}" if within else ""
    elif within:
        verdict, because = NEGLIGIBLE, f"{small}, this study's margin"
    else:
        verdict = UNDECIDED
        because = f"not shown to differ from {test.null:g} (p {_p(p)})"
        because += f", nor to be smaller than {margin:g}" if test.same_p == test.same_p else ""
    return Claim(
        test.claim,
        test.source,
        test.published,
        test.measure,
        found.value,
        found.low,
        found.high,
        p,
        verdict,
        because,
    )


def _at_most(p_above: float, p_below: float, margin: float) -> tuple[str, str]:
    """The verdict on a claim that a difference is at most the margin, and why."""
    if p_above < SIGNIFICANT:
        return CONTRADICTED, f"above {margin:g} (p {_p(p_above)})"
    if p_below < SIGNIFICANT:
        return SUPPORTED, f"below {margin:g} (p {_p(p_below)})"
    return UNDECIDED, f"shown neither to be above {margin:g} nor below (p {_p(p_above)})"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _of_accuracies(
    words: tuple[str, str, str, str],
    found: Estimate | None,
    sign: int,
    settings: Settings,
    missing: str = "",
) -> _Test:
    found = found or Estimate(float("nan"))
    if missing:
        return _Test(*words, Estimate(float("nan")), sign, float("nan"), missing=missing)
    same = statistics.equivalence(found, settings.margin)
    return _Test(*words, found, sign, statistics.no_effect(found), same)


def _none_removed(contrasts: Contrasts, *arms: str) -> str:
    empty = [arm for arm in arms if not contrasts.removed[arm]]
    return f"no example was removed: {', '.join(empty)}" if empty else ""


def _drop(contrasts: Contrasts, settings: Settings) -> _Test:
    words = (
        "Without the memorized examples that test examples depend on, test accuracy falls.",
        "F&Z; the paper, Table 2, Original",
        "2.54 ± 0.20",
        "drop, original recipe, all selected examples; percentage points",
    )
    missing = _none_removed(contrasts, "original/selected")
    return _of_accuracies(words, contrasts.drop("original", "selected"), 1, settings, missing)


def _beyond_random(contrasts: Contrasts, settings: Settings) -> _Test:
    words = (
        "It falls further than without as many random examples.",
        "F&Z, figure 2",
        "a curve, without numbers",
        "that drop less the drop of its random control; percentage points",
    )
    missing = _none_removed(contrasts, "original/selected")
    found = contrasts.beyond_random("original", "selected")
    return _of_accuracies(words, found, 1, settings, missing)


def _better(contrasts: Contrasts, settings: Settings) -> _Test:
    words = (
        "With weight decay models generalize better.",
        "the paper",
        "not given",
        "test accuracy on all examples, weight_decay less original; percentage points",
    )
    found = contrasts.contrast(["weight_decay/none"], ["original/none"])
    return _of_accuracies(words, found, 1, settings)


def _converged(contrasts: Contrasts, settings: Settings) -> _Test:
    words = (
        "With weight decay (the recipe weight_decay) the fall is smaller.",
        "the paper, Table 2, Model convergence",
        "2.54 → 1.78, so -0.76 (1.28 in its section 5.2)",
        "drop of all selected examples, weight_decay less original; percentage points",
    )
    missing = _none_removed(contrasts, "weight_decay/selected")
    return _of_accuracies(
        words, contrasts.interaction("weight_decay", "selected"), -1, settings, missing
    )


def _converged_beyond_random(contrasts: Contrasts, settings: Settings) -> _Test:
    words = (
        "So is the fall beyond that without as many random examples.",
        "asked here",
        "not given",
        "the same, each drop less its random control; percentage points",
    )
    arm, control = "selected", f"{CONTROL}selected"
    found = contrasts.contrast(
        [f"weight_decay/{control}", f"original/{arm}"],
        [f"weight_decay/{arm}", f"original/{control}"],
    )
    missing = _none_removed(contrasts, "weight_decay/selected")
    return _of_accuracies(words, found, -1, settings, missing)


def _duplicates(
    assignments: Sequence[Assignment], leaks: Iterable[Leak], memorized: np.ndarray | None
) -> _Test:
    """Whether selected examples have a duplicate more often than others that are memorized."""
    words = (
        "Selected examples have a duplicate in the test set more often than other memorized examples.",
        "the paper",
        "277 of 1,015; no comparison published",
        "odds of a duplicate in the test set (examples with one for each without), of the selected "
        "examples over those of the other examples whose memorization reaches the threshold; a ratio",
    )
    selected = {row.example for row in assignments}
    others = set() if memorized is None else set(memorized.tolist()) - selected
    leaked = {leak.train for leak in leaks}
    both, rest = len(selected & leaked), len(others & leaked)
    table = [[both, len(selected) - both], [rest, len(others) - rest]]
    missing = ""
    if not selected:
        missing = "no example was selected"
    elif memorized is None:
        missing = "F&Z published no scores of the examples that are not selected"
    elif not both + rest:
        missing = "no memorized example has a duplicate"
    elif not others:
        missing = "no other example is memorized"
    if missing:
        return _Test(*words, Estimate(float("nan")), 1, float("nan"), null=1.0, missing=missing)
    ratio = stats.contingency.odds_ratio(np.array(table))
    interval = ratio.confidence_interval(statistics.LEVEL)
    found = Estimate(float(ratio.statistic), low=float(interval.low), high=float(interval.high))
    return _Test(*words, found, 1, float(stats.fisher_exact(table).pvalue), null=1.0)


def _bucket_against_bucket(
    contrasts: Contrasts, assignments: Sequence[Assignment], settings: Settings
) -> _Test:
    count = Counter(row.bucket for row in assignments)
    words = (
        "The examples with a duplicate and those in subpopulations cost more than the examples that "
        "are memorized and nothing else.",
        "the paper, Table 2, Leakage + Shift and Memorized",
        "1.25 and 0.54, so 0.71, without controls",
        f"drop of the {count[LEAKAGE_SHIFT]:,} examples in leakage_shift less that of the "
        f"{count[MEMORIZED]:,} in memorized, each less its random control, weight_decay recipe; "
        "percentage points",
    )
    leaked, merely = f"weight_decay/{LEAKAGE_SHIFT}", f"weight_decay/{MEMORIZED}"
    missing = _none_removed(contrasts, merely, leaked)
    found = contrasts.contrast(
        [f"weight_decay/{CONTROL}{LEAKAGE_SHIFT}", merely],
        [leaked, f"weight_decay/{CONTROL}{MEMORIZED}"],
    )
    return _of_accuracies(words, found, 1, settings, missing)


def _memorized(
    contrasts: Contrasts, assignments: Sequence[Assignment], settings: Settings
) -> _Test:
    count, margin = sum(row.bucket == MEMORIZED for row in assignments), settings.margin
    words = (
        "Examples that are memorized, and nothing else, are hardly needed: they cost at most "
        f"{margin:g} pp more than random ones (the margin is this study's, not the paper's).",
        "the paper, Table 2, Memorized",
        "0.54 ± 0.29, without a control",
        f"drop of the {count:,} examples in memorized less that of its random control, weight_decay "
        "recipe; percentage points",
    )
    missing = _none_removed(contrasts, f"weight_decay/{MEMORIZED}")
    if missing:
        return _Test(*words, Estimate(float("nan")), 0, float("nan"), missing=missing)
    found = contrasts.beyond_random("weight_decay", MEMORIZED)
    return _Test(*words, found, 0, *statistics.one_sided(found, margin), null=margin)


HEADER = list(Claim.__dataclass_fields__)


def write_claims(claims: Sequence[Claim], path: str | Path) -> None:
    """Write claims as CSV, a column for each field of `Claim`; what cannot be said is empty."""
    tables.write(path, HEADER, map(astuple, claims))


def markdown(claims: Sequence[Claim], title: str, margin: float) -> str:
    """The claims for readers."""
    lines = [
        f"# {title}",
        "",
        "The claims of Feldman and Zhang (F&Z) and of *Is Memorization Actually Necessary for "
        "Generalization?* (the paper), which are about CIFAR-100, beside what this study found on "
        "its own data.",
        "",
        "| claim | where | published | found here (95 %) | verdict | because |",
        "|---|---|---|---:|---|---|",
        *(_line(claim) for claim in claims),
        "",
        "What was measured, in the same order:",
        "",
        *(f"{number}. {claim.measure}" for number, claim in enumerate(claims, start=1)),
        "",
        "The words are those of Table 2:",
        "",
        *(f"- {name}: {COLUMNS[name]}" for name in ("recipe", "removal")),
        "",
        "A claim of a difference is *supported* where it goes the way the claim says and the test "
        "against no difference has p < 0.05 (p: how often chance would show as much or more if "
        "there were no difference); *contradicted* where it goes the other way; *too small to "
        f"matter* where it is shown to be smaller than {margin:g} percentage points either way "
        "(two one-sided tests); *undecided* where the data show none of these. The last claim is "
        "of a difference of at most the margin: contradicted where the difference is shown to be "
        "above it, supported where below (one one-sided test each).",
        "",
        f"The margin of {margin:g} pp is this study's (`statistics.margin`), not the papers'. "
        "By it the paper's own 0.54 would be small only if random examples cost "
        f"{max(0.0, 0.54 - margin):.2f} or more of it.",
        "",
        "The p against no difference, and of the last claim against at most the margin, are "
        "adjusted for the number of claims tested (Holm); intervals and the tests that a "
        "difference is small are not, so an interval may leave out 0 where the verdict is "
        "undecided. Table 2 adjusts for its own rows. Intervals and tests of accuracies are over "
        "models and test images. Those of the odds ratio are exact (Fisher) if examples were "
        "independent; a memorized example with a copy in the test set influences at least that "
        "copy, so take that ratio as a description.",
        "",
        "Whether models had converged is not tested here: `learning_curves.csv` shows how far "
        "they fit their training examples. Where `weight_decay` fits them less than `original`, a claim "
        "about weight decay is none about convergence.",
        "",
        "Examples are selected by their influence on the test images on which their removal is "
        "measured. So the drops tend to be larger than on other images, and what is said "
        "of these examples holds on these images; `drop_held_out` of Table 2 is free of that "
        "(`selection.held_out_half`).",
        "",
    ]
    return "\n".join(lines)


def _line(claim: Claim) -> str:
    found = "" if claim.value != claim.value else number(claim.value)
    if claim.low == claim.low:
        found += f" ({number(claim.low)} to {number(claim.high)})"
    return (
        f"| {claim.claim} | {claim.source} | {claim.published} | {found} | **{claim.verdict}** "
        f"| {claim.because} |"
    )
