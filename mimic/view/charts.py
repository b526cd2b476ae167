"""Curves beside the picture, of a whole clip or the last seconds: a body's error, a joint's angle and torque."""

import html
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mimic.view.browser import Window
from mimic.view.take import Traces

PERIOD_S = 0.125  # between two drawings: curves cost a browser more than poses do
HEIGHT = 130
ROBOT, TARGET, REFERENCE, LIMIT, NOW = "#c8642d", "#8a8f98", "#3385e6", "#c83228", "#1e1e24"
FEET = ("#2f7d5b", "#5b4fa0", "#8a6d1f", "#2f6d9d")
ROW, STEP = 16, 0.7  # of a strip: how high a row is, in points, and how much of it where something holds
FONT = "10px sans-serif"
MEAN = "mean of all"


class Charts:
    """A checkbox, and under it a curve for each thing there is a trace of. joints, bodies: their names. limits (J,): the largest
    torques [N m]."""

    def __init__(
        self, window: Window, first: Traces, joints: tuple[str, ...], bodies: tuple[str, ...], limits: np.ndarray | None
    ) -> None:
        gui, self.limits, self._drawn = window.server.gui, limits, 0.0
        self.joint_names, self.body_names = list(joints), [MEAN, *bodies]
        self.on = gui.add_checkbox("Curves", False)
        folder = gui.add_folder("Curves", visible=False)
        self.errors = self.body = self.torque = None
        with folder:
            if first.errors is not None:
                self.body = gui.add_dropdown("Body", self.body_names)
                self.errors = _Chart(gui, "distance from the reference [mm]", {"distance": ROBOT})
            self.joint = gui.add_dropdown("Joint", self.joint_names)
            lines = {"robot": ROBOT}
            lines |= {} if first.targets is None else {"target": TARGET}
            lines |= {} if first.reference is None else {"reference": REFERENCE}
            self.angle = _Chart(gui, "angle [deg]", lines)
            gui.add_html(legend(lines))
            if first.torques is not None:
                ends = {} if limits is None else {"most": LIMIT, "least": LIMIT}
                self.torque = _Chart(gui, "torque [N m]", {"torque": ROBOT} | ends)
        self.on.on_update(lambda _: setattr(folder, "visible", self.on.value))

    def show(self, traces: Callable[[], Traces], now_s: float | None = None) -> None:
        """Draw, a few times a second, and only where they are to be seen. now_s: where the mark stands [s]."""
        if not self.on.value or time.perf_counter() - self._drawn < PERIOD_S:
            return
        self._drawn = time.perf_counter()
        found = traces()
        if len(found.times) < 2:
            return
        if self.errors is not None and self.body is not None and found.errors is not None:
            body = self.body_names.index(self.body.value)
            of_body = found.errors.mean(axis=1) if body == 0 else found.errors[:, body - 1]
            self.errors.show(found.times, [of_body], now_s)
        joint = self.joint_names.index(self.joint.value)
        angles = [part[:, joint] for part in (found.joints, found.targets, found.reference) if part is not None]
        self.angle.show(found.times, [np.degrees(angle) for angle in angles], now_s)
        if self.torque is not None and found.torques is not None:
            curves = [found.torques[:, joint]]
            if self.limits is not None:
                curves += [np.full(len(found.times), sign * self.limits[joint]) for sign in (1.0, -1.0)]
            self.torque.show(found.times, curves, now_s)


class Strip:
    """When something holds, under a time line: a row for each of the marks (F,), bool, by name, high where it does. times (F,)
    [s]. broken: names of those that are rules which are broken there."""

    def __init__(self, window: Window, times: np.ndarray, marks: dict[str, np.ndarray], broken: frozenset[str]) -> None:
        gui, self.times, self._drawn = window.server.gui, times, 0.0
        colours = {name: LIMIT if name in broken else FEET[index % len(FEET)] for index, name in enumerate(marks)}
        self.rows = [row + STEP * np.asarray(mark, float) for row, mark in enumerate(reversed(marks.values()))]
        self.chart = _Chart(
            gui, None, dict(reversed(colours.items())), height=30 + ROW * len(marks), rows=len(marks),
        )  # fmt: skip
        gui.add_html(legend(colours))

    def show(self, now_s: float) -> None:
        """Move the mark."""
        if time.perf_counter() - self._drawn >= PERIOD_S:
            self._drawn = time.perf_counter()
            self.chart.show(self.times, self.rows, now_s)


def legend(lines: dict[str, str]) -> str:
    """HTML that says which colour is what."""
    words = (f'<span style="color:{colour}">&#9632; {html.escape(name)}</span>' for name, colour in lines.items())
    return f'<div style="display:flex;flex-wrap:wrap;gap:0 1em;font-size:.75em;padding:0 .75em">{"".join(words)}</div>'


class _Chart:
    """Lines over time, by name and colour, and a mark that stands at one time."""

    def __init__(self, gui: Any, title: str | None, lines: dict[str, str], *, height: int = HEIGHT, rows: int = 0) -> None:
        """rows: so many that are no numbers, and have no axis."""
        empty = tuple(np.zeros(2) for _ in range(len(lines) + 2))
        series = tuple({"label": name, "stroke": colour, "width": 1.5} for name, colour in lines.items())
        mark = {"label": "now", "stroke": NOW, "width": 1.0, "scale": "mark"}
        scales: dict[str, Any] = {"x": {"time": False}, "mark": {"range": (0.0, 1.0)}}
        self.plot = gui.add_uplot(
            empty, ({"label": "s"}, *series, mark), title=title, height=height, legend={"show": False},
            scales=scales | ({"y": {"range": (-0.2, float(rows))}} if rows else {}),
            cursor={"drag": {"x": False, "y": False}},
            axes=({"size": 24, "font": FONT}, {"show": False} if rows else {"size": 40, "font": FONT}),
        )  # fmt: skip

    def show(self, times: np.ndarray, curves: list[np.ndarray], now_s: float | None) -> None:
        mark = np.zeros(len(times))  # a spike; what is not finite would leave the chart without a range
        if now_s is not None:
            mark[min(int(np.searchsorted(times, now_s - 1e-9)), len(times) - 1)] = 1.0
        self.plot.data = (times, *(np.nan_to_num(curve, posinf=0.0, neginf=0.0) for curve in curves), mark)
