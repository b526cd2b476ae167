"""Teachers: taken from a finished run, checked against the student to be, kept in the student's run folder."""

import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mimic.config import Config, from_dict, to_dict
from mimic.deploy.export import make_spec
from mimic.learning.distill import Teacher
from mimic.learning.networks import Layers
from mimic.robots import Robot
from mimic.runs import differences
from mimic.sim.randomize import SHOWN
from motions.errors import InputError
from motions.motion import Motion

FOLDER, CONFIG, ACTOR = "teacher", "config.json", "actor.npz"  # within the student's run folder
SHARED = (
    "robot",
    "motion",
    "quat_order",
    "fps",
    "start_s",
    "end_s",
    "clip",
    "skeleton",
    "scale",
    "cycles",
    "mapping",
    "action",
    "sim",
)
FREE = ("sim.actuator", "action")  # of these, what a student may have otherwise: its motors, and what its actions correct

PLACE = ("motion_anchor_pos_b", "future")  # terms that show how far the robot has drifted


@dataclass(frozen=True)
class TaughtBy:
    """A teacher with the configuration it was trained with."""

    config: Config
    layers: Layers
    mean: np.ndarray
    std: np.ndarray

    @property
    def actor(self) -> Teacher:
        return Teacher(self.config.observation, self.config.action, self.layers, self.mean, self.std)


def at_nominal(taught_by: TaughtBy, robot: Robot, motion: Motion) -> TaughtBy:
    """The same policy without the term randomization, whose zeros become a part of the first layer's bias."""
    observation = taught_by.config.observation
    if "randomization" not in observation.actor:
        return taught_by
    place = observation.actor.index("randomization")
    before, after = observation.actor[:place], observation.actor[place + 1 :]
    config = replace(taught_by.config, observation=replace(observation, actor=before + after))
    sizes = {term.name: term.size for term in make_spec(config, robot, motion).observation}
    start = sum(sizes[name] for name in before)
    hidden = slice(start, start + len(taught_by.mean) - sum(sizes.values()))
    kernel, bias = taught_by.layers[0]
    zeros = np.clip(-taught_by.mean[hidden] / taught_by.std[hidden], -observation.clip, observation.clip)
    first = np.delete(kernel, hidden, axis=0), bias + zeros @ kernel[hidden]
    mean, std = (np.delete(part, hidden) for part in (taught_by.mean, taught_by.std))
    return TaughtBy(config, [first, *taught_by.layers[1:]], mean, std)


def student_config(preset: Config, teacher: Config, folder: Path) -> Config:
    """`preset` as a student of the run in `folder`, whose config is `teacher`: its robot, motions, simulation and actions."""
    return replace(preset, teacher=str(folder), **{name: getattr(teacher, name) for name in SHARED})


def check_student(student: Config, teacher: Config) -> None:
    """Raise `InputError` where the teacher cannot say what the student should do."""
    if not teacher.follow:
        raise InputError("the teacher follows no clip, and its student would practise along one: go on with it by --init-from")
    if student.ppo.symmetry != "none":
        raise InputError(
            f"ppo.symmetry is {student.ppo.symmetry}, expected none: a student learns what its teacher does, not by PPO; "
            "for a symmetric student train the teacher with it"
        )
    if teacher.observation.history:
        raise InputError(
            f"the teacher observes {teacher.observation.history} past control steps, and a teacher sees the true state of the "
            "present only: train one with --observation.history 0"
        )
    ours, theirs = ({name: to_dict(config)[name] for name in SHARED} for config in (student, teacher))
    lines = [line for name, line in differences(ours, theirs, whose="the teacher") if not name.startswith(FREE)]
    if lines:
        raise InputError(f"a student acts as its teacher does, on its robot and motions; what differs: {'; '.join(lines)}")
    if "randomization" in teacher.observation.actor:
        names = [name for name in SHOWN if not name.endswith("delay")]  # of delays a teacher is told nothing
        drawn = [({name: to_dict(config)["randomize"][name] for name in names}) for config in (student, teacher)]
        lines = [line for _, line in differences(drawn[0], drawn[1], "randomize.", whose="the teacher")]
        if lines:
            raise InputError(
                f"the teacher observes what is drawn, and knows its own ranges only; what differs: {'; '.join(lines)}"
            )


def unlike_teacher(student: Config, teacher: Config) -> list[str]:
    """The parts of the randomization that the student has otherwise than its teacher had, by name; but for the line between
    policy and robot, which a teacher does without."""
    names = [name for name, _ in differences(to_dict(student)["randomize"], to_dict(teacher)["randomize"])]
    return [name for name in names if not name.startswith(("action_delay", "observation_delay", "noise"))]


def unknowable(student: Config, teacher: Config) -> list[str]:
    """The terms by which the teacher knows where in the world it is, if the student has none of them."""
    seen = [name for name in PLACE if name in teacher.observation.actor]
    return [] if any(name in student.observation.actor for name in PLACE) else seen


def save_teacher(teacher: TaughtBy, run_folder: Path) -> None:
    """Keep the teacher in its student's run folder, which then needs no other."""
    folder = run_folder / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / CONFIG).write_text(json.dumps({"config": to_dict(teacher.config)}, indent=2) + "\n")
    kernels = {f"kernel_{i}": kernel for i, (kernel, _) in enumerate(teacher.layers)}
    biases = {f"bias_{i}": bias for i, (_, bias) in enumerate(teacher.layers)}
    np.savez(folder / ACTOR, allow_pickle=False, mean=teacher.mean, std=teacher.std, **kernels, **biases)


def load_teacher(run_folder: Path) -> TaughtBy:
    """The teacher kept in a student's run folder. Raises `InputError` when it is missing or damaged."""
    folder = run_folder / FOLDER
    try:
        config = from_dict(Config, json.loads((folder / CONFIG).read_text())["config"], f"{folder / CONFIG}: config")
        with np.load(folder / ACTOR, allow_pickle=False) as arrays:
            count = sum(name.startswith("kernel_") for name in arrays.files)
            layers = [(arrays[f"kernel_{i}"], arrays[f"bias_{i}"]) for i in range(count)]
            return TaughtBy(config, layers, arrays["mean"], arrays["std"])
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"the teacher kept in {folder} cannot be read: {error}") from error
