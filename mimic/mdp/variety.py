"""Which kinds of differences episodes have: what robots fall with more often than without is practised more."""

from typing import NamedTuple

import jax.numpy as jnp

from motions.rotations import Array

DECAY = 0.99  # of the tallies, per iteration
MOST = 0.5  # largest share of a kind that is not asked for more often anyway: half of the episodes are without it


class Tally(NamedTuple):
    """Steps and falls of late in episodes without (row 0) and with (row 1) each kind; (2, K)."""

    steps: Array
    falls: Array


def init_tally(kinds: int) -> Tally:
    return Tally(jnp.zeros((2, kinds)), jnp.zeros((2, kinds)))


def update_tally(tally: Tally, varied: Array, failed: Array) -> Tally:
    """Count one iteration: varied (..., K), whether a step's episode has each kind; failed (...)."""
    sides = jnp.stack([~varied, varied]).reshape(2, -1, varied.shape[-1])
    falls = sides & failed.reshape(-1, 1)
    return Tally(DECAY * tally.steps + sides.sum(axis=1), DECAY * tally.falls + falls.sum(axis=1))


def shares(tally: Tally, used: Array, mean: float, by_falls: float) -> Array:
    """Probability of each kind (K,); 0 for those not `used` (K,), else `mean` on average unless `MOST` cuts some.

    The part `by_falls` of it goes to kinds in proportion to how much more often robots fall with them than without.
    """
    used = jnp.asarray(used, jnp.float32)
    rate = tally.falls / jnp.maximum(tally.steps, 1.0)
    excess = used * jnp.maximum(rate[1] - rate[0], 0.0)
    equal = used / used.sum()
    wanted = jnp.where(excess.sum() > 0.0, excess / jnp.maximum(excess.sum(), 1e-9), equal)
    part = mean * used.sum() * ((1.0 - by_falls) * equal + by_falls * wanted)
    return jnp.minimum(part, max(mean, MOST))
