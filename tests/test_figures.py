"""Figures 1 to 3: what they show, and that they can be drawn."""

import os
import subprocess
import sys
from dataclasses import fields

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from memaudit.buckets.assign import assign
from memaudit.buckets.leaks import Leak
from memaudit.data.dataset import Dataset
from memaudit.figures import affected as affected_figure
from memaudit.figures import curves, examples, reliability, scores, sweeps
from memaudit.figures import drops as drops_figure
from memaudit.figures import external as external_figure
from memaudit.figures import privacy as privacy_figure
from memaudit.figures import similarity as similarity_figure
from memaudit.figures.drawing import WIDTH, name, replaced_names
from memaudit.figures.drops import drops
from memaudit.figures.scores import most_memorized
from memaudit.figures.similarity import similarity
from memaudit.results.affected import Example, Summary
from memaudit.results.curves import CurveRow
from memaudit.results.sweep_tables import ThresholdRow, WeightDecayRow
from memaudit.results.table2 import Table2Row
from memaudit.scores.external import Judgment
from memaudit.scores.privacy import ExampleLeakage
from memaudit.scores.reliability import Agreement
from memaudit.scores.rescored import Scored
from memaudit.scores.selection import Pair

NAN = float("nan")


def test_a_backend_that_a_notebook_sets_is_not_used():
    environment = os.environ | {"MPLBACKEND": "module://not_installed.backend_inline"}
    code = "import memaudit.figures.drops, matplotlib; print(matplotlib.get_backend())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.strip().lower() == "agg", done.stderr


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
LEAKS = [Leak(0, 0, "near"), Leak(1, 1, "near"), Leak(2, 9, "near")]


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
    shown = examples._copies(PAIRS, called, ("near", "scene"))
    assert [(row.example, test, value) for row, test, value in shown] == [
        (1, 1, 0.7),
        (0, 0, 0.3),
        (2, 9, None),
    ]


@pytest.mark.parametrize(
    "n_near, n_scene, shown", [(9, 8, (6, 6)), (9, 4, (8, 4)), (2, 30, (2, 10))]
)
def test_half_of_the_near_duplicates_are_other_photographs(n_near, n_scene, shown):
    """Six of each kind, the same photograph first; where one has fewer, more of the other."""
    pairs = [pair(k, k, 0.9, 0.9 - k / 100) for k in range(n_near + n_scene)]
    leaks = [Leak(k, k, "scene" if k < n_scene else "near") for k in range(n_near + n_scene)]
    found = examples._copies(pairs, assign(pairs, leaks, [], ["a"]), ("near", "scene"))
    reasons = [row.reason for row, *_ in examples._half_of_each(found)]
    assert reasons == ["near"] * shown[0] + ["scene"] * shown[1]


@pytest.mark.parametrize(
    "kinds, title, lines",
    [
        (("near", "scene"), "near-duplicates", ("same photograph", "another photograph of the")),
        (("near",), "near-duplicates", ("same photograph",)),
        (("exact",), "their exact duplicates", ("identical pixels",)),
        (("one_picture",), "their visually exact duplicates", ("visually the same picture",)),
        (
            ("exact", "one_picture"),
            "their exact or visually exact duplicates",
            ("identical pixels", "visually the same picture"),
        ),
    ],
)
def test_captions_state_the_kind_and_images_of_a_row_are_aligned(
    kinds, title, lines, data, tmp_path, monkeypatch
):
    kept = []
    monkeypatch.setattr(examples, "save", lambda figure, path: kept.append(figure))
    leaks = [Leak(k, k, kinds[k % len(kinds)]) for k in range(6)]
    pairs = [pair(k, k, 0.9, 0.5) for k in range(5)]
    called = assign([*pairs, pair(5, 6, 0.9, 0.5)], leaks, [], ["a"])
    reason = "near" if "near" in kinds else "exact"
    examples.duplicate_pairs(data, pairs, called, reason, tmp_path / "x.png", leaks=leaks)
    figure = kept[0]
    figure.canvas.draw()
    heads = [cell.get_suptitle() for cell in figure.subfigs]
    assert all(head.count("\n") == 1 for head in heads)
    assert {head.split("\n")[1].startswith(lines) for head in heads} == {True}
    assert title in figure.get_suptitle()
    assert ("published annotation" in figure.get_suptitle()) == ("one_picture" in kinds)
    for row in (figure.axes[:6], figure.axes[6:]):
        boxes = [axis.get_window_extent() for axis in row]
        assert np.ptp([box.y0 for box in boxes]) < 1 and np.ptp([box.height for box in boxes]) < 1
    plt.close(figure)


def test_groups_stand_beside_the_test_images_they_share(called):
    """By the sum of influences on shared test examples: 1.3 on test 6, 0.8 on test 4."""
    assert examples._groups(PAIRS, called) == [
        ([(7, "memorization 0.70"), (6, "memorization 0.40")], [(6, "by 2, up to 0.80")]),
        ([(5, "memorization 0.80"), (4, "memorization 0.30")], [(4, "by 2, up to 0.60")]),
    ]


