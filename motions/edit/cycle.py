"""Loops: find the stretch of a motion that best leads back into itself, and close it.

The last frame of a closed loop is the first one again, moved over the ground by what a cycle travels: the frame
after the last is the second. So a walk's loop, repeated, walks on.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from motions.edit.travel import Travel, heading, move_qpos, travel_between, turn_level
from motions.errors import InputError
from motions.kinematics import Body, finite_difference_qvel, kinematic_state
from motions.motion import Motion
from motions.rotations import (
    quat_conj,
    quat_exp,
    quat_from_axis_angle,
    quat_log,
    quat_mul,
    quat_rotate,
    quat_rotate_inv,
    yaw_quat,
)

VELOCITY_TIME_S = 0.1  # a velocity difference counts as the distance it makes in this time
MAX_CANDIDATES = 1200  # frames that are compared with each other; of longer clips every n-th, then the neighbours
WORST_RATIO = 0.35  # a seam this large, as a share of how far the cycle gets from it, closes nothing
DRIFT_YAW_RAD, DRIFT_M = np.deg2rad(15.0), 0.05  # a cycle that turns or travels less means not to: this is taken out


class Cycle(NamedTuple):
    """Frames `start` to `end` of a clip, which look and move alike.

    seam_m: how far bodies are from each other at the two ends, velocities included [m]. ratio: the seam as a share of how
    far the cycle gets away from it; 0 is perfect.
    """

    start: int
    end: int
    seam_m: float
    ratio: float


def find_cycle(motion: Motion, body: Body, *, min_s: float = 0.4, max_s: float | None = None) -> Cycle:
    """The best cycle lasting `min_s` to `max_s` [s] (None: the whole clip).

    Frames i and j are as far from each other as d(i, j)^2 = mean_b |x_b,i - x_b,j|^2 + (0.1 s)^2 |v_b,i - v_b,j|^2 over all
    bodies b, in the root's place and heading. The cycle with the smallest d(i, j) / max_k d(i, k), i < k < j, wins: to stand
    still is no cycle. Raises `InputError` where nothing returns.
    """
    features = pose_features(motion, body)
    stride = -(-motion.num_frames // MAX_CANDIDATES)
    first, last = min_s * motion.fps, (max_s * motion.fps if max_s is not None else np.inf)
    if not 0.0 < first < last or first > motion.num_frames - 1:
        raise InputError(f"motion {motion.name!r} lasts {motion.duration_s:.2f} s: no cycle of {min_s:g} s or more fits")
    frames = np.arange(0, motion.num_frames, stride)
    start, end = _best_pair(features, frames, first, last)
    if stride > 1:
        near = np.arange(-stride, stride + 1)
        frames = np.unique(
            np.clip(np.concatenate([start + near, np.arange(start, end, stride), end + near]), 0, len(features) - 1)
        )
        start, end = _best_pair(features, frames, first, last)
    seam, reach = (np.linalg.norm(features[start] - features[part], axis=-1) for part in (end, np.arange(start, end)))
    cycle = Cycle(int(start), int(end), float(seam), float(seam / max(reach.max(), 1e-9)))
    if cycle.ratio > WORST_RATIO:
        raise InputError(
            f"motion {motion.name!r} never comes back to where it was: the closest are frames {start} and {end}, "
            f"{100 * seam:.1f} cm apart ({100 * cycle.ratio:.0f} % of the way between). Trim it to what repeats"
        )
    return cycle


def pose_features(motion: Motion, body: Body) -> np.ndarray:
    """(F, 6 B): what makes frames alike: body positions and scaled velocities in the root's place and heading [m]."""
    bodies = np.arange(1, body.model.nbody)
    state = kinematic_state(body, motion.qpos, finite_difference_qvel(motion.qpos, motion.fps), bodies)
    level = motion.qpos[:, None, :3] * [1.0, 1.0, 0.0]
    forward = np.broadcast_to(yaw_quat(motion.qpos[:, 3:7])[:, None], (*state.xpos.shape[:2], 4))
    place = quat_rotate_inv(forward, state.xpos - level)
    moving = quat_rotate_inv(forward, state.xlinvel) * VELOCITY_TIME_S
    return np.concatenate([place, moving], axis=-1).reshape(motion.num_frames, -1) / np.sqrt(len(bodies))


