"""Joining clips into one, with blended transitions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from motions.edit.cycle import distances_sq, pose_features
from motions.edit.timing import smooth_step
from motions.edit.travel import move_qpos, travel_between
from motions.errors import InputError
from motions.kinematics import Body
from motions.motion import MIN_FRAMES, Motion, resample
from motions.rotations import quat_normalize, slerp

SPEEDS_UP = 3.0  # [m/s^2] of the root where one clip goes over into another: half of what feet hold on the ground
AS_GOOD = 1.2  # a seam that costs so many times the best is as good, if it comes sooner


def concatenate(motions: Sequence[Motion], *, blend_s: float = 0.3) -> Motion:
    """The clips one after another, at the first one's rate.

    Each is moved over the ground so that it goes on where the one before it is, in the middle of the blend in the same
    heading. Over `blend_s` [s] the last frames of one run together with the first of the next, weighted by
    3 u^2 - 2 u^3; so the result is that much shorter at every seam. Feet may slide in a blend. Raises `InputError` for
    clips of other joints, or shorter than their blends.
    """
    if not motions:
        raise InputError("no motion to join")
    first = motions[0]
    blend = round(blend_s * first.fps)
    if len(motions) > 1 and blend < 2:
        raise InputError(f"a blend of {blend_s:g} s is less than 2 frames at {first.fps:g} Hz")
    total = first.qpos
    for position, motion in enumerate(motions[1:], start=1):
        if motion.joint_names != first.joint_names:
            raise InputError(f"motion {motion.name!r} has other joints than {first.name!r}: only one robot's clips can be joined")
        ends = (position > 1) + 1  # blends that the clip before must have room for
        following = resample(motion, first.fps)
        for part, name, needed in ((motions[position - 1], motions[position - 1].name, ends), (motion, motion.name, 1)):
            frames = round(part.duration_s * first.fps) + 1
            if frames < needed * (blend + 1) + 1:
                raise InputError(f"motion {name!r} lasts {part.duration_s:.2f} s: too short for a blend of {blend_s:g} s")
        total = _joined(total, following.qpos, blend)
    if len(total) < MIN_FRAMES:
        raise InputError(f"the joined motion has {len(total)} frames, at least {MIN_FRAMES} are needed")
    joined = {field: _all(getattr(m, field) for m in motions) for field in ("source", "licence")}
    name = first.name if len(motions) == 1 else "+".join(motion.name for motion in motions)
    return replace(first, name=name, qpos=total, loop=first.loop and len(motions) == 1, **joined)


class Seam(NamedTuple):
    """Where one clip goes over into another: left at `leave_s` [s], the other entered at its frame `enter`, within `blend_s`."""

    leave_s: float
    enter: int
    blend_s: float


def find_seam(
    before: Motion, after: Motion, time_s: float, body: Body, *, rest_s: float = 1.5, blend_s: float = 0.3, wait_s: float = 0.0
) -> Seam:
    """Where `before` is left for `after`, from `time_s` [s] on and within `wait_s`: soon, and where through the blend the poses
    and velocities of both are most alike (as `find_cycle` compares them, weighted by 3 u^2 - 2 u^3 and what is left of it;
    motion graphs, Kovar et al. 2002), with `rest_s` of `after` left behind it, or as much as it has.

    The blend takes at least `blend_s`, and so long that the root is not sped up or slowed down by more than `SPEEDS_UP`. Beyond
    its end `before` holds its last pose, which counts as if the blend missed by the speed that is lost there. Raises
    `InputError` where `before` has no such time, or `after` is too short.
    """
    after = resample(after, before.fps)
    if not 0.0 <= time_s <= before.duration_s:
        raise InputError(f"motion {before.name!r} lasts {before.duration_s:.2f} s: no switch at {time_s:g} s")
    first = round(time_s * before.fps)
    leaves = np.arange(first, min(round((time_s + wait_s) * before.fps), before.num_frames - 1) + 1)
    blend = round(max(blend_s, 1.5 * _change(before, after, leaves) / SPEEDS_UP) * before.fps)
    if after.num_frames < blend + 2:
        raise InputError(
            f"motion {after.name!r} lasts {after.duration_s:.2f} s: too short for a switch of {blend / before.fps:.2g} s"
        )
    enters = np.arange(max(after.num_frames - blend - round(rest_s * before.fps), 1))
    here, there = (pose_features(motion, body) for motion in (_held(before, leaves[-1] + blend + 1), after))
    weights = smooth_step(np.linspace(0.0, 1.0, blend + 1))
    weights = weights * (1.0 - weights)
    cost = sum(weights[k] * distances_sq(here[leaves + k], there[enters + k]) for k in range(1, blend))
    stopped = pose_features(before, body)[-1] - here[-1]  # alike but for the velocities
    cost = cost + (np.sum(stopped**2) * weights.sum() * (leaves + blend > before.num_frames - 1))[:, None]
    best = cost.min(axis=1)
    leave = int(np.argmax(best <= AS_GOOD * best.min()))
    return Seam(float(leaves[leave]) / before.fps, int(enters[cost[leave].argmin()]), blend / before.fps)


def switch(before: Motion, after: Motion, seam: Seam) -> Motion:
    """`before` up to the seam, then `after` from there, at the rate of `before`; blended as `concatenate` does."""
    after, leave, blend = resample(after, before.fps), round(seam.leave_s * before.fps), round(seam.blend_s * before.fps)
    left = _held(before, leave + blend)
    parts = [replace(left, qpos=left.qpos[: leave + blend + 1]), replace(after, qpos=after.qpos[seam.enter :])]
    return concatenate([replace(part, loop=False) for part in parts], blend_s=seam.blend_s)


def _held(motion: Motion, last: int) -> Motion:
    """With its last pose held until frame `last`."""
    beyond = max(last + 1 - motion.num_frames, 0)
    return replace(motion, qpos=np.concatenate([motion.qpos, np.repeat(motion.qpos[-1:], beyond, axis=0)]))


def _change(before: Motion, after: Motion, leaves: np.ndarray) -> float:
    """By how much the root's horizontal speed changes [m/s], from where `before` may be left to all of `after`."""
    left = _held(before, leaves[-1] + 1).qpos[leaves[0] : leaves[-1] + 2]
    here, there = (np.linalg.norm(np.diff(qpos[:, :2], axis=0), axis=1).mean() * before.fps for qpos in (left, after.qpos))
    return abs(float(there - here))


