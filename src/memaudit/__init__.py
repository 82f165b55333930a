"""Memorization Audit: does memorization matter for this dataset?

Scores in two lines, from any models trained on random subsets of a training set:

    scores = Scores.from_arrays(mask, train_correct, test_correct, train_labels, test_labels)
    scores.select(memorization=0.25, influence=0.15, z=4).to_frame()

The names below are imported when they are first used, so `import memaudit` is fast.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memaudit.buckets.assign import Assignment as Assignment
    from memaudit.buckets.assign import assign as assign
    from memaudit.buckets.assign import removal_lists as removal_lists
    from memaudit.buckets.leaks import Leak as Leak
    from memaudit.buckets.subpopulations import shared_links as shared_links
    from memaudit.duplicates.finder import find_duplicates as find_duplicates
    from memaudit.models.removals import control_examples as control_examples
    from memaudit.models.removals import subset_mask as subset_mask
    from memaudit.results.statistics import Arm as Arm
    from memaudit.results.statistics import TwoWay as TwoWay
    from memaudit.results.statistics import accuracy_drop as accuracy_drop
    from memaudit.results.statistics import equivalence as equivalence
    from memaudit.results.statistics import holm as holm
    from memaudit.results.statistics import no_effect as no_effect
    from memaudit.scores.estimate import memorization as memorization
    from memaudit.scores.facade import Scores as Scores
    from memaudit.scores.selection import Pair as Pair

__version__ = "0.1.0"

_MODULES = {
    "Arm": "results.statistics",
    "Assignment": "buckets.assign",
    "Leak": "buckets.leaks",
    "Pair": "scores.selection",
    "Scores": "scores.facade",
    "TwoWay": "results.statistics",
    "assign": "buckets.assign",
    "control_examples": "models.removals",
    "equivalence": "results.statistics",
    "find_duplicates": "duplicates.finder",
    "holm": "results.statistics",
    "memorization": "scores.estimate",
    "no_effect": "results.statistics",
    "removal_lists": "buckets.assign",
    "shared_links": "buckets.subpopulations",
    "subset_mask": "models.removals",
    "accuracy_drop": "results.statistics",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'memaudit' has no attribute {name!r}")
    from memaudit.errors import require

    return getattr(require(f"memaudit.{_MODULES[name]}", extra="train"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
