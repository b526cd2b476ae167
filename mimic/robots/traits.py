"""`Traits`: what a robot's MJCF does not say (gains, limits, default pose, roles of bodies), read from a TOML spec."""

import math
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from motions.errors import InputError, unknown_name


@dataclass(frozen=True)
class Traits:
    """Per joint, in qpos order: kp [N m/rad], kd [N m s/rad], effort [N m], armature [kg m^2], velocity_limit [rad/s].

    `default_qpos` (nq) stands on the ground. `assumptions` say in words what was derived rather than given.
    """

    kp: np.ndarray
    kd: np.ndarray
    effort: np.ndarray
    armature: np.ndarray
    velocity_limit: np.ndarray
    default_qpos: np.ndarray
    tracked_bodies: tuple[str, ...]
    anchor_body: str
    end_effectors: tuple[str, ...]
    foot_bodies: tuple[str, ...]
    foot_geoms: tuple[str, ...]
    assumptions: tuple[str, ...] = ()


def motor_armature(rotor_inertias: tuple[float, float, float], gears: tuple[float, float]) -> float:
    """Inertia of a motor with two gear stages, seen at the joint: J0 (g1 g2)^2 + J1 g2^2 + J2 [kg m^2]."""
    (j0, j1, j2), (g1, g2) = rotor_inertias, gears
    return j0 * (g1 * g2) ** 2 + j1 * g2**2 + j2


def pd_gains(inertia: Any, natural_frequency_hz: float, damping_ratio: float) -> tuple[Any, Any]:
    """kp = I w^2, kd = 2 zeta I w with w = 2 pi f: the gains that move `inertia` [kg m^2] as a second-order system."""
    omega = 2.0 * math.pi * natural_frequency_hz
    return inertia * omega**2, 2.0 * damping_ratio * inertia * omega


def read_toml(path: Path) -> dict[str, Any]:
    """A robot's TOML spec. Raises `InputError` if it is missing, not TOML, or has an unknown or missing table."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not a readable robot spec ({error})") from error
    known = {"name", "files", "robot_descriptions", "gains", "motors", "joints", "default_pose", "bodies"}
    for key in table:
        if key not in known:
            raise unknown_name(f"table in {path}", key, known)
    for key in ("name", "files", "joints", "default_pose", "bodies"):
        if key not in table:
            raise InputError(f"{path}: lacks {key!r}")
    for key in ("tracked", "anchor", "end_effectors", "feet"):
        if key not in table["bodies"]:
            raise InputError(f"{path}: [bodies] lacks {key!r}")
    return table


def traits_from_toml(table: dict[str, Any], model: mujoco.MjModel, where: str) -> Traits:
    """Apply a spec's patterns to the joints and bodies of `model`. Raises `InputError` naming what does not fit."""
    names = [model.joint(i).name for i in range(1, model.njnt)]
    columns = np.array([_joint_row(table, name, where) for name in names]).T
    bodies = table["bodies"]
    known = [model.body(i).name for i in range(1, model.nbody)]
    for name in [*bodies["tracked"], bodies["anchor"], *bodies["end_effectors"], *bodies["feet"]]:
        if name not in known:
            raise unknown_name(f"body (wanted by {where})", name, known)
    for name in [bodies["anchor"], *bodies["end_effectors"]]:
        if name not in bodies["tracked"]:
            raise InputError(f"{where}: {name!r} must be one of the tracked bodies")
    foot_geoms, said = _foot_geoms(bodies, model)
    return Traits(
        *columns,
        default_qpos=_default_qpos(table["default_pose"], names, where),
        tracked_bodies=tuple(bodies["tracked"]),
        anchor_body=bodies["anchor"],
        end_effectors=tuple(bodies["end_effectors"]),
        foot_bodies=tuple(bodies["feet"]),
        foot_geoms=foot_geoms,
        assumptions=said,
    )


