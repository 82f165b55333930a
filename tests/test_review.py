"""Tests of the review page: what is written."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from review_pages import GROUPS, PAIRS, content, write

from memaudit import store
from memaudit.buckets.subpopulations import Member
from memaudit.errors import AuditError
from memaudit.review.items import (
    Candidate,
    as_groups,
    by_gain,
    read_candidates,
    read_scores,
    with_selected,
)
from memaudit.tables import read_rows


def test_sheets_hold_every_image(noise_dataset, tmp_path):
    many = [Candidate(k % 50, k % 31, 0.5, "candidate", 0.5) for k in range(1550)]
    big = replace(noise_dataset, train_images=noise_dataset.train_images.repeat(8, 1).repeat(8, 2))
    big = replace(big, test_images=noise_dataset.test_images.repeat(8, 1).repeat(8, 2))
    found = content(write(tmp_path / "index.html", big, pairs=many))
    sheets = found["sheets"]
    assert len(sheets["files"]) == 2  # of 64 images of 64 x 64 pixels each
    each = sheets["columns"] * sheets["rows"]
    images = [np.array(Image.open(tmp_path / "images" / file)) for file in sheets["files"]]
    for side, count in (("train", 50), ("test", 31)):
        assert len(found[side]) == count
        for index, example in found[side].items():
            row, column = divmod(example["place"] % each, sheets["columns"])
            shown = images[example["place"] // each][64 * row :, 64 * column :][:64, :64]
            assert (shown == getattr(big, f"{side}_images")[int(index)]).all()


def test_large_images_are_scaled_down(noise_dataset, tmp_path):
    big = replace(noise_dataset, train_images=np.full((50, 600, 300, 3), 90, np.uint8))
    big = replace(big, test_images=np.full((31, 600, 300, 3), 200, np.uint8))
    sheets = content(write(tmp_path / "index.html", big))["sheets"]
    assert (sheets["width"], sheets["height"]) == (128, 256)
    assert all(file.endswith(".jpg") for file in sheets["files"])


def test_a_rebuilt_page_leaves_no_sheets_behind(noise_dataset, tmp_path):
    page = tmp_path / "index.html"
    first = content(write(page, noise_dataset))["sheets"]["files"]
    (tmp_path / "images" / "mine.png").write_bytes(b"")
    second = content(write(page, noise_dataset, pairs=PAIRS[:1]))["sheets"]["files"]
    left = {path.name for path in (tmp_path / "images").iterdir()}
    assert left == {*second, "mine.png"} and not set(first) & set(second)


def test_examples_of_another_dataset_are_refused(noise_dataset, tmp_path):
    page = write(tmp_path / "index.html", noise_dataset)
    before = page.read_text()
    with pytest.raises(
        AuditError, match="name test example 31, but the dataset has examples 0 to 30"
    ):
        write(page, noise_dataset, pairs=[Candidate(0, 31, 0.5, "near", 0.9)])
    assert page.read_text() == before


def test_the_digest_covers_items_and_images(noise_dataset, tmp_path):
    def digest(*arguments, **options):
        return content(write(tmp_path / "index.html", *arguments, **options))["digest"]

    known = digest(noise_dataset)
    rescored = [replace(pair, score=pair.score / 2) for pair in PAIRS]
    assert digest(noise_dataset, pairs=rescored) == known
    others = [
        digest(noise_dataset, study="another"),
        digest(noise_dataset, pairs=PAIRS[1:]),
        digest(noise_dataset, groups=GROUPS[1:]),
        digest(replace(noise_dataset, train_images=255 - noise_dataset.train_images)),
    ]
    assert len({known, *others}) == 5


def test_every_selected_pair_is_an_item():
    ranked = {(7, 7): (0.3, 0.1), (9, 4): (0.58, 0.5)}
    selected = dict.fromkeys([(9, 4), (7, 7), (8, 8), (5, 7)])
    found = with_selected(PAIRS, selected, ranked, scene=0.7)
    raised = pytest.approx(0.78, abs=0.02)  # odds: exp(1.25)
    assert found[:4] == [Candidate(9, 4, 0.58, "scene", raised), *PAIRS[1:]]
    assert (found[4].score, found[4].kind) == (0.3, "selected") and 0.1 < found[4].probability < 0.5
    assert (found[5].train, found[5].test, found[5].score, len(found)) == (8, 8, None, 6)
    assert 0 < found[5].probability < 0.3
    # by the score alone: of selected pairs more are duplicates than of others
    scored = with_selected(PAIRS, selected, ranked, scene=None)
    assert scored[1:4] == PAIRS[1:] and scored[5] == found[5]
    assert found[5].probability < scored[4].probability < scored[0].probability


def test_pairs_are_ordered_by_what_their_annotation_changes():
    chances = {(1, 1): 0.5, (2, 2): 0.95, (3, 3): 0.5, (4, 4): 0.5, (5, 5): 0.5, (6, 6): 0.5}
    chances |= {(6, 7): 1.0, (8, 8): 0.5, (9, 10): 0.5}  # test 9 makes 9 a leak, by annotation
    items = [Candidate(*pair, 0.5, "candidate", chance) for pair, chance in chances.items()]
    order = by_gain(
        items,
        influence={(5, 5): 0.6},
        selected={1, 2, 3, 5, 6, 8, 9},
        grouped={3},
        settled={(8, 8): False, (9, 9): True, (2, 1): False},
    )
    # influence; uncertain; the bucket is certain; not selected; certain; another pair decides
    assert [pair.train for pair in order] == [5, 1, 3, 2, 4, 6, 6, 8, 9]


def test_groups_are_read_from_rows_of_members(tmp_path):
    path = tmp_path / "subpopulations.csv"
    path.write_text(
        "group,checked_group,example,class,test_examples,similarity\n"
        "1,8,21,cat,9,0.7\n1,8,20,cat,9,0.7\n"
        '0,9,40,"a, b",10,0.4\n0,7,3,cat,5 10,0.9\n0,7,11,cat,5 8,0.9\n0,,12,cat,8,0.1\n'
    )
    assert as_groups(read_rows(path, Member)) == GROUPS


def test_pairs_are_read_and_other_columns_ignored(tmp_path):
    path = tmp_path / "duplicates.csv"
    path.write_text(
        "train,test,score,kind,probability,train_path\n9,4,0.58,candidate,0.5,x/y.png\n"
    )
    assert read_candidates(path) == PAIRS[:1]
    path.write_text("train,test,score\n9,4,0.58\n")
    with pytest.raises(AuditError, match=r"duplicates\.csv: there is no column 'kind'"):
        read_candidates(path)
    path.write_text("train,test,score,kind,probability\n1,2,0.5,near,1\n9,four,0.5,candidate,1\n")
    with pytest.raises(AuditError, match=r"duplicates\.csv, line 3: .*'four'"):
        read_candidates(path)
    with pytest.raises(AuditError, match="file not found"):
        read_candidates(tmp_path / "none.csv")


def test_scores_are_read_for_the_pairs_that_have_one(tmp_path):
    with store.create(tmp_path / "scores.h5", store.SCORES, {}) as out:
        for name, values in {
            "train_labels": [0, 1, 0],
            "test_labels": [1, 0],
            "memorization": [0.5, 0.25, 0.75],
            "memorization_se": [0.1] * 3,
            "n_in": [7] * 3,
            "n_out": [3] * 3,
            "influence/class0/train_index": [0, 2],
            "influence/class0/test_index": [1],
            "influence/class0/influence": [[0.125], [0.625]],
            "influence/class0/influence_se": [[0.1], [0.1]],
        }.items():
            out.add(name, values)
    memorization, influence = read_scores(tmp_path / "scores.h5", [(2, 1), (1, 1), (2, 0)])
    assert memorization.tolist() == [0.5, 0.25, 0.75]
    assert influence == {(2, 1): 0.625}
