"""Review pages of a dataset of noise, and what they hold."""

import json
import re

from memaudit.review.items import Candidate, Group
from memaudit.review.page import write_page

# In the order in which the page shows them: those whose annotation changes most first.
PAIRS = [
    Candidate(9, 4, 0.58, "candidate", 0.5),
    Candidate(10, 2, 0.7, "near", 0.75),
    Candidate(2, 30, 0.81, "near", 0.9),
    Candidate(5, 7, 1.0, "exact", 1.0),
]


GROUPS = [
    Group(0, (3, 11, 12, 40), (5, 8, 10), (7, 7, None, 9), (0.9, 0.9, 0.1, 0.4)),
    Group(1, (20, 21), (9,), (8, 8), (0.7, 0.7)),
]


INFLUENCE = {(9, 4): 0.25, (3, 5): 0.5, (11, 5): 0.3, (12, 8): 0.2, (40, 10): 0.75, (20, 9): 0.4}
MEMORIZATION = {9: 0.875, 3: 0.5, 10: float("nan")}


def write(path, dataset, study="a study", pairs=PAIRS, groups=GROUPS, **options):
    write_page(
        path,
        study,
        dataset,
        pairs,
        groups,
        memorization=MEMORIZATION,
        influence=INFLUENCE,
        **{"selected": [9, 3]} | options,
    )
    return path


def content(path):
    """What the page holds, as its script reads it."""
    text = path.read_text()
    return json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL).group(1))
