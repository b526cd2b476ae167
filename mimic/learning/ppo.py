"""Proximal policy optimization: one jitted iteration of rollout and update. (Schulman et al. 2017)"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from mimic.config import Config, PPOConfig
from mimic.learning.discriminator import StyleState, StyleTask, make_judge
from mimic.learning.networks import Networks, Params, gaussian_kl, gaussian_log_prob, make_networks
from mimic.learning.normalizer import Normalizer, init_normalizer, normalize, update_normalizer
from mimic.learning.rollout import Offender, Task, Transition, collect
from mimic.mdp.symmetry import Mirror
from motions.rotations import Array

LAST_KL = 0.05  # what is left of the desired KL divergence at the end of a training
MOST_GROUPS = 64  # of environments whose samples are drawn apart; a power of two, and so the most devices that share nothing
OF_STYLE = 1 << 20  # what the discriminator's keys are folded with: none that `split` gives for anything else
LR_STEP = 1.2  # factor by which the learning rate moves when the KL divergence leaves [wanted/2, 2 wanted]


class TrainState(NamedTuple):
    """Everything a resume needs. `iteration` counts rollouts, the first of which only starts the normalizer."""

    params: Params
    average: Params
    opt_state: Any
    learning_rate: Array
    normalizer: Normalizer
    env_state: Any
    curriculum: Any
    key: Array
    iteration: Array
    style: StyleState | None = None
    """The discriminator's, where there is one."""


class Learner(NamedTuple):
    """`init(key)` and `iterate(state)`: pure, to be jitted; `actor_size` is the width of the actor's observation."""

    init: Callable[[Array], TrainState]
    iterate: Callable[[TrainState], tuple[TrainState, dict[str, Array], Offender]]
    networks: Networks
    actor_size: int


class Batch(NamedTuple):
    """Samples of one update, leading axes (groups, N)."""

    obs: Array
    action: Array
    mean: Array
    log_prob: Array
    value: Array
    advantage: Array
    value_target: Array


