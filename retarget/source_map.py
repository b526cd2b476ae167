"""Which joint of a captured skeleton is which: by its name in the naming families of the field, else by the tree's shape."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from motions.errors import InputError
from motions.skeleton import Skeleton
from retarget.roles import ARM_ROLES, LEG_ROLES, SIDES

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
    notes: tuple[str, ...] = ()  # what was guessed, for the user

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
