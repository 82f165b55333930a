"""Tests of the review page: how it behaves in a real Chromium."""

import csv
import io
import json
import shutil
from dataclasses import replace

import browser
import numpy as np
import pytest
from browser import Page, resize
from test_review import PAIRS, content, noise, write

from memaudit.review import Candidate


@pytest.fixture(scope="module")
def dataset(small_dataset):
    return noise(small_dataset)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """One Chromium for all tests."""
    yield from browser.chromium(tmp_path_factory.mktemp("downloads"))


@pytest.fixture
def page(chromium, dataset, tmp_path):
    """The page of test_review's pairs and groups, at 1280 x 800.

    Each test has a study of its own name: pages on disk share one storage.
    """
    resize(chromium.driver, 1280, 800)
    path = tmp_path / "page" / "index.html"
    yield Page(chromium, write(path, dataset, study=tmp_path.name))
    logged = [entry["message"] for entry in chromium.driver.get_log("browser")]
    assert not [text for text in logged if "beforeunload" not in text]


EXPORTED = (
    "item,train,test,decision\n"
    "duplicate,2,30,different\n"
    "duplicate,9,4,same\n"
    "duplicate,10,2,near\n"
    "group,3 11 12 40,5 8 10,skip\n"
)


def exported(page):
    """The exported file without its last column, which names the dataset."""
    digest = content(page.path)["dataset"][:16]
    first, *rows = page.export().splitlines()
    assert first.endswith(",dataset") and all(row.endswith(f",{digest}") for row in rows)
    lines = [line.rpartition(",")[0] for line in (first, *rows)]
    return "\n".join(lines) + "\n"


def decide_some(page):
    """Four decisions with keys, as EXPORTED has them; the exact pair and a group are left."""
    page.press("s", "n", "3")  # a number does as well as a letter
    page.choose("#show", "groups")
    page.press("k")
    page.choose("#show", "all")


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


def test_no_number_is_expected_for_images_without_calibration(chromium, dataset, tmp_path):
    resize(chromium.driver, 1280, 800)
    path = tmp_path / "page" / "index.html"
    page = Page(chromium, write(path, dataset, study=tmp_path.name, calibrated=False))
    assert page.text("#rule") == "0 of 2 selected examples leak: annotated pairs"
    words = "Probabilities are not calibrated on these images"
    assert page.text("#uncertainty") == words
    page.press("d")
    assert page.text("#uncertainty").startswith(f"{words}; 0 of 1 annotated pairs are duplicates")


def test_pairs_of_a_test_image_are_annotated_at_once(chromium, dataset, tmp_path):
    pairs = [PAIRS[0], Candidate(11, 4, None, "selected", 0.25), *PAIRS[1:]]
    resize(chromium.driver, 1280, 800)
    path = tmp_path / "page" / "index.html"
    page = Page(chromium, write(path, dataset, study=tmp_path.name, pairs=pairs))
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


def test_the_header_counts_by_the_rule_of_the_configuration(chromium, dataset, tmp_path):
    """Examples 2 and 9 count by rule; the kind of which 5 has a duplicate does not."""
    options = {
        "selected": [2, 5, 9, 10],
        "settled": {(5, 7): True},
        "counting": {(2, 30), (9, 1)},  # 9 by a pair that is no item
        "rule": "near ≥ 0.8",
    }
    path = write(tmp_path / "page" / "index.html", dataset, study=tmp_path.name, **options)
    page = Page(chromium, path)
    words = "of 4 selected examples leak: near ≥ 0.8"
    assert page.text("#rule") == f"2 {words}"
    assert page.text("#uncertainty").startswith("2.6 ± 0.5 leaks expected")  # 0.9, 1 and 0.75
    page.press("d", "s")
    assert page.text("#rule") == f"3 {words}"
    assert page.text("#uncertainty").startswith("2.9 ± 0.3 leaks expected")


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


