"""Running mean and standard deviation of observations (brax's running statistics)."""

import contextlib
import io

import jax
import jax.numpy as jnp

from motions.rotations import Array

with contextlib.redirect_stdout(io.StringIO()):  # brax loads mujoco.mjx, which prints that Warp is not installed
    from brax.training.acme import running_statistics, specs

LEAST_STD = 1e-3  # below it lies what float32 makes of something constant: that must not be blown up

Normalizer = running_statistics.RunningStatisticsState


def init_normalizer(size: int) -> Normalizer:
    return running_statistics.init_state(specs.Array((size,), jnp.dtype("float32")))


def update_normalizer(state: Normalizer, obs: Array) -> Normalizer:
    """Take in observations (..., size).

    The first ones are counted from their own mean: from zero, rounding alone would give a large number that hardly moves a
    variance, which differs with the order of summation.
    """
    first = (state.count.hi == 0) & (state.count.lo == 0)
    mean = jnp.where(first, obs.reshape(-1, obs.shape[-1]).mean(axis=0), state.mean)  # type: ignore[arg-type]
    return running_statistics.update(state.replace(mean=mean), obs, std_min_value=LEAST_STD)


def first_of(state: Normalizer, size: int) -> Normalizer:
    """The statistics of the first `size` numbers."""
    return jax.tree.map(lambda leaf: leaf[:size] if leaf.ndim else leaf, state)


def scale(state: Normalizer, obs: Array, clip: float) -> Array:
    """obs / its root mean square, bounded to +-clip: what is zero stays so."""
    return jnp.clip(obs / jnp.sqrt(jnp.square(state.mean) + jnp.square(state.std)), -clip, clip)  # type: ignore[arg-type]


def normalize(state: Normalizer, obs: Array, clip: float) -> Array:
    """(obs - mean) / std, bounded to +-clip."""
    return jnp.clip((obs - state.mean) / state.std, -clip, clip)
