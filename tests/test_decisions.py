"""Manual annotations are validated and override automatic decisions."""

from dataclasses import replace

import numpy as np
import pytest

from memaudit.buckets.assign import Assignment, assign
from memaudit.buckets.decisions import Decisions, read_decisions
from memaudit.buckets.leaks import (
    Leak,
    counted,
    leak_free,
    selected_probabilities,
    with_decisions,
    with_scenes,
)
from memaudit.data.dataset import Dataset
from memaudit.errors import AuditError
from memaudit.models.removals import read_examples, write_examples
from memaudit.scores.selection import Pair
from memaudit.tables import read_rows, write_rows

HEADER = "item,train,test,decision\n"


@pytest.fixture
def decide(tmp_path):
    """Write lines of a decisions file and read it."""

    def read(*lines, header=HEADER, n_train=None, n_test=None):
        path = tmp_path / "decisions.csv"
        path.write_text(header + "".join(f"{line}\n" for line in lines))
        return read_decisions(path, n_train, n_test)

    return read


def test_decisions_are_about_pairs(decide):
    found = decide(
        "duplicate,8,4,same",
        "duplicate,9,4,different",
        "duplicate,7,4,skip",
        "group,17 3 40,,different",
        "group,5 6,100 101,near",
        "group,1 2,,skip",
        "duplicate,8,4,same",
        "",
    )
    assert found == Decisions(
        {(8, 4): "same", (9, 4): "different"},
        {(3, 17): False, (3, 40): False, (17, 40): False, (5, 6): True},
    )


def test_decisions_saved_by_a_spreadsheet_are_read(tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_bytes(b"\xef\xbb\xbfnote,item,train,test,decision\r\nold,duplicate, 1 ,2,near \r\n")
    assert read_decisions(path).duplicates == {(1, 2): "near"}


def test_an_empty_decisions_file_is_valid(decide):
    assert decide() == Decisions()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["pair,1,2,same"], "line 2: item is 'pair', must be one of duplicate, group"),
        (["duplicate,1,2,Sure"], "line 2: decision is 'sure', must be one of same, near,"),
        (["duplicate,1,2"], "line 2: decision is '', must be one of"),
        (
            ["duplicate,1,2,near", "duplicate,x,2,same"],
            "line 3: 'x' is not the index of a training",
        ),
        (["duplicate,1,-2,same"], "line 2: '-2' is not the index of a test"),
        (["duplicate,1 2,2,same"], "line 2: a duplicate needs one training and one test example"),
        (["duplicate,1,,same"], "line 2: a duplicate needs one training and one test example"),
        (["duplicate,20,2,skip"], "line 2: training example 20 is out of range; .* 0 to 19"),
        (["duplicate,1,10,same"], "line 2: test example 10 is out of range; .* 0 to 9"),
        (["group,1,,same"], "line 2: a group needs two or more training examples, not '1'"),
        (["group,1 1,,same"], "line 2: training example 1 is listed twice"),
        (["group,1 20,,same"], "line 2: training example 20 is out of range"),
        (
            ["duplicate,1,2,same", "duplicate,1,2,different"],
            "line 3: different for train 1 and test 2, but line 2 says same; delete one",
        ),
        (["duplicate,1,2,same", "duplicate,1,2,near"], "line 3: near .* but line 2 says same"),
        (
            ["group,1 2 3,,different", "group,4 3 1,,near"],
            "line 3: near for train 1 and train 3, but line 2 says different",
        ),
    ],
)
def test_errors_name_line_and_value(decide, lines, message):
    with pytest.raises(AuditError, match=rf"decisions\.csv, {message}"):
        decide(*lines, n_train=20, n_test=10)


def test_other_files_are_rejected(decide, tmp_path):
    with pytest.raises(AuditError, match="there is no column train; the first line must be item,"):
        decide(header="item,test,decision")
    with pytest.raises(AuditError, match="cannot be read"):
        read_decisions(tmp_path / "nowhere.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AuditError, match="cannot be read"):
        read_decisions(tmp_path / "bytes.csv")


@pytest.fixture(scope="module")
def data():
    """Six training and four test images; test image 0 is an exact duplicate of training image 0."""
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8) for n in (6, 4))
    test[0] = train[0]
    return Dataset(["ant"], train, np.zeros(6, int), test, np.zeros(4, int))


