"""Reading motion files of any known format, told apart by their suffix and content."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from motions.errors import InputError
from motions.formats.amass import read_amass
from motions.formats.asf_amc import read_amc
from motions.formats.bvh import read_bvh
from motions.formats.c3d import read_c3d
from motions.formats.csv import read_csv
from motions.formats.deepmimic import read_deepmimic
from motions.formats.fbx import read_fbx
from motions.formats.gltf import read_gltf
from motions.formats.isaac_amp import read_isaac_amp
from motions.formats.laikago import COLUMNS as LAIKAGO_COLUMNS
from motions.formats.laikago import read_laikago
from motions.formats.loco_mujoco import read_loco_mujoco
from motions.formats.mujoco_keyframes import holds_qpos, read_keyframe_points, read_keyframes
from motions.formats.pickles import read_object_npy
from motions.formats.poselib import is_poselib, read_poselib
from motions.formats.positions import is_object_npy, read_positions, skeleton_from_positions
from motions.formats.result import ReadResult, match_joints, require_si
from motions.formats.robot_pickles import read_robot_pickle
from motions.formats.text import check_file, read_json
from motions.formats.units import given_scale_note
from motions.formats.whole_body_tracking import read_wbt
from motions.motion import load_motion, npz_keys
from motions.skeleton import SkeletonMotion

if TYPE_CHECKING:
    from motions.kinematics import Body


class Asked(NamedTuple):
    """What the user said beyond the file's name; see `read_motion_file`."""

    robot: "Body | None" = None
    quat_order: str | None = None
    fps: float | None = None
    skeleton: str | Path | None = None
    scale: float | None = None
    clip: str | None = None


class Format(NamedTuple):
    """One kind of file: what it holds, in a few words, and its reader."""

    holds: str
    read: Callable[[Path, Asked], ReadResult]


def _captured(motion: SkeletonMotion) -> ReadResult:
    return ReadResult(motion, motion.notes)


def _read_own(path: Path, asked: Asked) -> ReadResult:
    motion, notes = load_motion(path), ()
    if asked.fps is not None and asked.fps != motion.fps:
        notes = (f"{asked.fps:g} frames per second as given (the file says {motion.fps:g})",)
        motion = replace(motion, fps=asked.fps)
    return ReadResult(motion, notes)


def _read_amass(path: Path, asked: Asked) -> ReadResult:
    return _captured(read_amass(path, fps=asked.fps, model=asked.skeleton, scale=asked.scale))


# npz files are told apart by what they hold: the first kind whose keys are all there reads it.
NPZ_KINDS: dict[tuple[str, ...], Format] = {
    ("qpos", "joint_names"): Format("ours", _read_own),
    ("joint_pos", "body_pos_w"): Format("whole_body_tracking's", lambda path, asked: read_wbt(path, asked.robot, asked.fps)),
    ("dof_names", "body_names"): Format("Isaac Lab's AMP", lambda path, asked: read_isaac_amp(path, asked.robot, asked.fps)),
    **{
        (f"q_{root}_tx", f"q_{root}_tilt"): Format(
            "loco-mujoco's", lambda path, asked: read_loco_mujoco(path, asked.robot, asked.fps, asked.clip)
        )
        for root in ("pelvis", "trunk")
    },
    ("trans", "poses"): Format("AMASS's", _read_amass),
    ("trans", "root_orient", "pose_body"): Format("AMASS's, split,", _read_amass),
}


def _read_npz(path: Path, asked: Asked) -> ReadResult:
    keys = npz_keys(path)
    for needed, kind in NPZ_KINDS.items():
        if keys >= set(needed):
            return kind.read(path, asked)
    kinds = "; ".join(f"{kind.holds} has {', '.join(needed)}" for needed, kind in NPZ_KINDS.items())
    raise InputError(f"{path}: an npz of no kind we read. {kinds}. This holds {', '.join(sorted(keys)) or 'nothing'}")


def _read_npy(path: Path, asked: Asked) -> ReadResult:
    if not is_object_npy(path):
        return _captured(read_positions(path, fps=asked.fps, names=asked.skeleton, scale=asked.scale))
    if is_poselib(read_object_npy(path)):
        return _captured(read_poselib(path, fps=asked.fps, scale=asked.scale))
    return _read_pickle(path, asked)


