"""Published files: of the same form, made here, and the real ones where they are at hand."""

import csv

import numpy as np
import pytest
from conftest import ROOT, supplied

from memaudit import store
from memaudit.data.fetch import read_sources
from memaudit.errors import AuditError
from memaudit.published import cifair
from memaudit.published.cifair import agreement, read_cifair
from memaudit.published.counts import published_counts, write_counts
from memaudit.published.feldman_zhang import (
    read_aux_arrays,
    read_fz_matrix,
    read_fz_pairs,
    write_fz_scores,
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
    """Five pairs of five training examples: 0 and 2 share test example 0, 1 and 3 share test example 1."""
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
        ({"infl": np.zeros(4)}, r"not of one length: tr_idx \(5,\), tt_idx \(5,\), infl \(4,\)"),
        ({"tr_idx": np.array([2, 0, 1, 3, 6])}, r"tr_idx has 6, but indices go from 0 to 5"),
        ({"tt_idx": np.array([0, 0, 1, 1, -1])}, r"tt_idx has -1, but indices go from 0 to 3"),
        ({"tr_idx": np.arange(5.0)}, r"must be whole numbers"),
        (
            {"tt_idx": np.array([1, 0, 0, 1, 2])},
            r"2 of 5 pairs join examples of two classes: the images are not in CIFAR-100's original",
        ),
        ({"mem": np.array([None] * 5)}, r"not an \.npz file, or a broken one"),
    ],
)
def test_what_is_wrong_with_pairs_is_named(tmp_path, changes, message):
    path = pair_file(tmp_path / "p.npz", **changes)
    with pytest.raises(AuditError, match=rf"p\.npz: .*{message}"):
        read_fz_pairs(path, TRAIN_LABELS, TEST_LABELS)


def test_what_is_no_npz_is_named(tmp_path):
    path = pair_file(tmp_path / "p.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    contents = [path.read_bytes()[:-30], b"", b"<html>", (tmp_path / "array.npy").read_bytes()]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(AuditError, match=r"p\.npz: not an \.npz file, or a broken one"):
            read_fz_pairs(path, TRAIN_LABELS, TEST_LABELS)
    with pytest.raises(AuditError, match=r"none\.npz: there is no such file"):
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
    write_fz_scores(folder / "fz.npz", folder / "theirs.h5", *labels)
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
        assert "upper bound" in file.attrs["standard_errors"]


def test_the_matrix_itself(matrix):
    folder, labels = matrix
    memorization, blocks = read_fz_matrix(folder / "fz.npz", *labels)
    assert memorization.shape == labels[0].shape
    assert [block.label for block in blocks] == [0, 1, 2]
    for block, ours in zip(blocks, Scores.from_file(folder / "ours.h5").influence, strict=True):
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
        ("tr_labels", np.roll, r"12 of 12 labels in tr_labels are others: .*original order"),
        ("infl_matrix_class1", np.transpose, r"infl_matrix_class1 is \(3, 4\), expected \(4, 3\)"),
        ("tr_classidx_0", lambda a: a + 10, r"tr_classidx_0 has 13, but indices go from 0 to 11"),
        ("tt_classidx_0", lambda a: a + 1, r"tt_classidx_0 has examples of other classes"),
    ],
)
def test_what_is_wrong_with_a_matrix_is_named(matrix, key, change, message):
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
        ({"index_test": np.zeros(9, int)}, r"index_test: example 0 is there 9 times, not once"),
        ({"index_test": np.arange(1, 10)}, r"index_test has 9, but indices go from 0 to 8"),
        ({"correctness_test": np.full(9, 2)}, r"correctness_test has values that are neither"),
        (
            {"index_removed": np.empty(0, int), "correctness_removed": np.empty(0, bool)},
            r"index_train and index_removed: example \d+ is there 0 times",
        ),
        ({"subsample_idx": np.arange(3)}, r"subsample_idx and index_train are not the same"),
    ],
)
def test_what_is_wrong_with_a_run_is_named(tmp_path, rng, changes, message):
    mask, train = rng.random((2, 20)) < 0.7
    path = write_run(tmp_path / "run.npz", rng, mask, train, rng.random(9) < 0.5, **changes)
    with pytest.raises(AuditError, match=rf"run\.npz: {message}"):
        read_aux_arrays([path], 20, 9)


