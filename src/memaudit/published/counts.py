"""The paper's numbers beside what the published files say."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from memaudit import tables
from memaudit.published.cifair import JUDGMENTS, read_cifair
from memaudit.published.feldman_zhang import pair_arrays


@dataclass(frozen=True)
class Count:
    """A number that the paper reports beside the one that the published files give.

    `paper_says` is None where the paper gives none.
    """

    quantity: str
    paper_says: float | None
    files_say: float
    note: str


def published_counts(
    pairs_path: str | Path, cifair_path: str | Path, n_test: int = 10_000
) -> list[Count]:
    """What the published pairs and duplicates say about the paper's numbers, counted anew.

    "The paper" is "Is Memorization Actually Necessary for Generalization?"; its column holds what
    it prints (section 5, Table 2), the other is computed from F&Z's pairs and ciFAIR's list. A
    train point counts once, under ciFAIR's strictest judgment of it. n_test is the number of test
    images that an accuracy is taken over.

    Raises AuditError as `read_fz_pairs` (without labels) and `read_cifair` do.
    """
    train, test, influence, memorization = pair_arrays(pairs_path)
    judged: dict[int, int] = {}
    for _, point, judgment in read_cifair(cifair_path):
        judged[point] = min(judgment, judged.get(point, judgment))
    value = dict(zip(train.tolist(), memorization.tolist(), strict=True))
    influencing = defaultdict(set)
    for one, other in zip(train.tolist(), test.tolist(), strict=True):
        influencing[other].add(one)
    points = set(value)
    linked = points & set(judged)
    kinds = Counter(JUDGMENTS[judged[point]] for point in linked)
    shared_tests = {point for point, others in influencing.items() if len(others) > 1}
    shared = {point for other in shared_tests for point in influencing[other]}
    either = linked | shared
    neither = points - either

    def mean(chosen: set[int]) -> float:
        return float(np.mean([value[point] for point in chosen])) if chosen else float("nan")

    parts_note = "the parts of the paper's buckets add up to its 1,015"
    return [
        Count(
            "pairs of a train and a test point", None, len(train), "the paper calls these points"
        ),
        Count("memorized train points", 1015, len(points), "distinct train points of the pairs"),
        Count("influenced test points", None, len(influencing), "distinct test points"),
        Count(
            "train points with a duplicate in the test set",
            119 + 158,
            len(linked),
            "listed by ciFAIR with any judgment; the paper: exact and near",
        ),
        Count("of these exact", 119, kinds["exact"], "almost all pixels about the same"),
        Count("of these near", 158, kinds["near"], "the same shot, processed otherwise"),
        Count("of these very similar", None, kinds["very similar"], "another shot"),
        Count(
            "test points influenced by two train points or more",
            None,
            len(shared_tests),
            "each makes its train points a sub-population",
        ),
        Count(
            "train points that share a test point",
            239,
            len(shared),
            f"sub-populations; {len(shared - linked)} of them have no listed duplicate",
        ),
        Count(
            "pairs of a shared test point",
            None,
            sum(len(influencing[point]) for point in shared_tests),
            "rows of the file, not points",
        ),
        Count("train points in either", 119 + 158 + 239, len(either), parts_note),
        Count("train points in neither", 499, len(neither), parts_note),
        Count("mean memorization of all", None, mean(points), "each train point once"),
        Count("mean memorization of the duplicate-linked", None, mean(linked), ""),
        Count("mean memorization of the rest", None, mean(points - linked), ""),
        Count(
            "mean memorization of those in either",
            0.74,
            mean(either),
            "the paper calls it lower and, in the next sentence, higher",
        ),
        Count("mean memorization of those in neither", 0.83, mean(neither), ""),
        Count(
            "drop of test accuracy, percentage points",
            2.54,
            100 * float(influence.sum()) / n_test,
            "the files: if all influences simply add up; the paper: measured, as F&Z",
        ),
    ]


def write_counts(counts: Sequence[Count], path: str | Path) -> None:
    """Write counts as CSV, a column for each field of `Count`; empty where the paper is silent."""
    tables.write(path, [field.name for field in fields(Count)], map(astuple, counts))
