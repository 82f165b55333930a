"""Tests of the review page: what is written, and how it behaves in a real Chromium."""

import csv
import io
import json
import re
import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from memaudit import store
from memaudit.buckets.subpopulations import read_groups
from memaudit.errors import AuditError
from memaudit.review import (
    Candidate,
    Group,
    as_groups,
    read_candidates,
    read_scores,
    write_page,
)

NEAR = 0.6
# In the order in which the page shows them: nearest to the threshold first.
PAIRS = [
    Candidate(9, 4, 0.58, "candidate"),
    Candidate(10, 2, 0.7, "near"),
    Candidate(2, 30, 0.81, "near"),
    Candidate(5, 7, 1.0, "exact"),
]
GROUPS = [
    Group(0, (3, 11, 12, 40), (5, 8, 10), (7, 7, None, 9), (0.9, 0.9, 0.1, 0.4)),
    Group(1, (20, 21), (9,), (8, 8), (0.7, 0.7)),
]
INFLUENCE = {(9, 4): 0.25, (3, 5): 0.5, (11, 5): 0.3, (12, 8): 0.2, (40, 10): 0.75, (20, 9): 0.4}
MEMORIZATION = {9: 0.875, 3: 0.5, 10: float("nan")}


@pytest.fixture(scope="module")
def dataset(small_dataset):
    """Noise, so that no image looks like another; classes by turns."""
    rng = np.random.default_rng(1)
    train, test = (rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8) for n in (50, 31))
    return replace(
        small_dataset,
        class_names=["cat", "dog", "</script>"],
        train_images=train,
        train_labels=np.arange(50) % 3,
        test_images=test,
        test_labels=np.arange(31) % 3,
    )


def write(path, dataset, study="a study", pairs=PAIRS, groups=GROUPS):
    write_page(
        path,
        study,
        dataset,
        pairs,
        groups,
        near=NEAR,
        memorization=MEMORIZATION,
        influence=INFLUENCE,
        selected=[9, 3],
    )
    return path


def content(path):
    """What the page holds, as its script reads it."""
    text = path.read_text()
    return json.loads(re.search(r'id="content">(.*?)</script>', text, re.DOTALL).group(1))


# --- what is written --------------------------------------------------------------------------


