"""Where episodes start: bins of the clips, drawn by how often the policy fails in them. (BeyondMimic, adaptive sampling)"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mimic.config import SamplingConfig
from motions.library import MotionLibrary
from motions.rotations import Array


class Bins(NamedTuple):
    """S bins over all clips: clip (S,), first frame within the clip (S,), number of frames (S,), the first frame's place among
    the library's packed frames (S,), and its fair share of the starts (S,): as it is long, times its clip's weight."""

    clip: Array
    first: Array
    length: Array
    packed_first: Array
    share: Array


class SamplerState(NamedTuple):
    """failures (S,): moving average of failures per control step, of all environments together."""

    failures: Array


def make_bins(library: MotionLibrary, bin_frames: int) -> Bins:
    """Cut every clip into equal bins of about `bin_frames`. The last frame is no start: nothing is left to track."""
    clips, firsts, lengths, packed = [], [], [], []
    for clip, length in enumerate(np.asarray(library.clip_length)):
        usable = int(length) - 1
        edges = np.linspace(0, usable, max(1, round(usable / bin_frames)) + 1).astype(int)
        clips += [clip] * (len(edges) - 1)
        firsts += list(edges[:-1])
        lengths += list(np.diff(edges))
        packed += list(edges[:-1] + int(library.clip_start[clip]))
    clip, first, length, packed_first = (np.array(column, dtype=np.int32) for column in (clips, firsts, lengths, packed))
    weight = length * np.asarray(library.clip_weight)[clip]
    return Bins(clip, first, length, packed_first, (weight / weight.sum()).astype(np.float32))


def init_sampler(bins: Bins) -> SamplerState:
    return SamplerState(jnp.zeros(len(bins.clip), jnp.float32))


def bin_probabilities(sampler: SamplerState, bins: Bins, config: SamplingConfig) -> Array:
    """(1 - u) failures / sum + u share; (S,). Without any failure: the shares alone.

    u is `uniform`, or uniform_failures / (uniform_failures + sum of failures): p ~ failures + uniform_failures share.
    No bin gets more than `cap` times its share. Clips of no weight get no start: their failures are none.
    """
    total = sampler.failures.sum()
    by_failure = jnp.where(total > 1e-6, sampler.failures / jnp.maximum(total, 1e-6), bins.share)
    added = config.uniform_failures
    uniform = config.uniform if added is None else added / (added + total)
    probabilities = (1.0 - uniform) * by_failure + uniform * bins.share
    return probabilities if config.cap is None else capped(probabilities, jnp.asarray(config.cap * bins.share))


def capped(probabilities: Array, bounds: Array) -> Array:
    """min(bounds, s probabilities) with the s for which they sum to 1; (S,). What is cut off goes to the others in proportion.

    `probabilities` are all above 0 and sum to 1, `bounds` to at least 1. With the k bins that are fullest at their bounds,
    s_k = (1 - their bounds) / (the other probabilities); the right k is the first at which no other bin runs over.
    """
    fullest = jnp.argsort(-probabilities / bounds)
    mass, room = probabilities[fullest], bounds[fullest]
    left = 1.0 - (jnp.cumsum(room) - room)  # [k], what the others have to hold together
    scale = left / jnp.cumsum(mass[::-1])[::-1]
    fits = scale * mass <= room
    return jnp.minimum(bounds, jnp.where(fits.any(), scale[jnp.argmax(fits)], jnp.inf) * probabilities)


def sample_start(key: Array, probabilities: Array, bins: Bins, from_start: float = 0.0) -> tuple[Array, Array]:
    """One start: (clip, frame), uniform inside a bin drawn by `probabilities`; with probability `from_start` frame 0 instead."""
    key_bin, key_frame, key_whole = jax.random.split(key, 3)
    chosen = jnp.searchsorted(jnp.cumsum(probabilities), jax.random.uniform(key_bin) * probabilities.sum(), side="right")
    chosen = jnp.minimum(chosen, len(bins.clip) - 1)
    offset = jnp.floor(jax.random.uniform(key_frame) * jnp.asarray(bins.length)[chosen]).astype(jnp.int32)
    frame = jnp.where(jax.random.bernoulli(key_whole, from_start), 0, jnp.asarray(bins.first)[chosen] + offset)
    return jnp.asarray(bins.clip)[chosen], frame


def count_failures(bins: Bins, packed_frame: Array, failed: Array) -> Array:
    """Failures per bin (S,), from packed frame indices and booleans of one shape."""
    index = jnp.searchsorted(jnp.asarray(bins.packed_first), packed_frame.reshape(-1), side="right") - 1
    return jnp.zeros(len(bins.clip), jnp.float32).at[index].add(failed.reshape(-1).astype(jnp.float32))


def update_sampler(sampler: SamplerState, failures: Array, config: SamplingConfig) -> SamplerState:
    """Exponential moving average, with the failures per control step of one iteration."""
    return SamplerState(config.decay * sampler.failures + (1.0 - config.decay) * failures)
