"""What a frame is judged by: the per-frame residuals of the whole-clip solve, their weights and Jacobians, in JAX."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from motions.rotations import Array, quat_to_matrix
from retarget.chain import Kinematics, joint_axes, link_frames, point_jacobian, points_on, rotation_jacobian
from retarget.collide import self_touch_terms
from retarget.points import Points
from retarget.rig import Rig
from retarget.scaling import Targets

LIMIT_MARGIN = 0.005  # the soft limit lies this much inside the hard one [rad]


@dataclass(frozen=True)
class Weights:
    """Standard deviations: an error of this size costs one unit."""

    leg_direction: float = 0.08
    """thigh and shank [rad]"""
    arm_direction: float = 0.10
    """upper arm and forearm [rad]"""
    pelvis_rot: float = 0.15
    """[rad]"""
    chest_rot: float = 0.15
    """[rad]"""
    head_rot: float = 0.3
    """[rad]"""
    foot_rot: float = 0.5
    """[rad]"""
    hip_centre: float = 0.04
    """[m]"""
    ankle: float = 0.03
    """[m]"""
    ground: float = 0.002
    """height of a standing heel or toe [m]"""
    slide: float = 0.01
    """speed of a standing heel or toe [m/s]"""
    penetration: float = 0.002
    """depth of any point below the ground [m]"""
    self_touch: float = 0.01
    """depth of a forearm or hand in the rest of the body [m]"""
    limit: float = 0.01
    """excess over a joint limit, before the clip that makes it hard [rad]"""
    speed: float = 0.2
    """excess over the speed a joint may have [rad/s]"""
    root_acc: float = 6.0
    """[m/s^2]"""
    root_angular_acc: float = 40.0
    """[rad/s^2]"""
    joint_acc: float = 60.0
    """[rad/s^2]"""
    pressure: float = 0.02
    """distance of the centre of pressure from the standing feet [m]; infinite switches it off"""
    flight: float = 0.5
    """acceleration of the centre of mass other than gravity's while nothing touches the ground [m/s^2]"""
    spin: float = 0.2
    """change of the angular momentum about the centre of mass, per mass, while nothing touches the ground [m^2/s^2]"""
    twist: float = 0.1
    """moment about the vertical, per mass, beyond what standing feet can hold [m^2/s^2]"""
    damping: float = 0.1
    """Levenberg-Marquardt damping at the start"""


class Pose(NamedTuple):
    """Base position (F, 3), base quaternion (F, 4), joints (F, J)."""

    pos: Array
    quat: Array
    joints: Array


def kinematics(rig: Rig, pose: Pose) -> Kinematics:
    """Forward kinematics of all frames. Behind a barrier, as XLA would do it again for everything that uses it."""
    link_pos, link_rot = link_frames(rig.chain, pose.pos, quat_to_matrix(pose.quat), pose.joints)
    return jax.lax.optimization_barrier(Kinematics(link_pos, link_rot, *joint_axes(rig.chain, link_pos, link_rot)))


class FrameTerms(NamedTuple):
    """residual (F, M) and its jacobian (F, M, 6 + J) (no rows if not asked for). Springs, which pull at one joint each: their
    cost (F,), its half gradient and half curvature (F, J). `ends` (F, E L, 2): ground positions of `Rig.heel_toe`, with
    `ends_jac` (F, E L, 2, 6 + J)."""

    residual: Array
    jacobian: Array
    spring_cost: Array
    spring_pull: Array
    spring_stiffness: Array
    ends: Array
    ends_jac: Array


def _all_points(rig: Rig) -> Points:
    """Role joints, heels and toes, hip centre, soles, guards: in this order."""
    parts = (rig.joints, rig.heel_toe, rig.hips, rig.sole, rig.guard)
    return Points(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("link", "offset", "radius")))


