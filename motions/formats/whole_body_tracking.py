"""The npz of the whole_body_tracking family (BeyondMimic, mjlab; holosoma adds names): states of all bodies.

Keys: fps, joint_pos (F, J), joint_vel (F, J), body_pos_w (F, B, 3), body_quat_w (F, B, 4) wxyz, body_lin_vel_w,
body_ang_vel_w (F, B, 3), and in one variant joint_names, body_names. Without names the order is that of the
simulator that wrote the file: MuJoCo goes depth first, Isaac breadth first. The body positions tell which.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from motions.errors import InputError
from motions.formats.result import ReadResult, build_motion
from motions.formats.robot_frames import numbers, rate
from motions.motion import Motion, read_npz

if TYPE_CHECKING:
    from motions.kinematics import Body

REQUIRED = ("fps", "joint_pos", "body_pos_w", "body_quat_w")
ORDERS = ("mujoco", "isaac")
SAME_PLACE_M = 0.02  # a body of the robot and of the file agree within this


def read_wbt(path: str | Path, body: "Body | None" = None, fps: float | None = None) -> ReadResult:
    """Read such an npz as a `Motion`; `body` is demanded where the file holds no joint names.

    Raises `InputError` if arrays are missing or disagree, or if the file's joints are not the robot's.
    """
    path = Path(path)
    data = read_npz(path)
    missing = [key for key in REQUIRED if key not in data]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; a whole_body_tracking npz has {', '.join(REQUIRED)}")
    joint_pos, body_pos, body_quat = (numbers(data, key, (None,) * dims, path) for key, dims in zip(REQUIRED[1:], (2, 3, 3)))
    frames = len(joint_pos)
    if body_pos.shape != (frames, body_pos.shape[1], 3) or body_quat.shape != (frames, body_pos.shape[1], 4):
        raise InputError(
            f"{path}: shapes disagree: joint_pos {joint_pos.shape}, body_pos_w {body_pos.shape}, body_quat_w "
            f"{body_quat.shape}; expected (F, J), (F, B, 3), (F, B, 4)"
        )
    notes: list[str] = []
    fps = rate(data, "fps", fps, notes, path)
    if "joint_names" in data:
        if joint_pos.shape[1] == 7 + data["joint_names"].size:  # holosoma's: the whole qpos
            joint_pos = joint_pos[:, 7:]
            notes.append("the first seven columns of joint_pos are the root's and were left out")
        joint_names, root = _named(data, joint_pos, body_pos, body, path)
        root_pose = np.concatenate([body_pos[:, root], body_quat[:, root]], axis=1)
    elif body is None:
        raise InputError(f"{path}: holds no joint names; give the robot it was made for")
    else:
        joint_names = body.joint_names
        if joint_pos.shape[1] != len(joint_names):
            raise InputError(f"{path}: {joint_pos.shape[1]} joints, but robot {body.name!r} has {len(joint_names)}")
        root_pose = np.concatenate([body_pos[:, 0], body_quat[:, 0]], axis=1)
        order, sentence = _unnamed_order(root_pose, joint_pos, body_pos, body, path)
        joint_pos = joint_pos[:, order]
        notes.append(sentence)
    motion = build_motion(
        path,
        notes,
        name=path.stem,
        robot=body.name if body is not None else "",
        fps=fps,
        qpos=np.concatenate([root_pose, joint_pos], axis=1),
        joint_names=joint_names,
        source=path.name,
    )
    return ReadResult(motion, tuple(notes))


def _named(
    data: dict[str, np.ndarray], joint_pos: np.ndarray, body_pos: np.ndarray, body: "Body | None", path: Path
) -> tuple[tuple[str, ...], int]:
    """Joint names in file order and the index of the root body."""
    joint_names = tuple(str(n) for n in data["joint_names"].reshape(-1))
    if len(joint_names) != joint_pos.shape[1]:
        raise InputError(f"{path}: {len(joint_names)} joint_names for {joint_pos.shape[1]} columns of joint_pos")
    body_names = [str(n) for n in data["body_names"].reshape(-1)] if "body_names" in data else []
    if body_names and len(body_names) != body_pos.shape[1]:
        raise InputError(f"{path}: {len(body_names)} body_names for {body_pos.shape[1]} bodies in body_pos_w")
    root_name = body.body_names[1] if body is not None else ""
    first = 1 if body_names[:1] == ["world"] and len(body_names) > 1 else 0  # holosoma lists the world too
    return joint_names, body_names.index(root_name) if root_name in body_names else first


def breadth_first(body: "Body") -> tuple[np.ndarray, np.ndarray]:
    """Isaac's order as indices into MuJoCo's: of the joints (J,), and of the bodies without the world (B,)."""
    model = body.model
    level, bodies = [1], []
    while level:
        bodies += level
        level = [b for parent in level for b in range(1, model.nbody) if model.body_parentid[b] == parent and b != parent]
    joints = [j - 1 for b in bodies for j in range(1, model.njnt) if model.jnt_bodyid[j] == b]
    return np.array(joints, dtype=int), np.array(bodies, dtype=int) - 1


def _unnamed_order(
    root_pose: np.ndarray, joint_pos: np.ndarray, body_pos: np.ndarray, body: "Body", path: Path
) -> tuple[np.ndarray, str]:
    """Columns of `joint_pos` in MuJoCo's joint order, found by comparing forward kinematics with `body_pos`."""
    from motions.kinematics import forward_kinematics

    isaac, _ = breadth_first(body)
    candidates = {"mujoco": np.arange(len(isaac)), "isaac": np.argsort(isaac)}
    pick = np.unique(np.linspace(0, len(joint_pos) - 1, 8).astype(int))
    errors = {}
    for name, order in candidates.items():
        pos = forward_kinematics(body, np.concatenate([root_pose, joint_pos[:, order]], axis=1)[pick])[0][:, 1:]
        distance = np.linalg.norm(pos[:, :, None] - body_pos[pick][:, None], axis=-1).mean(axis=0)  # [robot, file]
        errors[name] = float(distance.min(axis=1).max())
    best = min(errors, key=errors.__getitem__)
    if errors[best] > SAME_PLACE_M:
        raise InputError(
            f"{path}: the file has no joint names, and its body positions fit robot {body.name!r} neither in MuJoCo's joint "
            f"order (farthest body off by {1e3 * errors['mujoco']:.0f} mm) nor in Isaac's ({1e3 * errors['isaac']:.0f} mm). "
            f"Was it made for another robot?"
        )
    if np.array_equal(candidates["mujoco"], candidates["isaac"]):
        return candidates[best], f"joint order is the robot's (bodies agree to {1e3 * errors[best]:.1f} mm)"
    return candidates[best], f"joint order taken as {best}'s (bodies agree to {1e3 * errors[best]:.1f} mm)"


