"""What the player in the page draws: a robot's bodies as triangles, and their poses over time; as base64 of typed arrays."""

import base64
import copy
from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np

from mimic.view.geometry import body_triangles
from mimic.view.meshes import thin_meshes
from mimic.view.stage import Stage, make_stage
from motions.kinematics import Body, forward_kinematics

MOST_TRIANGLES = 24_000
CELLS_M = (0.004, 0.006, 0.009, 0.013, 0.018, 0.025, 0.035)  # vertices of meshes that share such a cell are merged, if need be
MOST_FPS = 25.0  # of a track; the player goes smoothly from one frame to the next
POSE_BYTES = 7 * 2 * 4 / 3  # of one body, as base64
INT16 = 32767


def geometry(model: mujoco.MjModel) -> dict[str, Any]:
    """{"parts": [{"body", "rgb", "round", "scale", "vertices", "triangles"}]}: what is drawn of each body, colour by colour.

    body: MuJoCo's id. vertices: int16, times scale / 32767 in [m], in the body's frame; triangles: uint16. round: to be shaded as
    a smooth surface.
    """
    thin, parts = copy.copy(model), []
    for cell_m in (0.0, *CELLS_M):
        if cell_m:
            thin_meshes(thin, cell_m)
        parts = list(_parts(make_stage(thin)))
        if sum(len(faces) for *_, faces in parts) <= MOST_TRIANGLES:
            break
    return {"parts": [_packed(*part) for part in parts]}


def _parts(stage: Stage) -> Iterator[tuple[int, np.ndarray, bool, np.ndarray, np.ndarray]]:
    """(body, rgb (3,), round, vertices (V, 3), faces (F, 3)) of all that moves."""
    model = stage.model
    rounded = model.geom_type != mujoco.mjtGeom.mjGEOM_MESH
    rounded &= model.geom_type != mujoco.mjtGeom.mjGEOM_BOX
    for body in np.unique(model.geom_bodyid[stage.moving]):
        geoms = stage.moving[model.geom_bodyid[stage.moving] == body]
        looks = np.column_stack([stage.rgb[geoms], rounded[geoms]])
        for look in np.unique(looks, axis=0):
            vertices, faces = body_triangles(model, geoms[(looks == look).all(axis=1)])
            used, faces = np.unique(faces, return_inverse=True)
            yield int(body), look[:3], bool(look[3]), vertices[used], faces.reshape(-1, 3)


def _packed(body: int, rgb: np.ndarray, rounded: bool, vertices: np.ndarray, faces: np.ndarray) -> dict[str, Any]:
    scale = float(np.abs(vertices).max(initial=1e-6))
    return {
        "body": body,
        "rgb": [round(float(part), 3) for part in rgb],
        "round": rounded,
        "scale": scale,
        "vertices": _base64(np.round(vertices / scale * INT16).astype("<i2")),
        "triangles": _base64(faces.astype("<u2")),
    }


def track(body: Body, qpos: np.ndarray, fps: float, most_bytes: float) -> dict[str, Any]:
    """{"frames", "fps", "bodies", "scale", "poses"}: poses int16 (frames, bodies, 7) of all bodies, MuJoCo's order.

    A pose is xyz, times scale / 32767 in [m], and the quaternion wxyz, over 32767. Frames are left out evenly, down to `MOST_FPS`
    and to what goes into `most_bytes`.
    """
    frames = max(2, int(most_bytes / (POSE_BYTES * body.model.nbody)))
    every = max(1, round(fps / MOST_FPS), -(-len(qpos) // frames))
    shown = qpos[::every]
    pos, quat = forward_kinematics(body, shown.astype(np.float64))
    scale = float(np.abs(pos).max(initial=1.0))
    poses = np.concatenate([pos / scale, quat], axis=-1)
    return {
        "frames": len(shown),
        "fps": fps / every,
        "bodies": poses.shape[1],
        "scale": scale,
        "poses": _base64(np.round(np.clip(poses, -1.0, 1.0) * INT16).astype("<i2")),
    }


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
