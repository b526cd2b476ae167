"""Joining clips into one, with blended transitions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from motions.edit.cycle import pose_features
from motions.edit.travel import move_qpos, travel_between
from motions.errors import InputError
from motions.kinematics import Body
from motions.motion import MIN_FRAMES, Motion, resample
from motions.rotations import quat_normalize, slerp


def concatenate(motions: Sequence[Motion], *, blend_s: float = 0.3) -> Motion:
    """The clips one after another, at the first one's rate.

    Each is moved over the ground so that in the middle of the blend it stands where the one before it stands, in the
    same heading. Over `blend_s` [s] the last frames of one run together with the first of the next, weighted by
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


def switch(
    before: Motion,
    after: Motion,
    time_s: float,
    body: Body,
    *,
    rest_s: float = 1.5,
    blend_s: float = 0.3,
    begin: int | None = None,
) -> Motion:
    """`before` until `time_s` [s], then `after` from its frame `begin`, at the rate of `before`; None: from where its pose and
    velocities are most alike (as `find_cycle` compares them), of those frames that leave `rest_s` [s] of it. Blended as
    `concatenate` does.

    Raises `InputError` where `before` ends sooner than the blend, or `after` is shorter than `rest_s` and the blend.
    """
    after = resample(after, before.fps)
    blend, rest = round(blend_s * before.fps), round((rest_s + blend_s) * before.fps)
    frame, last = round(time_s * before.fps), after.num_frames - 1 - rest
    if not 1 <= frame <= before.num_frames - 1 - blend:
        raise InputError(
            f"motion {before.name!r} lasts {before.duration_s:.2f} s: no switch at {time_s:g} s, blended over {blend_s:g} s"
        )
    if begin is None:
        if last < 0:
            raise InputError(
                f"motion {after.name!r} lasts {after.duration_s:.2f} s, less than the {rest_s:g} s that are to follow a switch"
            )
        there, here = pose_features(after, body)[: last + 1], pose_features(before, body)[frame]
        begin = int(np.linalg.norm(there - here, axis=1).argmin())
    parts = [replace(before, qpos=before.qpos[: frame + blend + 1]), replace(after, qpos=after.qpos[begin:])]
    return concatenate([replace(part, loop=False) for part in parts], blend_s=blend_s)


def _joined(before: np.ndarray, after: np.ndarray, blend: int) -> np.ndarray:
    """Two clips (F, nq) that share `blend` + 1 frames."""
    middle = blend // 2
    after = move_qpos(after, travel_between(after[middle], before[len(before) - 1 - blend + middle]))
    head, tail, rest = before[: -blend - 1], before[-blend - 1 :], after[blend + 1 :]
    u = np.linspace(0.0, 1.0, blend + 1)
    weight = u * u * (3.0 - 2.0 * u)
    mixed = (1.0 - weight)[:, None] * tail + weight[:, None] * after[: blend + 1]
    mixed[:, 3:7] = quat_normalize(slerp(tail[:, 3:7], after[: blend + 1, 3:7], weight))
    return np.concatenate([head, mixed, rest])


def _all(texts) -> str:
    """What the clips say, each thing once."""
    return "; ".join(dict.fromkeys(text for text in texts if text))
