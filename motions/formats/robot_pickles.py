"""Pickled robots' motions: GMR and TWIST, PBHC and ASAP, PHUMA (also as `.npy`), MimicKit.

All hold a root position [m], a root rotation and one column per joint [rad], under names of their own; quaternions
are **xyzw** in all of them, z is up. MimicKit's rows are root xyz, root rotation vector, then the joints depth
first, three columns of rotation vector for a body with three hinges. Rows hold no joint names, except where a file
adds `joint_names` or `dof_names`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from motions.errors import InputError
from motions.formats.pickles import read_object_npy, read_pickle
from motions.formats.result import ReadResult
from motions.formats.robot_frames import (
    as_quat,
    assign_columns,
    ball_to_hinges,
    choose_clip,
    hinges_of_bodies,
    numbers,
    rate,
    robot_motion,
    texts,
)
from motions.rotations import quat_exp

if TYPE_CHECKING:
    from motions.kinematics import Body


class Layout(NamedTuple):
    """Under which keys a family of files keeps root position, root rotation (xyzw) and joints."""

    holds: str
    root_pos: str
    root_rot: str
    joints: str


LAYOUTS = (
    Layout("PBHC's or ASAP's", "root_trans_offset", "root_rot", "dof"),
    Layout("GMR's or TWIST's", "root_pos", "root_rot", "dof_pos"),
    Layout("PHUMA's", "root_trans", "root_ori", "dof_pos"),
)
MIMICKIT = ("frames", "fps")
NAME_KEYS = ("joint_names", "dof_names")
QUAT_ORDERS = ("wxyz", "xyzw")

# The 23 joints PBHC and ASAP give Unitree's G1: all but the wrists', in the robot's own order.
SHORT_G1, WRIST = 23, "wrist"
AXIS_TOLERANCE_RAD = 1e-3


def read_robot_pickle(
    path: str | Path,
    body: "Body | None" = None,
    fps: float | None = None,
    clip: str | None = None,
    quat_order: str | None = None,
) -> ReadResult:
    """Read a `.pkl` (or `.npy` with a pickle) of any of these families as a `Motion`.

    `body` is demanded where the file has no joint names. `clip`: which of several. `quat_order` overrules xyzw.
    Raises `InputError` for an unknown layout (listing what is there), arrays that disagree, or joints not certain.
    """
    path = Path(path)
    content = read_object_npy(path) if path.suffix.lower() == ".npy" else read_pickle(path)
    name, data = _one_clip(content, clip, path)
    if quat_order is not None and quat_order not in QUAT_ORDERS:
        raise InputError(f"{path}: quaternion order {quat_order!r}, expected wxyz or xyzw")
    for layout in LAYOUTS:
        if data.keys() >= set(layout[1:]):
            return _read_layout(data, layout, name, body, fps, quat_order or "xyzw", path)
    return _read_mimickit(data, name, body, fps, path)


def _is_motion(data: Any) -> bool:
    keys = (*(set(layout[1:]) for layout in LAYOUTS), set(MIMICKIT))
    return isinstance(data, dict) and any(data.keys() >= needed for needed in keys)


def _one_clip(content: Any, clip: str | None, path: Path) -> tuple[str, Mapping[str, Any]]:
    """The clip's name and fields. Files hold one clip's fields, or a dict of clips by name."""
    if _is_motion(content):
        if clip is not None:
            choose_clip([path.stem], clip, path)
        return path.stem, content
    clips = {str(k): v for k, v in content.items() if _is_motion(v)} if isinstance(content, dict) else {}
    if clips:
        name = choose_clip(clips, clip, path)
        return name, clips[name]
    kinds = "; ".join(f"{layout.holds} has {', '.join(layout[1:])}" for layout in LAYOUTS)
    kinds = f"{kinds}; MimicKit's has {', '.join(MIMICKIT)}"
    held = ", ".join(str(k)[:40] for k in list(content)[:20]) if isinstance(content, dict) else f"a {type(content).__name__}"
    raise InputError(f"{path}: a pickle of no kind we read. {kinds}. This holds {held or 'nothing'}")


def _read_layout(
    data: Mapping[str, Any], layout: Layout, name: str, body: "Body | None", fps: float | None, quat_order: str, path: Path
) -> ReadResult:
    notes: list[str] = []
    if quat_order != "xyzw":
        notes.append(f"quaternion taken as {quat_order}, as given ({layout.holds} files are xyzw)")
    joints = data[layout.joints]
    if isinstance(joints, np.ndarray) and joints.ndim == 3 and joints.shape[2] == 1:
        joints = joints[..., 0]  # some of PBHC's tools keep an axis of one degree of freedom per joint
    joints = numbers({layout.joints: joints}, layout.joints, (None, None), path)
    named = _joint_names(data, path)
    if named is None and body is not None:
        _check_axes(data, joints, body, path)
        joints = _without_wrists(data, joints, body, notes)
    joints, joint_names = assign_columns(joints, named, body, path)
    return robot_motion(
        path,
        notes,
        body,
        name=name,
        fps=rate(data, "fps", fps, notes, path),
        root_pos=numbers(data, layout.root_pos, (None, 3), path),
        root_quat=as_quat(numbers(data, layout.root_rot, (None, 4), path), quat_order),
        joints=joints,
        joint_names=joint_names,
    )


def _columns(body: "Body", count: int) -> list[int] | None:
    """Indices of the joints that `count` columns stand for: all of them, or all but the wrists of 29."""
    names = body.joint_names
    arms = [i for i, joint in enumerate(names) if WRIST not in joint]
    if count == len(names):
        return list(range(count))
    return arms if count == SHORT_G1 == len(arms) else None


def _check_axes(data: Mapping[str, Any], joints: np.ndarray, body: "Body", path: Path) -> None:
    """`pose_aa` holds each joint's angle times its axis: it tells for certain whether the columns are the robot's joints."""
    columns = _columns(body, joints.shape[1])
    pose = data.get("pose_aa")
    if columns is None or not isinstance(pose, np.ndarray) or pose.ndim != 3 or pose.dtype.kind != "f":
        return
    if pose.shape[0] != len(joints) or pose.shape[1] < 1 + len(columns) or pose.shape[2] != 3:
        return
    axes = body.model.jnt_axis[[1 + i for i in columns]]
    error = np.abs(pose[:, 1 : 1 + len(columns)] - joints[..., None] * axes).max(axis=(0, 2))  # [J]
    worst = int(np.argmax(error))
    if not error[worst] < AXIS_TOLERANCE_RAD:
        raise InputError(
            f"{path}: its pose_aa turns column {worst + 1} about another axis than {body.joint_names[columns[worst]]!r} of robot "
            f"{body.name!r} (off by {error[worst]:.2g} rad). Was it made for another robot?"
        )


def _joint_names(data: Mapping[str, Any], path: Path) -> tuple[str, ...] | None:
    """The file's own names of its joints, under the first key that has any."""
    return next((texts(data, key, path) for key in NAME_KEYS if data.get(key) is not None), None)


