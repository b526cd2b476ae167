"""Balls that span the shapes of a robot's bodies: what touches the ground."""

import mujoco
import numpy as np

from motions.rotations import quat_to_matrix


def _with_descendants(model: mujoco.MjModel, body_id: int) -> list[int]:
    found = [body_id]
    for b in range(body_id + 1, model.nbody):
        if model.body_parentid[b] in found:
            found.append(b)
    return found


def sole_balls(model: mujoco.MjModel, foot: int, xpos: np.ndarray, xmat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Balls (P, 3), (P,) in the world [m] that span the shapes of a foot and of what hangs on it."""
    return geom_balls(model, _with_descendants(model, foot), xpos, xmat)


def geom_balls(model: mujoco.MjModel, bodies: list[int], xpos: np.ndarray, xmat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Balls (P, 3), (P,) that span the geoms of `bodies`: colliding ones if there are any, else all."""
    geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] in bodies]
    colliding = [g for g in geoms if model.geom_contype[g] or model.geom_conaffinity[g]]
    centres, radii = [], []
    for g in colliding or geoms:
        b, size = model.geom_bodyid[g], model.geom_size[g]
        local, radius = _local_balls(model, g, model.geom_type[g], size)
        rot = xmat[b] @ quat_to_matrix(model.geom_quat[g])
        centres.append(xpos[b] + xmat[b] @ model.geom_pos[g] + local @ rot.T)
        radii.append(np.full(len(local), radius))
    if not centres:  # a foot without geometry: its origin
        return xpos[bodies[:1]], np.zeros(1)
    return np.concatenate(centres), np.concatenate(radii)


def _local_balls(model: mujoco.MjModel, geom: int, kind: int, size: np.ndarray) -> tuple[np.ndarray, float]:
    types = mujoco.mjtGeom
    if kind == types.mjGEOM_SPHERE:
        return np.zeros((1, 3)), size[0]
    if kind == types.mjGEOM_CAPSULE:
        return np.array([[0, 0, -size[1]], [0, 0, size[1]]]), size[0]
    if kind == types.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        start = model.mesh_vertadr[mesh]
        return model.mesh_vert[start : start + model.mesh_vertnum[mesh]].astype(float), 0.0
    if kind == types.mjGEOM_CYLINDER:
        size = np.array([size[0], size[0], size[1]])
    corners = np.stack(np.meshgrid(*[[-1, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return corners * size, 0.0


def hull8(balls: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The balls furthest out in eight horizontal directions."""
    angles = np.arange(8) * np.pi / 4 + 1e-3
    reach = balls[:, :2] @ np.stack([np.cos(angles), np.sin(angles)]) + radius[:, None]
    keep = sorted(set(np.argmax(reach, axis=0).tolist()))
    return balls[keep], radius[keep]
