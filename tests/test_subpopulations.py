"""Groups of examples that influence the same test examples, and their appearance check."""

import csv

import numpy as np
import pytest

from memaudit.buckets.appearance import Appearance
from memaudit.buckets.subpopulations import (
    CHECKED,
    RULE,
    Member,
    components,
    decided_links,
    find_members,
    links_of,
    shared_links,
)
from memaudit.errors import AuditError
from memaudit.scores import facade
from memaudit.scores.facade import Scores
from memaudit.scores.selection import Pair
from memaudit.tables import read_rows, write_rows


def pairs_of(influences):
    """Pairs (train, test) of class 0."""
    return [Pair(train, test, 0, 0.8, 0.05, 0.4, 0.05) for train, test in influences]


def links(*ends):
    return np.array(ends, dtype=np.int64).reshape(-1, 2)


class Looks:
    """Stub of `Appearance`: examples of one kind have similarity 2, others -1."""

    def __init__(self, kinds):
        self.kinds = kinds

    def similarity(self, pairs):
        return np.array([2.0 if self.kinds[a] == self.kinds[b] else -1.0 for a, b in pairs])


def test_examples_that_share_a_test_example_are_linked():
    train, test = [7, 3, 5, 7, 9], [1, 1, 2, 2, 4]
    assert shared_links(np.array(train), np.array(test)).tolist() == [[3, 7], [5, 7]]
    assert shared_links(np.array([3, 4]), np.array([1, 2])).shape == (0, 2)
    assert shared_links(np.array([], dtype=int), np.array([], dtype=int)).shape == (0, 2)


def test_groups_are_connected_and_numbered_by_their_smallest_example():
    assert components(links((5, 9), (2, 8), (8, 11), (11, 12))) == {
        2: 0,
        8: 0,
        11: 0,
        12: 0,
        5: 1,
        9: 1,
    }
    assert components(links()) == {}


# 1 - 2 - 3 share test examples in a chain, 4 - 5 another; 6 is alone.
CHAIN = [(1, 10), (2, 10), (2, 11), (3, 11), (3, 12), (4, 20), (5, 20), (6, 30)]


def test_the_rule_and_the_check_are_both_recorded(tmp_path):
    kinds = {1: "a", 2: "a", 3: "b", 4: "c", 5: "d", 6: "a"}
    members = find_members(pairs_of(CHAIN), Looks(kinds), ["ant"], threshold=1)
    found = [(m.example, m.group, m.checked_group, m.test_examples, m.similarity) for m in members]
    assert found == [
        (1, 0, 0, (10,), 2.0),
        (2, 0, 0, (10, 11), 2.0),
        (3, 0, None, (11,), -1.0),
        (4, 1, None, (20,), -1.0),
        (5, 1, None, (20,), -1.0),
    ]
    assert links_of(members, RULE).tolist() == [[1, 2], [2, 3], [4, 5]]
    assert links_of(members, CHECKED).tolist() == [[1, 2]]
    write_rows(tmp_path / "subpopulations.csv", Member, members)
    assert read_rows(tmp_path / "subpopulations.csv", Member) == members
    with open(tmp_path / "subpopulations.csv", newline="") as file:
        header = next(csv.reader(file))
    assert header == ["group", "checked_group", "example", "class", "test_examples", "similarity"]


def test_the_check_splits_a_group():
    """Examples 1, 2 and 3, 4 look similar; all four influence test example 10."""
    everyone = pairs_of((example, 10) for example in (1, 2, 3, 4))
    members = find_members(everyone, Looks({1: "a", 2: "a", 3: "b", 4: "b"}), ["ant"], 1)
    assert [(m.group, m.checked_group) for m in members] == [(0, 0), (0, 0), (0, 1), (0, 1)]
    assert links_of(members, CHECKED).tolist() == [[1, 2], [3, 4]]
    assert len(links_of(members, RULE)) == 6


def test_no_pairs_give_no_groups(tmp_path):
    assert find_members([], Looks({}), ["ant"], 1) == []
    write_rows(tmp_path / "subpopulations.csv", Member, [])
    assert read_rows(tmp_path / "subpopulations.csv", Member) == []
    assert links_of([], RULE).shape == (0, 2)


def test_annotators_remove_and_add_links():
    automatic = links((1, 2), (2, 3))
    assert decided_links(automatic, {}).tolist() == [[1, 2], [2, 3]]
    said = {(1, 2): False, (1, 9): True, (2, 3): True, (4, 5): False}
    assert decided_links(automatic, said).tolist() == [[1, 9], [2, 3]]
    assert decided_links(automatic, {(1, 2): False, (2, 3): False}).shape == (0, 2)


@pytest.fixture(scope="module")
def alike():
    """60 random images of a class, one of them brightened and mirrored, and another with noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 200, (60, 4, 4, 3))
    images = np.kron(coarse, np.ones((1, 5, 5, 1))).astype(np.uint8)
    copy = images[0][:, ::-1] + 30
    noisy = np.clip(images[1] + rng.normal(0, 20, images[1].shape), 0, 255)
    images = np.concatenate([images, [copy, noisy]]).astype(np.uint8)
    return Appearance(images, np.zeros(62, dtype=np.int64))


def test_edited_images_look_similar_and_random_ones_do_not(alike):
    edited = alike.similarity(links((0, 60), (1, 61)))
    assert (edited > 3).all()
    strangers = alike.similarity(links(*((2 * k + 2, 2 * k + 3) for k in range(29))))
    assert np.mean(strangers < 1) > 0.7
    assert abs(np.median(strangers)) < 0.5


def test_similarity_is_symmetric_and_independent_of_other_pairs(alike):
    together = alike.similarity(links((0, 60), (5, 9)))
    assert alike.similarity(links((9, 5))) == pytest.approx(together[1:], abs=1e-4)
    assert alike.similarity(links()).shape == (0,)


@pytest.mark.parametrize("count", [2, 3])
def test_similarity_is_finite_in_a_class_of_identical_images(count):
    images = np.full((count, 5, 7, 3), 90, dtype=np.uint8)
    same = Appearance(images, np.zeros(count, dtype=np.int64)).similarity(links((0, 1)))
    assert np.isfinite(same).all()


def test_thresholds_that_select_nearly_all_pairs_are_rejected(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    mask, labels = rng.random((20, 12)) < 0.5, np.zeros(12, dtype=np.int64)
    Scores.from_arrays(mask, mask, mask, labels, labels).write(tmp_path / "s.h5")
    monkeypatch.setattr(facade, "MOST_PAIRS", 12)
    assert len(Scores.from_file(tmp_path / "s.h5").select(0.25, 0.9, 3)) == 12
    with pytest.raises(AuditError, match=r"selection\.z = 0: \d\d pairs of 12 training examples"):
        Scores.from_file(tmp_path / "s.h5").select(-1, -1, 0)
