"""Files and stored progress of the review page, in a real Chromium: import, export, tabs."""

from dataclasses import replace

import pytest
from browser import EXPORTED, decide_some, exported
from review_pages import PAIRS


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
    page, open_page, noise_dataset
):
    decide_some(page)
    other = open_page("other", study="other")
    assert other.counts.startswith("6 of 6")
    assert not other.element("#notice").is_displayed()
    fewer = open_page("later", pairs=PAIRS[:2])
    assert fewer.counts.startswith("4 of 4")
    assert "has annotations of 3 of these items" in fewer.text("#notice p")
    fewer.answer("Use them")
    assert fewer.counts == "1 of 4 left same 1 near 1 different 0 skip 1"
    changed = replace(noise_dataset, test_images=255 - noise_dataset.test_images)
    again = open_page("changed", changed)
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
