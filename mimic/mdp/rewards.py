"""Tracking rewards, each in [0, 1] and 1 at the reference, and what is paid for: functions of a state. (BeyondMimic)"""

import jax.numpy as jnp
import numpy as np

from mimic.config import RewardConfig
from mimic.mdp.anchoring import anchored_targets
from motions.kinematics import KinematicState
from motions.rotations import Array, quat_angle


def _exp(error_sq: Array, sigma: float) -> Array:
    return jnp.exp(-error_sq / sigma**2)


def tracking_rewards(state: KinematicState, reference: KinematicState, *, anchor: int, config: RewardConfig) -> dict[str, Array]:
    """exp(-e / sigma^2) per term, with e the squared error, averaged over the K bodies before exp.

    anchor_pos, anchor_ori: the anchor body in the world. body_pos, body_ori: against the re-anchored targets.
    body_linvel, body_angvel: in the world.
    """
    target_xpos, target_xquat = anchored_targets(state, reference, anchor)

    def mean_sq(a: Array, b: Array) -> Array:
        return jnp.mean(jnp.sum(jnp.square(a - b), axis=-1))  # over [K]

    return {
        "anchor_pos": _exp(jnp.sum(jnp.square(state.xpos[anchor] - reference.xpos[anchor])), config.sigma_anchor_pos),
        "anchor_ori": _exp(jnp.square(quat_angle(state.xquat[anchor], reference.xquat[anchor])), config.sigma_anchor_ori),
        "body_pos": _exp(mean_sq(state.xpos, target_xpos), config.sigma_body_pos),
        "body_ori": _exp(jnp.mean(jnp.square(quat_angle(state.xquat, target_xquat))), config.sigma_body_ori),
        "body_linvel": _exp(mean_sq(state.xlinvel, reference.xlinvel), config.sigma_body_linvel),
        "body_angvel": _exp(mean_sq(state.xangvel, reference.xangvel), config.sigma_body_angvel),
    }


def action_rate(action: Array, last_action: Array) -> Array:
    """Squared L2 norm of the change of the action."""
    return jnp.sum(jnp.square(action - last_action))


def soft_range(joint_range: np.ndarray, share: float) -> np.ndarray:
    """The part `share` of each joint's range (J, 2) [rad] about its middle; an unlimited joint keeps none."""
    middle = np.nan_to_num(joint_range).mean(axis=1, keepdims=True)  # 0 between minus and plus infinity
    return middle + share * (joint_range - middle)


def joint_limit(joints: Array, soft: np.ndarray) -> Array:
    """What joint positions (J,) exceed their soft limits (J, 2) by, summed [rad]."""
    return jnp.sum(jnp.maximum(joints - soft[:, 1], 0.0) + jnp.maximum(soft[:, 0] - joints, 0.0))


def touching(forces: Array, least: float) -> Array:
    """How many of the forces (C,) are above `least` [N]."""
    return jnp.sum(forces > least, dtype=jnp.float32)


def total_reward(terms: dict[str, Array], config: RewardConfig) -> Array:
    """scale * sum of weight * term, the weights by the terms' names."""
    return config.scale * sum(getattr(config, name) * value for name, value in terms.items())
