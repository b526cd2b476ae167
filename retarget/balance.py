"""Would a body that weighs something move like this? The centre of pressure and free fall, as residuals.

A robot of lumped masses m_i at p_i can only be pushed from where it stands: the centre of pressure

    c_xy = sum_i m_i ((z''_i + g) (x, y)_i - z_i (x'', y'')_i) / sum_i m_i (z''_i + g)        (Vukobratovic's ZMP)

must lie within the hull of its standing feet, and no further from their ankles than these can hold; only so much of a
moment about the vertical can be held. Without any foot on the ground the centre of mass c must fall freely, and the
angular momentum about it stay what it is: sum_i m_i (p_i - c) x p''_i = 0. Accelerations are second differences, so each
residual concerns three frames.
"""

from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from motions.rotations import Array
from retarget.chain import Chain, Kinematics, points_on
from retarget.rig import Rig
from retarget.scaling import Targets
from retarget.terms import Weights

GRAVITY = 9.81
LIGHT, FULL = 0.2, 0.6  # shares of the weight on the feet between which the centre of pressure begins to count
FAR_M = 0.05  # beyond this distance outside the feet the cost grows linearly (Huber): what cannot be helped is let be
STANDING = np.array([0, 1, 8])  # the rows that depend on what the standing feet offer
TOUCH_M = 1e-4  # this near the hull is inside, whatever rounding says
EFFORT_SHARE = 0.8  # of the ankles' torque limit that a flat foot may use; the rest is to balance with
INSIDE = 0.3  # weight at which the pressure resists leaving the hull: keeps steps from overshooting to and fro
GRIP = 0.5  # friction that the feet can hold a turn with, on a lever of half their spread


class BalanceTerms(NamedTuple):
    """cost (F-2,), the sum it adds; residual (F-2, 9) of the inner frames, whose squares majorize it; `before`, `now`, `after`
    (F-2, 9, 6 + J): derivatives by three frames, empty if not asked for. The rows: centre of pressure x, y; in flight,
    acceleration x, y, z and change of angular momentum x, y, z; moment about the vertical while standing."""

    cost: Array
    residual: Array
    before: Array
    now: Array
    after: Array


class _Lumps(NamedTuple):
    """The lumped masses in the inner frames: `mass` (P,), shares of the whole; `at`, `acc` (F-2, P, 3); `load` (F-2,) force
    on the ground over mass [m/s^2], `safe` (F-2, 1) the same kept from zero; `pressure` (F-2, 2) its centre."""

    mass: Array
    at: Array
    acc: Array
    load: Array
    safe: Array
    pressure: Array

    @property
    def mean_acc(self) -> Array:
        """Acceleration of the centre of mass, (F-2, 3)."""
        return jnp.sum(self.mass[:, None] * self.acc, axis=1)

    @property
    def about(self) -> Array:
        """Positions from the centre of mass, (F-2, P, 3)."""
        return self.at - jnp.sum(self.mass[:, None] * self.at, axis=1, keepdims=True)

    @property
    def lever(self) -> Array:
        """Horizontal positions from the centre of pressure, (F-2, P, 2)."""
        return self.at[..., :2] - self.pressure[:, None]


