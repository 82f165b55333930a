"""A review page in a real Chromium, and what a person does with it."""

import io
import re
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from review_pages import content

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
SECONDS = 10  # longest wait for something that takes a moment


def chromium(downloads):
    """A Chromium that downloads into the folder `downloads`, until the generator is resumed."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("the review page is tested in Chromium: install chromium and chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

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
