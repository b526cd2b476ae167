"""How a robot stands for a person or an animal: which body is which role, one file per robot.

Sources meet robots only in the roles, so N sources and M robots need N + M descriptions.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from motions.errors import InputError
from motions.kinematics import Body
from retarget.roles import ALL_ROLES, ARM_PARTS, LEG_PARTS, LEG_ROLES, ROBOT_ROLES, SIDES, TWO_LEGS, legs_of
from retarget.source_map import SourceMap, map_source

__all__ = [
    "ROBOT_ROLES",
    "RobotMap",
    "SourceMap",
    "map_robot",
    "map_source",
    "shipped_robot_maps",
]


_TABLES = ("bodies", "limits", "rest", "stiffness", "upright")  # of a mapping's file


@dataclass(frozen=True)
class RobotMap:
    """How one robot stands for a person or an animal: the body of every role and how its joints prefer to rest.

    `bodies` role -> body; `offsets` role -> point in that body's frame [m] (its origin where not given);
    `upright` joint -> [rad] at which the robot stands straight on flat soles, where that is not the model's own zero;
    `limits` joint -> (low, high) [rad], inside the model's; `rest` joint -> [rad];
    `stiffness` joint -> pull towards rest, 1 / [rad].
    """

    bodies: Mapping[str, str]
    offsets: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    rest: Mapping[str, float] = field(default_factory=dict)
    stiffness: Mapping[str, float] = field(default_factory=dict)
    upright: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=(), compare=False)  # what was guessed, for the user

    def __hash__(self) -> int:  # of what is never empty; a mapping keys the robot's measured `Rig`
        return hash(tuple(self.bodies.items()))


def shipped_robot_maps() -> dict[str, RobotMap]:
    """The mappings that come with the package, by file stem."""
    folder = resources.files("retarget") / "robots"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {f.name[: -len(".toml")]: _parse(f.read_text(encoding="utf-8"), f.name) for f in files}


def map_robot(body: Body, mapping: RobotMap | str | Path | None = None) -> RobotMap:
    """The `RobotMap` of a body: the one given (object or TOML path), the shipped one of its name, one that fits its bodies,
    or else one guessed from its tree, which its `notes` say.

    Joints the body lacks (a 23-dof variant) are dropped from the preferences. Raises `InputError` if none can be had.
    """
    if mapping is None:
        mapping = _fitting(body)
    elif not isinstance(mapping, RobotMap):
        mapping = load_map(mapping)
    check_map(body, mapping)
    joints = set(body.joint_names)
    keep = lambda table: {name: value for name, value in table.items() if name in joints}  # noqa: E731
    kept = {name: keep(getattr(mapping, name)) for name in ("limits", "rest", "stiffness", "upright")}
    return replace(mapping, **kept)


def load_map(path: str | Path) -> RobotMap:
    """The mapping in a TOML file. Raises `InputError` if it cannot be read or says something unknown."""
    try:
        return _parse(Path(path).read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot read the mapping ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot read the mapping (not text)") from error


def check_map(body: Body, mapping: RobotMap) -> None:
    """Raises `InputError` unless the roles that are needed are there, limbs are whole from the trunk on, and all bodies exist."""
    legs = legs_of(mapping.bodies)
    missing = [role for role in ("pelvis", *(leg + part for leg in legs for part in LEG_PARTS)) if role not in mapping.bodies]
    if missing:
        raise InputError(f"mapping for robot {body.name!r} lacks the role(s) {', '.join(missing)}")
    if legs != TWO_LEGS and (both := [role for role in LEG_ROLES if role in mapping.bodies]):
        raise InputError(f"mapping for robot {body.name!r} has four legs ({', '.join(legs)}) and also {', '.join(both)}")
    for side in SIDES:
        for near, far in pairwise(side + part for part in ARM_PARTS):
            if far in mapping.bodies and near not in mapping.bodies:
                raise InputError(f"mapping for robot {body.name!r} has {far} without {near}")
    body.body_ids(tuple(mapping.bodies.values()))


def _fitting(body: Body) -> RobotMap:
    """The shipped map of the body's name, or the one that fits its bodies and names most of them."""
    shipped = shipped_robot_maps()
    known = set(body.body_names)
    fitting = {name: item for name, item in shipped.items() if set(item.bodies.values()) <= known}
    if body.name in fitting:
        return fitting[body.name]
    if not fitting:
        from retarget.propose import propose_map  # at call time: proposals are `RobotMap`s themselves

        try:
            return propose_map(body)[0]
        except InputError as error:
            raise InputError(
                f"no retarget mapping fits robot {body.name!r} (shipped: {', '.join(shipped)}). {error}. Give one as a TOML "
                f"file: [bodies] with {', '.join(ALL_ROLES)}; its bodies: {', '.join(body.body_names[1:])}"
            ) from error
    best = max(fitting, key=lambda name: len(set(fitting[name].bodies.values())))
    return replace(fitting[best], notes=(f"robot {body.name!r} has the bodies of {best}, so that mapping is used",))


def _parse(text: str, where: str) -> RobotMap:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: not a TOML file ({error})") from error
    unknown = table.keys() - set(_TABLES)
    if unknown or "bodies" not in table:
        raise InputError(f"{where}: expected the tables {', '.join(_TABLES)}; found {', '.join(table)}")
    for name, content in table.items():
        if not isinstance(content, dict):
            raise InputError(f"{where}: {name} is {content!r}, expected a table [{name}]")
    wrong = table["bodies"].keys() - set(ALL_ROLES)
    if wrong:
        raise InputError(f"{where}: unknown role(s) {', '.join(sorted(wrong))}; roles are {', '.join(ALL_ROLES)}")
    limits: dict[str, Any] = {name: _numbers(where, name, value, 2) for name, value in table.get("limits", {}).items()}
    rest, stiffness, upright = (
        {name: _numbers(where, name, [value], 1)[0] for name, value in table.get(key, {}).items()} for key in _TABLES[2:]
    )
    bodies, offsets = {}, {}
    for role, value in table["bodies"].items():
        if isinstance(value, dict) and value.keys() == {"body", "offset"} and isinstance(value["body"], str):
            bodies[role], offsets[role] = value["body"], _numbers(where, role, value["offset"], 3)
        elif isinstance(value, str):
            bodies[role] = value
        else:
            raise InputError(f"{where}: {role} is {value!r}, expected a body's name or {{ body = ..., offset = [x, y, z] }}")
    return RobotMap(bodies, offsets, limits, rest, stiffness, upright)


def _numbers(where: str, name: str, value: Any, count: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != count or not all(type(v) in (int, float) and isfinite(v) for v in value):
        said = value[0] if count == 1 and isinstance(value, list) and len(value) == 1 else value
        raise InputError(f"{where}: {name} is {said!r}, expected {'a number' if count == 1 else f'{count} numbers'}")
    return tuple(map(float, value))
