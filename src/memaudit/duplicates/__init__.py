"""Find duplicates between and within sets of small images; the command `memaudit duplicates`."""

from typing import Any

from memaudit.data.image_folder import Side
from memaudit.duplicates.files import read_duplicates, read_sides, write_duplicates, write_pairs
from memaudit.errors import require

# Imported on first use: jobs that only read the finder's files do not import torch.
_HOME = {
    **dict.fromkeys(
        ("LISTED", "NEAR", "REVIEW", "Pairs", "find_duplicates", "find_within"), "finder"
    ),
    **dict.fromkeys(("summarize", "summarize_within"), "summary"),
    **dict.fromkeys(("SCORED", "SCENE", "find_scenes"), "scene"),
    "check_embedding": "features",
}
__all__ = ["Side", "read_duplicates", "read_sides", "write_duplicates", "write_pairs", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'memaudit.duplicates' has no attribute {name!r}")
    return getattr(require(f"memaudit.duplicates.{_HOME[name]}", extra="train"), name)
