"""Published files: small files of the same form, and the real ones where they are found."""

from collections import Counter, defaultdict
from dataclasses import astuple

import numpy as np
import pytest
from conftest import ROOT, supplied

from memaudit import store
from memaudit.buckets.assign import KINDS, assign
from memaudit.buckets.decisions import Decisions
from memaudit.buckets.leaks import Leak, with_decisions
from memaudit.buckets.subpopulations import shared_links
from memaudit.data.fetch import read_sources
from memaudit.errors import AuditError
from memaudit.published import cifair
from memaudit.published.annotation import judged_pairs, read_annotation, with_annotation
from memaudit.published.cifair import agreement, judged_by_cifair, read_cifair, with_cifair
from memaudit.published.counts import Count, published_counts
from memaudit.published.counts import read_pairs as count_pairs
from memaudit.published.feldman_zhang import (
    read_aux_arrays,
    read_fz_matrix,
    read_fz_memorization,
    read_fz_pairs,
)
from memaudit.scores.facade import Scores
from memaudit.scores.selection import Pair
from memaudit.tables import read_rows, write_rows

TRAIN_LABELS = np.array([0, 1, 0, 1, 0, 1])
TEST_LABELS = np.array([0, 1, 0, 1])


def real(name):
    """The published file of a source, or the test is skipped."""
    return supplied(read_sources(ROOT / "data" / "sources.yaml")[name].file)


def pair_file(path, **changes):
    """Five pairs: training examples 0 and 2 share test example 0, 1 and 3 share test example 1."""
    arrays = {
        "tr_idx": np.array([2, 0, 1, 3, 4]),
        "tt_idx": np.array([0, 0, 1, 1, 2]),
        "infl": np.array([0.2, 0.3, 0.4, 0.5, 0.6]),
        "mem": np.array([0.5, 1.0, 0.25, 0.75, 0.5]),
    }
    arrays = {key: value for key, value in (arrays | changes).items() if value is not None}
    np.savez(path, **arrays)
    return path


def cifair_file(path, rows, header="TestID,TrainID,Distance,Judgment"):
    lines = [header, *(f"{test},{train},0.5,{judgment}" for test, train, judgment in rows)]
    path.write_text("".join(f"{line}\r\n" for line in lines), newline="")
    return path


def test_pairs_become_selected_pairs(tmp_path):
    pairs = read_fz_pairs(pair_file(tmp_path / "p.npz"), TRAIN_LABELS, TEST_LABELS)
    assert [(p.train, p.test, p.label) for p in pairs] == [
        (0, 0, 0),
        (1, 1, 1),
        (2, 0, 0),
        (3, 1, 1),
        (4, 2, 0),
    ]
    assert (pairs[2].memorization, pairs[2].influence) == (0.5, 0.2)
    write_rows(tmp_path / "pairs.csv", Pair, pairs)
    again = read_rows(tmp_path / "pairs.csv", Pair)
    known = [(p.train, p.test, p.label, p.memorization, p.influence) for p in pairs]
    assert [(p.train, p.test, p.label, p.memorization, p.influence) for p in again] == known
    assert all(np.isnan([p.memorization_se, p.influence_se]).all() for p in again)
    assert all(isinstance(p, Pair) for p in pairs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mem": None}, r"it has no 'mem'"),
        (
            {"infl": np.zeros(4)},
            r"the arrays have different lengths: tr_idx \(5,\), tt_idx \(5,\), infl \(4,\)",
        ),
        ({"tr_idx": np.array([2, 0, 1, 3, 6])}, r"tr_idx has 6, but indices go from 0 to 5"),
        ({"tt_idx": np.array([0, 0, 1, 1, -1])}, r"tt_idx has -1, but indices go from 0 to 3"),
        ({"tr_idx": np.arange(5.0)}, r"must be integers"),
        (
            {"tt_idx": np.array([1, 0, 0, 1, 2])},
            r"2 of 5 pairs join examples of two classes: the images are not in CIFAR-100's",
        ),
        ({"mem": np.array([None] * 5)}, r"not a file of numpy arrays, or damaged"),
    ],
)
def test_errors_name_the_problem_in_pairs(tmp_path, changes, message):
    path = pair_file(tmp_path / "p.npz", **changes)
    with pytest.raises(AuditError, match=rf"p\.npz: .*{message}"):
        read_fz_pairs(path, TRAIN_LABELS, TEST_LABELS)