def balance_terms(
    rig: Rig, weights: Weights, targets: Targets, kin: Kinematics, ends: Array, ends_jac: Array, fps: Array, jacobian: bool
) -> BalanceTerms:
    """Distance of the centre of pressure from the standing feet, the moment they cannot hold; in flight, forces other than
    gravity and any moment."""
    dtype = kin.axes.dtype
    points = points_on(rig.masses.link, rig.masses.offset, kin.link_pos, kin.link_rot)  # [F, P, 3]
    lumps = _lumps(jnp.asarray(rig.mass / rig.mass.sum(), dtype), points, fps)
    standing, flight, load = targets.support[1:-1], targets.flight[1:-1], lumps.load
    valid = targets.valid[2:] * targets.valid[:-2]
    bearing = jnp.clip((load / GRAVITY - LIGHT) / (FULL - LIGHT), 0.0, 1.0) * standing.max(axis=1)

    def support(load: Array, ends: Array) -> Array:
        return nearest_in_hull(lumps.pressure, tenable(rig, kin, ends, standing, load), standing > 0.5)

    nearest, pull = jax.vjp(support, load, ends[1:-1])
    gap = beside(lumps.pressure - nearest, ends[1:-1], standing, rig.sole_half_width)
    outside = jnp.sqrt(jnp.sum(gap * gap, axis=-1))
    robust = jnp.where(outside > TOUCH_M, jnp.sqrt(jnp.minimum(1.0, FAR_M / jnp.maximum(outside, TOUCH_M))), INSIDE)
    fall = lumps.mean_acc + jnp.asarray([0.0, 0.0, GRAVITY], dtype)
    spin = jnp.sum(lumps.mass[:, None] * jnp.cross(lumps.about, lumps.acc), axis=1)
    lever, acc = lumps.lever, lumps.acc
    yaw = jnp.sum(lumps.mass * (lever[..., 0] * acc[..., 1] - lever[..., 1] * acc[..., 0]), axis=1)

    def hold(load: Array, pressure: Array, ends: Array) -> Array:
        spread = jnp.linalg.norm(ends - pressure[:, None], axis=-1)
        spread = jnp.sum(spread * standing, axis=1) / jnp.maximum(standing.sum(axis=1), 1.0)
        return GRIP * load * (0.5 * spread + rig.sole_half_width)

    held, pull_hold = jax.vjp(hold, load, lumps.pressure, ends[1:-1])
    twist = yaw - jnp.clip(yaw, -held, held)

    weight = jnp.concatenate(
        [
            jnp.repeat((valid * bearing * robust / weights.pressure)[:, None], 2, axis=1),
            jnp.repeat((valid * flight / weights.flight)[:, None], 3, axis=1),
            jnp.repeat((valid * flight / weights.spin)[:, None], 3, axis=1),
            (valid * bearing * (twist != 0.0) / weights.twist)[:, None],
        ],
        axis=1,
    )
    residual = weight * jnp.concatenate([gap, fall, spin, twist[:, None]], axis=1)
    huber = jnp.where(outside < FAR_M, outside * outside, FAR_M * (2.0 * outside - FAR_M))
    cost = (valid * bearing / weights.pressure) ** 2 * huber + jnp.sum(residual[:, 2:] ** 2, axis=1)
    if not jacobian:
        return BalanceTerms(cost, residual, residual[:, :0], residual[:, :0], residual[:, :0])

    # the supporting point retreats with the load, and moves with the feet; what they hold changes likewise
    x, y = (pull(jnp.zeros_like(gap).at[:, k].set(1.0)) for k in range(2))
    yaw_held = pull_hold(jnp.sign(twist))
    # and their own weight grows with the load while they take it over
    taking = (load > LIGHT * GRAVITY) & (load < FULL * GRAVITY)
    growth = jnp.where(taking, 1.0 / jnp.maximum(load - LIGHT * GRAVITY, 1e-3), 0.0)
    pressed = growth * huber / jnp.maximum((robust * outside) ** 2, 1e-12)
    by_load = jnp.stack([x[0] - pressed * gap[:, 0], y[0] - pressed * gap[:, 1], yaw_held[0] - growth * twist], axis=1)
    near, far = _derivatives(lumps, fps, by_load, yaw_held[1])
    near_rows, far_rows = weight[..., None, None] * near, weight[..., None, None] * far
    inner = slice(1, -1), slice(None, -2), slice(2, None)
    now, before, after = (
        _pull_back(rig.chain, rig.masses.link, rows, points[s], kin.link_pos[s, 0], kin.axes[s], kin.anchors[s])
        for rows, s in zip((near_rows, far_rows, far_rows), inner)
    )
    steps = jnp.einsum("fkec,fecv->fkv", jnp.stack([x[1], y[1], yaw_held[2]], axis=1), ends_jac[1:-1])  # [F - 2, 3, 6 + J]
    now = now.at[:, STANDING].add(-weight[:, STANDING, None] * steps)
    return BalanceTerms(cost, residual, before, now, after)


