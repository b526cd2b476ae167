"""Which joint of a captured skeleton is which: by its name in the naming families of the field, else by the tree's shape."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np

from motions.errors import InputError
from motions.skeleton import Skeleton
from retarget.four_legs import leg_and_core
from retarget.roles import ARM_PARTS, ARM_ROLES, FOUR_LEGS, LEG_PARTS, LEG_ROLES, SIDES, legs_of
from retarget.source_shape import ShapeError, ancestors, roles_by_shape

# Names of a limb joint without its side, best first: "shoulder" is the upper arm only where no "arm" is.
_LIMB_NAMES = {
    "thigh": ("upleg", "femur", "thigh", "upperleg", "hip"),
    "shank": ("leg", "tibia", "shin", "shank", "lowerleg", "lowleg", "calf", "knee"),
    "foot": ("ankle", "foot", "heel"),
    "toe": ("toebase", "toes", "toe", "toe0", "ball", "forefoot"),
    "upper_arm": ("arm", "humerus", "upperarm", "uparm", "shoulder"),
    "forearm": ("forearm", "radius", "lowerarm", "lowarm", "elbow"),
    "hand": ("hand", "wrist"),
}
# Families that use a name of the table for another joint: if all of these are there (without side), these roles are meant.
_FAMILIES = (
    {"leg": "thigh", "shin": "shank"},  # SOMA: the leg begins at the hip
)
# Of four legs, whose front ones may be called arms. What touches the ground is the foot, hocks and ankles are not.
_FOUR_LEG_NAMES = {
    "thigh": ("thigh", "upperleg", "upleg", "femur", "upperarm", "humerus", "hfe", "hip"),
    "shank": ("calf", "shank", "lowerleg", "lowleg", "shin", "tibia", "forearm", "lowerarm", "radius", "kfe", "knee", "leg"),
    "foot": ("toe", "toes", "paw", "hoof", "foot", "hand", "ankle"),
}
_PREFIX = re.compile(r"^(character\d*|mixamorig\d*|bip\d*|m_avg|f_avg|j_bip|skel|jnt|def)[_ -]", re.IGNORECASE)
_HEAD_NAMES = ("head",)


@dataclass(frozen=True)
class SourceMap:
    """Joint index of every role found in a skeleton (`pelvis` and two or four legs always; the rest where present)."""

    joints: Mapping[str, int]
    notes: tuple[str, ...] = ()  # what was guessed, for the user

    @property
    def legs(self) -> tuple[str, ...]:
        return legs_of(self.joints)

    def __contains__(self, role: str) -> bool:
        return role in self.joints

    def __getitem__(self, role: str) -> int:
        return self.joints[role]


def map_source(skeleton: Skeleton, first_pose: np.ndarray | None = None) -> SourceMap:
    """Roles of a human skeleton or one on four legs: limbs by name, pelvis and chest as the joints where the limbs meet.

    Where names give neither two legs nor four, the tree's shape in the rest pose does, or, where that does not stand, in the
    motion's `first_pose` (J, 3) [m]; the notes say so. Raises `InputError` naming the roles that no joint matches and the
    names there were.
    """
    joints = _four_legs_by_names(skeleton) or _by_names(skeleton)
    missing = [] if legs_of(joints) == FOUR_LEGS else [role for role in (*LEG_ROLES, *ARM_ROLES) if role not in joints]
    notes: tuple[str, ...] = ()
    if any(role in LEG_ROLES for role in missing):
        try:
            joints, notes = _by_shape(skeleton, first_pose)
        except ShapeError as error:
            raise InputError(
                f"this skeleton cannot be read as one with two legs or four: no joint found for {', '.join(missing)} by name, "
                f"and {error}. Its joints: {', '.join(skeleton.joint_names)}"
            ) from error
    legs = legs_of(joints)
    for leg in legs:
        _check_chain(skeleton, joints, [leg + part for part in (*LEG_PARTS, "toe")])
    for side in SIDES:
        _check_chain(skeleton, joints, [side + part for part in ARM_PARTS])
    joints["pelvis"] = reduce(lambda a, b: _meeting_joint(skeleton, a, b), [joints[leg + "thigh"] for leg in legs])
    if "l_upper_arm" in joints and "r_upper_arm" in joints:
        joints["chest"] = _meeting_joint(skeleton, joints["l_upper_arm"], joints["r_upper_arm"])
    return SourceMap(joints, notes)


def _by_shape(skeleton: Skeleton, first_pose: np.ndarray | None) -> tuple[dict[str, int], tuple[str, ...]]:
    try:
        return roles_by_shape(skeleton)
    except ShapeError:
        if first_pose is None:
            raise
        return roles_by_shape(skeleton, first_pose)


def _four_legs_by_names(skeleton: Skeleton) -> dict[str, int]:
    """The legs (role -> joint), and a head, of a skeleton whose names tell four; else nothing."""
    split: dict[tuple[str, str], int] = {}
    for index, name in enumerate(skeleton.joint_names):
        split.setdefault(leg_and_core(_PREFIX.sub("", name.rsplit(":", 1)[-1])), index)
    joints = {}
    for leg in FOUR_LEGS:
        for part, names in _FOUR_LEG_NAMES.items():
            if found := [split[leg, n] for n in names if (leg, n) in split]:
                joints[leg + part] = found[0]
        below = [j for j, parent in enumerate(skeleton.parents) if parent == joints.get(leg + "shank", -2)]
        if leg + "foot" not in joints and len(below) == 1:  # the nameless end of a bone
            joints[leg + "foot"] = below[0]
    if len(joints) < len(FOUR_LEGS) * len(LEG_PARTS):
        return {}
    heads = [split["", n] for n in _HEAD_NAMES if ("", n) in split]
    return joints | ({"head": heads[0]} if heads else {})


def _by_names(skeleton: Skeleton) -> dict[str, int]:
    """Limbs and head (role -> joint) as far as names tell."""
    split: dict[tuple[str, str], int] = {}
    for index, name in enumerate(skeleton.joint_names):
        if name not in skeleton.end_sites:
            split.setdefault(_side_and_core(name), index)
    joints: dict[str, int] = {}
    for side in SIDES:
        own = {core for s, core in split if s == side}
        meant = next((family for family in _FAMILIES if family.keys() <= own), {})
        for part, names in _LIMB_NAMES.items():
            names = [n for n in (*(n for n in meant if meant[n] == part), *names) if meant.get(n, part) == part]
            found = [split[side, n] for n in names if (side, n) in split]
            if part == "hand" and (side, "wrist") in split:  # ASF has both; the near one is the wrist joint
                found = [split[side, "wrist"]]
            if found:
                joints[side + part] = found[0]
        if (side, "ankle") in split and (side, "foot") in split:  # SMPL calls the ball of the foot so
            joints.setdefault(side + "toe", split[side, "foot"])
    for name in _HEAD_NAMES:
        if ("", name) in split:
            joints["head"] = split["", name]
    return joints


def _side_and_core(name: str) -> tuple[str, str]:
    """("l_", "upleg") of "Character1_LeftUpLeg", "mixamorig:LeftUpLeg", "L_UpLeg", "lupleg" ...; side "" for the middle."""
    core = name.rsplit(":", 1)[-1]
    core = _PREFIX.sub("", core)
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


def _meeting_joint(skeleton: Skeleton, a: int, b: int) -> int:
    above = set(ancestors(skeleton, b))
    return next(j for j in ancestors(skeleton, a) if j in above)


def _check_chain(skeleton: Skeleton, joints: dict[str, int], roles: list[str]) -> None:
    present = [role for role in roles if role in joints]
    for near, far in pairwise(present):
        if joints[near] not in ancestors(skeleton, joints[far])[1:]:
            names = skeleton.joint_names
            raise InputError(
                f"joint {names[joints[far]]!r} was taken for {far} and {names[joints[near]]!r} for {near}, "
                f"but the first does not hang below the second"
            )
