"""All commands: by what they are for, and by name."""

import re

from mimic.commands.completion import Completion
from mimic.commands.distill import Distill
from mimic.commands.evaluate import Evaluate
from mimic.commands.explain import Explain
from mimic.commands.harden import Harden
from mimic.commands.init import Init
from mimic.commands.mocap import Convert, Retarget
from mimic.commands.motions import Fetch, Motions
from mimic.commands.play import Play
from mimic.commands.report import Report
from mimic.commands.robot import Robot
from mimic.commands.serving import Rehearse, Serve, SimRobot
from mimic.commands.stress import Stress
from mimic.commands.sweep import Sweep
from mimic.commands.tools import Bench, Doctor, Inspect
from mimic.commands.training import CheckBundle, Demo, Export, Train
from mimic.commands.view import View

GROUPS: dict[str, tuple[type, ...]] = {
    "train": (Demo, Init, Train, Sweep, Distill, Harden),
    "look": (View, Report, Play, Inspect),
    "measure": (Evaluate, Stress, Bench),
    "motions": (Retarget, Convert, Motions, Fetch, Robot),
    "deploy": (Export, CheckBundle, Rehearse, Serve, SimRobot),
    "this machine": (Doctor, Explain, Completion),
}


def command_name(command: type) -> str:
    """As it is typed: `CheckBundle` is check-bundle."""
    return re.sub("(?<=[a-z])(?=[A-Z])", "-", command.__name__).lower()


COMMANDS: dict[str, type] = {command_name(command): command for group in GROUPS.values() for command in group}
