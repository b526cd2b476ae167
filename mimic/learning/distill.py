"""Teacher to student: DAgger, one jitted iteration of practice and imitation. (Ross et al. 2011, algorithm 3.1)

The student acts in its own environments, from its own observation: what a robot measures, late and noisy. In every state it
gets into, the teacher, who sees the true state, says what it would have done there; that is what the student learns.

Actions arrive late, and the teacher knows of no delay: what the student should have sent is what the teacher asks for when it
arrives, some steps further on in the same rollout. (Liotet et al. 2022, delayed imitation)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mimic.config import ActionConfig, Config, ObservationConfig
from mimic.learning.networks import MLP, Layers, Params, actor_params, make_networks
from mimic.learning.normalizer import first_of, init_normalizer, normalize, update_normalizer
from mimic.learning.ppo import Learner, TrainState, after_the_first, annealed
from mimic.learning.rollout import Offender, Task, collect
from motions.rotations import Array


class Teacher(NamedTuple):
    """A trained actor: what it observes and what its actions ask for, its layers (kernel (in, out), bias (out,)), and its
    normalizer's mean and std (N,)."""

    observation: ObservationConfig
    action: ActionConfig
    layers: Layers
    mean: np.ndarray
    std: np.ndarray

    def act(self, obs: Array) -> Array:
        """The mean action (..., J) for its own observation (..., N), not yet normalized."""
        sizes = tuple(len(bias) for _, bias in self.layers)
        normalized = jnp.clip((obs - self.mean) / self.std, -self.observation.clip, self.observation.clip)
        return MLP(sizes, 0.0).apply(actor_params(self.layers), normalized)  # type: ignore[return-value]


class Lesson(NamedTuple):
    """How far the practice has come: the task's own curriculum, and the share of the control steps that the teacher acts in."""

    curriculum: Any
    led: Array


class Taught:
    """`task` with a teacher beside the policy.

    What is observed "beyond the actor's" is the teacher's plan there: the joint targets it asks for (J,), those of an action of
    zero (J,), and in how many control steps an action will act (1,). In a share of the control steps, at random, the teacher
    acts instead of the policy: in all of them at first, then in fewer, in none after `led_iterations`.
    """

    def __init__(self, task: Any, teacher: Teacher, led_iterations: float) -> None:
        self.task, self.teacher, self.led_iterations = task, teacher, led_iterations
        self.action_size, self.aim = task.action_size, task.aim_of(teacher.action)

    def init_curriculum(self) -> Lesson:
        return Lesson(self.task.init_curriculum(), jnp.ones(()))

    def update_curriculum(self, curriculum: Lesson, notes: Any, failed: Array) -> Lesson:
        led = jnp.maximum(curriculum.led - 1.0 / max(self.led_iterations, 1.0), 0.0)
        return Lesson(self.task.update_curriculum(curriculum.curriculum, notes, failed), led)

    def curriculum_log(self, curriculum: Lesson) -> dict[str, Array]:
        return self.task.curriculum_log(curriculum.curriculum) | {"curriculum/led": curriculum.led}

    def reset(self, key: Array, curriculum: Lesson) -> Any:
        return self.task.reset(key, curriculum.curriculum)

    def chance(self, key: Array) -> tuple[Any, Array]:
        key_task, key_led = jax.random.split(key)
        return self.task.chance(key_task), jax.random.uniform(key_led)

    def step(self, env_state: Any, action: Array, chance: tuple[Any, Array], curriculum: Lesson) -> tuple[Any, Any]:
        chance_task, drawn = chance
        applied = jnp.where(drawn < curriculum.led, self._led(env_state), action)
        return self.task.step(env_state, applied, chance_task, curriculum.curriculum)

    def observe(self, env_state: Any) -> tuple[Array, Array]:
        return self.task.observe(env_state)[0], self.plan(env_state)

    def plan(self, env_state: Any) -> Array:
        """What the teacher asks for if it acts at once, beside what an action of zero does, and the lag; (2 J + 1,)."""
        wanted = self.task.intended(env_state, self._act(env_state), aim=self.aim)
        still = self.task.intended(env_state, jnp.zeros(self.action_size))
        return jnp.concatenate([wanted, still, self.task.lag(env_state)[None]])

    def _act(self, env_state: Any) -> Array:
        """What the teacher would do if it acted at once; (J,)."""
        return self.teacher.act(self.task.observe_true(env_state, self.teacher.observation, self.aim))

    def _led(self, env_state: Any) -> Array:
        """What it does when it acts late: the same about where the reference will be by then."""
        then = self.task.intended(env_state, self._act(env_state), self.task.lag(env_state), self.aim)
        return (then - self.task.intended(env_state, jnp.zeros(self.action_size))) / self.task.action_scale


