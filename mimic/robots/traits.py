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

GAINS_RULE = {"natural_frequency_hz", "damping_ratio"}
NUMBERS = {"kp", "kd", "effort", "armature", "velocity_limit", "corner_velocity", "friction", "damping", "count"}
JOINT_KEYS = NUMBERS | {"motor", "rotor_inertias", "gears"}  # of an entry of [joints], and of its motor


@dataclass(frozen=True)
class Traits:
    """Per joint, in qpos order: kp [N m/rad], kd [N m s/rad], effort [N m], armature [kg m^2], velocity_limit [rad/s].

    What a real motor adds: corner_velocity [rad/s], up to which it gives its whole effort (`mimic.robots.actuators`);
    motor_friction [N m], dry; motor_damping [N m s/rad]. `default_qpos` (nq) stands on the ground. `assumptions` say in
    words what was derived rather than given.
    """

    kp: np.ndarray
    kd: np.ndarray
    effort: np.ndarray
    armature: np.ndarray
    velocity_limit: np.ndarray
    corner_velocity: np.ndarray
    motor_friction: np.ndarray
    motor_damping: np.ndarray
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


def default_corner_velocity(velocity_limit: Any) -> Any:
    """Where nobody measured it, half the velocity limit [rad/s]: the corner of a DC motor whose stall torque, were it not
    limited to the effort, would be twice the effort."""
    return 0.5 * velocity_limit


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
    for name in known & table.keys() - {"name", "files", "robot_descriptions"}:
        entries = table[name].values() if name in ("motors", "joints") and isinstance(table[name], dict) else [table[name]]
        if not all(isinstance(entry, dict) for entry in entries):
            raise InputError(f"{path}: {name} and what is in it must be tables, as [{name}] and key = {{ ... }}")
    if "gains" in table and table["gains"].keys() != GAINS_RULE:
        raise InputError(f"{path}: [gains] has {', '.join(table['gains'])}, expected {' and '.join(sorted(GAINS_RULE))}")
    for key in ("tracked", "anchor", "end_effectors", "feet"):
        if key not in table["bodies"]:
            raise InputError(f"{path}: [bodies] lacks {key!r}")
    return table


def traits_from_toml(table: dict[str, Any], model: mujoco.MjModel, where: str) -> Traits:
    """Apply a spec's patterns to the joints and bodies of `model`. Raises `InputError` naming what does not fit."""
    names = [model.joint(i).name for i in range(1, model.njnt)]
    _require_each_once(table["joints"], names, where)
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


def _require_each_once(patterns: dict[str, Any], names: list[str], where: str) -> None:
    """Raise `InputError` with all joints that match no pattern of [joints], or more than one."""
    counts = {name: sum(fnmatchcase(name, pattern) for pattern in patterns) for name in names}
    wrong = {
        "none": [name for name, count in counts.items() if count == 0],
        "several": [name for name, count in counts.items() if count > 1],
    }
    if found := "; ".join(f"{how} for {', '.join(joints)}" for how, joints in wrong.items() if joints):
        raise InputError(f"{where}: every joint must match exactly one pattern of [joints]: {found}")


def _joint_row(table: dict[str, Any], name: str, where: str) -> tuple[float, ...]:
    """The per-joint values of `Traits`, in its order, of one joint: its entry's own, else its motor's, else by a rule."""
    (row,) = (row for pattern, row in table["joints"].items() if fnmatchcase(name, pattern))
    motors = table.get("motors", {})
    if "motor" in row and row["motor"] not in motors:
        raise unknown_name(f"motor in {where}", row["motor"], motors)
    values = motors.get(row.get("motor"), {}) | row
    _check_joint(values, "gains" in table, f"{where}: the entry for joint {name!r}")
    count, rotors = values.get("count", 1), values.get("rotor_inertias")
    armature = count * (values["armature"] if rotors is None else motor_armature(rotors, values["gears"]))
    kp, kd = (values["kp"], values["kd"]) if "kp" in values else pd_gains(armature, **table["gains"])
    limit = values.get("velocity_limit", math.inf)
    corner = values.get("corner_velocity", default_corner_velocity(limit))
    friction, damping = count * values.get("friction", 0.0), count * values.get("damping", 0.0)
    return kp, kd, count * values["effort"], armature, limit, corner, friction, damping


def _check_joint(values: dict[str, Any], has_rule: bool, where: str) -> None:
    """Raises `InputError` for a key that is unknown, missing or not what it can be. `has_rule`: gains need not be said."""
    for key in values:
        if key not in JOINT_KEYS:
            raise unknown_name(f"key of {where.partition(': ')[2]} in {where.partition(': ')[0]}", key, JOINT_KEYS)
    inertia = {"rotor_inertias", "gears"} if "rotor_inertias" in values else {"armature"}
    gains = set() if has_rule and not {"kp", "kd"} & values.keys() else {"kp", "kd"}
    if missing := ({"effort"} | inertia | gains) - values.keys():
        raise InputError(f"{where} lacks {', '.join(sorted(missing))}{'' if 'motor' in values else ' (or a motor)'}")
    for key in NUMBERS & values.keys():
        if isinstance(values[key], bool) or not isinstance(values[key], (int, float)) or not values[key] >= 0:
            raise InputError(f"{where} has {key} = {values[key]!r}, expected a number not below 0")
    for key, length in {"rotor_inertias": 3, "gears": 2}.items():
        if key in values and not (isinstance(values[key], list) and len(values[key]) == length):
            raise InputError(f"{where} has {key} = {values[key]!r}, expected {length} numbers")
    limit = values.get("velocity_limit", math.inf)
    if values.get("corner_velocity", 0.0) > limit:
        raise InputError(f"{where} has corner_velocity {values['corner_velocity']:g} above its velocity_limit {limit:g} [rad/s]")


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
    """Geoms by which the feet touch the ground: those of the patterns if every pattern finds one, and every foot has one."""
    patterns = bodies.get("foot_geoms", [])
    feet = [foot_candidates(model, model.body(name).id, colliding=False) for name in bodies["feet"]]
    chosen = [[g for g in foot if any(fnmatchcase(g, p) for p in patterns)] for foot in feet]
    if all(chosen) and all(any(fnmatchcase(g, p) for foot in chosen for g in foot) for p in patterns):
        return tuple(g for foot in chosen for g in foot), ()
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