def test_names_without_glyphs_are_replaced_by_the_index(data):
    """No font in use has cuneiform; a line break and a decomposed accent are drawable."""
    images, labels = data.train_images[:2], np.array([0, 1])
    names = ["train/a/\U00012000.png", "train/cafe\u0301\n.png"]
    odd = Dataset(["\U00012000", "two\nlines"], images, labels, images, labels, train_names=names)
    assert name(odd, "train", 0) == ("class 0", "train 0")
    assert name(odd, "train", 1) == (r"two\nlines", r"caf\xe9\n.png".replace(r"\xe9", "é"))
    assert replaced_names(odd).startswith(r"2 names of classes or files have characters")
    assert replaced_names(data) == ""


def test_long_names_are_cut(data):
    assert name(data, "train", 3) == ("$^{_", "a_rather_long_n…")
    assert name(data, "test", 3) == ("$^{_", "test 3")


def test_figures_are_drawn_and_the_same_again(data, called, tmp_path):
    files = {}
    leaks = [*LEAKS, Leak(11, 3, "exact"), Leak(11, 4, "one_picture"), Leak(10, 3, "near")]
    for folder in ("one", "two"):
        to = tmp_path / folder
        examples.duplicate_pairs(data, PAIRS, called, "near", to / "near.png", leaks=leaks)
        examples.duplicate_pairs(data, PAIRS, called, "exact", to / "exact.png", leaks=leaks)
        examples.subpopulations(data, PAIRS, called, to / "groups.png")
        examples.influence(data, PAIRS, to / "influence.png")
        most_memorized(data, np.linspace(0, 1, 12), np.full(12, np.nan), to / "most.png")
        files[folder] = {path.name: path.read_bytes() for path in to.iterdir()}
    assert files["one"] == files["two"]
    names = ("near", "exact", "groups", "influence", "most")
    assert set(files["one"]) == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    # no exact duplicate: a line of text, no image
    assert b"<image" in files["one"]["near.svg"]
    assert b"<image" not in files["one"]["exact.svg"]
    for words in (b"None of the 7 selected examples", b"lists 2 exact duplicates of other"):
        assert words in files["one"]["exact.svg"]


