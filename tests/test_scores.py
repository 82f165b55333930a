"""The subset estimator: by hand, against exact values, and against F&Z's formula."""

import warnings

import numpy as np
import pytest

from memaudit import bits, store
from memaudit.errors import AuditError
from memaudit.models.removals import subset_mask
from memaudit.scores import all_pairs, counting
from memaudit.scores import estimate as scores
from memaudit.scores.facade import Scores, study_scores

# Five models, three training examples of one class, two test examples.
MASK = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 0, 1]], dtype=bool)
TRAIN = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=bool)
TEST = np.array([[1, 0], [1, 0], [0, 1], [1, 1], [0, 1]], dtype=bool)


def test_five_models_by_hand():
    found = scores.memorization(MASK, TRAIN)
    # example 0: in models 0, 1, 3 right 3/3; out of 2, 4 right 1/2
    # example 1: in models 0, 2 right 2/2; out of 1, 3, 4 right 1/3
    # example 2: in models 1, 2, 4 right 2/3; out of 0, 3 right 0/2
    assert found.value == pytest.approx([0.5, 2 / 3, 2 / 3], abs=1e-6)
    assert found.n_in.tolist() == [3, 2, 3]
    assert found.n_out.tolist() == [2, 3, 2]
    # example 0: (3 + 1) / (3 + 2) = 0.8 in, (1 + 1) / (2 + 2) = 0.5 out
    assert found.se[0] == pytest.approx(np.sqrt(0.8 * 0.2 / 5 + 0.5 * 0.5 / 4), abs=1e-6)
    (block,) = scores.influence_blocks(MASK, TEST, np.zeros(3, int), np.zeros(2, int))
    by_hand = [[1 - 0, 1 / 3 - 1], [1 / 2 - 2 / 3, 1 / 2 - 2 / 3], [1 / 3 - 1, 2 / 3 - 1 / 2]]
    assert block.influence == pytest.approx(np.array(by_hand), abs=1e-6)


def test_an_example_in_all_subsets_has_no_influence():
    mask = MASK.copy()
    mask[:, 1] = True
    found = scores.memorization(mask, TRAIN)
    (block,) = scores.influence_blocks(mask, TEST, np.zeros(3, int), np.zeros(2, int))
    for values in (found.value, found.se, block.influence[:, 0], block.influence_se[:, 0]):
        assert np.isnan(values).tolist() == [False, True, False]


