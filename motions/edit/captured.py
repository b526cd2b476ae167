"""Editing of captured motions, before they are retargeted: cut, play faster, mirror. Pure functions of `SkeletonMotion`.

The skeleton's own rate and joints are kept; nothing is interpolated.
"""

from dataclasses import replace

import numpy as np

from motions.edit.mirror import opposite_name
from motions.errors import InputError
from motions.motion import MIN_FRAMES
from motions.skeleton import Skeleton, SkeletonMotion

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
