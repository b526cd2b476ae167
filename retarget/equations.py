"""What some frames of a clip cost, and the normal equations J^T J x = -J^T r of a step that costs less, in JAX.

Residuals of single frames (`terms`), and those that couple two or three: steps of standing feet, accelerations, balance.
"""

from typing import NamedTuple

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


class Jacobian(NamedTuple):
    """J of F frames, as the parts it is made of.

    dense: of residuals that concern each frame alone, each and the next, each and the next two: the derivatives by the first
    (second, third) of these frames, each (F, F-1 or F-2, R, nv). The squares of rows that concern one coordinate: own (F, nv)
    of springs and damping, speed (F-1, nv) of first differences, acc (F-2, nv) of second ones.
    """

    dense: tuple[tuple[Array, ...], ...]
    own: Array
    speed: Array
    acc: Array


def linearize(
    rig: Rig, weights: Weights, targets: Targets, pose: Pose, fps: Array, firmness: Array, near: Array, damping: Array
) -> tuple[Jacobian, Array]:
    """J of frames, damped, and -J^T r (F, nv), which is complete for all of them but the `HALO` at both ends.

    While the pose is far, `firmness` (0, 1] softens ground, slide and limits, and balance does not count: it does if `near`.
    """
    kin = kinematics(rig, pose)
    terms = frame_terms(rig, weights, targets, pose, kin, firmness, jacobian=True)
    acc_weight, slide_weight = _coupling_weights(rig, weights, targets, fps)
    nv = terms.jacobian.shape[-1]
    slide_weight = firmness * slide_weight[..., None]
    rows = 2 * len(rig.heel_toe)
    before, after = ((slide_weight[..., None] * j).reshape(-1, rows, nv) for j in (terms.ends_jac[:-1], terms.ends_jac[1:]))
    moved = (slide_weight * (terms.ends[1:] - terms.ends[:-1])).reshape(-1, rows)
    dense: list[tuple[tuple[Array, ...], Array]] = [((terms.jacobian,), terms.residual), ((-before, after), moved)]
    if np.isfinite(weights.pressure):

        def balance() -> tuple[Array, ...]:
            found = balance_terms(rig, weights, targets, kin, terms.ends, terms.ends_jac, fps, jacobian=True)
            return found.before, found.now, found.after, found.residual

        shapes = jax.eval_shape(balance)
        *parts, residual = jax.lax.cond(near, balance, lambda: tuple(jnp.zeros(s.shape, s.dtype) for s in shapes))
        dense.append((tuple(parts), residual))
    step = _differences(pose)
    rush, rush_weight = _rush(weights, targets, step[:, 6:], fps)
    gradient = _differenced(acc_weight**2 * (step[1:] - step[:-1]), jnp.pad(rush_weight * rush, [(0, 0), (6, 0)]))
    gradient += jnp.pad(terms.spring_pull, [(0, 0), (6, 0)])
    for parts, residual in dense:
        gradient += _pulled_back(parts, residual)
    own = jnp.pad(terms.spring_stiffness, [(0, 0), (6, 0)]) + damping
    speed = jnp.pad(rush_weight**2, [(0, 0), (6, 0)])
    return Jacobian(tuple(parts for parts, _ in dense), own, speed, acc_weight**2), -gradient


def times(jacobian: Jacobian, x: Array) -> Array:
    """J^T J x (F, nv) as J^T (J x), which loses less to rounding than J^T J multiplied out; see `descent.mended`."""
    step = x[1:] - x[:-1]
    result = jacobian.own * x + _differenced(jacobian.acc * (step[1:] - step[:-1]), jacobian.speed * step)
    for parts in jacobian.dense:
        change = [jnp.einsum("fmi,fi->fm", part, x[by : by + len(part)]) for by, part in enumerate(parts)]
        result += _pulled_back(parts, jnp.sum(jnp.stack(change), axis=0))
    return result


def normal_rows(jacobian: Jacobian) -> Rows:
    """J^T J multiplied out: its rows for all frames but the `HALO` at both ends."""
    frames, nv = jacobian.own.shape
    # XLA multiplies small matrices one pair at a time: what can be stacked is
    stack, upper, lower = [], [], []
    second = jnp.zeros((frames - 2, nv, nv), jacobian.own.dtype)  # H[f + 2, f]
    for parts in jacobian.dense:
        stack += [_shifted(part, by, frames) for by, part in enumerate(parts)]
        upper += [_shifted(part, by, frames - 1) for by, part in enumerate(parts[:-1])]
        lower += [_shifted(part, by, frames - 1) for by, part in enumerate(parts[1:])]
        if len(parts) == 3:
            second += _gram(parts[2], parts[0])
    stacked = jnp.concatenate(stack, axis=1)
    first = _gram(jnp.concatenate(lower, axis=1), jnp.concatenate(upper, axis=1))  # H[f + 1, f]
    # accelerations couple three frames, coordinate by coordinate; so do speeds beyond what joints are allowed
    acc, speed = jacobian.acc, jacobian.speed
    own = jacobian.own.at[:-2].add(acc).at[1:-1].add(4.0 * acc).at[2:].add(acc).at[:-1].add(speed).at[1:].add(speed)
    next_one = (-speed).at[:-1].add(-2.0 * acc).at[1:].add(-2.0 * acc)
    eye = jnp.eye(nv, dtype=own.dtype)
    diagonal = _gram(stacked, stacked) + own[..., None] * eye  # H[f, f]
    first += next_one[..., None] * eye
    second += acc[..., None] * eye
    return Rows(diagonal[HALO:-HALO], first[HALO - 1 : -HALO], second[:-HALO])


def _pulled_back(parts: tuple[Array, ...], change: Array) -> Array:
    """C^T change (F, nv) for `change` (F, F-1 or F-2, R) of the rows C whose derivatives are `parts`."""
    frames = len(change) + len(parts) - 1
    each = [_shifted(jnp.einsum("fmi,fm->fi", part, change), by, frames) for by, part in enumerate(parts)]
    return jnp.sum(jnp.stack(each), axis=0)


def _differenced(acc: Array, speed: Array) -> Array:
    """What second differences `acc` (F-2, nv) and first ones `speed` (F-1, nv) give to the frames (F, nv) they are taken of."""
    frames = len(speed) + 1
    by_acc = _shifted(acc, 0, frames) - 2.0 * _shifted(acc, 1, frames) + _shifted(acc, 2, frames)
    return by_acc - _shifted(speed, 0, frames) + _shifted(speed, 1, frames)


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
