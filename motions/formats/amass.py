"""AMASS npz files: parameters of the SMPL family of body models (SMPL, SMPL-H, SMPL-X).

Keys: `trans` (F, 3) [m]; `poses` (F, 66 | 72 | 156 | 165) rotation vectors, or split as `root_orient`, `pose_body`;
a frame rate under several spellings; `betas`; `gender`. The model's own axes: left is +x, up +y, forward +z, with
arms sideways at rest; the pelvis turns this frame into the world's, whose up axis is found from the motion.
Joint places come from the user's body-model file, else from the stated skeleton of `BONES`.
"""

from pathlib import Path

import numpy as np

from motions.errors import InputError
from motions.formats.captured import captured_motion
from motions.formats.units import Y_UP_TO_Z_UP, RawAnimation
from motions.formats.values import choose_fps, finite_numbers
from motions.motion import read_npz
from motions.rotations import quat_conj, quat_exp, quat_mul, quat_rotate
from motions.skeleton import Skeleton, SkeletonMotion

HEIGHT_M = 1.70
RATE_KEYS = ("mocap_framerate", "mocap_frame_rate", "fps", "framerate", "frame_rate")
POSE_KEYS = ("poses", "root_orient", "pose_body", "global_orient", "body_pose")
WIDTHS = {66: "SMPL's body", 72: "SMPL", 156: "SMPL-H", 165: "SMPL-X"}
BODY_JOINTS = 22  # what the three models share; SMPL alone adds two hands

# Joint: its parent, length over standing height, direction at rest (left, up, forward) of the left side or the middle.
# Limb lengths are the segment fractions of Drillis and Contini (1966); the spine is divided as the models divide it;
# directions are those of the models' rest pose to about 2 degrees: arms sideways, legs a little apart.
BONES: dict[str, tuple[str, float, tuple[float, float, float]]] = {
    "pelvis": ("", 0.0, (0.0, 0.0, 0.0)),
    "left_hip": ("pelvis", 0.055, (0.70, -0.70, -0.10)),
    "right_hip": ("pelvis", 0.055, (0.70, -0.70, -0.10)),
    "spine1": ("pelvis", 0.050, (0.0, 1.0, -0.15)),
    "left_knee": ("left_hip", 0.245, (0.14, -0.99, 0.02)),
    "right_knee": ("right_hip", 0.245, (0.14, -0.99, 0.02)),
    "spine2": ("spine1", 0.070, (0.0, 1.0, 0.15)),
    "left_ankle": ("left_knee", 0.246, (-0.03, -1.0, -0.08)),
    "right_ankle": ("right_knee", 0.246, (-0.03, -1.0, -0.08)),
    "spine3": ("spine2", 0.030, (0.0, 1.0, 0.0)),
    "left_foot": ("left_ankle", 0.080, (0.30, -0.44, 0.85)),
    "right_foot": ("right_ankle", 0.080, (0.30, -0.44, 0.85)),
    "neck": ("spine3", 0.135, (0.0, 0.98, -0.18)),
    "left_collar": ("spine3", 0.085, (0.52, 0.85, -0.10)),
    "right_collar": ("spine3", 0.085, (0.52, 0.85, -0.10)),
    "head": ("neck", 0.050, (0.0, 0.90, 0.40)),
    "left_shoulder": ("left_collar", 0.065, (0.90, 0.43, 0.0)),
    "right_shoulder": ("right_collar", 0.065, (0.90, 0.43, 0.0)),
    "left_elbow": ("left_shoulder", 0.165, (1.0, -0.14, 0.0)),
    "right_elbow": ("right_shoulder", 0.165, (1.0, -0.14, 0.0)),
    "left_wrist": ("left_elbow", 0.146, (1.0, 0.03, 0.0)),
    "right_wrist": ("right_elbow", 0.146, (1.0, 0.03, 0.0)),
    "left_hand": ("left_wrist", 0.050, (1.0, -0.08, -0.14)),
    "right_hand": ("right_wrist", 0.050, (1.0, -0.08, -0.14)),
}
PELVIS_REST = np.array([0.0, -0.13, 0.0])  # over the height: the pelvis in the model's rest frame; `trans` moves that frame

