"""Subsets are balanced, controls class-matched, lists of examples checked."""

import numpy as np
import pytest

from memaudit.errors import AuditError
from memaudit.models.removals import (
    block_size,
    control_examples,
    read_examples,
    smallest_subset,
    subset_mask,
    training_mask,
)


@pytest.mark.parametrize(
    ("fraction", "block"), [(0.7, (10, 7)), (0.5, (8, 4)), (0.75, (8, 6)), (0.9, (10, 9))]
)
def test_block_is_the_smallest_of_eight_parts_or_more_that_gives_the_fraction(fraction, block):
    assert block_size(fraction) == block


DESIGNS = [(100, 0.7), (103, 0.7), (7, 0.7), (50, 0.5), (64, 0.75), (90, 0.05), (150, 0.33)]


@pytest.mark.parametrize(("n", "fraction"), DESIGNS)
def test_every_example_is_left_out_equally_often(n, fraction):
    parts, kept = block_size(fraction)
    masks = np.array([subset_mask(n, model, fraction, seed=3) for model in range(3 * parts)])
    assert (masks.sum(axis=0) == 3 * kept).all()
    assert abs(masks.mean() - fraction) < 1e-9


@pytest.mark.parametrize(("n", "fraction"), DESIGNS)
def test_subsets_are_as_large_as_the_number_of_examples_allows(n, fraction):
    parts, kept = block_size(fraction)
    sizes = [subset_mask(n, model, fraction, seed=3).sum() for model in range(3 * parts)]
    assert np.ptp(sizes) <= min(n % parts, parts - kept)
    assert smallest_subset(n, fraction) <= min(sizes)
    assert smallest_subset(n, fraction) > fraction * n - (parts - kept)


@pytest.mark.parametrize(
    ("fraction", "models"), [(0.7, 400), (0.5, 400), (0.75, 400), (0.9, 400), (0.33, 400)]
)
def test_two_examples_are_together_no_more_often_than_by_chance(fraction, models):
    """Independent subsets: the correlation of two examples has variance 1 / models."""
    masks = np.array([subset_mask(480, model, fraction, seed=1) for model in range(models)])
    pairs = np.corrcoef(masks.T)[np.triu_indices(480, 1)]
    assert models * pairs.var() <= 1.2
    assert abs(pairs.mean()) < 0.01


def test_a_subset_depends_on_seed_and_model_alone():
    one = subset_mask(90, 17, 0.7, seed=1)
    assert np.array_equal(one, subset_mask(90, 17, 0.7, seed=1))
    assert not np.array_equal(one, subset_mask(90, 17, 0.7, seed=2))
    assert not np.array_equal(one, subset_mask(90, 27, 0.7, seed=1))


@pytest.mark.parametrize(
    ("n", "fraction", "problem"),
    [
        (0, 0.7, "at least one example"),
        (10, 0.999, "rounded to 1"),
        (10, 0.001, "rounded to 0"),
        (10, 1.0, "between 0 and 1"),
        (10, -0.3, "between 0 and 1"),
        (10, float("nan"), "between 0 and 1"),
    ],
)
def test_subsets_that_cannot_be_drawn_are_refused(n, fraction, problem):
    with pytest.raises(ValueError, match=problem):
        subset_mask(n, 0, fraction, seed=0)


def test_controls_match_the_classes_and_are_nested(rng):
    labels = rng.integers(0, 5, 400)
    larger = rng.permutation(400)[:60]
    smaller = larger[:20]
    for trial in range(5):
        drawn = control_examples(larger, labels, trial, seed=0)
        assert np.array_equal(
            np.bincount(labels[drawn], minlength=5), np.bincount(labels[larger], minlength=5)
        )
        assert len(set(drawn)) == 60
        assert set(control_examples(smaller, labels, trial, seed=0)) <= set(drawn)
    assert not np.array_equal(
        control_examples(larger, labels, 0, seed=0), control_examples(larger, labels, 1, seed=0)
    )


def test_training_masks(rng):
    labels = rng.integers(0, 4, 50)
    examples = np.array([3, 7, 40])
    assert training_mask("none", 0, labels, 0).all()
    selected = training_mask("selected", 5, labels, 0, examples=examples)
    assert np.flatnonzero(~selected).tolist() == [3, 7, 40]
    control = training_mask("random_selected", 5, labels, 0, examples=examples)
    assert (~control).sum() == 3
    assert (~training_mask("random_x", 0, labels, 0, examples=np.empty(0, dtype=int))).sum() == 0
    with pytest.raises(AuditError, match="removes all 50"):
        training_mask("mine", 0, labels, 0, examples=np.arange(50))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\nx\n", "line 3: 'x' is not a training example"),
        ("1\n-2\n", "line 2: '-2'"),
        ("1\n2.5\n", "line 2: '2.5' is not a training example"),
        ("4\n5\n4\n", "line 3: example 4 is listed twice"),
        ("1\n10\n", "example 10 is out of range; training examples are numbered from 0 to 9"),
        ("".join(f"{i}\n" for i in range(10)), "lists 10 examples of 10 training examples"),
    ],
)
def test_bad_lists_are_refused(tmp_path, text, message):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(AuditError, match=message):
        read_examples(tmp_path / "list.txt", 10)


def test_lists_may_have_comments(tmp_path):
    (tmp_path / "list.txt").write_text("# mine\n3  # the odd one\n\n1\n")
    assert read_examples(tmp_path / "list.txt", 10).tolist() == [3, 1]


def test_a_mask_selects_the_examples_that_its_indices_do():
    labels, listed = np.array([0, 0, 0, 1, 1, 1, 1, 1]), np.array([1, 4, 6])
    mask = np.isin(np.arange(8), listed)
    controls = [control_examples(one, labels, 0, seed=0) for one in (listed, mask, listed.tolist())]
    assert [one.tolist() for one in controls] == [controls[0].tolist()] * 3
    for wrong, problem in (
        (mask[:5], r"bool mask \(8,\), got bool of shape \(5,\)"),
        (None, "got object"),
        ([0.5], "got float64"),
        ([8], "example 8 is out of range"),
        ([-1, 0], "example -1 is out of range"),
        ([2, 2], "listed twice"),
    ):
        with pytest.raises(ValueError, match=problem):
            control_examples(wrong, labels, 0, seed=0)
