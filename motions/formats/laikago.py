"""Laikago's JSON frames, as the imitation of animals on quadrupeds uses them: 19 values, z up, metres.

Root xyz, root quaternion **xyzw** of a base whose own axes are x left, y up, z ahead (so standing is .5 .5 .5 .5), then
hip, upper leg and lower leg [rad] of the front right, front left, rear right and rear left leg. The angles mean
something only with Laikago's own geometry, so the result is a captured skeleton of that shape, to be retargeted.
"""

from pathlib import Path

import numpy as np

from motions.errors import InputError
from motions.formats.robot_frames import as_quat, numbers
from motions.formats.text import read_json
from motions.motion import MIN_FRAMES
from motions.rotations import quat_conj, quat_from_axis_angle, quat_mul, quat_normalize, quat_unroll
from motions.skeleton import Skeleton, SkeletonMotion

COLUMNS = 19
LEGS = ("FR", "FL", "RR", "RL")
# Of Laikago's URDF, turned to x ahead, y left, z up [m]. An angle of zero is not a straight leg: the thigh slants back.
HIP_X = {"F": 0.242889, "R": -0.194401}
HIP_Y, UPPER_Y = 0.0817145, {"R": -0.053565, "L": 0.055855}
LOWER, TOE = (-0.1422, -0.02069, -0.20833), (-0.022, 0.0, -0.25)  # of a left leg
STANDING = np.array([0.5, 0.5, 0.5, 0.5])


def laikago_skeleton() -> Skeleton:
    """The chassis and four legs of hip, upper leg, lower leg and toe."""
    names, parents, offsets = ["chassis"], [-1], [(0.0, 0.0, 0.0)]
    for leg in LEGS:
        side = 1.0 if leg[1] == "L" else -1.0
        first = len(names)
        names += [f"{leg}_hip_motor", f"{leg}_upper_leg", f"{leg}_lower_leg", f"{leg}_toe"]
        parents += [0, first, first + 1, first + 2]
        offsets += [(HIP_X[leg[0]], side * HIP_Y, 0.0), (0.0, UPPER_Y[leg[1]], 0.0), (LOWER[0], side * LOWER[1], LOWER[2]), TOE]
    return Skeleton(tuple(names), tuple(parents), np.array(offsets), tuple(f"{leg}_toe" for leg in LEGS))


def read_laikago(path: str | Path, fps: float | None = None) -> SkeletonMotion:
    """Read such a file; `fps` [Hz] overrules its FrameDuration.

    Raises `InputError` for anything but JSON with Frames of 19 finite values and a FrameDuration.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content.get("Frames"), list):
        raise InputError(f"{path}: no Frames in it, expected JSON with Frames of {COLUMNS} values")
    widths = {len(row) if isinstance(row, list) else 0 for row in content["Frames"]}
    if widths != {COLUMNS} or len(content["Frames"]) < MIN_FRAMES:
        raise InputError(
            f"{path}: {len(content['Frames'])} Frames of {', '.join(map(str, sorted(widths))) or 'no'} values, expected "
            f"{COLUMNS} (root xyz, quaternion xyzw, 12 joints) and at least {MIN_FRAMES} frames"
        )
    frames = numbers(content, "Frames", (None, COLUMNS), path)
    notes = ["legs have Laikago's lengths, which the file does not hold"]
    if fps is None:
        duration_s = float(numbers({"FrameDuration": content.get("FrameDuration", 0.0)}, "FrameDuration", (), path))
        if duration_s <= 0:
            raise InputError(f"{path}: FrameDuration is {duration_s:g} s, expected a number above 0")
        fps = 1.0 / duration_s
    norm = np.linalg.norm(frames[:, 3:7], axis=1)
    if np.abs(norm - 1.0).max() > 1e-2:
        raise InputError(f"{path}: the root quaternion of frame {int(np.argmax(np.abs(norm - 1.0)))} is not of unit length")
    skeleton = laikago_skeleton()
    return SkeletonMotion(
        name=path.stem,
        skeleton=skeleton,
        fps=fps,
        root_pos=frames[:, :3],
        local_quat=quat_unroll(_local_quat(frames, skeleton)),
        source=path.name,
        notes=tuple(notes),
    )


def _local_quat(frames: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(F, J, 4): the chassis relative to standing, then each joint about its axis."""
    quat = np.zeros((len(frames), len(skeleton.joint_names), 4))
    quat[..., 0] = 1.0
    quat[:, 0] = quat_mul(quat_normalize(as_quat(frames[:, 3:7], "xyzw")), quat_conj(STANDING))
    for i, leg in enumerate(LEGS):
        outward = np.array([1.0 if leg[1] == "L" else -1.0, 0.0, 0.0])
        axes = (outward, np.array([0.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0]))
        for part, axis in enumerate(axes):
            quat[:, 1 + 4 * i + part] = quat_from_axis_angle(axis, frames[:, 7 + 3 * i + part])
    return quat