def test_another_format_is_reported(tmp_path):
    path = pair_file(tmp_path / "p.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    contents = [path.read_bytes()[:-30], b"", b"<html>", (tmp_path / "array.npy").read_bytes()]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(AuditError, match=r"p\.npz: not (a file|an \.npz)"):
            read_fz_pairs(path, TRAIN_LABELS, TEST_LABELS)
    with pytest.raises(AuditError, match=r"none\.npz: file not found"):
        read_fz_pairs(tmp_path / "none.npz", TRAIN_LABELS, TEST_LABELS)


@pytest.fixture
def matrix(tmp_path, rng):
    """A scores file of ours, the same scores with F&Z's keys, and the labels."""
    k, n, m = 60, 12, 8
    mask = rng.random((k, n)) < 0.7
    labels = np.arange(n) % 3, np.arange(m) % 3
    train, test = mask.copy(), rng.random((k, m)) < 0.5
    test[:, 0] = mask[:, 0]
    Scores.from_arrays(mask, train, test, *labels).write(tmp_path / "ours.h5")
    Scores.from_file(tmp_path / "ours.h5").export_fz(tmp_path / "fz.npz")
    return tmp_path, labels


def test_the_matrix_becomes_scores_that_selection_reads(matrix):
    folder, labels = matrix
    read_fz_matrix(folder / "fz.npz", *labels).write(folder / "theirs.h5", models=4000)
    thresholds = {"memorization": 0.25, "influence": 0.15, "z": 4}
    found = Scores.from_file(folder / "theirs.h5").select(**thresholds)
    assert (0, 0) in {(p.train, p.test) for p in found}
    # at 4,000 models 4 standard errors are less than the threshold and take nothing away
    expected = Scores.from_file(folder / "ours.h5").select(memorization=0.25, influence=0.15, z=0)
    assert [(p.train, p.test, p.influence) for p in found] == [
        (p.train, p.test, p.influence) for p in expected
    ]
    with store.reading(folder / "theirs.h5", store.SCORES) as file:
        assert set(file["n_in"][:]) == {2800}
        assert set(file["n_out"][:]) == {1200}
        assert file["memorization_se"][:] == pytest.approx(0.01725, abs=1e-5)
        assert file.attrs["models"] == 4000


def test_the_matrix_is_read(matrix):
    folder, labels = matrix
    found = read_fz_matrix(folder / "fz.npz", *labels)
    assert found.memorization.value.shape == labels[0].shape
    assert [block.label for block in found.influence] == [0, 1, 2]
    for block, ours in zip(
        found.influence, Scores.from_file(folder / "ours.h5").influence, strict=True
    ):
        assert np.array_equal(block.influence, ours.influence)
        assert np.array_equal(block.train_index, ours.train_index)
        assert np.array_equal(block.test_index, ours.test_index)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("tr_mem", None, r"it has no 'tr_mem'"),
        ("infl_matrix_class2", None, r"it has no 'infl_matrix_class2'"),
        ("tr_mem", lambda a: a[1:], r"tr_mem is \(11,\), expected \(12,\)"),
        ("tt_labels", lambda a: a[1:], r"tt_labels is \(7,\), the images are \(8,\)"),
        ("tr_labels", np.roll, r"12 of 12 labels in tr_labels differ: .*original order"),
        ("infl_matrix_class1", np.transpose, r"infl_matrix_class1 is \(3, 4\), expected \(4, 3\)"),
        ("tr_classidx_0", lambda a: a + 10, r"tr_classidx_0 has 13, but indices go from 0 to 11"),
        ("tt_classidx_0", lambda a: a + 1, r"tt_classidx_0 has examples of other classes"),
    ],
)
def test_errors_name_the_problem_in_a_matrix(matrix, key, change, message):
    folder, labels = matrix
    with np.load(folder / "fz.npz") as file:
        arrays = dict(file)
    if change is None:
        del arrays[key]
    else:
        arrays[key] = change(arrays[key], 1) if change is np.roll else change(arrays[key])
    np.savez(folder / "broken.npz", **arrays)
    with pytest.raises(AuditError, match=rf"broken\.npz: {message}"):
        read_fz_matrix(folder / "broken.npz", *labels)


