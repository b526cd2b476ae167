"""Readers and writers, one file per format; conventions are converted here and nowhere else.

`read_motion_file` reads any of them: a robot's motion (`Motion`) or a captured body's (`SkeletonMotion`).
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from motions.errors import InputError
from motions.formats.asf_amc import read_amc
from motions.formats.bvh import read_bvh, write_bvh
from motions.formats.csv import read_csv, write_csv
from motions.formats.result import ReadResult, match_joints
from motions.formats.text import check_file
from motions.formats.whole_body_tracking import read_wbt, write_wbt
from motions.motion import Motion, load_motion, read_npz

if TYPE_CHECKING:
    from motions.kinematics import Body

__all__ = [
    "FORMATS",
    "ReadResult",
    "match_joints",
    "read_amc",
    "read_bvh",
    "read_csv",
    "read_motion_file",
    "read_wbt",
    "write_bvh",
    "write_csv",
    "write_wbt",
]

FORMATS = {
    ".bvh": "BVH, a captured skeleton",
    ".amc": "AMC with its ASF skeleton",
    ".csv": "root pose and joints of a robot",
    ".npz": "our own motion, or whole_body_tracking's",
}


def read_motion_file(
    path: str | Path,
    *,
    robot: "Body | None" = None,
    quat_order: str | None = None,
    fps: float | None = None,
    skeleton: str | Path | None = None,
    scale: float | None = None,
) -> ReadResult:
    """Read a motion file of any known format, chosen by its suffix and content.

    robot: the robot whose motion a file without names holds; a file with names must fit it. quat_order: "wxyz" or
    "xyzw" of a CSV. fps [Hz]: overrules the file. skeleton: the ASF of an AMC. scale [m per unit]: overrules the
    recognised unit of a BVH or AMC. Raises `InputError` naming the file and what was expected.
    """
    path = check_file(path)
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise InputError(f"{path}: fps is {fps}, expected a number above 0")
    if scale is not None and not (np.isfinite(scale) and scale > 0):
        raise InputError(f"{path}: scale is {scale}, expected metres per unit above 0")
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        captured = read_bvh(path, scale=scale, fps=fps)
        return ReadResult(captured, captured.notes)
    if suffix == ".amc":
        captured = read_amc(path, asf=skeleton, scale=scale, fps=fps)
        return ReadResult(captured, captured.notes)
    if suffix == ".asf":
        raise InputError(f"{path}: an ASF file holds a skeleton but no motion; give the .amc file")
    if suffix == ".csv":
        return read_csv(path, robot, quat_order, fps)
    if suffix == ".npz":
        return _read_npz_motion(path, robot, fps)
    known = ", ".join(f"{key} ({what})" for key, what in FORMATS.items())
    raise InputError(
        f"{path}: {f'unknown suffix {suffix!r}' if suffix else 'a name without suffix'}. Known motion files: {known}"
    )


def _read_npz_motion(path: Path, robot: "Body | None", fps: float | None) -> ReadResult:
    keys = read_npz(path).keys()
    if "qpos" in keys:
        motion, notes = load_motion(path), ()
        if fps is not None and fps != motion.fps:
            notes = (f"{fps:g} frames per second as given (the file says {motion.fps:g})",)
            motion = replace(motion, fps=fps)
        result = ReadResult(motion, notes)
    elif "joint_pos" in keys:
        result = read_wbt(path, robot, fps)
    else:
        raise InputError(
            f"{path}: an npz of neither kind we read: ours has qpos and joint_names, whole_body_tracking's has joint_pos "
            f"and body_pos_w; this holds {', '.join(sorted(keys)) or 'nothing'}"
        )
    if robot is None or not isinstance(result.motion, Motion):
        return result
    motion, notes = match_joints(result.motion, robot)
    return ReadResult(motion, (*result.notes, *notes))