def nearest_neighbour(n: int = 60, seed: int = 0):
    """Return labels of points in the plane, some flipped, and the distances between the points."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    examples = rng.normal(size=(n, 2)) + 2.5 * np.stack([np.cos(labels), np.sin(labels)], 1)
    flipped = rng.random(n) < 0.15
    labels[flipped] = (labels[flipped] + 1) % 3
    distance = np.linalg.norm(examples[:, None] - examples, axis=2)
    return labels, distance


def run_subsets(labels, distance, models, fraction):
    """Train a 1-nearest-neighbour classifier on each subset; masks and correctness."""
    mask = np.array([subset_mask(len(labels), i, fraction, seed=1) for i in range(models)])
    nearest = np.array([np.where(m, distance, np.inf).argmin(axis=1) for m in mask])
    return mask, labels[nearest] == labels


def test_against_exact_leave_one_out():
    """With 95% subsets, the estimate is leave-one-out memorization up to a bias of 0.05.

    Leave-one-out memorization of a 1-nearest-neighbour classifier is 1 where the nearest other
    example has another label: retrain n times and look.
    """
    labels, distance = nearest_neighbour()
    n = len(labels)
    exact = np.empty(n)
    for example in range(n):
        others = np.arange(n) != example
        nearest = np.where(others, distance[example], np.inf).argmin()
        exact[example] = 1.0 - (labels[nearest] == labels[example])
    assert 0.1 < exact.mean() < 0.9
    mask, correct = run_subsets(labels, distance, 2000, 0.95)
    found = scores.memorization(mask, correct)
    assert (np.abs(found.value - exact) <= 4 * found.se + 0.05).all()


def test_against_the_exact_subset_value():
    """The estimate is the expectation over 70% subsets, in closed form, within standard errors.

    With i left out, the neighbours are tried in order; each is in the subset with the chance that
    drawing without replacement gives. Over 60 examples the z-scores have mean 0 and sd 1.
    """
    labels, distance = nearest_neighbour()
    n = len(labels)
    out = 3 * n // 10
    exact = np.empty(n)
    for example in range(n):
        order = np.argsort(distance[example])[1:]
        right, none_so_far = 0.0, 1.0
        for rank, other in enumerate(order):
            still_out = max(out - 1 - rank, 0) / (n - 1 - rank)
            right += none_so_far * (1 - still_out) * (labels[other] == labels[example])
            none_so_far *= still_out
        exact[example] = 1 - right
    mask, correct = run_subsets(labels, distance, 1000, 0.7)
    found = scores.memorization(mask, correct)
    z = (found.value - exact) / found.se
    assert np.abs(z).max() < 4
    assert abs(z.mean()) < 0.5
    assert 0.5 < z.std() < 1.3


def test_influence_blocks_follow_the_formula(rng):
    k, n, m, classes = 50, 40, 30, 3
    mask = rng.random((k, n)) < 0.7
    test = rng.random((k, m)) < 0.6
    train_labels, test_labels = rng.integers(0, classes, n), rng.integers(0, classes, m)
    inside, right = mask.astype(float), test.astype(float)
    both = inside.T @ right / inside.sum(0)[:, None]
    without = (1 - inside).T @ right / (1 - inside).sum(0)[:, None]
    seen = 0
    for block in scores.influence_blocks(mask, test, train_labels, test_labels):
        expected = (both - without)[np.ix_(block.train_index, block.test_index)]
        assert block.influence == pytest.approx(expected, abs=1e-6)
        seen += block.influence.size
    assert seen == (train_labels[:, None] == test_labels).sum()


def published(mask, test):
    """Compute the influence (n_train, n_test) as F&Z do, in float64."""
    inside, right = mask.astype(float), test.astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        both = inside.T @ right / inside.sum(0)[:, None]
        return both - (1 - inside).T @ right / (1 - inside).sum(0)[:, None]


def test_packed_bits_give_the_same_as_booleans(rng):
    k, n, m = 300, 37, 21
    mask, train, test = (rng.random((k, width)) < 0.6 for width in (n, n, m))
    labels = rng.integers(0, 3, n), rng.integers(0, 3, m)
    ours, theirs = (
        scores.memorization(mask, train),
        scores.memorization(bits.pack(mask), bits.pack(train), n),
    )
    for name in ("value", "se", "n_in", "n_out"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    assert ours.n_in.tolist() == mask.sum(axis=0).tolist()
    of_bits = scores.influence_blocks(bits.pack(mask), bits.pack(test), *labels)
    for block, other in zip(scores.influence_blocks(mask, test, *labels), of_bits, strict=True):
        assert np.array_equal(block.influence, other.influence)
        assert np.array_equal(block.influence_se, other.influence_se)


@pytest.mark.parametrize("models", [1, 4095, 4096, 9000])
def test_two_counts_per_float_are_exact(models, rng):
    """All ones give the largest counts; at 4,095 the upper twelve bits are full."""
    inside, right = rng.random((models, 33)) < 0.9, rng.random((models, 5)) < 0.9
    inside[:, :2], right[:, :4] = True, True
    found = counting.counts(inside, right)
    assert np.array_equal(found, inside.astype(float).T @ right.astype(float))
    assert found[0].tolist()[:4] == [models] * 4


@pytest.mark.parametrize("packed", [False, True])
def test_all_pairs_follow_the_formula(packed, rng):
    k, n, m = 40, 1100, 13  # more training examples than are computed at a time
    mask, test = rng.random((k, n)) < 0.7, rng.random((k, m)) < 0.6
    mask[:, 3], mask[:, 4] = True, False
    expected = published(mask, test)
    given = (bits.pack(mask), bits.pack(test)) if packed else (mask, test)
    found = np.concatenate([x.copy() for x in all_pairs.influence_rows(*given, n, m)])
    assert np.isnan(found[3:5]).all()
    assert np.nanmax(np.abs(found - expected)) < 1e-6
    assert not np.isnan(np.delete(found, [3, 4], axis=0)).any()
    with pytest.raises(ValueError, match="packed bits"):
        next(all_pairs.influence_rows(mask[:, :5], test, n, m))


def test_standard_errors_follow_from_the_file_of_all_pairs(tmp_path, rng):
    k, n, m = 50, 30, 20
    mask, test = rng.random((k, n)) < 0.7, rng.random((k, m)) < 0.6
    labels = rng.integers(0, 3, n), rng.integers(0, 3, m)
    path, lines = tmp_path / "pairs.h5", []
    all_pairs.write_all_pairs(path, mask, test, *labels, report=lines.append)
    assert lines == ["influence of 30 of 30 examples on all 20 test examples"]
    with store.reading(path, store.ALL_PAIRS) as file:
        assert file.attrs["models"] == k
        influence, se = all_pairs.read_pairs(file, slice(0, n))
        some, some_se = all_pairs.read_pairs(file, slice(7, 9))
    assert np.array_equal(some, influence[7:9])
    assert np.array_equal(some_se, se[7:9])
    assert influence == pytest.approx(published(mask, test), abs=1e-6)
    for block in scores.influence_blocks(mask, test, *labels):
        pairs = np.ix_(block.train_index, block.test_index)
        assert influence[pairs] == pytest.approx(block.influence, abs=1e-6)
        assert se[pairs] == pytest.approx(block.influence_se, abs=1e-6)
    again = tmp_path / "again.h5"
    all_pairs.write_all_pairs(again, bits.pack(mask), bits.pack(test), *labels)
    assert again.read_bytes() == path.read_bytes()


def test_all_pairs_on_the_gpu(rng):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    k, n, m = 4200, 1100, 300
    mask, test = rng.random((k, n)) < 0.7, rng.random((k, m)) < 0.6
    here, there = (
        np.concatenate([x.copy() for x in all_pairs.influence_rows(mask, test, n, m, device)])
        for device in ("cpu", "cuda:0")
    )
    assert here == pytest.approx(there, abs=1e-6)


def test_an_example_in_all_subsets_has_no_memorization():
    found = scores.memorization(np.array([[True, True], [True, False]]), np.ones((2, 2), bool))
    assert np.isnan(found.value[0])
    assert found.value[1] == 0


def test_inconsistent_shapes_are_errors():
    with pytest.raises(ValueError, match="must both be"):
        scores.memorization(MASK, TRAIN[:, :2])
    with pytest.raises(ValueError, match="n_train"):
        next(scores.influence_blocks(MASK, TEST[:3], np.zeros(3, int), np.zeros(2, int)))


def test_scores_are_exported_with_the_published_keys(tmp_path, rng):
    k, n, m = 30, 20, 12
    mask, train, test = (rng.random((k, width)) < 0.6 for width in (n, n, m))
    labels = rng.integers(0, 3, n), rng.integers(0, 3, m)
    Scores.from_arrays(mask, train, test, *labels).write(tmp_path / "scores.h5")
    read = Scores.from_file(tmp_path / "scores.h5")
    assert read.memorization.value == pytest.approx(
        scores.memorization(mask, train).value, abs=1e-6
    )
    blocks = read.influence
    assert [block.label for block in blocks] == [0, 1, 2]
    read.export_fz(tmp_path / "fz.npz")
    with np.load(tmp_path / "fz.npz", allow_pickle=False) as exported:
        assert set(exported) == {"tr_labels", "tt_labels", "tr_mem"} | {
            f"{key}{c}"
            for key in ("infl_matrix_class", "tr_classidx_", "tt_classidx_")
            for c in range(3)
        }
        for block in blocks:
            assert np.array_equal(exported[f"infl_matrix_class{block.label}"], block.influence)
            assert np.array_equal(exported[f"tt_classidx_{block.label}"], block.test_index)


def random_study(rng, k=60, n=20, m=12):
    """Masks, correctness and labels (two classes); test example j depends on training example j."""
    mask = rng.random((k, n)) < 0.7
    test = mask[:, :m] | (rng.random((k, m)) < 0.2)
    labels = np.arange(n) % 2, np.arange(m) % 2
    return mask, rng.random((k, n)) < 0.6, test, *labels


def test_scores_are_differences_of_means_to_1e_12(rng):
    """Memorization against F&Z's formula in float64."""
    mask, train, *rest = random_study(rng)
    found = Scores.from_arrays(mask, train, *rest).memorization.value
    formula = [train[m, i].mean() - train[~m, i].mean() for i, m in enumerate(mask.T)]
    assert found == pytest.approx(np.array(formula), abs=1e-12)