class Memory(NamedTuple):
    """The optimizer's moments, and the last rollouts, which it learns from: obs (K, T B, N), label (K, T B, J), known (K, T B):
    1 where there is a label, else 0."""

    moments: Any
    obs: Array
    label: Array
    known: Array


def imitation_loss(params: Params, obs: Array, label: Array, known: Array, actor: Callable[[Params, Array], Array]) -> Array:
    """Mean over known samples and joints of the squared difference to the label; normalized obs (N, D), label (N, J)."""
    return known_mean(jnp.square(actor(params, obs) - label), known)


def known_mean(values: Array, known: Array) -> Array:
    """Mean of values (..., J) where `known` (...) is 1."""
    return jnp.sum(known * values.mean(axis=-1)) / jnp.maximum(known.sum(), 1.0)


def descend(
    loss: Callable[[Params, Array], tuple[Array, Any]],
    before: tuple[Params, Any, Params],
    keys: Array,
    optimizer: optax.GradientTransformation,
    learning_rate: Array,
    average_decay: float,
) -> tuple[tuple[Params, Any, Params], Any]:
    """The actor, the optimizer's moments and the running average of all weights after a step down `loss` with each of `keys`.

    `loss(params, key)` gives (value, what is to be logged); the logs come back with a leading axis of steps.
    """

    def step(carry: tuple, key: Array) -> tuple[tuple, Any]:
        params, moments, average = carry
        grads, log = jax.grad(loss, has_aux=True)(params, key)
        change, moments = optimizer.update(grads["actor"], moments)
        params = params | {"actor": jax.tree.map(lambda p, u: p - learning_rate * u, params["actor"], change)}
        average = jax.tree.map(lambda a, p: average_decay * a + (1.0 - average_decay) * p, average, params)
        return (params, moments, average), log

    return jax.lax.scan(step, before, keys)


def labels(plans: Array, ended: Array, action_scale: Array) -> tuple[Array, Array]:
    """(T, B, J) actions whose targets would have been the teacher's when they arrived, and (T, B) whether that is known.

    plans (T, B, 2 J + 1) as `Taught` observes them; between control steps by time. Not known where the episode, or the rollout,
    is over before the action arrives; ended (T, B).
    """
    joints, steps = (plans.shape[-1] - 1) // 2, len(plans)
    target, still, lag = plans[..., :joints], plans[..., joints:-1], plans[..., -1]
    episode = jnp.cumsum(ended, axis=0) - ended  # how many have ended before
    wanted, known = jnp.zeros_like(target), jnp.ones(ended.shape)
    before = jnp.arange(steps)[:, None] + jnp.floor(lag).astype(jnp.int32)
    after_share = lag - jnp.floor(lag)
    for place, share in ((before, 1.0 - after_share), (before + 1, after_share)):
        row = jnp.minimum(place, steps - 1)
        there = (place < steps) & (jnp.take_along_axis(episode, row, axis=0) == episode)
        wanted = wanted + share[..., None] * jnp.take_along_axis(target, row[..., None], axis=0)
        known = jnp.where(there | (share == 0.0), known, 0.0)
    return (wanted - still) / action_scale, known


