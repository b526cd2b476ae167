"""Moving motions over the ground: turns about the vertical and level shifts, the only moves that change no physics."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from motions.motion import Motion
from motions.rotations import quat_mul


class Travel(NamedTuple):
    """A move over the ground: a turn by `yaw` [rad] about the world's z axis, then a shift by `xy` (2,) [m]."""

    yaw: float
    xy: np.ndarray


def heading(quat: np.ndarray) -> np.ndarray:
    """The yaw [rad] of root orientations (..., 4), wxyz: where their x axis points, seen from above.

    Of a root whose x axis is upright nothing of this is left; the yaw is then whatever numerics say.
    """
    w, x, y, z = (quat[..., i] for i in range(4))
    return np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def turn_level(xy: np.ndarray, yaw: float | np.ndarray) -> np.ndarray:
    """Level vectors (..., 2) turned by `yaw` [rad], all by one or each by its own (...)."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.stack([c * xy[..., 0] - s * xy[..., 1], s * xy[..., 0] + c * xy[..., 1]], axis=-1)


def move_qpos(qpos: np.ndarray, travel: Travel) -> np.ndarray:
    """`qpos` (F, nq) moved over the ground."""
    moved = qpos.copy()
    moved[:, :2] = turn_level(qpos[:, :2], travel.yaw) + travel.xy
    turn = np.array([np.cos(0.5 * travel.yaw), 0.0, 0.0, np.sin(0.5 * travel.yaw)])
    moved[:, 3:7] = quat_mul(np.broadcast_to(turn, (len(qpos), 4)), qpos[:, 3:7])
    return moved


def move(motion: Motion, travel: Travel) -> Motion:
    """The whole motion moved over the ground."""
    return replace(motion, qpos=move_qpos(motion.qpos, travel))


def travel_between(start: np.ndarray, end: np.ndarray) -> Travel:
    """The move that brings the root of `start` (nq,) to the place and heading of `end` (nq,)."""
    yaw = _wrapped(float(heading(end[3:7]) - heading(start[3:7])))
    return Travel(yaw, end[:2] - turn_level(start[:2], yaw))


def _wrapped(angle: float) -> float:
    return float((angle + np.pi) % (2.0 * np.pi) - np.pi)


def reset_origin(motion: Motion, *, heading: bool = True) -> Motion:
    """The motion from x = y = 0 on, and facing +x in its first frame unless `heading` is False. Heights stay."""
    origin = np.zeros(motion.qpos.shape[1])
    origin[3] = 1.0
    first = motion.qpos[0]
    travel = travel_between(first, origin) if heading else Travel(0.0, -first[:2])
    return move(motion, travel)
