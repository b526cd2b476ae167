"""The tracking task behind brax's `Env` interface, so that any learner written for brax can train it."""

from typing import Any, cast

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from mimic.tasks.tracking import EnvState, Tracking
from motions.errors import InputError
from motions.rotations import Array


class BraxTracking(Env):
    """One environment. Observations: "state" for the actor, "privileged_state" for the critic.

    There is no curriculum, as brax has no place to update one: from the first step on all of the randomization acts, bounds of
    termination and the rewards' widths are as configured, and starts are drawn uniformly over the frames. brax knows one `done`,
    so the end of a clip ends the episode too; info's `time_out` says so, for its PPO's `bootstrap_on_timeout`.
    """

    def __init__(self, task: Tracking) -> None:
        if task.style is not None:
            raise InputError("reward.style is paid by our own learner, which trains the discriminator; brax's has none")
        self.task = task
        self._curriculum = task.full_curriculum()
        self._sizes = jax.eval_shape(lambda: self._observe(task.reset(jax.random.key(0), self._curriculum)))

    def reset(self, rng: Array) -> State:
        key_reset, key_chance = jax.random.split(rng)
        env_state = self.task.reset(key_reset, self._curriculum)
        zero, still = jnp.zeros(()), jnp.zeros(self.action_size)
        names = jax.eval_shape(self.task.step, env_state, still, self.task.chance(key_chance), self._curriculum)[1].log
        # brax types its own pipeline's state here, but takes any pytree
        info = {"key": jax.random.key_data(key_chance), "time_out": zero}
        return State(cast(Any, env_state), self._observe(env_state), zero, zero, {name: zero for name in names}, info)

    def step(self, state: State, action: Array) -> State:
        key, key_chance = jax.random.split(jax.random.wrap_key_data(state.info["key"]))
        before = cast(EnvState, state.pipeline_state)
        env_state, result = self.task.step(before, action, self.task.chance(key_chance), self._curriculum)
        done = (result.terminated | result.truncated).astype(jnp.float32)
        return state.replace(
            pipeline_state=env_state,
            obs=self._observe(env_state),
            reward=result.reward,
            done=done,
            info=state.info | {"key": jax.random.key_data(key), "time_out": result.truncated.astype(jnp.float32)},
            metrics=state.metrics | {name: jnp.asarray(value, jnp.float32) for name, value in result.log.items()},
        )

    def _observe(self, env_state: EnvState) -> dict[str, Array]:
        actor, extra = self.task.observe(env_state)
        seen = self.task.config.observation.critic_sees_actor
        return {"state": actor, "privileged_state": jnp.concatenate([actor, extra]) if seen else extra}

    @property
    def observation_size(self) -> dict[str, Any]:
        return {name: size.shape for name, size in self._sizes.items()}

    @property
    def action_size(self) -> int:
        return self.task.action_size

    @property
    def backend(self) -> str:
        return type(self.task.physics).__name__
