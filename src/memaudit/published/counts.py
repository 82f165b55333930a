"""Compare the paper's numbers with what the published files and annotations give.

"The paper" is "Is Memorization Actually Necessary for Generalization?".
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from memaudit.published.annotation import KINDS, NEAR_KINDS, AnnotatedPair
from memaudit.published.cifair import JUDGMENTS
from memaudit.published.feldman_zhang import pair_arrays
from memaudit.tables import Rows, column


@dataclass(frozen=True)
class Count:
    """One quantity of the paper and its recomputations: a row of published_counts.csv."""

    quantity: str
    """what is counted"""
    paper: float | None = column(digits=".4g")
    """the paper's number (section 5, Table 2)"""
    fz_pairs: float | None = column(digits=".4g", default=None)
    """from F&Z's published pairs alone"""
    cifair: float | None = column(digits=".4g", default=None)
    """duplicates as listed by ciFAIR"""
    finder: float | None = column(digits=".4g", default=None)
    """duplicates as found by the duplicate finder; empty for other data than CIFAR-100"""
    annotation: float | None = column(digits=".4g", default=None)
    """duplicates by the published annotation of F&Z's pairs"""
    note: str = ""
    """definition"""


@dataclass(frozen=True)
class Pairs:
    """F&Z's pairs: the set (train, test), memorization by training example, influence (pairs,)."""

    pairs: list[tuple[int, int]]
    memorization: dict[int, float]
    influence: np.ndarray
    shared_tests: set[int] = field(init=False)
    sharing: set[int] = field(init=False)

    def __post_init__(self) -> None:
        influencing = defaultdict(set)
        for train, test in self.pairs:
            influencing[test].add(train)
        shared = {test: trains for test, trains in influencing.items() if len(trains) > 1}
        object.__setattr__(self, "shared_tests", set(shared))
        object.__setattr__(self, "sharing", set().union(*shared.values()))

    def mean(self, chosen: set[int]) -> float:
        """Return the mean memorization of training examples, NaN of none."""
        values = [self.memorization[example] for example in chosen]
        return float(np.mean(values)) if values else np.nan


def read_pairs(path: str | Path) -> Pairs:
    """Read F&Z's pairs. Raises AuditError as `read_fz_pairs` does."""
    train, test, influence, memorization = pair_arrays(path)
    pairs = list(zip(train.tolist(), test.tolist(), strict=True))
    return Pairs(pairs, dict(zip(train.tolist(), memorization.tolist(), strict=True)), influence)


Judged = Mapping[tuple[int, int], str]  # (train, test): judgment, of duplicates only


def published_counts(
    pairs: Pairs,
    cifair: Iterable[tuple[int, int, int]],
    annotation: Sequence[AnnotatedPair],
    found: Iterable[tuple[int, int, str]] | None,
    n_test: int = 10_000,
) -> Rows[Count]:
    """Count what the published pairs contain, by each source of duplicates.

    `cifair` are (test, train, judgment) as `read_cifair` returns them, all judgments counting;
    `found` the duplicate finder's (train, test, kind), None without images; `n_test` the number of
    test images over which accuracy is measured.
    """
    judged: dict[str, Judged] = {
        "cifair": {(train, test): JUDGMENTS[judgment] for test, train, judgment in cifair},
        "annotation": {(p.train, p.test): p.judgment for p in annotation if p.judgment in KINDS},
    }
    if found is not None:
        judged["finder"] = {(train, test): kind for train, test, kind in found}
    shown = {(p.train, p.test): p.near_kind for p in annotation if p.near_kind}
    added = 100 * float(pairs.influence.sum()) / n_test
    note = "F&Z's pairs: the sum of all influences; the paper: measured, as by F&Z"
    return Rows(
        Count,
        [
            Count("pairs of a training and a test example", None, len(pairs.pairs)),
            Count(
                "memorized training examples",
                1015,
                len(pairs.memorization),
                note="distinct training examples of the pairs; the paper counts pairs",
            ),
            Count("influenced test examples", None, len({test for _, test in pairs.pairs})),
            *_duplicate_pairs(pairs, judged, shown),
            *_examples(pairs, judged, shown),
            Count("accuracy drop, percentage points", 2.54, added, note=note),
        ],
    )


