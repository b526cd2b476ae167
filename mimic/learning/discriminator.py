"""A discriminator that learns to tell how clips move from how the robot moves, and what it pays the robot for deceiving it.

Of windows of motion it is AMP's (Peng et al. 2021) or state-only GAIL's (Ho and Ermon 2016), of differences to a reference, whose
true samples are all zero, ADD's (Zhang et al. 2025).
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mimic.config import StyleConfig
from mimic.learning.networks import MLP
from mimic.learning.normalizer import Normalizer, init_normalizer, normalize, scale, update_normalizer
from mimic.mdp.style import Clusters, coverage, speed_distance, visited
from motions.rotations import Array

REMEMBERED = 0.98  # decay per iteration of the visits that coverage is counted by: about fifty of them
SURE = 1e-4  # -log(1 - sigmoid(D)) is bounded as if no probability of being a clip came closer to one


class StyleTask(Protocol):
    """A task whose notes hold what a discriminator judges; W numbers a step, which end with the style the robot is told, where it
    is told one of `styles`. shares (S, C): how much of each style is in each cluster of the clips; one row where none is told."""

    @property
    def style_size(self) -> int: ...
    @property
    def clusters(self) -> Clusters | None: ...
    @property
    def styles(self) -> tuple[str, ...]: ...
    @property
    def shares(self) -> np.ndarray | None: ...

    def demo(self, key: Array) -> Array:
        """What it would be shown at a random moment of the clips; (W,)."""
        ...


class StyleState(NamedTuple):
    """replay (R, W), of which the first `filled` rows are there, `next_row` is written next; visits (S (C + 1),): how often the
    robot was lately in each cluster of the clips, and elsewhere, told each of the styles."""

    params: Any
    opt_state: Any
    normalizer: Normalizer
    replay: Array
    filled: Array
    next_row: Array
    visits: Array


class Judge(NamedTuple):
    """Pure functions. reward(state, shown (..., W)): (...). learn(state, shown (T, B, W), settled (T, B), key): the next state
    and its log; `settled` says which steps are late enough in their episodes to be the robot's own doing."""

    init: Callable[[Array], StyleState]
    reward: Callable[[StyleState, Array], Array]
    learn: Callable[[StyleState, Array, Array, Array], tuple[StyleState, dict[str, Array]]]


def style_reward(score: Array, loss: str) -> Array:
    """What a discriminator's output D pays: max(0, 1 - (D - 1)^2 / 4) (AMP, eq. 7), or -log(1 - sigmoid(D)) (GAIL)."""
    if loss == "least_squares":
        return jnp.maximum(0.0, 1.0 - 0.25 * jnp.square(score - 1.0))
    return -jnp.log(jnp.maximum(1.0 - jax.nn.sigmoid(score), SURE))


def told_apart(demo: Array, agent: Array, loss: str) -> Array:
    """How badly outputs D for the clips and for the robot tell the two apart: mean (D_demo - 1)^2 + mean (D_agent + 1)^2 (AMP,
    eq. 6), or the cross entropy of sigmoid(D)."""
    if loss == "least_squares":
        return jnp.mean(jnp.square(demo - 1.0)) + jnp.mean(jnp.square(agent + 1.0))
    return jnp.mean(jax.nn.softplus(-demo)) + jnp.mean(jax.nn.softplus(agent))


