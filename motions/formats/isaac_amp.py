"""Isaac Lab's AMP npz: named joints and bodies with positions, rotations **wxyz** and velocities, z up, metres.

dof_names (J), dof_positions (F, J), body_names (B), body_positions (F, B, 3), body_rotations (F, B, 4), fps. A ball
joint's three columns are a rotation vector in files made from poselib, and hinge angles in files made from a hinge
robot; the body rotations tell which. The file does not say how its bodies are connected.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from motions.errors import InputError
from motions.formats.result import ReadResult
from motions.formats.robot_frames import ball_to_hinges, hinges_of_bodies, numbers, rate, robot_motion, texts
from motions.motion import read_npz
from motions.rotations import quat_angle, quat_conj, quat_exp, quat_mul, quat_normalize, quat_rotate_inv, quat_unroll
from motions.skeleton import Skeleton, SkeletonMotion

if TYPE_CHECKING:
    from motions.kinematics import Body

KEYS = ("dof_names", "dof_positions", "body_names", "body_positions", "body_rotations")
SAME_TURN_RAD = np.deg2rad(2.0)  # the robot's and the file's body rotations agree within this
RIGID_M = 1e-3  # a bone whose length or direction changes by more gets its offset frame by frame
TREE_FRAMES = 64  # enough to see which body carries which


def read_isaac_amp(path: str | Path, body: "Body | None" = None, fps: float | None = None) -> ReadResult:
    """Read such an npz: as a `Motion` if `body` has these joints and turns them alike, else as a `SkeletonMotion`.

    Raises `InputError` if arrays are missing or disagree.
    """
    path, notes = Path(path), []
    data = read_npz(path)
    missing = [key for key in KEYS if key not in data]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; an AMP npz has {', '.join(KEYS)}")
    joint_names, body_names = texts(data, "dof_names", path), texts(data, "body_names", path)
    pos = numbers(data, "body_positions", (None, len(body_names), 3), path)
    quat = numbers(data, "body_rotations", (len(pos), len(body_names), 4), path)
    joints = numbers(data, "dof_positions", (len(pos), len(joint_names)), path)
    if not len(pos) or not body_names or np.abs(np.linalg.norm(quat, axis=-1) - 1.0).max() > 1e-2:
        raise InputError(f"{path}: body_rotations are no unit quaternions, or there is no frame")
    quat, fps = quat_normalize(quat), rate(data, "fps", fps, notes, path)
    if body is not None:
        angles, sentence = _robot_angles(joints, joint_names, quat, body_names, body, path)
        notes.append(sentence)
        if angles is not None:
            root = body_names.index(body.body_names[1])
            return robot_motion(
                path, notes, body, name=path.stem, fps=fps, root_pos=pos[:, root], root_quat=quat[:, root],
                joints=angles, joint_names=body.joint_names,
            )  # fmt: skip
    motion = skeleton_from_bodies(pos, quat, body_names, fps, path, notes)
    return ReadResult(motion, motion.notes)


def _robot_angles(
    joints: np.ndarray, joint_names: tuple[str, ...], quat: np.ndarray, body_names: tuple[str, ...], body: "Body", path: Path
) -> tuple[np.ndarray | None, str]:
    """The robot's angles (F, J) and how they were read; None, and why not, if the file is of another body."""
    from motions.kinematics import forward_kinematics

    if set(joint_names) != set(body.joint_names) or body.body_names[1] not in body_names:
        return None, f"the file's joints are not those of robot {body.name!r}: read as a captured skeleton"
    columns = [joint_names.index(name) for name in body.joint_names]
    readings = {"angles": joints[:, columns]}
    balls = [hinges for hinges in hinges_of_bodies(body) if len(hinges) == 3]
    if balls:
        readings["rotation vectors"] = readings["angles"].copy()
        for hinges in balls:
            vector = joints[:, sorted(columns[j] for j in hinges)]
            readings["rotation vectors"][:, hinges] = ball_to_hinges(quat_exp(vector), body, hinges, path)
    shared = [name for name in body.body_names[1:] if name in body_names]
    wanted, ids = quat[:, [body_names.index(name) for name in shared]], body.body_ids(tuple(shared))
    root = np.concatenate([np.zeros((len(quat), 3)), quat[:, body_names.index(body.body_names[1])]], axis=1)
    errors = {}
    for name, angles in readings.items():
        turned = forward_kinematics(body, np.concatenate([root, angles], axis=1))[1][:, ids]
        errors[name] = quat_angle(turned, wanted).max(axis=0)  # [shared]
    best = min(errors, key=lambda name: float(errors[name].max()))
    worst = int(np.argmax(errors[best]))
    degrees = np.rad2deg(errors[best][worst])
    if errors[best][worst] > SAME_TURN_RAD or len(shared) < 2:
        return None, (
            f"robot {body.name!r} has these joint names but turns them otherwise ({shared[worst]} off by {degrees:.0f} "
            f"degrees): read as a captured skeleton"
        )
    return readings[best], f"joint columns read as {best} (bodies turn as in the file to {degrees:.2g} degrees)"


def skeleton_from_bodies(
    pos: np.ndarray, quat: np.ndarray, names: tuple[str, ...], fps: float, path: Path, notes: list[str]
) -> SkeletonMotion:
    """A skeleton motion from world poses of bodies (F, B, 3) [m], (F, B, 4) wxyz; the first body is the root.

    A body hangs on that body in whose frame its origin moves least, so the tree is grown from the root by the
    stillest next pair. A pose in which nothing moves tells little; then the nearer body is taken.
    """
    pick = np.unique(np.linspace(0, len(pos) - 1, TREE_FRAMES).astype(int))
    count = len(names)
    # [picked, parent, child, 3]: every body's origin in every other's frame
    local = quat_rotate_inv(quat[pick][:, :, None], pos[pick][:, None] - pos[pick][:, :, None])
    moves = np.linalg.norm(local - local.mean(axis=0), axis=-1).max(axis=0)
    score = moves + 1e-3 * np.linalg.norm(local.mean(axis=0), axis=-1)
    order, parents = [0], [-1]
    while len(order) < count:
        rest = [b for b in range(count) if b not in order]
        block = score[np.ix_(order, rest)]
        parent, child = np.unravel_index(int(np.argmin(block)), block.shape)
        parents.append(int(parent))
        order.append(rest[int(child)])
    pos, quat = pos[:, order], quat[:, order]
    local_quat, local_pos = quat.copy(), np.zeros_like(pos)
    for j, parent in enumerate(parents[1:], start=1):
        local_quat[:, j] = quat_mul(quat_conj(quat[:, parent]), quat[:, j])
        local_pos[:, j] = quat_rotate_inv(quat[:, parent], pos[:, j] - pos[:, parent])
    offsets = local_pos.mean(axis=0)
    loose = float(np.linalg.norm(local_pos - offsets, axis=-1).max())
    notes.append(f"how the bodies hang together was found from their motion (bones keep their length to {1e3 * loose:.1f} mm)")
    return SkeletonMotion(
        name=path.stem,
        skeleton=Skeleton(tuple(names[b] for b in order), tuple(parents), offsets),
        fps=fps,
        root_pos=pos[:, 0],
        local_quat=quat_unroll(local_quat),
        source=path.name,
        translations=local_pos if loose > RIGID_M else None,
        notes=tuple(notes),
    )