def gae(
    reward: Array, value: Array, next_value: Array, terminated: Array, truncated: Array, discount: float, gae_lambda: float
) -> tuple[Array, Array]:
    """Generalized advantage estimation over the leading axis T. (Schulman et al. 2016, eq. 16)

    delta_t = r_t + discount (1 - terminated_t) next_value_t - value_t
    A_t = delta_t + discount lambda (1 - terminated_t) (1 - truncated_t) A_{t+1}

    `next_value` is the value of the state before any reset, so truncated episodes bootstrap. Returns (A, A + value).
    """
    delta = reward + discount * jnp.where(terminated, 0.0, next_value) - value
    ended = jnp.asarray(terminated) | jnp.asarray(truncated)
    carry_on = discount * gae_lambda * jnp.where(ended, 0.0, 1.0)

    def backward(later: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta_t, carry_t = now
        advantage = delta_t + carry_t * later
        return advantage, advantage

    _, advantage = jax.lax.scan(backward, jnp.zeros_like(delta[0]), (delta, carry_on), reverse=True)
    return advantage, advantage + value


def next_values(critic: Callable[[Array], Array], value: Array, next_obs: Array, truncated: Array) -> Array:
    """Values (T, B) of the states that the steps led to: the next row's of `value`, but where a truncation came between.

    There, and below the last row, `critic` is asked. Truncations are few; when they are not, it is asked everywhere.
    After a termination the answer is another episode's, and of no use.
    """
    groups = group_count(value.shape[1], 1)
    room = max(value.size // groups // 16, 1)

    def ask_few() -> Array:
        following = jnp.concatenate([value[1:], critic(next_obs[-1:])])
        cut, reached, values = grouped(groups, (truncated, next_obs, following))
        places = jax.vmap(lambda group: jnp.nonzero(group, size=room, fill_value=0)[0])(cut)
        answers = critic(jax.vmap(lambda obs, place: obs[place])(reached, places))
        values = jax.vmap(lambda value, place, answer: value.at[place].set(answer))(values, places, answers)
        return values.reshape(value.shape[::-1]).T

    few = grouped(groups, truncated).sum(axis=1).max() <= room
    return jax.lax.cond(few, ask_few, lambda: critic(next_obs))


def group_count(num_envs: int, rollout_length: int, num_minibatches: int = 1) -> int:
    """In how many groups of environments samples are drawn: so many from each that no device needs another's samples."""
    groups = math.gcd(num_envs, MOST_GROUPS)
    while (num_envs // groups * rollout_length) % num_minibatches:
        groups //= 2
    return groups


def grouped[T](groups: int, tree: T) -> T:
    """Leaves (T, B, ...) as (groups, B T / groups, ...), each group all steps of some environments."""
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1).reshape(groups, -1, *leaf.shape[2:]), tree)


def pair_centred(advantage: Array, ended: Array) -> Array:
    """Advantages (T, B) less the mean of each pair (2 i, 2 i + 1), which began the rollout in one state with opposite noise.

    What the critic gets wrong about the pair's common neighbourhood cancels; to first order in the noise the policy gradient
    is not changed. From where either of the two has been reset on, they are strangers and left as they are.
    """
    apart = jnp.cumsum(ended, axis=0) - ended > 0  # reset before this step
    pairs, strangers = (part.reshape(len(advantage), -1, 2) for part in (advantage, apart))
    mean = jnp.where(strangers.any(axis=-1, keepdims=True), 0.0, pairs.mean(axis=-1, keepdims=True))
    return (pairs - mean).reshape(advantage.shape)


def annealed(progress: Array, share: float) -> Array:
    """Factor on the KL divergence of an update: 1, then linearly down to `LAST_KL` over the last `share` of the training."""
    return jnp.clip((1.0 - progress) / max(share, 1e-6), LAST_KL, 1.0)


def ppo_loss(
    params: Params, batch: Batch, old_log_std: Array, networks: Networks, config: PPOConfig, mirror: Mirror | None = None
) -> tuple[Array, dict[str, Array]]:
    """Clipped surrogate + squared value error - entropy bonus, on normalized observations.

    With `mirror`, what `config.symmetry` says: the surrogate's mean over the samples and their mirror images, or the squared
    asymmetry of the policy on top. A mirrored sample is one of the mirrored policy in the mirrored world, so it was as likely
    and is as good as the sample itself. (Mittal et al. 2024; Yu et al. 2018) The critic judges only what happened.
    With `value_clip` the value error is the larger one of the value and of the value kept within +-value_clip of the rollout's.
    """
    mean, log_std = networks.policy(params, batch.obs)

    def surrogate(action: Array, mean: Array) -> Array:
        ratio = jnp.exp(gaussian_log_prob(action, mean, log_std) - batch.log_prob)
        clipped = jnp.clip(ratio, 1.0 - config.clip_ratio, 1.0 + config.clip_ratio)
        return -jnp.mean(jnp.minimum(ratio * batch.advantage, clipped * batch.advantage))

    policy_loss, asymmetry = surrogate(batch.action, mean), None
    if mirror is not None:
        mirrored_mean, _ = networks.policy(params, mirror.observation.of(batch.obs[..., : networks.actor_size]))
        asymmetry = jnp.mean(jnp.sum(jnp.square(mirrored_mean - mirror.action.of(mean)), axis=-1))
        if config.symmetry == "augment":
            policy_loss = 0.5 * (policy_loss + surrogate(mirror.action.of(batch.action), mirrored_mean))
    value = networks.value(params, batch.obs)
    value_error = jnp.square(value - batch.value_target)
    if config.value_clip is not None:
        near = batch.value + jnp.clip(value - batch.value, -config.value_clip, config.value_clip)
        value_error = jnp.maximum(value_error, jnp.square(near - batch.value_target))
    value_loss = jnp.mean(value_error)
    entropy = jnp.sum(log_std + 0.5 * jnp.log(2.0 * jnp.pi * jnp.e))
    loss = policy_loss + value_loss - config.entropy_coef * entropy
    kl = jnp.mean(gaussian_kl(batch.mean, old_log_std, mean, log_std))
    log = {"loss/policy": policy_loss, "loss/value": value_loss, "loss/kl": kl}
    if asymmetry is not None:
        log["loss/asymmetry"] = asymmetry
        if config.symmetry == "loss":
            loss = loss + config.symmetry_coef * asymmetry
    return loss, log


class MirrorTask(Task, Protocol):
    """A task that may have a mirror image, and something to show a discriminator (`style`), where it is asked for."""

    @property
    def style(self) -> StyleTask | None: ...

    def mirror(self) -> Mirror:
        """The left-right mirror images of what the actor sees and does; asked for only where `ppo.symmetry` is."""
        ...


def networks_of(config: Config, task: MirrorTask) -> tuple[Networks, int]:
    """Actor and critic for what `task` observes, as `config` says, and the size of all of it."""
    actor_shape, extra_shape = jax.eval_shape(lambda: task.observe(task.reset(jax.random.key(0), task.init_curriculum())))
    actor_size = actor_shape.shape[0]
    networks = make_networks(config.network, task.action_size, actor_size, config.observation.critic_sees_actor)
    if config.ppo.symmetry == "network":
        networks = networks._replace(mirror=task.mirror())
    return networks, actor_size + extra_shape.shape[0]


def make_learner(config: Config, task: MirrorTask) -> Learner:
    """PPO on `task` as `config` says."""
    ppo = config.ppo
    optimizer = optax.chain(optax.clip_by_global_norm(ppo.max_grad_norm), optax.scale_by_adam())
    networks, obs_size = networks_of(config, task)
    actor_size = networks.actor_size
    groups = group_count(config.num_envs, ppo.rollout_length, ppo.num_minibatches)
    lead = ppo.critic_lead if config.init_from else 0
    shown = task.style if config.reward.style else None
    judge = None if shown is None else make_judge(config.style, shown)
    learnt = task.mirror() if ppo.symmetry in ("augment", "loss") else None
    mirror = learnt if networks.mirror is None else networks.mirror

    def with_images(obs: Array) -> Array:
        """Both, so that normalized observations mirror as the observations do; the critic's own part stays."""
        if mirror is None:
            return obs
        image = mirror.observation.of(obs[..., :actor_size])
        return jnp.concatenate([obs, jnp.concatenate([image, obs[..., actor_size:]], axis=-1)])

    def init(key: Array) -> TrainState:
        key_params, key_reset, key_train = jax.random.split(key, 3)
        params = networks.init(key_params, obs_size)
        curriculum = task.init_curriculum()
        return TrainState(
            params=params,
            average=params,
            opt_state={name: optimizer.init(params[name]) for name in params},
            learning_rate=jnp.asarray(ppo.learning_rate),
            normalizer=init_normalizer(obs_size),
            env_state=jax.vmap(task.reset, (0, None))(jax.random.split(key_reset, config.num_envs), curriculum),
            curriculum=curriculum,
            key=key_train,
            iteration=jnp.zeros((), jnp.int32),
            style=None if judge is None else judge.init(jax.random.fold_in(key_params, OF_STYLE)),
        )

    def iterate(state: TrainState) -> tuple[TrainState, dict[str, Array], Offender]:
        key_rollout, key_update, key_next = jax.random.split(state.key, 3)
        env_state, collected = collect(
            task, networks, state.params, state.normalizer, state.env_state, state.curriculum, key_rollout,
            length=ppo.rollout_length, obs_clip=config.observation.clip, paired=ppo.paired,
            noise_correlation=ppo.noise_correlation,
        )  # fmt: skip
        transitions, style, style_log = _judged(state, collected.transitions, key_rollout)
        batch = _make_batch(state, transitions)
        before = (state.params, state.opt_state, state.learning_rate, state.average)
        after, log = after_the_first(state.iteration, lambda: _update(state, before, batch, key_update), before)
        params, opt_state, learning_rate, average = after
        curriculum = task.update_curriculum(state.curriculum, transitions.notes, transitions.terminated)
        log = jax.tree.map(jnp.mean, log) | collected.log | task.curriculum_log(curriculum) | style_log
        log["rollout/reward"] = transitions.reward.mean()
        log["rollout/terminated"] = transitions.terminated.mean()
        log["rollout/action_std"] = jnp.exp(params["log_std"]).mean()
        log["rollout/action_abs"] = jnp.abs(transitions.mean).mean()
        log["loss/learning_rate"] = learning_rate
        log["loss/value_explained"] = _explained(batch.value, batch.value_target)
        normalizer = update_normalizer(state.normalizer, with_images(transitions.obs))
        next_state = TrainState(
            params, average, opt_state, learning_rate, normalizer, env_state, curriculum, key_next, state.iteration + 1, style
        )
        return next_state, log, collected.offender

    def _judged(state: TrainState, transitions: Transition, key: Array) -> tuple[Transition, StyleState | None, dict[str, Array]]:
        """The transitions with what the discriminator pays for them; it learns from them afterwards."""
        if judge is None or state.style is None:
            return transitions, None, {}
        paid = jnp.where(transitions.notes.valid, judge.reward(state.style, transitions.notes.shown), 0.0)
        style, log = judge.learn(
            state.style, transitions.notes.shown, transitions.notes.settled, jax.random.fold_in(key, OF_STYLE)
        )
        reward = transitions.reward + config.reward.scale * config.reward.style * paid
        return transitions._replace(reward=reward), style, log | {"style/reward": paid.mean()}

    def _make_batch(state: TrainState, transitions: Transition) -> Batch:
        def critic(obs: Array) -> Array:
            return networks.value(state.params, normalize(state.normalizer, obs, config.observation.clip))

        obs = normalize(state.normalizer, transitions.obs, config.observation.clip)
        value = networks.value(state.params, obs)  # [T, B]
        next_value = next_values(critic, value, transitions.next_obs, transitions.truncated)
        advantage, value_target = gae(
            transitions.reward, value, next_value, transitions.terminated, transitions.truncated, ppo.discount, ppo.gae_lambda
        )
        if ppo.paired:
            advantage = pair_centred(advantage, transitions.terminated | transitions.truncated)
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        parts = Batch(obs, transitions.action, transitions.mean, transitions.log_prob, value, advantage, value_target)
        return grouped(groups, parts)

    def _update(state: TrainState, before: tuple, batch: Batch, key: Array) -> tuple[tuple, dict[str, Array]]:
        old_log_std = state.params["log_std"]
        wanted_kl = ppo.desired_kl * annealed(state.iteration / config.num_iterations, ppo.anneal_share)
        least_log_std = math.log(ppo.min_std) if ppo.min_std else -math.inf

        def minibatch_step(carry: tuple, index: Array) -> tuple[tuple, dict[str, Array]]:
            params, opt_state, learning_rate, average = carry
            minibatch = jax.tree.map(lambda leaf: jax.vmap(lambda rows, these: rows[these])(leaf, index), batch)
            grads, log = jax.grad(ppo_loss, has_aux=True)(params, minibatch, old_log_std, networks, ppo, learnt)
            kl = log["loss/kl"]
            factor = jnp.where(kl > 2.0 * wanted_kl, 1.0 / LR_STEP, jnp.where(kl < 0.5 * wanted_kl, LR_STEP, 1.0))
            factor = jnp.where(state.iteration > lead, factor, 1.0)
            learning_rate = jnp.clip(learning_rate * factor, ppo.min_learning_rate, ppo.max_learning_rate)
            critic_rate = learning_rate if ppo.critic_learning_rate is None else ppo.critic_learning_rate
            actor_rate = jnp.where(state.iteration > lead, learning_rate, 0.0)
            rates = {"actor": actor_rate, "log_std": ppo.std_rate * actor_rate, "critic": critic_rate}
            updates, opt_state = _directions(optimizer, grads, opt_state)
            params = {name: jax.tree.map(lambda p, u: p - rates[name] * u, params[name], updates[name]) for name in params}  # noqa: B023
            params["log_std"] = jnp.maximum(params["log_std"], least_log_std)
            average = jax.tree.map(lambda a, p: ppo.average_decay * a + (1.0 - ppo.average_decay) * p, average, params)
            return (params, opt_state, learning_rate, average), log

        order = jax.vmap(jax.vmap(lambda k: jax.random.permutation(k, batch.value.shape[1])))
        orders = order(jax.random.split(key, (ppo.num_epochs, groups))).reshape(ppo.num_epochs, groups, ppo.num_minibatches, -1)
        indices = jnp.swapaxes(orders, 1, 2).reshape(ppo.num_epochs * ppo.num_minibatches, groups, -1)
        return jax.lax.scan(minibatch_step, before, indices)

    return Learner(init, iterate, networks, actor_size)


def after_the_first[T](iteration: Array, update: Callable[[], tuple[T, Any]], before: T) -> tuple[T, Any]:
    """(what is learnt, its log) by `update()`; in a training's first iteration `before` and zeros: its rollout is there to know
    the observations' statistics before anything is learnt from them. By `cond`, so that a rollout is compiled once."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(update)[1])
    return jax.lax.cond(iteration > 0, update, lambda: (before, zeros))


def _directions(optimizer: optax.GradientTransformation, grads: Params, opt_state: Any) -> tuple[Params, Any]:
    """Adam's directions, actor and critic clipped apart: the critic's large gradients must not shrink the actor's."""
    pairs = {name: optimizer.update(grads[name], opt_state[name]) for name in grads}
    return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}


def _explained(value: Array, target: Array) -> Array:
    """1 - var(target - value) / var(target): how much of the returns the critic knows."""
    return 1.0 - jnp.var(target - value) / (jnp.var(target) + 1e-12)
