"""Falls: how robots lie that were dropped anyhow, and clips that begin there, to get up by. No JAX."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import mujoco
import numpy as np

from mimic.deploy.simulation import Simulation
from mimic.robots.derive import lowest_point
from motions.edit import enter
from motions.kinematics import Body
from motions.motion import Motion
from motions.rotations import quat_normalize

DROP_M = 0.3  # of air below its lowest point
SECONDS = 3.0  # until it lies
WEAK = 0.05  # of the motors' torque, while it falls: limbs that neither hold nor fling


def drawn_falls(model: mujoco.MjModel, count: int, seed: int) -> np.ndarray:
    """`count` poses (count, nq) in which a robot lies that was dropped: turned anyhow, its joints anywhere in the middle half of
    their ranges, its motors weak. `model` is one whose bodies all touch the ground. x and y are those of the drop, 0."""
    rng = np.random.default_rng(seed)
    weak = copy.copy(model)
    weak.actuator_forcerange[:] *= WEAK
    low, high = np.where(model.jnt_limited[1:, None].astype(bool), model.jnt_range[1:], [-np.pi, np.pi]).T
    joints = rng.uniform(0.75 * low + 0.25 * high, 0.25 * low + 0.75 * high, (count, model.njnt - 1))
    quat = quat_normalize(rng.normal(size=(count, 4)))
    qpos = np.concatenate([np.zeros((count, 3)), quat, joints], axis=1)
    qpos[:, 2] = DROP_M - _lowest(model, qpos)
    simulation = Simulation(weak, np.array([1]), qpos, np.zeros((count, model.nv)))
    simulation.step(joints, round(SECONDS / model.opt.timestep))
    return np.array(simulation.batch.qpos)


def rising(pose: np.ndarray, motions: Sequence[Motion], body: Body) -> Motion:
    """The way up from a `pose` (nq,): the nearest of `motions`, begun in it, and no deeper in the ground than its ends are.

    Raises `InputError` as `enter` does.
    """
    motion = enter(pose, motions, body)
    qpos = motion.qpos.copy()
    depths = np.maximum(0.0, -_lowest(body.model, qpos))
    qpos[:, 2] += np.maximum(0.0, depths - max(depths[0], depths[-1]))
    return replace(motion, qpos=qpos)


def with_falls(motions: Sequence[Motion], body: Body, model: mujoco.MjModel, count: int, seed: int) -> list[Motion]:
    """`count` clips that begin as a robot of `model` lies after a fall (`drawn_falls`) and go on as the nearest of `motions`."""
    return [
        replace(motion, name=f"{motion.name}_fall{number}")
        for number, motion in enumerate(rising(pose, motions, body) for pose in drawn_falls(model, count, seed))
    ]


def _lowest(model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
    """Heights (F,) [m] of the lowest point of the geoms that touch anything, at qpos (F, nq)."""
    data, lowest = mujoco.MjData(model), np.empty(len(qpos))
    geoms = np.flatnonzero((model.geom_bodyid > 0) & ((model.geom_contype > 0) | (model.geom_conaffinity > 0))).tolist()
    for frame, row in enumerate(qpos):
        data.qpos[:] = row
        mujoco.mj_kinematics(model, data)
        lowest[frame] = min(lowest_point(model, data, geom) for geom in geoms)
    return lowest
