"""What some frames of a clip cost, and the normal equations of a step that costs less, in JAX.

Residuals of single frames (`terms`), and those that couple two or three: steps of standing feet, accelerations, balance.
"""

import jax
import jax.numpy as jnp
import numpy as np

from motions.rotations import Array, quat_conj, quat_log, quat_mul
from retarget.balance import balance_terms
from retarget.banded import Rows
from retarget.rig import JOINT_SPEED_RAD_S, Rig
from retarget.scaling import Targets
from retarget.terms import Pose, Weights, frame_terms, kinematics

MAX_JOINT_SPEED = 0.95 * JOINT_SPEED_RAD_S  # the soft limit lies inside the hard one
HALO = 2  # frames before and behind that residuals couple some frames to


def frame_costs(rig: Rig, weights: Weights, targets: Targets, pose: Pose, fps: Array) -> Array:
    """The sum of squares of every frame but the last `HALO`. What couples frames counts for the first of them."""
    kin = kinematics(rig, pose)
    terms = frame_terms(rig, weights, targets, pose, kin, jnp.float32(1.0), jacobian=False)
    acc_weight, slide_weight = _coupling_weights(rig, weights, targets, fps)
    step = _differences(pose)
    acc = acc_weight * (step[1:] - step[:-1])
    slide = slide_weight[..., None] * (terms.ends[1:] - terms.ends[:-1])
    rush, _ = _rush(weights, targets, step[:, 6:], fps)
    total = jnp.sum(acc**2, axis=1) + jnp.sum(slide[:-1] ** 2, axis=(1, 2)) + jnp.sum(rush[:-1] ** 2, axis=1)
    total += jnp.sum(terms.residual[:-HALO] ** 2, axis=1) + terms.spring_cost[:-HALO]
    if np.isfinite(weights.pressure):
        total += balance_terms(rig, weights, targets, kin, terms.ends, terms.ends_jac, fps, jacobian=False).cost
    return total


def normal_rows(
    rig: Rig, weights: Weights, targets: Targets, pose: Pose, fps: Array, firmness: Array, near: Array, damping: Array
) -> Rows:
    """The rows of J^T J x = -J^T r, damped, for all frames but the `HALO` at both ends.

    While the pose is far, `firmness` (0, 1] softens ground, slide and limits, and balance does not count: it does if `near`.
    """
    kin = kinematics(rig, pose)
    terms = frame_terms(rig, weights, targets, pose, kin, firmness, jacobian=True)
    acc_weight, slide_weight = _coupling_weights(rig, weights, targets, fps)
    frames, _, nv = terms.jacobian.shape
    # rows that couple frames: their derivatives by frame f, f + 1 (and f + 2), and their residual
    slide_weight = firmness * slide_weight[..., None]
    rows = 2 * len(rig.heel_toe)
    before, after = ((slide_weight[..., None] * j).reshape(-1, rows, nv) for j in (terms.ends_jac[:-1], terms.ends_jac[1:]))
    moved = (slide_weight * (terms.ends[1:] - terms.ends[:-1])).reshape(-1, rows)
    couplings: list[tuple[tuple[Array, ...], Array]] = [((-before, after), moved)]
    if np.isfinite(weights.pressure):

        def balance() -> tuple[Array, ...]:
            found = balance_terms(rig, weights, targets, kin, terms.ends, terms.ends_jac, fps, jacobian=True)
            return found.before, found.now, found.after, found.residual

        shapes = jax.eval_shape(balance)
        *parts, residual = jax.lax.cond(near, balance, lambda: tuple(jnp.zeros(s.shape, s.dtype) for s in shapes))
        couplings.append((tuple(parts), residual))
    # XLA multiplies small matrices one pair at a time: what can be stacked is
    stack, residuals, upper, lower = [terms.jacobian], [terms.residual], [], []
    second = jnp.zeros((frames - 2, nv, nv), terms.jacobian.dtype)  # H[f + 2, f]
    for parts, residual in couplings:
        stack += [_shifted(part, by, frames) for by, part in enumerate(parts)]
        residuals += [_shifted(residual, by, frames) for by in range(len(parts))]
        upper += [_shifted(part, by, frames - 1) for by, part in enumerate(parts[:-1])]
        lower += [_shifted(part, by, frames - 1) for by, part in enumerate(parts[1:])]
        if len(parts) == 3:
            second += _gram(parts[2], parts[0])
    jacobian = jnp.concatenate(stack, axis=1)
    diagonal = _gram(jacobian, jacobian)  # H[f, f]
    gradient = jnp.einsum("fmi,fm->fi", jacobian, jnp.concatenate(residuals, axis=1))
    first = _gram(jnp.concatenate(lower, axis=1), jnp.concatenate(upper, axis=1))  # H[f + 1, f]
    # accelerations couple three frames, coordinate by coordinate
    w2 = acc_weight**2
    step = _differences(pose)
    acc = w2 * (step[1:] - step[:-1])
    gradient = gradient.at[:, 6:].add(terms.spring_pull)
    gradient = gradient.at[:-2].add(acc).at[1:-1].add(-2.0 * acc).at[2:].add(acc)
    # so do speeds beyond what joints are allowed
    rush, rush_weight = _rush(weights, targets, step[:, 6:], fps)
    gradient = gradient.at[:-1, 6:].add(-rush_weight * rush).at[1:, 6:].add(rush_weight * rush)
    rush_weight = jnp.pad(rush_weight**2, [(0, 0), (6, 0)])
    own = jnp.zeros_like(gradient).at[:, 6:].add(terms.spring_stiffness).at[:-2].add(w2).at[1:-1].add(4.0 * w2).at[2:].add(w2)
    own = own.at[:-1].add(rush_weight).at[1:].add(rush_weight)
    next_one = (-rush_weight).at[:-1].add(-2.0 * w2).at[1:].add(-2.0 * w2)
    eye = jnp.eye(nv, dtype=gradient.dtype)
    diagonal += (own + damping)[..., None] * eye
    first += next_one[..., None] * eye
    second += w2[..., None] * eye
    return Rows(diagonal[HALO:-HALO], first[HALO - 1 : -HALO], second[:-HALO], -gradient[HALO:-HALO])


