"""Rigid-body kinematics of one robot: `Body`, forward kinematics, `KinematicState`.

Conventions, stated here and used everywhere: quaternions wxyz, z up, SI units, radians. A MuJoCo free
joint's linear velocity is in the world frame, its angular velocity in the **body** frame.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import mujoco
import numpy as np

from motions.errors import InputError
from motions.levels import Frames, Tree, descend, tree_of
from motions.rotations import (
    Array,
    namespace,
    quat_conj,
    quat_from_axis_angle,
    quat_log,
    quat_mul,
    quat_rotate,
    quat_rotate_inv,
    quat_to_matrix,
    yaw_quat,
)


class KinematicState(NamedTuple):
    """One pose with its velocities; a reference frame and a simulated body are both this. Leading axes are free.

    qpos (nq): root xyz [m], root wxyz, joints [rad]. qvel (nv): root linear, world [m/s], root angular, BODY frame
    [rad/s], joints [rad/s]. For K tracked bodies, origin and axes in the world: xpos (K, 3) [m], xquat (K, 4) wxyz,
    xlinvel (K, 3) [m/s], xangvel (K, 3) [rad/s].
    """

    qpos: Array
    qvel: Array
    xpos: Array
    xquat: Array
    xlinvel: Array
    xangvel: Array


@dataclass(frozen=True)
class Body:
    """A robot's rigid bodies, as the motion tools need them: the compiled model and its names.

    `model` has one free joint (the first) and hinges only. `foot_bodies` touch the ground in walking, left first.
    """

    name: str
    model: mujoco.MjModel = field(repr=False)
    foot_bodies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        model = self.model
        types = model.jnt_type
        if model.njnt == 0 or types[0] != mujoco.mjtJoint.mjJNT_FREE:
            raise InputError(f"robot {self.name!r}: the first joint must be a free joint (a floating base)")
        other = [model.joint(i).name for i in range(1, model.njnt) if types[i] != mujoco.mjtJoint.mjJNT_HINGE]
        if other:
            raise InputError(f"robot {self.name!r}: only hinges may follow the free joint; {other[0]!r} is not one")

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The hinges, in qpos order."""
        return tuple(self.model.joint(i).name for i in range(1, self.model.njnt))

    @property
    def body_names(self) -> tuple[str, ...]:
        """Bodies by MuJoCo id, the world first."""
        return tuple(self.model.body(i).name for i in range(self.model.nbody))

    @property
    def joint_range(self) -> np.ndarray:
        """(J, 2) [rad]; unlimited joints have -inf, inf."""
        limited = self.model.jnt_limited[1:, None].astype(bool)
        return np.where(limited, self.model.jnt_range[1:], [-np.inf, np.inf])

    @cached_property
    def tree(self) -> Tree:
        """The model's bodies, for kinematics."""
        return tree_of(self.model)

    def body_ids(self, names: tuple[str, ...]) -> np.ndarray:
        known = self.body_names
        missing = [n for n in names if n not in known]
        if missing:
            raise InputError(f"robot {self.name!r} has no body {missing[0]!r}; it has {', '.join(known[1:])}")
        return np.array([known.index(n) for n in names], dtype=int)


def forward_kinematics(body: Body, qpos: Array) -> tuple[Array, Array]:
    """World positions (..., nbody, 3) [m] and orientations (..., nbody, 4) wxyz of all bodies, as mj_kinematics.

    `qpos` (..., nq); numpy or JAX.
    """
    frames = _frames(body, qpos, None)
    return frames.pos, frames.quat


def forward_velocity(body: Body, qpos: Array, qvel: Array) -> tuple[Array, Array, Array, Array]:
    """`forward_kinematics` and the world velocities of body origins (..., nbody, 3) [m/s] and angular (..., nbody, 3) [rad/s]."""
    frames = _frames(body, qpos, qvel)
    return frames.pos, frames.quat, frames.linear, frames.angular


def _frames(body: Body, qpos: Array, qvel: Array | None) -> Frames:
    xp = namespace(qpos)

    def of_hinges(values: Array) -> Array:
        """(..., J), and the 0 of what has no hinge behind."""
        return xp.concatenate([values, xp.zeros((*values.shape[:-1], 1), values.dtype)], axis=-1)

    def still(like: Array, value: tuple[float, ...]) -> Array:
        return xp.broadcast_to(xp.asarray(value, dtype=like.dtype), like.shape)

    angles = of_hinges(qpos[..., 7:] - xp.asarray(body.model.qpos0[7:], dtype=qpos.dtype))
    pos, quat = qpos[..., :3], qpos[..., 3:7]
    world = Frames(still(pos, (0.0, 0.0, 0.0)), still(quat, (1.0, 0.0, 0.0, 0.0)))
    if qvel is None:
        return descend(body.tree, world, Frames(pos, quat), angles, None)
    world = world._replace(linear=world.pos, angular=world.pos)
    root = Frames(pos, quat, qvel[..., :3], quat_rotate(quat, qvel[..., 3:6]))
    return descend(body.tree, world, root, angles, of_hinges(qvel[..., 6:]))


def to_heading(heading: Array, vectors: Array) -> Array:
    """World vectors (..., K, 3) in the frame turned by `heading` (..., 4)."""
    xp = namespace(heading, vectors)
    return quat_rotate_inv(xp.broadcast_to(heading[..., None, :], (*vectors.shape[:-1], 4)), vectors)