# World axes a file may use, best known first: the file's up, and the world rotation (wxyz) that makes it our z.
_HALF = 0.5
WORLDS = {
    "z": (np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, 0.0])),
    "y": (np.array([0.0, 1.0, 0.0]), np.array([_HALF, _HALF, _HALF, _HALF])),
    "-y": (np.array([0.0, -1.0, 0.0]), np.array([-_HALF, _HALF, -_HALF, _HALF])),
}
_MODEL_TO_OURS = WORLDS["y"][1]
CLEARLY_UP = 0.5  # mean cosine between the body's and the world's up


def read_amass(
    path: str | Path,
    fps: float | None = None,
    model: str | Path | None = None,
    height_m: float = HEIGHT_M,
    scale: float | None = None,
) -> SkeletonMotion:
    """Read the body's 22 (SMPL: 24) joints; fingers, jaw and eyes are left out.

    `model`: an npz with `J_regressor`, `v_template` and, for `betas`, `shapedirs`; without one the body is BONES at
    `height_m` [m]. `scale` enlarges body and way. Raises `InputError` for missing keys or other shapes.
    """
    path = Path(path)
    data = read_npz(path, ("trans", "betas", "gender", *POSE_KEYS, *RATE_KEYS))
    notes: list[str] = []
    rotvec = _poses(data, path, notes)  # [F, J, 3]
    frames, joints = rotvec.shape[:2]
    trans = finite_numbers(data["trans"], (frames, 3), path, "trans")
    rate = next((data[key] for key in RATE_KEYS if key in data), None)
    said = None if rate is None else float(finite_numbers(np.reshape(rate, -1), (1,), path, "the frame rate")[0])
    fps = choose_fps(path, fps, said, notes)
    names = tuple(BONES)[:joints]
    parents = tuple(names.index(BONES[name][0]) if BONES[name][0] else -1 for name in names)
    if model is None:
        rest = stated_rest(height_m, names)
        notes.append(f"no body model given (--skeleton MODEL.npz): a stated skeleton of {height_m:.2f} m stands for the body")
    else:
        rest = model_rest(Path(model), data.get("betas"), joints, path, notes)
    offsets = rest - rest[list(parents)]
    offsets[0] = 0.0
    quat = quat_exp(rotvec)
    world = _world_axes(quat[:, 0], notes)
    pelvis = quat_rotate(np.broadcast_to(world, (frames, 4)), trans + rest[0])
    # Conjugating the body's own axes; then the world's, so that the root maps our body frame to our world.
    quat = np.concatenate([quat[..., :1], quat[..., 1:] @ Y_UP_TO_Z_UP.T], axis=-1)
    quat[:, 0] = quat_mul(quat_mul(world, quat_conj(_MODEL_TO_OURS)), quat[:, 0])
    raw = RawAnimation(Skeleton(names, parents, offsets @ Y_UP_TO_Z_UP.T), pelvis, quat, None)
    return captured_motion(path, raw, np.eye(3), 1.0 if scale is None else scale, fps, notes)


