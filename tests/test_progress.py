"""What is shown of a training: curves in a terminal of any size, lines elsewhere."""

import io
import math
import re
from unittest.mock import patch

import pytest
from rich.console import Console

from mimic.curves import BLOCKS, KEPT, Curve, sparkline
from mimic.progress import CURVES, LINES, Progress, spelt_s

ROW = {"env_steps": 500_000, "time/env_steps_per_s": 4000.0, "rollout/reward": 0.5, "error/e_mpbpe_mm": 42.0,
       "rollout/falls_per_s": 0.25}  # fmt: skip


def terminal(width: int = 80, height: int = 24, **kind) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, **kind)


def shown(progress: Progress) -> list[str]:
    """The panel's lines, without colours."""
    with progress.console.capture() as capture:
        progress.console.print(progress.panel())
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capture.get()).rstrip("\n").split("\n")


def trained(console: Console, title: str = "humanoid, dance", **more: float) -> Progress:
    progress = Progress(1_000_000, title, console)
    for step in range(1, 11):
        progress.update(ROW | {"env_steps": 50_000 * step, "error/e_mpbpe_mm": 100.0 - 5 * step} | more)
    return progress


def test_the_panel_says_what_how_far_how_fast_and_shows_curves():
    lines = shown(trained(terminal(), "stage 1 of 3, the tracker: humanoid, dance"))
    text = "\n".join(lines)
    assert "stage 1 of 3, the tracker: humanoid, dance" in lines[0]
    assert "50%" in text
    assert "0.50 of 1.00 M" in text
    assert "4,000 env-steps/s" in text
    assert "2:05 min to go" in text
    (error,) = [line for line in lines if "E_mpbpe" in line]
    assert error.split()[2][0] == BLOCKS[-1]
    assert error.split()[2][-1] == BLOCKS[0]
    assert not any("clips whole" in line for line in lines)


@pytest.mark.parametrize("height", [5, 8, 24, 100])
@pytest.mark.parametrize("width", [20, 39, 40, 60, 80, 200])
def test_it_fits_any_terminal(width: int, height: int):
    everything = dict.fromkeys(CURVES, 0.5)
    lines = shown(trained(terminal(width, height), "robot, " + "clip" * 60, **everything))
    assert len(lines) <= min(LINES, max(height - 1, 4))
    assert max(map(len, lines)) <= width


def test_the_width_is_that_of_the_moment():
    progress = trained(terminal(100))
    assert max(map(len, shown(progress))) == 100
    progress.console.width = 50
    assert max(map(len, shown(progress))) == 50


def test_a_name_is_neither_markup_nor_a_command_to_the_terminal():
    lines = shown(trained(terminal(), "[red]x[/red] <script>\x1b[2J\x07"))
    assert "[red]x[/red] <script>[2J" in lines[0]


def test_old_terminals_get_what_they_can_draw():
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), force_terminal=True, width=80, height=24)
    assert "\n".join(shown(trained(console))).isascii()


def test_what_is_live_redraws_and_leaves_the_last_panel():
    console = terminal()
    with Progress(1_000_000, "humanoid, dance", console) as progress:
        progress.update(ROW)
    assert "0.50 of 1.00 M" in console.file.getvalue()


@pytest.mark.parametrize("console", [Console(file=io.StringIO(), width=80), Console(file=io.StringIO(), force_terminal=True)])
def test_without_a_terminal_there_are_plain_lines(console: Console, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "dumb")
    with patch("mimic.progress.PLAIN_EVERY_S", 0.0), Progress(1_000_000, "x", console) as progress:
        progress.update(ROW)
        progress.update(ROW | {"env_steps": 1_000_000})
    first, last = console.file.getvalue().splitlines()
    assert first == "  50%  0.50 M  4,000 env-steps/s  falls/s 0.25  E_mpbpe 42.0 mm  eta 2:05 min"
    assert last.startswith(" 100%  1.00 M")


def test_sparklines():
    assert sparkline([0.0, 1.0], 10) == BLOCKS[0] + BLOCKS[-1]
    assert sparkline(range(8), 8) == BLOCKS
    assert sparkline([3.0] * 5, 3) == BLOCKS[0] * 3
    assert sparkline([0.0, 0.5, 1.0], 3, bounds=(0.0, 1.0)) == BLOCKS[0] + BLOCKS[4] + BLOCKS[-1]
    assert sparkline([1.0, 2.0], 2, bounds=(0.0, 1.0)) == BLOCKS[-1] * 2
    assert sparkline([], 5) == sparkline([1.0], 0) == ""
    assert len(sparkline(range(1000), 37)) == 37


def test_a_curve_of_any_length_is_whole_and_small():
    curve = Curve(0.0)
    for value in range(10_000):
        curve.add(float(value))
    curve.add(math.nan)
    assert len(curve.points) <= KEPT
    assert curve.latest == 9999.0
    assert curve.points == sorted(curve.points)
    assert curve.points[0] < 100
    assert curve.points[-1] > 9800
    assert curve.line(8) == BLOCKS


def test_times():
    assert [spelt_s(seconds) for seconds in (0, 59.4, 60, 245, 7800)] == ["0 s", "59 s", "1:00 min", "4:05 min", "2:10 h"]
