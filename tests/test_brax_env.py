"""The task behind brax's interface: the same numbers, and brax's own PPO trains it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.training.agents.ppo import networks as ppo_networks
from brax.training.agents.ppo import train as ppo
from tiny import tiny_motion, tiny_robot

from mimic.bench.brax import device_put_replicated
from mimic.config import Config, CurriculumConfig, RandomizeConfig, SamplingConfig
from mimic.sim.native import NativePhysics
from mimic.tasks.brax_env import BraxTracking
from mimic.tasks.tracking import Tracking
from motions.library import pack

ROBOT = tiny_robot()
CONFIG = Config(preset="tiny", robot="tiny", sampling=SamplingConfig(episode_s=0.2))
LIBRARY = pack([tiny_motion()], ROBOT.body, ROBOT.tracked_bodies, 0.02)
TASK = Tracking(CONFIG, ROBOT, NativePhysics(ROBOT, 4), LIBRARY)
ENV = BraxTracking(TASK)
RESET, STEP = jax.jit(ENV.reset), jax.jit(ENV.step)


def test_sizes():
    state = RESET(jax.random.key(0))
    assert {name: obs.shape for name, obs in state.obs.items()} == ENV.observation_size
    assert ENV.action_size == 4
    assert isinstance(ENV.backend, str)
    assert state.obs["privileged_state"].shape > state.obs["state"].shape


def test_steps_are_the_tasks():
    """Observations after the step, rewards and ends, until the longest episode ends it."""
    state = RESET(jax.random.key(3))
    env_state = state.pipeline_state
    chance, curriculum = TASK.chance(jax.random.key(0)), TASK.full_curriculum()
    step, observe = jax.jit(TASK.step), jax.jit(TASK.observe)
    rng = np.random.default_rng(0)
    for i in range(10):
        action = jnp.asarray(0.2 * rng.normal(size=4), jnp.float32)
        before = jax.tree.structure(state)
        state = STEP(state, action)
        assert jax.tree.structure(state) == before
        env_state, result = step(env_state, action, chance, curriculum)
        actor, extra = observe(env_state)
        np.testing.assert_allclose(state.obs["state"], actor, atol=1e-5)
        np.testing.assert_allclose(state.obs["privileged_state"], np.concatenate([actor, extra]), atol=1e-5)
        assert float(state.reward) == pytest.approx(float(result.reward), abs=1e-6)
        assert float(state.info["time_out"]) == float(result.truncated)
        assert float(state.done) == float(result.terminated | result.truncated) == float(i == 9)
        assert float(state.metrics["error/e_mpbpe_mm"]) == pytest.approx(float(result.log["error/e_mpbpe_mm"]), rel=1e-4)


@pytest.mark.slow
def test_all_of_the_randomization_acts_and_bounds_are_as_configured():
    """From the first reset on: brax updates no curriculum. Encoders are off by up to all that was asked for."""
    config = dataclasses.replace(
        CONFIG,
        curriculum=CurriculumConfig(loose_bounds=3.0),
        randomize=RandomizeConfig(nominal_share=0.0, start_level=0.1, encoder_bias=0.2),
    )
    task = Tracking(config, ROBOT, NativePhysics(ROBOT, 4), LIBRARY)
    reset = jax.vmap(BraxTracking(task).reset)(jax.random.split(jax.random.key(0), 64))
    assert float(jnp.abs(reset.pipeline_state.wire.episode.encoder_bias).max()) > 0.19
    assert task.full_curriculum().looseness is None


@pytest.mark.slow
def test_braxs_ppo_trains_it():
    """A few updates on one device: the losses are finite, the networks change, and statistics of both observations grow."""
    device_put_replicated()
    reports: list[dict[str, float]] = []
    saved: list[Any] = []
    ppo.train(
        ENV,
        num_timesteps=256,
        episode_length=10,
        num_envs=8,
        num_evals=2,
        run_evals=False,
        unroll_length=4,
        batch_size=8,
        num_minibatches=1,
        num_updates_per_batch=2,
        learning_rate=1e-3,
        normalize_observations=True,
        max_devices_per_host=1,
        network_factory=lambda *sizes, **options: ppo_networks.make_ppo_networks(
            *sizes,
            policy_hidden_layer_sizes=(8,),
            value_hidden_layer_sizes=(8,),
            policy_obs_key="state",
            value_obs_key="privileged_state",
            **options,
        ),
        policy_params_fn=lambda _, make_policy, params: saved.append(jax.tree.map(np.asarray, params)),
        progress_fn=lambda _, metrics: reports.append({name: float(value) for name, value in metrics.items()}),
    )
    assert reports[-1]["training/total_loss"] != 0
    assert all(np.isfinite(value) for report in reports for value in report.values())
    (_, *first), (statistics, *last) = saved[0], saved[-1]
    for before, after in zip(jax.tree.leaves(first), jax.tree.leaves(last)):
        assert np.isfinite(after).all()
        assert not np.array_equal(before, after)
    assert int(statistics.count.lo) == 256
    assert {name: mean.shape for name, mean in statistics.mean.items()} == ENV.observation_size
