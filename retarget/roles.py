"""The canonical body: roles that sources and robots are both described by, so that N and M descriptions are enough.

Roles: pelvis, chest, head; for each leg thigh, shank, foot, toe; for each arm upper_arm, forearm, hand. The prefix says
which leg or arm: `l_`, `r_`, or of four legs `fl_`, `fr_`, `hl_`, `hr_` (front and hind). A role stands for the joint at the
segment's near end: `l_shank` is the left knee. On four legs the pelvis is the trunk, and a foot is a point.

Wherever an array has an axis of legs, they are in the order of `legs_of`: left before right, front before hind.
"""

from collections.abc import Iterable

SIDES = ("l_", "r_")
TWO_LEGS = SIDES
FOUR_LEGS = ("fl_", "fr_", "hl_", "hr_")
LEG_PARTS = ("thigh", "shank", "foot")
ARM_PARTS = ("upper_arm", "forearm", "hand")
LEG_ROLES = tuple(side + part for side in TWO_LEGS for part in LEG_PARTS)
FOUR_LEG_ROLES = tuple(leg + part for leg in FOUR_LEGS for part in LEG_PARTS)
ARM_ROLES = tuple(side + part for side in SIDES for part in ARM_PARTS)
ROBOT_ROLES = ("pelvis", "chest", "head", *LEG_ROLES, *ARM_ROLES)  # of a humanoid
ALL_ROLES = (*ROBOT_ROLES, *FOUR_LEG_ROLES)


def legs_of(roles: Iterable[str]) -> tuple[str, ...]:
    """The prefixes of the legs that `roles` describe: four if any of four is among them, else two."""
    return FOUR_LEGS if any(role.startswith(FOUR_LEGS) for role in roles) else TWO_LEGS


def is_left(leg: str) -> bool:
    return leg.endswith("l_")


def is_front(leg: str) -> bool:
    return leg.startswith("f")
