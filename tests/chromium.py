"""Chromium without a window, driven by Selenium: what a page shows, says on its console, and asks of the network.

`MIMIC_SCREENSHOTS=FOLDER` keeps the pictures that tests take with `keep`.
"""

import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

OPTIONS = (
    "--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--disable-quic",
)  # fmt: skip
LOCAL = {"127.0.0.1", "localhost"}
WAIT_S = 60.0  # a machine may be busy


class Browser:
    """One browser; `open` begins anew. downloads: the folder of what it was given to keep. Skips the test where Selenium,
    Chromium or its driver is absent, or does not start."""

    def __init__(self, size: tuple[int, int] = (1000, 700)) -> None:
        webdriver = pytest.importorskip("selenium.webdriver", reason="Selenium is not installed: pip install selenium")
        errors = pytest.importorskip("selenium.common.exceptions")
        program = shutil.which("chromium") or shutil.which("google-chrome")
        chromedriver = shutil.which("chromedriver")
        if program is None or chromedriver is None:
            pytest.skip("no Chromium, or no chromedriver: install both to test in a browser")
        self._profile = tempfile.TemporaryDirectory(prefix="mimic-chromium-", ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for option in (*OPTIONS, f"--user-data-dir={self._profile.name}", f"--window-size={size[0]},{size[1]}"):
            options.add_argument(option)
        self.downloads = Path(self._profile.name) / "downloads"
        unasked = {"profile.default_content_setting_values.automatic_downloads": 1}  # of a script's clicks it would ask first
        options.add_experimental_option("prefs", unasked | {"download.default_directory": str(self.downloads)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        try:
            self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
        except errors.WebDriverException as error:
            pytest.skip(f"Chromium does not start here: {(error.msg or '').splitlines()[:1]}")

    def open(self, url: str) -> None:
        """Load a page; what was said and asked before is forgotten."""
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(url)

    def close(self) -> None:
        self.driver.quit()
        self._profile.cleanup()

    def console_errors(self) -> list[str]:
        """What the console was told since the last call that is an error."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def strangers(self) -> list[str]:
        """The addresses asked for since the last call that are neither this machine's nor within the page."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            asked = message["params"].get("request", message["params"]).get("url")
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated") and asked:
                parts = urlsplit(asked)
                if parts.scheme not in ("data", "blob", "file", "about") and parts.hostname not in LOCAL:
                    found.append(asked)
        return found

    def script(self, source: str, *arguments: object) -> Any:
        """The value that JavaScript returns."""
        return self.driver.execute_script(source, *arguments)

    def element(self, xpath: str, wait_s: float = WAIT_S) -> Any:
        """The first element that is there, or comes within `wait_s`."""
        return until(lambda: next(iter(self.driver.find_elements("xpath", xpath)), None), f"an element {xpath}", wait_s)

    def text(self) -> str:
        """All that can be read on the page."""
        return self.driver.find_element("tag name", "body").text

    def picture(self, xpath: str | None = None) -> np.ndarray:
        """What is seen (H, W, 3) uint8: of an element, or of the whole page."""
        png = self.driver.get_screenshot_as_png() if xpath is None else self.element(xpath).screenshot_as_png
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def keep(self, name: str) -> None:
        """Write a picture of the page, where the environment says that one is wanted."""
        if folder := os.environ.get("MIMIC_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(Path(folder) / f"{name}.png"))


def until[T](found: Callable[[], T], what: str, wait_s: float = WAIT_S) -> T:
    """The first true value of `found`, asked for again and again. Fails the test after `wait_s` [s], naming `what`."""
    end = time.perf_counter() + wait_s
    while not (value := found()):
        if time.perf_counter() > end:
            pytest.fail(f"{what}: not within {wait_s:g} s")
        time.sleep(0.05)
    return value
