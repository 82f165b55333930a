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
    training example counts once, under ciFAIR's strictest judgment of it. n_test is the number of test
    images that an accuracy is taken over.

    Raises AuditError as `read_fz_pairs` (without labels) and `read_cifair` do.
    """
    train, test, influence, memorization = pair_arrays(pairs_path)
    judged: dict[int, int] = {}
    for _, example, judgment in read_cifair(cifair_path):
        judged[example] = min(judgment, judged.get(example, judgment))
    value = dict(zip(train.tolist(), memorization.tolist(), strict=True))
    influencing = defaultdict(set)
    for one, other in zip(train.tolist(), test.tolist(), strict=True):
        influencing[other].add(one)
    examples = set(value)
    linked = examples & set(judged)
    kinds = Counter(JUDGMENTS[judged[example]] for example in linked)
    shared_tests = {example for example, others in influencing.items() if len(others) > 1}
    shared = {example for other in shared_tests for example in influencing[other]}
    either = linked | shared
    neither = examples - either

    def mean(chosen: set[int]) -> float:
        return float(np.mean([value[example] for example in chosen])) if chosen else float("nan")

    parts_note = "the parts of the paper's buckets add up to its 1,015"
    return [
        Count(
            "pairs of a train and a test example",
            None,
            len(train),
            "the paper calls these examples",
        ),
        Count(
            "memorized training examples",
            1015,
            len(examples),
            "distinct training examples of the pairs",
        ),
        Count("influenced test examples", None, len(influencing), "distinct test examples"),
        Count(
            "training examples with a duplicate in the test set",
            119 + 158,
            len(linked),
            "listed by ciFAIR with any judgment; the paper: exact and near",
        ),
        Count("of these exact", 119, kinds["exact"], "almost all pixels about the same"),
        Count("of these near", 158, kinds["near"], "the same shot, processed otherwise"),
        Count("of these very similar", None, kinds["very similar"], "another shot"),
        Count(
            "test examples influenced by two training examples or more",
            None,
            len(shared_tests),
            "each makes its training examples a subpopulation",
        ),
        Count(
            "training examples that share a test example",
            239,
            len(shared),
            f"subpopulations; {len(shared - linked)} of them have no listed duplicate",
        ),
        Count(
            "pairs of a shared test example",
            None,
            sum(len(influencing[example]) for example in shared_tests),
            "rows of the file, not examples",
        ),
        Count("training examples in either", 119 + 158 + 239, len(either), parts_note),
        Count("training examples in neither", 499, len(neither), parts_note),
        Count("mean memorization of all", None, mean(examples), "each training example once"),
        Count("mean memorization of the duplicate-linked", None, mean(linked), ""),
        Count("mean memorization of the rest", None, mean(examples - linked), ""),
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