def write_run(path, rng, mask, train, test, **changes):
    """A run as F&Z keep it: every part in an order of its own."""
    inside, outside, every = (
        rng.permutation(index)
        for index in (np.flatnonzero(mask), np.flatnonzero(~mask), np.arange(len(test)))
    )
    arrays = {
        "index_train": inside,
        "correctness_train": train[inside],
        "index_removed": outside,
        "correctness_removed": train[outside].astype(np.float32),
        "index_test": every,
        "correctness_test": test[every].astype(np.int64),
        "subsample_idx": rng.permutation(inside),
    }
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return path


def test_runs_become_masks_and_correctness(tmp_path, rng):
    mask, train = rng.random((2, 3, 20)) < 0.7
    test = rng.random((3, 9)) < 0.5
    paths = [
        write_run(tmp_path / f"{i}.npz", rng, mask[i], train[i], test[i]) for i in range(len(mask))
    ]
    found = read_aux_arrays(paths, 20, 9)
    for one, other in zip(found, (mask, train, test), strict=True):
        assert one.dtype == bool
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index_test": None}, r"it has no 'index_test'"),
        ({"index_test": np.arange(8)}, r"index_test is \(8,\), correctness_test \(9,\)"),
        ({"index_test": np.zeros(9, int)}, r"index_test: example 0 occurs 9 times, not once"),
        ({"index_test": np.arange(1, 10)}, r"index_test has 9, but indices go from 0 to 8"),
        ({"correctness_test": np.full(9, 2)}, r"correctness_test has values that are neither"),
        (
            {"index_removed": np.empty(0, int), "correctness_removed": np.empty(0, bool)},
            r"index_train and index_removed: example \d+ occurs 0 times",
        ),
        ({"subsample_idx": np.arange(3)}, r"subsample_idx and index_train hold different"),
    ],
)
def test_errors_name_the_problem_in_a_run(tmp_path, rng, changes, message):
    mask, train = rng.random((2, 20)) < 0.7
    path = write_run(tmp_path / "run.npz", rng, mask, train, rng.random(9) < 0.5, **changes)
    with pytest.raises(AuditError, match=rf"run\.npz: {message}"):
        read_aux_arrays([path], 20, 9)


def test_cifair_is_read_in_order(tmp_path):
    rows = [(3, 9, 0), (1, 7, 2), (0, 7, 1)]
    path = cifair_file(tmp_path / "c.csv", rows)
    assert read_cifair(path) == rows
    judged = {(9, 3): True, (7, 1): False, (7, 0): True}  # training, test
    assert judged_by_cifair(path, ["exact", "near"]) == judged


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([], "TestID,TrainID,Distance", r"there is no column 'Judgment'"),
        ([(1, 2, 0), (1, 2, 3)], None, r"line 3: Judgment is '3'\. Download"),
        ([(1, "x", 0)], None, r"line 2: TrainID is 'x'"),
        ([(1, -1, 0)], None, r"line 2: TrainID is '-1'"),
    ],
)
def test_errors_name_the_problem_in_a_list(tmp_path, rows, header, message):
    path = cifair_file(tmp_path / "c.csv", rows, *([header] if header else []))
    with pytest.raises(AuditError, match=rf"c\.csv[:,] {message}"):
        read_cifair(path)
    with pytest.raises(AuditError, match=r"none\.csv: file not found"):
        read_cifair(tmp_path / "none.csv")


def test_agreement_counts_pairs_and_test_images():
    cifair = [(10, 1, 0), (11, 2, 1), (12, 3, 1), (13, 4, 2)]
    detected = [(1, 10, "exact"), (9, 11, "near"), (4, 13, "near"), (5, 14, "near")]
    pairs, tests = agreement(detected, cifair)
    assert (pairs.unit, pairs.both, pairs.only_cifair, pairs.only_finder) == ("pairs", 1, 2, 3)
    assert (tests.unit, tests.both, tests.only_cifair, tests.only_finder) == (
        "test images",
        2,
        1,
        2,
    )
    pairs, _ = agreement(detected, cifair, judgments=(0, 1, 2))
    assert (pairs.both, pairs.only_cifair, pairs.only_finder) == (2, 2, 2)
    assert agreement([], [])[0].both == 0


