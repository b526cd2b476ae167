"""Levenberg-Marquardt over a whole clip, a window of frames at a time, in JAX.

Each step's system is block-pentadiagonal in time (accelerations couple three frames). A window's rows are built and
eliminated before the next window's, so the program's size is the window's, whatever the length of the clip.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from motions.rotations import Array, quat_exp, quat_mul, quat_normalize
from retarget.banded import Factors, eliminate, nothing_before, nothing_behind, substitute
from retarget.equations import HALO, frame_costs, normal_rows
from retarget.rig import Rig
from retarget.scaling import Targets
from retarget.terms import Pose, Weights

WINDOW = 64  # frames
APPROACH = (0.02, 0.05, 0.1, 0.3, 1.0)  # firmness of ground, slide and limits in the first steps
APPROACH_DAMPING = 1.0
MAX_STEP = 0.7  # of any coordinate in those steps [rad], [m]
TRIES, SHORTER = 5, 0.4  # a step is shortened so often, by this factor, where the cost would rise
NEIGHBOURS = 15  # frames that take one decision on that
TOLERANCE = 0.02  # of its cost and the mean's that a window must gain to be looked at again
CUT_TOLERANCE = 0.01  # the same after a step that had to be shortened


class Clip(NamedTuple):
    """What is to be solved: `targets` of N + 2 HALO frames, of which `windows` windows from the first HALO on are the clip, at
    `fps` [Hz]."""

    rig: Rig
    weights: Weights
    targets: Targets
    fps: Array
    windows: Array


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

    clip = Clip(rig, weights, targets, fps, windows)

    def unfinished(now: Progress) -> Array:
        return (now.count < limit) & jnp.any(now.active)

    def step(now: Progress) -> Progress:
        near = now.count >= len(APPROACH)
        firmness = jnp.asarray((*APPROACH, 1.0), jnp.float32)[jnp.minimum(now.count, len(APPROACH))]
        move, room = _newton_step(clip, now, firmness, near)
        solved = jnp.all(jnp.isfinite(move))  # float32 cannot factorize everything: then more is added to the diagonal
        move = jnp.where(solved, jnp.where(near, move, jnp.clip(move, -MAX_STEP, MAX_STEP)), 0.0)
        share, costs = _search(clip, now, move, near)
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


def _search(clip: Clip, now: Progress, move: Array, near: Array) -> tuple[Array, Array]:
    """The share (N + 2 HALO, 1) of `move` that lowers the cost, and what frames cost then. All of it, unasked, unless `near`.

    Where frames and their neighbours would cost more, they go a shorter way: one bad moment must not hold up a whole clip.
    """

    mean = jnp.sum(now.costs) / (clip.windows * WINDOW)

    def worse(costs: Array) -> Array:
        return _neighbours(costs - now.costs) > TOLERANCE * NEIGHBOURS * mean

    def in_vain(tried: tuple[Array, ...]) -> Array:
        count, _, _, costs = tried
        lower = jnp.sum(costs) < jnp.sum(now.costs)
        return near & (count < TRIES) & (~lower | jnp.any(worse(costs)))

    def shorter(tried: tuple[Array, ...]) -> tuple[Array, ...]:
        count, share, _, _ = tried
        costs = _costs(clip, now, _moved(now.pose, _with_halo(share) * move))
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


def _newton_step(clip: Clip, now: Progress, firmness: Array, near: Array) -> tuple[Array, Factors]:
    """The damped Gauss-Newton step (N + 2 HALO, 6 + J) of the active windows, zero elsewhere, and the used room. `near`:
    balance counts."""
    (frames, nv), dtype = now.room.y.shape, now.pose.pos.dtype

    def forward(index: Array, state: tuple[Any, Factors]) -> tuple[Any, Factors]:
        past, factors = state
        view, posed = (_frames(tree, index, WINDOW + 2 * HALO) for tree in (clip.targets, now.pose))
        past, new = eliminate(past, normal_rows(clip.rig, clip.weights, view, posed, clip.fps, firmness, near, now.damping))
        return past, jax.tree.map(lambda whole, part: _put(whole, part, index), factors, new)

    def backward(index: Array, state: tuple[Any, Array]) -> tuple[Any, Array]:
        future, move = state
        future, part = substitute(future, _frames(factors, index, WINDOW))
        return future, _put(move, part, index)

    def if_active(work: Any, fresh: Any, index: Array, state: tuple[Any, Any]) -> tuple[Any, Any]:
        # what is not worked on does not move: to its neighbours it is as if nothing were there
        return jax.lax.cond(now.active[index], lambda: work(index, state), lambda: (fresh, state[1]))

    before, behind = nothing_before(nv, dtype), nothing_behind(nv, dtype)
    _, factors = jax.lax.fori_loop(0, clip.windows, partial(if_active, forward, before), (before, now.room))
    still = (behind, jnp.zeros((frames, nv), dtype))
    _, move = jax.lax.fori_loop(
        0, clip.windows, lambda done, state: if_active(backward, behind, clip.windows - 1 - done, state), still
    )
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


def _costs(clip: Clip, now: Progress, pose: Pose) -> Array:
    """What every frame (N,) of `pose` costs: the sum of squares. What couples frames counts for the first of them."""
    moving = _beside(now.active)  # a window's cost changes with its neighbour's first frames

    def fill(index: Array, costs: Array) -> Array:
        def cost() -> Array:
            view, posed = (_frames(tree, index, WINDOW + HALO, HALO) for tree in (clip.targets, pose))
            return frame_costs(clip.rig, clip.weights, view, posed, clip.fps)

        return jax.lax.cond(moving[index], lambda: _put(costs, cost(), index), lambda: costs)

    return jax.lax.fori_loop(0, clip.windows, fill, now.costs)


def _moved(pose: Pose, step: Array) -> Pose:
    quat = quat_normalize(quat_mul(quat_exp(step[:, 3:6]), pose.quat))
    return Pose(pose.pos + step[:, :3], quat, pose.joints + step[:, 6:])
