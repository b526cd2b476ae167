"""The viewer as a browser shows it: loaded from here alone, it plays, scrubs, is pushed, and sees a newer policy."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Browser, until
from PIL import Image
from test_live import MOTION, ROBOT
from tiny_policy import FREE, still_policy

pytest.importorskip("viser", reason="viser is not installed: pip install 'mimic-mjx[view]'")

from mimic.live.view import LiveView
from mimic.view.browser import Window
from mimic.view.clip_view import ClipView
from mimic.view.take import Take

EVIL = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
CANVAS = "//canvas"
STRIP = "//*[contains(@class, 'u-wrap')]"  # the first of the charts
SCENE = (320, 650)  # columns of the picture that neither a notice nor the controls cover


@pytest.fixture
def window() -> Iterator[Window]:
    window = Window("127.0.0.1", 0, EVIL)
    yield window
    window.close()


@contextmanager
def shown(browser: Browser, window: Window, view: Any) -> Iterator[Browser]:
    """The view at work beside the test, its page loaded."""
    over, failed = threading.Event(), []

    def work() -> None:
        try:
            while not over.is_set():
                view.run(1.2)  # longer than a newer policy is waited for
        except Exception as error:
            failed.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        browser.open(window.address)
        browser.element(CANVAS)
        yield browser
    finally:
        over.set()
        worker.join()
    assert not failed, failed


def labelled(label: str) -> str:
    """Where the control beside a label is."""
    return f"//*[@id=//label[text()='{label}']/@for]"


def folder(label: str) -> str:
    """The head of a folder, which opens it."""
    return f"//*[contains(@class, 'Paper')]/*[normalize-space(text())='{label}']"


def click(browser: Browser, text: str) -> None:
    """Press a button, or change a checkbox, by what stands on it or beside it."""
    places = f"//button[normalize-space()='{text}'] | {labelled(text)} | {folder(text)}"
    browser.script("arguments[0].click()", browser.element(places))


def blue(browser: Browser) -> int:
    """How many of the picture's points have the ghost's colour, more or less."""
    red, _, blue = np.moveaxis(browser.picture()[:, slice(*SCENE)].astype(int), -1, 0)
    return int((blue > red + 60).sum())


def test_a_clip_plays_scrubs_and_hides_its_ghost(chromium: Browser, window: Window):
    aside = MOTION.qpos + np.array([0.0, 0.6, *[0.0] * 9])
    view = ClipView(window, [Take(EVIL, ROBOT.model, MOTION, reference=aside)])
    with shown(chromium, window, view) as page:
        until(lambda: f"of {MOTION.num_frames}" in page.text(), "the time line")
        slider = page.element(f"{labelled('Time [s]')}//*[@role='slider']")
        first = float(slider.get_attribute("aria-valuenow"))
        until(lambda: abs(float(slider.get_attribute("aria-valuenow")) - first) > 0.1, "the time line moves")
        click(page, "Pause / go on")
        until(lambda: not view.playing, "the pause")

        def ends() -> bool:
            if float(slider.get_attribute("aria-valuenow")) != view.slider.max:
                slider.send_keys("\ue010")  # End; what was on its way to a slow page may undo it
            time.sleep(0.5)
            return view.frame == MOTION.num_frames - 1

        until(ends, "the last frame, by the slider")
        click(page, "-1")
        until(lambda: f"frame {MOTION.num_frames - 2} of" in page.text(), "a frame back")
        back = round((MOTION.num_frames - 2) / MOTION.fps, 3)
        until(lambda: float(slider.get_attribute("aria-valuenow")) == back, "the slider goes back with it")
        until(lambda: blue(page) > 500, "a ghost to be seen")
        page.keep("clip")
        click(page, "Keep")
        click(page, "Picture")
        kept = until(lambda: next(page.downloads.glob("*.png"), None), "a picture to keep")
        assert np.asarray(Image.open(kept)).std() > 5.0, "of something"
        choice = page.element(labelled("Film as"))
        choice.click()
        page.element("//*[@role='option'][normalize-space()='gif']").click()
        click(page, "Pause / go on")  # of a film that stands still one picture is kept
        assert any(filmed(page, seconds) > 1 for seconds in (2.0, 5.0, 12.0)), (
            "more pictures, the longer a slow browser is let film"
        )
        click(page, "Reference")
        until(lambda: blue(page) < 50, "no ghost to be seen")
        assert page.driver.title != "taken"
        assert EVIL in page.text(), "names are words, whatever they hold"
        assert page.console_errors() == []
        assert page.strangers() == []


def filmed(page: Browser, seconds: float) -> int:
    """How many pictures a film has that the page makes for so long [s]."""
    click(page, "Film: begin / end")
    until(lambda: "until the button is pressed again" in page.text(), "the film's beginning")
    time.sleep(seconds)
    click(page, "Film: begin / end")
    path = until(lambda: next(page.downloads.glob("*.gif"), None), "a film to keep")
    pictures = until(lambda: complete(path), "the whole film").n_frames  # type: ignore[attr-defined]
    path.unlink()
    return pictures


def complete(film: Path) -> Image.Image | None:
    """The film, once all of it is written."""
    with suppress(OSError):
        image = Image.open(film)
        image.seek(image.n_frames - 1)  # type: ignore[attr-defined]
        return image
    return None


def red(picture: np.ndarray) -> int:
    """How many of the points have the colour of a broken rule, more or less."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return int(((red > green + 100) & (red > blue + 100)).sum())


