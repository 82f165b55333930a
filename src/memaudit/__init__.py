"""Memorization Audit: does memorization matter for this dataset?

For notebooks the main functions are here, imported when they are first used:

    from memaudit import memorization, influence_blocks, select, assign, accuracy_drop
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "subset_mask": ("models.removals", "subset_mask"),
    "Scores": ("scores.facade", "Scores"),
    "memorization": ("scores.estimate", "memorization"),
    "find_duplicates": ("duplicates", "find_duplicates"),
    "shared_links": ("buckets.subpopulations", "shared_links"),
    "Leak": ("buckets.leaks", "Leak"),
    "assign": ("buckets.assign", "assign"),
    "removal_lists": ("buckets.assign", "removal_lists"),
    "control_examples": ("models.removals", "control_examples"),
    "Arm": ("results.statistics", "Arm"),
    "TwoWay": ("results.statistics", "TwoWay"),
    "accuracy_drop": ("results.statistics", "accuracy_drop"),
    "no_effect": ("results.statistics", "no_effect"),
    "equivalence": ("results.statistics", "equivalence"),
    "holm": ("results.statistics", "holm"),
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'memaudit' has no attribute {name!r}")
    module, inside = _HOME[name]
    return getattr(import_module(f"memaudit.{module}"), inside)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
