"""From a file's own axes and length unit to ours: z up, metres.

Axes: a Y-up body faces file +z with its left at file +x. Ours faces +x with its left at +y, so
x, y, z = file z, x, y. The same change of basis is applied to offsets, positions and rotations; then the
identity pose keeps every joint frame parallel to the world.
"""

import re
from dataclasses import dataclass

import numpy as np

from motions.errors import InputError
from motions.skeleton import Skeleton, SkeletonMotion

CMU_UNIT_M = 0.0254 / 0.45  # a CMU unit is 1/0.45 inch: 0.056444 m
UNITS = (("metres", 1.0), ("centimetres", 0.01), ("inches", 0.0254), ("CMU units", CMU_UNIT_M), ("millimetres", 0.001))
HEIGHT_M = (1.0, 2.2)  # plausible ankle-to-head-joint heights; in no two of UNITS do these ranges overlap

Y_UP_TO_Z_UP = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_FOOT = re.compile(r"foot|ankle", re.IGNORECASE)
_HEAD = re.compile(r"head", re.IGNORECASE)
_LEFT_HIP = re.compile(r"left.*(upleg|hip|thigh|femur)|(^|[_:])l[_.]?(hip|upleg|thigh|femur)", re.IGNORECASE)


@dataclass(frozen=True)
class RawAnimation:
    """An animation in a file's own axes and unit. Shapes as in `SkeletonMotion`; `translations` may be None."""

    skeleton: Skeleton
    root_pos: np.ndarray
    local_quat: np.ndarray
    translations: np.ndarray | None


def change_axes(raw: RawAnimation, axes: np.ndarray, scale: float) -> RawAnimation:
    """The same animation with vectors v -> scale * axes @ v and rotations conjugated by `axes` (3, 3), a proper rotation."""
    local_quat = np.concatenate([raw.local_quat[..., :1], raw.local_quat[..., 1:] @ axes.T], axis=-1)
    skeleton = Skeleton(
        raw.skeleton.joint_names, raw.skeleton.parents, scale * raw.skeleton.offsets @ axes.T, raw.skeleton.end_sites
    )
    translations = None if raw.translations is None else scale * raw.translations @ axes.T
    return RawAnimation(skeleton, scale * raw.root_pos @ axes.T, local_quat, translations)


def chain_length(skeleton: Skeleton, joint: int) -> float:
    """Summed bone lengths from the root to `joint`, independent of the pose; in the skeleton's unit."""
    length = 0.0
    while skeleton.parents[joint] >= 0:
        length += float(np.linalg.norm(skeleton.offsets[joint]))
        joint = skeleton.parents[joint]
    return length


def body_height(raw: RawAnimation) -> tuple[float, str]:
    """Height in file units, and how it was found.

    Bone lengths from ankle to root to head joint where names tell them; else the tallest extent along any
    file axis, median over the frames.
    """
    skeleton = raw.skeleton
    named = [(name, j) for j, name in enumerate(skeleton.joint_names) if name not in skeleton.end_sites]
    feet = [chain_length(skeleton, j) for name, j in named if _FOOT.search(name)]
    heads = [chain_length(skeleton, j) for name, j in named if _HEAD.search(name)]
    if feet and heads and min(feet) > 0 and min(heads) > 0:
        return min(feet) + min(heads), "from ankle to head"
    pos = joint_positions(raw)
    extent = np.median(pos.max(axis=1) - pos.min(axis=1), axis=0)  # [3]
    return float(extent.max()), "in extent"


def unit_name(metres: float) -> str:
    """In words: the unit that is `metres` long."""
    return next((name for name, length in UNITS if abs(metres / length - 1.0) < 1e-3), f"a unit of {metres:.6g} m")


def given_scale_note(motion: SkeletonMotion, scale: float) -> tuple[str, ...]:
    """A sentence on a body that, with the `scale` that was given, has no person's height; none for one that has."""
    height, how = body_height(RawAnimation(motion.skeleton, motion.root_pos, motion.local_quat, motion.translations))
    if HEIGHT_M[0] <= height <= HEIGHT_M[1]:
        return ()
    return (f"scale {scale:g} m per unit as given, by which the body measures {height:.3g} m {how}: no person's size",)


def guess_scale(raw: RawAnimation, path: object) -> tuple[float, str]:
    """Metres per file unit from the body's height, and a sentence that says so. Raises `InputError` if none fits."""
    height, how = body_height(raw)
    for unit, scale in UNITS:
        if HEIGHT_M[0] <= height * scale <= HEIGHT_M[1]:
            return scale, f"unit taken as {unit} ({scale:.6g} m): the body measures {height:.4g} {how} = {height * scale:.2f} m"
    raise InputError(
        f"{path}: the length unit cannot be recognised: the body measures {height:.4g} {how}, which is no human size in "
        f"{', '.join(unit for unit, _ in UNITS)}. Give the scale in metres per unit."
    )


def choose_axes(raw: RawAnimation) -> tuple[np.ndarray, str]:
    """The change of axes to ours and a sentence on it.

    Y is taken as up unless both the rest pose and the motion's median frame stand along z.
    """
    skeleton, names = raw.skeleton, raw.skeleton.joint_names
    feet = [j for j, name in enumerate(names) if _FOOT.search(name) and name not in skeleton.end_sites]
    if feet:
        rest = rest_positions(skeleton)
        legs = rest[0] - rest[feet].mean(axis=0)
        moving = joint_positions(raw)
        standing = np.median(moving[:, 0] - moving[:, feet].mean(axis=1), axis=0)
        length = max(np.linalg.norm(rest[0] - rest[j]) for j in feet)
        if legs[2] > 0.8 * length and standing[2] > 0.6 * length:
            left = [rest[j] for j, name in enumerate(names) if _LEFT_HIP.search(name)]
            side = np.sign(left[0][0]) if left and abs(left[0][0]) > abs(left[0][1]) else 0.0
            axes = np.array([[0.0, -side, 0.0], [side, 0.0, 0.0], [0.0, 0.0, 1.0]]) if side else np.eye(3)
            return axes, "z taken as up: the legs point along -z"
    return Y_UP_TO_Z_UP, "y taken as up"


def rest_positions(skeleton: Skeleton) -> np.ndarray:
    """Joint positions (J, 3) of the identity pose with the root at the origin."""
    pos = np.zeros_like(skeleton.offsets)
    for j, parent in enumerate(skeleton.parents[1:], start=1):
        pos[j] = pos[parent] + skeleton.offsets[j]
    return pos


def joint_positions(raw: RawAnimation, max_frames: int = 50) -> np.ndarray:
    """World joint positions (F', J, 3) of up to `max_frames` frames spread over the animation, in file axes and unit."""
    pick = np.unique(np.linspace(0, len(raw.root_pos) - 1, max_frames).astype(int))
    translations = None if raw.translations is None else raw.translations[pick]
    motion = SkeletonMotion("", raw.skeleton, 1.0, raw.root_pos[pick], raw.local_quat[pick], translations=translations)
    return motion.forward_kinematics()[0]
