"""Counts of the published files beside the paper's: by hand, and of the real files."""

import pytest
from published_files import ANNOTATION, annotation_file, pair_file, real

from memaudit.published.annotation import read_annotation
from memaudit.published.cifair import read_cifair
from memaudit.published.counts import Count, published_counts
from memaudit.published.counts import read_pairs as count_pairs
from memaudit.tables import read_rows, write_rows


def test_counts_by_hand(tmp_path):
    pairs = count_pairs(pair_file(tmp_path / "p.npz"))
    cifair = [(8, 0, 1), (0, 0, 0), (7, 4, 2), (6, 99, 0)]
    words = [
        (2, 0, "near", "same_scene"),
        (1, 1, "similar", ""),
        (4, 2, "exact", "same_photograph"),
    ]
    annotation = read_annotation(annotation_file(tmp_path / "a.csv", words))
    rows = published_counts(pairs, cifair, annotation, [(2, 0, "near"), (3, 3, "exact")], n_test=4)
    nan, none = float("nan"), None
    # F&Z's pairs, ciFAIR, finder, annotation
    by_hand = {
        "pairs of a training and a test example": (5, none, none, none),
        "memorized training examples": (5, none, none, none),
        "influenced test examples": (3, none, none, none),
        "duplicate pairs": (none, 1, 1, 2),
        "duplicate pairs: exact": (none, 1, 0, 1),
        "duplicate pairs: near": (none, 0, 1, 1),
        "duplicate pairs: very similar": (none, 0, none, none),
        "duplicate pairs: so also by the annotation": (none, 0, 1, 2),
        "duplicate pairs: same photograph": (none, none, none, 1),
        "duplicate pairs: another photograph of the scene": (none, none, none, 1),
        "duplicate pairs: unclear": (none, none, none, 0),
        "pairs of a shared test example": (4, none, none, none),
        "duplicate pairs and pairs of a shared test example": (none, 5, 5, 6),
        "remaining pairs": (none, 0, 0, -1),
        "training examples with a duplicate": (none, 2, 2, 2),
        "training examples with a duplicate: same photograph": (none, none, none, 1),
        "training examples with a duplicate: another photograph of the scene": (
            *(none, none, none, 1),
        ),
        "training examples with a duplicate: unclear": (none, none, none, 0),
        "test examples influenced by two training examples or more": (2, none, none, none),
        "training examples that share a test example": (4, none, none, none),
        "training examples that share a test example and have no duplicate": (none, 3, 2, 3),
        "training examples in leakage_shift": (none, 5, 4, 5),
        "training examples in memorized": (none, 0, 1, 0),
        "mean memorization": (0.6, none, none, none),
        "mean memorization in leakage_shift": (none, 0.6, 0.625, 0.6),
        "mean memorization in memorized": (none, nan, 0.5, nan),
        "accuracy drop, percentage points": (50, none, none, none),
    }
    found = {row.quantity: (row.fz_pairs, row.cifair, row.finder, row.annotation) for row in rows}
    assert list(found) == list(by_hand)
    for quantity, values in by_hand.items():
        assert found[quantity] == pytest.approx(values, nan_ok=True), quantity
    write_rows(tmp_path / "counts.csv", Count, rows)
    assert read_rows(tmp_path / "counts.csv", Count)[0] == rows[0]


def test_counts_of_the_published_files():
    """As reported in docs/published_counts.md, beside the paper's numbers."""
    rows = published_counts(
        count_pairs(real("fz_pairs")),
        read_cifair(real("cifair100")),
        read_annotation(ANNOTATION),
        None,
    )
    found = {row.quantity: (row.paper, row.fz_pairs, row.cifair, row.annotation) for row in rows}

    def near(value):
        return pytest.approx(value, abs=5e-4)

    assert found == {
        "pairs of a training and a test example": (None, 1015, None, None),
        "memorized training examples": (1015, 964, None, None),
        "influenced test examples": (None, 888, None, None),
        "duplicate pairs": (277, None, 97, 267),
        "duplicate pairs: exact": (119, None, 3, 33),
        "duplicate pairs: near": (158, None, 75, 234),
        "duplicate pairs: very similar": (None, None, 19, None),
        "duplicate pairs: so also by the annotation": (None, None, 94, 267),
        "duplicate pairs: same photograph": (119, None, None, 131),
        "duplicate pairs: another photograph of the scene": (158, None, None, 128),
        "duplicate pairs: unclear": (None, None, None, 8),
        "pairs of a shared test example": (239, 241, None, None),
        "duplicate pairs and pairs of a shared test example": (516, None, 338, 508),
        "remaining pairs": (499, None, 677, 507),
        "training examples with a duplicate": (None, None, 97, 258),
        "training examples with a duplicate: same photograph": (None, None, None, 127),
        "training examples with a duplicate: another photograph of the scene": (
            *(None, None, None, 123),
        ),
        "training examples with a duplicate: unclear": (None, None, None, 8),
        "test examples influenced by two training examples or more": (None, 114, None, None),
        "training examples that share a test example": (None, 233, None, None),
        "training examples that share a test example and have no duplicate": (
            *(None, None, 228, 197),
        ),
        "training examples in leakage_shift": (None, None, 325, 455),
        "training examples in memorized": (None, None, 639, 509),
        "mean memorization": (None, near(0.7963), None, None),
        "mean memorization in leakage_shift": (0.74, None, near(0.7606), near(0.7473)),
        "mean memorization in memorized": (0.83, None, near(0.8145), near(0.8401)),
        "accuracy drop, percentage points": (2.54, near(2.6584), None, None),
    }