def test_manual_annotation_overrides_finder_and_published_annotation(data, tmp_path):
    found = [
        Leak(0, 0, "exact"),
        Leak(1, 1, "near"),
        Leak(2, 2, "near", "published annotation"),
        Leak(3, 3, "near"),
    ]
    said = {
        (0, 0): "same",
        (1, 1): "different",
        (2, 2): "different",
        (4, 1): "same",
        (5, 1): "near",
        (5, 3): "different",
    }
    leaks = with_decisions(found, Decisions(said), data)
    assert leaks == [
        Leak(0, 0, "exact", "manual annotation"),
        Leak(3, 3, "near", "rule"),
        Leak(4, 1, "near", "manual annotation"),
        Leak(5, 1, "scene", "manual annotation"),
    ]
    write_rows(tmp_path / "leaks.csv", Leak, leaks)
    assert read_rows(tmp_path / "leaks.csv", Leak) == leaks


def test_duplicates_are_unchanged_without_decisions(data):
    found = [Leak(1, 1, "near"), Leak(0, 0, "exact", "published annotation")]
    assert with_decisions(found, Decisions(), data) == sorted(found)


def test_kinds_that_do_not_count_are_left_out_and_probabilities_filled_in():
    found = [
        Leak(0, 0, "one_picture", "published annotation"),
        Leak(1, 1, "near"),
        Leak(2, 2, "scene"),
        Leak(3, 3, "scene", "published annotation"),
    ]
    chance = {(0, 0): 0.4, (1, 1): 0.9, (2, 2): 0.6}
    assert counted(found, ["exact", "near"], chance) == [
        found[0],
        replace(found[1], probability=0.9),
    ]
    every = counted(found, ["exact", "near", "scene"], chance)
    assert [leak.probability for leak in every] == [None, 0.9, 0.6, None]
    pairs = [Pair(train, train, 0, 0.8, 0.05, 0.4, 0.05) for train in range(5)]
    rows = assign(
        pairs, [*every, Leak(1, 9, "near", probability=0.7)], np.empty((0, 2), int), ["x"]
    )
    assert [(row.reason, row.probability) for row in rows] == [
        ("exact", None),
        ("near", 0.9),
        ("scene", 0.6),
        ("scene", None),
        ("none", None),
    ]


def test_leak_free_test_examples(tmp_path):
    leaks = [
        Leak(5, 1, "near", "rule"),
        Leak(9, 1, "exact", "rule"),
        Leak(2, 3, "near", "manual annotation"),
    ]
    clean = leak_free(leaks, 5)
    assert clean == [0, 2, 4]
    write_examples(clean, tmp_path / "list.txt", "3 of 5")
    assert (tmp_path / "list.txt").read_text() == "# 3 of 5\n0\n2\n4\n"
    assert read_examples(tmp_path / "list.txt").tolist() == clean
    assert leak_free([Leak(0, test, "near", "rule") for test in range(5)], 5) == []


def by_index(pairs, leaks=(), links=(), decisions=None):
    """Return reason, test examples, decided_by and group of each example."""
    pairs = [Pair(train, test, 0, 0.8, 0.05, 0.4, 0.05) for train, test in pairs]
    links = np.array(links, dtype=np.int64).reshape(-1, 2)
    found = assign(pairs, leaks, links, ["ant"], decisions)
    return {a.example: (a.reason, a.test_examples, a.decided_by, a.group) for a in found}


SHARED = [(3, 30), (17, 30), (17, 31), (40, 31), (50, 50), (51, 51)]
LINKS = [(3, 17), (17, 40)]


def test_annotators_split_a_group():
    found = by_index(SHARED, (), LINKS, Decisions(together={(3, 17): False}))
    assert found[3] == ("none", (30,), "manual annotation", None)
    assert found[17] == ("subpopulation", (31,), "rule", 0)
    assert found[40] == ("subpopulation", (31,), "rule", 0)
    apart = {(3, 17): False, (3, 40): False, (17, 40): False}
    found = by_index(SHARED, (), LINKS, Decisions(together=apart))
    assert {found[example][0] for example in (3, 17, 40)} == {"none"}
    assert {found[example][2] for example in (3, 17, 40)} == {"manual annotation"}


def test_annotators_join_examples():
    found = by_index(SHARED, (), LINKS, Decisions(together={(50, 51): True, (3, 17): True}))
    assert found[50] == ("subpopulation", (50,), "manual annotation", 1)
    assert found[51] == ("subpopulation", (51,), "manual annotation", 1)
    assert found[3] == ("subpopulation", (30,), "manual annotation", 0)
    assert found[40] == ("subpopulation", (31,), "rule", 0)