def test_cifair_is_read_in_its_order(tmp_path):
    rows = [(3, 9, 0), (1, 7, 2), (0, 7, 1)]
    assert read_cifair(cifair_file(tmp_path / "c.csv", rows)) == rows


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([], "TestID,TrainID,Distance", r"there is no column Judgment"),
        ([(1, 2, 0), (1, 2, 3)], None, r"line 3: Judgment is 3, not 0, 1 or 2"),
        ([(1, "x", 0)], None, r"line 2: TrainID is 'x'"),
        ([(1, -1, 0)], None, r"line 2: TrainID is '-1'"),
    ],
)
def test_what_is_wrong_with_a_list_is_named(tmp_path, rows, header, message):
    path = cifair_file(tmp_path / "c.csv", rows, *([header] if header else []))
    with pytest.raises(AuditError, match=rf"c\.csv: {message}"):
        read_cifair(path)
    with pytest.raises(AuditError, match=r"none\.csv: cannot be read"):
        read_cifair(tmp_path / "none.csv")


def test_agreement_counts_pairs_and_test_images():
    cifair = [(10, 1, 0), (11, 2, 1), (12, 3, 1), (13, 4, 2)]
    detected = [(1, 10, "exact"), (9, 11, "near"), (4, 13, "near"), (5, 14, "near")]
    pairs, tests = agreement(detected, cifair)
    assert (pairs.unit, pairs.both, pairs.only_cifair, pairs.only_detector) == ("pairs", 1, 2, 3)
    assert (tests.unit, tests.both, tests.only_cifair, tests.only_detector) == (
        "test images",
        2,
        1,
        2,
    )
    pairs, _ = agreement(detected, cifair, judgments=(0, 1, 2))
    assert (pairs.both, pairs.only_cifair, pairs.only_detector) == (2, 2, 2)
    assert agreement([], [])[0].both == 0


def test_counts_by_hand(tmp_path):
    pairs = pair_file(tmp_path / "p.npz")
    cifair = cifair_file(tmp_path / "c.csv", [(8, 0, 1), (9, 0, 0), (7, 4, 2), (6, 99, 0)])
    rows = published_counts(pairs, cifair, n_test=4)
    by_hand = {
        "pairs of a train and a test example": 5,
        "memorized training examples": 5,
        "influenced test examples": 3,
        "training examples with a duplicate in the test set": 2,
        "of these exact": 1,
        "of these near": 0,
        "of these very similar": 1,
        "test examples influenced by two training examples or more": 2,
        "training examples that share a test example": 4,
        "pairs of a shared test example": 4,
        "training examples in either": 5,
        "training examples in neither": 0,
        "mean memorization of all": 0.6,
        "mean memorization of the duplicate-linked": 0.75,
        "mean memorization of the rest": 0.5,
        "mean memorization of those in either": 0.6,
        "mean memorization of those in neither": float("nan"),
        "drop of test accuracy, percentage points": 50,
    }
    assert {row.quantity: row.files_say for row in rows} == pytest.approx(by_hand, nan_ok=True)
    write_counts(rows, tmp_path / "counts.csv")
    with open(tmp_path / "counts.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == ["quantity", "paper_says", "files_say", "note"]
    assert (read[1]["paper_says"], read[1]["files_say"]) == ("1015", "5")
    assert (read[2]["paper_says"], read[12]["files_say"]) == ("", "0.6")


def test_the_published_files_say():
    """Counted by hand from the published files, beside what the paper reports."""
    rows = published_counts(real("fz_pairs"), real("cifair100"))
    found = {row.quantity: (row.paper_says, row.files_say) for row in rows}
    assert found == {
        "pairs of a train and a test example": (None, 1015),
        "memorized training examples": (1015, 964),
        "influenced test examples": (None, 888),
        "training examples with a duplicate in the test set": (277, 97),
        "of these exact": (119, 4),
        "of these near": (158, 74),
        "of these very similar": (None, 19),
        "test examples influenced by two training examples or more": (None, 114),
        "training examples that share a test example": (239, 233),
        "pairs of a shared test example": (None, 241),
        "training examples in either": (516, 325),
        "training examples in neither": (499, 639),
        "mean memorization of all": (None, pytest.approx(0.796, abs=5e-4)),
        "mean memorization of the duplicate-linked": (None, pytest.approx(0.62, abs=5e-3)),
        "mean memorization of the rest": (None, pytest.approx(0.82, abs=5e-3)),
        "mean memorization of those in either": (0.74, pytest.approx(0.761, abs=5e-4)),
        "mean memorization of those in neither": (0.83, pytest.approx(0.814, abs=5e-4)),
        "drop of test accuracy, percentage points": (2.54, pytest.approx(2.66, abs=5e-3)),
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
