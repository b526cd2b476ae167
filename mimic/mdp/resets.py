"""Disturbing the state an episode starts from."""

import jax
import jax.numpy as jnp
import numpy as np

from mimic.config import ResetConfig
from motions.kinematics import KinematicState
from motions.rotations import Array, quat_exp, quat_mul, quat_rotate


def kick(key: Array, state: KinematicState, config: ResetConfig) -> KinematicState:
    """Add a uniformly drawn velocity to the root: +-linvel [m/s] in the world, +-angvel [rad/s] in the root's frame.

    The tracked bodies move with it rigidly: v_b += dv + dw x (x_b - x_root), w_b += dw. Positions stay on the reference.
    """
    key_linear, key_angular = jax.random.split(key)
    linear = jax.random.uniform(key_linear, (3,), minval=-1.0, maxval=1.0) * jnp.asarray(config.linvel)
    angular_b = jax.random.uniform(key_angular, (3,), minval=-1.0, maxval=1.0) * jnp.asarray(config.angvel)
    angular = quat_rotate(state.qpos[3:7], angular_b)
    return state._replace(
        qvel=state.qvel.at[:3].add(linear).at[3:6].add(angular_b),
        xlinvel=state.xlinvel + linear + jnp.cross(angular, state.xpos - state.qpos[:3]),
        xangvel=state.xangvel + angular,
    )


def displace(key: Array, qpos: Array, config: ResetConfig, joint_range: np.ndarray) -> Array:
    """Move qpos (nq,) uniformly within +-pos [m], +-tilt (roll, pitch, yaw) [rad] and +-joints [rad], these inside their ranges
    (J, 2)."""
    shift = jax.random.uniform(key, (len(qpos) - 1,), minval=-1.0)
    turn = quat_exp(shift[3:6] * jnp.asarray(config.tilt))
    joints = jnp.clip(qpos[7:] + config.joints * shift[6:], *joint_range.T)
    return jnp.concatenate([qpos[:3] + shift[:3] * jnp.asarray(config.pos), quat_mul(turn, qpos[3:7]), joints])
