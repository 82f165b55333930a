"""Comparing and merging the decisions of two annotators."""

import math
from pathlib import Path

import pytest

from memaudit.buckets.annotators import agreement, disagreements, kappa, merge, read_words
from memaudit.buckets.decisions import read_decisions
from memaudit.cli import main
from memaudit.errors import AuditError

A = """item,train,test,decision
duplicate,1,1,same
duplicate,2,2,near
duplicate,3,3,different
duplicate,4,4,different
duplicate,5,5,skip
duplicate,6,6,near
group,3 1 2,5,same
"""
B = """item,train,test,decision
duplicate,1,1,near
duplicate,2,2,near
duplicate,3,3,different
duplicate,4,4,same
duplicate,5,5,same
group,1 2 3,5,different
"""


@pytest.fixture
def files(tmp_path):
    for name, text in (("a", A), ("b", B)):
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path


def test_kappa_of_counts_that_can_be_computed_by_hand():
    # 20 and 15 agree, 10 and 5 do not: observed 0.7, expected 0.5 * 0.6 + 0.5 * 0.4
    judgments = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert kappa(judgments) == pytest.approx((0.7 - 0.5) / 0.5)
    assert math.isnan(kappa([(0, 0)] * 3)) and math.isnan(kappa([]))


def test_agreement_by_item(files):
    a, b = (read_words(files / f"{name}.csv") for name in "ab")
    pairs, groups = agreement(a, b)
    assert (pairs.both, pairs.same_word, pairs.same_side) == (4, 2, 3)
    assert (pairs.only_a, pairs.only_b) == (1, 1)  # 6 by A only; 5, which A skipped, by B
    assert (groups.both, groups.same_side) == (3, 0)  # by pairs of training examples
    assert disagreements(a, b) == [("duplicate", (4,), (4,)), ("group", (1, 2, 3), (5,))]


def test_merged_decisions_need_every_disagreement_adjudicated(files, capfd):
    paths = [str(files / f"{name}.csv") for name in ("a", "b")]
    merged, left = files / "merged.csv", files / "open.csv"
    assert main(["annotations", "compare", "nowhere.csv", paths[1]]) == 1
    words = capfd.readouterr().err
    assert "nowhere.csv: the decisions cannot be read (No such file or directory)" in words
    assert main(["annotations", "compare", *paths, "--merged", str(merged)]) == 1
    assert "2 disagreements are not adjudicated, the first about duplicate 4, 4" in (
        capfd.readouterr().err
    )
    assert not merged.exists()
    assert main(["annotations", "compare", *paths, "--disagreements", str(left)]) == 0
    out = capfd.readouterr().out
    assert (
        "duplicate: 4 items decided by both, 75.0% agree (kappa 0.50), 50.0% with the same" in out
    )
    assert read_words(left) == {} and "duplicate,4,4,skip,different,same" in left.read_text()
    assert main(["annotations", "compare", *paths, "--disagreements", "-"]) == 0
    assert capfd.readouterr().out == left.read_text() and not Path("-").exists()
    assert main(["annotations", "compare", *paths, "--disagreements", str(left)]) == 1
    assert "open.csv: file exists; use --force" in capfd.readouterr().err
    assert main(["annotations", "compare", *paths, "--disagreements", str(left), "--force"]) == 0
    judge = files / "c.csv"
    judge.write_text(left.read_text().replace("skip", "different"))
    more = ["--adjudicated", str(judge), "--merged", str(merged)]
    assert main(["annotations", "compare", *paths, *more]) == 0
    found = read_decisions(merged)
    assert found.duplicates == {
        **{(1, 1): "near", (2, 2): "near", (3, 3): "different", (4, 4): "different"},
        **{(5, 5): "same", (6, 6): "near"},
    }
    assert set(found.together.values()) == {False} and len(found.together) == 3


def test_merge_keeps_what_one_decided(files):
    a, b = (read_words(files / f"{name}.csv") for name in "ab")
    merged, left = merge(a, b, {})
    assert merged["duplicate", (6,), (6,)] == "near" and len(left) == 2
    assert not merged.keys() & set(left)


def test_groups_are_compared_by_their_pairs(tmp_path, capsys):
    """A's group is larger than B's, as after training more models."""
    texts = {
        "a": "group,3 11 12 40,5,near\ngroup,7 8,5,same\n",
        "b": "group,3 11 12,5,different\ngroup,7 8,6,near\n",
        "c": "group,3 11 12,5,different\nduplicate,1,1,same\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text("item,train,test,decision\n" + text)
    a, b = (read_words(tmp_path / f"{name}.csv") for name in "ab")
    (groups,) = agreement(a, b)
    assert (groups.both, groups.same_side, groups.only_a, groups.only_b) == (4, 1, 3, 0)
    keys = [("group", (3, 11, 12), (5,)), ("group", (3, 11, 12, 40), (5,))]
    assert disagreements(a, b) == keys and merge(a, b, {})[1] == keys
    paths = [str(tmp_path / f"{name}.csv") for name in "abc"]
    merged = tmp_path / "merged.csv"
    more = ["--adjudicated", paths[2], "--merged", str(merged)]
    assert main(["annotations", "compare", *paths[:2], *more]) == 0
    assert "annotated by neither, merged as well: 1\n" in capsys.readouterr().out
    together = read_decisions(merged).together  # the workflow takes it
    assert [pair for pair, is_one in together.items() if is_one] == [
        *((3, 40), (7, 8), (11, 40), (12, 40))
    ] and len(together) == 7
    assert main(["annotations", "compare", paths[2], paths[2]]) == 0
    assert "100.0% agree (kappa undefined: all are alike)" in capsys.readouterr().out


def test_the_dataset_is_kept_and_two_are_refused(tmp_path, capsys):
    paths = [str(tmp_path / f"{name}.csv") for name in "abm"]
    for path, digest in zip(paths, ("0123", ""), strict=False):
        text = f"item,train,test,decision,dataset\nduplicate,1,1,same,{digest}\n"
        (tmp_path / path).write_text(text)
    assert main(["annotations", "compare", *paths[:2], "--merged", paths[2]]) == 0
    with pytest.raises(AuditError, match="another dataset"):
        read_decisions(paths[2], digest="99")
    (tmp_path / "b.csv").write_text(text.replace("same,", "same,4567"))
    assert main(["annotations", "compare", *paths[:2]]) == 1
    assert "made on different datasets (0123, 4567)" in capsys.readouterr().err