def test_broken_rules_are_red_and_the_browser_tells_how_fast_it_draws(chromium: Browser, window: Window):
    on = np.arange(MOTION.num_frames) % 40 < 20
    take = Take("sway", ROBOT.model, MOTION, feet={"foot": ~on}, broken={"skating": on}, verdict="FAILED: skating")
    view = ClipView(window, [take])
    with shown(chromium, window, view) as page:
        until(lambda: "FAILED: skating" in page.text(), "the verdict")
        until(lambda: red(page.picture(STRIP)) > 50, "red marks under the time line")
        page.keep("broken")
        assert not page.driver.find_elements("class name", "stats-panel")
        page.element("//a[normalize-space()='How fast this browser draws']").click()
        page.element("//*[contains(@class, 'stats-panel')]")
        drawn = "let n = 0, from = performance.now(), done = arguments[0];"
        drawn += (
            "(function next() { n += 1; if (performance.now() - from < 2000) requestAnimationFrame(next); else done(n / 2) })()"
        )
        rate = page.driver.execute_async_script(drawn)
        assert rate > 0.5, "pictures per second of a browser without a graphics card"
        page.keep("rate")


def test_a_policy_is_pushed_dragged_hit_and_followed_by_a_newer(chromium: Browser, window: Window, tmp_path: Path):
    from selenium.webdriver import ActionChains

    policy, waiting = still_policy(tmp_path, FREE), []
    view = LiveView(window, policy, newer=lambda: waiting.pop() if waiting else None)
    with shown(chromium, window, view) as page:
        until(lambda: "falls 0" in page.text(), "the read-out")
        canvas = page.element(CANVAS)
        at = until(lambda: trunk(page, canvas), "the robot's trunk")
        hand = ActionChains(page.driver)
        hand.move_to_element_with_offset(canvas, *at).click_and_hold().move_by_offset(30, -20).move_by_offset(30, -60).perform()
        until(lambda: view.session.hands.held == 1, "a hand on the trunk")
        until(lambda: view.session.hands.forces[0, 1, 2] > 0, "a pull upwards")
        page.keep("pulled")
        ActionChains(page.driver).release().perform()
        until(lambda: view.session.hands.held is None, "the hand off")
        click(page, "Throw a box")
        until(lambda: view.session.hands.thrown, "the box")
        page.keep("thrown")
        view.session.ask(lambda _: view.session.begin())
        until(lambda: not view.session.hands.thrown, "a beginning")

        def pushed() -> bool:
            click(page, "left")
            return view.session.state.qpos[0, 1] > 0.02

        until(pushed, "the robot to its left")
        waiting.append(policy)
        until(lambda: "policy 2" in page.text(), "the newer policy")
        for box in ("Contact forces", "Balance", "Curves"):
            click(page, box)
        until(lambda: "torque [N m]" in page.text(), "the curves")
        page.keep("live")
        assert [line for line in page.console_errors() if "preventDefault" not in line] == [], "(three.js's own complaint)"
        assert page.strangers() == []


def trunk(page: Browser, canvas: Any) -> tuple[int, int] | None:
    """Where the orange of the tiny robot's trunk is, from the middle of the canvas."""
    picture = page.picture()[:, : SCENE[1]].astype(int)
    rows, columns = np.nonzero(picture[..., 0] > picture[..., 2] + 80)
    inside = columns > SCENE[0]
    if not inside.any():
        return None
    size = canvas.size
    return int(np.median(columns[inside]) - size["width"] / 2), int(np.median(rows[inside]) - size["height"] / 2)
