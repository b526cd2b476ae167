"""Disturbing the state an episode starts from."""

import jax
import jax.numpy as jnp
import numpy as np

from mimic.config import ResetConfig
from motions.kinematics import Body, KinematicState, kinematic_state
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


def displace(key: Array, state: KinematicState, config: ResetConfig, body: Body, tracked_ids: np.ndarray) -> KinematicState:
    """Move the pose uniformly within +-pos [m], +-tilt (roll, pitch, yaw) [rad] and +-joints [rad], inside the joint ranges.

    Without any of them the state itself. Velocities stay: the root's in the world and in its own frame, the joints'.
    """
    if not (any(config.pos) or any(config.tilt) or config.joints):
        return state
    shift = jax.random.uniform(key, (6 + len(body.joint_names),), minval=-1.0)
    turn = quat_exp(shift[3:6] * jnp.asarray(config.tilt))
    low, high = body.joint_range.T
    joints = jnp.clip(state.qpos[7:] + config.joints * shift[6:], low, high)
    qpos = [state.qpos[:3] + shift[:3] * jnp.asarray(config.pos), quat_mul(turn, state.qpos[3:7]), joints]
    return kinematic_state(body, jnp.concatenate(qpos).astype(jnp.float32), state.qvel, tracked_ids)
