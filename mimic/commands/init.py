"""`mimic init`: asks what is wanted, looks at the motion, and writes a file that `mimic train --config` takes."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mimic.arguments import POSITIONAL, FileOptions, say
from motions.errors import InputError, unknown_name

if TYPE_CHECKING:
    from mimic.config import Config
    from mimic.proposal import Proposal
    from mimic.robots import Robot
    from motions.motion import Motion

FILE = "mimic.toml"
LONG_S = 20.0  # [s] the presets' lengths of training were found on clips of 2 to 12 s
CHARACTER = "humanoid"  # the robot proposed for people who were captured


@dataclass(frozen=True)
class Init(FileOptions):
    """Write a training's settings: which robot, which motion, what for. Asks what is not said.

    It is mimic.toml in the folder, every line explained, for `mimic train --config`. The motion is read and
    retargeted first, so that what is written would start.
    """

    folder: Annotated[Path, POSITIONAL] = Path()
    """Where to write mimic.toml; the run's folder will be in it, too."""
    robot: str | None = None
    """A robot's name, or a path to an MJCF or spec file."""
    motion: str | None = None
    """A motion file of any kind, or the name of a shipped clip."""
    task: Literal["track", "deploy", "style", "steer", "strike"] | None = None
    """track: in simulation. deploy: on a robot. style: in its style. steer: to be led. strike: at targets."""
    start_s: float = 0.0
    """Of the motion, the part from here [s] ..."""
    end_s: float | None = None
    """... to here [s]; default: to its end."""
    force: bool = False
    """Replace a mimic.toml that is there."""

    def run(self) -> int:
        from mimic.config_file import configured
        from mimic.presets import make_preset
        from mimic.runs import require_writable_file

        file = self.folder / FILE
        if file.exists() and not self.force:
            raise InputError(f"{file} exists already and may hold somebody's work: --force replaces it")
        self.require_answers()
        require_writable_file(file)
        proposal = self.proposed()
        text = proposal.text(file)
        draft = file.with_name(f".{FILE}.draft")
        try:
            draft.write_text(text, encoding="utf-8")
            config = configured(draft, make_preset(proposal.preset))
            would_start(config, proposal.run_dir)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
        say(f"wrote {file}: {proposal.task} with {config.robot}, {config.env_steps / 1e6:g} M env-steps; it would start")
        print("\n".join(["next:", *(f"  {line}" for line in proposal.next_commands(file))]))
        return 0

    def require_answers(self) -> None:
        """Raise `InputError` where something is not said and nobody can be asked."""
        missing = [f"--{name}" for name in ("robot", "motion", "task") if getattr(self, name) is None]
        if missing and not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise InputError(f"there is no terminal to ask on: give {', '.join(missing)} too")

    def proposed(self) -> "Proposal":
        from mimic.presets import make_preset
        from mimic.proposal import TASKS, Proposal
        from mimic.robots.find import builtin_specs
        from mimic.sources import named_robot

        motion = self.motion or asked("Which motion? A file, or a shipped clip", list(shipped(CHARACTER)), "dance", existing)
        robot_name = self.robot or asked("Which robot? A name, or an MJCF or spec file", list(builtin_specs()), own(motion), str)
        robot = named_robot(robot_name, say)
        file = named_motion(motion, robot_name)
        found, facts = self.looked_at(file, robot)
        options = {name: task.what for name, task in TASKS.items()}
        task = self.task or asked("What for?", options, "track", lambda answer: one_of(answer, options))
        given: dict[str, Any] = {"robot": robot_name, "motion": (str(file),)}
        given |= self.of_config | {"start_s": self.start_s, "end_s": self.end_s}
        part_s = (found if self.end_s is None else self.end_s) - self.start_s
        if part_s > LONG_S:
            say(
                f"{file}: {part_s:.0f} s is long: cut it (--start-s, --end-s), or expect to train for longer (env_steps in the "
                f"file); presets are made for up to {LONG_S:g} s"
            )
        proposal = Proposal(task, self.folder, given, {"motion": facts})
        base = make_preset(proposal.preset)
        if base.robot != robot_name:
            say(f"preset {proposal.preset} was made for {base.robot}, and is taken for {robot_name} as it is")
        return proposal

    def looked_at(self, file: Path, robot: "Robot") -> tuple[float, str]:
        """Length of the motion [s], and what it is in a sentence, which is said."""
        from mimic.inspection import described
        from motions.formats import read_motion_file

        said = {name: value for name, value in self.of_files.items() if name not in ("cycles", "mapping")}
        found = read_motion_file(str(file), robot=robot.body, **said)
        seconds, facts = described(found.motion)
        say(f"{file}: {facts}")
        return seconds * self.cycles, facts


