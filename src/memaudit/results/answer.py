"""The answer of a study in a few sentences that can be quoted."""

import re
from collections.abc import Sequence

from memaudit.buckets.assign import LEAKAGE_SHIFT, MEMORIZED
from memaudit.results.table2 import Comparison
from memaudit.templates import render


def answer(
    rows: Sequence[Comparison],
    margin: float,
    source: str = "estimate",
    held_out_half: bool = False,
) -> str:
    """Return up to three short paragraphs: verdict, all selected examples, the other bucket.

    `rows` of Table 2; `margin` of equivalence, pp; `source` of the scores
    (`memorization.source`); `held_out_half` as in `selection`.
    """
    by_name = {(row.recipe, row.removal): row for row in rows}
    selected = [row for row in rows if row.removal == "selected"]
    text = render(
        "answer",
        selected=selected,
        n_removed=max([0, *(row.n_removed for row in selected)]),
        leakage_shift=by_name.get(("weight_decay", LEAKAGE_SHIFT)),
        memorized=by_name.get(("weight_decay", MEMORIZED)),
        margin=margin,
        is_published=source == "published",
        held_out_half=held_out_half,
    )
    paragraphs = (" ".join(part.split()) for part in text.split("¶"))
    return re.sub(r" (?=[,;:.)])|(?<=\() ", "", "\n\n".join(paragraphs))
