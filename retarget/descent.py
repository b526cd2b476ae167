"""Levenberg-Marquardt over a whole clip, a window of frames at a time, in JAX.

Each step's system is block-pentadiagonal in time (accelerations couple three frames). A window's rows are built and
eliminated before the next window's, so the program's size is the window's, whatever the length of the clip.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from motions.rotations import Array, quat_exp, quat_mul, quat_normalize
from retarget.banded import Factors, backward, factorize, forward, nothing
from retarget.equations import HALO, Jacobian, frame_costs, linearize, normal_rows, times
from retarget.rig import Rig
from retarget.scaling import Targets
from retarget.terms import Pose, Weights

WINDOW = 64  # frames
APPROACH = (0.02, 0.05, 0.1, 0.3, 1.0)  # firmness of ground, slide and limits in the first steps
APPROACH_DAMPING = 1.0
LAST_STEP = 0.5  # [rad], [m]: a step that is nowhere longer is solved for exactly
CORRECTIONS = 1  # by so many steps of conjugate gradients
MAX_STEP = 0.7  # of any coordinate in those steps [rad], [m]
TRIES, SHORTER = 5, 0.4  # a step is shortened so often, by this factor, where the cost would rise
NEIGHBOURS = 15  # frames that take one decision on that
TOLERANCE = 0.02  # of its cost and the mean's that a window must gain to be looked at again
CUT_TOLERANCE = 0.01  # the same after a step that had to be shortened

Solve = Callable[[Array], Array]


class Clip(NamedTuple):
    """What is to be solved: `targets` of N + 2 HALO frames, of which `windows` windows from the first HALO on are the clip, at
    `fps` [Hz]."""

    rig: Rig
    weights: Weights
    targets: Targets
    fps: Array
    windows: Array


class Room(NamedTuple):
    """What a step needs at once: factors and right side of the N frames, J of every window with its halo."""

    factors: Factors
    rhs: Array
    jacobian: Jacobian


class Progress(NamedTuple):
    """Where a descent is: pose (N + 2 HALO frames), what each frame costs (N,), steps done, which windows are still worked on
    (N / WINDOW,), the damping, and room to work in, which is large and need not be found again for every step."""

    pose: Pose
    costs: Array
    count: Array
    active: Array
    damping: Array
    room: Room


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
        room = _room(clip, pose, frames // WINDOW)
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
    return _with_frames_around(frames[:, None])


def _neighbours(values: Array) -> Array:
    """Of every frame the sum over itself and its neighbours; the ends repeat."""
    padded = jnp.pad(values, NEIGHBOURS // 2, mode="edge")
    return jax.lax.reduce_window(padded, 0.0, jax.lax.add, (NEIGHBOURS,), (1,), "valid")


def _newton_step(clip: Clip, now: Progress, firmness: Array, near: Array) -> tuple[Array, Room]:
    """The damped Gauss-Newton step (N + 2 HALO, 6 + J) of the active windows, zero elsewhere, and the used room. `near`:
    balance counts."""
    before, *_ = nothing(now.room.rhs.shape[1], now.room.rhs.dtype)

    def in_windows(work: Any, fresh: Any, state: Any, reverse: bool = False) -> Any:
        """`work(index, carry, state)` in one window after the other."""

        def one(done: Array, both: tuple[Any, Any]) -> tuple[Any, Any]:
            index = clip.windows - 1 - done if reverse else done
            # what is not worked on does not move: to its neighbours it is as if nothing were there
            return jax.lax.cond(now.active[index], lambda: work(index, *both), lambda: (fresh, both[1]))

        return jax.lax.fori_loop(0, clip.windows, one, (fresh, state))[1]

    def build(index: Array, past: Any, room: Room) -> tuple[Any, Room]:
        view, posed = (_frames(tree, index, WINDOW + 2 * HALO) for tree in (clip.targets, now.pose))
        jacobian, rhs = linearize(clip.rig, clip.weights, view, posed, clip.fps, firmness, near, now.damping)
        past, factors = factorize(past, normal_rows(jacobian))
        new = Room(factors, rhs[HALO:-HALO], jax.tree.map(lambda x: x[None], jacobian))
        return past, jax.tree.map(lambda whole, part: _put(whole, part, index), room, new)

    room = in_windows(build, before, now.room)

    rhs = jnp.where(jnp.repeat(now.active, WINDOW)[:, None], room.rhs, 0.0)
    nearly_solved, multiplied = partial(_eliminated, room, in_windows), partial(_multiplied, room, in_windows)
    move = nearly_solved(rhs)
    last = near & (jnp.max(jnp.abs(move)) < LAST_STEP)
    move = jax.lax.cond(last, lambda: mended(rhs, move, nearly_solved, multiplied), lambda: move)
    return _with_frames_around(move), room


def mended(rhs: Array, solved: Array, nearly_solved: Solve, multiplied: Solve) -> Array:
    """x of A x = rhs by `CORRECTIONS` more steps of conjugate gradients than the one that is along `solved`, what
    `nearly_solved` makes of rhs. (Hestenes and Stiefel 1952, preconditioned)

    Feet that stand weigh a million times as much as an arm: in A = J^T J, multiplied out and factorized in single precision,
    little is left of the arm. `nearly_solved`, by these factors, misses up to a tenth of x; `multiplied` is J^T (J x), which is
    exact: where feet agree to stand, J x is small.
    """

    def along(direction: Array, x: Array, rest: Array, fit: Array) -> tuple[Array, Array]:
        image = multiplied(direction)
        share = fit / jnp.sum(direction * image)
        return x + share * direction, rest - share * image

    def correct(_: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        x, rest, direction, fit = state
        solved = nearly_solved(rest)
        next_fit = jnp.sum(rest * solved)
        direction = solved + next_fit / fit * direction
        return *along(direction, x, rest, next_fit), direction, next_fit

    fit = jnp.sum(rhs * solved)
    first = (*along(solved, jnp.zeros_like(rhs), rhs, fit), solved, fit)
    return jax.lax.fori_loop(0, CORRECTIONS, correct, first)[0]


def _eliminated(room: Room, in_windows: Any, rhs: Array) -> Array:
    """(L L^T)^-1 rhs."""
    _, before, behind = nothing(rhs.shape[1], rhs.dtype)

    def lower(index: Array, past: Any, y: Array) -> tuple[Any, Array]:
        past, part = forward(past, _frames(room.factors, index, WINDOW), _frames(rhs, index, WINDOW))
        return past, _put(y, part, index)

    def upper(index: Array, future: Any, x: Array) -> tuple[Any, Array]:
        future, part = backward(future, _frames(room.factors, index, WINDOW), _frames(y, index, WINDOW))
        return future, _put(x, part, index)

    y = in_windows(lower, before, jnp.zeros_like(rhs))
    return in_windows(upper, behind, jnp.zeros_like(rhs), reverse=True)


def _multiplied(room: Room, in_windows: Any, x: Array) -> Array:
    """J^T (J x) of the active windows."""
    padded = _with_frames_around(x)

    def image(index: Array, none: Any, result: Array) -> tuple[Any, Array]:
        jacobian = jax.tree.map(lambda part: part[index], room.jacobian)
        return none, _put(result, times(jacobian, _frames(padded, index, WINDOW + 2 * HALO))[HALO:-HALO], index)

    return in_windows(image, (), jnp.zeros_like(x))


def _with_frames_around(x: Array) -> Array:
    return jnp.pad(x, [(HALO, HALO), (0, 0)])


def _room(clip: Clip, pose: Pose, windows: int) -> Room:
    """Zeros of the sizes that `_newton_step` fills."""
    view, posed = (_frames(tree, jnp.int32(0), WINDOW + 2 * HALO) for tree in (clip.targets, pose))
    one = jnp.float32(1.0)
    jacobian, rhs = jax.eval_shape(lambda: linearize(clip.rig, clip.weights, view, posed, clip.fps, one, jnp.bool(False), one))
    nv = rhs.shape[1]
    block = jnp.zeros((windows * WINDOW, nv, nv), rhs.dtype)
    whole = jax.tree.map(lambda x: jnp.zeros((windows, *x.shape), x.dtype), jacobian)
    return Room(Factors(block, block, block), block[..., 0], whole)


def _frames(tree: Any, index: Array, count: int, ahead: int = 0) -> Any:
    """`count` frames of every array from the start of window `index`, or from `ahead` frames later."""
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, index * WINDOW + ahead, count), tree)


def _put(whole: Array, part: Array, index: Array) -> Array:
    """`whole` with `part` at window `index`: all its frames, or the one entry of a window."""
    return jax.lax.dynamic_update_slice_in_dim(whole, part, index * len(part), 0)


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
