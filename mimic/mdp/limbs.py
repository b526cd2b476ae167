"""Limbs: what their end is, where they begin, and how far the one gets from the other. Numpy; places of ends in JAX, too."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mimic.config import Range, Vector
from motions.errors import InputError
from motions.kinematics import Body, KinematicState, forward_kinematics
from motions.rotations import Array, namespace, quat_rotate, quat_rotate_inv, yaw_quat

POSES = 4000  # random ones that show how far a limb's end gets
LEAST_M = 0.02  # what moves no further than this is no limb's end


class Effector(NamedTuple):
    """What is brought somewhere: a point `tip` (3,) [m] of the tracked body number `body`, in that body's frame."""

    body: int
    tip: Vector = (0.0, 0.0, 0.0)

    def place(self, state: KinematicState) -> Array:
        """Where it is in the world, (..., 3) [m]."""
        place = state.xpos[..., self.body, :]
        if not any(self.tip):
            return place
        xp, quat = namespace(place), state.xquat[..., self.body, :]
        tip = xp.broadcast_to(xp.asarray(self.tip, dtype=place.dtype), place.shape)
        return place + quat_rotate(quat, tip)

    def from_root(self, state: KinematicState) -> Array:
        """Where it is from the root, in the root's heading frame, (..., 3) [m]."""
        return quat_rotate_inv(yaw_quat(state.qpos[..., 3:7]), self.place(state) - state.qpos[..., :3])


class Limb(NamedTuple):
    """tip (3,): its end, in the frame of its last body [m]. shoulder (3,): where it begins as the robot stands, from the root in
    the root's heading frame [m]. span: the least and the largest distance of the tip from where the limb begins [m]."""

    tip: Vector
    shoulder: Vector
    span: Range


def highest_end(body: Body, qpos: np.ndarray, end_effectors: Sequence[str]) -> str:
    """Which of `end_effectors` is highest in the pose `qpos` (nq,): a hand, of who has any. The first of those as high."""
    heights = forward_kinematics(body, qpos)[0][body.body_ids(tuple(end_effectors)), 2]
    return end_effectors[int(np.argmax(heights > heights.max() - LEAST_M))]


def limb_of(body: Body, qpos: np.ndarray, last: str, end_effectors: Sequence[str]) -> Limb:
    """The limb whose last body is `last`: it begins where no other of `end_effectors` hangs on it any more, and ends in the
    middle of that geom of the last body which is furthest from the body's origin: a hand, be it a body of its own or the end of
    the forearm. qpos (nq,): how the robot stands. The span is what `POSES` random poses of the joints show.

    Raises `InputError` where no joint moves that end against what the limb hangs on.
    """
    model, (end, *ends) = body.model, (int(i) for i in body.body_ids((last, *end_effectors)))
    ways = [_up(model.body_parentid, other) for other in ends]
    bearing = {i for way in ways if end not in way for i in way}
    first = next(i for i in reversed(_up(model.body_parentid, end)) if i == end or i not in bearing)
    centres = model.geom_pos[model.geom_bodyid == end]
    tip = centres[np.linalg.norm(centres, axis=1).argmax()] if len(centres) else np.zeros(3)
    low, high = np.clip(body.joint_range, -np.pi, np.pi).T
    poses = np.repeat(qpos[None], POSES, axis=0)
    poses[:, 7:] = np.random.default_rng(0).uniform(low, high, (POSES, len(low)))
    places, quats = forward_kinematics(body, poses)
    tips = places[:, end] + quat_rotate(quats[:, end], np.broadcast_to(tip, (POSES, 3)))
    hook = int(model.body_parentid[first])
    if np.ptp(quat_rotate_inv(quats[:, hook], tips - places[:, hook]), axis=0).max() < LEAST_M:
        raise InputError(f"robot {body.name!r}: goal.effector is {last!r}, which no joint moves: expected the end of a limb")
    away = np.linalg.norm(tips - places[:, first], axis=1)
    shoulder = quat_rotate_inv(yaw_quat(qpos[3:7]), forward_kinematics(body, qpos)[0][first] - qpos[:3])
    return Limb(_vector(tip), _vector(shoulder), (float(away.min()), float(away.max())))


def _up(parents: np.ndarray, body: int) -> list[int]:
    """A body and all that it hangs on, but the world."""
    way = []
    while body:
        way.append(body)
        body = int(parents[body])
    return way


def _vector(values: np.ndarray) -> Vector:
    x, y, z = (float(value) for value in values)
    return x, y, z