def distances_sq(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared, between all rows of a (N, n) and of b (M, n); (N, M). Nothing below 0, as rounding would have it of equal ones."""
    return np.maximum(np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2.0 * a @ b.T, 0.0)


def _best_pair(features: np.ndarray, frames: np.ndarray, first: float, last: float) -> tuple[int, int]:
    """The two of `frames`, `first` to `last` frames apart, with the smallest seam for their reach."""
    chosen = features[frames]
    distance = np.sqrt(distances_sq(chosen, chosen))
    apart = frames[None] - frames[:, None]
    reach = np.maximum.accumulate(np.where(apart >= 0, distance, 0.0), axis=1)
    ratio = np.where((apart >= first) & (apart <= last), distance / np.maximum(reach, 1e-9), np.inf)
    i, j = np.unravel_index(np.argmin(ratio), ratio.shape)
    return int(frames[i]), int(frames[j])


def close_cycle(motion: Motion, cycle: Cycle, *, blend_s: float = 0.25) -> Motion:
    """The cycle alone, closed: its last `blend_s` [s] bend into its first pose and velocity; `loop` is set.

    A cubic takes up what place and speed lack at the seam: c(u) = e u^2 (3 - 2 u) + e' h u^2 (u - 1) over the last h
    seconds, u from 0 to 1. Turns below 15 degrees and ways below 5 cm per cycle are drift: they are taken
    out evenly over the cycle. Raises `InputError` for a blend longer than the cycle.
    """
    if not 0 <= cycle.start < cycle.end < motion.num_frames:
        raise InputError(f"motion {motion.name!r} has {motion.num_frames} frames: no cycle from {cycle.start} to {cycle.end}")
    steps = cycle.end - cycle.start
    blend = round(blend_s * motion.fps)
    if not 1 <= blend <= steps:
        raise InputError(
            f"the seam is blended over {blend_s:g} s, expected at least a frame and at most {steps / motion.fps:.2f} s"
        )
    qpos = motion.qpos[cycle.start : cycle.end + 1]
    qvel = finite_difference_qvel(motion.qpos, motion.fps)[[cycle.start, cycle.end]]
    turned = _without_drift(qpos)
    travel = travel_between(turned[0], turned[-1])
    wanted = move_qpos(turned[:1], travel)[0]
    speed_first, speed_last = _in_heading(qvel[0], qpos[0]), _in_heading(qvel[1], qpos[-1])
    end_yaw = float(heading(turned[-1, 3:7]))
    lack = speed_first - speed_last
    lack[:2] = turn_level(lack[:2], end_yaw)
    horizon_s = blend / motion.fps
    u = np.linspace(0.0, 1.0, blend + 1)[:, None]
    place, slope = u**2 * (3.0 - 2.0 * u), horizon_s * u**2 * (u - 1.0)
    closed = turned.copy()
    tail = closed[-blend - 1 :]
    missing = np.concatenate([wanted[:3] - turned[-1, :3], wanted[7:] - turned[-1, 7:]])
    linear = np.concatenate([lack[:3], lack[6:]])
    tail[:, [*range(3), *range(7, tail.shape[1])]] += place * missing + slope * linear
    rotation = quat_log(quat_mul(wanted[3:7], quat_conj(turned[-1, 3:7])))
    spin = turn_level(lack[3:5], end_yaw)
    tail[:, 3:7] = quat_mul(quat_exp(place * rotation + slope * np.array([*spin, lack[5]])), tail[:, 3:7])
    return replace(motion, qpos=closed, loop=True)


def _in_heading(qvel: np.ndarray, qpos: np.ndarray) -> np.ndarray:
    """A velocity (nv,) with its linear and angular parts in the root's heading, not in the world and the root."""
    turned = qvel.copy()
    yaw = yaw_quat(qpos[3:7])
    turned[:3] = quat_rotate_inv(yaw, qvel[:3])
    turned[3:6] = quat_rotate_inv(yaw, quat_rotate(qpos[3:7], qvel[3:6]))
    return turned


def _without_drift(qpos: np.ndarray) -> np.ndarray:
    """`qpos` (F, nq) with a small turn, and then a small way, per cycle taken out evenly."""
    share = np.linspace(0.0, 1.0, len(qpos))
    travel = travel_between(qpos[0], qpos[-1])
    fixed = qpos.copy()
    if abs(travel.yaw) < DRIFT_YAW_RAD:
        back = -share * travel.yaw
        fixed[:, 3:7] = quat_mul(quat_from_axis_angle(np.array([0.0, 0.0, 1.0]), back), qpos[:, 3:7])
        steps = np.diff(qpos[:, :2], axis=0)
        middle = 0.5 * (back[1:] + back[:-1])
        c, s = np.cos(middle), np.sin(middle)
        turned = np.stack([c * steps[:, 0] - s * steps[:, 1], s * steps[:, 0] + c * steps[:, 1]], axis=1)
        fixed[1:, :2] = qpos[0, :2] + np.cumsum(turned, axis=0)
    way = fixed[-1, :2] - fixed[0, :2]
    if np.linalg.norm(way) < DRIFT_M:
        fixed[:, :2] -= share[:, None] * way
    return fixed


def loop(motion: Motion, body: Body, *, blend_s: float = 0.25, min_s: float = 0.4, max_s: float | None = None) -> Motion:
    """The best cycle of the motion, closed; see `find_cycle` and `close_cycle`."""
    return close_cycle(motion, find_cycle(motion, body, min_s=min_s, max_s=max_s), blend_s=blend_s)


def cycle_travel(motion: Motion) -> Travel:
    """What one cycle of a loop moves over the ground."""
    return travel_between(motion.qpos[0], motion.qpos[-1])


def repeat(motion: Motion, count: int) -> Motion:
    """`count` cycles of a loop, each going on where the last one ended. Raises `InputError` for what is no loop."""
    if not motion.loop:
        raise InputError(f"motion {motion.name!r} is no loop; close one first")
    if count < 1:
        raise InputError(f"{count} cycles, expected at least 1")
    travel, part = cycle_travel(motion), motion.qpos
    parts = [part]
    for _ in range(count - 1):
        part = move_qpos(part, travel)
        parts.append(part[1:])
    return replace(motion, qpos=np.concatenate(parts))
