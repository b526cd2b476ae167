"""MuJoCo keyframes as a motion: the `key` elements of an XML in their order, wxyz, z up, metres.

A file whose every key has the `qpos` of a robot is that robot's motion. MJPC's tracking clips are not: they have `mpos`,
16 points on the body in every key, and a `qpos` in the first key only, from which their task starts.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from motions.errors import InputError
from motions.formats.result import ReadResult
from motions.formats.robot_frames import DEFAULT_FPS, robot_motion
from motions.formats.text import parse_floats, read_lines

if TYPE_CHECKING:
    from motions.kinematics import Body

# MJPC's points, in the order of its task's sites.
_PAIRS = ("toe", "heel", "knee", "hand", "elbow", "shoulder", "hip")
POINTS = ("pelvis", "head", *(f"{side}_{part}" for part in _PAIRS for side in ("left", "right")))


@dataclass(frozen=True)
class KeyframePoints:
    """World positions (F, P, 3) [m] of named points."""

    name: str
    point_names: tuple[str, ...]
    positions: np.ndarray
    fps: float
    notes: tuple[str, ...]


def read_keyframes(path: str | Path, body: "Body | None" = None, fps: float | None = None) -> ReadResult:
    """Read keys that all hold the `qpos` of `body` as its `Motion`.

    Raises `InputError` if they do not; points alone are read by `read_keyframe_points`.
    """
    path = Path(path)
    keys = _keys(path)
    with_qpos = [key for key in keys if key.get("qpos")]
    if len(with_qpos) != len(keys):
        points = [key for key in keys if key.get("mpos")]
        raise InputError(
            f"{path}: {len(with_qpos)} of {len(keys)} keys have a qpos"
            + (f"; {len(points)} have mpos, points on a body, from which no joint angles are read here" if points else "")
        )
    if body is None:
        raise InputError(f"{path}: keyframes hold no joint names; give the robot they were made for")
    qpos = _rows(keys, "qpos", path)
    if qpos.shape[1] != body.model.nq:
        raise InputError(f"{path}: qpos of {qpos.shape[1]} values, but robot {body.name!r} has {body.model.nq}")
    rate, notes = _rate(keys, fps, path)
    return robot_motion(
        path, notes, body, name=path.stem, fps=rate, root_pos=qpos[:, :3], root_quat=qpos[:, 3:7],
        joints=qpos[:, 7:], joint_names=body.joint_names,
    )  # fmt: skip


def holds_qpos(path: str | Path) -> bool:
    """Whether every key has a qpos, or none has points to read instead."""
    keys = _keys(Path(path))
    return all(key.get("qpos") for key in keys) or not any(key.get("mpos") for key in keys)


def read_keyframe_points(path: str | Path, fps: float | None = None) -> KeyframePoints:
    """Read the 16 points of MJPC's tracking clips. Raises `InputError` if a key has none, or another number."""
    path = Path(path)
    keys = _keys(path)
    mpos = _rows(keys, "mpos", path)
    if mpos.shape[1] != 3 * len(POINTS):
        raise InputError(f"{path}: mpos of {mpos.shape[1]} values, expected {3 * len(POINTS)}: x y z of {', '.join(POINTS)}")
    rate, notes = _rate(keys, fps, path)
    return KeyframePoints(path.stem, POINTS, mpos.reshape(len(mpos), len(POINTS), 3), rate, tuple(notes))


def _keys(path: Path) -> list[ET.Element]:
    text = "\n".join(read_lines(path))
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(f"{path}: declares entities, which keyframes do not need: refused")
    try:
        keys = list(ET.fromstring(text).iter("key"))
    except (ET.ParseError, RecursionError) as error:
        raise InputError(f"{path}: not a readable XML file ({error})") from error
    if not keys:
        raise InputError(f"{path}: no keyframe in it (an element key)")
    return keys


def _rows(keys: list[ET.Element], attribute: str, path: Path) -> np.ndarray:
    rows = []
    for number, key in enumerate(keys, start=1):
        where = f"{path}, key {number} ({key.get('name', 'without name')}), {attribute}"
        try:
            row = np.array(key.get(attribute, "").split(), dtype=np.float64)
        except ValueError as error:
            raise InputError(f"{where}: {error}") from error
        if row.size == 0 or not np.isfinite(row).all() or (rows and row.size != rows[0].size):
            raise InputError(f"{where}: {row.size} values, expected {rows[0].size if rows else 'some'} finite numbers")
        rows.append(row)
    return np.array(rows)


def _rate(keys: list[ET.Element], fps: float | None, path: Path) -> tuple[float, list[str]]:
    """As given; else from the keys' `time` where they have one; else assumed."""
    if fps is not None:
        return fps, []
    if all(key.get("time") for key in keys) and len(keys) > 1:
        times = np.array([parse_floats([key.get("time", "")], path, i)[0] for i, key in enumerate(keys, start=1)])
        steps = np.diff(times)
        if steps.min() > 0 and np.ptp(steps) < 1e-3 * steps.mean() + 1e-6:
            return float(1.0 / steps.mean()), ["rate taken from the keys' times"]
    return DEFAULT_FPS, [f"{DEFAULT_FPS:g} frames per second assumed, the file does not say"]
