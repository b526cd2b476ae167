"""A robot on disk: its XML and its numbers, so that a run or an exported policy needs no other file."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from mimic.robots.robot import Robot
from mimic.robots.traits import default_corner_velocity
from motions.errors import InputError
from motions.kinematics import Body


def write_robot(robot: Robot, stem: Path) -> None:
    """Write `<stem>.xml` (self-contained MJCF) and `<stem>.json` (gains, poses, names)."""
    skipped = {"body", "model", "mjcf"}
    values = {f.name: getattr(robot, f.name) for f in dataclasses.fields(robot) if f.name not in skipped}
    plain = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in values.items()}
    plain |= {"source": robot.source.name, "foot_bodies": robot.foot_bodies}
    stem.with_suffix(".xml").write_text(robot.mjcf)
    stem.with_suffix(".json").write_text(json.dumps(plain, indent=2) + "\n")


def read_robot(stem: Path) -> Robot:
    """The robot `write_robot` wrote. Raises `InputError` when a file is missing or damaged."""
    try:
        values = json.loads(stem.with_suffix(".json").read_text())
        mjcf = stem.with_suffix(".xml").read_text()
        model = mujoco.MjModel.from_xml_string(mjcf)
        body = Body(values["name"], model, tuple(values.pop("foot_bodies")))
        arrays: dict[str, Any] = {key: np.array(value) if _is_numeric(value) else value for key, value in values.items()}
        tuples: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in arrays.items()}
        for name, value in _ideal_motors(tuples["velocity_limit"]).items():
            tuples.setdefault(name, value)  # a robot written before motors were described
        return Robot(**(tuples | {"body": body, "model": model, "mjcf": mjcf, "source": Path(values["source"])}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"the robot stored at {stem}.xml/.json cannot be read: {error}") from error


def _ideal_motors(velocity_limit: np.ndarray) -> dict[str, np.ndarray]:
    """What a spec that says nothing of its motors gets."""
    zeros = np.zeros(len(velocity_limit))
    return {"corner_velocity": default_corner_velocity(velocity_limit), "motor_friction": zeros, "motor_damping": zeros}


def _is_numeric(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and isinstance(value[0], (int, float))
