"""Collecting experience: a scan of policy and environment over one rollout, environments restarting by themselves."""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from mimic.config import ROUND
from mimic.devices import spread
from mimic.learning.networks import Networks, Params
from mimic.learning.normalizer import Normalizer, normalize
from motions.rotations import Array

EnvState = Any  # a pytree of the task's own
Curriculum = Any
Chance = Any


class Step(Protocol):
    """What a task's step returns beside the next state; see `mimic.tasks.tracking.StepResult`."""

    reward: Array
    terminated: Array
    truncated: Array
    invalid: Array
    notes: Any
    log: dict[str, Array]


class Task(Protocol):
    """One environment, as the learner sees it. All methods are pure functions without batch axes."""

    action_size: int

    def init_curriculum(self) -> Curriculum: ...
    def update_curriculum(self, curriculum: Curriculum, notes: Any, failed: Array) -> Curriculum: ...
    def curriculum_log(self, curriculum: Curriculum) -> dict[str, Array]: ...
    def reset(self, key: Array, curriculum: Curriculum) -> EnvState: ...
    def chance(self, key: Array) -> Chance: ...
    def step(self, env_state: EnvState, action: Array, chance: Chance, curriculum: Curriculum) -> tuple[EnvState, Any]: ...
    def observe(self, env_state: EnvState) -> tuple[Array, Array]:
        """(what the actor sees, what the critic sees beyond it)."""
        ...


class Transition(NamedTuple):
    """A rollout, leading axes (T, B). `obs` is what the actor sees, then what the critic sees beyond it;
    `next_obs` is that of the state **before** any reset. `discount` and `truncated` are never merged. `notes`: what the
    task's curriculum wants to know of the steps."""

    obs: Array
    next_obs: Array
    action: Array
    mean: Array
    log_prob: Array
    reward: Array
    terminated: Array
    truncated: Array
    notes: Any


class Offender(NamedTuple):
    """The last environment whose physics broke: its state before that step, and the action."""

    env_state: EnvState
    action: Array


class Rollout(NamedTuple):
    transitions: Transition
    offender: Offender
    log: dict[str, Array]


