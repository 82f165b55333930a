"""Feldman and Zhang's files: pairs, memorization, the influence matrix, single runs."""

import numpy as np
import pytest
from published_files import TEST_LABELS, TRAIN_LABELS, pair_file, real

from memaudit import store
from memaudit.errors import AuditError
from memaudit.published.feldman_zhang import (
    read_aux_arrays,
    read_fz_matrix,
    read_fz_memorization,
    read_fz_pairs,
)
from memaudit.scores.facade import Scores
from memaudit.scores.selection import Pair
from memaudit.tables import read_rows, write_rows


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
        (
            {"mem": np.array([None] * 5)},
            r"not a file of numpy arrays, or damaged \(no arrays in it\)\. Download the published",
        ),
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
