"""Motions in a browser, on a time line: a robot's clip, what was captured beside it, or a recorded run over its reference."""

import time

import mujoco
import numpy as np

from mimic.view.browser import WORLD, Figure, Window, on_click
from motions.motion import Motion
from motions.skeleton import SkeletonMotion

FRAMES_PER_S = 30.0
BONE_RGB = (40, 45, 52)
SETTLE_S = 0.3  # after the last movement of a slider by hand
BESIDE_M = 1.2  # how far to its left what was captured stands


class ClipView:
    """`motion` of the robot `model` in `window`. reference (F, nq): shown as a ghost, frame by frame. captured: its joints, with
    lines between them, beside it. errors (F,): of each frame [mm], for the read-out."""

    def __init__(
        self,
        window: Window,
        model: mujoco.MjModel,
        motion: Motion,
        *,
        reference: np.ndarray | None = None,
        captured: SkeletonMotion | None = None,
        errors: np.ndarray | None = None,
    ) -> None:
        self.window, self.motion, self.reference, self.errors = window, motion, reference, errors
        scene, gui = window.server.scene, window.server.gui
        self.robot = Figure(scene, "robot", model)
        self.ghost = None if reference is None else Figure(scene, "ghost", model, ghost=True)
        self.bones = None
        if captured is not None:
            self.joints, self.captured = captured.forward_kinematics()[0], captured
            self.ends = np.array([(parent, j) for j, parent in enumerate(captured.skeleton.parents) if parent >= 0])
            self.bones = scene.add_line_segments(f"{WORLD}/captured", self._lines(0), BONE_RGB, thickness=0.02)
        self.playing, self.time_s, self.sent = True, 0.0, 0
        self.status = gui.add_markdown("")
        self.slider = gui.add_slider("Time [s]", 0.0, max(round(motion.duration_s, 3), 1e-3), 0.001, 0.0)
        on_click(gui.add_button("Pause / go on"), lambda: setattr(self, "playing", not self.playing))
        steps = gui.add_button_group("Step", ["-1", "+1"])
        steps.on_click(lambda _: self.step(int(steps.value)))
        self.speed = gui.add_slider("Speed", 0.1, 2.0, 0.1, 1.0)
        self.loop = gui.add_checkbox("Loop", True)
        self._sought: float | None = None  # when the slider was moved by hand, until it has been answered
        self.slider.on_update(lambda event: self._sought_by_hand() if event.client is not None else None)
        follow = gui.add_checkbox("Camera goes along", True)
        follow.on_update(lambda _: setattr(window, "follows", follow.value))
        if (ghost := self.ghost) is not None:
            shown = gui.add_checkbox("Reference", True)
            shown.on_update(lambda _: ghost.hide(not shown.value))
        self.show()

    @property
    def frame(self) -> int:
        return min(int(self.time_s * self.motion.fps + 1e-6), self.motion.num_frames - 1)

    def seek(self, time_s: float) -> None:
        """Go to a time [s], and stay there."""
        self.playing, self.time_s = False, float(np.clip(time_s, 0.0, self.motion.duration_s))

    def step(self, frames: int) -> None:
        self.seek((self.frame + frames) / self.motion.fps)

    def run(self, seconds: float = np.inf) -> None:
        """Play for `seconds` [s] of real time."""
        began = before = time.perf_counter()
        while (now := time.perf_counter()) - began < seconds:
            if self.playing:
                self.time_s += (now - before) * self.speed.value
                if self.time_s > self.motion.duration_s:
                    self.time_s = self.time_s % max(self.motion.duration_s, 1e-9) if self.loop.value else self.motion.duration_s
            before = now
            self.show()
            time.sleep(max(0.0, 1.0 / FRAMES_PER_S - (time.perf_counter() - now)))

    def show(self) -> None:
        """Send the picture of the time it is."""
        frame = self.frame
        with self.window.update():
            self.robot.show(self.motion.qpos[frame])
            self.window.look_at(self.motion.qpos[frame, :3])
            if self.ghost is not None and self.reference is not None:
                self.ghost.show(self.reference[min(frame, len(self.reference) - 1)])
            if self.bones is not None:
                self.bones.points = self._lines(frame)
            self._move_slider()
            error = "" if self.errors is None else f"  \nerror {self.errors[min(frame, len(self.errors) - 1)]:.0f} mm"
            self.status.content = f"frame {frame} of {self.motion.num_frames}, {self.time_s:.2f} s{error}"
        self.sent += 1

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

    def _lines(self, frame: int) -> np.ndarray:
        """The bones (N, 2, 3) [m] at the robot's time, moved to its left."""
        at = min(int(frame / self.motion.fps * self.captured.fps + 1e-6), len(self.joints) - 1)
        return (self.joints[at][self.ends] + [0.0, BESIDE_M, 0.0]).astype(np.float32)
