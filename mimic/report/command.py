"""The command that makes a run, from its configuration."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from mimic.config import Config, to_dict
from mimic.presets import PRESETS, make_preset
from mimic.runs import differences
from mimic.training.stages import folder_of

SET_BY_COMMAND = {"preset", "teacher", "learner"}


def command_of(config: Config, folder: Path) -> str:
    """`mimic train | distill | harden ...` with every option in which `config` differs from its preset."""
    base = make_preset(config.preset) if config.preset in PRESETS else Config()
    if config.init_from == str(folder_of(folder, "student")):  # the last of three stages: the first command makes them all
        config = replace(config, begin="tracker", init_from=None)
    if config.falls or config.led_s or config.switches:  # each clip that was made of those asked for has one, too
        config = replace(config, weights=())
    if config.teacher is not None:
        words = ["mimic", "distill", config.teacher, "--preset", config.preset]
    elif config.learner == "search":
        words = ["mimic", "harden", str(config.init_from)]
        base = replace(base, init_from=config.init_from)
    else:
        words = ["mimic", "train", config.preset]
    mine = to_dict(config)
    for name, _ in differences(mine, to_dict(base)):
        if name not in SET_BY_COMMAND:
            words += _option(name, _at(mine, name))
    return shlex.join([*words, "--run-dir", str(folder)])


def _at(values: dict[str, Any], name: str) -> Any:
    for part in name.split("."):
        values = values[part]
    return values


def _option(name: str, value: Any) -> list[str]:
    """As `mimic train` reads it: a list as its items, a switch by its name alone."""
    section, dot, last = name.replace("_", "-").rpartition(".")
    if isinstance(value, bool):
        return [f"--{section}{dot}{'' if value else 'no-'}{last}"]
    items = value if isinstance(value, (list, tuple)) else [value]
    return [f"--{section}{dot}{last}", *(str(item) for item in items)]