def test_sheets_hold_every_image(dataset, tmp_path):
    many = [Candidate(k % 50, k % 31, 0.5, "candidate") for k in range(1550)]
    big = replace(dataset, train_images=dataset.train_images.repeat(8, 1).repeat(8, 2))
    big = replace(big, test_images=dataset.test_images.repeat(8, 1).repeat(8, 2))
    found = content(write(tmp_path / "index.html", big, pairs=many))
    sheets = found["sheets"]
    assert len(sheets["files"]) == 2  # of 64 images of 64 x 64 pixels each
    each = sheets["columns"] * sheets["rows"]
    images = [np.array(Image.open(tmp_path / "images" / file)) for file in sheets["files"]]
    for side, count in (("train", 50), ("test", 31)):
        assert len(found[side]) == count
        for index, point in found[side].items():
            row, column = divmod(point["place"] % each, sheets["columns"])
            shown = images[point["place"] // each][64 * row :, 64 * column :][:64, :64]
            assert (shown == getattr(big, f"{side}_images")[int(index)]).all()


def test_large_images_are_scaled_down(dataset, tmp_path):
    big = replace(dataset, train_images=np.full((50, 600, 300, 3), 90, np.uint8))
    big = replace(big, test_images=np.full((31, 600, 300, 3), 200, np.uint8))
    sheets = content(write(tmp_path / "index.html", big))["sheets"]
    assert (sheets["width"], sheets["height"]) == (128, 256)
    assert all(file.endswith(".jpg") for file in sheets["files"])


def test_a_page_written_anew_leaves_no_sheets_behind(dataset, tmp_path):
    page = tmp_path / "index.html"
    first = content(write(page, dataset))["sheets"]["files"]
    (tmp_path / "images" / "mine.png").write_bytes(b"")
    second = content(write(page, dataset, pairs=PAIRS[:1]))["sheets"]["files"]
    left = {path.name for path in (tmp_path / "images").iterdir()}
    assert left == {*second, "mine.png"} and not set(first) & set(second)


def test_points_of_another_dataset_are_refused(dataset, tmp_path):
    page = write(tmp_path / "index.html", dataset)
    before = page.read_text()
    with pytest.raises(AuditError, match="name test point 31, the dataset has points 0 to 30"):
        write(page, dataset, pairs=[Candidate(0, 31, 0.5, "near")])
    assert page.read_text() == before


def test_the_digest_stands_for_items_and_images(dataset, tmp_path):
    def digest(*arguments, **options):
        return content(write(tmp_path / "index.html", *arguments, **options))["digest"]

    known = digest(dataset)
    rescored = [replace(pair, score=pair.score / 2) for pair in PAIRS]
    assert digest(dataset, pairs=rescored) == known
    others = [
        digest(dataset, study="another"),
        digest(dataset, pairs=PAIRS[1:]),
        digest(dataset, groups=GROUPS[1:]),
        digest(replace(dataset, train_images=255 - dataset.train_images)),
    ]
    assert len({known, *others}) == 5


def test_groups_are_read_from_rows_of_members(tmp_path):
    path = tmp_path / "subpopulations.csv"
    path.write_text(
        "group,checked_group,train,class,test_points,similarity\n"
        "1,8,21,cat,9,0.7\n1,8,20,cat,9,0.7\n"
        '0,9,40,"a, b",10,0.4\n0,7,3,cat,5 10,0.9\n0,7,11,cat,5 8,0.9\n0,,12,cat,8,0.1\n'
    )
    assert as_groups(read_groups(path)) == GROUPS


def test_pairs_are_read_with_columns_to_spare(tmp_path):
    path = tmp_path / "duplicates.csv"
    path.write_text("train,test,score,kind,train_path\n9,4,0.58,candidate,x/y.png\n")
    assert read_candidates(path) == PAIRS[:1]
    path.write_text("train,test,score\n9,4,0.58\n")
    with pytest.raises(AuditError, match=r"duplicates\.csv: there is no column 'kind'"):
        read_candidates(path)
    path.write_text("train,test,score,kind\n1,2,0.5,near\n9,four,0.58,candidate\n")
    with pytest.raises(AuditError, match=r"duplicates\.csv, line 3: .*'four'"):
        read_candidates(path)
    with pytest.raises(AuditError, match="no such file"):
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


# --- in the browser ---------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
SECONDS = 10  # longest wait for something that takes a moment


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """One Chromium for all tests; it downloads into its own folder."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("the review page is tested in Chromium: install chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    downloads = tmp_path_factory.mktemp("downloads")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield SimpleNamespace(driver=driver, downloads=downloads)
    driver.quit()


class Page:
    """A review page open in the browser."""

    def __init__(self, chromium, path):
        self.driver, self.downloads, self.path = chromium.driver, chromium.downloads, path
        self.open()

    def open(self):
        self.driver.get(self.path.as_uri())

    def element(self, selector):
        return self.driver.find_element("css selector", selector)

    def text(self, selector):
        return self.element(selector).text

    def press(self, *keys):
        """Press keys, one after the other, as a person does."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def choose(self, selector, value):
        from selenium.webdriver.support.ui import Select

        Select(self.element(selector)).select_by_value(value)
        self.driver.execute_script("document.activeElement.blur()")

    def until(self, condition):
        end = time.monotonic() + SECONDS
        while not (found := condition()):
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.02)
        return found

    @property
    def shown(self):
        """The pair whose captions are shown, as (train, test)."""
        words = self.text("#train + figcaption"), self.text("#test + figcaption")
        return tuple(int(re.match(r"(?:train|test) (\d+)", text).group(1)) for text in words)

    @property
    def counts(self):
        return self.text("#counts").replace("\n", " ")

    def export(self, press=True):
        """Export, and return the text of the file."""
        for path in self.downloads.iterdir():
            path.unlink()
        if press:
            self.press("e")
        path = self.downloads / "decisions.csv"
        self.until(path.exists)
        return path.read_bytes().decode()

    def take(self, path):
        """Import a file, and return what the page says about it."""
        self.driver.execute_script("document.getElementById('notice').hidden = true")
        self.element("#file").send_keys(str(path))
        self.until(lambda: self.element("#notice").is_displayed())
        return self.text("#notice p")

    def answer(self, label):
        self.driver.find_element("xpath", f"//div[@id='notice']//button[.={label!r}]").click()

    def pixels(self, canvas):
        """The middles of the 8 x 8 pixels of an image as they are on the screen."""
        self.until(lambda: canvas.get_attribute("data-shown"))
        seen = np.array(Image.open(io.BytesIO(canvas.screenshot_as_png)).convert("RGB"))
        middles = ((np.arange(8) + 0.5) * len(seen) / 8).astype(int)
        return seen[np.ix_(middles, middles)]


@pytest.fixture
def page(chromium, dataset, tmp_path):
    """The page of the pairs and groups above, at 1280 x 800.

    Each test has a study of its own name: pages on disk share one storage.
    """
    resize(chromium.driver, 1280, 800)
    path = tmp_path / "page" / "index.html"
    yield Page(chromium, write(path, dataset, study=tmp_path.name))
    logged = [entry["message"] for entry in chromium.driver.get_log("browser")]
    assert not [text for text in logged if "beforeunload" not in text]


def resize(driver, width, height):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