def _poses(data: dict[str, np.ndarray], path: Path, notes: list[str]) -> np.ndarray:
    """Rotation vectors (F, 22 or 24, 3)."""
    for root, body in (("root_orient", "pose_body"), ("global_orient", "body_pose")):
        if "poses" not in data and root in data and body in data:
            parts = [finite_numbers(data[key], (None,) * data[key].ndim, path, key) for key in (root, body)]
            parts = [part.reshape(len(part), -1) if part.ndim else part for part in parts]
            if any(part.ndim != 2 for part in parts) or len(parts[0]) != len(parts[1]) or parts[0].shape[1] != 3:
                shapes = " and ".join(str(part.shape) for part in parts)
                raise InputError(f"{path}: {root} and {body} have shapes {shapes}, expected (F, 3) and (F, 63) or (F, 69)")
            poses = np.concatenate(parts, axis=1)
            break
    else:
        if "poses" not in data:
            raise InputError(f"{path}: lacks poses (or root_orient and pose_body)")
        poses = finite_numbers(data["poses"], (None,) * data["poses"].ndim, path, "poses")
        poses = poses.reshape(len(poses), -1) if poses.ndim > 1 else poses
    if poses.ndim != 2 or poses.shape[1] not in WIDTHS:
        known = ", ".join(f"{width} ({name})" for width, name in WIDTHS.items())
        raise InputError(f"{path}: poses have shape {poses.shape}, expected (F, n) with n one of {known}")
    width = poses.shape[1]
    joints = 24 if width == 72 else BODY_JOINTS
    notes.append(f"{WIDTHS[width]} parameters" + (": fingers, jaw and eyes are not read" if width > 72 else ""))
    return poses[:, : 3 * joints].reshape(len(poses), joints, 3)


def _world_axes(root_quat: np.ndarray, notes: list[str]) -> np.ndarray:
    """The rotation (wxyz) from the file's world to ours: up is where the body's own up points on average."""
    body_up = quat_rotate(root_quat, np.broadcast_to([0.0, 1.0, 0.0], (len(root_quat), 3))).mean(axis=0)
    best = max(WORLDS, key=lambda axis: float(WORLDS[axis][0] @ body_up))
    share = float(WORLDS[best][0] @ body_up)
    if share < CLEARLY_UP:
        notes.append("z taken as up, as in AMASS: the body lies or tumbles and does not tell")
        return WORLDS["z"][1]
    notes.append(f"{best} taken as up: the body's own up points there (mean cosine {share:.2f})")
    return WORLDS[best][1]


def stated_rest(height_m: float, names: tuple[str, ...] = tuple(BONES)) -> np.ndarray:
    """Rest joint positions (J, 3) [m] of BONES in the model's axes; the right side mirrors the left."""
    if not (np.isfinite(height_m) and height_m > 0):
        raise InputError(f"body height is {height_m}, expected metres above 0")
    rest = np.zeros((len(names), 3))
    rest[0] = height_m * PELVIS_REST
    for j, name in enumerate(names[1:], start=1):
        parent, length, direction = BONES[name]
        step = height_m * length * np.array(direction) / np.linalg.norm(direction)
        rest[j] = rest[names.index(parent)] + (step * [-1.0, 1.0, 1.0] if name.startswith("right") else step)
    return rest


def model_rest(model: Path, betas: np.ndarray | None, joints: int, path: Path, notes: list[str]) -> np.ndarray:
    """Rest joint positions (J, 3) [m]: J_regressor (v_template + shapedirs betas), as the body models define them."""
    data = read_npz(model, ("J_regressor", "v_template", "shapedirs"))
    missing = [key for key in ("J_regressor", "v_template") if key not in data]
    if missing:
        raise InputError(f"{model}: no body model: lacks {', '.join(missing)}")
    vertices = finite_numbers(data["v_template"], (None, 3), model, "v_template")
    regressor = finite_numbers(data["J_regressor"], (None, len(vertices)), model, "J_regressor")
    if len(regressor) < joints:
        raise InputError(f"{model}: a body model of {len(regressor)} joints, {path.name} has {joints}")
    shape = np.zeros(0) if betas is None else finite_numbers(np.reshape(betas, (-1, betas.shape[-1]))[0], (None,), path, "betas")
    if "shapedirs" in data and shape.any():
        directions = finite_numbers(data["shapedirs"], (len(vertices), 3, None), model, "shapedirs")
        used = min(len(shape), directions.shape[2])
        vertices = vertices + directions[..., :used] @ shape[:used]
        notes.append(f"body from {model.name} with {used} betas")
    else:
        notes.append(f"body from {model.name} in its mean shape")
    return (regressor @ vertices)[:joints]
