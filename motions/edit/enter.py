"""From any pose into a clip: the beginning of a motion for a robot that is somewhere else, such as one that has fallen."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from motions.edit.travel import Travel, move_qpos, turn_level
from motions.errors import InputError
from motions.kinematics import Body, kinematic_state
from motions.motion import Motion
from motions.rotations import quat_normalize, slerp

SPEED_M_S = 0.4  # at most, in the mean over the way, of the body that has to go furthest
BLEND_S = (0.3, 2.0)  # shortest and longest
LEAST_S = 1.2  # of a clip from where it is taken up
NEAR_M = 0.5  # in the mean over the bodies; one that stands is .7 from one that lies, a get-up .1 to .35


def enter(pose: np.ndarray, motions: Sequence[Motion], body: Body) -> Motion:
    """The one of `motions` that comes nearest to a `pose` (nq,), from where it does, begun in the pose.

    Near is what the bodies are in the mean, after the clip was turned and moved over the ground onto them; heights count. The
    clip's frames grow out of the pose by 3 u^2 - 2 u^3, within as long as keeps the body that has to go furthest at .4 m/s: .3
    to 2 s. Meanwhile the clip's time goes by u^2 of its rate: limbs are where they belong before the clip leans on them. Raises
    `InputError` where no clip is long enough, or comes as near as .5 m.
    """
    bodies = np.arange(1, body.model.nbody)
    places = _places(pose[None], body, bodies)[0]
    best: tuple[float, Motion, int, Travel, float] | None = None
    for motion in motions:
        last = motion.num_frames - 1 - round(LEAST_S * motion.fps)
        if last < 0:
            continue
        there = _places(motion.qpos[: last + 1], body, bodies)
        yaw, xy = _onto(there, places)
        moved = np.concatenate([turn_level(there[..., :2], yaw[:, None]) + xy[:, None], there[..., 2:]], axis=-1)
        apart = np.linalg.norm(moved - places, axis=-1)  # (F, B) [m]
        frame = int(apart.mean(axis=1).argmin())
        if best is None or apart[frame].mean() < best[0]:
            best = float(apart[frame].mean()), motion, frame, Travel(float(yaw[frame]), xy[frame]), float(apart[frame].max())
    if best is None:
        raise InputError(f"none of {len(motions)} motions lasts {LEAST_S:g} s: there is none to get up by")
    if best[0] > NEAR_M:
        raise InputError(
            f"no motion comes nearer to the pose than {best[0]:.2f} m (in the mean over its bodies; expected {NEAR_M:g}): to get "
            f"up from a fall, give motions that begin on the ground, on the back and on the belly"
        )
    _, motion, frame, travel, furthest_m = best
    qpos = move_qpos(motion.qpos[frame:], travel)
    third = max(1, round(float(np.clip(furthest_m / SPEED_M_S, *BLEND_S)) * motion.fps / 3.0))  # what the clip's time goes on by
    u = np.arange(3 * third + 1) / (3 * third)
    clip, weight = _between_frames(qpos, third * u**3), u * u * (3.0 - 2.0 * u)
    start = np.broadcast_to(pose, clip.shape)
    mixed = (1.0 - weight)[:, None] * start + weight[:, None] * clip
    mixed[:, 3:7] = quat_normalize(slerp(start[:, 3:7], clip[:, 3:7], weight))
    return replace(motion, qpos=np.concatenate([mixed, qpos[third + 1 :]]), loop=False)


def _between_frames(qpos: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Poses (N, nq) at frames (N,) of qpos (F, nq) that need not be whole."""
    before = np.minimum(frames.astype(int), len(qpos) - 2)
    share, a, b = frames - before, qpos[before], qpos[before + 1]
    found = (1.0 - share)[:, None] * a + share[:, None] * b
    found[:, 3:7] = quat_normalize(slerp(a[:, 3:7], b[:, 3:7], share))
    return found


def _places(qpos: np.ndarray, body: Body, bodies: np.ndarray) -> np.ndarray:
    """Where the bodies are at qpos (F, nq); (F, B, 3) [m]."""
    return kinematic_state(body, qpos, np.zeros((len(qpos), body.model.nv)), bodies).xpos


def _onto(there: np.ndarray, here: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The turns (F,) [rad] and then shifts (F, 2) [m] over the ground that bring bodies `there` (F, B, 3) nearest to `here`
    (B, 3), in the mean square. A root that lies has no heading; all bodies together have. (Procrustes, about one axis)"""
    a, b = there[..., :2] - there[..., :2].mean(axis=-2, keepdims=True), here[:, :2] - here[:, :2].mean(axis=0)
    cross = np.sum(a[..., 0] * b[:, 1] - a[..., 1] * b[:, 0], axis=-1)
    yaw = np.arctan2(cross, np.sum(a * b, axis=(-1, -2)))
    return yaw, here[:, :2].mean(axis=0) - turn_level(there[..., :2].mean(axis=-2), yaw)
