"""How deep a robot's parts lie in each other, by the C engine's own geometry."""

import mujoco
import numpy as np

from motions.kinematics import Body

_TYPES = mujoco.mjtGeom
_SHAPES = tuple(
    int(kind)
    for kind in (_TYPES.mjGEOM_SPHERE, _TYPES.mjGEOM_CAPSULE, _TYPES.mjGEOM_CYLINDER, _TYPES.mjGEOM_ELLIPSOID, _TYPES.mjGEOM_BOX)
)
_REACH_M = 0.01  # pairs further apart than this need not be told how far


def overlap_depth(body: Body, qpos: np.ndarray) -> np.ndarray:
    """Depth [m] of the deepest overlap of two of the robot's geoms in every pose (F, nq): (F,), 0 where none overlap.

    Whether the model lets geoms collide does not matter: presets switch contacts off, and a body has its shape all
    the same. Left out are meshes, neighbours in the tree, and pairs that overlap in the reference pose.
    """
    model, data = body.model, mujoco.MjData(body.model)
    pairs = _pairs(body)
    depth = np.zeros(len(qpos))
    if not len(pairs):
        return depth
    reach = model.geom_rbound[pairs].sum(axis=1)
    for frame, pose in enumerate(qpos):
        data.qpos[:] = pose
        mujoco.mj_kinematics(model, data)
        between = data.geom_xpos[pairs[:, 0]] - data.geom_xpos[pairs[:, 1]]
        for a, b in pairs[np.einsum("pi,pi->p", between, between) < reach**2]:
            distance = mujoco.mj_geomDistance(model, data, int(a), int(b), _REACH_M, None)
            depth[frame] = max(depth[frame], -distance)
    return depth


def _pairs(body: Body) -> np.ndarray:
    """The geom pairs (P, 2) to watch."""
    model = body.model
    link = _links(model)
    geoms = [g for g in range(model.ngeom) if int(model.geom_type[g]) in _SHAPES and model.geom_bodyid[g] > 0]
    above = {int(link[b]): int(link[model.body_parentid[link[b]]]) for b in range(1, model.nbody)}
    of = {g: int(link[model.geom_bodyid[g]]) for g in geoms}
    apart = [
        (a, b)
        for i, a in enumerate(geoms)
        for b in geoms[i + 1 :]
        if of[a] != of[b] and above[of[a]] != of[b] and above[of[b]] != of[a]
    ]
    data = mujoco.MjData(model)
    data.qpos[7:] = model.qpos0[7:]
    mujoco.mj_kinematics(model, data)
    free = [pair for pair in apart if mujoco.mj_geomDistance(model, data, *pair, _REACH_M, None) > 0.0]
    return np.array(free, int).reshape(-1, 2)


def _links(model: mujoco.MjModel) -> np.ndarray:
    """For every body the one it moves with: the nearest above that has a joint."""
    link = np.arange(model.nbody)
    for b in range(1, model.nbody):
        if model.body_jntnum[b] == 0:
            link[b] = link[model.body_parentid[b]]
    return link
