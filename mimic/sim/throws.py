"""Balls thrown at a robot: what hits it where, and the force of the impact. Numpy and JAX; one robot, or any leading axes.

A ball flies at one of the tracked bodies, hits its hull somewhere and stays there, as a bag of sand does: an inelastic impact. It
is no body of the model: its momentum reaches the robot as a force that acts for one control step, at the point that was hit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import mujoco
import numpy as np

from motions.kinematics import KinematicState
from motions.rotations import Array, namespace, quat_mul, quat_rotate, quat_rotate_inv

NUMBERS = 7  # that a ball is drawn from
STEEP_RAD = 0.5  # how far from level a ball flies, up or down
THINNEST_M = 1e-3  # half an axis of a hull; what is a line by its inertia is hit all the same


class Hulls(NamedTuple):
    """What H of the tracked bodies are to a ball: ellipsoids with the bodies' masses and inertias.

    tracked (H,): their numbers among the tracked bodies; body (H,): their MuJoCo ids; centre (H, 3) [m] and turn (H, 4) of the
    principal axes, in the body's frame; half (H, 3): half of the axes [m]; give (H, 2): the inverse of the mass [1/kg] and of the
    inertia [1/(kg m^2)] that they have with all that hangs on them, as MuJoCo takes them for contacts; up_to (H,): the share of
    balls that fly at this body or at one before it: by the hulls' sizes.
    """

    tracked: np.ndarray
    body: np.ndarray
    centre: np.ndarray
    turn: np.ndarray
    half: np.ndarray
    give: np.ndarray
    up_to: np.ndarray


class Ball(NamedTuple):
    """One in flight: mass [kg], speed [m/s], direction (3,) in the world; hull: number of the one it flies at; spot (3,): a point
    of the unit sphere, by which it is off the middle."""

    mass: Array
    speed: Array
    direction: Array
    hull: Array
    spot: Array


class Impact(NamedTuple):
    """A force (3,) [N] at the centre of mass of the body () with that MuJoCo id, and a torque (3,) [N m], of the world's axes."""

    force: Array
    body: Array
    torque: Array


def hulls_of(model: mujoco.MjModel, tracked_ids: np.ndarray, chosen: Sequence[int]) -> Hulls:
    """Of the tracked bodies number `chosen`; tracked_ids (K,): MuJoCo ids of all."""
    tracked = np.array(chosen, int)
    body = np.asarray(tracked_ids)[tracked]
    inertia = model.body_inertia[body]  # of an ellipsoid: (b^2 + c^2) m / 5
    half_sq = 2.5 * (inertia.sum(axis=1, keepdims=True) - 2.0 * inertia) / model.body_mass[body, None]
    half = np.sqrt(np.maximum(half_sq, THINNEST_M**2))
    size = (half * np.roll(half, 1, axis=1)).sum(axis=1)
    up_to = np.cumsum(size) / size.sum()
    return Hulls(tracked, body, model.body_ipos[body], model.body_iquat[body], half, model.body_invweight0[body], up_to)


def ball_of(u: Array, mass: tuple[Array | float, Array | float], speed: tuple[float, float], hulls: Hulls) -> Ball:
    """A ball from u (..., `NUMBERS`), uniform in [-1, 1]: mass and speed uniform within their ranges, from all around."""
    xp, part = namespace(u), 0.5 * (u + 1.0)
    azimuth, rise = np.pi * u[..., 3], STEEP_RAD * u[..., 4]
    direction = xp.stack([xp.cos(rise) * xp.cos(azimuth), xp.cos(rise) * xp.sin(azimuth), xp.sin(rise)], axis=-1)
    hull = xp.sum(part[..., 2, None] > xp.asarray(hulls.up_to[:-1], dtype=u.dtype), axis=-1)
    around, up = np.pi * u[..., 5], u[..., 6]
    flat = xp.sqrt(xp.maximum(1.0 - up**2, 0.0))
    spot = xp.stack([flat * xp.cos(around), flat * xp.sin(around), up], axis=-1)
    drawn_mass, drawn_speed = (low + (high - low) * part[..., i] for i, (low, high) in enumerate((mass, speed)))
    return Ball(drawn_mass, drawn_speed, direction, hull, spot)


def impact_of(ball: Ball, state: KinematicState, hulls: Hulls, seconds: float) -> Impact:
    """The force of `ball` upon a robot at `state` that acts for `seconds`. Its impulse along the ball's way d is

    p = (v - v_r . d) / (1 / m + 1 / M + |r x d|^2 / I),  at least 0,

    of a ball of mass m and speed v, and of the point r from the body's centre of mass that is hit, its velocity v_r, the body's
    mass M and inertia I (`Hulls.give`): after it ball and point move along d at the same speed. The point is uniform over the
    hull's silhouette as the ball sees it.
    """
    xp, dtype = namespace(state.qpos), state.qpos.dtype

    def of_hull(values: np.ndarray) -> Array:
        return xp.take(xp.asarray(values, dtype=dtype), ball.hull, axis=0)

    tracked = xp.take(xp.asarray(hulls.tracked), ball.hull, axis=0)[..., None, None]

    def of_body(values: Array) -> Array:
        return xp.take_along_axis(values, tracked, axis=-2)[..., 0, :]

    quat, half = of_body(state.xquat), of_hull(hulls.half)
    axes = quat_mul(quat, of_hull(hulls.turn))
    ahead = _unit(quat_rotate_inv(axes, ball.direction) / half)  # where hulls are unit spheres
    away = quat_rotate(axes, half * _unit(ball.spot - ahead))  # uniform seen along `ahead`: Lambert's cosine law
    arm = quat_rotate(quat, of_hull(hulls.centre)) + away
    velocity = of_body(state.xlinvel) + xp.cross(of_body(state.xangvel), arm)
    give, lever = of_hull(hulls.give), xp.cross(away, ball.direction)
    approach = xp.maximum(ball.speed - xp.sum(velocity * ball.direction, axis=-1), 0.0)
    impulse = ball.mass * approach / (1.0 + ball.mass * (give[..., 0] + give[..., 1] * xp.sum(lever**2, axis=-1)))
    force = (impulse / seconds)[..., None] * ball.direction
    return Impact(force, xp.take(xp.asarray(hulls.body), ball.hull, axis=0), xp.cross(away, force))


def _unit(vectors: Array) -> Array:
    xp = namespace(vectors)
    return vectors / xp.sqrt(xp.maximum(xp.sum(vectors**2, axis=-1, keepdims=True), 1e-12))
