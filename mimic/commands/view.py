"""`mimic view`: a motion, a policy or a run in the browser."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mimic.arguments import POSITIONAL, FileOptions, say
from motions.errors import InputError

if TYPE_CHECKING:
    import mujoco

    from mimic.deploy.sim2sim import Policy
    from mimic.runs import Run
    from mimic.view.browser import Window

type Show = "Callable[[Window, float], None]"
POLICY = "policy.onnx"


@dataclass(frozen=True)
class View(FileOptions):
    """Look at a motion, a policy or a run in the browser.

    Play and step it, push the robot, tell it what to do. It prints an address, and goes on until Ctrl-C. A run that is being
    trained shows its newest policy, whenever there is one. On another machine: `ssh -L 8080:localhost:8080 MACHINE`, and the
    same address here.
    """

    path: Annotated[Path, POSITIONAL]
    """A motion file of any kind, a policy.onnx or the folder of one, or a run folder."""
    robot: str | None = None
    """The robot of a motion file that does not name one."""
    recorded: bool = False
    """Of a policy: its whole clip, run once, on a time line beside its reference, instead of live."""
    host: str = "127.0.0.1"
    """Who may look: this machine alone, or with 0.0.0.0 whoever reaches it."""
    port: int = 8080
    seconds: float | None = None
    """End after so long [s]."""

    def run(self) -> int:
        from mimic.commands.serving import check_address, require_above
        from mimic.runs import CONFIG

        require_above(seconds=self.seconds)
        check_address(self.port)
        if not self.path.exists():
            raise InputError(f"{self.path}: no such file or folder")
        if (self.path / CONFIG).is_file():
            show = self._run()
        elif self.path.is_dir() or self.path.suffix == ".onnx":
            from mimic.commands.stress import policy_file
            from mimic.deploy.sim2sim import Policy

            show = self._policy(Policy.load(policy_file(self.path)))
        else:
            show = self._motion()
        return self._serve(show)

    def _serve(self, show: Show) -> int:
        from mimic.view.browser import LOOPBACK, Window

        window = Window(self.host, self.port, self.path.name)
        say(f"open {window.address} in a browser; Ctrl-C ends it")
        if self.host not in (LOOPBACK, "localhost"):
            say(f"--host {self.host}: whoever reaches this machine may look, push and steer")
        try:
            show(window, float("inf") if self.seconds is None else self.seconds)
        except KeyboardInterrupt:
            say("closed")
        finally:
            window.close()
        return 0

    def _run(self) -> Show:
        """The newest policy of the run, and those that come after it."""
        from mimic.pipeline import robot_for
        from mimic.runs import open_run

        run = open_run(self.path)
        newer = Newest(run)
        policy = newer()
        if policy is None:
            raise InputError(f"{self.path}: no checkpoint yet: look again when one is saved (save_every_s)")
        return self._policy(policy, newer, robot_for(run).model)

    def _policy(
        self, policy: "Policy", newer: "Callable[[], Policy | None]" = lambda: None, model: "mujoco.MjModel | None" = None
    ) -> Show:
        if self.recorded:
            return self._recorded(policy, model)

        def live(window: "Window", seconds: float) -> None:
            from mimic.live_view import LiveView

            LiveView(window, policy, newer=newer, model=model).run(seconds)

        return live

    def _recorded(self, policy: "Policy", model: "mujoco.MjModel | None" = None) -> Show:
        from dataclasses import replace

        import numpy as np

        from mimic.deploy.sim2sim import rollout
        from mimic.metrics import body_error
        from motions.motion import MIN_FRAMES

        run = rollout(policy)
        whole = int(np.argmin([*np.isfinite(run.states.qpos).all(axis=1), False]))  # frames before the physics broke, if it did
        if whole < MIN_FRAMES:
            raise InputError(f"{self.path}: the physics broke after {whole} frames: there is nothing to look at")
        motion = replace(policy.motion, fps=1.0 / policy.spec.ctrl_dt, qpos=run.states.qpos[:whole], loop=False)
        errors = body_error(run.states, run.reference, policy.spec.anchor)[:whole] if policy.spec.follow else None

        def show(window: "Window", seconds: float) -> None:
            from mimic.view.clip_view import ClipView

            reference = run.reference.qpos if policy.spec.follow else None
            ClipView(window, model or policy.model, motion, reference=reference, errors=errors).run(seconds)

        return show

    def _motion(self) -> Show:
        from mimic.robots import load_robot
        from mimic.sources import captured_in, read_motions, robot_of_file

        robot = robot_of_file(self.path, self.robot, say)
        (motion,), _ = read_motions([str(self.path)], robot, say, **self.of_files)
        captured = captured_in(self.path, robot, **self.of_files)
        try:
            model = load_robot(self.robot or motion.robot, visuals=True).model
        except InputError:  # named by a file that is elsewhere
            model = robot.model

        def show(window: "Window", seconds: float) -> None:
            from mimic.view.clip_view import ClipView

            ClipView(window, model, motion, captured=captured).run(seconds)

        return show


class Newest:
    """Called: the run's policy, if there is one that was not given out yet."""

    def __init__(self, run: "Run") -> None:
        self.run, self.last = run, -1
        self.folder = tempfile.TemporaryDirectory(prefix="mimic-view-")

    def __call__(self) -> "Policy | None":
        from mimic.deploy.sim2sim import Policy
        from mimic.pipeline import trained_policy, write_policy

        steps = [int(path.name) for path in self.run.checkpoints.glob("*") if path.name.isdigit()]
        if not steps or max(steps) == self.last:
            return None
        try:
            policy = trained_policy(self.run, say)
            out = write_policy(policy, self.run, Path(self.folder.name) / POLICY)
        except InputError as error:  # one that is being written, or cleared away: the next second sees
            say(str(error))
            return None
        self.last = max(steps)
        return Policy.load(out)