def make_judge(config: StyleConfig, task: StyleTask) -> Judge:
    """The discriminator of `task` as `config` says."""
    network, optimizer = MLP((*config.hidden, 1), 1.0), optax.adam(config.learning_rate)
    of_differences, size = config.judges == "difference", task.style_size

    def seen(normalizer: Normalizer, shown: Array) -> Array:
        return (scale if of_differences else normalize)(normalizer, shown, config.clip)

    def score(params: Any, normal: Array) -> Array:
        return network.apply(params, normal)[..., 0]  # type: ignore[index]

    def init(key: Array) -> StyleState:
        params, none = network.init(key, jnp.zeros(size)), jnp.zeros((), jnp.int32)
        visits = jnp.zeros(0 if task.shares is None else task.shares.size + len(task.shares), jnp.float32)
        replay = jnp.zeros((config.replay, size), jnp.float32)
        return StyleState(params, optimizer.init(params), init_normalizer(size), replay, none, none, visits)

    def reward(state: StyleState, shown: Array) -> Array:
        return style_reward(score(state.params, seen(state.normalizer, shown)), config.loss)

    def objective(params: Any, demo: Array, agent: Array) -> tuple[Array, dict[str, Array]]:
        scores = score(params, demo), score(params, agent)
        slopes = jax.vmap(jax.grad(score, argnums=1), (None, 0))(params, agent if of_differences else demo)
        steepness = jnp.mean(jnp.sum(jnp.square(slopes), axis=-1))
        apart = told_apart(*scores, config.loss)
        kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
        last = params["params"][f"Dense_{len(config.hidden)}"]["kernel"]
        loss = apart + config.grad_penalty * steepness + config.logit_reg * jnp.sum(jnp.square(last))
        loss += config.weight_decay * sum(jnp.sum(jnp.square(kernel)) for kernel in kernels)
        right = 0.5 * (jnp.mean(scores[0] > 0.0) + jnp.mean(scores[1] < 0.0))
        return loss, {
            "loss/discriminator": apart,
            "loss/grad_penalty": steepness,
            "style/score_gap": scores[0].mean() - scores[1].mean(),
            "style/accuracy": right,
        }

    def learn(state: StyleState, shown: Array, settled: Array, key: Array) -> tuple[StyleState, dict[str, Array]]:
        key_demo, key_fresh, key_past, key_kept = jax.random.split(key, 4)
        rows = shown.reshape(-1, size)
        half, begun = config.batch // 2, state.filled > 0
        fresh = jax.random.randint(key_fresh, (config.updates, half), 0, len(rows))
        past = jax.random.randint(key_past, (config.updates, config.batch - half), 0, jnp.where(begun, state.filled, len(rows)))
        if of_differences:
            demos = jnp.zeros((config.updates, config.batch, size))
        else:
            keys = jax.random.split(key_demo, config.updates * config.batch)
            demos = jax.vmap(task.demo)(keys).reshape(config.updates, config.batch, size)
        normalizer = update_normalizer(state.normalizer, rows)
        if not of_differences:
            normalizer = update_normalizer(normalizer, demos)

        def step(carry: tuple, picked: tuple) -> tuple[tuple, dict[str, Array]]:
            params, opt_state = carry
            demo, new, old = picked
            # before anything is kept the robot's windows are all new ones
            older = jnp.where(begun, state.replay[jnp.minimum(old, config.replay - 1)], rows[jnp.minimum(old, len(rows) - 1)])
            agent = jnp.concatenate([rows[new], older])
            grads, log = jax.grad(objective, has_aux=True)(params, seen(normalizer, demo), seen(normalizer, agent))
            updates, opt_state = optimizer.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), log

        (params, opt_state), log = jax.lax.scan(step, (state.params, state.opt_state), (demos, fresh, past))
        kept = jax.random.randint(key_kept, (min(config.batch, config.replay),), 0, len(rows))
        places = (state.next_row + jnp.arange(len(kept))) % config.replay
        visits, health = state.visits, {}
        if task.clusters is not None and task.shares is not None:
            visits, health = _health(task.clusters, task.shares, task.styles, visits, shown, settled)
        next_state = StyleState(
            params, opt_state, normalizer,
            replay=state.replay.at[places].set(rows[kept]),
            filled=jnp.minimum(state.filled + len(kept), config.replay),
            next_row=(state.next_row + len(kept)) % config.replay,
            visits=visits,
        )  # fmt: skip
        return next_state, jax.tree.map(jnp.mean, log) | health

    return Judge(init, reward, learn)


def _health(
    clusters: Clusters, shares: np.ndarray, styles: tuple[str, ...], visits: Array, shown: Array, settled: Array
) -> tuple[Array, dict[str, Array]]:
    """What scores do not tell: a robot that has learnt to do one thing well deceives any discriminator. Coverage is counted for
    each style by itself, of what the robot does while it is told that one, and is their mean."""
    newest = shown[..., : clusters.centres.shape[-1]]
    told = shown[..., -len(styles) :] if styles else jnp.ones((*shown.shape[:-1], 1))
    new = jnp.einsum("tbc,tbs->sc", visited(clusters, newest) * settled[..., None], told)
    visits = REMEMBERED * visits + new.reshape(-1)
    of_each = [
        coverage(clusters._replace(share=share), row) for share, row in zip(shares, visits.reshape(len(shares), -1), strict=True)
    ]
    return visits, {
        "style/coverage": jnp.mean(jnp.stack(of_each)),
        "style/speed_distance_m_s": speed_distance(clusters, newest.reshape(-1, newest.shape[-1])),
        **{f"style/coverage_{name}": found for name, found in zip(styles, of_each, strict=False)},
    }