EXPORTED = (
    "item,train,test,decision\n"
    "duplicate,2,30,different\n"
    "duplicate,9,4,same\n"
    "duplicate,10,2,near\n"
    "group,3 11 12 40,5 8 10,skip\n"
)


def decide_some(page):
    """Four decisions with keys, as EXPORTED has them; the exact pair and a group are left."""
    page.press("s", "n", "3")  # a number does as well as a letter
    page.choose("#show", "groups")
    page.press("k")
    page.choose("#show", "all")


def test_decided_with_keys_reloaded_exported(page):
    assert page.shown == (9, 4)
    page.press("s")
    assert page.shown == (10, 2)
    page.press("n")
    page.open()
    assert page.shown == (2, 30)
    assert page.counts == "4 of 6 to go same 1 near 1 different 0 skip 0"
    page.press("d")
    page.choose("#show", "groups")
    page.press("k")
    page.open()
    assert page.element("#show").get_attribute("value") == "groups"
    assert page.counts == "2 of 6 to go same 1 near 1 different 1 skip 1"
    assert page.text("#export") == "Export (4 new)"
    text = page.export()
    assert text == EXPORTED
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[2] == {"item": "duplicate", "train": "10", "test": "2", "decision": "near"}
    assert rows[3]["train"].split() == ["3", "11", "12", "40"]
    assert page.text("#export") == "Export"


def test_where_one_was_is_kept(page):
    page.press("\ue014", "\ue014")  # right arrow
    assert page.shown == (2, 30)
    page.press("\ue012")  # left arrow
    page.open()
    assert page.shown == (10, 2)


def test_after_a_correction_the_next_undecided_is_shown(page):
    page.press("s", "d", "\ue012", "\ue012", "k")
    assert page.shown == (2, 30)
    page.press("s", "s", "s", "s")  # both groups last, then nothing is left
    assert page.counts.startswith("all 6 decided")


def test_undo_goes_back_a_step_at_a_time(page):
    page.press("s", "d", "u")
    assert page.shown == (10, 2)
    assert page.counts.startswith("5 of 6 to go same 1")
    page.press("\ue012", "n", "u")  # decided otherwise, and undone: the first word again
    assert page.shown == (9, 4)
    assert page.text("#facts .decision") == "decided: same"
    page.press("u")
    assert page.counts.startswith("6 of 6")
    page.press("u")
    assert page.text("#status") == "There is nothing to undo."


def test_filters_orders_and_jumps(page):
    page.choose("#show", "near")
    assert page.text("#title") == "1 of 2" and page.shown == (10, 2)
    page.press("s")
    page.choose("#decided", "no")
    assert page.text("#title") == "1 of 1" and page.shown == (2, 30)
    page.press("d")
    assert "Nothing is left with these filters" in page.text("#empty")
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
    assert page.text("#status") == "No item in this list has train point 49."
    page.choose("#class", "2")  # test 2, train 5 and train 2 are of it, neither 9 nor 4
    page.press("\ue010")  # end
    assert page.text("#title") == "3 of 3" and page.shown == (2, 30)
    page.choose("#class", "all")
    page.choose("#show", "all")
    page.element("#selected").click()
    assert page.text("#title").endswith("of 2")  # train 9, and the group with train 3


def test_letters_typed_into_a_field_decide_nothing(page):
    page.press("g", "snd")
    assert page.counts.startswith("6 of 6")
    page.press("\ue00c", "s")  # escape
    assert page.counts.startswith("5 of 6")


def test_images_are_those_of_the_dataset(page, dataset):
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


def test_what_is_known_of_a_pair_is_shown(page):
    assert "candidate" in page.text("#facts") and "0.58" in page.text("#facts")
    assert "memorization 0.88, selected" in page.text("#train + figcaption")
    assert "influence of train on it 0.25" in page.text("#test + figcaption")
    assert "classes differ" in page.text("#facts")
    assert page.text("#test + figcaption").startswith("test 4 · ≠ dog")
    page.press("\ue014", "\ue014")
    assert "classes differ" in page.text("#facts")
    assert "</script>" in page.text("#train + figcaption")  # a name is text, nothing else
    assert "memorization" not in page.text("#train + figcaption")  # not known


def test_a_group_is_shown_with_its_parts(page, dataset):
    page.choose("#show", "groups")
    members = page.driver.find_elements("css selector", "#members figure")
    assert [m.text.split("\n")[0].split() for m in members] == [
        ["A", "train", "3"],
        ["A", "train", "11"],
        ["B", "train", "40"],
        ["–", "train", "12"],
    ]
    assert page.text("#group h3") == "4 train images, by their looks 2 parts and 1 alone"
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
    assert page.text("#group h3") == "2 train images"
    assert not page.driver.find_elements("css selector", ".mark")


