"""Strikes in clips: which body strikes, when and where to; and a clip turned so that it strikes elsewhere."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from motions.kinematics import KinematicState
from motions.rotations import Array, namespace, quat_mul, quat_rotate, quat_rotate_inv


def swiftness(frames: KinematicState, bodies: Sequence[int]) -> np.ndarray:
    """How fast tracked bodies move past the root; (F, B) [m/s]."""
    return np.linalg.norm(np.asarray(frames.xlinvel)[:, list(bodies)] - np.asarray(frames.qvel)[:, None, :3], axis=-1)


def swiftest(frames: KinematicState, end_effectors: Sequence[int]) -> int:
    """The end effector that strikes, unless another is named: the one that is ever fastest."""
    return int(end_effectors[int(swiftness(frames, end_effectors).max(axis=0).argmax())])


def strike_moment(frames: KinematicState, striker: int) -> int:
    """The frame in which a clip strikes."""
    return int(swiftness(frames, [striker])[:, 0].argmax())


class Strike(NamedTuple):
    """How clips strike (C, ...), or one does: the frame in which; place (2,) of the root then [m]; direction from there to the
    striking body [rad], of the world."""

    moment: Array
    place: Array
    direction: Array


def strike_of(frames: KinematicState, striker: int) -> Strike:
    """Of one clip, frames (F, ...)."""
    moment = strike_moment(frames, striker)
    place = np.asarray(frames.qpos)[moment, :2]
    way = np.asarray(frames.xpos)[moment, striker, :2] - place
    return Strike(np.asarray(moment), place, np.asarray(np.arctan2(way[1], way[0])))


def turned_to(frame: KinematicState, number: Array, strike: Strike, target: Array, ctrl_dt: float) -> KinematicState:
    """A clip's `frame`, its `number`-th, on the way to a strike at `target` (..., 2) instead of where the clip strikes.

    The body turns about where its root strikes, by 3 u^2 - 2 u^3 of the angle between the two directions, u from 0 at the clip's
    beginning to 1 at the strike; what follows is turned by all of it. Velocities are those of the turned motion. `number` and
    `target` have the leading axes of the frame, or such that go with them.
    """
    xp = namespace(target)
    way = target - strike.place
    angle = xp.arctan2(way[..., 1], way[..., 0]) - strike.direction
    angle = xp.arctan2(xp.sin(angle), xp.cos(angle))
    length = strike.moment + 1e-6  # of a clip that begins with its strike, none
    u = xp.minimum(number / length, 1.0)
    turned, rate = angle * (u * u * (3.0 - 2.0 * u)), angle * (6.0 * u * (1.0 - u)) / (length * ctrl_dt)
    zero = xp.zeros_like(turned)
    yaw = xp.stack([xp.cos(0.5 * turned), zero, zero, xp.sin(0.5 * turned)], axis=-1)
    spin = xp.stack([zero, zero, rate], axis=-1)
    pivot = xp.concatenate([strike.place, xp.zeros_like(strike.place[..., :1])], axis=-1)

    def moved(place: Array, velocity: Array, yaw: Array, spin: Array, pivot: Array) -> tuple[Array, Array]:
        away = quat_rotate(yaw, place - pivot)
        return away + pivot, quat_rotate(yaw, velocity) + xp.cross(spin, away)

    root, linvel = moved(frame.qpos[..., :3], frame.qvel[..., :3], yaw, spin, pivot)
    xpos, xlinvel = moved(frame.xpos, frame.xlinvel, yaw[..., None, :], spin[..., None, :], pivot[..., None, :])
    quat = quat_mul(yaw, frame.qpos[..., 3:7])
    angvel = frame.qvel[..., 3:6] + quat_rotate_inv(quat, spin)
    return KinematicState(
        xp.concatenate([root, quat, frame.qpos[..., 7:]], axis=-1),
        xp.concatenate([linvel, angvel, frame.qvel[..., 6:]], axis=-1),
        xpos,
        quat_mul(yaw[..., None, :], frame.xquat),
        xlinvel,
        quat_rotate(yaw[..., None, :], frame.xangvel) + spin[..., None, :],
    )