def test_texts_of_small_groups_do_not_overlap(data, called, tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(examples, "save", lambda figure, path: kept.append(figure))
    examples.subpopulations(data, PAIRS, called, tmp_path / "groups.png")
    kept[0].canvas.draw()
    texts = [text for text in kept[0].findobj(Text) if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    plt.close(kept[0])
    assert len(boxes) == 1 + 2 + 6  # a title, two headings
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_no_sub_population_is_said(data, tmp_path):
    examples.subpopulations(data, [], [], tmp_path / "groups.png")
    assert b"<image" not in (tmp_path / "groups.svg").read_bytes()


def drop_row(removal, drop, ends=(NAN,) * 4, published=(NAN, NAN)):
    """A row of Table 2 with the drop, the bounds of both CIs, and the published values."""
    values = {field.name: NAN for field in fields(Table2Row)}
    values |= {"row": removal, "recipe": "original", "removal": removal, "verdict": ""}
    values |= {"n_removed": 5, "acc_full": 100.0, "drop": drop}
    names = ("drop_low", "drop_high", "drop_sampling_low", "drop_sampling_high")
    names += ("published_drop", "published_sd")
    return Table2Row(**(values | dict(zip(names, (*ends, *published), strict=True))))


def test_the_forest_plot_shows_what_there_is(tmp_path):
    ends = (1.0, 2.0, 0.5, 2.5)
    control = drop_row("random_selected", 0.1, ends)
    shown = {
        "all": [drop_row("selected", 1.5, ends, (2.54, 0.2)), control],
        "no paper": [drop_row("selected", 1.5, ends), control],
        "one model": [drop_row("selected", 1.5)],
    }
    figures = {}
    for key, rows in shown.items():
        draws = {("original", "random_selected"): np.array([98, 99])}
        drops(rows, tmp_path / "drops.png", draws)
        figures[key] = (tmp_path / "drops.svg").read_text()
    legend = (
        "examples removed --",
        "matched random control --",
        "published drop (CIFAR-100, ResNet-50) --",
        "a single trial",
    )
    words = {key: [text in figure for text in legend] for key, figure in figures.items()}
    assert words == {
        "all": [True, True, True, True],
        "no paper": [True, True, False, True],
        "one model": [True, False, False, False],
    }
    thick = {key: figure.count("stroke-width: 3.5") for key, figure in figures.items()}
    assert thick == {"all": 2, "no paper": 2, "one model": 0}


def test_pairs_that_were_not_compared_are_shown_as_such(called, tmp_path):
    """Pairs of training example 2 and of 5 have no score: they stand in the band."""
    scores = {(p.train, p.test): 0.5 for p in PAIRS if p.train not in (2, 5)}
    for file in ("one", "two"):
        similarity(PAIRS, called, scores, 0.8, 0.45, 0.15, tmp_path / f"{file}.png")
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    for words in ("test set (3 pairs, 1 not scored)", "subpopulation (5 pairs, 2 not scored)"):
        assert words in text


def covering(figure):
    """Legends that overlap the inside of any axes, and texts of fewer than 7 points."""
    figure.canvas.draw()
    legends = [*figure.legends, *(axis.get_legend() for axis in figure.axes)]
    boxes = [legend.get_window_extent() for legend in legends if legend]
    inside = [axis.get_window_extent().padded(-1) for axis in figure.axes]
    over = [box for box in boxes if any(box.overlaps(axis) for axis in inside)]
    small = [t for t in figure.findobj(Text) if t.get_text() and t.get_fontsize() < 7]
    return len(boxes), over, small


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, kept open instead of saved."""
    figures = []
    modules = (
        affected_figure,
        curves,
        drops_figure,
        external_figure,
        privacy_figure,
        reliability,
        scores,
        similarity_figure,
        sweeps,
    )
    for module in modules:
        monkeypatch.setattr(module, "save", lambda figure, path: figures.append(figure))
    yield figures
    plt.close("all")


def sweep_row(kind, values, removal, drop):
    numbers = dict.fromkeys((field.name for field in fields(kind)), float(drop))
    texts = {"row": removal, "removal": removal, "verdict": "", "n_removed": 5}
    return kind(**(numbers | texts | values))


@pytest.mark.parametrize("few", [True, False])
def test_no_legend_lies_over_data(few, drawn, called, rng):
    decays = ["0.005"] if few else ["0", "0.0001", "0.0002", "0.00021"]
    rows = [
        sweep_row(
            WeightDecayRow, {"weight_decay": value, "recipe": "weight_decay"}, removal, 1 + place
        )
        for place, value in enumerate(decays)
        for removal in ("selected", "random_selected")
    ]
    sweeps.weight_decay(rows, "")
    rows = [
        sweep_row(ThresholdRow, {"threshold": value, "recipe": recipe}, removal, 1)
        for recipe in ("original", "weight_decay")[: 1 if few else 2]
        for value in ("0.25", "0.3", "0.5")[: 1 if few else 3]
        for removal in ("above", "random_above")
    ]
    sweeps.threshold_curve(rows, "")
    values = rng.random((2, 30))
    both = tuple(Scored(value, frozenset()) for value in values)
    sweeps.rescored(("original", "weight_decay"), both, {3: "memorized"}, 0.25, "")
    found = [Agreement(n, *[0.1] * 7) for n in ((10,) if few else (10, 20, 40))]
    reliability.reliability(values, found, 0.25, 20 if few else 80, "")
    rates = np.linspace(0, 1, 3 if few else 5000)
    groups = ("all",) if few else ("all", "selected", "leakage_shift", "memorized", "not selected")
    attacks = {("online", group): (rates, rates**0.5) for group in groups}
    attacks["offline", "all"] = rates, rates**0.8
    leaking = [
        ExampleLeakage(k, value, 0.5 + value / 2, "memorized" if k == 3 else "")
        for k, value in enumerate(values[0])
    ]
    privacy_figure.privacy(attacks, leaking, "")
    quantities = ("lds",) if few else ("lds", "rank_correlation", "overlap")
    judged = [
        Judgment(score, quantity, None, 9, 0.4, 0.3, 0.5, 0.1)
        for quantity in quantities
        for score in ("margins", "difference", "a_rather_long_name_of_a_score")
    ]
    external_figure.external(judged, "")
    summary = dict.fromkeys(Summary.__dataclass_fields__, 1) | {"recipe": "original"}
    example = dict.fromkeys(Example.__dataclass_fields__, 1) | {"group": "neither"}
    examples = [Example(**example | {"predicted": 50 - k}) for k in range(2 if few else 40)]
    removals = ("selected", "selected", "leakage_shift", "memorized")
    views = [(Summary(**summary | {"removal": removal}), examples) for removal in removals]
    affected_figure.affected(views, "")
    named = {(p.train, p.test): 0.5 for p in PAIRS}
    similarity(PAIRS, called, {} if few else named, 0.8, 0.45, 0.15, "")
    scores.memorization_histogram(None, values[0], called, "")
    ends = (1.0, 2.0, 0.5, 2.5)
    drops([drop_row("selected", 1.5, ends, (2.54, 0.2))], "")
    epochs = [
        CurveRow(**{f.name: 1 for f in fields(CurveRow)} | {"epoch": k, "recipe": recipe})
        for recipe in ("a", "b")[: 1 if few else 2]
        for k in range(1 if few else 5)
    ]
    curves.learning_curves(epochs, "")
    assert len(drawn) == 11
    for figure in drawn:
        legends, over, small = covering(figure)
        assert legends
        assert not over
        assert not small
        assert figure.get_figwidth() <= WIDTH