def _joined(before: np.ndarray, after: np.ndarray, blend: int) -> np.ndarray:
    """Two clips (F, nq) that share `blend` + 1 frames. Over the ground it is the velocities that are blended, not the places: of
    a run and a stop these are apart by more and more."""
    middle = blend // 2
    after = move_qpos(after, travel_between(after[middle], before[len(before) - 1 - blend + middle]))
    head, tail, into, rest = before[: -blend - 1], before[-blend - 1 :], after[: blend + 1], after[blend + 1 :].copy()
    weight = smooth_step(np.linspace(0.0, 1.0, blend + 1))[:, None]
    mixed = (1.0 - weight) * tail + weight * into
    mixed[:, 3:7] = quat_normalize(slerp(tail[:, 3:7], into[:, 3:7], weight[:, 0]))
    between = 0.5 * (weight[1:] + weight[:-1])
    steps = (1.0 - between) * np.diff(tail[:, :2], axis=0) + between * np.diff(into[:, :2], axis=0)
    mixed[:, :2] = tail[0, :2] + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    rest[:, :2] += mixed[-1, :2] - into[-1, :2]
    return np.concatenate([head, mixed, rest])


def _all(texts) -> str:
    """What the clips say, each thing once."""
    return "; ".join(dict.fromkeys(text for text in texts if text))
