"""What a real motor cannot do: the torque it has left at a speed. Pure functions of numpy or JAX arrays."""

import mujoco

from motions.rotations import Array, namespace

LEAST_FALL = 1e-6  # [rad/s], for a motor whose torque is all gone right behind its corner


def torque_limits(qvel: Array, effort: Array, velocity_limit: Array, corner_velocity: Array) -> tuple[Array, Array]:
    """Lowest and highest torque (..., J) [N m] of motors that turn at qvel (..., J) [rad/s].

    Driving (torque along the speed): effort up to corner_velocity, from there falling linearly to 0 at velocity_limit, the
    no-load speed, and 0 beyond. Braking: effort. A velocity_limit of inf leaves +-effort.
    """
    xp = namespace(qvel)
    known = xp.isfinite(velocity_limit)
    limit, corner = xp.where(known, velocity_limit, 1.0), xp.where(known, corner_velocity, 0.0)
    left = xp.clip((limit - xp.abs(qvel)) / xp.maximum(limit - corner, LEAST_FALL), 0.0, 1.0)
    driving = effort * xp.where(known, left, 1.0)
    return -xp.where(qvel < 0, driving, effort), xp.where(qvel > 0, driving, effort)


def pd_torques(
    wanted: Array, qvel: Array, effort: Array, velocity_limit: Array, corner_velocity: Array
) -> tuple[Array, Array, Array]:
    """What motors give of the torques `wanted` (..., J) [N m] by their PD law, within `torque_limits`; and these."""
    low, high = torque_limits(qvel, effort, velocity_limit, corner_velocity)
    return namespace(wanted).clip(wanted, low, high), low, high


def force_ranges(qvel: Array, effort: Array, velocity_limit: Array, corner_velocity: Array) -> Array:
    """`torque_limits` as MuJoCo holds them, (..., J, 2)."""
    return namespace(qvel).stack(torque_limits(qvel, effort, velocity_limit, corner_velocity), axis=-1)


def limit_torques(
    model: mujoco.MjModel, data: mujoco.MjData, effort: Array, velocity_limit: Array, corner_velocity: Array
) -> None:
    """Narrow the force ranges of `model` to `torque_limits` at the joint speeds of `data`; to be called before each mj_step.

    The arrays (J,) are those of a `Robot`, whose actuators are in the order of its joints.
    """
    model.actuator_forcerange[:] = force_ranges(data.qvel[6:], effort, velocity_limit, corner_velocity)
