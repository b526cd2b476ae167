"""The speed of brax's own PPO on our task: a yardstick for the learner."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from brax.training.agents.ppo import networks as ppo_networks
from brax.training.agents.ppo import train as ppo

from mimic.config import Config
from mimic.tasks.brax_env import BraxTracking
from mimic.tasks.tracking import Tracking
from motions.errors import InputError

ITERATIONS, EPOCHS = 3, 4  # iterations in each timed epoch; the first epoch compiles and is not counted


def brax_steps_per_s(config: Config, task: Tracking, device: Any) -> float:
    """Env-steps [1/s], learning included, of brax's PPO with our sizes: environments, rollout, minibatches, epochs, layers.

    Raises `InputError` for another device than JAX's first, the one that brax takes.
    """
    if device != jax.local_devices()[0]:
        raise InputError(f"brax's PPO trains on {jax.local_devices()[0]}, not on {device}: JAX_PLATFORMS={device.platform}")
    device_put_replicated()
    rates: list[float] = []
    ppo.train(
        BraxTracking(task),
        num_timesteps=EPOCHS * ITERATIONS * config.num_envs * config.ppo.rollout_length,
        num_evals=EPOCHS + 1,
        run_evals=False,
        progress_fn=lambda _, metrics: rates.append(float(metrics["training/sps"])),
        **ppo_sizes(config),
    )
    return float(np.median(rates[1:]))


def ppo_sizes(config: Config) -> dict[str, Any]:
    """Of brax's PPO what is to be as large as ours, on one device: environments, rollouts, minibatches, epochs, networks."""
    sizes = config.network.hidden
    return {
        "episode_length": round(config.sampling.episode_s / config.sim.ctrl_dt),
        "num_envs": config.num_envs,
        "unroll_length": config.ppo.rollout_length,
        "batch_size": config.num_envs // config.ppo.num_minibatches,
        "num_minibatches": config.ppo.num_minibatches,
        "num_updates_per_batch": config.ppo.num_epochs,
        "normalize_observations": True,
        "max_devices_per_host": 1,
        "network_factory": lambda *observed, **options: ppo_networks.make_ppo_networks(
            *observed,
            policy_hidden_layer_sizes=sizes,
            value_hidden_layer_sizes=sizes,
            policy_obs_key="state",
            value_obs_key="privileged_state",
            **options,
        ),
    }


def device_put_replicated() -> None:
    """Give JAX what brax 0.14.2 still calls and jax 0.11 no longer has: a leading axis over devices. For one device."""

    def replicated(tree: Any, devices: list) -> Any:
        return jax.tree.map(lambda leaf: jax.device_put(jnp.stack([leaf] * len(devices)), devices[0]), tree)

    if not hasattr(jax, "device_put_replicated"):
        jax.device_put_replicated = replicated  # type: ignore[attr-defined]
