"""Three toy tasks for the learner, small enough to be known completely, and a configuration that learns them in seconds."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mimic.config import Config, NetworkConfig, PPOConfig
from motions.rotations import Array


def toy_config(num_envs: int = 8, hidden: tuple[int, ...] = (16,), **ppo: Any) -> Config:
    defaults: dict[str, Any] = {"rollout_length": 4, "num_epochs": 2, "num_minibatches": 2, "paired": False}
    return Config(num_envs=num_envs, network=NetworkConfig(hidden), ppo=PPOConfig(**(defaults | ppo)))


class Result(NamedTuple):
    reward: Array
    terminated: Array
    truncated: Array
    invalid: Array
    notes: Array
    log: dict[str, Array]


class Toy:
    """The parts that a task without a curriculum has no use for."""

    def init_curriculum(self) -> Array:
        return jnp.zeros(())

    def update_curriculum(self, curriculum: Array, notes: Array, failed: Array) -> Array:
        return curriculum + failed.sum()

    def curriculum_log(self, curriculum: Array) -> dict[str, Array]:
        return {}

    action_scale = 1.0

    def chance(self, key: Array) -> Array:
        return jnp.zeros(0)

    def aim_of(self, action: Any) -> None:
        """It has one kind of actions."""

    def intended(self, state: Any, action: Array, ahead: Array | float = 0.0, aim: None = None) -> Array:
        return action

    def lag(self, state: Any) -> Array:
        return jnp.zeros(())


class ClockState(NamedTuple):
    count: Array
    limit: Array
    dies: Array
    name: Array


class Clock(Toy):
    """Counts to a limit drawn at reset, then terminates (`dies`) or is truncated. `name` tells episodes apart.

    An action above `breaks_above` breaks it. Reward: the count, times 10. It keeps every action in no state.
    """

    action_size = 2

    def __init__(self, breaks_above: float = 1e9) -> None:
        self.breaks_above = breaks_above

    def reset(self, key: Array, curriculum: Array) -> ClockState:
        key_limit, key_dies, key_name = jax.random.split(key, 3)
        limit = jax.random.randint(key_limit, (), 1, 6)
        return ClockState(jnp.zeros((), int), limit, jax.random.bernoulli(key_dies), jax.random.uniform(key_name))

    def step(self, state: ClockState, action: Array, chance: Array, curriculum: Array) -> tuple[ClockState, Result]:
        count = state.count + 1
        over, invalid = count >= state.limit, action[0] > self.breaks_above
        terminated = (over & state.dies) | invalid
        log = {"error/count": count.astype(float)}
        return state._replace(count=count), Result(10.0 * count, terminated, over & ~terminated, invalid, count, log)

    def observe(self, state: ClockState) -> tuple[Array, Array]:
        actor = jnp.stack([state.count.astype(float), state.name])
        return actor, jnp.stack([state.limit.astype(float), state.dies.astype(float)])


class Chain(Toy):
    """Three places, known values. Episodes start anywhere and last one step, which leads one place on:

    from 0 to 1, reward 0, terminated:  V(0) = 0
    from 1 to 2, reward 0, truncated:   V(1) = discount V(2)
    from 2 out,  reward 1, terminated:  V(2) = 1
    """

    action_size = 1
    values = (0.0, 0.9, 1.0)
    discount = 0.9

    def reset(self, key: Array, curriculum: Array) -> Array:
        return jax.random.randint(key, (1,), 0, 3)

    def step(self, state: Array, action: Array, chance: Array, curriculum: Array) -> tuple[Array, Result]:
        place = state[0]
        return state + 1, Result(
            jnp.where(place == 2, 1.0, 0.0), place != 1, place == 1, jnp.zeros((), bool), place,
            {"error/place": place * 1.0},
        )  # fmt: skip

    def observe(self, state: Array) -> tuple[Array, Array]:
        here = jax.nn.one_hot(state[0], 4)
        return here[:1] * 0, here


class ReachState(NamedTuple):
    position: Array
    goal: Array
    count: Array


class Reach(Toy):
    """A point in the plane that the action pushes; reward exp(-distance^2), 12 steps, lost beyond 3."""

    action_size = 2

    def reset(self, key: Array, curriculum: Array) -> ReachState:
        position, goal = jax.random.uniform(key, (2, 2), minval=-1.0, maxval=1.0)
        return ReachState(position, goal, jnp.zeros((), int))

    def step(self, state: ReachState, action: Array, chance: Array, curriculum: Array) -> tuple[ReachState, Result]:
        position, count = state.position + 0.5 * jnp.clip(action, -1.0, 1.0), state.count + 1
        distance = jnp.linalg.norm(position - state.goal)
        lost = distance > 3.0
        result = Result(
            0.2 * jnp.exp(-jnp.square(distance)),
            lost,
            ~lost & (count >= 12),
            jnp.zeros((), bool),
            count,
            {"error/distance": distance},
        )
        return ReachState(position, state.goal, count), result

    def observe(self, state: ReachState) -> tuple[Array, Array]:
        actor = state.goal - state.position
        return actor, state.count[None] / 12.0