def test_letters_typed_into_a_field_do_not_annotate(page):
    page.press("g", "snd")
    assert page.counts.startswith("6 of 6")
    page.press("\ue00c", "s")  # escape
    assert page.counts.startswith("5 of 6")


def test_images_are_those_of_the_dataset(page, dataset):
    page.press("z")  # sharp pixels
    assert (page.pixels(page.element("#train")) == dataset.train_images[9]).all()
    assert (page.pixels(page.element("#test")) == dataset.test_images[4]).all()
    page.press("m", "o")
    assert (page.pixels(page.element("#test")) == dataset.test_images[4][:, ::-1]).all()
    half = (dataset.train_images[9].astype(int) + dataset.test_images[4][:, ::-1]) / 2
    assert np.abs(page.pixels(page.element("#compare")) - half).max() <= 2
    page.press("m", "x")
    gap = np.abs(dataset.train_images[9].astype(int) - dataset.test_images[4])
    assert np.abs(page.pixels(page.element("#compare")) - gap).max() <= 1
    page.press("b")
    seen = {"blink: train", "blink: test"}
    page.until(lambda: not seen or seen.discard(page.text("#compared figcaption")))
    page.press("b")
    assert not page.element("#compared").is_displayed()


def test_facts_about_a_pair_are_shown(page):
    assert "candidate" in page.text("#facts") and "0.58" in page.text("#facts")
    assert "memorization 0.88, selected" in page.text("#train + figcaption")
    assert "influence on it 0.25" in page.text("#test + figcaption")
    assert "classes differ" in page.text("#facts")
    assert page.text("#test + figcaption").startswith("test 4 · ≠ dog")
    page.press("\ue014", "\ue014")
    assert "classes differ" in page.text("#facts")
    assert "</script>" in page.text("#train + figcaption")  # a name is text, nothing else
    assert "memorization" not in page.text("#train + figcaption")  # not known


def test_a_group_is_shown_with_its_parts(page, dataset):
    page.press("z")  # sharp pixels
    page.choose("#show", "groups")
    members = page.driver.find_elements("css selector", "#members figure")
    assert [m.text.split("\n")[0].split() for m in members] == [
        ["A", "train", "3"],
        ["A", "train", "11"],
        ["B", "train", "40"],
        ["–", "train", "12"],
    ]
    assert (
        page.text("#group h3")
        == "4 training images; by visual similarity 2 parts and 1 without a part"
    )
    canvas = members[2].find_element("css selector", "canvas")
    assert (page.pixels(canvas) == dataset.train_images[40]).all()
    tests = page.driver.find_elements("css selector", "#tests figure")
    assert [t.text.split("\n") for t in tests] == [
        ["test 5", "0.50 from 3", "0.30 from 11"],
        ["test 8", "0.20 from 12"],
        ["test 10", "0.75 from 40"],
    ]
    page.driver.execute_script("arguments[0].focus()", members[2])
    linked = page.driver.find_elements("css selector", "[data-linked]")
    assert [figure.get_attribute("data-index") for figure in linked] == ["10"]
    page.press("d")  # on to the group that the check did not split: no letters
    assert page.text("#group h3") == "2 training images"
    assert not page.driver.find_elements("css selector", ".mark")


def test_an_export_is_imported_again(page, tmp_path):
    (tmp_path / "mine.csv").write_text(EXPORTED)
    page.element("#file")
    said = page.take(tmp_path / "mine.csv")
    assert said == (
        "mine.csv: 4 lines, 4 of them new; 4 about items of this page; "
        "0 in conflict with annotations here."
    )
    assert page.counts == "2 of 6 left same 1 near 1 different 1 skip 1"
    assert page.text("#export") == "Export"  # all of it is in a file
    page.answer("Close")
    assert exported(page) == EXPORTED
    page.press("u")  # an import is one step
    assert page.counts.startswith("6 of 6")


