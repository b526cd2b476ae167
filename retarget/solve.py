"""The whole-clip solve: Gauss-Newton on all frames at once, in JAX.

Minimises, over base pose and joints of every frame, the sum of squared weighted residuals: bone directions, frame
orientations, hip centre, ankles, standing points on the ground and not sliding, nothing below the ground,
accelerations, and a pull to the rest pose. Each Gauss-Newton system is block-pentadiagonal in time (accelerations
couple three frames) and is solved exactly by a block Cholesky factorization along time. Joint limits are hard:
joints at a limit that would be pushed out are frozen for the step (projected Newton), and steps are clipped.
"""

from dataclasses import dataclass
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from motions.rotations import Array, quat_conj, quat_exp, quat_log, quat_mul, quat_normalize, quat_to_matrix
from retarget.banded import solve_block_pentadiagonal
from retarget.chain import joint_axes, link_frames, point_jacobian, points_on, rotation_jacobian
from retarget.rig import Points, Rig
from retarget.scaling import Targets

LIMIT_MARGIN = 0.005  # [rad]
APPROACH = (0.02, 0.05, 0.1, 0.3, 1.0)  # firmness of ground, slide and limits in the first iterations
TOLERANCE = 3e-3  # relative change of the cost below which an iteration counts as settled
MAX_STEP = 0.7  # of any coordinate in those iterations [rad], [m]
_PAD_STEP = 1.25  # clip lengths are padded to a geometric series, so that few programs are compiled


@dataclass(frozen=True)
class Weights:
    """Standard deviations: what error costs as much as one unit of any other."""

    leg_direction: float = 0.12
    """thigh and shank [rad]"""
    arm_direction: float = 0.10
    """upper arm and forearm [rad]"""
    pelvis_rot: float = 0.15
    chest_rot: float = 0.15
    head_rot: float = 0.3
    foot_rot: float = 0.2
    """orientations [rad]"""
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
    limit: float = 0.01
    """excess over a joint limit, before the clip that makes it hard [rad]"""
    root_acc: float = 6.0
    """[m/s^2]"""
    root_angular_acc: float = 40.0
    """[rad/s^2]"""
    joint_acc: float = 60.0
    """[rad/s^2]"""
    damping: float = 0.1
    """Levenberg-Marquardt damping at the start"""


@dataclass(frozen=True)
class Solution:
    """qpos (F, 7 + J), the final cost, Gauss-Newton iterations used, and whether the cost had settled."""

    qpos: np.ndarray
    cost: float
    iterations: int
    converged: bool


def solve(rig: Rig, targets: Targets, fps: float, weights: Weights, iterations: int = 20) -> Solution:
    """Solve one clip. Compiles once per robot and padded length."""
    frames = len(targets.valid)
    padded = padded_length(frames)
    batch = jax.tree.map(lambda x: jnp.asarray(_pad(x, padded), jnp.float32), targets)
    batch = batch._replace(valid=batch.valid.at[frames:].set(0.0))
    qpos, cost, count, converged = _program(rig, weights, iterations)(batch, jnp.float32(fps))
    return Solution(np.asarray(qpos[:frames], np.float64), float(cost), int(count) + len(APPROACH), bool(converged))


def padded_length(frames: int) -> int:
    """The smallest member of 64 x 1.25^k that holds `frames`."""
    length = 64.0
    while int(length) < frames:
        length *= _PAD_STEP
    return int(length)


