"""The last steps every reader of a captured skeleton shares: checks, the frame rate, the joint tree, our axes."""

from pathlib import Path

import numpy as np

from motions.errors import InputError
from motions.formats.units import RawAnimation, change_axes
from motions.motion import MIN_FRAMES
from motions.rotations import quat_normalize, quat_unroll
from motions.skeleton import Skeleton, SkeletonMotion

NORM_SILENT, NORM_REFUSE = 1e-4, 0.5  # deviation of |quat| from 1: silent below, repaired with a note, refused above


def whole_rate(fps: float) -> float:
    """A rate printed with few digits (.033332 s) is the whole number it stands for."""
    return float(round(fps)) if fps > 1.0 and abs(fps - round(fps)) < 5e-4 * fps else float(fps)


def choose_fps(path: Path, given: float | None, said: float | None, notes: list[str]) -> float:
    """The frame rate [Hz]: the one `given`, else the file's. Raises `InputError` if neither is a number above 0."""
    if given is not None:
        if said is not None and given != said:
            notes.append(f"{given:g} frames per second as given (the file says {said:g})")
        return float(given)
    if said is None:
        raise InputError(f"{path}: the file holds no frame rate; give it: --fps")
    if not (np.isfinite(said) and said > 0):
        raise InputError(f"{path}: the frame rate is {said:g}, expected a number above 0")
    return whole_rate(said)


def finite_numbers(values: object, shape: tuple[int | None, ...], path: Path, what: str) -> np.ndarray:
    """`values` as float64 of `shape` (None: any length). Raises `InputError` naming the first value that is not finite."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "fiu":
            raise ValueError(array.dtype)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: {what} is no regular array of numbers ({error})") from None
    if array.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, array.shape)):
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise InputError(f"{path}: {what} has shape {array.shape}, expected ({wanted})")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        index = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        raise InputError(f"{path}: {what} has a value that is not finite at index {index}")
    return array


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