def _without_wrists(data: Mapping[str, Any], joints: np.ndarray, body: "Body", notes: list[str]) -> np.ndarray:
    """Columns of a file without wrists spread over the robot's; certain only where `pose_aa` has confirmed them."""
    columns = _columns(body, joints.shape[1])
    if columns is None or len(columns) == len(body.joint_names) or data.get("pose_aa") is None:
        return joints
    full = np.zeros((len(joints), len(body.joint_names)))
    full[:, columns] = joints
    missing = [joint for i, joint in enumerate(body.joint_names) if i not in columns]
    notes.append(f"the file has {len(columns)} joints of {len(body.joint_names)}: {', '.join(missing)} stay at 0")
    return full


def _read_mimickit(data: Mapping[str, Any], name: str, body: "Body | None", fps: float | None, path: Path) -> ReadResult:
    notes: list[str] = []
    frames = numbers(data, "frames", (None, None), path)
    if frames.shape[1] < 7:
        raise InputError(f"{path}: frames of {frames.shape[1]} values, expected root xyz, root rotation vector, joints")
    joints = frames[:, 6:]
    named = _joint_names(data, path)
    joints, joint_names = assign_columns(joints, named, body, path)
    if named is None and body is not None:
        joints = _from_rotation_vectors(joints, body, notes, path)
    loop = data.get("loop_mode", 0)
    return robot_motion(
        path,
        notes,
        body,
        name=name,
        fps=rate(data, "fps", fps, notes, path),
        root_pos=frames[:, :3],
        root_quat=quat_exp(frames[:, 3:6]),
        joints=joints,
        joint_names=joint_names,
        loop=getattr(loop, "value", loop) == 1,
    )


def _from_rotation_vectors(joints: np.ndarray, body: "Body", notes: list[str], path: Path) -> np.ndarray:
    """Angles of the hinges, where three of one body stand for a ball joint given as a rotation vector."""
    joints, turned = joints.copy(), []
    for hinges in hinges_of_bodies(body):
        if len(hinges) == 2:
            raise InputError(
                f"{path}: body of {body.joint_names[hinges[0]]!r} has two hinges, which MimicKit's files have no columns for"
            )
        if len(hinges) == 3:
            joints[:, hinges] = ball_to_hinges(quat_exp(joints[:, hinges]), body, hinges, path)
            turned.append(body.joint_names[hinges[0]])
    if turned:
        notes.append(f"rotation vectors of {len(turned)} bodies with three hinges turned into their angles")
    return joints