def _pad(x: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([x, np.repeat(x[-1:], length - len(x), axis=0)])


@lru_cache(maxsize=16)
def _program(rig: Rig, weights: Weights, iterations: int):
    return jax.jit(partial(_solve_clip, rig, weights, iterations))


def _solve_clip(rig: Rig, weights: Weights, iterations: int, targets: Targets, fps: Array) -> tuple:
    with jax.default_matmul_precision("highest"):
        state = _initial_state(rig, targets)

        def approach(state, firmness):
            direction = _newton_step(rig, weights, targets, fps, state, jnp.float32(1.0), firmness)
            return _moved(state, jnp.clip(direction, -MAX_STEP, MAX_STEP)), None

        state, _ = jax.lax.scan(approach, state, jnp.asarray(APPROACH, jnp.float32))
        cost = _cost(rig, weights, targets, fps, state)

        def unfinished(carry):
            _, _, _, count, quiet = carry
            return (count < iterations) & (quiet < 2)

        def step(carry):
            state, cost, damping, count, quiet = carry
            trial = _moved(state, _newton_step(rig, weights, targets, fps, state, damping, jnp.float32(1.0)))
            trial_cost = _cost(rig, weights, targets, fps, trial)
            better = trial_cost < cost
            quiet = jnp.where(better & (trial_cost < cost * (1.0 - TOLERANCE)), 0, quiet + better)
            state = jax.tree.map(lambda new, old: jnp.where(better, new, old), trial, state)
            cost = jnp.where(better, trial_cost, cost)
            damping = jnp.clip(jnp.where(better, damping * 0.2, damping * 10.0), 1e-3, 1e6)
            return state, cost, damping, count + 1, quiet

        start = (state, cost, jnp.float32(weights.damping), jnp.int32(0), jnp.int32(0))
        state, cost, _, count, quiet = jax.lax.while_loop(unfinished, step, start)
    return jnp.concatenate(state, axis=-1), cost, count, quiet >= 2


def _initial_state(rig: Rig, targets: Targets) -> tuple[Array, Array, Array]:
    rot = targets.frame_rot[:, rig.frame_roles.index("pelvis")]
    quat = _matrix_to_quat(rot)
    pos = targets.hip_centre - rot @ jnp.asarray(rig.hip_centre, rot.dtype)
    return pos, quat, targets.rest


def _matrix_to_quat(m: Array) -> Array:
    """Quaternions (F, 4) of rotation matrices (F, 3, 3): the best conditioned of four formulas."""
    d = [m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]]
    w2 = jnp.stack([1 + d[0] + d[1] + d[2], 1 + d[0] - d[1] - d[2], 1 - d[0] + d[1] - d[2], 1 - d[0] - d[1] + d[2]], -1)
    a = [m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]]
    s = [m[:, 1, 0] + m[:, 0, 1], m[:, 0, 2] + m[:, 2, 0], m[:, 2, 1] + m[:, 1, 2]]
    options = jnp.stack(
        [
            jnp.stack([w2[:, 0], a[0], a[1], a[2]], -1),
            jnp.stack([a[0], w2[:, 1], s[0], s[1]], -1),
            jnp.stack([a[1], s[0], w2[:, 2], s[2]], -1),
            jnp.stack([a[2], s[1], s[2], w2[:, 3]], -1),
        ],
        axis=1,
    )
    best = jnp.argmax(w2, axis=-1)
    return quat_normalize(jnp.take_along_axis(options, best[:, None, None], axis=1)[:, 0])


def _moved(state: tuple[Array, Array, Array], step: Array) -> tuple[Array, Array, Array]:
    pos, quat, joints = state
    quat = quat_normalize(quat_mul(quat_exp(step[:, 3:6]), quat))
    return pos + step[:, :3], quat, joints + step[:, 6:]


def _all_points(rig: Rig) -> Points:
    """Role joints, heels and toes, hip centre, soles, guards: in this order."""
    base = Points(np.zeros(1, int), rig.hip_centre[None], np.zeros(1))
    parts = (rig.joints, rig.heel_toe, base, rig.sole, rig.guard)
    return Points(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("link", "offset", "radius")))


