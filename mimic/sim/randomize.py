"""What chance decides of an episode and of a control step: the robot's differences from its model, delays, shoves."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mimic.config import RandomizeConfig
from mimic.robots import Robot
from mimic.sim.physics import Push
from mimic.sim.variation import Variation
from motions.rotations import Array

COMMON = ("friction", "mass", "inertia", "armature", "kp", "kd", "effort")  # ranges drawn once for all joints or bodies
SHOWN = (*COMMON, "com", "gravity_tilt", "encoder_bias", "target_offset", "action_delay", "observation_delay")  # in `drawn`


class Episode(NamedTuple):
    """What stays the same through an episode. level: the part of what the config asks for that noise and shoves have, 0 at the
    nominal. `drawn` (D,): the draws as a privileged observation."""

    level: Array
    variation: Variation | None
    encoder_bias: Array
    target_offset: Array
    action_delay: Array
    observation_delay: Array
    drawn: Array


class Chance(NamedTuple):
    """What chance does in one control step: noise (N,) in [-1, 1] for the sensors, torque (J,) in [-1, 1], shove (8,) of
    [-1, 1], whose first number decides whether there is one. Empty where the config asks for none."""

    noise: Array
    torque: Array
    shove: Array


class Shoved(NamedTuple):
    """A force that acts for some more control steps."""

    push: Push
    steps_left: Array


def varies_model(config: RandomizeConfig) -> bool:
    """Whether episodes differ in the model's fields."""
    spans = [getattr(config, name) for name in COMMON]
    shifts = (config.spread, *config.com, config.joint_friction, config.joint_damping, config.gravity_tilt)
    return any(span != (1.0, 1.0) for span in spans) or any(shifts)


def draw_episode(key: Array, level: Array, config: RandomizeConfig, robot: Robot) -> Episode:
    """One episode at `level` in [0, 1] of the ranges: factors 1 + level (u - 1) with u uniform in the range, shifts level times
    theirs.

    With probability `nominal_share` everything is nominal.
    """
    joints = len(robot.joint_names)
    key_nominal, key_factors, key_shift, key_action, key_observation = jax.random.split(key, 5)
    level = jnp.where(jax.random.bernoulli(key_nominal, config.nominal_share), 0.0, level)
    common, factors = _draw_factors(key_factors, level, config, robot)
    shift = level * jax.random.uniform(key_shift, (5 + 4 * joints,), minval=-1.0)
    com, tilt, bias, offset, friction, damping = jnp.split(shift, [3, 5, 5 + joints, 5 + 2 * joints, 5 + 3 * joints])
    encoder_bias, target_offset = config.encoder_bias * bias, config.target_offset * offset
    variation = None
    if varies_model(config):
        lean = jnp.sin(config.gravity_tilt * tilt)
        down = jnp.concatenate([lean, -jnp.sqrt(1.0 - jnp.sum(jnp.square(lean)))[None]])
        variation = Variation(
            com=jnp.asarray(config.com) * com,
            joint_friction=config.joint_friction * jnp.abs(friction) * robot.effort.astype("float32"),
            joint_damping=config.joint_damping * jnp.abs(damping) * robot.kd.astype("float32"),
            gravity=float(np.linalg.norm(robot.model.opt.gravity)) * down,
            **factors,
        )
    action_delay = _draw_delay(key_action, config.action_delay, level)
    observation_delay = _draw_delay(key_observation, config.observation_delay, level)
    longest = max(config.action_delay[1], config.observation_delay[1], 1)
    delays = jnp.stack([action_delay, observation_delay]) / longest
    drawn = jnp.concatenate([common - 1.0, com, tilt, encoder_bias, target_offset, delays])
    return Episode(level, variation, encoder_bias, target_offset, action_delay, observation_delay, drawn)


def _draw_factors(key: Array, level: Array, config: RandomizeConfig, robot: Robot) -> tuple[Array, dict[str, Array]]:
    """The common factors in the order of `COMMON`, and for each name what of it every body or joint gets."""
    bodies, joints = robot.model.nbody, len(robot.joint_names)
    sizes = {"friction": 0, "mass": bodies, "inertia": bodies, "armature": joints, "kp": joints, "kd": joints, "effort": joints}
    drawn = jax.random.uniform(key, (len(COMMON) + sum(sizes.values()),))  # at once: each draw is slow to compile
    low, high = jnp.asarray([getattr(config, name) for name in COMMON]).T
    common = 1.0 + level * (low + (high - low) * drawn[: len(COMMON)] - 1.0)
    own = jnp.split(2.0 * drawn[len(COMMON) :] - 1.0, np.cumsum([sizes[name] for name in COMMON])[:-1])
    factors = {
        name: factor * (1.0 + level * config.spread * part) if sizes[name] else factor
        for name, factor, part in zip(COMMON, common, own, strict=True)
    }
    return common, factors


def _draw_delay(key: Array, bounds: tuple[int, int], level: Array) -> Array:
    """A whole number of physics steps up to the level's part of the range; 0 at level 0."""
    low, high = bounds
    return jnp.floor(level * jax.random.uniform(key, minval=low, maxval=high + 1.0 - 1e-3)).astype(jnp.int32)


def draw_chance(key: Array, config: RandomizeConfig, joints: int, noise_size: int) -> Chance:
    """The chance of one control step; parts that the config does not use are empty."""
    push = config.push
    noisy, shoving = any(vars(config.noise).values()), push.force or any(push.linvel) or any(push.angvel)
    sizes = [noise_size if noisy else 0, joints if config.torque_noise else 0, 8 if shoving else 0]
    if not any(sizes):
        return Chance(*(jnp.zeros(0),) * 3)
    values = jax.random.uniform(key, (sum(sizes),), minval=-1.0)
    return Chance(*jnp.split(values, [sizes[0], sizes[0] + sizes[1]]))
