"""`mimic view`: motions, a policy or a run in the browser."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from mimic.arguments import POSITIONAL, FileOptions, say
from motions.errors import InputError

if TYPE_CHECKING:
    import mujoco

    from mimic.deploy.sim2sim import Policy
    from mimic.runs import Run
    from mimic.view.browser import Window
    from mimic.view.take import Take
    from motions.motion import Motion


class Shown(Protocol):
    """What a window shows. sent: pictures so far. simulated_s: of physics, None of what was recorded [s]."""

    sent: int
    simulated_s: float | None

    def run(self, seconds: float = ...) -> None: ...


@dataclass(frozen=True)
class View(FileOptions):
    """Look at motions, a policy or a run in the browser.

    Play and step it, push the robot, tell it what to do. It prints an address, and goes on until Ctrl-C. A run that is being
    trained shows its newest policy, whenever there is one. On another machine: `ssh -L 8080:localhost:8080 MACHINE`, and the
    same address here.
    """

    paths: Annotated[tuple[Path, ...], POSITIONAL]
    """A motion file of any kind, a policy.onnx or the folder of one, or a run folder; several are compared on one time line."""
    robot: str | None = None
    """The robot of motion files that do not name one."""
    recorded: bool = False
    """Of a policy: its whole clip, run once, on a time line beside its reference, instead of live."""
    host: str = "127.0.0.1"
    """Who may look: this machine alone, or with 0.0.0.0 whoever reaches it."""
    port: int = 8080
    seconds: float | None = None
    """End after so long [s]."""
    measure: bool = False
    """Print at the end what showing it took: pictures a second, processor time, how fast the physics went."""

    def run(self) -> int:
        from mimic.commands.serving import check_address, require_above

        require_above(seconds=self.seconds)
        check_address(self.port)
        if not self.paths:
            raise InputError("nothing to look at: expected a motion file, a policy or a run folder")
        for path in self.paths:
            if not path.exists():
                raise InputError(f"{path}: no such file or folder")
        if len(self.paths) == 1 and not self.recorded and (found := _open(self.paths[0])) is not None:
            return self._serve(partial(_live, found))
        return self._serve(partial(_time_line, [self._take(path) for path in self.paths]))

    def _serve(self, make: "Callable[[Window], Shown]") -> int:
        from mimic.view.browser import LOOPBACK, Window

        imported = time.perf_counter()
        window = Window(self.host, self.port, " | ".join(path.name for path in self.paths))
        say(f"open {window.address} in a browser; Ctrl-C ends it")
        if self.host not in (LOOPBACK, "localhost"):
            say(f"--host {self.host}: whoever reaches this machine may look, push and steer")
        try:
            shown = make(window)
            began, cpu = time.perf_counter(), time.process_time()
            try:
                shown.run(float("inf") if self.seconds is None else self.seconds)
            except KeyboardInterrupt:
                say("closed")
            if self.measure:
                print(spell_cost(shown, began - imported, time.perf_counter() - began, time.process_time() - cpu))
        finally:
            window.close()
        return 0

    def _take(self, path: Path) -> "Take":
        from mimic.takes import motion_take, policy_take

        found = _open(path)
        if found is None:
            return motion_take(path, self.robot, say, **self.of_files)
        if not self.recorded:
            say(f"{path}: run once, to be on one time line with the others")
        return policy_take(path, found.policy, found.model)


@dataclass(frozen=True)
class Found:
    """A policy, what is asked for newer ones, the model that is drawn where it is not the policy's own, the clips by which it
    gets up, if it was trained to, and those it can go over to, where there are several."""

    policy: "Policy"
    newer: "Callable[[], Policy | None]"
    model: "mujoco.MjModel | None"
    ways: "tuple[Motion, ...]" = ()
    clips: "tuple[Motion, ...]" = ()


def _open(path: Path) -> Found | None:
    """The policy that `path` means; None for a motion file."""
    from mimic.runs import CONFIG

    if (path / CONFIG).is_file():
        return _open_run(path)
    if path.is_dir() or path.suffix == ".onnx":
        from mimic.commands.stress import policy_file
        from mimic.deploy.sim2sim import Policy

        return Found(Policy.load(policy_file(path)), lambda: None, None)
    return None


def _open_run(path: Path) -> Found:
    """The newest policy of a run, and those that come after it."""
    from mimic.pipeline import robot_for
    from mimic.runs import open_run

    run = open_run(path)
    newer = Newest(run)
    policy = newer()
    if policy is None:
        raise InputError(f"{path}: no checkpoint yet: look again when one is saved (save_every_s)")
    ways = run.asked if run.config.falls else ()
    clips = run.asked if run.config.follow and len(run.asked) > 1 and not ways else ()
    return Found(policy, newer, robot_for(run).model, ways, clips)


def _live(found: Found, window: "Window") -> Shown:
    from mimic.live.view import LiveView

    return LiveView(window, found.policy, newer=found.newer, model=found.model, ways=found.ways, clips=found.clips)


def _time_line(takes: "list[Take]", window: "Window") -> Shown:
    from mimic.view.clip_view import ClipView

    return ClipView(window, takes)


def spell_cost(shown: Shown, first_s: float, seconds: float, cpu_s: float) -> str:
    """In words: the first picture's wait, and the rest by the real time and the processor time it took [s]."""
    words = [
        f"first picture after {first_s:.1f} s",
        f"{shown.sent / seconds:.1f} pictures/s",
        f"{100 * cpu_s / seconds:.0f} % of a core",
    ]
    words.append(f"{1e3 * cpu_s / max(shown.sent, 1):.1f} ms of it each")
    if shown.simulated_s is not None:
        words.append(f"physics at {shown.simulated_s / seconds:.2f} of real time")
    return ", ".join(words)


class Newest:
    """Called: the run's policy, if there is one that was not given out yet."""

    def __init__(self, run: "Run") -> None:
        self.run, self.last = run, -1
        self.folder = tempfile.TemporaryDirectory(prefix="mimic-view-")

    def __call__(self) -> "Policy | None":
        from mimic.deploy.sim2sim import Policy
        from mimic.pipeline import trained_policy, write_policy
        from mimic.runs import POLICY

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
