"""Annotating on the review page, in a real Chromium: keys, undo, order, filters, counts."""

import csv
import io

from browser import EXPORTED, exported
from review_pages import PAIRS

from memaudit.review.items import Candidate


def test_annotations_by_key_are_stored_and_exported(page):
    assert page.shown == (9, 4)
    page.press("s")
    assert page.shown == (10, 2)
    page.press("n")
    page.open()
    assert page.shown == (2, 30)
    assert page.counts == "4 of 6 left same 1 near 1 different 0 skip 0"
    page.press("d")
    page.choose("#show", "groups")
    page.press("k")
    page.open()
    assert page.element("#show").get_attribute("value") == "groups"
    assert page.counts == "2 of 6 left same 1 near 1 different 1 skip 1"
    assert page.text("#export") == "Export (4 new)"
    text = exported(page)
    assert text == EXPORTED
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[2] == {"item": "duplicate", "train": "10", "test": "2", "decision": "near"}
    assert rows[3]["train"].split() == ["3", "11", "12", "40"]
    assert page.text("#export") == "Export"


def test_the_position_is_stored(page):
    page.press("\ue014", "\ue014")  # right arrow
    assert page.shown == (2, 30)
    page.press("\ue012")  # left arrow
    page.open()
    assert page.shown == (10, 2)


def test_after_a_correction_the_next_item_without_annotation_is_shown(page):
    page.press("s", "d", "\ue012", "\ue012", "k")
    assert page.shown == (2, 30)
    page.press("s", "s", "s", "s")  # both groups last, then nothing is left
    assert page.counts.startswith("all 6 annotated")


def test_undo_reverts_one_step(page):
    page.press("s", "d", "u")
    assert page.shown == (10, 2)
    assert page.counts.startswith("5 of 6 left same 1")
    page.press("\ue012", "n", "u")  # decided otherwise, and undone: the first word again
    assert page.shown == (9, 4)
    assert page.text("#facts .decision") == "annotated: same"
    page.press("u")
    assert page.counts.startswith("6 of 6")
    page.press("u")
    assert page.text("#status") == "Nothing to undo."


def test_letters_typed_into_a_field_do_not_annotate(page):
    page.press("g", "snd")
    assert page.counts.startswith("6 of 6")
    page.press("\ue00c", "s")  # escape
    assert page.counts.startswith("5 of 6")


def test_filters_orders_and_jumps(page):
    page.choose("#show", "near")
    assert page.text("#title") == "1 of 2" and page.shown == (10, 2)
    page.press("s")
    page.choose("#decided", "no")
    assert page.text("#title") == "1 of 1" and page.shown == (2, 30)
    page.press("d")
    assert "No item passes these filters" in page.text("#empty")
    page.choose("#decided", "different")
    assert page.shown == (2, 30)
    page.choose("#decided", "all")
    page.choose("#show", "pairs")
    page.choose("#order", "best")
    assert page.shown == (5, 7)
    page.choose("#order", "test")
    assert page.shown == (10, 2)
    page.press("\ue010", "\ue011")  # end, home
    assert page.shown == (10, 2)
    page.press("g", "test 30", "\ue007")
    assert page.shown == (2, 30)
    page.press("g", "2", "\ue007")
    assert page.shown == (9, 4)
    page.press("g", "train 49", "\ue007")
    assert page.text("#status") == "No item in this list has training example 49."
    page.choose("#class", "2")  # test 2, train 5 and train 2 are of it, neither 9 nor 4
    page.press("\ue010")  # end
    assert page.text("#title") == "3 of 3" and page.shown == (2, 30)
    page.choose("#class", "all")
    page.choose("#show", "all")
    page.element("#selected").click()
    assert page.text("#title").endswith("of 2")  # train 9, and the group with train 3


def test_pairs_of_a_test_image_are_annotated_at_once(open_page):
    pairs = [PAIRS[0], Candidate(11, 4, None, "selected", 0.25), *PAIRS[1:]]
    page = open_page(pairs=pairs)
    words = "leaks expected after annotating all pairs"
    assert page.text("#uncertainty") == f"0.5 ± 0.5 {words}"
    assert page.text("#siblings p").endswith("annotates all 2 without annotation):")
    assert page.text("#siblings figcaption") == "train 11\nprobability 0.25"
    page.press("D")
    assert page.text("#status") == "Test 4: 2 pairs different." and page.shown == (10, 2)
    assert page.counts == "5 of 7 left same 0 near 0 different 2 skip 0"
    seen = "; 0 of 2 annotated pairs are duplicates, 0.8 expected"  # 0.5 and 0.25
    assert page.text("#uncertainty") == f"0.0 ± 0.0 {words}{seen}"
    page.choose("#show", "pairs")
    page.press("d", "d", "d")
    assert page.text("#uncertainty").endswith(
        "annotated pairs are duplicates, 3.4 expected; you may stop"
    )
    page.press("u", "u", "u")
    page.press("u")
    assert page.counts.startswith("7 of 7 left") and page.shown == (9, 4)


def test_no_number_is_expected_for_images_without_calibration(open_page):
    page = open_page(calibrated=False)
    assert page.text("#rule") == "0 of 2 selected examples leak: annotated pairs"
    words = "Probabilities are not calibrated on these images"
    assert page.text("#uncertainty") == words
    page.press("d")
    assert page.text("#uncertainty").startswith(f"{words}; 0 of 1 annotated pairs are duplicates")


def test_the_header_counts_by_the_rule_of_the_configuration(open_page):
    """Examples 2 and 9 count by rule; the kind of which 5 has a duplicate does not."""
    page = open_page(
        selected=[2, 5, 9, 10],
        settled={(5, 7): True},
        counting={(2, 30), (9, 1)},  # 9 by a pair that is no item
        rule="near ≥ 0.8",
    )
    words = "of 4 selected examples leak: near ≥ 0.8"
    assert page.text("#rule") == f"2 {words}"
    assert page.text("#uncertainty").startswith("2.6 ± 0.5 leaks expected")  # 0.9, 1 and 0.75
    page.press("d", "s")
    assert page.text("#rule") == f"3 {words}"
    assert page.text("#uncertainty").startswith("2.9 ± 0.3 leaks expected")