def test_a_file_edited_by_hand_is_merged(page, tmp_path):
    page.press("s")
    (tmp_path / "hand.csv").write_bytes(
        b"\xef\xbb\xbfdecision,note,item,train,test\r\n"
        b' Near ,"well, hm",duplicate,10,2\r\n'
        b"different,,duplicate,9,4\r\n"
        b"\r\n"
        b'same,"a ""quoted""\nnote",group,21 20,9\r\n'
        b"same,,duplicate,1,1\r\n"
    )
    said = page.take(tmp_path / "hand.csv")
    assert said == (
        "hand.csv: 4 lines, 3 of them new; 3 about items of this page; "
        "1 about other items, kept for the export; "
        "1 in conflict with annotations here."
    )
    assert page.counts == "3 of 6 left same 2 near 1 different 0 skip 0"
    page.answer("Use those of the file")
    assert page.counts == "3 of 6 left same 1 near 1 different 1 skip 0"
    page.open()
    assert exported(page).splitlines()[1:] == [
        "duplicate,1,1,same",
        "duplicate,9,4,different",
        "duplicate,10,2,near",
        "group,20 21,9,same",
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_file_saved_by_a_spreadsheet_is_read(page, tmp_path, separator, encoding):
    text = EXPORTED.replace(",", separator).replace("same", "Same")
    (tmp_path / "mine.csv").write_bytes(text.encode(encoding))
    assert "4 lines, 4 of them new; 4 about items" in page.take(tmp_path / "mine.csv")
    (tmp_path / "named.csv").write_text(f"sep={separator}\n{text}")
    assert "4 lines, 0 of them new" in page.take(tmp_path / "named.csv")


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "the file is empty"),
        (
            "item,train,test,decision\nduplicate,50,2,near\n",
            "line 2: training example 50 is out of range; indices go from 0 to 49",
        ),
        (
            "item,train,test,decision,dataset\nduplicate,10,2,near,1234\n",
            "line 2: this decision was made on another dataset",
        ),
        (
            "train,test,decision\n1,2,same\n",
            "the first line must be item,train,test,decision, but is train,test,decision",
        ),
        (
            "item,train,test,decision\nduplicate,10,2,near\nduplicate,9,4,maybe\n",
            "line 3: decision “maybe” is none of same, near, different, skip",
        ),
        (
            "item,train,test,decision\nduplicate,10,2,near\npair,9,4,same\n",
            "line 3: item “pair” is neither duplicate nor group",
        ),
        (
            "item,train,test,decision\nduplicate,10,2,near\nduplicate,9,-4,same\n",
            "line 3: test “-4” is not an index",
        ),
        (
            "item,train,test,decision\nduplicate,10 11,2,near\n",
            "line 2: a duplicate must have exactly one training example",
        ),
        ("item,train,test,decision\nduplicate,10,2\n", "line 2: 3 fields, expected 4"),
        (
            "item,train,test,decision\nduplicate,10,2,near\nduplicate,10,2,same\n",
            "line 3: same, but line 2 annotates the same item as near",
        ),
        (
            'item,train,test,decision\nduplicate,10,2,"near\n',
            "line 2: unclosed quote",
        ),
    ],
)
def test_a_bad_file_changes_nothing(page, tmp_path, text, complaint):
    (tmp_path / "bad.csv").write_text(text)
    assert page.take(tmp_path / "bad.csv") == f"bad.csv: {complaint}. Nothing was imported."
    assert page.counts.startswith("6 of 6")


