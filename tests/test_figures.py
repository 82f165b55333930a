"""Figures 1 to 3: what they show, and that they can be drawn."""

import numpy as np
import pytest

from memaudit.buckets.assign import assign
from memaudit.data.dataset import Dataset
from memaudit.figures import examples
from memaudit.figures.drawing import name
from memaudit.figures.drops import drops
from memaudit.figures.scores import most_memorized
from memaudit.figures.similarity import similarity
from memaudit.results.table2 import COLUMNS
from memaudit.scores.selection import Pair


def pair(train, test, memorization, influence):
    return Pair(train, test, 0, memorization, 0.05, influence, 0.05)


PAIRS = [
    pair(0, 0, 0.5, 0.3),
    pair(1, 1, 0.6, 0.7),
    pair(2, 2, 0.9, 0.2),
    pair(4, 4, 0.3, 0.2),
    pair(5, 4, 0.8, 0.6),
    pair(5, 5, 0.8, 0.9),
    pair(6, 6, 0.4, 0.8),
    pair(7, 6, 0.7, 0.5),
]
LEAKS = [(0, 0, "near", "rule"), (1, 1, "near", "rule"), (2, 9, "near", "rule")]


@pytest.fixture
def data(rng):
    """Names as people give them: with $ and _, which must not be taken for mathematics."""
    train, test = (rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8) for _ in range(2))
    labels = np.zeros(12, dtype=np.int64)
    names = [f"train/$a^{{/a_rather_long_name_{k}.png" for k in range(12)]
    return Dataset(["$^{_"], train, labels, test, labels, train_names=names)


@pytest.fixture
def called():
    return assign(PAIRS, LEAKS, np.array([[4, 5], [6, 7]]), ["$^{_"])


def test_pairs_of_greatest_influence_come_first(called):
    shown = examples._copies(PAIRS, called, "near")
    assert [(row.index, test, value) for row, test, value in shown] == [
        (1, 1, 0.7),
        (0, 0, 0.3),
        (2, 9, None),
    ]


def test_groups_stand_beside_the_test_images_they_share(called):
    """By the sum of influences on shared test points: 1.3 on test 6, 0.8 on test 4."""
    assert examples._groups(PAIRS, called) == [
        ([(7, 0.7), (6, 0.4)], [(6, 0.8)]),
        ([(5, 0.8), (4, 0.3)], [(4, 0.6)]),
    ]


def test_long_names_are_cut(data):
    assert name(data, "train", 3) == ("$^{_", "a_rather_long_n…")
    assert name(data, "test", 3) == ("$^{_", "test 3")


def test_figures_are_drawn_and_the_same_again(data, called, tmp_path):
    files = {}
    for folder in ("one", "two"):
        to = tmp_path / folder
        examples.duplicate_pairs(data, PAIRS, called, "near", to / "near.png")
        examples.duplicate_pairs(data, PAIRS, called, "exact", to / "exact.png")
        examples.subpopulations(data, PAIRS, called, to / "groups.png")
        most_memorized(data, np.linspace(0, 1, 12), np.full(12, np.nan), to / "most.png")
        files[folder] = {path.name: path.read_bytes() for path in to.iterdir()}
    assert files["one"] == files["two"]
    names = ("near", "exact", "groups", "most")
    assert set(files["one"]) == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    # no exact duplicate: a line of text, no image
    assert b"<image" in files["one"]["near.svg"]
    assert b"<image" not in files["one"]["exact.svg"]


def test_no_sub_population_is_said(data, tmp_path):
    examples.subpopulations(data, [], [], tmp_path / "groups.png")
    assert b"<image" not in (tmp_path / "groups.svg").read_bytes()


def drop_row(removal, drop, ends=("", "", "", ""), published=("", "")):
    values = dict.fromkeys(COLUMNS, "") | {"recipe": "original", "removal": removal}
    values["acc_full"] = "100"
    names = ("drop", "ci_low", "ci_high", "boot_low", "boot_high")
    values |= dict(zip(names, (drop, *ends), strict=True))
    return values | dict(zip(("published_drop", "published_sd"), published, strict=True))


def test_the_forest_plot_shows_what_there_is(tmp_path):
    ends = ("1.0", "2.0", "0.5", "2.5")
    control = drop_row("random_selected", "0.1", ends)
    shown = {
        "all": [drop_row("selected", "1.5", ends, ("2.54", "0.2")), control],
        "no paper": [drop_row("selected", "1.5", ends), control],
        "one model": [drop_row("selected", "1.5")],
    }
    figures = {}
    for key, rows in shown.items():
        drops(rows, tmp_path / "drops.png", {("original", "random_selected"): np.array([98, 99])})
        figures[key] = (tmp_path / "drops.svg").read_text()
    legend = ("points removed --", "as many at random --", "its ± --", "a single random draw")
    words = {key: [text in figure for text in legend] for key, figure in figures.items()}
    assert words == {
        "all": [True, True, True, True],
        "no paper": [True, True, False, True],
        "one model": [True, False, False, False],
    }
    thick = {key: figure.count("stroke-width: 3.5") for key, figure in figures.items()}
    assert thick == {"all": 2, "no paper": 2, "one model": 0}


def test_pairs_that_were_not_compared_are_shown_as_such(called, tmp_path):
    """Pairs of train point 2 and of 5 have no score: they stand in the band."""
    scores = {(p.train, p.test): 0.5 for p in PAIRS if p.train not in (2, 5)}
    for file in ("one", "two"):
        similarity(PAIRS, called, scores, 0.8, 0.45, 0.15, tmp_path / f"{file}.png")
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    for words in ("duplicate: 3 pairs, 1 not scored", "sub-population: 5 pairs, 2 not scored"):
        assert words in text
