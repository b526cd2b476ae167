"""What `mimic init` proposes: a preset for what is wanted of a robot, and the file that says so, every line of it explained."""

import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimic.config import Config
from mimic.config_file import RUN_DIR, as_toml
from mimic.help_text import program
from mimic.presets import PRESETS, make_preset
from mimic.runs import POLICY, REPORT
from motions.fields import as_written

WIDTH = 100
OFTEN = ("env_steps", "num_envs", "seed", "backend", "evaluate_every_s")  # what is often changed
CHOSEN = ("robot", "motion")  # said even where the preset says the same
STUDENT = "student"


@dataclass(frozen=True)
class Task:
    """What somebody wants. `preset`: of any robot, where there is none of the robot's own name."""

    what: str
    preset: str
    of_robots: bool = False  # whether a preset may be called as the robot


TASKS = {
    "track": Task("follow the motion in simulation, with the exact state", "g1", of_robots=True),
    "deploy": Task("follow it on a real robot: a teacher in a varied world, then its student", "g1_teacher"),
    "style": Task("move in the style of the motion, and follow none", "humanoid_style"),
    "steer": Task("be told how fast to go and where to, in the style of a motion that walks", "humanoid_steer"),
    "strike": Task("follow a motion that strikes, and hit a target with it", "humanoid_strike"),
}


@dataclass(frozen=True)
class Proposal:
    """What the file says. `given`: fields of `Config` that differ from the preset's; `notes`: of these, what was found out."""

    task: str
    folder: Path
    given: dict[str, Any]
    notes: dict[str, str]

    @property
    def preset(self) -> str:
        robot, task = self.given["robot"], TASKS[self.task]
        return robot if task.of_robots and robot in PRESETS else task.preset

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    def text(self, file: Path) -> str:
        """The file."""
        base, told = make_preset(self.preset), explanations()
        blocks = [
            _comment(f"A training, written by `mimic init`. It is started by: mimic train --config {quoted(file)}")
            + _comment("Paths are from where that is run. Options of the command override what stands here.")
            + _comment(
                f"Every setting there is: mimic train {self.preset} --help; SECTION.NAME there is NAME under [SECTION] here."
            ),
            _comment(f"{TASKS[self.task].what}. {told['preset']}") + f"preset = {as_toml(self.preset)}\n",
            _comment(f"Where everything is written: checkpoints, metrics, {POLICY}, video.mp4, {REPORT}.")
            + f"{RUN_DIR} = {as_toml(str(self.run_dir))}\n",
        ]
        for name, value in self.given.items():
            if name in CHOSEN or value != getattr(base, name):
                note = f" Here: {self.notes[name]}." if name in self.notes else ""
                blocks.append(_comment(told[name] + note) + f"{name} = {as_toml(value)}\n")
        blocks.append(_comment("Often changed; these are the preset's values. Take away the # before one to change it."))
        blocks += [_comment(told[name]) + f"# {name} = {as_toml(getattr(base, name))}\n" for name in OFTEN]
        return "\n".join(blocks)

    def next_commands(self, file: Path) -> list[str]:
        """What to type now, and then."""
        mimic, run = program(), quoted(self.run_dir)
        lines = [f"{mimic} train --config {quoted(file)}"]
        if self.task != "deploy":
            watched = f"{mimic} view {run}  # while it trains, from another terminal, or afterwards"
            return [*lines, watched, f"{mimic} export {run} --out {quoted(self.folder / POLICY)}"]
        student = quoted(self.folder / STUDENT)
        own = f"{self.given['robot']}_deploy"
        preset = f" --preset {own}" if own in PRESETS and own != "g1_deploy" else ""
        return [
            *lines,
            f"{mimic} distill {run}{preset} --run-dir {student}  # sees only what a robot measures",
            f"{mimic} stress {student}  # how much delay, mass, friction, ... it bears",
            f"{mimic} export {student} --bundle --out {quoted(self.folder / 'bundle')}",
        ]


def explanations() -> dict[str, str]:
    """What `Config` says of each of its fields: the texts below them, which `--help` shows."""
    return {name: field.doc.replace("\n", " ") for name, field in as_written(Config).items() if field.doc}


def quoted(path: Path) -> str:
    """As one word for a shell."""
    return shlex.quote(str(path))


def _comment(text: str) -> str:
    """`text` as lines of a comment, whatever is in it: a name from a file ends no line."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return textwrap.fill(plain, WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False) + "\n"