def test_studies_are_separate_and_a_rebuilt_page_offers_earlier_annotations(
    page, dataset, tmp_path, chromium
):
    decide_some(page)
    other = Page(chromium, write(tmp_path / "other" / "index.html", dataset, study="other"))
    assert other.counts.startswith("6 of 6")
    assert not other.element("#notice").is_displayed()
    study = {"study": tmp_path.name}
    later = write(tmp_path / "later" / "index.html", dataset, pairs=PAIRS[:2], **study)
    fewer = Page(chromium, later)
    assert fewer.counts.startswith("4 of 4")
    assert "has annotations of 3 of these items" in fewer.text("#notice p")
    fewer.answer("Use them")
    assert fewer.counts == "1 of 4 left same 1 near 1 different 0 skip 1"
    changed = replace(dataset, test_images=255 - dataset.test_images)
    again = Page(chromium, write(tmp_path / "changed" / "index.html", changed, **study))
    assert again.counts.startswith("6 of 6")
    assert not again.element("#notice").is_displayed()  # the images are others
    page.open()
    assert page.counts.startswith("2 of 6")


def test_another_tab_shows_new_annotations(page):
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    try:
        page.open()
        page.press("d")
        page.driver.close()
    finally:
        page.driver.switch_to.window(first)

    def taken_over():  # looked for again: tabs come to share what is stored in their own time
        page.driver.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
        return page.counts.startswith("5 of 6 left same 0 near 0 different 1")

    page.until(taken_over)


def test_without_storage_the_page_works_and_warns(page):
    script = "Storage.prototype.setItem = () => { throw new DOMException('no', 'SecurityError') }"
    added = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        page.open()
        assert "cannot store progress for this page (SecurityError)" in page.text("#notice p")
        page.press("s")
        assert exported(page) == "item,train,test,decision\nduplicate,9,4,same\n"
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_leaving_with_unexported_annotations_asks(page):
    leave = (
        "const event = new Event('beforeunload', {cancelable: true});"
        "window.dispatchEvent(event); return event.defaultPrevented"
    )
    assert not page.driver.execute_script(leave)
    page.press("s")
    assert page.driver.execute_script(leave)
    page.export()
    assert not page.driver.execute_script(leave)


def test_missing_images_are_reported(page):
    shutil.rmtree(page.path.parent / "images")
    page.open()
    page.until(lambda: "Images are missing" in page.text("#notice p"))
    page.driver.get_log("browser")  # which holds the browser's own complaint


def test_an_empty_page_has_a_message(page, dataset, tmp_path, chromium):
    empty = Page(chromium, write(tmp_path / "empty" / "index.html", dataset, pairs=[], groups=[]))
    assert empty.text("#empty") == "There are no pairs or groups to annotate."
    empty.press("s", "u", "\ue014")
    assert exported(empty) == "item,train,test,decision\n"


def test_only_the_images_beside_it_are_loaded(page):
    page.driver.get_log("performance")
    page.open()
    page.pixels(page.element("#train"))
    page.press("s")
    page.pixels(page.element("#train"))
    events = [
        json.loads(entry["message"])["message"] for entry in page.driver.get_log("performance")
    ]
    asked = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
    images = content(page.path)["sheets"]["files"]
    expected = [page.path, *(page.path.parent / "images" / file for file in images)]
    assert [e["request"]["url"] for e in asked] == [path.as_uri() for path in expected]


@pytest.mark.parametrize(
    "width, height, least", [(1280, 800, 224), (900, 600, 224), (420, 850, 190)]
)
def test_window_sizes(page, width, height, least):
    resize(page.driver, width, height)
    page.open()
    for show in ("pairs", "groups"):
        page.driver.execute_script("document.getElementById('filters').open = true")
        page.choose("#show", show)
        size = "return [document.documentElement.scrollWidth, innerWidth]"
        inner, outer = page.driver.execute_script(size)
        assert inner <= outer
    page.choose("#show", "pairs")
    assert page.element("#train").size["width"] >= least
    train, test = page.element("#train").rect, page.element("#test").rect
    assert train["y"] == test["y"] and train["x"] + train["width"] < test["x"]
    if width > 420:  # all of it is seen without scrolling
        tall = page.driver.execute_script("return document.documentElement.scrollHeight")
        assert tall <= height
