"""Motions in a browser, on one time line: of a robot, beside what was captured; recorded runs over their references; several, to
be compared."""

import html
import threading
import time
from collections.abc import Sequence

import mujoco
import numpy as np

from mimic.view.acting import Acting, acting, near_contacts
from mimic.view.browser import WORLD, Figure, Window, hide_control, on_click, on_key
from mimic.view.capture import Capture
from mimic.view.charts import Charts, Strip
from mimic.view.overlays import ActingLayer, ErrorLayer
from mimic.view.take import Take

FRAMES_PER_S = 30.0
BONE_RGB = (40, 45, 52)
SETTLE_S = 0.3  # after the last movement of a slider by hand
BESIDE_M = 1.2  # how far to its left what was captured stands
OTHERS = np.array([(0.46, 0.36, 0.66), (0.25, 0.55, 0.42), (0.72, 0.34, 0.42)])  # colours of all takes but the first


class ClipView:
    """`takes` in `window`. Forces, balance, errors and curves are the first one's."""

    def __init__(self, window: Window, takes: Sequence[Take]) -> None:
        self.window, self.takes, self.first = window, takes, takes[0]
        self.duration_s = max(take.motion.duration_s for take in takes)
        self.playing, self.time_s, self.sent = True, 0.0, 0
        self.simulated_s: float | None = None  # nothing is
        scene = window.server.scene
        self.robots = [
            Figure(scene, f"robot-{index}", take.model, colour=OTHERS[(index - 1) % len(OTHERS)] if index else None)
            for index, take in enumerate(takes)
        ]
        self.ghosts = [
            None if take.reference is None else Figure(scene, f"ghost-{index}", take.model, ghost=True)
            for index, take in enumerate(takes)
        ]
        self.names = [scene.add_label(f"{WORLD}/name-{index}", take.name) for index, take in enumerate(takes) if len(takes) > 1]
        self.bones = None
        if (captured := self.first.captured) is not None and len(takes) == 1:
            self.joints, self.captured = captured.forward_kinematics()[0], captured
            self.ends = np.array([(parent, j) for j, parent in enumerate(captured.skeleton.parents) if parent >= 0])
            self.bones = scene.add_line_segments(f"{WORLD}/captured", self._lines(), BONE_RGB, thickness=0.02)
        self._moving = threading.Lock()  # the time: by playing, and by the controls, whose threads are others
        self._sought: float | None = None  # when the slider was moved by hand, until it has been answered
        self._controls()
        self._physics = near_contacts(self.first.model) if self.first.dynamics is None else self.first.dynamics[0]
        self._data = mujoco.MjData(self._physics)
        self.show()

    @property
    def frame(self) -> int:
        """Of the first take."""
        return self.first.frame(self.time_s)

    def seek(self, time_s: float) -> None:
        """Go to a time [s], and stay there."""
        with self._moving:
            self.playing, self.time_s = False, float(np.clip(time_s, 0.0, self.duration_s))

    def step(self, frames: int) -> None:
        self.seek((self.frame + frames) / self.first.motion.fps)

    def run(self, seconds: float = np.inf) -> None:
        """Play for `seconds` [s] of real time."""
        began = before = time.perf_counter()
        while (now := time.perf_counter()) - began < seconds:
            with self._moving:
                if self.playing:
                    self.time_s += (now - before) * self.speed.value
                    if self.time_s > self.duration_s:
                        self.time_s = self.time_s % max(self.duration_s, 1e-9) if self.loop.value else self.duration_s
            before = now
            self.show()
            time.sleep(max(0.0, 1.0 / FRAMES_PER_S - (time.perf_counter() - now)))

    def show(self) -> None:
        """Send the picture of the time it is."""
        with self.window.update():
            for index, take in enumerate(self.takes):
                frame, ghost = take.frame(self.time_s), self.ghosts[index]
                self.robots[index].show(take.motion.qpos[frame])
                if ghost is not None and take.reference is not None:
                    ghost.show(take.reference[frame])
            self.window.look_at(self.first.motion.qpos[self.frame, :3])
            self._place_names()
            if self.bones is not None:
                self.bones.points = self._lines()
            self.acting.show(self._acting)
            if self.colours is not None:
                self.colours.show(self._errors)
            self.charts.show(lambda: self.first.traces, self.time_s)
            if self.strip is not None:
                self.strip.show(self.time_s)
            self._move_slider()
            error = "" if self.first.errors is None else f"  \nerror {self._errors().mean():.0f} mm"
            self.status.content = f"frame {self.frame} of {self.first.motion.num_frames}, {self.time_s:.2f} s{error}"
        self.sent += 1

    def _acting(self) -> Acting:
        known, frame = self.first.dynamics, self.frame
        dynamics = None if known is None else (known[1][frame], known[2][frame])
        return acting(self._physics, self._data, self.first.motion.qpos[frame], dynamics)

    def _errors(self) -> np.ndarray:
        assert self.first.errors is not None
        return self.first.errors[self.frame]

    def _controls(self) -> None:
        gui = self.window.server.gui
        self.status = gui.add_markdown("")
        self.slider = gui.add_slider("Time [s]", 0.0, max(round(self.duration_s, 3), 1e-3), 0.001, 0.0)
        self.slider.on_update(lambda event: self._sought_by_hand() if event.client is not None else None)

        first, marks = self.first, self.first.feet | self.first.broken
        self.strip = Strip(self.window, first.traces.times, marks, frozenset(first.broken)) if marks else None
        if first.verdict:
            gui.add_html(f'<div style="font-size:.75em;padding:0 .75em">{html.escape(first.verdict)}</div>')

        def pause() -> None:
            self.playing = not self.playing

        on_click(gui.add_button("Pause / go on", hint="key P"), pause)
        on_key(gui, "P", "Pause / go on", pause)
        steps = gui.add_button_group("Step", ["-1", "+1"])
        steps.on_click(lambda _: self.step(int(steps.value)))
        self.speed = gui.add_slider("Speed", 0.1, 2.0, 0.1, 1.0)
        self.loop = gui.add_checkbox("Loop", True)
        if len(self.takes) > 1:
            apart = gui.add_slider("Apart [m]", 0.0, 2.0, 0.1, 1.0, hint="0: one over the other")
            apart.on_update(lambda _: self.move_apart(apart.value))
            self.move_apart(apart.value)
        with gui.add_folder("Show"):
            self.window.follow_control()
            self.window.rate_control()
            ghosts = [ghost for ghost in self.ghosts if ghost is not None]
            if ghosts:
                hide_control(self.window, ghosts)
            self.acting = ActingLayer(self.window, first.model, forces=first.dynamics is not None)
            self.colours = None if first.errors is None else ErrorLayer(self.window, self.robots[0], first.bodies)
            self.charts = Charts(self.window, first.traces, first.motion.joint_names, first.bodies, first.limits)
        Capture(self.window, first.name)

    def move_apart(self, metres: float) -> None:
        """Put each take so far to the left of the one before; 0: over it."""
        for index, (robot, ghost) in enumerate(zip(self.robots, self.ghosts, strict=True)):
            for figure in (robot, ghost):
                if figure is not None:
                    figure.place(np.array([0.0, index * metres, 0.0]))

    def _place_names(self) -> None:
        for name, robot in zip(self.names, self.robots):
            name.position = robot.data.xpos[1] + robot.shift + [0.0, 0.0, 0.8]

    def _sought_by_hand(self) -> None:
        self._sought = time.perf_counter()
        self.seek(self.slider.value)

    def _move_slider(self) -> None:
        """To where the time is; not while a hand is on it. Then once more: what was on its way to the browser when the hand came
        has moved it since, and viser does not send a value that it believes is there."""
        if self._sought is None:
            self.slider.value = round(self.time_s, 3)
        elif time.perf_counter() - self._sought > SETTLE_S:
            self._sought, time_s = None, round(self.time_s, 3)
            self.slider.value = 0.0 if time_s else self.slider.max
            self.slider.value = time_s

    def _lines(self) -> np.ndarray:
        """The bones (N, 2, 3) [m] at the time it is, to the robot's left."""
        at = min(int(self.time_s * self.captured.fps + 1e-6), len(self.joints) - 1)
        return (self.joints[at][self.ends] + [0.0, BESIDE_M, 0.0]).astype(np.float32)
