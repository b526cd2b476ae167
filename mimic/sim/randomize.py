"""What chance decides of an episode and of a control step: the robot's differences from its model, delays, shoves."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mimic.config import RandomizeConfig
from mimic.robots import Robot
from mimic.sim.physics import Push
from mimic.sim.throws import NUMBERS
from mimic.sim.variation import Variation
from motions.rotations import Array

SPREAD = ("mass", "inertia", "armature", "kp", "kd", "effort")  # ranges drawn once for all bodies or joints, which then spread
COMMON = ("friction", *SPREAD)
OF_THE_MODEL = (*COMMON, "com", "gravity_tilt", "joint_friction", "joint_damping")
SHOWN = (*COMMON, "com", "gravity_tilt", "encoder_bias", "target_offset", "action_delay", "observation_delay")  # in `drawn`
# an episode has some of these
KINDS: tuple[str, ...] = (*SHOWN, "joint_friction", "joint_damping", "torque_noise", "noise", "push", "throw")


class Extent(NamedTuple):
    """How much of what a config asks for episodes get. level: part of every range, in [0, 1]; shares (K,): probability of each
    of `kinds_of(config)`."""

    level: Array
    shares: Array


class Episode(NamedTuple):
    """What stays the same through an episode. levels (K,): the part of what the config asks for that each of `kinds_of(config)`
    has, 0 where it is nominal. `drawn` (D,): the draws as a privileged observation."""

    levels: Array
    variation: Variation | None
    encoder_bias: Array
    target_offset: Array
    action_delay: Array
    observation_delay: Array
    drawn: Array

    def level_of(self, kind: str) -> Array:
        return self.levels[KINDS.index(kind)]


class Chance(NamedTuple):
    """What chance does in one control step: noise (N,) in [-1, 1] for the sensors, torque (J,) in [-1, 1], shove (8,) and
    throw (8,) of [-1, 1], whose first numbers decide whether there is one. Empty where the config asks for none."""

    noise: Array
    torque: Array
    shove: Array
    throw: Array


class Shoved(NamedTuple):
    """A force that acts for some more control steps."""

    push: Push
    steps_left: Array


def kinds_of(config: RandomizeConfig) -> tuple[str, ...]:
    """Of `KINDS`, those that are drawn and counted: balls, the last, only where there are any. Without them draws are as ever,
    and checkpoints hold what they held."""
    return KINDS if throws(config) else KINDS[:-1]


def used_kinds(config: RandomizeConfig) -> np.ndarray:
    """Which of `kinds_of(config)` it asks for; (K,)."""
    nominal = RandomizeConfig()
    kinds = kinds_of(config)
    used = {name: getattr(config, name) != getattr(nominal, name) for name in kinds} | {"push": _shoves(config)}
    return np.array([used[name] or bool(config.spread and name in SPREAD) for name in kinds])


def varies_model(config: RandomizeConfig) -> bool:
    """Whether episodes differ in the model's fields."""
    return bool(used_kinds(config)[[KINDS.index(name) for name in OF_THE_MODEL]].any())


def full_extent(config: RandomizeConfig) -> Extent:
    """All of the ranges, all kinds equally often."""
    return Extent(jnp.ones(()), jnp.full(len(kinds_of(config)), config.varied_share))


def nominal_extent(config: RandomizeConfig) -> Extent:
    return Extent(jnp.zeros(()), jnp.zeros(len(kinds_of(config))))