def write_wbt(motion: Motion, body: "Body", path: str | Path, order: str = "mujoco") -> None:
    """Write every array of the format, and the names, with joints and bodies in the `order` "mujoco" or "isaac".

    Velocities are finite differences; body velocities are those of body *origins*, in the world.
    """
    from motions.kinematics import finite_difference_qvel, forward_velocity

    if order not in ORDERS:
        raise InputError(f"order {order!r}, expected one of {', '.join(ORDERS)}")
    if motion.joint_names != body.joint_names:
        raise InputError(f"motion {motion.name!r} has other joints than robot {body.name!r}")
    qvel = finite_difference_qvel(motion.qpos, motion.fps)
    pos, quat, linear, angular = (part[:, 1:] for part in forward_velocity(body, motion.qpos, qvel))
    joints, bodies = np.arange(len(body.joint_names)), np.arange(pos.shape[1])
    if order == "isaac":
        joints, bodies = breadth_first(body)
    np.savez_compressed(
        path,
        fps=np.array([motion.fps]),
        joint_pos=motion.qpos[:, 7:][:, joints].astype(np.float32),
        joint_vel=qvel[:, 6:][:, joints].astype(np.float32),
        body_pos_w=pos[:, bodies].astype(np.float32),
        body_quat_w=quat[:, bodies].astype(np.float32),
        body_lin_vel_w=linear[:, bodies].astype(np.float32),
        body_ang_vel_w=angular[:, bodies].astype(np.float32),
        joint_names=np.array(body.joint_names)[joints],
        body_names=np.array(body.body_names[1:])[bodies],
    )
