"""Goals: what a robot is told to do, as a few numbers in the world. Numpy and JAX, any leading axes; rewards are in [0, 1].

A kind of goal is a `Kind`: its numbers, how they are drawn, read off a clip, and paid for. What the robot sees of them is an
observation term of the same name (`mimic.mdp.observations`).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mimic.config import GoalConfig
from motions.kinematics import KinematicState
from motions.library import MotionLibrary
from motions.rotations import Array, namespace, quat_conj, quat_mul, quat_rotate, yaw_quat

AHEAD_S = 0.5  # [s] over which a clip's own velocity is taken for what it was told
MARGIN_M = 0.5  # [m] a place is reached within this


class Kind(NamedTuple):
    """numbers: what the goal's numbers are, for people and files. draw(u, state, config): a goal for a robot at `state`, from
    u (4,) uniform in [-1, 1]. read(now, later, seconds): the goal of a clip that is at `now`, and at `later` `seconds` after.
    reward(goal, state)."""

    numbers: tuple[str, ...]
    draw: Callable[[Array, KinematicState, GoalConfig], Array]
    read: Callable[[KinematicState, KinematicState, Array], Array]
    reward: Callable[[Array, KinematicState], Array]


def shown_speeds(library: MotionLibrary, ctrl_dt: float) -> tuple[float, float]:
    """The slowest and the fastest that the clips' roots move over the ground for `AHEAD_S`, but for one in fifty [m/s]."""
    speeds = []
    for start, length in zip(library.clip_start, library.clip_length, strict=True):
        place, over = library.qpos[start : start + length, :2], min(round(AHEAD_S / ctrl_dt), int(length) - 1)
        speeds.append(np.linalg.norm(place[over:] - place[:-over], axis=1) / (over * ctrl_dt))
    low, high = np.quantile(np.concatenate(speeds), (0.02, 0.98))
    return float(low), float(high)


def told_by_clip(
    kind: Kind, at: Callable[[Array], KinematicState], frame: Array, last: Array, ctrl_dt: float, state: KinematicState
) -> Array:
    """What a clip that is at `frame` of its frames 0 .. `last` was told, as if it stood where a robot at `state` does, and faced
    as it: what it does in the next `AHEAD_S`; near its end, what it did just before. at: the clip's frames, by number."""
    xp = namespace(state.qpos)
    ahead = round(AHEAD_S / ctrl_dt)
    first = xp.clip(frame, 0, xp.maximum(last - ahead, 0))
    after = xp.minimum(first + ahead, last)
    now, later = at(first), at(after)
    turn = quat_mul(yaw_quat(state.qpos[..., 3:7]), quat_conj(yaw_quat(at(frame).qpos[..., 3:7])))
    begin, end = (_moved(place, turn, now, state) for place in (now, later))
    return kind.read(begin, end, xp.maximum(after - first, 1) * ctrl_dt)


def _moved(frame: KinematicState, turn: Array, origin: KinematicState, place: KinematicState) -> KinematicState:
    """A frame of a clip turned about the root of `origin`, which comes to lie under that of `place`; heights stay. Of the poses
    the root's place only."""
    xp = namespace(turn)
    away = quat_rotate(turn, frame.qpos[..., :3] - origin.qpos[..., :3])
    root = xp.concatenate([place.qpos[..., :2] + away[..., :2], frame.qpos[..., 2:]], axis=-1)
    return frame._replace(qpos=root)


def heading_reward(goal: Array, state: KinematicState) -> Array:
    """exp(-2.5 |v* - v|^2) of the horizontal velocities v* wanted and v of the root [m/s]: DeepMimic's, but that what is too
    fast, or sideways, costs as much as what is too slow. (Peng et al. 2018, section 8.2)"""
    return _exp_square(2.5, goal - state.qvel[..., :2])


def _draw_heading(u: Array, state: KinematicState, config: GoalConfig) -> Array:
    """A speed in `config.speed`, in a direction up to `config.turn` from where the robot faces."""
    xp = namespace(u)
    low, high = config.speed or (0.0, 0.0)
    speed = low + (high - low) * 0.5 * (u[..., 0] + 1.0)
    angle = config.turn * u[..., 1]
    along = xp.stack([xp.cos(angle), xp.sin(angle), xp.zeros_like(angle)], axis=-1)
    return speed[..., None] * quat_rotate(yaw_quat(state.qpos[..., 3:7]), along)[..., :2]


def _read_heading(now: KinematicState, later: KinematicState, seconds: Array) -> Array:
    return (later.qpos[..., :2] - now.qpos[..., :2]) / seconds


def location_reward(goal: Array, state: KinematicState) -> Array:
    """exp(-|x* - x|^2 / 2) of the horizontal place x* wanted and x of the root [m]. (the first part
    of AMP's, Peng et al. 2021)"""
    return _exp_square(0.5, goal - state.qpos[..., :2])


def _draw_location(u: Array, state: KinematicState, config: GoalConfig) -> Array:
    xp = namespace(u)
    low, high = config.distance
    distance = low + (high - low) * 0.5 * (u[..., 0] + 1.0)
    angle = np.pi * u[..., 1]
    return state.qpos[..., :2] + distance[..., None] * xp.stack([xp.cos(angle), xp.sin(angle)], axis=-1)


def _read_location(now: KinematicState, later: KinematicState, seconds: Array) -> Array:
    return later.qpos[..., :2]


def _exp_square(rate: float, error: Array) -> Array:
    xp = namespace(error)
    return xp.exp(-rate * xp.sum(error**2, axis=-1))


KINDS: dict[str, Kind] = {
    "heading": Kind(("world x velocity [m/s]", "world y velocity [m/s]"), _draw_heading, _read_heading, heading_reward),
    "location": Kind(("world x [m]", "world y [m]"), _draw_location, _read_location, location_reward),
}
