"""The report in a real browser, opened from disk: it plays, seeks and sorts, by mouse and by keys, and needs no network."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chromium import Browser, until
from PIL import Image
from tiny import tiny_motion
from tiny_report import EVIL, evil_motion, tiny_free_run, tiny_report_run

from mimic.report.gather import gather
from mimic.report.page import write_page

TIME = "return Number(document.querySelector('[data-is=seek]').value)"
CANVAS = "//canvas"
ENTER, SPACE, RIGHT, END, PAGE_DOWN, HOME = "\ue007", " ", "\ue014", "\ue010", "\ue00f", "\ue011"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """one.html: of a run of three clips; two.html: of it, another of the same clips, and one that follows none."""
    folder = tmp_path_factory.mktemp("pages")
    motions = [evil_motion(), replace(tiny_motion(31), name="b sway"), replace(tiny_motion(41), name="a sway")]
    for name in ("first", "second"):
        tiny_report_run(folder / name, motions)
    tiny_free_run(folder / "free")
    reports = gather([folder / name for name in ("first", "second", "free")], pytest.fail)
    write_page(folder / "one.html", reports[:1])
    write_page(folder / "two.html", reports)
    return folder


@pytest.fixture
def one(chromium: Browser, pages: Path) -> Browser:
    chromium.open((pages / "one.html").as_uri())
    return chromium


def _drawn(browser: Browser) -> np.ndarray:
    """What the player has drawn (H, W, 3)."""
    address = browser.script("return document.querySelector('canvas').toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")).astype(int)


def test_it_opens_from_disk_without_errors_and_asks_nothing_of_the_network(one: Browser):
    assert EVIL in one.text()
    assert "3 of 3 clips completed" in one.text()
    image = _drawn(one)
    assert image.std(axis=(0, 1)).max() > 5, "a robot on a floor"
    one.script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert one.console_errors() == []
    assert one.strangers() == []
    assert one.script("return document.querySelector('main').innerHTML.includes('<script')") is False
    one.keep("report")


def test_the_page_may_run_nothing_else_and_ask_nothing(one: Browser):
    """Even were a name to get through: the page's own policy forbids other scripts, and all addresses."""
    one.script(
        "const script = document.createElement('script'); script.textContent = 'window.stolen = 1'; document.body.append(script);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.stolen = 1\">');"
        "const far = new Image(); far.src = 'http://example.com/a.png'; document.body.append(far);"
    )
    refused: list[str] = []

    def all_refused() -> bool:
        refused.extend(one.console_errors())
        return len(refused) >= 4

    until(all_refused, "the browser's refusals: of a script, an image, its handler, and an image from afar")
    assert all("Content Security Policy" in line for line in refused)
    assert any("example.com" in line for line in refused)
    assert one.script("return window.stolen === undefined")


def test_it_plays(one: Browser):
    before = _drawn(one)
    one.element("//button[@data-is='play']").click()
    until(lambda: one.script(TIME) > 0.2, "time to move")
    assert one.element("//button[@data-is='play']").text == "Pause"
    one.element("//button[@data-is='play']").click()
    stopped = one.script(TIME)
    assert np.abs(_drawn(one) - before).max() > 30, "the legs have moved"
    assert one.script(TIME) == stopped
    said = one.element("//output").text
    assert float(said.split()[0]) == pytest.approx(stopped, abs=0.011), "the slider goes by frames"
    assert "of 1.00 s: E_mpbpe" in said


