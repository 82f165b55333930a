"""Duplicates between and within sets of small images: finder, files, summary, command line.

python -m memaudit.duplicates FOLDER --output pairs.csv
"""

from memaudit.duplicates.files import (
    Side,
    read_duplicates,
    read_sides,
    write_duplicates,
    write_pairs,
)
from memaudit.duplicates.finder import NEAR, REVIEW, Pairs, find_duplicates, find_within
from memaudit.duplicates.summary import summarize, summarize_within

__all__ = [
    "NEAR",
    "REVIEW",
    "Pairs",
    "Side",
    "find_duplicates",
    "find_within",
    "read_duplicates",
    "read_sides",
    "summarize",
    "summarize_within",
    "write_duplicates",
    "write_pairs",
]