def _read_pickle(path: Path, asked: Asked) -> ReadResult:
    return read_robot_pickle(path, asked.robot, asked.fps, asked.clip, asked.quat_order)


def _read_frames(path: Path, asked: Asked) -> ReadResult:
    frames = read_json(path).get("Frames")
    if isinstance(frames, list) and any(isinstance(row, list) and len(row) == LAIKAGO_COLUMNS for row in frames[:1]):
        return _captured(read_laikago(path, asked.fps))
    return _captured(read_deepmimic(path, fps=asked.fps, scale=asked.scale))


def _read_keys(path: Path, asked: Asked) -> ReadResult:
    if holds_qpos(path):
        return read_keyframes(path, asked.robot, asked.fps)
    points = read_keyframe_points(path, asked.fps)
    notes = list(points.notes)
    found = skeleton_from_positions(path, points.positions, list(points.point_names), None, points.fps, 1.0, notes)
    return _captured(found)


FORMATS: dict[str, Format] = {
    ".bvh": Format("a captured skeleton", lambda path, asked: _captured(read_bvh(path, scale=asked.scale, fps=asked.fps))),
    ".amc": Format(
        "captured, with its ASF skeleton",
        lambda path, asked: _captured(read_amc(path, asf=asked.skeleton, scale=asked.scale, fps=asked.fps)),
    ),
    ".csv": Format(
        "root pose and joints of a robot", lambda path, asked: read_csv(path, asked.robot, asked.quat_order, asked.fps)
    ),
    **dict.fromkeys((".txt", ".json"), Format("DeepMimic's or Laikago's frames", _read_frames)),
    ".c3d": Format(
        "named points", lambda path, asked: _captured(read_c3d(path, fps=asked.fps, names=asked.skeleton, scale=asked.scale))
    ),
    ".fbx": Format("binary, an animated skeleton", lambda path, asked: _captured(read_fbx(path, asked.fps, asked.scale))),
    **dict.fromkeys(
        (".glb", ".gltf"),
        Format("an animated skeleton", lambda path, asked: _captured(read_gltf(path, fps=asked.fps, scale=asked.scale))),
    ),
    ".pkl": Format("GMR's, TWIST's, PBHC's, ASAP's, PHUMA's or MimicKit's", _read_pickle),
    ".npy": Format("poselib's motions, PHUMA's, or joint positions", _read_npy),
    ".xml": Format("MuJoCo keyframes", _read_keys),
    ".npz": Format(f"{', or '.join(dict.fromkeys(kind.holds for kind in NPZ_KINDS.values()))}", _read_npz),
}


def read_motion_file(
    path: str | Path,
    *,
    robot: "Body | None" = None,
    quat_order: str | None = None,
    fps: float | None = None,
    skeleton: str | Path | None = None,
    scale: float | None = None,
    clip: str | None = None,
) -> ReadResult:
    """Read a motion file of any known format, chosen by its suffix and content.

    robot: the robot whose motion a file without names holds; a file with names must fit it. quat_order: "wxyz" or
    "xyzw" of a CSV. fps [Hz]: overrules the file. skeleton: the ASF of an AMC, the body model
    of an AMASS file, the joint names of positions. scale [m per unit]: overrules a recognised unit.
    clip: which one of a file that holds several.
    Raises `InputError` naming the file and what was expected.
    """
    path = check_file(path)
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise InputError(f"{path}: fps is {fps}, expected a number above 0")
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        raise InputError(f"{path}: scale is {scale}, expected metres per unit above 0")
    suffix = path.suffix.lower()
    if suffix == ".asf":
        raise InputError(f"{path}: an ASF file holds a skeleton but no motion; give the .amc file")
    if suffix not in FORMATS:
        known = ", ".join(f"{key} ({kind.holds})" for key, kind in FORMATS.items())
        said = f"unknown suffix {suffix!r}" if suffix else "a name without suffix"
        raise InputError(f"{path}: {said}. Known motion files: {known}")
    result = FORMATS[suffix].read(path, Asked(robot, quat_order, fps, skeleton, scale, clip))
    if isinstance(result.motion, SkeletonMotion):
        return ReadResult(result.motion, (*result.notes, *(given_scale_note(result.motion, scale) if scale else ())))
    if robot is None:
        return result
    motion, notes = match_joints(result.motion, robot)
    require_si(path, motion, robot)
    return ReadResult(motion, (*result.notes, *notes))