def _by(quantity: str, paper: float | None, values: Mapping[str, float], note: str = "") -> Count:
    cifair, finder, annotation = map(values.get, ("cifair", "finder", "annotation"))
    return Count(quantity, paper, None, cifair, finder, annotation, note)


def _duplicate_pairs(
    pairs: Pairs, judged: Mapping[str, Judged], shown: Mapping[tuple[int, int], str]
) -> list[Count]:
    """Count duplicates among F&Z's pairs."""
    listed = {name: [pair for pair in pairs.pairs if pair in by] for name, by in judged.items()}
    totals = {name: len(of) for name, of in listed.items()}
    kinds = {name: Counter(judged[name][pair] for pair in of) for name, of in listed.items()}
    confirmed = {name: sum(pair in shown for pair in of) for name, of in listed.items()}
    photograph = Counter(shown[pair] for pair in pairs.pairs if pair in shown)
    sharing = sum(test in pairs.shared_tests for _, test in pairs.pairs)
    added = {name: count + sharing for name, count in totals.items()}
    rest = {name: len(pairs.pairs) - count for name, count in added.items()}
    exact = "ciFAIR, annotation: visually the same picture; finder: identical pixels"
    perspective = "the paper's near duplicates may have another perspective"
    twice = "added up as in the paper: a pair may count twice"
    return [
        _by("duplicate pairs", 119 + 158, totals),
        _by("duplicate pairs: exact", 119, {n: of["exact"] for n, of in kinds.items()}, exact),
        _by("duplicate pairs: near", 158, {n: of["near"] for n, of in kinds.items()}),
        Count("duplicate pairs: very similar", None, cifair=kinds["cifair"]["very similar"]),
        _by("duplicate pairs: so also by the annotation", None, confirmed),
        *(
            Count(f"duplicate pairs: {words}", paper, annotation=photograph[kind], note=note)
            for kind, words, paper, note in (
                ("same_photograph", "same photograph", 119, "the paper: exact duplicates"),
                ("same_scene", "another photograph of the scene", 158, perspective),
                ("unclear", "unclear", None, ""),
            )
        ),
        Count("pairs of a shared test example", 239, sharing),
        _by("duplicate pairs and pairs of a shared test example", 516, added, twice),
        _by("remaining pairs", 499, rest, "of 1,015"),
    ]


def _examples(
    pairs: Pairs, judged: Mapping[str, Judged], shown: Mapping[tuple[int, int], str]
) -> list[Count]:
    """Count training examples by bucket."""
    examples, sharing = set(pairs.memorization), pairs.sharing
    linked = {name: {train for train, _ in by} & examples for name, by in judged.items()}
    either = {name: of | sharing for name, of in linked.items()}
    kinds: dict[int, set[str]] = defaultdict(set)
    for (train, _), kind in shown.items():
        kinds[train].add(kind)
    strictest = Counter(next(k for k in NEAR_KINDS if k in of) for of in kinds.values())
    where = "ciFAIR, finder: of any test image; annotation: of the test image of a pair"
    contradiction = "the paper calls it lower and, in the next sentence, higher than the other"
    return [
        _by("training examples with a duplicate", None, _sizes(linked), where),
        *(
            Count(f"training examples with a duplicate: {words}", None, annotation=strictest[kind])
            for kind, words in (
                ("same_photograph", "same photograph"),
                ("same_scene", "another photograph of the scene"),
                ("unclear", "unclear"),
            )
        ),
        Count(
            "test examples influenced by two training examples or more",
            None,
            len(pairs.shared_tests),
        ),
        Count("training examples that share a test example", None, len(sharing)),
        _by(
            "training examples that share a test example and have no duplicate",
            None,
            _sizes({name: sharing - of for name, of in linked.items()}),
        ),
        _by("training examples in leakage_shift", None, _sizes(either), "either of the two"),
        _by(
            "training examples in memorized",
            None,
            _sizes({name: examples - of for name, of in either.items()}),
            "neither of the two",
        ),
        Count("mean memorization", None, pairs.mean(examples)),
        _by(
            "mean memorization in leakage_shift",
            0.74,
            {name: pairs.mean(of) for name, of in either.items()},
            contradiction,
        ),
        _by(
            "mean memorization in memorized",
            0.83,
            {name: pairs.mean(examples - of) for name, of in either.items()},
        ),
    ]


def _sizes(sets: Mapping[str, set[int]]) -> dict[str, float]:
    return {name: len(of) for name, of in sets.items()}
