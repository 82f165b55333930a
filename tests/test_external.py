"""Judging other methods: cases computed by hand, a world that is linear, published C-scores."""

import numpy as np
import pytest
from conftest import supplied
from scipy.stats import spearmanr

from memaudit import Scores, bits, judge_attributions, judge_scores
from memaudit.errors import AuditError
from memaudit.models.removals import subset_mask
from memaudit.scores.estimate import Influence, InfluenceBlock
from memaudit.scores.external import (
    _mean,
    _overlap,
    _rank_correlations,
    read_external,
    top_examples,
)

TRAIN, TEST, MODELS = 60, 30, 100
LABELS = np.arange(TRAIN) % 2, np.arange(TEST) % 2


@pytest.fixture(scope="module")
def linear():
    """Return masks, outputs that are linear in them but for noise, and the coefficients."""
    rng = np.random.default_rng(0)
    mask = np.array([subset_mask(TRAIN, model, 0.7, 0) for model in range(MODELS)])
    true = np.zeros((TRAIN, TEST))
    for test in range(TEST):
        same_class = np.flatnonzero(LABELS[0] == LABELS[1][test])
        true[rng.permutation(same_class)[:4], test] = rng.uniform(1, 2, 4) * rng.choice((-1, 1), 4)
    output = (mask - 0.7) @ true + 0.1 * rng.normal(size=(MODELS, TEST))
    return mask, output, true


def judged(mask, output, attributions):
    rows = judge_attributions(mask, output, *LABELS, attributions)
    return {(row.score, row.quantity): row for row in rows}


def test_the_true_datamodel_predicts_and_noise_does_not(linear):
    mask, output, true = linear
    noise = np.random.default_rng(1).normal(size=true.shape)
    found = judged(mask, output, {"true": true, "opposite": -true, "noise": noise})
    assert found["true", "lds"].value > 0.95
    assert found["opposite", "lds"].value == pytest.approx(-found["true", "lds"].value)
    assert abs(found["noise", "lds"].value) < 0.1
    assert found["noise", "lds"].low < 0 < found["noise", "lds"].high
    ours = found["margins", "lds"]
    assert 0.5 < found["difference", "lds"].value < ours.value < found["true", "lds"].value
    less = found["true", "lds_minus_margins"]
    assert less.value == pytest.approx(found["true", "lds"].value - ours.value)
    assert 0 < less.low < less.high


def test_the_scores_are_those_of_the_definition(linear):
    """Spearman in each fold; this study's influence is estimated from the other folds."""
    mask, output, true = linear
    expected = {"a": [], "margins": [], "difference": []}
    for tested in np.split(np.arange(MODELS), 5):
        rest = np.setdiff1d(np.arange(MODELS), tested)
        matrices = {"a": true}
        for name, known in (("margins", output), ("difference", output > 0)):
            filler = known[:, :1].repeat(TRAIN, axis=1)[rest]
            scores = Scores.estimate(name, mask[rest], filler, known[rest], *LABELS)
            matrices[name] = np.zeros((TRAIN, TEST))
            for block in scores.influence:
                matrices[name][np.ix_(block.train_index, block.test_index)] = block.influence
        for name, matrix in matrices.items():
            both = zip((mask[tested] @ matrix).T, output[tested].T, strict=True)
            expected[name] += [spearmanr(*pair).statistic for pair in both]
    found = judged(mask, output, {"a": true})
    for name, values in expected.items():
        assert found[name, "lds"].value == pytest.approx(np.mean(values), abs=1e-3)


def test_this_studys_influence_does_not_see_the_models_it_predicts():
    """Outputs without any structure are fitted on the other folds, so nothing is predicted."""
    rng = np.random.default_rng(3)
    mask = np.array([subset_mask(TRAIN, model, 0.7, 3) for model in range(MODELS)])
    found = judged(mask, rng.normal(size=(MODELS, TEST)), {})
    for row in found.values():
        assert abs(row.value) < 0.12


def test_attributions_within_classes_and_packed_masks_give_the_same(linear):
    mask, output, true = linear
    blocks = Influence(
        InfluenceBlock(c, train, test, true[np.ix_(train, test)], true[np.ix_(train, test)])
        for c in (0, 1)
        for train, test in [(np.flatnonzero(LABELS[0] == c), np.flatnonzero(LABELS[1] == c))]
    )
    one = judged(mask, output, {"a": true})
    two = judged(bits.pack(mask), output, {"a": blocks})
    assert two["a", "lds"].value == pytest.approx(one["a", "lds"].value)
    of_bits = judged(mask, output > 0, {"a": true})
    assert [name for name, quantity in of_bits if quantity == "lds"] == ["difference", "a"]
    assert ("a", "lds_minus_difference") in of_bits


def test_rank_correlations_with_ties_and_constants():
    rng = np.random.default_rng(2)
    actual, predicted = (rng.integers(0, 4, (12, 5)).astype(float) for _ in range(2))
    expected = [spearmanr(actual[:, j], predicted[:, j]).statistic for j in range(5)]
    assert _rank_correlations(actual, predicted) == pytest.approx(expected)
    actual[:, 0], predicted[:, 1] = 1, 1
    found = _rank_correlations(actual, predicted)
    assert np.isnan(found[0])
    assert found[1] == 0


def test_intervals_cover_the_mean_over_folds_and_test_examples():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        values = rng.normal(size=(5, 1)) + 3 * rng.normal(size=(1, 40)) + rng.normal(size=(5, 40))
        _, low, high = _mean(values)
        covered.append(low < 0 < high)
    assert 0.93 <= np.mean(covered) <= 0.995