def test_difference_is_the_direct_computation_to_1e_6(rng):
    """Scores, standard errors and selected pairs, pair by pair, in plain Python."""
    mask, train, test, train_labels, test_labels = arrays = random_study(rng)
    found = Scores.estimate("difference", *arrays)

    def direct(inside, right):
        groups = [right[inside], right[~inside]]
        shares = [(group.sum() + 1) / (len(group) + 2) for group in groups]
        errors = [p * (1 - p) / (len(g) + 2) for p, g in zip(shares, groups, strict=True)]
        return groups[0].mean() - groups[1].mean(), sum(errors) ** 0.5

    memorization = [direct(mask[:, i], train[:, i]) for i in range(len(train_labels))]
    ours = np.column_stack([found.memorization.value, found.memorization.se])
    assert ours == pytest.approx(np.array(memorization), abs=1e-6)
    selected = []
    for block in found.influence:
        for a, i in enumerate(block.train_index):
            for b, j in enumerate(block.test_index):
                value, se = direct(mask[:, i], test[:, j])
                assert train_labels[i] == test_labels[j]
                assert block.influence[a, b] == pytest.approx(value, abs=1e-6)
                assert block.influence_se[a, b] == pytest.approx(se, abs=1e-6)
                if memorization[i][0] >= -0.1 and value >= 0.15 and value > 4 * se:
                    selected.append((i, j))
    pairs = [(pair.train, pair.test) for pair in found.select(memorization=-0.1)]
    assert pairs == sorted(selected)
    assert len(pairs) > 3