def test_decisions_on_unselected_examples_have_no_effect():
    word = Decisions(together={(50, 99): True, (3, 98): False})
    assert by_index(SHARED, (), LINKS, word) == by_index(SHARED, (), LINKS)


def test_decisions_remain_valid_when_the_group_grows():
    """Decided for a group of two; with more models a third example is linked with both."""
    word = Decisions(together={(3, 17): False})
    grown = [*SHARED, (4, 30)]
    found = by_index(grown, (), [*LINKS, (3, 4), (4, 17)], word)
    assert found[3] == ("subpopulation", (30,), "rule", 0)
    assert found[17][0] == "subpopulation"


def test_decided_by_has_the_highest_precedence(tmp_path):
    leaks = [
        Leak(3, 7, "near"),
        Leak(3, 8, "near", "manual annotation"),
        Leak(40, 9, "near", "published annotation"),
    ]
    word = Decisions({(3, 8): "near", (50, 1): "different", (17, 2): "different"})
    found = by_index(SHARED, leaks, LINKS, word)
    assert found[3] == ("near", (7, 8), "manual annotation", 0)
    assert found[17] == ("subpopulation", (30, 31), "manual annotation", 0)
    assert found[40] == ("near", (9,), "published annotation", 0)
    assert found[50] == ("none", (50,), "manual annotation", None)
    assert found[51] == ("none", (51,), "rule", None)


def test_groups_in_the_buckets_file(tmp_path):
    pairs = [Pair(train, test, 0, 0.8, 0.05, 0.4, 0.05) for train, test in SHARED]
    found = assign(pairs, [], np.array(LINKS), ["ant"])
    write_rows(tmp_path / "buckets.csv", Assignment, found)
    assert read_rows(tmp_path / "buckets.csv", Assignment) == found
    assert [a.group for a in found] == [0, 0, 0, None, None]


TEXT = "item,train,test,decision\nduplicate,3,4,same\ngroup,5 6,,different\n"


@pytest.mark.parametrize(
    "content",
    [
        ("\ufeff" + TEXT).encode(),
        TEXT.replace(",", ";").replace("\n", "\r\n").encode("utf-8-sig"),
        TEXT.replace(",", "\t").encode("utf-16"),
        f"sep=,\n{TEXT}".encode(),
        f"sep=;\r\n{TEXT}".replace(",", ";").encode("utf-8-sig"),
        TEXT.replace("\n", ",,\n").encode() + b",,,,,\n\n",
    ],
)
def test_decisions_saved_by_a_spreadsheet(tmp_path, content):
    (tmp_path / "decisions.csv").write_bytes(content)
    found = read_decisions(tmp_path / "decisions.csv")
    assert found.duplicates == {(3, 4): "same"} and found.together == {(5, 6): False}


def test_decisions_of_another_dataset_are_refused(tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_text("item,train,test,decision,dataset\nDuplicate,1,2,Same,0123abcd\n")
    for digest in ("", "0123abcd99"):
        assert read_decisions(path, 9, 9, digest).duplicates == {(1, 2): "same"}
    with pytest.raises(AuditError, match=r"line 2: this decision was made on another dataset \(01"):
        read_decisions(path, 9, 9, "77")


def test_a_selection_raises_the_probability_of_a_pair():
    ranked = {(1, 2): (0.3, 0.25), (3, 4): (1.0, 1.0), (5, 6): (0.2, 0.5)}
    found = selected_probabilities([(1, 2), (3, 4), (7, 8)], ranked)
    assert found == {(1, 2): pytest.approx(0.54, abs=0.02), (3, 4): 1.0}  # odds: exp(1.25) / 3


def test_a_near_duplicate_is_no_scene_where_near_ones_do_not_count():
    raised = {(1, 2): 0.9, (3, 4): 1.0, (5, 6): 0.6, (7, 8): 0.4}
    duplicates = [(1, 2, "near"), (3, 4, "exact"), (9, 9, "near")]
    found = with_scenes(duplicates, raised, 0.5)
    assert sorted(found) == sorted([*duplicates, (5, 6, "scene")])
    leaks = counted([Leak(*pair) for pair in found], ["exact", "scene"], raised)
    assert {(leak.train, leak.test, leak.kind) for leak in leaks} == {
        (3, 4, "exact"),
        (5, 6, "scene"),
    }
