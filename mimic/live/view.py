"""A policy at work in a browser: watched, pushed, told what to do, given another body; of a run in training the newest."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue

import mujoco
import numpy as np

from mimic.deploy.sim2sim import Policy
from mimic.evaluation.perturb import Perturbation
from mimic.live.gamepad import Gamepad, first_gamepad
from mimic.live.hands import BOX_M
from mimic.live.session import Session
from mimic.mdp.styles import style_names, told_style
from mimic.view.browser import WORLD, Figure, Window, hide_control, on_click, on_key
from mimic.view.capture import Capture
from mimic.view.charts import Charts
from mimic.view.grab import Grab
from mimic.view.overlays import ActingLayer, ErrorLayer
from motions.motion import Motion
from motions.rotations import yaw_quat

FRAMES_PER_S = 30.0
BEHIND_S = 0.25  # of real time that the physics may lag before it lets go of it
BALL_M = 0.1  # the radius of what is drawn of a place
PUSHES = {"forward": (1.0, 0.0), "back": (-1.0, 0.0), "left": (0.0, 1.0), "right": (0.0, -1.0)}
PAD_PUSH, PAD_BEGIN = 0.5, 7  # [m/s] of a gamepad's first four buttons, which are `PUSHES`; the number of its start button
Newer = Callable[[], Policy | None]


class LiveView:
    """`policy` in `window`. newer: asked every second for a policy that takes its place. model: what to draw, by default what
    the policy was exported with. ways: clips to get up by. clips: those it can be told to go over to."""

    def __init__(
        self,
        window: Window,
        policy: Policy,
        *,
        newer: Newer = lambda: None,
        model: mujoco.MjModel | None = None,
        ways: Sequence[Motion] = (),
        clips: Sequence[Motion] = (),
    ) -> None:
        self.window, self.newer = window, newer
        self.session = Session(policy, ways=ways, clips=clips)
        scene, self.drawn = window.server.scene, model or policy.model
        self.robot = Figure(scene, "robot", self.drawn)
        self.ghost = Figure(scene, "ghost", self.drawn, ghost=True) if policy.spec.follow else None
        self.grab = Grab(window, self.robot, BOX_M, lambda do: self.session.ask(do))
        self.paused, self.sent, self.swaps = False, 0, 0
        self.simulated_s: float | None = 0.0
        self.pad: Gamepad | None = None
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()  # by the controls, whose threads are others
        self._controls()
        self.show()

    def run(self, seconds: float = np.inf) -> None:
        """Go on for `seconds` [s] of real time: physics keeps up with it, pictures are left out where they cannot."""
        began = shown = asked = time.perf_counter()
        done_s = 0.0  # of real time that physics has done
        while (now := time.perf_counter()) - began < seconds:
            if now - asked > 1.0:
                asked = now
                self._swap()
                self.pad = self.pad or first_gamepad()
            self.take()
            behind = now - began - done_s
            if self.paused or behind > BEHIND_S:
                done_s, behind = now - began, 0.0
            dt = self.session.policy.spec.ctrl_dt / self.speed.value
            if self.pad is not None and now - shown >= 1.0 / FRAMES_PER_S:
                self.obey(self.pad)
            if now - shown >= BEHIND_S or (now - shown >= 1.0 / FRAMES_PER_S and behind < dt):
                shown = max(shown + 1.0 / FRAMES_PER_S, now - 1.0 / FRAMES_PER_S)  # what came late is not late for ever
                self.show()
            elif not self.paused and behind >= dt:
                self.session.advance()
                done_s += dt
                self.simulated_s = (self.simulated_s or 0.0) + self.session.policy.spec.ctrl_dt
            else:
                time.sleep(0.001)

    def take(self) -> None:
        """Do what was asked for by the controls."""
        while not self._asked.empty():
            self._asked.get()()

    def show(self) -> None:
        """Send the picture as it is now."""
        qpos = self.session.state.qpos[0]
        with self.window.update():
            if np.isfinite(qpos).all():
                self.robot.show(qpos)
                self.window.look_at(qpos[:3])
            if self.ghost is not None:
                self.ghost.show(self.session.reference.qpos[0])
            self.grab.show(self.session.hands)
            self.acting.show(self.session.acting)
            if self.colours is not None and self.session.errors is not None:
                errors = self.session.errors
                self.colours.show(lambda: errors)
            self.charts.show(lambda: self.session.traces)
            self.status.content = self._says()
            if self.target is not None:
                self.target_ball.color = (60, 170, 90) if self.session.there else (200, 60, 50)
                if self.session.kind.own and np.isfinite(qpos).all():
                    self.target_base.position, self.target_base.wxyz = qpos[:3], yaw_quat(qpos[3:7])
        self.sent += 1

    def _says(self) -> str:
        session, spec = self.session, self.session.policy.spec
        lines = [
            f"{session.frame * spec.ctrl_dt:.2f} s"
            + (f" of {len(session.clip.qpos) * spec.ctrl_dt:.2f} s" if spec.follow else "")
        ]
        if session.errors is not None:
            lines.append(f"error {session.errors.mean():.0f} mm")
        speed = float(np.linalg.norm(session.state.qvel[0, :2]))
        lines += [f"{speed:.2f} m/s", f"falls {session.falls}"]
        if session.to_go_m is not None:
            lines.append(f"{session.to_go_m:.2f} m to go")
        if self.swaps:
            lines.append(f"policy {self.swaps + 1}")
        return "  \n".join(lines)

    def _swap(self) -> None:
        policy = self.newer()
        if policy is not None:
            old = self.session
            session = Session(policy, old.setting, old.ways, old.clips, old.chosen)
            session.falls, self.swaps = old.falls, self.swaps + 1
            if session.goal is not None and old.goal is not None:
                session.goal = np.array([*old.goal[:-1], 0.0], np.float32) if session.told_once else old.goal
            self.session = session

    def _controls(self) -> None:
        gui = self.window.server.gui
        self.status = gui.add_markdown("")
        for label, key, do in (
            ("Pause / go on", "P", lambda: setattr(self, "paused", not self.paused)),
            ("From the beginning", "R", lambda: self._asked.put(lambda: self.session.begin())),
        ):
            on_click(gui.add_button(label, hint=f"key {key}"), do)
            on_key(gui, key, label, do)
        self.speed = gui.add_slider("Speed", 0.1, 1.0, 0.1, 1.0)
        spec = self.session.policy.spec
        with gui.add_folder("Show"):
            self.window.follow_control()
            self.window.rate_control()
            if self.ghost is not None:
                hide_control(self.window, [self.ghost])
            self.acting = ActingLayer(self.window, self.session.policy.model, forces=True)
            self.colours = ErrorLayer(self.window, self.robot, spec.tracked_bodies) if spec.follow else None
            bodies = spec.tracked_bodies if spec.follow else ()
            limits = self.session.policy.model.actuator_forcerange[:, 1]
            self.charts = Charts(self.window, self.session.traces, spec.joint_names, bodies, limits)
        with gui.add_folder("Push"):
            strength = gui.add_slider("Strength [m/s]", 0.1, 2.0, 0.1, 0.5)
            buttons = gui.add_button_group("Towards", list(PUSHES))
            buttons.on_click(lambda _: self.push(buttons.value, strength.value))
            self.grab.controls()
        self._goal_controls()
        with gui.add_folder("Body", expand_by_default=False):
            self._body_controls()
        Capture(self.window, self.session.policy.motion.name)

    def push(self, where: str, strength: float) -> None:
        """Shove the root to one of `PUSHES`, as it faces, by `strength` [m/s]."""
        self.session.push(strength * np.array(PUSHES[where]))

    def _body_controls(self) -> None:
        gui = self.window.server.gui
        sliders = {
            "friction": gui.add_slider("Friction x", 0.2, 2.0, 0.05, 1.0),
            "mass": gui.add_slider("Mass x", 0.5, 1.5, 0.05, 1.0),
            "torque": gui.add_slider("Motor strength x", 0.4, 1.2, 0.05, 1.0),
            "action_delay_s": gui.add_slider("Latency [ms]", 0, 60, 5, 0),
        }

        def vary() -> None:
            values = {name: slider.value * (1e-3 if name.endswith("_s") else 1.0) for name, slider in sliders.items()}
            setting = Perturbation(start_rad=0.0, **values)
            self._asked.put(lambda: self.session.vary(setting))

        on_click(gui.add_button("Begin with this body"), vary)

    def _goal_controls(self) -> None:
        """Speed and direction by sliders, styles by buttons; places, points and targets by a handle in the scene."""
        self.target = self.styles = self.clips = None
        told = self.session.policy.spec.goal
        gui, scene = self.window.server.gui, self.window.server.scene
        if told is None:
            if self.session.clips:
                with gui.add_folder("Told"):
                    self.clips = clips = gui.add_dropdown("Go over to", [clip.name for clip in self.session.clips])
                clips.on_update(lambda _: self.session.do(clips.value))
            return
        if self.session.kind.velocity:
            with gui.add_folder("Told"):
                high = float(np.ceil(10 * told.speed[1]) / 10)
                speed = gui.add_slider("Speed [m/s]", 0.0, high, 0.05, float(np.round(np.mean(told.speed), 2)))
                angle = gui.add_slider("Direction [deg]", -180, 180, 5, 0, hint="from the world's x axis, to the left")

            def tell() -> None:
                self.tell_heading(speed.value, angle.value)

            def change(faster: float, left: float) -> None:
                speed.value = float(np.clip(speed.value + faster, 0.0, high))
                angle.value = (angle.value + left + 180.0) % 360.0 - 180.0
                tell()

            speed.on_update(lambda _: tell())
            angle.on_update(lambda _: tell())
            for key, label, by in (
                ("I", "Faster", (0.1, 0)),
                ("K", "Slower", (-0.1, 0)),
                ("J", "Left", (0, 15)),
                ("L", "Right", (0, -15)),
            ):
                on_key(gui, key, label, partial(change, *by))
            tell()
            return
        if told.kind == "style":
            with gui.add_folder("Told"):
                self.styles = styles = gui.add_button_group("Style", style_names(told.styles))
            styles.on_click(lambda _: self.tell_style(styles.value))
            return
        assert self.session.goal is not None
        place, numbers = np.zeros(3), self._place_numbers
        place[:numbers] = self.session.goal[:numbers]
        self.target_base = scene.add_frame(f"{WORLD}/told", show_axes=False)  # goes along with the root, where its numbers do
        node = f"{WORLD}/told/target"
        self.target = scene.add_transform_controls(node, scale=0.4, disable_rotations=True, position=place)
        self.target_ball = scene.add_icosphere(f"{node}/ball", radius=BALL_M, color=(200, 60, 50), opacity=0.6)

        @self.target.on_update
        def _(_: object) -> None:
            assert self.target is not None
            self.tell_place(np.array(self.target.position))

    def obey(self, pad: Gamepad) -> None:
        """Let a gamepad that is plugged in where this runs do as the page does. One that is pulled out is looked for again."""
        try:
            pressed = pad.read()
        except OSError:
            pad.close()
            self.pad = None
            return
        for button in pressed:
            if button < len(PUSHES):
                self.push(list(PUSHES)[button], PAD_PUSH)
            elif button == PAD_BEGIN:
                self._asked.put(self.session.begin)
        ahead, left = -pad.axes.get(1, 0.0), -pad.axes.get(0, 0.0)
        told = self.session.policy.spec.goal
        if told is not None and self.session.kind.velocity and (ahead or left):
            self.tell_heading(min(1.0, np.hypot(ahead, left)) * told.speed[1], float(np.degrees(np.arctan2(left, ahead))))

    def tell_heading(self, speed: float, degrees: float) -> None:
        """A velocity [m/s], its direction counted from world x towards y."""
        angle = np.radians(degrees)
        self.session.tell(np.array([speed * np.cos(angle), speed * np.sin(angle)]))

    def tell_style(self, label: str) -> None:
        """A style, by its name."""
        told = self.session.policy.spec.goal
        assert told is not None
        self.session.tell(told_style(told.styles, label))

    def tell_place(self, place: np.ndarray) -> None:
        """A place (3,), in the world or from the root as it faces; a target is whole again."""
        self.session.tell(np.array([*place[: self._place_numbers], *([0.0] if self.session.told_once else [])]))

    @property
    def _place_numbers(self) -> int:
        """How many of the goal's numbers are a place's."""
        return len(self.session.kind.numbers) - self.session.told_once
