"""Curves beside the picture, of a whole clip or the last seconds: a body's error, a joint's angle and torque."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mimic.view.browser import Window
from mimic.view.take import Traces

PERIOD_S = 0.125  # between two drawings: curves cost a browser more than poses do
HEIGHT = 130
ROBOT, TARGET, REFERENCE, LIMIT, NOW = "#c8642d", "#8a8f98", "#3385e6", "#c83228", "#1e1e24"
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


def legend(lines: dict[str, str]) -> str:
    """HTML that says which colour is what. Not for names from files: nothing is escaped."""
    words = (f'<span style="color:{colour}">&#9632; {name}</span>' for name, colour in lines.items())
    return f'<div style="display:flex;gap:1em;font-size:.75em;padding:0 .75em">{"".join(words)}</div>'


class _Chart:
    """Lines over time, by name and colour, and a mark that stands at one time."""

    def __init__(self, gui: Any, title: str, lines: dict[str, str]) -> None:
        empty = tuple(np.zeros(2) for _ in range(len(lines) + 2))
        series = tuple({"label": name, "stroke": colour, "width": 1.5} for name, colour in lines.items())
        mark = {"label": "now", "stroke": NOW, "width": 1.0, "scale": "mark"}
        self.plot = gui.add_uplot(
            empty, ({"label": "s"}, *series, mark), title=title, height=HEIGHT, legend={"show": False},
            scales={"x": {"time": False}, "mark": {"range": (0.0, 1.0)}}, cursor={"drag": {"x": False, "y": False}},
            axes=({"size": 24, "font": "10px sans-serif"}, {"size": 40, "font": "10px sans-serif"}),
        )  # fmt: skip

    def show(self, times: np.ndarray, curves: list[np.ndarray], now_s: float | None) -> None:
        mark = np.zeros(len(times))  # a spike; what is not finite would leave the chart without a range
        if now_s is not None:
            mark[min(int(np.searchsorted(times, now_s - 1e-9)), len(times) - 1)] = 1.0
        self.plot.data = (times, *(np.nan_to_num(curve, posinf=0.0, neginf=0.0) for curve in curves), mark)
