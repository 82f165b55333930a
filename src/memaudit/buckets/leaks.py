"""The duplicates that count, one list: the finder's, the published annotation's, people's."""

from collections.abc import Iterable
from dataclasses import dataclass

from memaudit.buckets.decisions import DIFFERENT, MANUAL, Decisions
from memaudit.data.dataset import Dataset
from memaudit.tables import column


@dataclass(frozen=True, order=True)
class Leak:
    """A duplicate of a training example in the test set: a row of leaks.csv."""

    train: int = column("training example", "index")
    test: int = column("test example, of any class", "index")
    kind: str = column("`exact` (identical pixels) or `near` (near-duplicate)")
    decided_by: str = column(
        "`rule` (the duplicate finder), `published annotation` (ciFAIR) or `manual annotation`",
        default="rule",
    )


def with_decisions(duplicates: Iterable[Leak], decisions: Decisions, data: Dataset) -> list[Leak]:
    """Duplicates (train, test, kind, who decided) with people's words over them, sorted.

    "same" makes a pair "exact" where the pixels of both are identical and "near" otherwise, so that
    "exact" is a fact about pixels also where a person decided; "near" makes it "near"; "different"
    takes it off the list.
    """
    leaks = {(leak.train, leak.test): leak for leak in duplicates}
    for (train, test), word in decisions.duplicates.items():
        if word == DIFFERENT:
            leaks.pop((train, test), None)
            continue
        identical = (data.train_images[train] == data.test_images[test]).all()
        kind = "exact" if word == "same" and identical else "near"
        leaks[train, test] = Leak(train, test, kind, MANUAL)
    return sorted(leaks.values())


def leak_free(leaks: Iterable[Leak], n_test: int) -> list[int]:
    """The test examples, of `n_test`, without a duplicate among the training examples."""
    leaked = {leak.test for leak in leaks}
    return [test for test in range(n_test) if test not in leaked]
