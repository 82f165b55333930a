"""The annotation of the published pairs, and the buckets that follow from it."""

from collections import Counter, defaultdict
from dataclasses import astuple

import numpy as np
import pytest
from published_files import ANNOTATION, annotation_file, real

from memaudit.buckets.assign import KINDS, assign
from memaudit.buckets.decisions import Decisions
from memaudit.buckets.leaks import Leak, with_decisions
from memaudit.buckets.subpopulations import shared_links
from memaudit.errors import AuditError
from memaudit.published.annotation import judged_pairs, read_annotation, with_annotation
from memaudit.published.feldman_zhang import read_fz_pairs


def test_an_annotation_is_read(tmp_path):
    rows = [(0, 3, "exact", "same_photograph"), (1, 2, "near", "unclear"), (4, 5, "similar", "")]
    found = read_annotation(annotation_file(tmp_path / "a.csv", rows))
    assert [astuple(pair) for pair in found] == rows
    for row in ((0, 3, "identical", ""), (0, 3, "near", "photo"), ("x", 3, "near", "unclear")):
        with pytest.raises(AuditError, match=rf"a\.csv, line 2: \w+ is '{row[0]}|{row[2]}|photo'"):
            read_annotation(annotation_file(tmp_path / "a.csv", [row]))


def test_an_annotation_takes_precedence_for_its_dataset_only(tmp_path, small_dataset, monkeypatch):
    rows = [(0, 3, "exact", "same_photograph"), (1, 2, "near", "unclear"), (4, 5, "similar", "")]
    rows.append((5, 2, "near", "same_scene"))
    annotation = read_annotation(annotation_file(tmp_path / "a.csv", rows))
    leaks = [Leak(0, 3, "near"), Leak(4, 5, "exact"), Leak(4, 6, "exact")]
    assert with_annotation(leaks, annotation, small_dataset) == leaks
    monkeypatch.setattr("memaudit.published.annotation.CIFAR100_DIGEST", small_dataset.digest())
    merged = with_annotation(leaks, annotation, small_dataset)
    assert merged == [
        Leak(0, 3, "one_picture", "published annotation"),
        Leak(1, 2, "near", "published annotation"),
        Leak(4, 6, "exact"),
        Leak(5, 2, "scene", "published annotation"),
    ]
    assert judged_pairs(tmp_path / "a.csv", small_dataset) == {
        **dict.fromkeys([(0, 3), (1, 2), (5, 2)], True),
        (4, 5): False,
    }
    manual = with_decisions(merged, Decisions({(0, 3): "different"}), small_dataset)
    assert [(leak.train, leak.test) for leak in manual] == [(1, 2), (4, 6), (5, 2)]


def test_buckets_of_the_published_pairs_by_the_annotation(small_dataset, monkeypatch):
    """The paper's buckets: 516 and 499 pairs, mean memorization 74% and 83%."""
    pairs = read_fz_pairs(real("fz_pairs"), np.zeros(50_000, int), np.zeros(10_000, int))
    monkeypatch.setattr("memaudit.published.annotation.CIFAR100_DIGEST", small_dataset.digest())
    leaks = with_annotation([], read_annotation(ANNOTATION), small_dataset)
    links = shared_links(*(np.array([getattr(p, s) for p in pairs]) for s in ("train", "test")))
    rows = assign(pairs, leaks, links, ["x"])
    reasons = Counter(row.reason for row in rows)
    assert reasons == {
        **{"exact": 32, "near": 103, "scene": 123},
        **{"subpopulation": 197, "none": 509},
    }
    memorization = defaultdict(list)
    for row in rows:
        memorization[row.bucket].append(row.memorization)
    assert {bucket: len(values) for bucket, values in memorization.items()} == {
        "leakage_shift": 455,
        "memorized": 509,
    }
    assert np.mean(memorization["leakage_shift"]) == pytest.approx(0.747, abs=5e-4)
    assert np.mean(memorization["memorized"]) == pytest.approx(0.840, abs=5e-4)
    assert {row.decided_by for row in rows if row.reason in KINDS} == {"published annotation"}