def _lumps(mass: Array, points: Array, fps: Array) -> _Lumps:
    """Shares of mass (P,) at `points` (F, P, 3)."""
    acc = (points[2:] - 2.0 * points[1:-1] + points[:-2]) * fps**2
    at, up = points[1:-1], acc[..., 2] + GRAVITY
    load = jnp.sum(mass * up, axis=1)
    safe = jnp.maximum(load, LIGHT * GRAVITY)[:, None]
    pressure = jnp.sum(mass[:, None] * (at[..., :2] * up[..., None] - at[..., 2:] * acc[..., :2]), axis=1) / safe
    return _Lumps(mass, at, acc, load, safe, pressure)


def _derivatives(lumps: _Lumps, fps: Array, by_load: Array, by_pressure: Array) -> tuple[Array, Array]:
    """Of the nine rows by the positions of the masses in the middle frame, and in each of its neighbours: (F-2, 9, P, 3).

    What the feet offer to the three rows of standing changes with the load, `by_load` (F-2, 3), the moment they hold also with
    the centre of pressure, `by_pressure` (F-2, 2).
    """
    mass, at, acc, lever = lumps.mass, lumps.at, lumps.acc, lumps.lever
    share = mass / lumps.safe  # [F - 2, P]
    zero = jnp.zeros_like(share)
    near, far = [], []
    for k in range(2):  # centre of pressure
        own = [zero, zero, share * (-acc[..., k] - 2.0 * fps**2 * lever[..., k])]
        own[k] = share * (acc[..., 2] + GRAVITY + 2.0 * fps**2 * at[..., 2])
        other = [zero, zero, share * fps**2 * lever[..., k]]
        other[k] = -share * fps**2 * at[..., 2]
        near.append(jnp.stack(own, axis=-1))
        far.append(jnp.stack(other, axis=-1))
    axes = jnp.eye(3, dtype=at.dtype)
    for axis in axes:  # acceleration
        unit = mass[:, None] * axis * fps**2
        near.append(jnp.broadcast_to(-2.0 * unit, at.shape))
        far.append(jnp.broadcast_to(unit, at.shape))
    mean_acc = lumps.mean_acc[:, None]
    for axis in axes:  # angular momentum
        arms = mass[:, None] * jnp.cross(axis, lumps.about) * fps**2
        near.append(-mass[:, None] * jnp.cross(axis, acc - mean_acc) - 2.0 * arms)
        far.append(arms)
    # moment about the vertical, through the centre of pressure, which moves too
    along = jnp.stack([acc[..., 1], -acc[..., 0], zero], axis=-1)
    across = fps**2 * jnp.stack([-lever[..., 1], lever[..., 0], zero], axis=-1)
    x, y = mean_acc[..., :1], mean_acc[..., 1:2]
    x = -mean_acc[..., 1:2] - by_pressure[:, 0, None, None]
    y = mean_acc[..., :1] - by_pressure[:, 1, None, None]
    near.append(mass[:, None] * (along - 2.0 * across) + x * near[0] + y * near[1])
    far.append(mass[:, None] * across + x * far[0] + y * far[1])
    press = mass[:, None] * axes[2] * fps**2  # the load's own derivative
    for k, row in enumerate(STANDING):
        near[row] += 2.0 * by_load[:, k, None, None] * press
        far[row] -= by_load[:, k, None, None] * press
    return jnp.stack(near, axis=1), jnp.stack(far, axis=1)


def _pull_back(chain: Chain, link: np.ndarray, rows: Array, points: Array, root: Array, axes: Array, anchors: Array) -> Array:
    """sum_i rows_i . d p_i / d tangent, (F, R, 6 + J), for rows (F, R, P, 3): moments summed over what a joint carries.

    Component by component: XLA makes one large product of each, where three columns at a time would be many small ones.
    """
    moves = jnp.asarray(chain.moves[link], points.dtype)  # [P, J]
    forces = [rows[..., k] for k in range(3)]
    moments = _cross([(points - root[:, None])[:, None, :, k] for k in range(3)], forces)
    carried, turned = ([part @ moves for part in parts] for parts in (forces, moments))  # [F, R, J] each
    arms = _cross([(anchors - root[:, None])[:, None, :, k] for k in range(3)], carried)
    hinge = sum(axes[:, None, :, k] * (turned[k] - arms[k]) for k in range(3))
    return jnp.concatenate([jnp.stack([part.sum(axis=2) for part in (*forces, *moments)], axis=-1), hinge], axis=-1)


