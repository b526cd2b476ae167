"""loco-mujoco's npz: one array per joint, `q_<joint>` [rad or m] and `dq_<joint>`; several clips behind each other.

The root is three slides and three hinges, applied in the order of the file. A pelvis has the axes of a
musculoskeletal model (`ty` is up, `tz` to the left, `tilt` bends backwards), a trunk has MuJoCo's. Slides count from
where the root body sits in the set's own model, and nothing in the file says where or at what rate: the height
comes from a table of those models, the rate from the velocities.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from motions.errors import InputError
from motions.formats.result import ReadResult
from motions.formats.robot_frames import choose_clip, numbers, robot_motion
from motions.motion import read_npz
from motions.rotations import quat_from_axis_angle, quat_mul

if TYPE_CHECKING:
    from motions.kinematics import Body

SLIDES = {"pelvis": {"tx": 0, "tz": 1, "ty": 2}, "trunk": {"tx": 0, "ty": 1, "tz": 2}}
HINGES = {
    "pelvis": {"tilt": (0.0, -1.0, 0.0), "list": (1.0, 0.0, 0.0), "rotation": (0.0, 0.0, 1.0)},
    "trunk": {"rotation": (0.0, 0.0, 1.0), "list": (1.0, 0.0, 0.0), "tilt": (0.0, 1.0, 0.0)},
}
# Height of the root body in the set's own models [m], by a joint that only this model has.
REST_HEIGHT_M = {"left_elbow_pitch_joint": 0.755, "back_bkz": 1.045, "FR_calf_joint": 0.43}
# The set's H1 has other names for Unitree's joints, about the same axes.
H1_NAMES = {
    "back_bkz": "torso",
    **{
        f"{theirs}_{side[0]}": f"{side}_{ours}"
        for side in ("left", "right")
        for theirs, ours in (
            ("hip_rotation", "hip_yaw"),
            ("hip_adduction", "hip_roll"),
            ("hip_flexion", "hip_pitch"),
            ("knee_angle", "knee"),
            ("ankle_angle", "ankle"),
        )
    },
    **{
        f"{side[0]}_arm_sh{axis}": f"{side}_shoulder_{turn}"
        for side in ("left", "right")
        for axis, turn in (("y", "pitch"), ("x", "roll"), ("z", "yaw"))
    },
}
RATES = (25.0, 30.0, 50.0, 60.0, 100.0, 120.0, 200.0, 250.0, 500.0, 1000.0)  # [Hz]
RATE_TOLERANCE = 0.04
SPLITS = "split_points"


def read_loco_mujoco(
    path: str | Path, body: "Body | None" = None, fps: float | None = None, clip: str | None = None
) -> ReadResult:
    """Read such an npz as a `Motion` of `body`, which is demanded; `clip` "1", "2", ... where it holds several.

    Raises `InputError` if a joint of the robot is not in the file, or the velocities fit no rate.
    """
    path, notes = Path(path), []
    data = read_npz(path)
    if body is None:
        raise InputError(f"{path}: root heights count from the robot's model; give the robot it was made for")
    names = [key[2:] for key in data if key.startswith("q_")]
    root = next((r for r in SLIDES if {f"{r}_{part}" for part in (*SLIDES[r], *HINGES[r])} <= set(names)), None)
    if root is None:
        raise InputError(f"{path}: lacks root slides and hinges, expected q_pelvis_tx ... q_pelvis_rotation, or q_trunk_...")
    frames = len(numbers(data, f"q_{root}_tx", (None,), path))
    q = {name: numbers(data, f"q_{name}", (frames,), path) for name in names}
    part, name = _part(data, frames, clip, path)
    fps = fps if fps is not None else _rate(data, q, part, notes, path)
    q = {key: values[part] for key, values in q.items()}
    ours = _renamed(q, root, body, path, notes)
    position = np.stack([q[f"{root}_{s}"] for s, _ in sorted(SLIDES[root].items(), key=lambda item: item[1])], axis=1)
    rest = next((height for joint, height in REST_HEIGHT_M.items() if joint in q), None)
    if rest is None:
        rest = float(body.model.qpos0[2])
        notes.append(f"heights taken to count from the root of robot {body.name!r} at rest, {rest:.3f} m")
    position[:, 2] += rest
    quat = np.broadcast_to(np.array([1.0, 0.0, 0.0, 0.0]), (len(position), 4))
    for key in (key for key in q if key.removeprefix(f"{root}_") in HINGES[root] and key.startswith(root)):
        axis = np.array(HINGES[root][key.removeprefix(f"{root}_")])
        quat = quat_mul(quat, quat_from_axis_angle(axis, q[key]))
    return robot_motion(
        path, notes, body, name=name, fps=fps, root_pos=position, root_quat=quat,
        joints=np.stack([ours[joint] for joint in body.joint_names], axis=1), joint_names=body.joint_names,
    )  # fmt: skip


def _part(data: dict[str, np.ndarray], frames: int, clip: str | None, path: Path) -> tuple[slice, str]:
    """The frames of the clip asked for, and its name."""
    points = numbers(data, SPLITS, (None,), path).astype(int).tolist() if SPLITS in data else [0, frames]
    if len(points) < 2 or points[0] != 0 or points[-1] != frames or sorted(set(points)) != points:
        raise InputError(f"{path}: {SPLITS} {points[:10]} do not divide {frames} frames")
    if len(points) == 2 and clip is None:
        return slice(0, frames), path.stem
    number = int(choose_clip([str(i) for i in range(1, len(points))], clip, path))
    return slice(points[number - 1], points[number]), f"{path.stem}_{number}"


def _rate(data: dict[str, np.ndarray], q: dict[str, np.ndarray], part: slice, notes: list[str], path: Path) -> float:
    """Frames per second from dq = fps * dq/dframe, the median over what moves."""
    found = []
    for name, values in q.items():
        step = (values[part][2:] - values[part][:-2]) / 2.0
        if f"dq_{name}" in data and np.sum(step**2) > 1e-8:
            velocity = numbers(data, f"dq_{name}", (len(values),), path)[part][1:-1]
            found.append(float(np.sum(velocity * step) / np.sum(step**2)))
    middle = float(np.median(found)) if found else 0.0
    nearest = min(RATES, key=lambda known: abs(known - middle))
    if abs(nearest - middle) > RATE_TOLERANCE * nearest:
        raise InputError(
            f"{path}: does not say its rate, and its velocities fit none ({middle:.1f} Hz); give the frames per second"
        )
    notes.append(f"{nearest:g} frames per second, told by the file's velocities ({middle:.1f} Hz)")
    return nearest


def _renamed(q: dict[str, np.ndarray], root: str, body: "Body", path: Path, notes: list[str]) -> dict[str, np.ndarray]:
    """The file's joints under the robot's names. Joints the robot lacks are left out with a note."""
    known = set(body.joint_names)
    joints = {}
    for name, values in q.items():
        theirs = H1_NAMES.get(name, name)
        # Robots' files differ in whether a joint's name ends in _joint.
        joints[next((n for n in (name, theirs, f"{theirs}_joint") if n in known), name)] = values
    missing = [name for name in body.joint_names if name not in joints]
    if missing:
        held = ", ".join(name for name in joints if not name.startswith(f"{root}_"))
        raise InputError(f"{path}: does not fit robot {body.name!r}: no column for {', '.join(missing[:4])}. It has {held}")
    extra = [name for name in joints if name not in known and not name.startswith(f"{root}_")]
    moving = [name for name in extra if np.ptp(joints[name]) > 0]
    if moving:
        notes.append(f"robot {body.name!r} lacks {', '.join(moving)}: left out, though they move in the file")
    return joints