def _coupling_weights(rig: Rig, weights: Weights, targets: Targets, fps: Array) -> tuple[Array, Array]:
    """Weights (F-2, nv) of x[f] - 2 x[f+1] + x[f+2] and (F-1, E L) of the steps of standing points."""
    sigma = np.concatenate([[weights.root_acc] * 3, [weights.root_angular_acc] * 3, [weights.joint_acc] * rig.chain.num_joints])
    valid = targets.valid
    acc = (fps**2 / jnp.asarray(sigma, valid.dtype)) * (valid[2:] * valid[:-2])[:, None]
    slide = (fps / weights.slide) * targets.stand[1:] * targets.stand[:-1] * (valid[1:] * valid[:-1])[:, None]
    return acc, slide


def _rush(weights: Weights, targets: Targets, step: Array, fps: Array) -> tuple[Array, Array]:
    """How much faster joints turn than they may, weighted (F-1, J), from their `step` [rad]; and its derivative by the step."""
    speed = fps * step
    over = speed - jnp.clip(speed, -MAX_JOINT_SPEED, MAX_JOINT_SPEED)
    weight = (targets.valid[1:] * targets.valid[:-1])[:, None] / weights.speed
    return weight * over, fps * weight * (over != 0.0)


def _differences(pose: Pose) -> Array:
    """First differences (F-1, nv) of the pose; the base rotation as world rotation vectors."""
    turn = quat_log(quat_mul(pose.quat[1:], quat_conj(pose.quat[:-1])))
    return jnp.concatenate([pose.pos[1:] - pose.pos[:-1], turn, pose.joints[1:] - pose.joints[:-1]], axis=1)


def _shifted(rows: Array, by: int, count: int) -> Array:
    """`rows` (R, ...) as rows by, by + 1, ... of `count`; the others are zero."""
    return jnp.pad(rows, [(by, count - by - len(rows))] + [(0, 0)] * (rows.ndim - 1))


def _gram(a: Array, b: Array) -> Array:
    """a^T b for every frame: (F, M, n), (F, M, k) -> (F, n, k)."""
    return jnp.einsum("fmi,fmj->fij", a, b)