def _cross(a: list[Array], b: list[Array]) -> list[Array]:
    """The cross product of vectors given as lists of their components."""
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def tenable(rig: Rig, kin: Kinematics, ends: Array, standing: Array, load: Array) -> Array:
    """`ends` (F, E L, 2), drawn in where both of a foot's stand, to where its ankle can hold its share of the `load` (F,)."""
    if np.isinf(rig.ankle_effort):  # no ankle, as of point feet, or one that nothing limits
        return ends
    at = np.repeat([rig.role(leg + "foot") for leg in rig.legs], 2)
    ankles = points_on(rig.joints.link[at], rig.joints.offset[at], kin.link_pos[1:-1], kin.link_rot[1:-1])[..., :2]
    flat = standing.reshape(len(standing), -1, 2)
    feet = flat.max(axis=-1).sum(axis=1)
    longest = EFFORT_SHARE * rig.ankle_effort / rig.mass.sum() * feet / jnp.maximum(load, LIGHT * GRAVITY)
    arm = ends - ankles
    length = jnp.maximum(jnp.linalg.norm(arm, axis=-1), 1e-6)
    held = ankles + arm * jnp.minimum(1.0, longest[:, None] / length)[..., None]
    return jnp.where(jnp.repeat(flat.min(axis=-1), 2, axis=1)[..., None] > 0.5, held, ends)


def beside(gap: Array, ends: Array, standing: Array, half_width: float) -> Array:
    """Gap (F, 2) to the middle lines of the standing feet, less what their width covers to the sides; points have none."""
    if half_width == 0.0:
        return gap
    lines = (ends[:, 1::2] - ends[:, ::2]) * standing.reshape(len(standing), -1, 2).max(axis=-1)[..., None]  # [F, feet, 2]
    forward = lines.sum(axis=1)
    forward = forward / jnp.maximum(jnp.linalg.norm(forward, axis=-1, keepdims=True), 1e-6)
    left = jnp.stack([-forward[:, 1], forward[:, 0]], axis=-1)
    aside = jnp.sum(gap * left, axis=-1, keepdims=True)
    return gap - jnp.clip(aside, -half_width, half_width) * left


def nearest_in_hull(point: Array, corners: Array, present: Array) -> Array:
    """The point of the convex hull of the `present` (F, N) `corners` (F, N, 2) that is nearest to `point` (F, 2).

    Inside any triangle it is the point itself, else the nearest on any segment. Absent corners count as copies of a
    present one; with none present the answer is the point of corner 0.
    """
    first = jnp.argmax(present, axis=1)
    stand_in = jnp.take_along_axis(corners, first[:, None, None], axis=1)
    corners = jnp.where(present[..., None], corners, stand_in)
    best, best_sq = corners[:, 0], jnp.sum((corners[:, 0] - point) ** 2, axis=-1)
    for i, j in combinations(range(corners.shape[1]), 2):
        a, edge = corners[:, i], corners[:, j] - corners[:, i]
        t = jnp.sum((point - a) * edge, axis=-1) / jnp.maximum(jnp.sum(edge * edge, axis=-1), 1e-9)
        near = a + jnp.clip(t, 0.0, 1.0)[:, None] * edge
        near_sq = jnp.sum((near - point) ** 2, axis=-1)
        best = jnp.where((near_sq < best_sq)[:, None], near, best)
        best_sq = jnp.minimum(near_sq, best_sq)
    inside = jnp.zeros(len(point), bool)
    for i, j, k in combinations(range(corners.shape[1]), 3):
        sides = [_side(corners[:, a], corners[:, b], point) for a, b in ((i, j), (j, k), (k, i))]
        area = jnp.abs(_side(corners[:, i], corners[:, j], corners[:, k]))
        same = ((sides[0] > 0) & (sides[1] > 0) & (sides[2] > 0)) | ((sides[0] < 0) & (sides[1] < 0) & (sides[2] < 0))
        inside |= same & (area > 1e-6)
    return jnp.where(inside[:, None], point, best)


def _side(a: Array, b: Array, point: Array) -> Array:
    """Twice the signed area of the triangle a, b, point."""
    return (b[:, 0] - a[:, 0]) * (point[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (point[:, 0] - a[:, 0])
