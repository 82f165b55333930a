"""Memorization Audit: does memorization matter for this dataset?

Scores in two lines, from any models trained on random subsets of a training set:

    scores = Scores.from_arrays(mask, train_correct, test_correct, train_labels, test_labels)
    scores.select(memorization=0.25, influence=0.15, z=4).to_frame()

The names below are imported when they are first used, so `import memaudit` is fast.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "buckets.assign": "Assignment assign removal_lists",
    "buckets.leaks": "Leak",
    "buckets.subpopulations": "shared_links",
    "duplicates.finder": "find_duplicates",
    "models.removals": "control_examples subset_mask",
    "results.statistics": "Arm Estimate accuracy_drop equivalence holm no_effect",
    "results.two_way": "TwoWay",
    "scores.estimate": "memorization",
    "scores.external": "judge_attributions judge_scores",
    "scores.facade": "Scores",
    "scores.privacy": "lira",
    "scores.selection": "Pair",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = list(_MODULES)

if TYPE_CHECKING:  # the same names
    from memaudit.buckets.assign import Assignment as Assignment
    from memaudit.buckets.assign import assign as assign
    from memaudit.buckets.assign import removal_lists as removal_lists
    from memaudit.buckets.leaks import Leak as Leak
    from memaudit.buckets.subpopulations import shared_links as shared_links
    from memaudit.duplicates.finder import find_duplicates as find_duplicates
    from memaudit.models.removals import control_examples as control_examples
    from memaudit.models.removals import subset_mask as subset_mask
    from memaudit.results.statistics import Arm as Arm
    from memaudit.results.statistics import Estimate as Estimate
    from memaudit.results.statistics import accuracy_drop as accuracy_drop
    from memaudit.results.statistics import equivalence as equivalence
    from memaudit.results.statistics import holm as holm
    from memaudit.results.statistics import no_effect as no_effect
    from memaudit.results.two_way import TwoWay as TwoWay
    from memaudit.scores.estimate import memorization as memorization
    from memaudit.scores.external import judge_attributions as judge_attributions
    from memaudit.scores.external import judge_scores as judge_scores
    from memaudit.scores.facade import Scores as Scores
    from memaudit.scores.privacy import lira as lira
    from memaudit.scores.selection import Pair as Pair


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'memaudit' has no attribute {name!r}")
    from memaudit.errors import MissingExtraError, require

    try:
        return getattr(require(f"memaudit.{_MODULES[name]}", extra="train"), name)
    except MissingExtraError as error:
        return _stand_in(name, error)


def _stand_in(name: str, error: ImportError) -> Any:
    """Return a function that raises `error` when it is called.

    So `help(memaudit)`, `hasattr` and `from memaudit import *` work without the extras.
    """

    def missing(*_: Any, **__: Any) -> None:
        raise type(error)(*error.args)

    missing.__name__, missing.__doc__ = name, f"Raise ImportError: {error}."
    return missing


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
