"""Editing of captured motions, before they are retargeted: cut, play faster, repeat, mirror. Pure functions of `SkeletonMotion`.

The skeleton's own rate and joints are kept.
"""

from dataclasses import replace

import numpy as np

from motions.edit.mirror import opposite_name
from motions.edit.timing import smooth_step
from motions.errors import InputError
from motions.motion import MIN_FRAMES
from motions.rotations import quat_conj, quat_exp, quat_log, quat_mul, quat_rotate, yaw_quat
from motions.skeleton import Skeleton, SkeletonMotion

SEAM_RAD, SEAM_M = 0.6, 0.05  # at most between a loop's last pose and its first
_SWAPPED_LETTER = {"l": "r", "r": "l", "L": "R", "R": "L"}


def cut_captured(motion: SkeletonMotion, start_s: float, end_s: float | None = None) -> SkeletonMotion:
    """The part from `start_s` to `end_s` [s] (None: its end), both frames included.

    Raises `InputError` where fewer than 3 frames are left, or it ends after the motion does.
    """
    duration_s = (motion.num_frames - 1) / motion.fps
    end_s = duration_s if end_s is None else end_s
    first, last = round(start_s * motion.fps), round(end_s * motion.fps)
    if first < 0 or last > motion.num_frames - 1 or last - first < MIN_FRAMES - 1:
        asked = f"no {MIN_FRAMES} frames from {start_s:g} s to {end_s:g} s"
        raise InputError(f"captured motion {motion.name!r}: {asked}; it lasts {duration_s:.2f} s at {motion.fps:g} Hz")
    kept = slice(first, last + 1)
    translations = None if motion.translations is None else motion.translations[kept]
    return replace(motion, root_pos=motion.root_pos[kept], local_quat=motion.local_quat[kept], translations=translations)


def speed_captured(motion: SkeletonMotion, factor: float) -> SkeletonMotion:
    """Played `factor` times as fast: the same frames at another rate. Raises `InputError` unless `factor` is above 0."""
    if not (np.isfinite(factor) and factor > 0):
        raise InputError(f"speed: the factor is {factor}, expected a number above 0, as 1.2 for a fifth faster")
    return replace(motion, fps=motion.fps * factor)


def repeat_captured(motion: SkeletonMotion, count: int) -> SkeletonMotion:
    """`count` cycles of a clip that loops: whose last frame is its first one, moved over the ground. Each goes on from where the
    last one ended, facing as it did then.

    What the last pose lacks is bent in over the last third of the cycle. Raises `InputError` for less than one cycle, and where
    the two poses are too far apart for that.
    """
    if count < 1:
        raise InputError(f"{count} cycles, expected at least 1")
    if count == 1:
        return motion
    turn = quat_mul(yaw_quat(motion.local_quat[-1, 0]), quat_conj(yaw_quat(motion.local_quat[0, 0])))
    root, quat = _closed(motion, turn)
    roots, quats = [root], [quat]
    for _ in range(count - 1):
        begin, end = (place * [1.0, 1.0, 0.0] for place in (root[0], root[-1]))
        root, quat = quat_rotate(turn, root - begin) + end, quat.copy()
        quat[:, 0] = quat_mul(turn, quat[:, 0])
        roots.append(root[1:])
        quats.append(quat[1:])
    translations = motion.translations
    if translations is not None:
        translations = np.concatenate([translations, *[translations[1:]] * (count - 1)])
    return replace(motion, root_pos=np.concatenate(roots), local_quat=np.concatenate(quats), translations=translations)


def _closed(motion: SkeletonMotion, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Root positions (F, 3) and rotations (F, J, 4) that end in the first pose, turned by `turn`."""
    wanted, last = motion.local_quat[0].copy(), motion.local_quat[-1]
    wanted[0] = quat_mul(turn, wanted[0])
    lack, rise_m = quat_log(quat_mul(wanted, quat_conj(last))), float(motion.root_pos[0, 2] - motion.root_pos[-1, 2])
    angles = np.linalg.norm(lack, axis=-1)
    if angles.max() > SEAM_RAD or abs(rise_m) > SEAM_M:
        worst = motion.skeleton.joint_names[int(angles.argmax())]
        raise InputError(
            f"captured motion {motion.name!r} does not loop: from its last frame to its first {worst} turns by "
            f"{np.degrees(angles.max()):.0f} degrees and the root moves by {100 * abs(rise_m):.0f} cm in height"
        )
    share = smooth_step(1.0 - 3.0 * (1.0 - np.linspace(0.0, 1.0, motion.num_frames)))
    root = motion.root_pos + share[:, None] * [0.0, 0.0, rise_m]
    return root, quat_mul(quat_exp(share[:, None, None] * lack), motion.local_quat)


def mirror_captured(motion: SkeletonMotion) -> SkeletonMotion:
    """The motion in a mirror that stands in the world's xz plane: what the left did the right does, y becomes -y.

    With S = diag(1, -1, 1) and p the joint of the other side, x'_j = S x_p(j) and R'_j = S R_p(j) S; the skeleton is
    mirrored, too: o'_j = S o_p(j). Raises `InputError` for joints without a counterpart of the other side's name.
    """
    skeleton = motion.skeleton
    other = _counterparts(skeleton, motion.name)
    flip = np.array([1.0, -1.0, 1.0])
    return replace(
        motion,
        name=f"{motion.name}_mirrored",
        skeleton=replace(skeleton, offsets=skeleton.offsets[other] * flip),
        root_pos=motion.root_pos * flip,
        local_quat=motion.local_quat[:, other] * [1.0, -1.0, 1.0, -1.0],  # S turns the axis a into -S a
        translations=None if motion.translations is None else motion.translations[:, other] * flip,
    )


def _counterparts(skeleton: Skeleton, name: str) -> np.ndarray:
    """(J,) the joint of the other side, itself for those in the middle. A side is a word (Left, l, R) or a first letter."""
    names = skeleton.joint_names
    other = np.arange(len(names))
    for j, joint in enumerate(names):
        wanted = opposite_name(joint)
        if wanted == joint:  # lfemur, as ASF has it; but lowerback has no rowerback
            swapped = _SWAPPED_LETTER.get(joint[0], joint[0]) + joint[1:]
            wanted = swapped if swapped in names else joint
        if wanted not in names:
            raise InputError(f"captured motion {name!r} cannot be mirrored: its skeleton has {joint!r} but no {wanted!r}")
        other[j] = names.index(wanted)
    parents = np.array(skeleton.parents)
    odd = np.flatnonzero(np.where(parents >= 0, other[parents], -1) != parents[other])
    if len(odd):
        pair = f"{names[odd[0]]!r} and {names[other[odd[0]]]!r}"
        raise InputError(f"captured motion {name!r} cannot be mirrored: {pair} hang on joints that are not each other's image")
    return other