def draw_episode(key: Array, extent: Extent, config: RandomizeConfig, robot: Robot) -> Episode:
    """One episode at `extent.level` of the ranges: factors 1 + level (u - 1) with u uniform in the range, or u^level with the
    logarithm of u uniform, as `config.distribution` says; shifts level times theirs.

    With probability `nominal_share` everything is nominal; else there is each of `kinds_of(config)` with its probability in
    `extent.shares`.
    """
    joints = len(robot.joint_names)
    key_nominal, key_kinds, key_factors, key_shift, key_action, key_observation = jax.random.split(key, 6)
    level = jnp.where(jax.random.bernoulli(key_nominal, config.nominal_share), 0.0, extent.level)
    drawn_levels = level * jax.random.bernoulli(key_kinds, extent.shares)
    levels = dict(zip(kinds_of(config), drawn_levels, strict=True))
    common, factors = _draw_factors(key_factors, levels, config, robot)
    shift = jax.random.uniform(key_shift, (5 + 4 * joints,), minval=-1.0)
    com, tilt, bias, offset, friction, damping = jnp.split(shift, [3, 5, 5 + joints, 5 + 2 * joints, 5 + 3 * joints])
    com, tilt = levels["com"] * com, levels["gravity_tilt"] * tilt
    encoder_bias = levels["encoder_bias"] * config.encoder_bias * bias
    target_offset = levels["target_offset"] * config.target_offset * offset
    variation = None
    if varies_model(config):
        lean = jnp.sin(config.gravity_tilt * tilt)
        down = jnp.concatenate([lean, -jnp.sqrt(1.0 - jnp.sum(jnp.square(lean)))[None]])
        variation = Variation(
            com=jnp.asarray(config.com) * com,
            joint_friction=levels["joint_friction"] * config.joint_friction * jnp.abs(friction) * robot.effort.astype("float32"),
            joint_damping=levels["joint_damping"] * config.joint_damping * jnp.abs(damping) * robot.kd.astype("float32"),
            gravity=float(np.linalg.norm(robot.model.opt.gravity)) * down,
            **factors,
        )
    action_delay = _draw_delay(key_action, config.action_delay, levels["action_delay"])
    observation_delay = _draw_delay(key_observation, config.observation_delay, levels["observation_delay"])
    longest = max(config.action_delay[1], config.observation_delay[1], 1)
    delays = jnp.stack([action_delay, observation_delay]) / longest
    thrown = levels["throw"][None] if throws(config) else jnp.zeros(0)  # how heavy the balls are, if there are any
    drawn = jnp.concatenate([common - 1.0, com, tilt, encoder_bias, target_offset, thrown, delays])
    return Episode(drawn_levels, variation, encoder_bias, target_offset, action_delay, observation_delay, drawn)


def without_delays(drawn: Array) -> Array:
    """`Episode.drawn` of the same robot at the end of no wire."""
    return drawn.at[-2:].set(0.0)


def _draw_factors(key: Array, levels: dict[str, Array], config: RandomizeConfig, robot: Robot) -> tuple[Array, dict[str, Array]]:
    """The common factors in the order of `COMMON`, and for each name what of it every body or joint gets."""
    bodies, joints = robot.model.nbody, len(robot.joint_names)
    sizes = [len(COMMON)] + [bodies if name in ("mass", "inertia") else joints for name in SPREAD]
    uniform = jax.random.uniform(key, (sum(sizes),))  # at once: each draw is slow to compile
    drawn, *own = jnp.split(uniform, np.cumsum(sizes)[:-1])
    bounds = jnp.asarray([getattr(config, name) for name in COMMON])
    level = jnp.stack([levels[name] for name in COMMON])
    if config.distribution == "log_uniform":
        low, high = jnp.log(bounds).T
        common = jnp.exp(level * (low + (high - low) * drawn))
    else:
        low, high = bounds.T
        common = 1.0 + level * (low + (high - low) * drawn - 1.0)
    factors: dict[str, Array] = dict(zip(COMMON, common, strict=True))
    for name, u in zip(SPREAD, own, strict=True):
        factors[name] = factors[name] * (1.0 + levels[name] * config.spread * (2.0 * u - 1.0))
    return common, factors


def _draw_delay(key: Array, bounds: tuple[int, int], level: Array) -> Array:
    """A whole number of physics steps up to the level's part of the range; 0 at level 0."""
    low, high = bounds
    return jnp.floor(level * jax.random.uniform(key, minval=low, maxval=high + 1.0 - 1e-3)).astype(jnp.int32)


def draw_chance(key: Array, config: RandomizeConfig, joints: int, noise_size: int) -> Chance:
    """The chance of one control step; parts that the config does not use are empty."""
    noisy = any(vars(config.noise).values())
    sizes = [
        noise_size if noisy else 0,
        joints if config.torque_noise else 0,
        8 if _shoves(config) else 0,
        1 + NUMBERS if throws(config) else 0,
    ]
    if not any(sizes):
        return Chance(*(jnp.zeros(0),) * len(sizes))
    values = jax.random.uniform(key, (sum(sizes),), minval=-1.0)
    return Chance(*jnp.split(values, np.cumsum(sizes)[:-1]))


def _shoves(config: RandomizeConfig) -> bool:
    push = config.push
    return bool(push.force or any(push.linvel) or any(push.angvel))


def throws(config: RandomizeConfig) -> bool:
    """Whether balls are thrown at all."""
    return config.throw.mass[1] > 0.0 and config.throw.speed[1] > 0.0
