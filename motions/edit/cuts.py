"""Cuts: frames between which a clip jumps, because takes were spliced or tracking was lost."""

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from motions.errors import InputError
from motions.kinematics import Body
from motions.library import require_joints
from motions.motion import MIN_FRAMES, Motion
from motions.rotations import quat_angle

ROOT_SPEED_M_S = 15.0  # sprinters reach 12
ROOT_SPIN_RAD_S = 35.0  # somersaults reach 20
JOINT_SPEED_RAD_S = 60.0  # a throwing arm's inner rotation is faster, for one joint and a few milliseconds
SUDDEN_SHARE, SUDDEN_TIMES = 0.2, 10.0  # of these speeds, if it is so many times what comes before and after


class Cut(NamedTuple):
    """A jump from frame `frame` to the next one: of what, and how fast that would be in `unit`."""

    frame: int
    what: str
    speed: float
    unit: str

    def __str__(self) -> str:
        return f"a cut after frame {self.frame}: {self.what} at {self.speed:.3g} {self.unit}"


def find_cuts(motion: Motion, body: Body) -> list[Cut]:
    """Every step that is faster than a body can be, or is sudden: a fifth of that, and ten times its neighbours.

    A full turn of a joint without limits is no step. Raises `InputError` for another robot's motion.
    """
    require_joints(motion, body)
    qpos, fps = motion.qpos, motion.fps
    step = np.abs(np.diff(qpos[:, 7:], axis=0))
    free = np.isinf(body.joint_range[:, 1])
    step[:, free] = np.abs((step[:, free] + np.pi) % (2.0 * np.pi) - np.pi)
    speeds = np.column_stack(
        [np.linalg.norm(np.diff(qpos[:, :3], axis=0), axis=1), quat_angle(qpos[:-1, 3:7], qpos[1:, 3:7]), step]
    )
    speeds *= fps  # [F - 1, 2 + J]
    limit = np.array([ROOT_SPEED_M_S, ROOT_SPIN_RAD_S] + [JOINT_SPEED_RAD_S] * step.shape[1])
    around = np.maximum(_moved(speeds, 1), _moved(speeds, -1))
    sudden = (speeds > SUDDEN_SHARE * limit) & (speeds > SUDDEN_TIMES * around)
    names = ["the root moves", "the root turns", *(f"joint {name} turns" for name in motion.joint_names)]
    cuts = []
    for frame in np.flatnonzero(((speeds > limit) | sudden).any(axis=1)):
        worst = int(np.argmax(speeds[frame] / limit))
        cuts.append(Cut(int(frame), names[worst], float(speeds[frame, worst]), "m/s" if worst == 0 else "rad/s"))
    return cuts


def _moved(speeds: np.ndarray, by: int) -> np.ndarray:
    """The speeds one step before (1) or after (-1); at an end the only neighbour stands for both."""
    moved = np.roll(speeds, by, axis=0)
    edge = 0 if by == 1 else -1
    moved[edge] = 0.0
    return moved


def split_at_cuts(motion: Motion, body: Body) -> list[Motion]:
    """The stretches between cuts, named after their place in the clip; those of less than 3 frames are left out.

    A clip without cuts comes back as it is. Raises `InputError` where nothing is left.
    """
    cuts = find_cuts(motion, body)
    if not cuts:
        return [motion]
    bounds = [0, *(cut.frame + 1 for cut in cuts), motion.num_frames]
    spans = [(a, b) for a, b in pairwise(bounds) if b - a >= MIN_FRAMES]
    if not spans:
        raise InputError(f"motion {motion.name!r} jumps in nearly every frame: {cuts[0]}. Is its frame rate right?")
    return [
        replace(motion, name=f"{motion.name}_{number}", qpos=motion.qpos[a:b], loop=False)
        for number, (a, b) in enumerate(spans, start=1)
    ]
