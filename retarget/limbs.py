"""A robot's limbs as an animator's skeleton needs them: bone directions, the turn about the bone, and feet put in place."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from motions.kinematics import forward_kinematics
from motions.motion import Motion
from motions.rotations import quat_conj, quat_mul, quat_normalize
from retarget.rig import Rig
from retarget.roles import ARM_PARTS, FOUR_LEGS, LEG_PARTS, SIDES, TWO_LEGS

# Of a bone, by the roles of its ends.
BONES = {limb + near: limb + far for limbs, parts in (((*TWO_LEGS, *FOUR_LEGS), LEG_PARTS), (SIDES, ARM_PARTS))
         for limb in limbs for near, far in pairwise(parts)}  # fmt: skip
_CARRIES = 0.3  # a link carries a bone if its origin is at least this share of the bone's length away from the far end
_STRETCH = 0.999  # of a leg's length may be used: a straight knee has no direction to bend


class Limb(NamedTuple):
    """One bone of the robot over F frames: unit `direction` (F, 3) and in the zero pose `zero_dir` (3,);
    `quat` (F, 4), the rotation of its link away from the zero pose."""

    direction: np.ndarray
    zero_dir: np.ndarray
    quat: np.ndarray


def robot_limbs(rig: Rig, motion: Motion, xyz: dict[str, np.ndarray]) -> dict[str, Limb]:
    """The limbs the robot has, by the role of their near end; `xyz` role -> (F, 3) its joints in the world [m]."""
    turned = turns(rig, motion)
    limbs = {}
    for near, far in BONES.items():
        if near in rig.roles and far in rig.roles:
            along, zero = xyz[far] - xyz[near], rig.joint_xyz[rig.role(far)] - rig.joint_xyz[rig.role(near)]
            link = _link_of_bone(rig, near, far)
            limbs[near] = Limb(_unit(along), _unit(zero), turned[:, link])
    return limbs


def turns(rig: Rig, motion: Motion) -> np.ndarray:
    """Rotations (F, nbody, 4) of the robot's bodies away from the zero pose, in the world."""
    zero = np.concatenate([[0.0, 0, 0, 1, 0, 0, 0], rig.body.model.qpos0[7:]])
    xquat = forward_kinematics(rig.body, motion.qpos)[1]
    return quat_mul(xquat, np.broadcast_to(quat_conj(forward_kinematics(rig.body, zero)[1]), xquat.shape))


def _link_of_bone(rig: Rig, near: str, far: str) -> int:
    """The body whose turn is the bone's: the last one from the near end on that still is well away from the far end.

    Robots split a thigh or forearm over several bodies; only the last carries the turn about the bone.
    """
    body = rig.body
    first, last = (int(body.body_ids((rig.mapping.bodies[role],))[0]) for role in (near, far))
    zero = np.concatenate([[0.0, 0, 0, 1, 0, 0, 0], body.model.qpos0[7:]])
    xpos = forward_kinematics(body, zero)[0]
    ends = [rig.joint_xyz[rig.role(role)] for role in (near, far)]
    length = np.linalg.norm(ends[1] - ends[0])
    link = last
    while link not in (first, 0):
        if np.linalg.norm(xpos[link] - ends[1]) >= _CARRIES * length:
            return link
        link = int(body.model.body_parentid[link])
    return first


def swing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The shortest rotation (..., 4) that turns vectors `a` (..., 3) to the directions of `b` (..., 3)."""
    a, b = np.broadcast_arrays(_unit(a), _unit(b))
    w = 1.0 + np.sum(a * b, axis=-1, keepdims=True)
    other = np.cross(a, np.eye(3)[np.argmin(np.abs(a), axis=-1)])  # opposite vectors: half a turn about any normal
    opposite = w < 1e-9
    return quat_normalize(np.concatenate([np.where(opposite, 0.0, w), np.where(opposite, other, np.cross(a, b))], axis=-1))


def reach(hip: np.ndarray, ankle: np.ndarray, lengths: tuple[float, float], knee: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions (F, 3) of thigh and shank that take a leg of these `lengths` [m] from `hip` to `ankle` (F, 3) [m].

    The knee bends in the plane in which the thigh's direction `knee` (F, 3) lies. A leg too short points to the ankle.
    """
    way = ankle - hip
    longest, shortest = _STRETCH * sum(lengths), abs(lengths[0] - lengths[1]) / _STRETCH
    distance = np.clip(np.linalg.norm(way, axis=-1, keepdims=True), max(shortest, 1e-6), longest)
    ahead = _unit(way)
    along = (lengths[0] ** 2 - lengths[1] ** 2 + distance**2) / (2.0 * distance)
    side = knee - ahead * np.sum(knee * ahead, axis=-1, keepdims=True)
    side = side / np.maximum(np.linalg.norm(side, axis=-1, keepdims=True), 1e-9)
    thigh = along * ahead + np.sqrt(np.maximum(lengths[0] ** 2 - along**2, 0.0)) * side
    return _unit(thigh), _unit(distance * ahead - thigh)


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)
