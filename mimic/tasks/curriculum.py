"""What the tracking task itself learns while the policy does."""

from typing import NamedTuple

import jax.numpy as jnp

from mimic.config import Config
from mimic.mdp import sampling
from mimic.mdp.rewards import TERMS, Tolerance, init_tolerance, update_tolerance
from mimic.mdp.variety import Tally, init_tally, shares, update_tally
from mimic.sim.randomize import Extent, full_extent, kinds_of, used_kinds
from motions.rotations import Array


class Curriculum(NamedTuple):
    """Where episodes start, how much of the randomization is used, which of it makes robots fall, the rewards' widths, and the
    factor on the bounds of termination. None where the config asks for no such thing."""

    sampler: sampling.SamplerState
    extent: Extent
    tally: Tally | None
    tolerance: Tolerance | None
    looseness: Array | None


class Notes(NamedTuple):
    """What the curriculum learns from, of one step. `place` (2,): the packed frames reached and begun on; `errors` (E,): the
    squared errors of `mimic.mdp.rewards.TERMS`; `varied` (K,): which kinds of differences the robot has.

    For a discriminator, None without: `shown` (W,): what it judges; `settled`: whether the episode has gone on for so long that
    this is the robot's own doing; `valid`: whether the physics held."""

    place: Array
    errors: Array
    varied: Array
    shown: Array | None = None
    settled: Array | None = None
    valid: Array | None = None


def init_curriculum(config: Config, bins: sampling.Bins) -> Curriculum:
    randomize, changes = config.randomize, config.curriculum
    return Curriculum(
        sampling.init_sampler(bins),
        full_extent(randomize)._replace(level=jnp.asarray(randomize.start_level, jnp.float32)),
        init_tally(len(kinds_of(randomize))) if randomize.varied_by_falls else None,
        None if changes.tolerance_decay is None else init_tolerance(config.reward),
        None if changes.loose_bounds == 1.0 else jnp.asarray(changes.loose_bounds, jnp.float32),
    )


def update_curriculum(curriculum: Curriculum, notes: Notes, failed: Array, config: Config, bins: sampling.Bins) -> Curriculum:
    """Learn from one iteration, T steps in B environments; all parts of `notes` begin with these axes.

    failed (T, B): a failure counts where it happened and, if `blame_start`, where its episode began, too.
    """
    blamed = notes.place if config.sampling.blame_start else notes.place[..., :1]
    failures = sampling.count_failures(bins, blamed, jnp.broadcast_to(failed[..., None], blamed.shape)) / len(failed)
    falls_per_s = failed.mean() / config.sim.ctrl_dt
    extent, tally = _update_extent(curriculum, notes, failed, falls_per_s, config)
    changes, tolerance, looseness = config.curriculum, curriculum.tolerance, curriculum.looseness
    if tolerance is not None and changes.tolerance_decay is not None:
        falls = failed.mean(axis=1) / config.sim.ctrl_dt
        errors = notes.errors.mean(axis=1)
        tolerance = update_tolerance(tolerance, errors, falls, changes.tolerance_decay, changes.tolerance_falls)
    if looseness is not None:
        tightening = (changes.loose_bounds - 1.0) / max(changes.tighten_share * config.num_iterations, 1.0)
        looseness = jnp.maximum(looseness - tightening, 1.0)
    sampler = sampling.update_sampler(curriculum.sampler, failures, config.sampling)
    return Curriculum(sampler, extent, tally, tolerance, looseness)


def _update_extent(
    curriculum: Curriculum, notes: Notes, failed: Array, falls_per_s: Array, config: Config
) -> tuple[Extent, Tally | None]:
    """More of the randomization while falls are few, less while they are many; of its kinds, more of what robots fall with."""
    randomize, (level, kind_shares), tally = config.randomize, curriculum.extent, curriculum.tally
    fastest = (1.0 - randomize.start_level) / max(randomize.ramp_share * config.num_iterations, 1.0)
    level = jnp.clip(level + jnp.where(falls_per_s < randomize.ramp_falls, fastest, -fastest), randomize.start_level, 1.0)
    if tally is not None:
        tally = update_tally(tally, notes.varied, failed)
        kind_shares = shares(tally, used_kinds(randomize), randomize.varied_share, randomize.varied_by_falls)
    return Extent(level, kind_shares), tally


def curriculum_log(curriculum: Curriculum, config: Config) -> dict[str, Array]:
    """Named scalars of what the curriculum is at."""
    log = {"curriculum/level": curriculum.extent.level}
    if curriculum.tally is not None:
        used = zip(kinds_of(config.randomize), curriculum.extent.shares, used_kinds(config.randomize), strict=True)
        log |= {f"curriculum/share_{name}": share for name, share, is_used in used if is_used}
    if curriculum.tolerance is not None:
        log |= {f"curriculum/sigma_{name}": jnp.sqrt(curriculum.tolerance.width_sq[i]) for i, name in enumerate(TERMS)}
    if curriculum.looseness is not None:
        log["curriculum/looseness"] = curriculum.looseness
    return log
