"""A robot's spec file, written: what is known of it and what was assumed, to be looked at, corrected and used."""

import glob
import os
import textwrap
from pathlib import Path

import numpy as np

from mimic.robots.robot import Robot
from mimic.robots.traits import default_corner_velocity
from motions.files import toml_text

WIDTH = 110


def spec_to_toml(robot: Robot, folder: Path) -> str:
    """The spec of `robot` as TOML text: in a file in `folder` it reads back as the same robot, to six digits.

    A spec's default pose stands upright: of one that is turned only the joints are written, which is said in the file.
    """
    turned = (
        [] if np.allclose(robot.default_qpos[3:7], (1, 0, 0, 0), atol=1e-3) else ["the root's turn is not kept, it is upright"]
    )
    model = Path(os.path.relpath(robot.source.resolve(), folder.resolve()))
    lines = [
        *_comment(
            f"What Mimic understands of {model.name}, written by `mimic inspect --spec`: correct it, and give it as --robot."
        ),
        *(line for text in (*robot.assumptions, *turned) for line in _comment(f"assumed: {text}")),
        f"name = {toml_text(robot.name)}  # motions made for it carry this name",
        f"files = [{toml_text(model.as_posix())}]",
        "",
        "# kp [N m/rad], kd [N m s/rad], effort [N m], armature [kg m^2]. Every joint must match one line; * is any part of it",
        "[joints]",
        *(f"{_pattern(name)} = {{ {_entry(robot, j)} }}" for j, name in enumerate(robot.joint_names)),
        "",
        "[default_pose]  # height of the root [m], joints [rad]; those not named stay at 0",
        f"root_z = {robot.default_qpos[2]:.6g}",
        "[default_pose.joints]",
        *(
            f"{_pattern(name)} = {angle:.6g}"
            for name, angle in zip(robot.joint_names, robot.default_qpos[7:], strict=True)
            if angle
        ),
        "",
        "[bodies]  # tracked: by which it is judged; the anchor's height and tilt say whether it has fallen",
        f"tracked = {_names(robot.tracked_bodies)}",
        f"anchor = {toml_text(robot.anchor_body)}",
        f"end_effectors = {_names(robot.end_effectors)}",
        f"feet = {_names(robot.foot_bodies)}",
        f"foot_geoms = {_names(tuple(map(glob.escape, robot.foot_geoms)))}",
    ]
    return "\n".join(lines) + "\n"


def _entry(robot: Robot, joint: int) -> str:
    """What is said of one joint: gains, effort and armature always, of a real motor what is known."""
    limit = robot.velocity_limit[joint]
    said = {"kp": robot.kp, "kd": robot.kd, "effort": robot.effort, "armature": robot.armature}
    values = {name: row[joint] for name, row in said.items()}
    known = {"velocity_limit": (limit, np.inf), "corner_velocity": (robot.corner_velocity[joint], default_corner_velocity(limit))}
    known |= {"friction": (robot.motor_friction[joint], 0.0), "damping": (robot.motor_damping[joint], 0.0)}
    values |= {name: value for name, (value, unsaid) in known.items() if value != unsaid}
    return ", ".join(f"{name} = {value:.6g}" for name, value in values.items())


def _pattern(name: str) -> str:
    """A name as a key that matches it alone."""
    return toml_text(glob.escape(name))


def _names(names: tuple[str, ...]) -> str:
    return f"[{', '.join(map(toml_text, names))}]"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False)
