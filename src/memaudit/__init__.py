"""Memorization Audit: does memorization matter for this dataset?

Scores in two lines, from any models trained on random subsets of a training set:

    scores = Scores.from_arrays(mask, train_correct, test_correct, train_labels, test_labels)
    scores.select(memorization=0.25, influence=0.15, z=4).to_frame()

The names below are imported when they are first used, so `import memaudit` is fast.
"""

import pkgutil
import re
from typing import Any

__version__ = "0.1.0"

# name: module, of the names that the stub lists
_MODULES = {
    name: module
    for module, name in re.findall(
        r"^from memaudit\.(\S+) import (\w+)",
        (pkgutil.get_data("memaudit", "__init__.pyi") or b"").decode(),
        re.MULTILINE,
    )
}
__all__ = list(_MODULES)


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