def _residuals(rig: Rig, weights: Weights, targets: Targets, state: tuple, firmness: Array, jacobian: bool) -> tuple:
    """Per-frame residuals (F, M), their Jacobian (F, M, 6 + J) or None, and standing points with theirs (for sliding)."""
    pos, quat, joints = state
    chain, dtype = rig.chain, joints.dtype
    link_pos, link_rot = link_frames(chain, pos, quat_to_matrix(quat), joints)
    everything = _all_points(rig)
    points = points_on(everything.link, everything.offset, link_pos, link_rot)  # [F, P, 3]
    axes, anchors = joint_axes(chain, link_pos, link_rot)
    point_jac = point_jacobian(chain, everything.link, points, pos, axes, anchors) if jacobian else None
    rows, jac = [], []

    def add(residual: Array, weight, derivative) -> None:
        """Residuals (F, ...) with a weight that broadcasts to them, and their derivative (F, ..., 6 + J)."""
        weight = jnp.broadcast_to(jnp.asarray(weight, dtype), residual.shape)
        rows.append((weight * residual).reshape(len(pos), -1))
        if jacobian:
            jac.append((weight[..., None] * derivative()).reshape(len(pos), -1, 6 + chain.num_joints))

    near = np.array([rig.role(a) for a, _ in rig.bones])
    far = np.array([rig.role(b) for _, b in rig.bones])
    length = jnp.asarray(rig.bone_length, dtype)[:, None]
    sigma = np.array([weights.leg_direction if b[2:] in ("shank", "foot") else weights.arm_direction for _, b in rig.bones])
    bone = (points[:, far] - points[:, near]) / length
    add(
        bone - targets.bone_dir,
        targets.bone_weight[..., None] / jnp.asarray(sigma, dtype)[:, None],
        lambda: (point_jac[:, far] - point_jac[:, near]) / length[..., None],
    )
    frame_rot = link_rot[:, rig.frame_link] @ jnp.asarray(rig.frame_rot, dtype)
    sigma = np.array([getattr(weights, f"{r.split('_')[-1]}_rot") for r in rig.frame_roles])
    add(
        _rotation_error(frame_rot, targets.frame_rot),
        1.0 / jnp.asarray(sigma, dtype)[:, None],
        lambda: rotation_jacobian(chain, rig.frame_link, axes),
    )
    feet = np.array([rig.role("l_foot"), rig.role("r_foot")])
    add(points[:, feet] - targets.ankle, 1.0 / weights.ankle, lambda: point_jac[:, feet])
    first = len(rig.joints)
    ends = np.arange(first, first + 4)
    hip = first + 4
    add(points[:, hip] - targets.hip_centre, 1.0 / weights.hip_centre, lambda: point_jac[:, hip])
    end_height = points[:, ends, 2] - jnp.asarray(rig.heel_toe.radius, dtype)
    add(end_height, firmness * targets.stand / weights.ground, lambda: point_jac[:, ends, 2])
    low = np.arange(hip + 1, len(everything))
    depth = points[:, low, 2] - jnp.asarray(everything.radius[low], dtype)
    add(jnp.minimum(depth, 0.0), firmness / weights.penetration, lambda: point_jac[:, low, 2] * (depth < 0.0)[..., None])
    eye = jnp.concatenate([jnp.zeros((chain.num_joints, 6), dtype), jnp.eye(chain.num_joints, dtype=dtype)], axis=1)
    over = joints - jnp.clip(joints, jnp.asarray(rig.low + LIMIT_MARGIN, dtype), jnp.asarray(rig.high - LIMIT_MARGIN, dtype))
    add(over, firmness / weights.limit, lambda: jnp.broadcast_to(eye, (len(pos), *eye.shape)) * (over != 0.0)[..., None])
    add(joints - targets.rest, targets.stiffness, lambda: jnp.broadcast_to(eye, (len(pos), *eye.shape)))

    residual = jnp.concatenate(rows, axis=1) * targets.valid[:, None]
    full = jnp.concatenate(jac, axis=1) * targets.valid[:, None, None] if jacobian else None
    standing = points[:, ends, :2], point_jac[:, ends, :2] if jacobian else None
    return residual, full, standing


def _rotation_error(rot: Array, target: Array) -> Array:
    """World rotation vector (..., 3) from `target` to `rot` [rad], away from the half turn."""
    d = jnp.sum(rot[..., :, None, :] * target[..., None, :, :], axis=-1)  # rot target^T
    axis = 0.5 * jnp.stack([d[..., 2, 1] - d[..., 1, 2], d[..., 0, 2] - d[..., 2, 0], d[..., 1, 0] - d[..., 0, 1]], -1)
    cos = 0.5 * (d[..., 0, 0] + d[..., 1, 1] + d[..., 2, 2] - 1.0)
    sin_sq = jnp.sum(axis * axis, axis=-1)
    small = sin_sq < 1e-8
    sin = jnp.sqrt(jnp.where(small, 1.0, sin_sq))
    factor = jnp.where(small, 1.0, jnp.arctan2(sin, cos) / sin)
    return axis * factor[..., None]


