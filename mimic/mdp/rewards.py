"""Tracking rewards, each in [0, 1] and 1 at the reference, and what is paid for: functions of a state. (BeyondMimic)"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mimic.config import RewardConfig
from mimic.mdp.anchoring import anchored_targets
from motions.kinematics import KinematicState
from motions.rotations import Array, quat_angle

TERMS = ("anchor_pos", "anchor_ori", "body_pos", "body_ori", "body_linvel", "body_angvel")  # E of them, in this order
FALLS_AT_FIRST, FALLS_DECAY = 1.0, 0.99  # [1/s] and per control step: a rollout or two without a fall are luck


class Tolerance(NamedTuple):
    """The terms' widths while they adapt: width_sq (E,), their sigma^2, and running averages of the errors, mean_sq (E,), and of
    how often robots fall, falls [1/s]."""

    width_sq: Array
    mean_sq: Array
    falls: Array


def squared_errors(state: KinematicState, reference: KinematicState, *, anchor: int) -> dict[str, Array]:
    """The squared error e of each term of `TERMS`, averaged over the K bodies.

    anchor_pos [m^2], anchor_ori [rad^2]: the anchor body in the world. body_pos [m^2], body_ori [rad^2]: against the
    re-anchored targets. body_linvel [(m/s)^2], body_angvel [(rad/s)^2]: in the world.
    """
    target_xpos, target_xquat = anchored_targets(state, reference, anchor)

    def mean_sq(a: Array, b: Array) -> Array:
        return jnp.mean(jnp.sum(jnp.square(a - b), axis=-1))  # over [K]

    return {
        "anchor_pos": jnp.sum(jnp.square(state.xpos[anchor] - reference.xpos[anchor])),
        "anchor_ori": jnp.square(quat_angle(state.xquat[anchor], reference.xquat[anchor])),
        "body_pos": mean_sq(state.xpos, target_xpos),
        "body_ori": jnp.mean(jnp.square(quat_angle(state.xquat, target_xquat))),
        "body_linvel": mean_sq(state.xlinvel, reference.xlinvel),
        "body_angvel": mean_sq(state.xangvel, reference.xangvel),
    }


def squared_widths(config: RewardConfig) -> np.ndarray:
    """sigma^2 of each term as configured; (E,)."""
    return np.array([getattr(config, f"sigma_{name}") ** 2 for name in TERMS], np.float32)


def tracking_rewards(errors: dict[str, Array], width_sq: Array) -> dict[str, Array]:
    """exp(-e / sigma^2) per term, of `squared_errors` and sigma^2 (E,)."""
    return {name: jnp.exp(-errors[name] / width_sq[i]) for i, name in enumerate(TERMS)}


def init_tolerance(config: RewardConfig) -> Tolerance:
    widths = jnp.asarray(squared_widths(config))
    return Tolerance(widths, widths, jnp.asarray(FALLS_AT_FIRST))


def update_tolerance(tolerance: Tolerance, errors: Array, falls: Array, decay: float, most_falls: float | None) -> Tolerance:
    """Let the widths follow what is reached, control step by control step: errors (T, E) and falls (T,) [1/s], means over
    environments. Only while falls average less than `most_falls` over the last hundred or so, where that is given.

    ehat <- decay ehat + (1 - decay) e, sigma^2 <- min(sigma^2, ehat): wide while tracking is bad, never wider again.
    (KungfuBot, with the squared error for its x)
    """

    def one_step(now: Tolerance, seen: tuple[Array, Array]) -> tuple[Tolerance, None]:
        mean_sq = decay * now.mean_sq + (1.0 - decay) * seen[0]
        mean_falls = FALLS_DECAY * now.falls + (1.0 - FALLS_DECAY) * seen[1]
        few = True if most_falls is None else mean_falls < most_falls
        return Tolerance(jnp.where(few, jnp.minimum(now.width_sq, mean_sq), now.width_sq), mean_sq, mean_falls), None

    return jax.lax.scan(one_step, tolerance, (errors, falls))[0]


def action_rate(action: Array, last_action: Array) -> Array:
    """Squared L2 norm of the change of the action."""
    return jnp.sum(jnp.square(action - last_action))


def action_acceleration(action: Array, last_action: Array, action_before: Array) -> Array:
    """Squared L2 norm of the second difference of the action, a_t - 2 a_(t-1) + a_(t-2)."""
    return jnp.sum(jnp.square(action - 2.0 * last_action + action_before))


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
