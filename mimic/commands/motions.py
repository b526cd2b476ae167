"""`mimic motions edit | curate` and `mimic fetch`: work on motions and on whole folders of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mimic.arguments import EXIT_INPUT, POSITIONAL, FileOptions, QuatOrder, parse_arguments, say
from mimic.help_text import listed
from motions.errors import InputError, unknown_name

if TYPE_CHECKING:
    from mimic.robots import Robot
    from motions.motion import Motion


@dataclass(frozen=True)
class Edit(FileOptions):
    """Edit a motion: join, trim, mirror, smooth, loop, lead, split.

    In the order of the options below: joined first, split last.
    """

    source: Annotated[str, POSITIONAL]
    """A motion file of any kind; a captured skeleton is retargeted to the robot first."""
    out: Annotated[Path, POSITIONAL]
    """The npz to write; with --split a folder."""
    robot: str | None = None
    """A robot's name or file; not needed where the file names its robot."""
    join: tuple[str, ...] = ()
    """Motion files to go on with, their places and headings aligned and the transitions blended."""
    blend_s: float = 0.3
    """Length of a blended transition [s], of joins and at a loop's seam."""
    trim: str | None = None
    """FROM:TO [s], as 1:4, :4 or 2:."""
    resample: float | None = None
    """Frame rate to go to [Hz]."""
    speed: float | None = None
    """Play so many times as fast."""
    mirror: bool = False
    """Exchange left and right."""
    ground: bool = False
    """Put the standing feet on the ground and keep them there (a solve)."""
    smooth: float | None = None
    """Take out what is faster than this [Hz]."""
    loop: bool = False
    """Cut out the best cycle and close it."""
    repeat: int | None = None
    """So many cycles of a loop, one after the other, each going on where the last one ended."""
    wander: float | None = None
    """Lead a loop over the ground for so long [s]: turns and paces that it does not have, for a controller to be steered."""
    seed: int = 0
    """Of where it wanders."""
    reset_origin: bool = False
    """Start at x = y = 0, facing +x."""
    split: bool = False
    """Write the stretches between cuts (jumps that no body can do) as files of their own."""

    def run(self) -> int:
        from mimic.sources import robot_of_file
        from motions.edit import find_cuts, split_at_cuts
        from motions.motion import save_motion

        if not self.split and self.out.suffix != ".npz":
            raise InputError(f"{self.out}: motions are written as .npz; name such a file, or a folder with --split")
        robot = robot_of_file(self.source, self.robot, say)
        motion = self._edited(robot)
        if not self.split:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            targets = [(self.out, motion)]
        else:
            for cut in find_cuts(motion, robot.body):
                say(f"{motion.name}: {cut}")
            self.out.mkdir(parents=True, exist_ok=True)
            targets = [(self.out / f"{part.name}.npz", part) for part in split_at_cuts(motion, robot.body)]
        for path, part in targets:
            save_motion(part, path)
            seconds = f"{part.num_frames} frames at {part.fps:g} Hz, {part.duration_s:.2f} s{', loops' if part.loop else ''}"
            say(f"wrote {path}: {seconds}")
        return 0

    def _edited(self, robot: "Robot") -> "Motion":
        from mimic.sources import ground_motion, read_motions
        from motions import edit
        from motions.motion import resample

        paths = (self.source, *self.join)
        motions, _ = read_motions(paths, robot, say, **self.of_files)
        motion = edit.concatenate(motions, blend_s=self.blend_s) if self.join else motions[0]
        if self.trim is not None:
            motion = edit.trim(motion, *parse_span(self.trim))
        if self.resample is not None:
            motion = resample(motion, require_above_zero("--resample", self.resample))
        if self.speed is not None:
            motion = edit.speed(motion, self.speed)
        if self.mirror:
            motion = edit.mirror(motion, robot.body)
        if self.ground:
            motion = ground_motion(motion, robot, say)
        if self.smooth is not None:
            motion = edit.smooth(motion, self.smooth)
        if self.loop:
            cycle = edit.find_cycle(motion, robot.body)
            span = f"{cycle.start / motion.fps:.2f} s to {cycle.end / motion.fps:.2f} s"
            say(
                f"{motion.name}: the cycle from {span} returns within {100 * cycle.seam_m:.1f} cm; closed over {self.blend_s:g} s"
            )
            motion = edit.close_cycle(motion, cycle, blend_s=min(self.blend_s, (cycle.end - cycle.start) / motion.fps))
        if self.repeat is not None:
            motion = edit.repeat(motion, self.repeat)
        if self.wander is not None:
            motion = edit.wander(motion, self.wander, seed=self.seed)
        return edit.reset_origin(motion) if self.reset_origin else motion


def parse_span(text: str) -> tuple[float, float | None]:
    """ "1:4", ":4" or "2:" as (start, end) [s]; an open end is None. Raises `InputError` for anything else."""
    start, colon, end = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return float(start or 0.0), float(end) if end else None
    except ValueError:
        raise InputError(f"--trim {text}: expected FROM:TO in seconds, as 1:4, :4 or 2:") from None