def test_an_export_is_imported_again(page, tmp_path):
    (tmp_path / "mine.csv").write_text(EXPORTED)
    page.element("#file")
    said = page.take(tmp_path / "mine.csv")
    assert said == (
        "mine.csv: 4 lines, 4 of them new; 4 about items of this page; "
        "0 in conflict with what is decided here."
    )
    assert page.counts == "2 of 6 to go same 1 near 1 different 1 skip 1"
    assert page.text("#export") == "Export"  # all of it is in a file
    page.answer("Close")
    assert page.export() == EXPORTED
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
        "1 about others, kept for the export; "
        "1 in conflict with what is decided here: yours stand unless you say otherwise."
    )
    assert page.counts == "3 of 6 to go same 2 near 1 different 0 skip 0"
    page.answer("Take the file's")
    assert page.counts == "3 of 6 to go same 1 near 1 different 1 skip 0"
    page.open()
    assert page.export().splitlines()[1:] == [
        "duplicate,1,1,same",
        "duplicate,9,4,different",
        "duplicate,10,2,near",
        "group,20 21,9,same",
    ]


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "it is empty"),
        (
            "train,test,decision\n1,2,same\n",
            "its first line must be item,train,test,decision, it is train,test,decision",
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
            "line 3: test “-4” is no point's number",
        ),
        (
            "item,train,test,decision\nduplicate,10 11,2,near\n",
            "line 2: a duplicate has one train point",
        ),
        ("item,train,test,decision\nduplicate,10,2\n", "line 2: 3 fields, not 4"),
        (
            "item,train,test,decision\nduplicate,10,2,near\nduplicate,10,2,same\n",
            "line 3: same, but line 2 decides the same item as near",
        ),
        (
            'item,train,test,decision\nduplicate,10,2,"near\n',
            "line 2: a quote is opened and not closed",
        ),
    ],
)
def test_a_bad_file_changes_nothing(page, tmp_path, text, complaint):
    (tmp_path / "bad.csv").write_text(text)
    assert page.take(tmp_path / "bad.csv") == f"bad.csv: {complaint}. Nothing was changed."
    assert page.counts.startswith("6 of 6")


def test_two_studies_do_not_mix_and_a_page_made_anew_takes_over(page, dataset, tmp_path, chromium):
    decide_some(page)
    other = Page(chromium, write(tmp_path / "other" / "index.html", dataset, study="other"))
    assert other.counts.startswith("6 of 6")
    assert not other.element("#notice").is_displayed()
    study = {"study": tmp_path.name}
    anew = write(tmp_path / "anew" / "index.html", dataset, pairs=PAIRS[:2], **study)
    fewer = Page(chromium, anew)
    assert fewer.counts.startswith("4 of 4")
    assert "holds decisions on 3 of these items" in fewer.text("#notice p")
    fewer.answer("Take them over")
    assert fewer.counts == "1 of 4 to go same 1 near 1 different 0 skip 1"
    changed = replace(dataset, test_images=255 - dataset.test_images)
    again = Page(chromium, write(tmp_path / "changed" / "index.html", changed, **study))
    assert again.counts.startswith("6 of 6")
    assert not again.element("#notice").is_displayed()  # the images are others
    page.open()
    assert page.counts.startswith("2 of 6")


def test_another_tab_shows_what_is_decided(page):
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
        return page.counts.startswith("5 of 6 to go same 0 near 0 different 1")

    page.until(taken_over)


def test_without_storage_the_page_works_and_says_so(page):
    script = "Storage.prototype.setItem = () => { throw new DOMException('no', 'SecurityError') }"
    added = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    try:
        page.open()
        assert "does not keep progress for this page (SecurityError)" in page.text("#notice p")
        page.press("s")
        assert page.export() == "item,train,test,decision\nduplicate,9,4,same\n"
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_leaving_with_decisions_not_exported_is_asked_about(page):
    leave = (
        "const event = new Event('beforeunload', {cancelable: true});"
        "window.dispatchEvent(event); return event.defaultPrevented"
    )
    assert not page.driver.execute_script(leave)
    page.press("s")
    assert page.driver.execute_script(leave)
    page.export()
    assert not page.driver.execute_script(leave)


def test_missing_images_are_said(page):
    shutil.rmtree(page.path.parent / "images")
    page.open()
    page.until(lambda: "Images are missing" in page.text("#notice p"))
    page.driver.get_log("browser")  # which holds the browser's own complaint


def test_an_empty_page_says_so(page, dataset, tmp_path, chromium):
    empty = Page(chromium, write(tmp_path / "empty" / "index.html", dataset, pairs=[], groups=[]))
    assert empty.text("#empty") == "There are no pairs and no groups to review."
    empty.press("s", "u", "\ue014")
    assert empty.export() == "item,train,test,decision\n"


def test_nothing_is_fetched_but_the_images_beside_it(page):
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