def frame_terms(
    rig: Rig, weights: Weights, targets: Targets, pose: Pose, kin: Kinematics, firmness: Array, jacobian: bool
) -> FrameTerms:
    """All terms that concern one frame alone. `firmness` (0, 1] softens ground and limits while the pose is still far."""
    chain, dtype = rig.chain, pose.joints.dtype
    frames, nv = len(pose.pos), 6 + chain.num_joints
    everything = _all_points(rig)
    points = points_on(everything.link, everything.offset, kin.link_pos, kin.link_rot)  # [F, P, 3]
    if jacobian:
        point_jac = jax.lax.optimization_barrier(point_jacobian(chain, everything.link, points, pose.pos, kin.axes, kin.anchors))
    else:
        point_jac = jnp.zeros((frames, len(everything), 3, 0), dtype)
    rows: list[Array] = []
    jac: list[Array] = []

    def add(residual: Array, weight: Array | float, derivative: Callable[[], Array]) -> None:
        """A residual (F, ...), a weight that broadcasts to it, its derivative (F, ..., nv)."""
        weight = jnp.broadcast_to(jnp.asarray(weight, dtype), residual.shape)
        rows.append((weight * residual).reshape(frames, -1))
        if jacobian:
            jac.append((weight[..., None] * derivative()).reshape(frames, -1, nv))

    near = np.array([rig.role(a) for a, _ in rig.bones])
    far = np.array([rig.role(b) for _, b in rig.bones])
    length = jnp.asarray(rig.bone_length, dtype)[:, None]
    sigma = np.array([weights.leg_direction if b.endswith(("shank", "foot")) else weights.arm_direction for _, b in rig.bones])
    add(
        (points[:, far] - points[:, near]) / length - targets.bone_dir,
        targets.bone_weight[..., None] / jnp.asarray(sigma, dtype)[:, None],
        lambda: (point_jac[:, far] - point_jac[:, near]) / length[..., None],
    )
    frame_rot = kin.link_rot[:, rig.frame_link] @ jnp.asarray(rig.frame_rot, dtype)
    sigma = np.array([getattr(weights, f"{r.split('_')[-1]}_rot") for r in rig.frame_roles])
    add(
        rotation_error(frame_rot, targets.frame_rot),
        1.0 / jnp.asarray(sigma, dtype)[:, None],
        lambda: rotation_jacobian(chain, rig.frame_link, kin.axes),
    )
    feet = np.array([rig.role(leg + "foot") for leg in rig.legs])
    add(points[:, feet] - targets.ankle, 1.0 / weights.ankle, lambda: point_jac[:, feet])
    ends = np.arange(len(rig.joints), len(rig.joints) + len(rig.heel_toe))
    hip = ends[-1] + 1
    add(points[:, hip] - targets.hip_centre, 1.0 / weights.hip_centre, lambda: point_jac[:, hip])
    height = points[:, ends, 2] - jnp.asarray(rig.heel_toe.radius, dtype)
    add(height, firmness * targets.stand / weights.ground, lambda: point_jac[:, ends, 2])
    low = np.arange(hip + 1, len(everything))
    depth = points[:, low, 2] - jnp.asarray(everything.radius[low], dtype)
    add(jnp.minimum(depth, 0.0), firmness / weights.penetration, lambda: point_jac[:, low, 2] * (depth < 0.0)[..., None])
    if len(rig.touch.ball_link):
        sunk, sunk_jac = self_touch_terms(rig.touch, chain, pose.pos, kin, jacobian)
        add(sunk, firmness / weights.self_touch, lambda: sunk_jac)
    # springs to the rest pose and back inside the limits
    inside = jnp.clip(pose.joints, jnp.asarray(rig.low + LIMIT_MARGIN, dtype), jnp.asarray(rig.high - LIMIT_MARGIN, dtype))
    over, away = pose.joints - inside, pose.joints - targets.rest
    hard = jnp.square(firmness / weights.limit) * targets.valid[:, None]
    soft = jnp.square(targets.stiffness) * targets.valid[:, None]

    return FrameTerms(
        residual=jnp.concatenate(rows, axis=1) * targets.valid[:, None],
        jacobian=jnp.concatenate(jac, axis=1) * targets.valid[:, None, None] if jacobian else point_jac[:, :0, 0],
        spring_cost=jnp.sum(hard * over**2 + soft * away**2, axis=1),
        spring_pull=hard * over + soft * away,
        spring_stiffness=hard * (over != 0.0) + soft,
        ends=points[:, ends, :2],
        ends_jac=point_jac[:, ends, :2],
    )


def rotation_error(rot: Array, target: Array) -> Array:
    """World rotation vector (..., 3) [rad] that leads from `target` to `rot` (..., 3, 3)."""
    d = jnp.sum(rot[..., :, None, :] * target[..., None, :, :], axis=-1)  # rot target^T
    axis = 0.5 * jnp.stack([d[..., 2, 1] - d[..., 1, 2], d[..., 0, 2] - d[..., 2, 0], d[..., 1, 0] - d[..., 0, 1]], -1)
    cos = 0.5 * (d[..., 0, 0] + d[..., 1, 1] + d[..., 2, 2] - 1.0)
    sin_sq = jnp.sum(axis * axis, axis=-1)
    small = sin_sq < 1e-8
    sin = jnp.sqrt(jnp.where(small, 1.0, sin_sq))
    factor = jnp.where(small, 1.0, jnp.arctan2(sin, cos) / sin)
    return axis * factor[..., None]
