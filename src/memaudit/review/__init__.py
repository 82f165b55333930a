"""The review page: one HTML file for the manual annotation of duplicates and subpopulations."""

from memaudit.review.items import (
    Candidate,
    Group,
    as_groups,
    by_gain,
    read_candidates,
    read_scores,
    with_selected,
)
from memaudit.review.page import write_page

__all__ = [
    "Candidate",
    "Group",
    "as_groups",
    "by_gain",
    "read_candidates",
    "read_scores",
    "with_selected",
    "write_page",
]
