"""Harden a policy: gather its falls, search ways out of them, learn both what stood by itself and what was found. (after
expert iteration, Anthony et al. 2017; the search is `mimic.learning.search`)

Reward tells a policy that it fell, hardly what it should have done: a step that would have saved it is seldom among the small
changes of its actions that noise makes. A search of a few thousand control steps finds it for one fall at a time.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mimic.config import ROUND, Config
from mimic.learning.distill import descend, imitation_loss
from mimic.learning.networks import Params
from mimic.learning.normalizer import Normalizer, first_of, init_normalizer, normalize
from mimic.learning.ppo import Learner, MirrorTask, TrainState, annealed, networks_of
from mimic.learning.rollout import EnvState, Offender, chances_of, collect, reduced
from mimic.learning.search import (
    Falls,
    Library,
    Search,
    advance,
    empty_library,
    empty_search,
    refill,
)
from motions.rotations import Array

SHORTEST = 24  # control steps from the beginning of an episode to a fall; with fewer it was too late from the start


class Examples(NamedTuple):
    """What is learnt from, the newest `kept` of it: normalized obs (M, A), action (M, J), and how many there were so far."""

    obs: Array
    action: Array
    count: Array


class Memory(NamedTuple):
    """The optimizer's moments; the actor as it was at first; examples of what stood by itself and of what was found."""

    moments: Any
    first: Any
    stood: Examples
    found: Examples


class Yard(NamedTuple):
    """Where it is practised: the environments, the falls that are searched, and what was found before."""

    env_state: EnvState
    search: Search
    library: Library


class Practice(NamedTuple):
    """What the environments went through: T control steps of B environments, in rounds of `ROUND`.

    obs (T, B, A), action (T, B, J), terminated and ended (T, B), snapshots (T / ROUND, B, ...) of the states at the
    beginning of each round, chances (T + H, B, ...) of these steps and those that would follow.
    """

    obs: Array
    action: Array
    terminated: Array
    ended: Array
    snapshots: EnvState
    chances: Any


