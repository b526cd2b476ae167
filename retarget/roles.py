"""The canonical human: roles that sources and robots are both described by, so that N and M descriptions are enough.

Roles: pelvis, chest, head, and for each side (`l_`, `r_`) thigh, shank, foot, toe, upper_arm, forearm, hand.
A role stands for the joint at the segment's near end: `l_shank` is the left knee.
"""

SIDES = ("l_", "r_")
LEG_PARTS = ("thigh", "shank", "foot")
ARM_PARTS = ("upper_arm", "forearm", "hand")
LEG_ROLES = tuple(side + part for side in SIDES for part in LEG_PARTS)
ARM_ROLES = tuple(side + part for side in SIDES for part in ARM_PARTS)
ROBOT_ROLES = ("pelvis", "chest", "head", *LEG_ROLES, *ARM_ROLES)
