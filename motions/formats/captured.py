"""The last steps every reader of a captured skeleton shares: checks, the frame rate, the joint tree, our axes."""

from pathlib import Path

import numpy as np

from motions.errors import InputError
from motions.formats.units import RawAnimation, change_axes
from motions.motion import MIN_FRAMES
from motions.rotations import quat_normalize, quat_unroll
from motions.skeleton import Skeleton, SkeletonMotion

NORM_SILENT, NORM_REFUSE = 1e-4, 0.5  # deviation of |quat| from 1: silent below, repaired with a note, refused above


def unit_quats(quat: np.ndarray, path: Path, notes: list[str]) -> np.ndarray:
    """(F, J, 4) of unit length and without sign flips between frames; what was repaired is noted."""
    norm = np.linalg.norm(quat, axis=-1)
    off = np.abs(norm - 1.0)
    frame, joint = np.unravel_index(int(np.argmax(off)), off.shape)
    worst = float(off[frame, joint])
    if worst > NORM_REFUSE:
        raise InputError(
            f"{path}: the quaternion of frame {frame}, joint {joint} has length {norm[frame, joint]:.3g}, expected 1. "
            f"Is it another format?"
        )
    if worst > NORM_SILENT:
        notes.append(f"quaternions off unit length by up to {worst:.2g} (frame {frame}), renormalized")
    return quat_unroll(quat_normalize(quat))


def captured_motion(
    path: Path, raw: RawAnimation, axes: np.ndarray, scale: float, fps: float, notes: list[str], **fields: str
) -> SkeletonMotion:
    """`raw` in our axes and metres as a `SkeletonMotion`; at least 3 frames, or `InputError`."""
    if len(raw.root_pos) < MIN_FRAMES:
        raise InputError(f"{path}: {len(raw.root_pos)} frame(s) of motion, at least {MIN_FRAMES} are needed")
    raw = change_axes(raw, axes, scale)
    return SkeletonMotion(
        name=fields.get("name", path.stem),
        skeleton=raw.skeleton,
        fps=fps,
        root_pos=raw.root_pos,
        local_quat=quat_unroll(raw.local_quat),
        source=path.name,
        translations=raw.translations,
        notes=tuple(notes),
    )


def check_tree(
    path: Path, names: list[str], parents: list[int], offsets: np.ndarray, end_sites: tuple[str, ...] = ()
) -> Skeleton:
    """The `Skeleton`; raises `InputError` for names that repeat, several roots, or a parent that comes after its child."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"{path}: joint name(s) used more than once: {', '.join(repeated[:5])}; each joint needs its own")
    if len(parents) != len(names) or not names:
        raise InputError(f"{path}: {len(parents)} parents for {len(names)} joint names")
    for j, parent in enumerate(parents):
        if (j == 0) != (parent == -1) or not -1 <= parent < max(j, 1):
            raise InputError(
                f"{path}: joint {names[j]!r} (number {j}) has parent {parent}; expected one root with parent -1 first, and "
                f"every other parent before its children"
            )
    return Skeleton(tuple(names), tuple(parents), offsets, end_sites)
