"""What acts on a robot: its contacts and their forces, its centre of mass, and the area it stands on."""

from typing import NamedTuple

import mujoco
import numpy as np

ROOT = 1  # body of the model
NEAR_M = 0.01  # a foot this near to the ground stands on it, where nothing but poses is known


class Acting(NamedTuple):
    """Of one moment, in the world: points (N, 3) [m] of the contacts with the ground and the forces (N, 3) [N] there, upon the
    robot; com (3,) [m]; support (M, 2) [m]: the corners of the area that the points enclose, counter-clockwise; floor_z [m]."""

    points: np.ndarray
    forces: np.ndarray
    com: np.ndarray
    support: np.ndarray
    floor_z: float

    @property
    def balanced(self) -> bool:
        """Whether the centre of mass is above the area it stands on."""
        if len(self.support) < 3:
            return False
        edge = np.roll(self.support, -1, axis=0) - self.support
        to = self.com[:2] - self.support
        return bool((edge[:, 0] * to[:, 1] - edge[:, 1] * to[:, 0] >= 0).all())


def acting(
    model: mujoco.MjModel, data: mujoco.MjData, qpos: np.ndarray, dynamics: tuple[np.ndarray, np.ndarray] | None
) -> Acting:
    """Of the robot at `qpos` (nq). dynamics: its qvel (nv) and ctrl (nu), from which forces follow; None where only the pose is
    known: contacts are then what is near the ground, and the forces 0. `data` is written to."""
    data.qpos[:] = qpos
    if dynamics is None:
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
    else:
        data.qvel[:], data.ctrl[:] = dynamics
        mujoco.mj_forward(model, data)
    points, forces, force = [], [], np.zeros(6)
    for index in range(data.ncon):
        contact = data.contact[index]
        on_ground = model.geom_bodyid[contact.geom] == 0
        if not on_ground.any() or model.body_rootid[model.geom_bodyid[contact.geom]].max() != ROOT:
            continue  # between its own parts, or of something else that lies about
        if dynamics is not None:
            mujoco.mj_contactForce(model, data, index, force)
        elif contact.dist > NEAR_M:
            continue
        points.append(contact.pos.copy())
        forces.append((1.0 if on_ground[0] else -1.0) * contact.frame.reshape(3, 3).T @ force[:3])
    floor = np.flatnonzero((model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE) & (model.geom_bodyid == 0))
    found = np.array(points).reshape(-1, 3)
    return Acting(
        points=found,
        forces=np.array(forces).reshape(-1, 3),
        com=data.subtree_com[ROOT].copy(),
        support=hull(found[:, :2]),
        floor_z=float(model.geom_pos[floor[0], 2]) if len(floor) else 0.0,
    )


def touching(model: mujoco.MjModel, qpos: np.ndarray) -> dict[str, np.ndarray]:
    """Of poses (F, nq): by name, the bodies that are ever within `NEAR_M` of the ground, and when (F,), bool."""
    near, found = near_contacts(model), np.zeros((len(qpos), model.nbody), bool)
    data = mujoco.MjData(near)
    for frame, pose in enumerate(qpos):
        data.qpos[:] = pose
        mujoco.mj_kinematics(near, data)
        mujoco.mj_comPos(near, data)
        mujoco.mj_collision(near, data)
        bodies = near.geom_bodyid[data.contact.geom[data.contact.dist <= NEAR_M]]
        found[frame, bodies[(bodies == 0).any(axis=1)].max(axis=1, initial=0)] = True
    return {model.body(body).name: found[:, body] for body in np.flatnonzero(found[:, 1:].any(axis=0)) + 1}


def near_contacts(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy that also finds the contacts of what is `NEAR_M` above the ground, for poses."""
    near = mujoco.MjModel.__copy__(model)
    near.geom_margin[:] = np.maximum(near.geom_margin, NEAR_M)
    near.pair_margin[:] = np.maximum(near.pair_margin, NEAR_M)
    return near


def hull(points: np.ndarray) -> np.ndarray:
    """The corners (M, 2) of the smallest convex area that holds `points` (N, 2), counter-clockwise; of points on a line its two
    ends. (A. M. Andrew, 1979: the monotone chain)"""
    ordered = np.unique(np.round(points, 6), axis=0)  # by x, then y
    if len(ordered) < 3:
        return ordered

    def chain(way: np.ndarray) -> list[np.ndarray]:
        kept: list[np.ndarray] = []
        for point in way:
            while len(kept) > 1 and _turn(kept[-2], kept[-1], point) <= 0:
                kept.pop()
            kept.append(point)
        return kept[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]))


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Above 0 where the way from a over b to c turns left."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))
