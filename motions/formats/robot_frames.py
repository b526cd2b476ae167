"""What the readers of robots' motions share: checked arrays, the rate, the clip asked for, columns to joints.

Names in a file win. Without them the columns are the robot's joints in its own order, if there are as many.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from motions.errors import InputError, unknown_name
from motions.formats.result import ReadResult, build_motion
from motions.formats.values import choose_fps, finite_numbers
from motions.rotations import quat_to_matrix

if TYPE_CHECKING:
    from motions.kinematics import Body

DEFAULT_FPS = 30.0  # what the files without a rate were made at
_GIMBAL = 1e-6  # cosine of a middle angle below which the outer two cannot be told apart


def numbers(data: Mapping[str, Any], key: str, shape: tuple[int | None, ...], path: Path) -> np.ndarray:
    """`data[key]` as float64; None in `shape` takes any length. Raises `InputError` for anything else."""
    return finite_numbers(data[key], shape, path, key)


def texts(data: Mapping[str, Any], key: str, path: Path) -> tuple[str, ...]:
    """`data[key]`, a list or an array of text, with no name twice."""
    value = data[key]
    items = value.reshape(-1).tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
        raise InputError(f"{path}: {key} is no list of names")
    twice = [name for i, name in enumerate(items) if name in items[:i]]
    if twice:
        raise InputError(f"{path}: {key} holds {twice[0]!r} twice")
    return tuple(items)


def rate(data: Mapping[str, Any], key: str, given: float | None, notes: list[str], path: Path) -> float:
    """Frames per second: as given, else `data[key]`, else `DEFAULT_FPS`; what overrules or is assumed joins `notes`."""
    said = data.get(key)
    if isinstance(said, np.ndarray) and said.size == 1:
        said = said.reshape(-1)[0]
    number = None if said is None else float(finite_numbers(said, (), path, key))
    return choose_fps(path, given, number, notes, assumed=DEFAULT_FPS)


def choose_clip(clips: Iterable[str], asked: str | None, path: Path) -> str:
    """The clip asked for, or the only one. Raises `InputError` listing them where that leaves a choice."""
    names = list(clips)
    if asked is not None:
        if asked not in names:
            raise InputError(f"{path}: {unknown_name('clip', asked, names)}")
        return asked
    if len(names) != 1:
        listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise InputError(f"{path}: holds {len(names)} clips, name the one to read: {listed}")
    return names[0]


def as_quat(values: np.ndarray, order: str) -> np.ndarray:
    """Quaternions (F, 4) in `order` "xyzw" or "wxyz" as wxyz."""
    return values[:, [3, 0, 1, 2]] if order == "xyzw" else values


def assign_columns(
    joints: np.ndarray, names: tuple[str, ...] | None, body: "Body | None", path: Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The columns (F, J) and their joint names: the file's if it has them, else the robot's own."""
    columns = joints.shape[1]
    if names is not None:
        if len(names) != columns:
            raise InputError(f"{path}: {len(names)} joint names for {columns} columns")
        return joints, names
    if body is None:
        raise InputError(f"{path}: holds no joint names; give the robot it was made for ({columns} joints)")
    if columns != len(body.joint_names):
        raise InputError(
            f"{path}: {columns} joints without names, but robot {body.name!r} has {len(body.joint_names)}, "
            f"and which of them these are is not certain"
        )
    return joints, body.joint_names


def robot_motion(
    path: Path, notes: list[str], body: "Body | None", *, name: str, fps: float, root_pos: np.ndarray, root_quat: np.ndarray,
    joints: np.ndarray, joint_names: tuple[str, ...], loop: bool = False,
) -> ReadResult:  # fmt: skip
    """A checked `Motion` from root positions (F, 3) [m], root quaternions (F, 4) wxyz and joints (F, J) [rad]."""
    if not len(root_pos) == len(root_quat) == len(joints):
        raise InputError(f"{path}: {len(root_pos)} root positions, {len(root_quat)} rotations, {len(joints)} rows of joints")
    motion = build_motion(
        path,
        notes,
        name=name,
        robot=body.name if body is not None else "",
        fps=fps,
        qpos=np.concatenate([root_pos, root_quat, joints], axis=1),
        joint_names=joint_names,
        loop=loop,
        source=path.name,
    )
    return ReadResult(motion, tuple(notes))


def hinges_of_bodies(body: "Body") -> list[list[int]]:
    """Indices into `joint_names` of the hinges of each jointed body, bodies in MuJoCo's depth-first order."""
    model = body.model
    owners = [int(model.jnt_bodyid[j]) for j in range(1, model.njnt)]
    return [[j for j, owner in enumerate(owners) if owner == b] for b in range(1, model.nbody) if b in owners]


def ball_to_hinges(quat: np.ndarray, body: "Body", hinges: list[int], path: Path) -> np.ndarray:
    """Angles (F, 3) [rad] of three hinges of one body that together turn it by `quat` (F, 4), relative to its rest.

    With orthogonal axes e1, e2, e3 (applied in that order) and R = R1(a) R2(b) R3(c): e1.R e3 = s sin b, where
    s = e1 x e2 . e3, and a, c follow from the other elements. b lies within +-pi/2; a and c are kept continuous.
    """
    model = body.model
    ids = [1 + j for j in hinges]
    axes = model.jnt_axis[ids]
    if np.abs(axes @ axes.T - np.eye(3)).max() > 1e-6 or np.abs(model.jnt_pos[ids] - model.jnt_pos[ids[0]]).max() > 1e-6:
        names = ", ".join(body.joint_names[j] for j in hinges)
        raise InputError(f"{path}: a ball joint of the file meets {names}, which are not three orthogonal hinges at one point")
    sign = float(np.linalg.det(axes))
    matrix = axes @ quat_to_matrix(quat) @ axes.T  # [F, 3, 3], in the frame of the axes
    middle = np.arcsin(np.clip(sign * matrix[:, 0, 2], -1.0, 1.0))
    first = np.arctan2(-sign * matrix[:, 1, 2], matrix[:, 2, 2])
    last = np.arctan2(-sign * matrix[:, 0, 1], matrix[:, 0, 0])
    locked = np.cos(middle) < _GIMBAL
    if locked.any():
        raise InputError(
            f"{path}: {body.joint_names[hinges[1]]} turns by 90 degrees in frame {int(np.argmax(locked))}: no unique angles"
        )
    angles = np.unwrap(np.stack([first, middle, last], axis=1), axis=0)
    return angles + model.qpos0[model.jnt_qposadr[ids]]