def test_scores_convert_to_data_frames(rng):
    found = Scores.from_arrays(*random_study(rng))
    table = found.memorization.to_frame()
    assert list(table) == ["memorization", "memorization_se", "n_in", "n_out"]
    assert table.index.name == "example" and (table.memorization == found.memorization.value).all()
    every = found.influence.to_frame()
    assert list(every) == ["train", "test", "label", "influence", "influence_se", "z"]
    assert len(every) == 2 * 10 * 6
    pairs = found.select(memorization=-1, influence=0.3, z=2)
    assert 0 < len(pairs.to_frame()) == len(pairs)
    both = pairs.to_frame().merge(every, on=["train", "test"], suffixes=("", "_all"))
    assert (both.influence == both.influence_all.astype(float)).all()
    assert list(found.select(z=1e9).to_frame()) == list(pairs.to_frame())


def test_scores_survive_the_round_trip(rng, tmp_path):
    written = Scores.from_arrays(*random_study(rng))
    written.write(tmp_path / "scores.h5")
    read = Scores.from_file(tmp_path / "scores.h5")
    assert read.memorization.value == pytest.approx(written.memorization.value, abs=1e-7)
    assert (read.train_labels == written.train_labels).all()
    for one, other in zip(read.influence, written.influence, strict=True):
        assert one.label == other.label and (one.influence == other.influence).all()
    with store.reading(tmp_path / "scores.h5", store.SCORES) as file:
        assert file.attrs["models"] == 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": 2 * MASK}, r"mask has 8 values other than 0 and 1, the first 2 \(model 0, exam"),
        ({"test_correct": np.where(TEST, 1, np.nan)}, "test_correct has 4 values .* first nan"),
        ({"mask": np.ma.masked_equal(MASK, 0)}, "mask has masked entries"),
        ({"mask": MASK.astype(str)}, "mask is <U5; it must be bool"),
        ({"train_labels": [0, 0]}, r"mask has the shape \(5, 3\); for 2 labels it must be"),
        ({"train_labels": []}, "train_labels is empty"),
        ({"test_labels": [0]}, r"test_correct has the shape \(5, 2\)"),
        ({"test_correct": TEST[:4]}, "mask has 5 models, test_correct 4"),
    ],
)
def test_errors_name_the_array_that_does_not_fit(change, message):
    arrays = {"mask": MASK, "train_correct": TRAIN, "test_correct": TEST}
    arrays |= {"train_labels": [0, 0, 0], "test_labels": [0, 0]} | change
    with pytest.raises(ValueError, match=message):
        Scores.from_arrays(**arrays)


