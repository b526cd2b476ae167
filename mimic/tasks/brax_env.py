"""The tracking task behind brax's `Env` interface, so that any learner written for brax can train it."""

from typing import Any, cast

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from mimic.tasks.tracking import EnvState, Tracking
from motions.rotations import Array


class BraxTracking(Env):
    """One environment. Observations: "state" for the actor, "privileged_state" for the critic.

    Starts are drawn uniformly over the frames. brax knows one `done`, so the end of a clip ends the episode too.
    """

    def __init__(self, task: Tracking) -> None:
        self.task = task
        self._sizes = jax.eval_shape(lambda: task.observe(task.reset(jax.random.key(0), task.init_sampler())))

    def reset(self, rng: Array) -> State:
        env_state = self.task.reset(rng, self.task.init_sampler())
        zero = jnp.zeros(())
        names = jax.eval_shape(self.task.step, env_state, jnp.zeros(self.action_size))[1].log
        # brax types its own pipeline's state here, but takes any pytree
        return State(cast(Any, env_state), self._observe(env_state), zero, zero, {name: zero for name in names}, {})

    def step(self, state: State, action: Array) -> State:
        env_state, result = self.task.step(cast(EnvState, state.pipeline_state), action)
        done = (result.terminated | result.truncated).astype(jnp.float32)
        return state.replace(
            pipeline_state=env_state,
            obs=self._observe(env_state),
            reward=result.reward,
            done=done,
            metrics=state.metrics | {name: jnp.asarray(value, jnp.float32) for name, value in result.log.items()},
        )

    def _observe(self, env_state: EnvState) -> dict[str, Array]:
        actor, critic = self.task.observe(env_state)
        return {"state": actor, "privileged_state": critic}

    @property
    def observation_size(self) -> dict[str, Any]:
        return {"state": self._sizes[0].shape, "privileged_state": self._sizes[1].shape}

    @property
    def action_size(self) -> int:
        return self.task.action_size

    @property
    def backend(self) -> str:
        return type(self.task.physics).__name__