def _temporal(rig: Rig, weights: Weights, targets: Targets, fps: Array) -> tuple[Array, Array, Array]:
    """Acceleration weights (F-2, nv) of x[f] - 2 x[f+1] + x[f+2], slide weights (F-1, 4)."""
    sigma = np.concatenate([[weights.root_acc] * 3, [weights.root_angular_acc] * 3, [weights.joint_acc] * rig.chain.num_joints])
    valid = targets.valid
    acc = (fps**2 / jnp.asarray(sigma, valid.dtype)) * (valid[2:] * valid[1:-1] * valid[:-2])[:, None]
    slide = (fps / weights.slide) * targets.stand[1:] * targets.stand[:-1] * (valid[1:] * valid[:-1])[:, None]
    return acc, slide


def _differences(state: tuple[Array, Array, Array]) -> Array:
    """First differences (F-1, nv) of the pose; the base rotation as world rotation vectors."""
    pos, quat, joints = state
    turn = quat_log(quat_mul(quat[1:], quat_conj(quat[:-1])))
    return jnp.concatenate([pos[1:] - pos[:-1], turn, joints[1:] - joints[:-1]], axis=1)


def _cost(rig: Rig, weights: Weights, targets: Targets, fps: Array, state: tuple) -> Array:
    residual, _, (ends, _) = _residuals(rig, weights, targets, state, jnp.float32(1.0), jacobian=False)
    acc_weight, slide_weight = _temporal(rig, weights, targets, fps)
    step = _differences(state)
    acc = acc_weight * (step[1:] - step[:-1])
    slide = slide_weight[..., None] * (ends[1:] - ends[:-1])
    return jnp.sum(residual**2) + jnp.sum(acc**2) + jnp.sum(slide**2)


def _newton_step(
    rig: Rig, weights: Weights, targets: Targets, fps: Array, state: tuple, damping: Array, firmness: Array
) -> Array:
    """The damped Gauss-Newton step (F, nv) within the joint limits."""
    residual, jac, (ends, ends_jac) = _residuals(rig, weights, targets, state, firmness, jacobian=True)
    acc_weight, slide_weight = _temporal(rig, weights, targets, fps)
    slide_weight = firmness * slide_weight
    nv = jac.shape[-1]
    diagonal = jnp.einsum("fmi,fmj->fij", jac, jac)
    gradient = jnp.einsum("fmi,fm->fi", jac, residual)
    # sliding couples neighbours
    weight = jnp.repeat(slide_weight[..., None], 2, axis=-1)[..., None]
    frames = len(gradient)
    before, after = ((weight * j).reshape(frames - 1, 8, nv) for j in (ends_jac[:-1], ends_jac[1:]))
    moved = (slide_weight[..., None] * (ends[1:] - ends[:-1])).reshape(-1, 8)
    diagonal = diagonal.at[:-1].add(jnp.einsum("fmi,fmj->fij", before, before))
    diagonal = diagonal.at[1:].add(jnp.einsum("fmi,fmj->fij", after, after))
    gradient = gradient.at[:-1].add(-jnp.einsum("fmi,fm->fi", before, moved))
    gradient = gradient.at[1:].add(jnp.einsum("fmi,fm->fi", after, moved))
    first = -jnp.einsum("fmi,fmj->fij", after, before)  # H[f + 1, f]
    # accelerations couple three frames, coordinate by coordinate
    step = _differences(state)
    w2 = acc_weight**2
    acc = w2 * (step[1:] - step[:-1])
    gradient = gradient.at[:-2].add(acc).at[1:-1].add(-2.0 * acc).at[2:].add(acc)
    own = jnp.zeros_like(gradient).at[:-2].add(w2).at[1:-1].add(4.0 * w2).at[2:].add(w2)
    next_one = jnp.zeros((frames - 1, nv), gradient.dtype).at[:-1].add(-2.0 * w2).at[1:].add(-2.0 * w2)
    eye = jnp.eye(nv, dtype=gradient.dtype)
    diagonal = diagonal + (own + damping)[..., None] * eye
    first = first + next_one[..., None] * eye
    return -solve_block_pentadiagonal(diagonal, first, w2, gradient)