def in_heading_frame(state: KinematicState) -> Array:
    """Places of the tracked bodies from the root, in its heading frame; (..., K, 3) [m]."""
    return to_heading(yaw_quat(state.qpos[..., 3:7]), state.xpos - state.qpos[..., None, :3])


def centre_of_mass(body: Body, xpos: np.ndarray, xquat: np.ndarray) -> np.ndarray:
    """(F, 3) [m], of all bodies at `xpos` (F, nbody, 3) and `xquat` (F, nbody, 4)."""
    model = body.model
    places = xpos + np.einsum("fbij,bj->fbi", quat_to_matrix(xquat), model.body_ipos)
    return np.einsum("b,fbi->fi", model.body_mass, places) / model.body_mass.sum()


def origin_velocities(cvel: np.ndarray, xpos: np.ndarray, subtree_com: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World velocities of body origins, linear (..., K, 3) [m/s] and angular (..., K, 3) [rad/s], as MuJoCo's `cvel` (..., K, 6)
    says it: that one's linear part is of the point at the centre of mass of the body's tree, `subtree_com` (..., K, 3)."""
    angular = cvel[..., :3]
    return cvel[..., 3:] + np.cross(angular, xpos - subtree_com), angular


def finite_difference_qvel(qpos: np.ndarray, fps: float) -> np.ndarray:
    """Central differences of qpos (F, nq) to qvel (F, nv) at `fps`; one-sided at both ends. numpy."""
    ahead = np.concatenate([qpos[1:], qpos[-1:]])
    behind = np.concatenate([qpos[:1], qpos[:-1]])
    span_s = np.full((len(qpos), 1), 2.0 / fps)
    span_s[[0, -1]] = 1.0 / fps
    linear = (ahead[:, :3] - behind[:, :3]) / span_s
    angular_world = quat_log(quat_mul(ahead[:, 3:7], quat_conj(behind[:, 3:7]))) / span_s
    angular_body = quat_rotate(quat_conj(qpos[:, 3:7]), angular_world)
    return np.concatenate([linear, angular_body, (ahead[:, 7:] - behind[:, 7:]) / span_s], axis=1)


def turned(state: KinematicState, turn: Array) -> KinematicState:
    """The whole body and its motion turned by `turn` (..., 4), a rotation of the world about the root's origin."""
    xp, root = namespace(state.qpos), state.qpos[..., None, :3]

    def of_bodies(vectors: Array) -> Array:
        return quat_rotate(xp.broadcast_to(turn[..., None, :], (*vectors.shape[:-1], 4)), vectors)

    qpos = (state.qpos[..., :3], quat_mul(turn, state.qpos[..., 3:7]), state.qpos[..., 7:])
    return KinematicState(
        qpos=xp.concatenate(qpos, axis=-1),
        qvel=xp.concatenate([quat_rotate(turn, state.qvel[..., :3]), state.qvel[..., 3:]], axis=-1),
        xpos=root + of_bodies(state.xpos - root),
        xquat=quat_mul(xp.broadcast_to(turn[..., None, :], state.xquat.shape), state.xquat),
        xlinvel=of_bodies(state.xlinvel),
        xangvel=of_bodies(state.xangvel),
    )


def shifted(state: KinematicState, shift: Array) -> KinematicState:
    """The whole body moved by `shift` (..., 3) [m]."""
    xp = namespace(state.qpos)
    qpos = xp.concatenate([state.qpos[..., :3] + shift, state.qpos[..., 3:]], axis=-1)
    return state._replace(qpos=qpos, xpos=state.xpos + shift[..., None, :])


def kinematic_state(body: Body, qpos: Array, qvel: Array, tracked_ids: np.ndarray) -> KinematicState:
    """The full `KinematicState` of (qpos, qvel) for the bodies `tracked_ids` (K,)."""
    parts = forward_velocity(body, qpos, qvel)
    return KinematicState(qpos, qvel, *(part[..., tracked_ids, :] for part in parts))


def joint_rotations(body: Body, qpos: Array) -> Array:
    """How far each of the M bodies with hinges is turned by them, in their order, from where the model has it; (..., M, 4) wxyz.

    Of a body with three hinges this is the rotation of a ball joint, whatever the hinges' axes. `qpos` (..., nq); numpy or JAX.
    """
    model, xp = body.model, namespace(qpos)
    counts = model.body_jntnum[model.body_jntnum > 0][1:]  # without the root's free joint
    none = model.njnt - 1  # beyond the last hinge: no rotation
    firsts = np.cumsum(counts) - counts
    slots = np.arange(counts.max(initial=1))
    index = np.where(slots < counts[:, None], firsts[:, None] + slots, none)
    axes = xp.asarray(model.jnt_axis[1:], dtype=qpos.dtype)
    turns = quat_from_axis_angle(axes, qpos[..., 7:] - xp.asarray(model.qpos0[7:], dtype=qpos.dtype))
    still = xp.broadcast_to(xp.asarray([1.0, 0.0, 0.0, 0.0], dtype=qpos.dtype), (*turns.shape[:-2], 1, 4))
    turns = xp.concatenate([turns, still], axis=-2)[..., index, :]  # (..., M, most hinges, 4)
    found = turns[..., 0, :]
    for slot in slots[1:]:
        found = quat_mul(found, turns[..., slot, :])
    return found