def asked[Answer](question: str, options: Mapping[str, str] | list[str], default: str, taken: Callable[[str], Answer]) -> Answer:
    """What the user answers, asked again until `taken` raises no `InputError`."""
    if isinstance(options, Mapping):
        width = max(map(len, options))
        say("\n".join([question, *(f"  {name:{width}}  {what}" for name, what in options.items())]))
    else:
        say(f"{question}: {', '.join(options)}")
    while True:
        print(f"  [{default}] ", end="", file=sys.stderr, flush=True)
        try:
            answer = input().strip() or default
        except EOFError:
            raise KeyboardInterrupt from None
        try:
            return taken(answer)
        except InputError as error:
            say(f"  {error}")


def one_of(answer: str, options: Mapping[str, str]) -> str:
    """`answer`, if it is one of the options, or the beginning of just one."""
    meant = [name for name in options if name.startswith(answer)]
    if len(meant) != 1:
        raise unknown_name("answer", answer, options)
    return meant[0]


def shipped(robot: str) -> dict[str, Path]:
    """Clips that come with the package: motions of our humanoid, for other robots the captured one."""
    from motions.clips import demo_bvh, shipped_clips

    return shipped_clips() if robot == CHARACTER else {demo_bvh().stem: demo_bvh()}


def existing(motion: str) -> str:
    """`motion`, if it is a file or a shipped clip."""
    if motion not in shipped(CHARACTER) and not Path(motion).is_file():
        raise InputError(f"{motion}: no such file, and no shipped clip: {', '.join(shipped(CHARACTER))}")
    return motion


def named_motion(motion: str, robot: str) -> Path:
    """The file that is meant. Raises `InputError` where there is none for the robot."""
    if not Path(motion).exists() and motion in shipped(CHARACTER):
        if motion not in shipped(robot):
            raise InputError(f"the shipped clip {motion} is {CHARACTER}'s: for {robot} there is {', '.join(shipped(robot))}")
        return shipped(robot)[motion]
    return Path(existing(motion))


def own(motion: str) -> str:
    """The robot to propose for it: the one that it names, else our humanoid. What cannot be read yet names none."""
    from motions.formats import read_motion_file
    from motions.motion import Motion

    if Path(motion).suffix != ".npz" or not Path(motion).is_file():
        return CHARACTER
    try:
        found = read_motion_file(motion).motion
    except InputError:
        return CHARACTER
    return found.robot if isinstance(found, Motion) else CHARACTER


def would_start(config: "Config", folder: Path) -> "list[Motion]":
    """The motions that `mimic train` would train on, in `folder`. Raises its `InputError` where it would not start."""
    from mimic.checks import check_config, check_fits
    from mimic.commands.staged import check_stages
    from mimic.robots import load_robot
    from mimic.runs import refuse_occupied
    from mimic.sim.physics import choose_backend
    from mimic.sources import motions_of
    from motions.library import require_trackable

    check_config(config)
    choose_backend(config.backend, config.device)
    refuse_occupied(folder, config)
    if config.begin == "tracker":
        check_stages(config, folder)
    robot = load_robot(config.robot, sim=config.sim)
    check_fits(config, robot)
    _, motions, _ = motions_of(config, robot, say)
    require_trackable(tuple(motions), robot.body, config.sim.ctrl_dt)
    return motions