def require_above_zero(name: str, value: float) -> float:
    """`value`, if it is a number above 0."""
    if not 0.0 < value < float("inf"):
        raise InputError(f"{name} {value:g}: expected a number above 0")
    return value


@dataclass(frozen=True)
class Curate:
    """Retarget and judge a folder of motion files; write a catalogue to train on.

    It holds verdicts, weights, licences and splits: trainings leave out a part of the clips, drawn by their content, for `mimic
    evaluate --motion OUT` to measure what was never trained. Started again, it goes on where it was stopped.
    """

    folder: Annotated[Path, POSITIONAL]
    """Of motion files, those in its folders included."""
    robot: str
    """A robot's name, or a path to an MJCF or spec file."""
    out: Path
    """Folder for catalogue.json and the clips. Started again with the same folder, it goes on where it was."""
    quat_order: QuatOrder | None = None
    """Quaternion order of files that do not say."""
    fps: float | None = None
    """Frame rate [Hz] of files that do not say."""
    scale: float | None = None
    """Metres per unit of the files, where it cannot be recognised."""
    mapping: Path | None = None
    """TOML file that says how the robot stands for a person or an animal; see `mimic robot init`."""
    sheets: bool = False
    """Draw a contact sheet of every clip, too."""

    def run(self) -> int:
        from mimic.runs import require_writable
        from mimic.sources import curate_folder, named_robot

        for option in ("fps", "scale"):
            if getattr(self, option) is not None:
                require_above_zero(f"--{option}", getattr(self, option))
        if self.folder.is_dir():  # else nothing is made: what is wrong with it is said below
            require_writable(self.out)
        robot = named_robot(self.robot, say)
        asked = {name: getattr(self, name) for name in ("quat_order", "fps", "scale", "mapping", "sheets")}
        tally = curate_folder(self.folder, robot, self.out, say, **asked)
        total = tally.done + tally.kept
        say(f"{total} files: {tally.passed} passed, {total - tally.passed - tally.broken} failed a gate, {tally.broken} broken")
        rows = json.loads((self.out / "catalogue.json").read_text())["clips"]
        for line in (spell_split(rows, self.out), spell_passed_over(self.folder, self.out, rows)):
            if line:
                say(line)
        if tally.kept:
            say(f"{tally.kept} of them were done by an earlier run and taken as they are")
        if tally.frames:
            say(
                f"{tally.frames} frames retargeted in {tally.wall_s:.1f} s; a call solves {tally.frames / tally.solve_s:.0f} "
                f"frames/s, compilation excluded, for which calls waited {tally.compile_s:.1f} s"
            )
        print(self.out / "catalogue.json")
        return 0


def spell_split(rows: list[dict[str, Any]], out: Path) -> str | None:
    """How many of the passed clips of a catalogue in `out` trainings take, in words; None: all."""
    passed = [row for row in rows if row.get("passed")]
    held_out = [row["name"] for row in passed if row["split"] == "held_out"]
    if not held_out:
        return None
    return (
        f"of the {len(passed)} that passed {len(passed) - len(held_out)} are for training and {len(held_out)} held out, for "
        f"`mimic evaluate RUN --motion {out}`: {named(held_out)}. Splits stand in {out / 'catalogue.json'}, and may be edited"
    )


def spell_passed_over(folder: Path, out: Path, rows: list[dict[str, Any]]) -> str | None:
    """Which files below `folder` are in no row, those below `out` aside, in words; None: each is."""
    taken, ours = {row["file"] for row in rows}, out.resolve()
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.resolve().is_relative_to(ours))
    others = [name for path in files if (name := path.relative_to(folder).as_posix()) not in taken]
    return f"passed over, no motions of their own: {named(others)}" if others else None


def named(names: list[str], most: int = 5) -> str:
    """The first of `names`, and how many more."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@dataclass(frozen=True)
class Fetch:
    """Download a public motion set, its licence first; without a name: list them."""

    name: Annotated[str, POSITIONAL] = ""
    """Which set."""
    folder: Path = Path("data")
    """Where to put it."""
    accept_licence: bool = False
    """You have read the terms of a non-commercial set and keep to them."""

    def run(self) -> int:
        from motions.fetch import fetch, read_catalog

        if not self.name:
            for name, entry in read_catalog().items():
                print(f"{name}: {entry.describe()}\n")
            return 0
        print(fetch(self.name, self.folder, accept_licence=self.accept_licence, say=say))
        return 0


MOTION_COMMANDS: dict[str, type] = {"edit": Edit, "curate": Curate}


class Motions:
    """Work on motions: `mimic motions edit`, `mimic motions curate`."""


def run_motions(argv: list[str]) -> int:
    """`mimic motions ARGV`. Raises `InputError` for an unknown subcommand."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: mimic motions COMMAND ...\n\n{listed(MOTION_COMMANDS)}\n\n`mimic motions COMMAND --help` explains one.")
        return 0 if argv else EXIT_INPUT
    if argv[0] not in MOTION_COMMANDS:
        raise unknown_name("command of mimic motions", argv[0], MOTION_COMMANDS)
    return parse_arguments(MOTION_COMMANDS[argv[0]], argv[1:], f"mimic motions {argv[0]}").run()