def collect(
    task: Task,
    networks: Networks,
    params: Params,
    normalizer: Normalizer,
    env_state: EnvState,
    curriculum: Curriculum,
    key: Array,
    *,
    length: int,
    obs_clip: float,
    paired: bool = False,
    noise_correlation: float = 0.0,
) -> tuple[EnvState, Rollout]:
    """Run `length` control steps of all environments with the stochastic policy.

    Environments that terminate or are truncated restart where the task's curriculum says.
    """
    num_envs = jax.tree.leaves(env_state)[0].shape[0]
    batch_step = jax.vmap(task.step, (0, 0, 0, None))

    def batch_observe(env_state: EnvState) -> Array:
        return jnp.concatenate(jax.vmap(task.observe)(env_state), axis=-1)

    # all that chance decides is drawn before the scan, where one large operation is cheaper than `length` small ones
    key_noise, key_fresh, _ = jax.random.split(key, 3)
    chances = chances_of(task, key, length, num_envs)
    noises = correlated(jax.random.normal(key_noise, (length, num_envs, task.action_size)), noise_correlation)
    if paired:
        env_state = jax.tree.map(twice, env_state)
        noises = twice(noises, axis=1) * (1 - 2 * (jnp.arange(num_envs) % 2))[:, None]
        # what else befalls the two is the same, so that it cancels when they are compared
        chances = jax.tree.map(lambda leaf: twice(leaf, axis=1), chances)
    env_state, noises, chances = spread(env_state), spread(noises, 1), spread(chances, 1)
    rounds = -(-length // ROUND)
    # one batch of all starts, and one of all observations of them: a second axis, or a second call, costs seconds of compilation
    fresh_keys = spread(jax.random.split(key_fresh, num_envs * rounds))
    restarts = of_each(jax.vmap(task.reset, (0, None))(fresh_keys, curriculum), num_envs)
    starts = jax.tree.map(lambda now, later: jnp.concatenate([now[:, None], later], axis=1), env_state, restarts)
    obs_starts = of_each(batch_observe(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), starts)), num_envs)
    obs, obs_restarts = obs_starts[:, 0], obs_starts[:, 1:]

    def one_step(carry: tuple, drawn: tuple) -> tuple[tuple, tuple]:
        env_state, obs, offender = carry
        step, noise, chance = drawn
        fresh, obs_fresh = jax.tree.map(lambda leaf: leaf[:, step // ROUND], (restarts, obs_restarts))
        mean, log_std = networks.policy(params, normalize(normalizer, obs, obs_clip))
        action = mean + jnp.exp(log_std) * noise
        log_prob = jnp.sum(-0.5 * jnp.square(noise) - log_std - 0.5 * jnp.log(2.0 * jnp.pi), axis=-1)

        next_state, result = batch_step(env_state, action, chance, curriculum)
        next_obs = batch_observe(next_state)
        ended = result.terminated | result.truncated
        after, obs_after = choose(ended, (fresh, obs_fresh), (next_state, next_obs))

        offender = jax.lax.cond(
            result.invalid.any(), lambda: _suspect(env_state, action, jnp.argmax(result.invalid)), lambda: offender
        )
        transition = Transition(
            obs, next_obs, action, mean, log_prob, result.reward, result.terminated, result.truncated, result.notes
        )
        return (after, obs_after, offender), (transition, result.log | {"rollout/invalid": result.invalid})

    nobody = _suspect(env_state, jnp.zeros((1, task.action_size)), 0)
    drawn = (jnp.arange(length), noises, chances)
    (env_state, _, offender), (transitions, log) = jax.lax.scan(one_step, (env_state, obs, nobody), drawn)
    return env_state, Rollout(transitions, offender, reduced(log))


def reduced(log: dict[str, Array]) -> dict[str, Array]:
    """Each number of many steps as one: the largest where its name begins with max/, else the mean."""
    return {name: value.max() if name.startswith("max/") else value.mean() for name, value in log.items()}


def _suspect(env_state: EnvState, action: Array, row: Array | int) -> Offender:
    return Offender(jax.tree.map(lambda leaf: leaf[row], env_state), action[row])


def correlated(noise: Array, correlation: float) -> Array:
    """White noise (T, ...) as a first-order autoregressive one of the same variance: neighbours in time correlate by so much.

    Its density is taken to be the white one's all the same: the policy gradient is then that of a policy whose actions are
    smoothed over a few steps. (colored noise in PPO: Hollenstein et al. 2024)
    """
    if correlation == 0.0:
        return noise
    rows = jnp.arange(len(noise))
    return jnp.tensordot(jnp.linalg.cholesky(correlation ** jnp.abs(rows[:, None] - rows)), noise, axes=1)


def chances_of(task: Task, key: Array, length: int, num_envs: int) -> Chance:
    """What chance decides of the control steps of a rollout by `collect` with this key and no pairs; (length, num_envs, ...)."""
    _, _, key_chance = jax.random.split(key, 3)
    return jax.vmap(jax.vmap(task.chance))(jax.random.split(key_chance, (length, num_envs)))


def twice(leaf: Array, axis: int = 0) -> Array:
    """`leaf` with the second of each two along `axis` replaced by the first."""
    shape = leaf.shape
    pairs = leaf.reshape(*shape[:axis], shape[axis] // 2, 2, *shape[axis + 1 :])
    first = jax.lax.slice_in_dim(pairs, 0, 1, axis=axis + 1)
    return jnp.broadcast_to(first, pairs.shape).reshape(shape)


def of_each[T](tree: T, count: int) -> T:
    """`tree` with leading axis (count k,) as (count, k)."""
    return jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), tree)


def choose[T](mask: Array, one: T, other: T) -> T:
    """Of two trees with leading axis (N,), the rows of `one` where `mask` (N,) is true, else those of `other`."""
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - 1)), a, b), one, other)