def make_student(config: Config, task: Task, teacher: Teacher) -> Learner:
    """DAgger on `task` as `config` says, towards `teacher`.

    The normalizer runs over the actor's observation and, behind it, the teacher's plans, whose statistics nobody uses.
    """
    ppo, distill = config.ppo, config.distill
    taught = Taught(task, teacher, distill.mixed_share * config.num_iterations)
    optimizer = optax.chain(optax.clip_by_global_norm(ppo.max_grad_norm), optax.scale_by_adam())
    actor_shape, plan_shape = jax.eval_shape(lambda: taught.observe(taught.reset(jax.random.key(0), taught.init_curriculum())))
    actor_size, obs_size = actor_shape.shape[0], actor_shape.shape[0] + plan_shape.shape[0]
    networks = make_networks(config.network, task.action_size, actor_size)
    batch_size = config.steps_per_iteration // ppo.num_minibatches

    def actor(params: Params, obs: Array) -> Array:
        return networks.policy(params, obs)[0]

    def init(key: Array) -> TrainState:
        key_params, key_reset, key_train = jax.random.split(key, 3)
        params = {
            "actor": networks.actor.init(key_params, jnp.zeros(actor_size)),
            "log_std": jnp.full(task.action_size, jnp.log(distill.noise)),
        }
        kept = (distill.kept_rollouts, config.steps_per_iteration)
        lesson = taught.init_curriculum()
        return TrainState(
            params=params,
            average=params,
            opt_state=Memory(
                optimizer.init(params["actor"]),
                jnp.zeros((*kept, actor_size)),
                jnp.zeros((*kept, task.action_size)),
                jnp.zeros(kept),
            ),
            learning_rate=jnp.asarray(distill.learning_rate),
            normalizer=init_normalizer(obs_size),
            env_state=jax.vmap(taught.reset, (0, None))(jax.random.split(key_reset, config.num_envs), lesson),
            curriculum=lesson,
            key=key_train,
            iteration=jnp.zeros((), jnp.int32),
        )

    def _remember(memory: Memory, obs: Array, label: Array, known: Array, count: Array) -> Memory:
        """`memory` with a rollout, the `count`-th: obs (T, B, N), label (T, B, J), known (T, B)."""
        place = count % distill.kept_rollouts
        kept = {"obs": obs.reshape(-1, actor_size), "label": label.reshape(-1, task.action_size), "known": known.reshape(-1)}
        return memory._replace(**{name: getattr(memory, name).at[place].set(part) for name, part in kept.items()})

    def iterate(state: TrainState) -> tuple[TrainState, dict[str, Array], Offender]:
        key_rollout, key_update, key_next = jax.random.split(state.key, 3)
        env_state, collected = collect(
            taught, networks, state.params, state.normalizer, state.env_state, state.curriculum, key_rollout,
            length=ppo.rollout_length, obs_clip=config.observation.clip,
        )  # fmt: skip
        transitions = collected.transitions
        obs, plans = jnp.split(transitions.obs, [actor_size], axis=-1)
        label, known = labels(plans, transitions.terminated | transitions.truncated, task.action_scale)
        progress = state.iteration / config.num_iterations
        learning_rate = distill.learning_rate * annealed(progress, ppo.anneal_share)
        memory = _remember(state.opt_state, obs, label, known, state.iteration)
        before = (state.params, memory.moments, state.average)
        after, losses = after_the_first(
            state.iteration, lambda: _update(state, before, memory, learning_rate, key_update), before
        )
        params, moments, average = after
        log = collected.log | taught.curriculum_log(state.curriculum)
        log |= {
            "loss/imitation": losses.mean(),
            "loss/learning_rate": learning_rate,
            "error/imitation_rms": jnp.sqrt(known_mean(jnp.square(transitions.mean - label), known)),
            "rollout/label_rms": jnp.sqrt(known_mean(jnp.square(label), known)),
            "rollout/reward": transitions.reward.mean(),
            "rollout/terminated": transitions.terminated.mean(),
        }
        lesson = taught.update_curriculum(state.curriculum, transitions.notes, transitions.terminated)
        normalizer = update_normalizer(state.normalizer, transitions.obs)
        memory = memory._replace(moments=moments)
        next_state = TrainState(
            params, average, memory, learning_rate, normalizer, env_state, lesson, key_next, state.iteration + 1
        )
        return next_state, log, collected.offender

    def _update(state: TrainState, before: tuple, memory: Memory, learning_rate: Array, key: Array) -> tuple[tuple, Array]:
        remembered = jnp.minimum(state.iteration + 1, distill.kept_rollouts) * config.steps_per_iteration
        obs, label = (part.reshape(-1, part.shape[-1]) for part in (memory.obs, memory.label))
        known = memory.known.reshape(-1)
        statistics = first_of(state.normalizer, actor_size)

        def loss(params: Params, key_batch: Array) -> tuple[Array, Array]:
            index = jax.random.randint(key_batch, (batch_size,), 0, remembered)
            seen = normalize(statistics, obs[index], config.observation.clip)
            value = imitation_loss(params, seen, label[index], known[index], actor)
            return value, value

        return descend(loss, before, jax.random.split(key, distill.updates), optimizer, learning_rate, ppo.average_decay)

    return Learner(init, iterate, networks, actor_size)