def fits(table: dict[str, Any], model: mujoco.MjModel) -> bool:
    """Whether a spec describes this model: joints and patterns match each other to the last one, its bodies exist."""
    joints, patterns = [model.joint(i).name for i in range(1, model.njnt)], list(table["joints"])
    bodies = {model.body(i).name for i in range(model.nbody)}
    return (
        all(any(fnmatchcase(n, p) for p in patterns) for n in joints)
        and all(any(fnmatchcase(n, p) for n in joints) for p in patterns)
        and bodies.issuperset([*table["bodies"]["tracked"], *table["bodies"]["feet"]])
    )


def _joint_row(table: dict[str, Any], name: str, where: str) -> tuple[float, ...]:
    """kp, kd, effort, armature, velocity_limit of one joint, from its motor or written out."""
    matches = [row for pattern, row in table["joints"].items() if fnmatchcase(name, pattern)]
    if len(matches) != 1:
        raise InputError(f"{where}: joint {name!r} matches {len(matches)} patterns of [joints], expected exactly one")
    row = matches[0]
    if "motor" not in row:
        missing = {"kp", "kd", "effort", "armature"} - row.keys()
        if missing:
            raise InputError(f"{where}: the entry for joint {name!r} lacks {', '.join(sorted(missing))} (or a motor)")
        return row["kp"], row["kd"], row["effort"], row["armature"], row.get("velocity_limit", math.inf)
    if row["motor"] not in table.get("motors", {}):
        raise unknown_name(f"motor in {where}", row["motor"], table.get("motors", {}))
    motor, count = table["motors"][row["motor"]], row.get("count", 1)
    armature = count * motor_armature(motor["rotor_inertias"], motor["gears"])
    kp, kd = pd_gains(armature, **table["gains"])
    return kp, kd, count * motor["effort"], armature, motor["velocity_limit"]


def _default_qpos(pose: dict[str, Any], names: list[str], where: str) -> np.ndarray:
    qpos = np.zeros(7 + len(names))
    qpos[2], qpos[3] = pose["root_z"], 1.0
    for pattern, angle in pose.get("joints", {}).items():
        matched = [i for i, name in enumerate(names) if fnmatchcase(name, pattern)]
        if not matched:
            raise InputError(f"{where}: [default_pose.joints] {pattern!r} matches no joint")
        qpos[[7 + i for i in matched]] = angle
    return qpos


def _foot_geoms(bodies: dict[str, Any], model: mujoco.MjModel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Geoms by which the feet touch the ground: those of the patterns if every pattern finds one on every foot."""
    patterns = bodies.get("foot_geoms", [])
    feet = [foot_candidates(model, model.body(name).id, colliding=False) for name in bodies["feet"]]
    if patterns and all(any(fnmatchcase(g, p) for g in foot) for foot in feet for p in patterns):
        return tuple(g for foot in feet for g in foot if any(fnmatchcase(g, p) for p in patterns)), ()
    touching = tuple(g for name in bodies["feet"] for g in foot_candidates(model, model.body(name).id))
    if not touching:
        raise InputError(f"the feet {', '.join(bodies['feet'])} have no geoms to stand on")
    said = f"no foot geoms named {', '.join(patterns)}: the feet touch the ground by all of theirs, {', '.join(touching)}"
    return touching, (said,) if patterns else ()


def foot_candidates(model: mujoco.MjModel, body_id: int, *, colliding: bool = True) -> tuple[str, ...]:
    """Names of a body's geoms; with `colliding` those that touch something, unless none does, then all."""
    geoms = [i for i in range(model.ngeom) if model.geom_bodyid[i] == body_id]
    paired = set(model.pair_geom1) | set(model.pair_geom2)
    touching = [i for i in geoms if model.geom_contype[i] or model.geom_conaffinity[i] or i in paired]
    return tuple(model.geom(i).name for i in (touching or geoms if colliding else geoms))
