"""Who is who: source joint names to canonical human roles, and roles to robot bodies (one file per robot).

Roles: pelvis, chest, head, and for each side (`l_`, `r_`) thigh, shank, foot, toe, upper_arm, forearm, hand.
A role stands for the joint at the segment's near end: `l_shank` is the left knee. Sources and robots meet
only here, so N sources and M robots need N + M descriptions.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from itertools import pairwise
from pathlib import Path

from motions.errors import InputError
from motions.kinematics import Body
from motions.skeleton import Skeleton

SIDES = ("l_", "r_")
LEG_ROLES = tuple(side + part for side in SIDES for part in ("thigh", "shank", "foot"))
ARM_ROLES = tuple(side + part for side in SIDES for part in ("upper_arm", "forearm", "hand"))
ROBOT_ROLES = ("pelvis", "chest", "head", *LEG_ROLES, *ARM_ROLES)

# Names of a limb joint without its side, best first: "shoulder" is the upper arm only where no "arm" is.
_LIMB_NAMES = {
    "thigh": ("upleg", "femur", "thigh", "upperleg", "hip"),
    "shank": ("leg", "tibia", "shin", "shank", "lowerleg", "lowleg", "calf", "knee"),
    "foot": ("ankle", "foot"),
    "toe": ("toebase", "toes", "toe", "ball"),
    "upper_arm": ("arm", "humerus", "upperarm", "uparm", "shoulder"),
    "forearm": ("forearm", "radius", "lowerarm", "lowarm", "elbow"),
    "hand": ("hand", "wrist"),
}
_HEAD_NAMES = ("head",)
_OPTIONAL = {"l_toe", "r_toe"}


@dataclass(frozen=True)
class SourceMap:
    """Joint index of every role found in a skeleton (`pelvis` and the legs always; the rest where present)."""

    joints: Mapping[str, int]

    def __contains__(self, role: str) -> bool:
        return role in self.joints

    def __getitem__(self, role: str) -> int:
        return self.joints[role]


def map_source(skeleton: Skeleton) -> SourceMap:
    """Roles of a human skeleton: limbs by name, pelvis and chest as the joints where the limbs meet.

    Raises `InputError` naming the roles that no joint matches.
    """
    split = {}
    for index, name in enumerate(skeleton.joint_names):
        if name not in skeleton.end_sites:
            split.setdefault(_side_and_core(name), index)
    joints: dict[str, int] = {}
    for side in SIDES:
        for part, names in _LIMB_NAMES.items():
            found = [split[side, n] for n in names if (side, n) in split]
            if part == "hand" and (side, "wrist") in split:  # ASF has both; the near one is the wrist joint
                found = [split[side, "wrist"]]
            if found:
                joints[side + part] = found[0]
        if (side, "ankle") in split and (side, "foot") in split:  # SMPL calls the ball of the foot so
            joints.setdefault(side + "toe", split[side, "foot"])
    missing = [role for role in (*LEG_ROLES, *ARM_ROLES) if role not in joints]
    legs_missing = [role for role in missing if role in LEG_ROLES]
    if legs_missing:
        raise InputError(
            f"this skeleton cannot be read as a human one: no joint found for {', '.join(missing)}. "
            f"Its joints: {', '.join(skeleton.joint_names)}"
        )
    for side in SIDES:
        _check_chain(skeleton, joints, [side + part for part in ("thigh", "shank", "foot", "toe")])
        _check_chain(skeleton, joints, [side + part for part in ("upper_arm", "forearm", "hand")])
    joints["pelvis"] = _meeting_joint(skeleton, joints["l_thigh"], joints["r_thigh"])
    if "l_upper_arm" in joints and "r_upper_arm" in joints:
        joints["chest"] = _meeting_joint(skeleton, joints["l_upper_arm"], joints["r_upper_arm"])
    for name in _HEAD_NAMES:
        if ("", name) in split:
            joints["head"] = split["", name]
    return SourceMap(joints)


def _side_and_core(name: str) -> tuple[str, str]:
    """("l_", "upleg") of "Character1_LeftUpLeg", "mixamorig:LeftUpLeg", "L_UpLeg", "lupleg" ...; side "" for the middle."""
    core = name.rsplit(":", 1)[-1]
    core = re.sub(r"^(character\d*|mixamorig\d*|bip\d*|m_avg|skel)[_ ]", "", core, flags=re.IGNORECASE)
    lower = re.sub(r"[^a-z0-9]", "", core.lower())
    for word, side in (("left", "l_"), ("right", "r_")):
        if lower.startswith(word):
            return side, lower[len(word) :]
        if lower.endswith(word):
            return side, lower[: -len(word)]
    all_names = {n for names in _LIMB_NAMES.values() for n in names}
    for letter, side in (("l", "l_"), ("r", "r_")):
        if lower.startswith(letter) and lower[1:] in all_names:
            return side, lower[1:]
        if lower.endswith(letter) and lower[:-1] in all_names and re.search(r"[_.\s][lr]$", core, re.IGNORECASE):
            return side, lower[:-1]
    return "", lower


def _ancestors(skeleton: Skeleton, joint: int) -> list[int]:
    """The joint, its parent, and so on up to the root."""
    chain = [joint]
    while skeleton.parents[chain[-1]] >= 0:
        chain.append(skeleton.parents[chain[-1]])
    return chain


def _meeting_joint(skeleton: Skeleton, a: int, b: int) -> int:
    above = set(_ancestors(skeleton, b))
    return next(j for j in _ancestors(skeleton, a) if j in above)


def _check_chain(skeleton: Skeleton, joints: dict[str, int], roles: list[str]) -> None:
    present = [role for role in roles if role in joints]
    for near, far in pairwise(present):
        if joints[near] not in _ancestors(skeleton, joints[far])[1:]:
            names = skeleton.joint_names
            raise InputError(
                f"joint {names[joints[far]]!r} was taken for {far} and {names[joints[near]]!r} for {near}, "
                f"but the first does not hang below the second"
            )


@dataclass(frozen=True)
class RobotMap:
    """How one robot stands for a human: the body of every role and how its joints prefer to rest.

    `bodies` role -> body; `offsets` role -> point in that body's frame [m] (its origin where not given);
    `limits` joint -> (low, high) [rad], inside the model's; `rest` joint -> [rad];
    `stiffness` joint -> pull towards rest, 1 / [rad].
    """

    bodies: Mapping[str, str]
    offsets: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    rest: Mapping[str, float] = field(default_factory=dict)
    stiffness: Mapping[str, float] = field(default_factory=dict)


def shipped_robot_maps() -> dict[str, RobotMap]:
    """The mappings that come with the package, by file stem."""
    folder = resources.files("retarget") / "robots"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)
    return {f.name[: -len(".toml")]: _parse(f.read_text(encoding="utf-8"), f.name) for f in files}


def map_robot(body: Body, mapping: RobotMap | str | Path | None = None) -> RobotMap:
    """The `RobotMap` of a body: the one given (object or TOML path), the shipped one of its name, or one that fits its bodies.

    Joints the body lacks (a 23-dof variant) are dropped from the preferences. Raises `InputError` if none fits.
    """
    if mapping is None:
        shipped = shipped_robot_maps()
        known = set(body.body_names)
        fitting = [name for name, item in shipped.items() if set(item.bodies.values()) <= known]
        if body.name in fitting:
            mapping = shipped[body.name]
        elif fitting:
            mapping = shipped[fitting[0]]
        else:
            raise InputError(
                f"no retarget mapping fits robot {body.name!r} (shipped: {', '.join(shipped)}). Give one as a TOML file: "
                f"[bodies] with {', '.join(ROBOT_ROLES)}; its bodies: {', '.join(body.body_names[1:])}"
            )
    elif not isinstance(mapping, RobotMap):
        path = Path(mapping)
        try:
            mapping = _parse(path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise InputError(f"{path}: cannot read the mapping ({error.strerror})") from error
    missing = [role for role in ("pelvis", *LEG_ROLES) if role not in mapping.bodies]
    if missing:
        raise InputError(f"mapping for robot {body.name!r} lacks the role(s) {', '.join(missing)}")
    body.body_ids(tuple(mapping.bodies.values()))
    joints = set(body.joint_names)
    keep = lambda table: {name: value for name, value in table.items() if name in joints}  # noqa: E731
    return RobotMap(
        dict(mapping.bodies), dict(mapping.offsets), keep(mapping.limits), keep(mapping.rest), keep(mapping.stiffness)
    )


def _parse(text: str, where: str) -> RobotMap:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: not a TOML file ({error})") from error
    unknown = table.keys() - {"bodies", "limits", "rest", "stiffness"}
    if unknown or "bodies" not in table:
        raise InputError(f"{where}: expected the tables bodies, limits, rest, stiffness; found {', '.join(table)}")
    wrong = table["bodies"].keys() - set(ROBOT_ROLES)
    if wrong:
        raise InputError(f"{where}: unknown role(s) {', '.join(sorted(wrong))}; roles are {', '.join(ROBOT_ROLES)}")
    limits = {name: (float(low), float(high)) for name, (low, high) in table.get("limits", {}).items()}
    bodies, offsets = {}, {}
    for role, value in table["bodies"].items():
        if isinstance(value, dict) and value.keys() == {"body", "offset"} and len(value["offset"]) == 3:
            bodies[role], offsets[role] = value["body"], tuple(map(float, value["offset"]))
        elif isinstance(value, str):
            bodies[role] = value
        else:
            raise InputError(f"{where}: {role} is {value!r}, expected a body's name or {{ body = ..., offset = [x, y, z] }}")
    return RobotMap(bodies, offsets, limits, table.get("rest", {}), table.get("stiffness", {}))
