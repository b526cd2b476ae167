"""A walk, run or trot led along paces and turns that the clip itself does not have, for a controller to be steered."""

from dataclasses import replace

import numpy as np

from motions.edit.cycle import loop, repeat
from motions.edit.mirror import mirror
from motions.edit.timing import smooth_step
from motions.edit.travel import turn_level
from motions.errors import InputError
from motions.kinematics import Body
from motions.motion import Motion
from motions.rotations import quat_mul, quat_normalize

TURN_RAD = 0.8  # most that the heading changes at a time
TURN_RATE = 1.5  # [rad/s] where it changes fastest
PACES = (0.8, 1.2)  # how fast the clip is played
PACE_S = 0.5  # over which one pace becomes another
BETWEEN_S = (1.0, 3.0)  # from one change of mind to the next
PIECE_S = 20.0  # of what `led` makes
LEAST_TRAVEL_M = 0.1  # of a cycle: what stays where it is cannot be led anywhere


def wander(motion: Motion, seconds: float, *, seed: int = 0) -> Motion:
    """`seconds` [s] of a loop, led over the ground: every one to three seconds it turns by up to .8 rad and goes on at another
    pace, .8 to 1.2 times its own; where and how `seed` says.

    Root and velocity are turned together, joints stay as they are: a foot on the ground turns with the body, and slips as far as
    it stands from under the root. (a motion warp, Witkin & Popovic 1995) Raises `InputError` for what is no loop, stays in its
    place, for less than a second, and a seed below 0.
    """
    from scipy.interpolate import CubicSpline

    if not motion.loop:
        raise InputError(f"motion {motion.name!r} is no loop; close one first")
    travel_m = float(np.linalg.norm(motion.qpos[-1, :2] - motion.qpos[0, :2]))
    if travel_m < LEAST_TRAVEL_M:
        raise InputError(
            f"motion {motion.name!r} goes {100 * travel_m:.0f} cm in a cycle: it stays in its place, and cannot be led"
        )
    if not 1.0 <= seconds < np.inf:
        raise InputError(f"wander: {seconds:g} s, expected at least 1")
    if seed < 0:
        raise InputError(f"wander: the seed is {seed}, expected 0 or more")
    count = round(seconds * motion.fps) + 1
    heading, pace = _course(count, motion.fps, np.random.default_rng(seed))
    phase_s = np.concatenate([[0.0], np.cumsum(0.5 * (pace[1:] + pace[:-1]))]) / motion.fps
    ahead = repeat(motion, int(np.ceil(phase_s[-1] / motion.duration_s)) + 1)
    qpos = CubicSpline(np.arange(ahead.num_frames) / ahead.fps, ahead.qpos, axis=0)(phase_s)
    steps = turn_level(np.diff(qpos[:, :2], axis=0), 0.5 * (heading[1:] + heading[:-1]))
    qpos[1:, :2] = qpos[0, :2] + np.cumsum(steps, axis=0)
    half = 0.5 * heading
    turn = np.stack([np.cos(half), np.zeros(count), np.zeros(count), np.sin(half)], axis=1)
    qpos[:, 3:7] = quat_mul(turn, quat_normalize(qpos[:, 3:7]))
    return replace(motion, name=f"{motion.name}_wander{seed}", qpos=qpos, loop=False)


def led(motion: Motion, body: Body, seconds: float) -> list[Motion]:
    """`seconds` [s] of the motion's best cycle, led in pieces of 20 s or less, each its own way, every second one mirrored.

    Raises `InputError` for a motion that closes no cycle, or stays in its place, and a body that cannot be mirrored.
    """
    cycle, count = loop(motion, body) if not motion.loop else motion, int(np.ceil(seconds / PIECE_S))
    pieces = [wander(cycle, seconds / count, seed=seed) for seed in range(count)]
    return [mirror(piece, body) if seed % 2 else piece for seed, piece in enumerate(pieces)]


def _course(count: int, fps: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Heading [rad] and pace of every frame; it begins straight on and as the clip."""
    time_s = np.arange(count) / fps
    heading, pace = np.zeros(count), np.ones(count)
    now_s, last = 0.0, 1.0
    while (now_s := now_s + rng.uniform(*BETWEEN_S)) < time_s[-1]:
        turn, wanted = rng.uniform(-TURN_RAD, TURN_RAD), rng.uniform(*PACES)
        heading += turn * smooth_step((time_s - now_s) / (1.5 * abs(turn) / TURN_RATE))
        pace += (wanted - last) * smooth_step((time_s - now_s) / PACE_S)
        last = wanted
    return heading, pace
