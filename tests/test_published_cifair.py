"""ciFAIR's list of duplicates, and how it is combined with the finder's."""

import pytest
from published_files import cifair_file, real

from memaudit.buckets.leaks import Leak
from memaudit.errors import AuditError
from memaudit.published import cifair
from memaudit.published.cifair import agreement, judged_by_cifair, read_cifair, with_cifair


def test_cifair_is_read_in_order(tmp_path):
    rows = [(3, 9, 0), (1, 7, 2), (0, 7, 1)]
    path = cifair_file(tmp_path / "c.csv", rows)
    assert read_cifair(path) == rows
    judged = {(9, 3): True, (7, 1): False, (7, 0): True}  # training, test
    assert judged_by_cifair(path, ["exact", "near"]) == judged


def test_the_published_list_is_read():
    rows = read_cifair(real("cifair100"))
    judgments = [judgment for _, _, judgment in rows]
    assert len(rows) == len({test for test, _, _ in rows}) == 891
    assert [judgments.count(kind) for kind in (cifair.EXACT, cifair.NEAR)] == [39, 582]


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([], "TestID,TrainID,Distance", r"there is no column 'Judgment'"),
        ([(1, 2, 0), (1, 2, 3)], None, r"line 3: Judgment is '3'\. Download"),
        ([(1, "x", 0)], None, r"line 2: TrainID is 'x'"),
        ([(1, -1, 0)], None, r"line 2: TrainID is '-1'"),
    ],
)
def test_errors_name_the_problem_in_a_list(tmp_path, rows, header, message):
    path = cifair_file(tmp_path / "c.csv", rows, *([header] if header else []))
    with pytest.raises(AuditError, match=rf"c\.csv[:,] {message}"):
        read_cifair(path)
    with pytest.raises(AuditError, match=r"none\.csv: file not found"):
        read_cifair(tmp_path / "none.csv")


def test_agreement_counts_pairs_and_test_images():
    cifair = [(10, 1, 0), (11, 2, 1), (12, 3, 1), (13, 4, 2)]
    detected = [(1, 10, "exact"), (9, 11, "near"), (4, 13, "near"), (5, 14, "near")]
    pairs, tests = agreement(detected, cifair)
    assert (pairs.unit, pairs.both, pairs.only_cifair, pairs.only_finder) == ("pairs", 1, 2, 3)
    assert (tests.unit, tests.both, tests.only_cifair, tests.only_finder) == (
        "test images",
        2,
        1,
        2,
    )
    pairs, _ = agreement(detected, cifair, judgments=(0, 1, 2))
    assert (pairs.both, pairs.only_cifair, pairs.only_finder) == (2, 2, 2)
    assert agreement([], [])[0].both == 0


def test_cifair_takes_precedence_except_for_identical_pixels():
    found = [(1, 10, "exact"), (2, 11, "near"), (3, 12, "near"), (4, 13, "near")]
    cifair = [(10, 1, 0), (11, 2, 0), (12, 3, 2), (14, 5, 1)]
    assert with_cifair(found, cifair, ["exact", "near"]) == [
        Leak(1, 10, "exact", "rule"),
        Leak(2, 11, "one_picture", "published annotation"),
        Leak(4, 13, "near", "rule"),
        Leak(5, 14, "near", "published annotation"),
    ]
