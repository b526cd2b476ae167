"""The joint torques a reference motion needs: inverse dynamics of a floating base with contacts. Host only, numpy."""

import mujoco
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import nnls

NEAR_M = 0.01  # points of colliding geoms lower than this can carry load
SMOOTH_S = 0.02  # width of the Gaussian that takes the noise of double differences out of the velocities
CONE_EDGES = 4
ANGULAR_WEIGHT = 3.0  # moments about the root weigh more than forces: tilting fails before sinking does
FORCE_PENALTY = 1e-3  # spreads the load evenly over points that carry it equally well


def reference_torques(model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray, fps: float, friction: float) -> np.ndarray:
    """Joint torques (F, J) [N m] that move `model` along qpos (F, nq), qvel (F, nv).

    Per frame, M qacc + bias - passive = [0; tau] + J_c^T f, with f in the friction cones of the points near the ground: f
    solves the six root rows in the (weighted) least-squares sense by non-negative least squares over the cones' edges, and tau
    is what the joint rows leave. Where no contact can provide the root's wrench, the rest of it is ignored. Ground plane z = 0.
    """
    smooth = gaussian_filter1d(qvel.astype(np.float64), SMOOTH_S * fps, axis=0)
    qacc = np.gradient(smooth, 1.0 / fps, axis=0)
    data = mujoco.MjData(model)
    points = ground_points(model)
    angles = np.arange(CONE_EDGES) * 2.0 * np.pi / CONE_EDGES
    edges = np.stack([friction * np.cos(angles), friction * np.sin(angles), np.ones(CONE_EDGES)])  # [3, E]
    weights = np.array([1.0, 1.0, 1.0, ANGULAR_WEIGHT, ANGULAR_WEIGHT, ANGULAR_WEIGHT])
    inertia, jacobian = np.zeros((model.nv, model.nv)), np.zeros((3, model.nv))
    torques = np.zeros((len(qpos), model.nv - 6))
    for frame in range(len(qpos)):
        data.qpos[:], data.qvel[:] = qpos[frame], smooth[frame]
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        mujoco.mj_fullM(model, data, inertia)
        wanted = inertia @ qacc[frame] + data.qfrc_bias - data.qfrc_passive
        columns = []
        for body, local, radius in points:
            place = data.xpos[body] + data.xmat[body].reshape(3, 3) @ local - np.array([0.0, 0.0, radius])
            if place[2] < NEAR_M:
                mujoco.mj_jac(model, data, jacobian, None, place, body)
                columns.append(jacobian.T @ edges)
        if columns:
            forces = np.concatenate(columns, axis=1)  # [nv, E x points]
            matrix = np.vstack([weights[:, None] * forces[:6], FORCE_PENALTY * np.eye(forces.shape[1])])
            load, _ = nnls(matrix, np.concatenate([weights * wanted[:6], np.zeros(forces.shape[1])]))
            wanted = wanted - forces @ load
        torques[frame] = wanted[6:]
    return torques


def ground_points(model: mujoco.MjModel) -> list[tuple[int, np.ndarray, float]]:
    """(body id, point in its frame [m], radius [m]) of balls whose lowest points bound the colliding geoms from below.

    Spheres and capsules exactly; other shapes by the corners of their bounding boxes.
    """
    points = []
    for geom in range(model.ngeom):
        body = int(model.geom_bodyid[geom])
        if body == 0 or not (model.geom_contype[geom] or model.geom_conaffinity[geom]):
            continue
        size, turn = model.geom_size[geom], np.zeros(9)
        mujoco.mju_quat2Mat(turn, model.geom_quat[geom])
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_SPHERE:
            corners, radius = np.zeros((1, 3)), size[0]
        elif model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE:
            corners, radius = np.array([[0.0, 0.0, -size[1]], [0.0, 0.0, size[1]]]), size[0]
        else:
            centre, half = np.split(model.geom_aabb[geom], 2)
            signs = np.array(np.meshgrid(*[(-1.0, 1.0)] * 3)).reshape(3, -1).T
            corners, radius = centre + signs * half, 0.0
        points += [(body, model.geom_pos[geom] + turn.reshape(3, 3) @ corner, float(radius)) for corner in corners]
    return points