def test_cifair_takes_precedence_except_for_identical_pixels():
    found = [(1, 10, "exact"), (2, 11, "near"), (3, 12, "near"), (4, 13, "near")]
    cifair = [(10, 1, 0), (11, 2, 0), (12, 3, 2), (14, 5, 1)]
    assert with_cifair(found, cifair, ["exact", "near"]) == [
        Leak(1, 10, "exact", "rule"),
        Leak(2, 11, "one_picture", "published annotation"),
        Leak(4, 13, "near", "rule"),
        Leak(5, 14, "near", "published annotation"),
    ]


ANNOTATION = ROOT / "data" / "annotations" / "cifar100_fz_pairs.csv"


def annotation_file(path, rows):
    """An annotation of pairs (train, test, judgment, near_kind)."""
    lines = ["train,test,judge_a,judge_b,final,near_kind"]
    lines += [f"{i},{j},{word},{word},{word},{kind}" for i, j, word, kind in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


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


def test_memorization_of_all_examples_becomes_scores(tmp_path):
    pairs = read_fz_pairs(pair_file(tmp_path / "p.npz"), TRAIN_LABELS, TEST_LABELS)
    memorization = np.array([1.0, 0.25, 0.5, 0.75, 0.5, -0.125])
    np.save(tmp_path / "m.npy", memorization)
    scores = read_fz_memorization(tmp_path / "m.npy", pairs, TRAIN_LABELS, TEST_LABELS)
    scores.write(tmp_path / "scores.h5")
    found = Scores.from_file(tmp_path / "scores.h5")
    assert np.array_equal(found.memorization.value, memorization)
    chosen = found.select(memorization=0.25, influence=0.15, z=4)
    assert [(p.train, p.test) for p in chosen] == [(p.train, p.test) for p in pairs]
    for change, message in (
        (memorization[:4], r"float64 \(4,\), expected floats \(6,\)"),
        (memorization * 2, "outside -1 to 1"),
        (np.roll(memorization, 1), "the memorization of example 0 is -0.1250, in the published"),
    ):
        np.save(tmp_path / "m.npy", change)
        with pytest.raises(AuditError, match=message):
            read_fz_memorization(tmp_path / "m.npy", pairs, TRAIN_LABELS, TEST_LABELS)
    with pytest.raises(AuditError, match=r"not an \.npy file"):
        read_fz_memorization(tmp_path / "p.npz", pairs, TRAIN_LABELS, TEST_LABELS)


def test_published_memorization_is_that_of_the_published_pairs():
    labels = np.zeros(50_000, int), np.zeros(10_000, int)
    pairs = read_fz_pairs(real("fz_pairs"), *labels)
    value = read_fz_memorization(real("fz_memorization"), pairs, *labels).memorization.value
    assert (value >= 0.25).sum() == 18_099
    assert value.mean() == pytest.approx(0.275, abs=5e-4)
    assert all(value[pair.train] == pair.memorization for pair in pairs)


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


def test_the_published_pairs_are_read():
    """With labels made to fit; the thresholds are those that the file's name gives."""
    path = real("fz_pairs")
    with np.load(path) as file:
        train, test = file["tr_idx"], file["tt_idx"]
    labels = np.zeros(50_000, int), np.zeros(10_000, int)
    pairs = read_fz_pairs(path, *labels)
    assert {(p.train, p.test) for p in pairs} == set(zip(train, test, strict=True))
    assert min(p.influence for p in pairs) >= 0.15
    assert min(p.memorization for p in pairs) >= 0.25
    labels[0][train[0]] = 1
    apart = int((train == train[0]).sum())
    with pytest.raises(AuditError, match=f"{apart} of 1015 pairs join examples of two classes"):
        read_fz_pairs(path, *labels)


def test_the_published_list_is_read():
    rows = read_cifair(real("cifair100"))
    judgments = [judgment for _, _, judgment in rows]
    assert len(rows) == len({test for test, _, _ in rows}) == 891
    assert [judgments.count(kind) for kind in (cifair.EXACT, cifair.NEAR)] == [39, 582]
