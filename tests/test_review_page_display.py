"""What the review page shows, in a real Chromium: images, facts, groups, window sizes."""

import json
import shutil

import numpy as np
import pytest
from browser import exported, resize
from review_pages import content


def test_images_are_those_of_the_dataset(page, noise_dataset):
    page.press("z")  # sharp pixels
    assert (page.pixels(page.element("#train")) == noise_dataset.train_images[9]).all()
    assert (page.pixels(page.element("#test")) == noise_dataset.test_images[4]).all()
    page.press("m", "o")
    assert (page.pixels(page.element("#test")) == noise_dataset.test_images[4][:, ::-1]).all()
    half = (noise_dataset.train_images[9].astype(int) + noise_dataset.test_images[4][:, ::-1]) / 2
    assert np.abs(page.pixels(page.element("#compare")) - half).max() <= 2
    page.press("m", "x")
    gap = np.abs(noise_dataset.train_images[9].astype(int) - noise_dataset.test_images[4])
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


def test_a_group_is_shown_with_its_parts(page, noise_dataset):
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
    assert (page.pixels(canvas) == noise_dataset.train_images[40]).all()
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


def test_missing_images_are_reported(page):
    shutil.rmtree(page.path.parent / "images")
    page.open()
    page.until(lambda: "Images are missing" in page.text("#notice p"))
    page.driver.get_log("browser")  # which holds the browser's own complaint


def test_an_empty_page_has_a_message(open_page):
    empty = open_page(pairs=[], groups=[])
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