def test_an_inverted_mask_is_noticed(rng):
    mask, *outputs = random_study(rng)
    outputs[0] = mask.copy()  # right on what a model was trained on, wrong on the rest
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Scores.from_arrays(mask, *outputs)
    with pytest.warns(UserWarning, match=r"mean memorization is -1\.00: .* Is mask True where"):
        Scores.from_arrays(~mask, *outputs)


def test_zeros_and_ones_of_any_dtype_are_taken_for_booleans():
    labels = [0, 0, 0], [0, 0]
    wanted = Scores.from_arrays(MASK, TRAIN, TEST, *labels)
    for dtype in (np.int64, np.float32, np.uint8):
        found = Scores.from_arrays(MASK.astype(dtype), TRAIN, TEST.astype(dtype), *labels)
        assert np.array_equal(found.memorization.value, wanted.memorization.value, equal_nan=True)
        assert np.array_equal(found.influence[0].influence, wanted.influence[0].influence)


def test_one_column_of_ones_is_not_taken_for_bits():
    one = Scores.from_arrays(MASK, TRAIN, TEST[:, :1].astype(np.uint8), [0, 0, 0], [0])
    wanted = Scores.from_arrays(MASK, TRAIN, TEST[:, :1], [0, 0, 0], [0])
    assert np.array_equal(one.influence[0].influence, wanted.influence[0].influence)


def test_scores_that_cannot_be_estimated_are_said():
    mask = np.column_stack([MASK, np.ones(5, dtype=bool)])
    right = np.column_stack([TRAIN, MASK[:, 0]])
    with pytest.warns(UserWarning) as caught:
        Scores.from_arrays(mask, right, TEST, [0, 0, 0, 1], [2, 2])
    said = [str(warning.message) for warning in caught]
    assert len(said) == 2 and said[0].startswith("1 examples have no score")
    assert said[1].startswith("no test example has the class") and __file__ in caught[0].filename


@pytest.mark.parametrize(
    "wrong", [{"memorization": 25}, {"z": float("nan")}, {"z": -1}, {"influence": "1"}]
)
def test_thresholds_out_of_range_are_refused(wrong, rng):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} = .*: must be a number from"):
        Scores.from_arrays(*random_study(rng)).select(**wrong)


def test_a_file_of_the_users_own_is_not_to_be_deleted(tmp_path):
    np.savez(tmp_path / "my.npz", a=np.zeros(3))
    with pytest.raises(AuditError, match=r"Scores\.write or a study wrote") as caught:
        Scores.from_file(tmp_path / "my.npz")
    assert "rm -f" not in str(caught.value)
    with pytest.raises(AuditError, match="rm -f"):
        study_scores(tmp_path / "my.npz")
