"""Ways out of falls, by the cross-entropy method: offsets to a policy's actions with which it does not fall. (Rubinstein 1999;
the best of earlier generations stay in the running, as in Pinneri et al. 2020)

A fall is played again from some time before it, in the same world and with the same chance, by many samples at once. Each adds
its own offsets to what the policy does; the best of them say where the next ones are drawn. Offsets are given at knots a few
control steps apart, linear in between: what acts for longer reaches further than noise that changes with every step. What was
found before for a similar moment is tried first.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mimic.config import SearchConfig
from mimic.learning.rollout import Chance, Curriculum, EnvState, Task, choose, reduced
from motions.rotations import Array

GUESSES = 8  # places where the first generation is drawn: about the policy itself, and about earlier findings
SIMILAR = 0.3  # spread about such a finding, as a part of the spread about the policy
INERTIA = 0.2  # of the mean and spread of the samples, from one generation to the next
ELITE = 6  # one of so many samples is among the best
SHOWN = 12  # samples of a solved fall that are learnt from


class Falls(NamedTuple):
    """Falls to be avoided, leading axis (N,): the state some time before, what chance decides from there on (N, H, ...), and
    whether there is one at all."""

    start: EnvState
    chances: Chance
    real: Array


class Search(NamedTuple):
    """The falls that are worked on (S,), the mean and spread of their samples (S, K, J), the best so far (S, E, K, J) with
    their scores (S, E), and the generations they have had."""

    falls: Falls
    mean: Array
    spread: Array
    elite: Array
    elite_score: Array
    generation: Array


class Library(NamedTuple):
    """What was found: what the policy saw at its start (M, A), the offsets (M, K, J), and how many there were so far."""

    seen: Array
    offsets: Array
    count: Array


class Found(NamedTuple):
    """One generation's results. solved, over (S,): whether a fall need be searched no more, and whether no way was found in all
    generations. Of the best `SHOWN` samples of each: what was observed (S, E, H, A), what the policy does there with the mean of
    the best offsets (S, E, H, J), and whether it is to be learnt from (S, E, H). most: the largest of what the task logs as
    such (max/...), which says whether the physics had room."""

    solved: Array
    over: Array
    obs: Array
    action: Array
    valid: Array
    most: dict[str, Array]


def hats(horizon: int, knots: int, spacing: int) -> Array:
    """(H, K) weights of knots `spacing` control steps apart: one at its own, zero from its neighbours on."""
    return jnp.maximum(1.0 - jnp.abs(jnp.arange(horizon)[:, None] - spacing * jnp.arange(knots)) / spacing, 0.0)


def empty_search(falls: Falls, samples: int, knots: int, joints: int) -> Search:
    """Slots that wait for work; `falls` (S,) gives their shapes."""
    slots, best = len(falls.real), max(samples // ELITE, 2)
    still, elite = jnp.zeros((slots, knots, joints)), jnp.zeros((slots, best, knots, joints))
    idle = falls._replace(real=jnp.zeros(slots, bool))
    return Search(idle, still, still, elite, jnp.full((slots, best), -jnp.inf), jnp.zeros(slots, jnp.int32))


def empty_library(size: int, observed: int, knots: int, joints: int) -> Library:
    return Library(jnp.zeros((size, observed)), jnp.zeros((size, knots, joints)), jnp.zeros((), jnp.int32))


def refill(search: Search, queue: Falls, taken: Array, spread: float) -> tuple[Search, Array]:
    """`search` with the next falls of `queue` in its idle slots, and how many of the queue have been taken."""
    idle = ~search.falls.real
    place = taken + jnp.cumsum(idle) - 1
    there = idle & (place < len(queue.real))
    index = jnp.minimum(place, len(queue.real) - 1)
    fresh = jax.tree.map(lambda leaf: leaf[index], queue)
    anew = Search(
        fresh,
        jnp.zeros_like(search.mean),
        jnp.full_like(search.spread, spread),
        search.elite,
        jnp.full_like(search.elite_score, -jnp.inf),
        jnp.zeros_like(search.generation),
    )
    return choose(there, anew, search), taken + idle.sum()


def advance(
    task: Task,
    act: Callable[[EnvState], tuple[Array, Array]],
    search: Search,
    library: Library,
    curriculum: Curriculum,
    key: Array,
    config: SearchConfig,
) -> tuple[Search, Library, Found]:
    """One generation of samples for every fall of `search`. `act`: what is seen (..., A) in states, what is done (..., J)."""
    slots, knots, joints = search.mean.shape
    samples = config.samples
    seen, _ = act(search.falls.start)
    mean, spread = _centres(search, library, seen, config)
    group = jnp.arange(samples) * GUESSES // samples
    offsets = mean[:, group] + spread[:, group] * jax.random.normal(key, (slots, samples, knots, joints))
    score, stands, obs, policys, going, most = _play(task, act, search.falls, offsets, curriculum, config)
    # of a first generation only the best guess is followed
    by_guess = jnp.stack([jnp.where(group == g, score, -jnp.inf).max(axis=1) for g in range(GUESSES)], axis=1)
    chosen = (search.generation[:, None] > 0) | (group == by_guess.argmax(axis=1)[:, None])
    solved = search.falls.real & (stands.mean(axis=1, where=chosen) > config.enough)
    running = jnp.concatenate([search.elite_score, jnp.where(chosen, score, -jnp.inf)], axis=1)
    elite_score, index = jax.lax.top_k(running, search.elite.shape[1])
    elite = jnp.take_along_axis(jnp.concatenate([search.elite, offsets], axis=1), index[:, :, None, None], axis=1)
    counts, guess = jnp.isfinite(elite_score)[..., None, None], by_guess.argmax(axis=1)
    old_mean, old_spread = mean[jnp.arange(slots), guess], spread[jnp.arange(slots), guess]
    mean = INERTIA * old_mean + (1.0 - INERTIA) * elite.mean(axis=1, where=counts)
    spread = jnp.maximum(INERTIA * old_spread + (1.0 - INERTIA) * elite.std(axis=1, where=counts), config.least_spread)

    place = jnp.where(solved, (library.count + jnp.cumsum(solved) - 1) % len(library.seen), len(library.seen))
    library = Library(
        library.seen.at[place].set(seen, mode="drop"),
        library.offsets.at[place].set(mean, mode="drop"),
        library.count + solved.sum(),
    )
    _, shown = jax.lax.top_k(jnp.where(stands & chosen, score, -jnp.inf), min(SHOWN, samples))
    rows = jnp.arange(slots)[:, None]
    generation = search.generation + search.falls.real
    over = search.falls.real & ~solved & (generation >= config.generations)
    valid = (solved[:, None] & (stands & chosen)[rows, shown])[..., None] & going[rows, shown]
    way = jnp.einsum("hk,skj->shj", hats(config.horizon, knots, config.spacing), mean)
    found = Found(solved, over, obs[rows, shown], policys[rows, shown] + way[:, None], valid, most)
    falls = search.falls._replace(real=search.falls.real & ~solved & ~over)
    return Search(falls, mean, spread, elite, elite_score, generation), library, found


def _centres(search: Search, library: Library, seen: Array, config: SearchConfig) -> tuple[Array, Array]:
    """Where the samples are drawn: means and spreads (S, GUESSES, K, J)."""
    distance = jnp.sum(jnp.square(library.seen - seen[:, None]), axis=-1)
    distance = jnp.where(jnp.arange(len(library.seen)) < library.count, distance, jnp.inf)
    near, index = jax.lax.top_k(-distance, GUESSES - 1)
    known = jnp.isfinite(near)[..., None, None]
    guess = jnp.where(known, library.offsets[index], 0.0)
    guess_spread = config.spread * jnp.where(known, SIMILAR, 1.0) * jnp.ones_like(guess)
    begins = (search.generation == 0)[:, None, None, None]
    mean, spread = search.mean[:, None], search.spread[:, None]
    return tuple(
        jnp.where(begins, jnp.concatenate([own, of_library], axis=1), own)
        for own, of_library in ((mean, guess), (spread, guess_spread))
    )  # type: ignore[return-value]


def _play(
    task: Task,
    act: Callable[[EnvState], tuple[Array, Array]],
    falls: Falls,
    offsets: Array,
    curriculum: Curriculum,
    config: SearchConfig,
) -> tuple[Array, Array, Array, Array, Array, dict[str, Array]]:
    """The falls again with `offsets` (S, N, K, J): reward until the end (S, N), whether it stood to the last (S, N), what was
    observed (S, N, H, A), what the policy alone would have done (S, N, H, J), before the end of the episode (S, N, H), and the
    largest of what the task logs as such."""
    slots, samples, knots, _ = offsets.shape
    batch = slots * samples
    states = jax.tree.map(lambda leaf: jnp.repeat(leaf, samples, axis=0), falls.start)
    weights = hats(config.horizon, knots, config.spacing)
    of_batch = offsets.reshape(batch, knots, -1)
    step = jax.vmap(task.step, (0, 0, 0, None))

    def one_step(carry: tuple, now: tuple) -> tuple[tuple, tuple]:
        states, score, fell, ended = carry
        weight, chance = now
        seen, action = act(states)
        offset = jnp.einsum("k,bkj->bj", weight, of_batch)
        states, result = step(
            states, action + offset, jax.tree.map(lambda leaf: jnp.repeat(leaf, samples, axis=0), chance), curriculum
        )
        score = score + jnp.where(ended, 0.0, result.reward)
        fell = fell | (result.terminated & ~ended)
        most = {name: value for name, value in result.log.items() if name.startswith("max/")}
        return (states, score, fell, ended | result.terminated | result.truncated), (seen, action, ~ended, most)

    zero = jnp.zeros(batch, bool)
    chances = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), falls.chances)
    (_, score, fell, _), record = jax.lax.scan(one_step, (states, jnp.zeros(batch), zero, zero), (weights, chances))

    def by_fall(part: Array) -> Array:
        return part.reshape(slots, samples, *part.shape[1:])

    *record, most = record
    obs, action, going = (by_fall(jnp.swapaxes(part, 0, 1)) for part in record)
    return by_fall(score), by_fall(~fell), obs, action, going, reduced(most)
