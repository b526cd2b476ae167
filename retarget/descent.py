"""Levenberg-Marquardt over a whole clip, a window of frames at a time, in JAX.

Each step's system is block-pentadiagonal in time (accelerations couple three frames). A window's rows are built and
eliminated before the next window's, so the program's size is the window's, whatever the length of the clip.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from motions.rotations import Array, quat_conj, quat_exp, quat_log, quat_mul, quat_normalize
from retarget.balance import balance_terms
from retarget.banded import Factors, Rows, eliminate, nothing_before, nothing_behind, substitute
from retarget.rig import Rig
from retarget.scaling import Targets
from retarget.terms import Pose, Weights, frame_terms, kinematics

WINDOW = 64  # frames
HALO = 2  # frames before and behind, which residuals couple to a window's
APPROACH = (0.02, 0.05, 0.1, 0.3, 1.0)  # firmness of ground, slide and limits in the first steps
APPROACH_DAMPING = 1.0
MAX_STEP = 0.7  # of any coordinate in those steps [rad], [m]
TRIES, SHORTER = 5, 0.4  # a step is shortened so often, by this factor, where the cost would rise
NEIGHBOURS = 15  # frames that take one decision on that
TOLERANCE = 0.02  # of its cost and the mean's that a window must gain to be looked at again
CUT_TOLERANCE = 0.001  # the same after a step that had to be shortened


class Progress(NamedTuple):
    """Where a descent is: pose (N + 2 HALO frames), what each frame costs (N,), steps done, which windows are still worked on
    (N / WINDOW,), the damping, and room to work in, which is large and need not be found again for every step."""

    pose: Pose
    costs: Array
    count: Array
    active: Array
    damping: Array
    room: Factors


def descend(
    rig: Rig, weights: Weights, targets: Targets, pose: Pose, fps: Array, windows: Array, first: Array, limit: Array
) -> tuple[Pose, Array, Array, Array]:
    """Steps `first` to `limit`: those of the approach with soft ground and without balance, every one taken; then such as lower
    the cost, in windows that still gain by them. Returns pose, cost, steps done, and whether nothing was left to gain.

    `targets` and `pose` hold `HALO` frames before the clip and behind its last window, none of them valid; all that lies
    behind `windows` windows is left alone.
    """

    def unfinished(now: Progress) -> Array:
        return (now.count < limit) & jnp.any(now.active)

    def step(now: Progress) -> Progress:
        near = now.count >= len(APPROACH)
        firmness = jnp.asarray((*APPROACH, 1.0), jnp.float32)[jnp.minimum(now.count, len(APPROACH))]
        move, room = _newton_step(rig, weights, targets, now, fps, windows, firmness, near)
        solved = jnp.all(jnp.isfinite(move))  # float32 cannot factorize everything: then more is added to the diagonal
        move = jnp.where(solved, jnp.where(near, move, jnp.clip(move, -MAX_STEP, MAX_STEP)), 0.0)
        share, costs = _search(rig, weights, targets, now, move, fps, windows, near)
        spent = jnp.sum(costs.reshape(-1, WINDOW), axis=1)
        gain = jnp.sum((now.costs - costs).reshape(-1, WINDOW), axis=1)
        cut = jnp.min(share[HALO:-HALO].reshape(-1, WINDOW), axis=1) < 1.0  # the whole way was too long: not there yet
        gained = gain > jnp.where(cut, CUT_TOLERANCE, TOLERANCE) * (spent + jnp.sum(spent) / windows)
        active = jnp.where(near, _beside(gained) & existing, existing)
        calm = jnp.where(now.count + 1 < len(APPROACH), APPROACH_DAMPING, weights.damping)
        damping = jnp.where(solved, calm, 100.0 * now.damping)
        return Progress(
            _moved(now.pose, share * move), costs, now.count + 1, jnp.where(solved, active, now.active), damping, room
        )

    with jax.default_matmul_precision("highest"):
        frames = len(pose.pos) - 2 * HALO
        existing = jnp.arange(frames // WINDOW) < windows
        room = _room(rig, frames, pose.pos.dtype)
        unknown = jnp.where(jnp.repeat(existing, WINDOW), jnp.float32(1e20), 0.0)
        damping = jnp.where(first < len(APPROACH), APPROACH_DAMPING, weights.damping)
        end = jax.lax.while_loop(unfinished, step, Progress(pose, unknown, first, existing, damping, room))
        return end.pose, jnp.sum(end.costs), end.count, ~jnp.any(end.active)


def _beside(some: Array) -> Array:
    """These windows and those beside them."""
    return some | jnp.roll(some, 1).at[0].set(False) | jnp.roll(some, -1).at[-1].set(False)


def _search(
    rig: Rig, weights: Weights, targets: Targets, now: Progress, move: Array, fps: Array, windows: Array, near: Array
) -> tuple[Array, Array]:
    """The share (N + 2 HALO, 1) of `move` that lowers the cost, and what frames cost then. All of it, unasked, unless `near`.

    Where frames and their neighbours would cost more, they go a shorter way: one bad moment must not hold up a whole clip.
    """

    mean = jnp.sum(now.costs) / (windows * WINDOW)

    def worse(costs: Array) -> Array:
        return _neighbours(costs - now.costs) > TOLERANCE * NEIGHBOURS * mean

    def in_vain(tried: tuple[Array, ...]) -> Array:
        count, _, _, costs = tried
        lower = jnp.sum(costs) < jnp.sum(now.costs)
        return near & (count < TRIES) & (~lower | jnp.any(worse(costs)))

    def shorter(tried: tuple[Array, ...]) -> tuple[Array, ...]:
        count, share, _, _ = tried
        costs = _costs(rig, weights, targets, now, _moved(now.pose, _with_halo(share) * move), fps, windows)
        next_share = jnp.where(_neighbours(costs - now.costs) > 0.0, SHORTER * share, share)
        return count + 1, _neighbours(next_share) / NEIGHBOURS, share, costs

    whole = jnp.ones_like(now.costs)
    _, _, share, costs = jax.lax.while_loop(in_vain, shorter, (jnp.int32(0), whole, whole, now.costs))
    lower = jnp.sum(costs) < jnp.sum(now.costs)
    share = jnp.where(near & ~lower, 0.0, share)
    return _with_halo(share), jnp.where(lower, costs, now.costs)


def _with_halo(frames: Array) -> Array:
    return jnp.pad(frames, HALO)[:, None]


def _neighbours(values: Array) -> Array:
    """Of every frame the sum over itself and its neighbours; the ends repeat."""
    padded = jnp.pad(values, NEIGHBOURS // 2, mode="edge")
    return jax.lax.reduce_window(padded, 0.0, jax.lax.add, (NEIGHBOURS,), (1,), "valid")


def _newton_step(
    rig: Rig, weights: Weights, targets: Targets, now: Progress, fps: Array, windows: Array, firmness: Array, near: Array
) -> tuple[Array, Factors]:
    """The damped Gauss-Newton step (N + 2 HALO, 6 + J) of the active windows, zero elsewhere, and the used room. `near`:
    balance counts."""
    (frames, nv), dtype = now.room.y.shape, now.pose.pos.dtype

    def forward(index: Array, state: tuple[Any, Factors]) -> tuple[Any, Factors]:
        past, factors = state
        view, posed = (_frames(tree, index, WINDOW + 2 * HALO) for tree in (targets, now.pose))
        past, new = eliminate(past, _normal_rows(rig, weights, view, posed, fps, firmness, near, now.damping))
        return past, jax.tree.map(lambda whole, part: _put(whole, part, index), factors, new)

    def backward(index: Array, state: tuple[Any, Array]) -> tuple[Any, Array]:
        future, move = state
        future, part = substitute(future, _frames(factors, index, WINDOW))
        return future, _put(move, part, index)

    def if_active(work: Any, fresh: Any, index: Array, state: tuple[Any, Any]) -> tuple[Any, Any]:
        # what is not worked on does not move: to its neighbours it is as if nothing were there
        return jax.lax.cond(now.active[index], lambda: work(index, state), lambda: (fresh, state[1]))

    before, behind = nothing_before(nv, dtype), nothing_behind(nv, dtype)
    _, factors = jax.lax.fori_loop(0, windows, partial(if_active, forward, before), (before, now.room))
    still = (behind, jnp.zeros((frames, nv), dtype))
    _, move = jax.lax.fori_loop(0, windows, lambda done, state: if_active(backward, behind, windows - 1 - done, state), still)
    return jnp.pad(move, [(HALO, HALO), (0, 0)]), factors


def _room(rig: Rig, frames: int, dtype: jnp.dtype) -> Factors:
    nv = 6 + rig.chain.num_joints
    square = jnp.zeros((frames, nv, nv), dtype)
    return Factors(square, square, square, jnp.zeros((frames, nv), dtype))


def _frames(tree: Any, index: Array, count: int, ahead: int = 0) -> Any:
    """`count` frames of every array from the start of window `index`, or from `ahead` frames later."""
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, index * WINDOW + ahead, count), tree)


def _put(whole: Array, part: Array, index: Array) -> Array:
    return jax.lax.dynamic_update_slice_in_dim(whole, part, index * WINDOW, 0)


def _moved(pose: Pose, step: Array) -> Pose:
    quat = quat_normalize(quat_mul(quat_exp(step[:, 3:6]), pose.quat))
    return Pose(pose.pos + step[:, :3], quat, pose.joints + step[:, 6:])


def _coupling_weights(rig: Rig, weights: Weights, targets: Targets, fps: Array) -> tuple[Array, Array]:
    """Weights (F-2, nv) of x[f] - 2 x[f+1] + x[f+2] and (F-1, E L) of the steps of standing points."""
    sigma = np.concatenate([[weights.root_acc] * 3, [weights.root_angular_acc] * 3, [weights.joint_acc] * rig.chain.num_joints])
    valid = targets.valid
    acc = (fps**2 / jnp.asarray(sigma, valid.dtype)) * (valid[2:] * valid[:-2])[:, None]
    slide = (fps / weights.slide) * targets.stand[1:] * targets.stand[:-1] * (valid[1:] * valid[:-1])[:, None]
    return acc, slide


def _differences(pose: Pose) -> Array:
    """First differences (F-1, nv) of the pose; the base rotation as world rotation vectors."""
    turn = quat_log(quat_mul(pose.quat[1:], quat_conj(pose.quat[:-1])))
    return jnp.concatenate([pose.pos[1:] - pose.pos[:-1], turn, pose.joints[1:] - pose.joints[:-1]], axis=1)


def _costs(rig: Rig, weights: Weights, targets: Targets, now: Progress, pose: Pose, fps: Array, windows: Array) -> Array:
    """What every frame (N,) of `pose` costs: the sum of squares. What couples frames counts for the first of them."""

    def cost(index: Array) -> Array:
        view, posed = (_frames(tree, index, WINDOW + HALO, HALO) for tree in (targets, pose))
        kin = kinematics(rig, posed)
        terms = frame_terms(rig, weights, view, posed, kin, jnp.float32(1.0), jacobian=False)
        acc_weight, slide_weight = _coupling_weights(rig, weights, view, fps)
        step = _differences(posed)
        acc = acc_weight * (step[1:] - step[:-1])
        slide = slide_weight[..., None] * (terms.ends[1:] - terms.ends[:-1])
        total = jnp.sum(acc**2, axis=1) + jnp.sum(slide[:WINDOW] ** 2, axis=(1, 2))
        total += jnp.sum(terms.residual[:WINDOW] ** 2, axis=1) + terms.spring_cost[:WINDOW]
        if np.isfinite(weights.pressure):
            total += balance_terms(rig, weights, view, kin, terms.ends, terms.ends_jac, fps, jacobian=False).cost
        return total

    moving = _beside(now.active)  # a window's cost changes with its neighbour's first frames

    def fill(index: Array, costs: Array) -> Array:
        return jax.lax.cond(moving[index], lambda: _put(costs, cost(index), index), lambda: costs)

    return jax.lax.fori_loop(0, windows, fill, now.costs)


def _normal_rows(
    rig: Rig, weights: Weights, targets: Targets, pose: Pose, fps: Array, firmness: Array, near: Array, damping: Array
) -> Rows:
    """The rows of J^T J x = -J^T r, damped, for all frames but the `HALO` at both ends."""
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
    own = jnp.zeros_like(gradient).at[:, 6:].add(terms.spring_stiffness).at[:-2].add(w2).at[1:-1].add(4.0 * w2).at[2:].add(w2)
    next_one = jnp.zeros((frames - 1, nv), gradient.dtype).at[:-1].add(-2.0 * w2).at[1:].add(-2.0 * w2)
    eye = jnp.eye(nv, dtype=gradient.dtype)
    diagonal += (own + damping)[..., None] * eye
    first += next_one[..., None] * eye
    second += w2[..., None] * eye
    return Rows(diagonal[HALO:-HALO], first[HALO - 1 : -HALO], second[:-HALO], -gradient[HALO:-HALO])


def _shifted(rows: Array, by: int, count: int) -> Array:
    """`rows` (R, ...) as rows by, by + 1, ... of `count`; the others are zero."""
    return jnp.pad(rows, [(by, count - by - len(rows))] + [(0, 0)] * (rows.ndim - 1))


def _gram(a: Array, b: Array) -> Array:
    """a^T b for every frame: (F, M, n), (F, M, k) -> (F, n, k)."""
    return jnp.einsum("fmi,fmj->fij", a, b)