def test_scores_of_examples_are_compared_by_hand():
    memorization = np.array([0.9, 0.5, 0.3, 0.1, 0.0, np.nan])
    score = np.array([1.0, 3.0, 2.0, 4.0, 5.0, 0.0])
    correlation, overlap = judge_scores(memorization, {"ease": score})
    assert correlation.value == pytest.approx(-0.9)
    assert (overlap.value, overlap.chance, overlap.examples) == (1.0, 0.6, 5)
    assert _overlap(np.array([3.0, 1.0, 2.0]), np.array([True, True, False])) == 0.5
    # two of the four tied examples are taken, and half of the tied are memorized
    tied = _overlap(np.array([9.0, 5, 5, 5, 5]), np.array([True, True, True, False, False]))
    assert tied == pytest.approx((1 + 2 * 2 / 4) / 3)
    assert np.isnan(_overlap(np.arange(3.0), np.zeros(3, bool)))


def test_top_examples_of_scores_and_attributions():
    memorization = np.array([0.9, 0.5, 0.1, 0.0])
    assert top_examples(np.array([0.1, np.nan, 0.8, 0.9]), memorization, 2) == [0, 2]
    matrix = np.array([[0.0, 0.2], [0.7, -1], [np.nan, 0.1], [-3, 0.0]])
    assert top_examples(matrix, memorization, 2) == [0, 1]
    index = np.arange(4), np.arange(2)
    within = Influence([InfluenceBlock(0, *index, matrix, matrix)])
    assert top_examples(within, memorization, 2) == [0, 1]


def test_files_are_read_and_checked(tmp_path, linear):
    labels, path = LABELS, tmp_path / "scores.npz"
    values = np.arange(TRAIN) / 7
    np.savez(path, scores=values, labels=labels[0], other=values)
    assert np.array_equal(read_external(path, *labels), values)
    np.save(tmp_path / "matrix.npy", linear[2])
    assert read_external(tmp_path / "matrix.npy", *labels).shape == (TRAIN, TEST)
    mask, output, _ = linear
    scores = Scores.from_arrays(mask, mask, output > 0, *labels)
    scores.export_fz(tmp_path / "fz.npz")
    blocks = read_external(tmp_path / "fz.npz", *labels)
    assert np.array_equal(blocks[1].influence, scores.influence[1].influence)
    for arrays, problem in (
        ({"scores": values, "labels": 1 - labels[0]}, "labels are not those"),
        ({"scores": values[1:]}, r"float64 \(59,\); expected numbers of shape \(60,\)"),
        ({"a": values, "b": values}, "no array `scores`"),
        ({"scores": np.where(values > 3, np.inf, values)}, "infinite"),
        ({"scores": linear[2].T}, "training x test"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(AuditError, match=problem):
            read_external(path, *labels)
    (tmp_path / "scores.csv").write_text("example,score\n0,1\n")
    with pytest.raises(
        AuditError, match=r"scores\.csv: not a file .*Give an \.npy or \.npz"
    ) as caught:
        read_external(tmp_path / "scores.csv", *labels)
    assert "Download" not in str(caught.value)


def test_what_does_not_fit_is_refused(linear):
    mask, output, true = linear
    with pytest.raises(ValueError, match="a has shape"):
        judged(mask, output, {"a": true.T})
    with pytest.raises(ValueError, match="test_output has shape"):
        judged(mask, output[:, 1:], {})
    with pytest.raises(ValueError, match="fewer than two blocks"):
        judged(mask[:10], output[:10], {})
    with pytest.raises(ValueError, match="b has shape"):
        judge_scores(np.zeros(4), {"b": np.zeros(5)})
    for name in ("margins", "difference"):
        with pytest.raises(ValueError, match=f"{name}: the name is reserved"):
            judged(mask, output, {name: true})
    broken = true.copy()
    broken[2, 3] = np.inf
    for values, problem in (
        (np.full_like(true, np.nan), "only NaN"),
        (true.astype(str), "is <U[0-9]+, not numbers"),
        (broken, "infinite"),
    ):
        with pytest.raises(ValueError, match=problem):
            judged(mask, output, {"a": values})
        with pytest.raises(ValueError, match=problem):
            judge_scores(np.zeros(len(values)), {"a": values[:, 3]})


def test_lists_and_truth_values_are_taken(linear):
    mask, output, true = linear
    found = judge_attributions(mask.tolist(), output.tolist(), *LABELS, {"a": true.tolist()})
    assert str(found) == str(judge_attributions(mask, output, *LABELS, {"a": true}))
    memorization = np.linspace(0, 1, 9)
    of_bools, of_floats = (
        judge_scores(memorization, {"a": (memorization > 0.5).astype(kind)})
        for kind in (bool, float)
    )
    assert str(of_bools) == str(of_floats)


def test_published_c_scores_agree_with_published_memorization():
    """Jiang et al. (2021) against F&Z: consistent examples are hardly memorized."""
    archive = supplied("cifar100-cscores-orig-order.npz")
    memorization = np.load(supplied("fz_cifar100_memorization.npy"))
    with np.load(archive) as file:
        score = read_external(archive, file["labels"], np.zeros(1, int))
    correlation, overlap = judge_scores(memorization, {"c_scores": score})
    assert correlation.value == pytest.approx(-0.918, abs=0.0005)
    assert overlap.value == pytest.approx(0.8682, abs=0.0005)
    assert correlation.high - correlation.low < 0.01