def falls_of(practice: Practice, before: int, horizon: int) -> Falls:
    """The first fall of each environment that can be searched: from `before` control steps before it (rounded up to rounds), or
    from where its episode began, if that is at least `SHORTEST` steps away."""
    steps, envs = practice.terminated.shape
    row = jnp.arange(steps)[:, None]
    last_end = jax.lax.cummax(jnp.where(practice.ended, row, -1), axis=0)
    began = jnp.concatenate([jnp.zeros((1, envs), int), last_end[:-1] + 1])  # the episode's first step here
    start = jnp.maximum(-(-began // ROUND), (row - before) // ROUND)
    late_enough = practice.terminated & (row - ROUND * start >= SHORTEST) & ((row >= before) | (began > 0))
    first, every = jnp.argmax(late_enough, axis=0), jnp.arange(envs)
    begin = start[first, every]
    states = jax.tree.map(lambda leaf: leaf[begin, every], practice.snapshots)

    def from_begin(leaf: Array) -> Array:
        def of_one(column: Array, step: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(column, step, horizon)

        return jax.vmap(of_one, (1, 0))(leaf, ROUND * begin)

    return Falls(states, jax.tree.map(from_begin, practice.chances), late_enough.any(axis=0))


def stands_on(terminated: Array, ahead: int) -> Array:
    """Of (T, B) steps, those after which there is no fall for `ahead` steps, as far as one can see: False for the last ones."""
    steps = len(terminated)
    so_far = jnp.concatenate([jnp.zeros((1, terminated.shape[1]), int), jnp.cumsum(terminated, axis=0)])
    until = jnp.minimum(jnp.arange(steps) + ahead, steps)
    return (so_far[until] == so_far[:-1]) & (jnp.arange(steps) + ahead <= steps)[:, None]


def remember(examples: Examples, obs: Array, action: Array, valid: Array) -> Examples:
    """`examples` with those of obs (..., A), action (..., J) that are valid (...)."""
    kept, valid = len(examples.obs), valid.reshape(-1)
    number = examples.count + jnp.cumsum(valid) - 1
    newest = number > examples.count + valid.sum() - 1 - kept  # one batch may hold more than there is room for
    place = jnp.where(valid & newest, number % kept, kept)
    return Examples(
        examples.obs.at[place].set(obs.reshape(len(valid), -1).astype(examples.obs.dtype), mode="drop"),
        examples.action.at[place].set(action.reshape(len(valid), -1), mode="drop"),
        examples.count + valid.sum(),
    )


def make_hardener(config: Config, task: MirrorTask) -> Learner:
    """Hardening of the policy that the run begins with (`init_from`)."""
    ppo, search = config.ppo, config.search
    optimizer = optax.chain(optax.clip_by_global_norm(ppo.max_grad_norm), optax.scale_by_adam())
    networks, obs_size = networks_of(config, task)
    actor_size, knots, joints = networks.actor_size, search.knots, task.action_size
    slots, rounds = config.num_envs // search.samples, search.practice // ROUND
    more = -(-search.horizon // ROUND)
    batch_size = config.num_envs * ppo.rollout_length // ppo.num_minibatches

    def actor(params: Params, obs: Array) -> Array:
        return networks.policy(params, obs)[0]

    def examples() -> Examples:  # in half precision, as large as they are
        obs = jnp.zeros((search.kept, actor_size), jnp.float16)
        return Examples(obs, jnp.zeros((search.kept, joints)), jnp.zeros((), jnp.int32))

    def init(key: Array) -> TrainState:
        key_params, key_reset, key_train = jax.random.split(key, 3)
        params, curriculum = networks.init(key_params, obs_size), task.init_curriculum()
        env_state = jax.vmap(task.reset, (0, None))(jax.random.split(key_reset, config.num_envs), curriculum)
        chances = chances_of(task, key_reset, search.horizon, slots)
        first = jax.tree.map(lambda leaf: leaf[:slots], env_state)
        falls = Falls(first, jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), chances), jnp.zeros(slots, bool))
        return TrainState(
            params=params,
            average=params,
            opt_state=Memory(optimizer.init(params["actor"]), params["actor"], examples(), examples()),
            learning_rate=jnp.asarray(search.learning_rate),
            normalizer=init_normalizer(obs_size),
            env_state=Yard(
                env_state,
                empty_search(falls, search.samples, knots, joints),
                empty_library(search.library, actor_size, knots, joints),
            ),
            curriculum=curriculum,
            key=key_train,
            iteration=jnp.zeros((), jnp.int32),
        )

    def begun(state: TrainState) -> TrainState:
        """At the beginning the policy is what was measured of it, the average, and that is remembered as the first."""
        memory: Memory = state.opt_state
        begins = state.iteration == 0
        now, first = (
            jax.tree.map(lambda average, part: jnp.where(begins, average, part), state.average["actor"], part)
            for part in (state.params["actor"], memory.first)
        )
        return state._replace(params=state.params | {"actor": now}, opt_state=memory._replace(first=first))

    def iterate(state: TrainState) -> tuple[TrainState, dict[str, Array], Offender]:
        state = begun(state)
        key_practice, key_search, key_update, key_next = jax.random.split(state.key, 4)
        seen = first_of(state.normalizer, actor_size)
        env_state, practice, notes, log, offender = _practise(state, key_practice)
        yard, memory, counts, most = _search(state, practice, seen, key_search)
        stood = normalize(seen, practice.obs, config.observation.clip)
        action = actor({"actor": memory.first, "log_std": state.params["log_std"]}, stood)
        alike = jnp.mean(jnp.square(action - practice.action), axis=-1) < search.otherwise**2
        valid = stands_on(practice.terminated, search.before) & alike
        memory = memory._replace(stood=remember(memory.stood, stood, action, valid))
        learning_rate = search.learning_rate * annealed(state.iteration / config.num_iterations, ppo.anneal_share)
        params, average, memory, losses = _update(state, memory, learning_rate, key_update)
        curriculum = task.update_curriculum(state.curriculum, notes, practice.terminated)
        log |= task.curriculum_log(curriculum) | losses | counts
        log |= {name: jnp.maximum(log[name], value) for name, value in most.items()}
        log |= {"rollout/terminated": practice.terminated.mean(), "loss/learning_rate": learning_rate}
        next_state = TrainState(
            params, average, memory, learning_rate, state.normalizer, yard._replace(env_state=env_state), curriculum, key_next,
            state.iteration + 1,
        )  # fmt: skip
        return next_state, log, offender

    def _practise(state: TrainState, key: Array) -> tuple[EnvState, Practice, Any, dict[str, Array], Offender]:
        params = state.params | {"log_std": jnp.full(task.action_size, jnp.log(search.noise))}

        def one_round(env_state: EnvState, key_round: Array) -> tuple[EnvState, tuple]:
            after, rollout = collect(
                task, networks, params, state.normalizer, env_state, state.curriculum, key_round,
                length=ROUND, obs_clip=config.observation.clip,
            )  # fmt: skip
            return after, (env_state, rollout)

        keys = jax.random.split(key, rounds + more)
        env_state, (snapshots, rollouts) = jax.lax.scan(one_round, state.env_state.env_state, keys[:rounds])
        chances = jax.vmap(lambda key_round: chances_of(task, key_round, ROUND, config.num_envs))(keys)
        t = rollouts.transitions

        def in_one(leaf: Array) -> Array:
            return leaf.reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])

        terminated, truncated = in_one(t.terminated), in_one(t.truncated)
        practice = Practice(
            in_one(t.obs)[..., :actor_size], in_one(t.mean), terminated, terminated | truncated, snapshots,
            jax.tree.map(in_one, chances),
        )  # fmt: skip
        broken = jnp.argmax(rollouts.log["rollout/invalid"])
        log = reduced(rollouts.log) | {"rollout/reward": t.reward.mean()}
        return env_state, practice, jax.tree.map(in_one, t.notes), log, jax.tree.map(lambda leaf: leaf[broken], rollouts.offender)

    def _search(
        state: TrainState, practice: Practice, normalizer: Normalizer, key: Array
    ) -> tuple[Yard, Memory, dict[str, Array], dict[str, Array]]:
        key_order, key_generations = jax.random.split(key)
        falls = falls_of(practice, search.before, search.horizon)
        order = jnp.argsort(jax.random.uniform(key_order, falls.real.shape) - falls.real)  # the real ones first
        queue = jax.tree.map(lambda leaf: leaf[order], falls)

        def act(states: EnvState) -> tuple[Array, Array]:
            seen = normalize(normalizer, jax.vmap(task.observe)(states)[0], config.observation.clip)
            return seen, actor(state.params, seen)

        def generation(carry: tuple, key: Array) -> tuple[tuple, tuple]:
            doing, library, found, taken = carry
            doing, taken = refill(doing, queue, taken, search.spread)
            working = doing.falls.real.mean()
            doing, library, result = advance(task, act, doing, library, state.curriculum, key, search)
            return (doing, library, remember(found, result.obs, result.action, result.valid), taken), (
                working, result.solved.sum(), result.over.sum(), result.most,
            )  # fmt: skip

        yard: Yard = state.env_state
        keys = jax.random.split(key_generations, search.generations_per_practice)
        carry = (yard.search, yard.library, state.opt_state.found, jnp.zeros((), jnp.int32))
        (doing, library, found, _), (working, solved, over, most) = jax.lax.scan(generation, carry, keys)
        counts = {
            "search/falls": falls.real.sum(),
            "search/working": working.mean(),
            "search/avoided": solved.sum(),
            "search/given_up": over.sum(),
            "search/known": library.count,
        }
        return yard._replace(search=doing, library=library), state.opt_state._replace(found=found), counts, reduced(most)

    def _update(
        state: TrainState, memory: Memory, learning_rate: Array, key: Array
    ) -> tuple[Params, Params, Memory, dict[str, Array]]:
        trust = jnp.minimum(memory.found.count / search.trusted, 1.0)

        def loss(params: Params, key_batch: Array) -> tuple[Array, tuple[Array, Array]]:
            errors = []
            for examples, key in zip((memory.stood, memory.found), jax.random.split(key_batch), strict=True):
                known = jnp.minimum(examples.count, search.kept)
                index = jax.random.randint(key, (batch_size // 2,), 0, jnp.maximum(known, 1))
                valid = jnp.full(len(index), known > 0, jnp.float32)
                obs = examples.obs[index].astype(jnp.float32)
                errors.append(imitation_loss(params, obs, examples.action[index], valid, actor))
            return errors[0] + trust * errors[1], tuple(errors)

        before = (state.params, memory.moments, state.average)
        after, (stood, found) = descend(
            loss, before, jax.random.split(key, search.updates), optimizer, learning_rate, ppo.average_decay
        )
        params, moments, average = after
        losses = {"loss/stood": stood.mean(), "loss/found": found.mean()}
        return params, average, memory._replace(moments=moments), losses

    return Learner(init, iterate, networks, actor_size)