def test_it_seeks_by_slider_and_by_strip(one: Browser):
    one.script("const seek = document.querySelector('[data-is=seek]'); seek.value = 0.5; seek.dispatchEvent(new Event('input'))")
    assert "0.50 of 1.00 s" in one.element("//output").text
    assert one.script("return document.querySelector('.strips:not(.away) .cursor').style.left") == "50%"
    lane = one.element("//div[contains(@class, 'heat')]/div[@class='lane']")
    from selenium.webdriver import ActionChains

    ActionChains(one.driver).move_to_element_with_offset(lane, lane.size["width"] // 4, 0).click().perform()
    assert one.script(TIME) == pytest.approx(0.75, abs=0.03)


def test_keys_do_it_too(one: Browser):
    canvas = one.element(CANVAS)
    canvas.send_keys(RIGHT)
    assert one.script(TIME) == pytest.approx(0.02)
    canvas.send_keys(END)
    assert one.script(TIME) == pytest.approx(1.0)
    canvas.send_keys(HOME)
    canvas.send_keys(SPACE)
    until(lambda: one.script(TIME) > 0.05, "time to move")
    canvas.send_keys(SPACE)
    canvas.send_keys(HOME)
    before = _drawn(one)
    canvas.send_keys("a")
    assert np.abs(_drawn(one) - before).max() > 30, "turned"


def test_a_moment_and_another_clip_can_be_chosen(one: Browser):
    button = one.element("//button[@data-clip='1']")
    wanted = float(button.get_attribute("data-time"))
    button.click()
    assert one.script("return document.querySelector('[data-is=clip]').value") == "1"
    assert one.script(TIME) == pytest.approx(wanted, abs=0.011)
    assert one.script("return [...document.querySelectorAll('.strips')].filter((one) => one.offsetParent).length") == 2, (
        "this clip's, and the learning curves"
    )


def test_tables_sort_by_click_and_by_key(one: Browser):
    column = "return [...document.querySelector('#clips table').tBodies[0].rows].map((row) => row.cells[0].textContent)"
    head = one.element("//*[@id='clips']//th[1]/button")
    head.click()
    names = one.script(column)
    assert names[-2:] == ["a sway", "b sway"]
    assert one.element("//*[@id='clips']//th[1]").get_attribute("aria-sort") == "ascending"
    head.send_keys(ENTER)
    assert one.script(column) == names[::-1]
    error = one.element("//*[@id='clips']//th[contains(., 'E_mpbpe')]/button")
    error.click()
    values = one.script(
        "return [...document.querySelector('#clips table').tBodies[0].rows].map((row) => Number(row.cells[6].dataset.value))"
    )
    assert values == sorted(values)
    assert one.script("return document.querySelector('#clips tfoot').textContent").startswith("mean")


def test_two_runs_over_one_another(chromium: Browser, pages: Path):
    chromium.open((pages / "two.html").as_uri())
    labels = [option.text for option in chromium.driver.find_elements("xpath", "//select[@data-is='ghost']/option")]
    assert labels == ["first", "second", "reference", "nothing"]
    assert chromium.script("return document.querySelector('[data-is=ghost]').selectedOptions[0].textContent") == "second"
    chromium.element("//select[@data-is='clip']/option[text()='let loose']").click()
    assert chromium.script("return document.querySelector('[data-is=solid]').selectedOptions[0].textContent") == "free"
    assert chromium.console_errors() == []
    assert chromium.strangers() == []
    chromium.keep("report-of-three")


def test_without_webgl_it_says_so_and_the_rest_works(chromium: Browser, pages: Path):
    source = "HTMLCanvasElement.prototype.getContext = () => null"
    added = chromium.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})
    try:
        chromium.open((pages / "one.html").as_uri())
        assert "draws no WebGL 2" in chromium.text()
        chromium.element("//input[@data-is='seek']").send_keys(PAGE_DOWN)
        assert chromium.console_errors() == []
    finally:
        chromium.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_narrow_and_dark(chromium: Browser, pages: Path):
    """Nothing sticks out of a page of 400 px; dark where the system is."""
    media = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    metrics = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    chromium.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    chromium.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        chromium.open((pages / "two.html").as_uri())
        assert chromium.script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        colour = chromium.script("return getComputedStyle(document.body).backgroundColor")
        assert max(int(part) for part in colour.strip("rgba()").split(",")[:3]) < 60
        assert _drawn(chromium).mean() < 110
        chromium.keep("report-narrow")
    finally:
        chromium.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        chromium.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
