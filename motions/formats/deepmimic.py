"""DeepMimic's JSON clips of its `humanoid3d` body: one row per frame, rotations relative to the parent.

A row: duration [s], root position [m], root quaternion, then the joints of COLUMNS, a quaternion each; knees and
elbows one angle about the body's sideways axis [rad] (knees bend backwards below 0, elbows forwards above). All
quaternions wxyz. The file's axes: the body faces +x, y is up, its right is +z.
"""

from pathlib import Path

import numpy as np

from motions.errors import InputError
from motions.formats.captured import captured_motion, unit_quats
from motions.formats.text import read_json
from motions.formats.units import RawAnimation
from motions.formats.values import choose_fps, finite_numbers, whole_rate
from motions.rotations import quat_from_axis_angle, slerp
from motions.skeleton import Skeleton, SkeletonMotion

TO_OURS = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # x, y, z = file x, -z, y

_SIDES = (("right", 1.0), ("left", -1.0))
COLUMNS = {"chest": 4, "neck": 4} | {
    f"{side}_{joint}": width
    for side, _ in _SIDES
    for joint, width in (("hip", 4), ("knee", 1), ("ankle", 4), ("shoulder", 4), ("elbow", 1))
}
WIDTH = 8 + sum(COLUMNS.values())

# The body: joint, its parent, its place in the parent's frame [m, file axes]. Of the published humanoid3d; the head is
# the centre of its sphere, the toe the lower front edge of its foot box.
_TREE: dict[str, tuple[str, tuple[float, float, float]]] = {
    "root": ("", (0.0, 0.0, 0.0)),
    "chest": ("root", (0.0, 0.236151, 0.0)),
    "neck": ("chest", (0.0, 0.223894, 0.0)),
    "head": ("neck", (0.0, 0.175, 0.0)),
} | {
    f"{side}_{joint}": (parent.format(side=side), (x, y, right * z))
    for side, right in _SIDES
    for joint, parent, (x, y, z) in (
        ("hip", "root", (0.0, 0.0, 0.084887)),
        ("knee", "{side}_hip", (0.0, -0.421546, 0.0)),
        ("ankle", "{side}_knee", (0.0, -0.40987, 0.0)),
        ("toe_end", "{side}_ankle", (0.1335, -0.05, 0.0)),
        ("shoulder", "chest", (-0.02405, 0.2435, 0.18311)),
        ("elbow", "{side}_shoulder", (0.0, -0.274788, 0.0)),
        ("wrist", "{side}_elbow", (0.0, -0.258947, 0.0)),
    )
}
SIDEWAYS = np.array([0.0, 0.0, 1.0])  # the axis of knees and elbows, file axes
SAME_DURATION = 1e-3  # rows whose durations agree to this part of the median are of one rate


def read_deepmimic(path: str | Path, fps: float | None = None, scale: float | None = None) -> SkeletonMotion:
    """Read a clip; rows of unequal duration are resampled to one rate, and `notes` say so.

    `fps` [Hz] replaces the durations; `scale` enlarges the body. Raises `InputError` for text that is no such JSON,
    rows of another width (other bodies), or values that are not finite.
    """
    path = Path(path)
    clip = read_json(path)
    rows = _rows(clip, path)
    notes = ["the body is DeepMimic's humanoid3d, which the file does not describe: 0.83 m legs"]
    local_quat = unit_quats(_rotations(rows), path, notes)
    root_pos, said = rows[:, 1:4], None
    if fps is None:
        root_pos, local_quat, said = _to_one_rate(rows[:, 0], root_pos, local_quat, path, notes)
    fps = choose_fps(path, fps, said, notes)
    if clip.get("Loop") == "wrap":
        notes.append("the file says that the clip loops; it is read once, as it stands: more by --cycles")
    names = tuple(_TREE)
    skeleton = Skeleton(
        names,
        tuple(names.index(parent) if parent else -1 for parent, _ in _TREE.values()),
        np.array([offset for _, offset in _TREE.values()]),
        tuple(name for name in names if name.endswith("_end")),
    )
    raw = RawAnimation(skeleton, root_pos, local_quat, None)
    return captured_motion(path, raw, TO_OURS, 1.0 if scale is None else scale, fps, notes)


def _rows(clip: dict, path: Path) -> np.ndarray:
    """(F, WIDTH) finite values."""
    frames = clip.get("Frames")
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{path}: no list of 'Frames', expected DeepMimic's {{Loop, Frames}}; it holds {', '.join(clip)}")
    for i, row in enumerate(frames):
        if not isinstance(row, list) or len(row) != WIDTH:
            has = f"{len(row)} values" if isinstance(row, list) else f"a {type(row).__name__}"
            raise InputError(
                f"{path}: frame {i} is {has}, expected {WIDTH}: duration, 3 position, 4 quaternion, and "
                f"{WIDTH - 8} of {', '.join(COLUMNS)}"
            )
    return finite_numbers(frames, (None, WIDTH), path, "Frames")


def _rotations(rows: np.ndarray) -> np.ndarray:
    """Local rotations (F, J, 4), file axes; joints without columns stay at rest."""
    names = list(_TREE)
    quat = np.zeros((len(rows), len(names), 4))
    quat[..., 0] = 1.0
    quat[:, 0] = rows[:, 4:8]
    first = 8
    for name, width in COLUMNS.items():
        values = rows[:, first : first + width]
        quat[:, names.index(name)] = values if width == 4 else quat_from_axis_angle(SIDEWAYS, values[:, 0])
        first += width
    return quat


def _to_one_rate(
    duration_s: np.ndarray, root_pos: np.ndarray, local_quat: np.ndarray, path: Path, notes: list[str]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Positions, rotations and their one rate [Hz]. A row lasts until the next; the last row's duration means nothing."""
    steps = duration_s[:-1]
    if len(steps) and steps.min() <= 0:
        raise InputError(f"{path}: frame {int(np.argmin(steps))} lasts {steps.min():g} s, expected a duration above 0")
    if not len(steps):
        return root_pos, local_quat, 1.0  # one frame: refused later, for what it is
    usual = float(np.median(steps))
    if np.abs(steps - usual).max() <= SAME_DURATION * usual:
        return root_pos, local_quat, 1.0 / usual
    fps = whole_rate(1.0 / usual)
    time = np.concatenate([[0.0], np.cumsum(steps)])
    at = np.arange(int(np.floor(time[-1] * fps + 1e-6)) + 1) / fps
    notes.append(
        f"frames last from {steps.min():.4g} to {steps.max():.4g} s; resampled to {fps:g} frames per second "
        f"({len(time)} frames became {len(at)})"
    )
    before = np.clip(np.searchsorted(time, at, side="right") - 1, 0, len(steps) - 1)
    part = np.clip((at - time[before]) / steps[before], 0.0, 1.0)
    pos = root_pos[before] + part[:, None] * (root_pos[before + 1] - root_pos[before])
    share = np.broadcast_to(part[:, None], local_quat[before].shape[:2])
    return pos, slerp(local_quat[before], local_quat[before + 1], share), fps
