"""Brax's PPO and SAC on our task, by brax's interface: the clip, preset and env-steps of `experiments.deepmimic`, our evaluation.

What brax has a setting for is as the preset says: environments, rollouts, epochs, minibatches, layers, discount, step size by KL.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from brax.training.agents.ppo import train as ppo
from brax.training.agents.sac import networks as sac_networks
from brax.training.agents.sac import train as sac

from experiments.deepmimic import run as ours
from experiments.rows import Row, bold, commit_of, main, markdown, retargeted
from mimic.bench.brax import device_put_replicated, ppo_sizes
from mimic.config import Config
from mimic.deploy.export import make_spec
from mimic.deploy.sim2sim import Policy
from mimic.evaluation.whole_clips import evaluate_policy
from mimic.presets import make_preset
from mimic.robots import Robot, load_robot
from mimic.runs import facts
from mimic.sim.physics import choose_backend
from mimic.tasks.brax_env import BraxTracking
from mimic.tasks.tracking import Tracking
from mimic.training.train import make_task
from motions.motion import Motion, load_motion
from motions.rotations import Array

CLIP = "walk"
# SAC learns by many updates for each step of few environments
SAC_ENVS, SAC_UPDATES, SAC_BATCH = 32, 8, 256
SAC_FIRST, SAC_REPLAY = 8192, 250_000  # env-steps before it begins to learn, and that it remembers
EPOCHS = 4  # of equal length, each timed by itself; the first one compiles
Acts = Callable[[Array], Array]  # observations (B, N) to actions (B, J)


class ActorOnly(BraxTracking):
    """With one observation for all: what brax's SAC can take."""

    def _observe(self, env_state: Any) -> Any:
        return super()._observe(env_state)["state"]

    @property
    def observation_size(self) -> Any:
        return self._sizes.shape[0]


@dataclass(frozen=True)
class Session:
    """A policy of brax in the place of an exported network."""

    acts: Acts

    def run(self, names: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [np.asarray(self.acts(jnp.asarray(feed["obs"])))]


def learn_ppo(config: Config, task: Tracking, env_steps: int, progress: Callable) -> Acts:
    """What brax's PPO has learnt after `env_steps`, without noise."""
    env, own = BraxTracking(task), config.ppo
    sizes = ppo_sizes(config)
    network, options = sizes.pop("network_factory"), {"distribution_type": "normal", "noise_std_type": "log"}
    make_policy, params, _ = ppo.train(
        env,
        num_timesteps=env_steps,
        seed=config.seed,
        learning_rate=own.learning_rate,
        learning_rate_schedule="ADAPTIVE_KL",
        learning_rate_schedule_min_lr=own.min_learning_rate,
        learning_rate_schedule_max_lr=own.max_learning_rate,
        desired_kl=own.desired_kl,
        discounting=own.discount,
        gae_lambda=own.gae_lambda,
        entropy_cost=own.entropy_coef,
        clipping_epsilon=own.clip_ratio,
        max_grad_norm=own.max_grad_norm,
        bootstrap_on_timeout=True,
        num_evals=EPOCHS + 1,
        run_evals=False,
        progress_fn=progress,
        network_factory=lambda *observed, **more: network(
            *observed, init_noise_std=config.network.init_std, **options, **more
        ),
        **sizes,
    )  # fmt: skip
    policy, unseen = make_policy(params, deterministic=True), env.observation_size["privileged_state"]
    return jax.jit(lambda obs: policy({"state": obs, "privileged_state": jnp.zeros((len(obs), *unseen))}, jax.random.key(0))[0])


def learn_sac(config: Config, task: Tracking, env_steps: int, progress: Callable) -> Acts:
    """The same of brax's SAC, whose critics see what the actor sees; its reward is undone of the factor that PPO needs."""
    hidden = config.network.hidden
    make_policy, params, _ = sac.train(
        ActorOnly(task),
        num_timesteps=env_steps,
        seed=config.seed,
        episode_length=round(config.sampling.episode_s / config.sim.ctrl_dt),
        num_envs=SAC_ENVS,
        batch_size=SAC_BATCH,
        grad_updates_per_step=SAC_UPDATES,
        min_replay_size=min(SAC_FIRST, env_steps // 4),
        max_replay_size=SAC_REPLAY,
        learning_rate=3e-4,
        discounting=config.ppo.discount,
        reward_scaling=1.0 / config.reward.scale,
        normalize_observations=True,
        max_devices_per_host=1,
        num_eval_envs=SAC_ENVS,
        num_evals=EPOCHS + 1,
        progress_fn=progress,
        network_factory=lambda *sizes, **more: sac_networks.make_sac_networks(*sizes, hidden_layer_sizes=hidden, **more),
    )
    policy = make_policy(params, deterministic=True)
    return jax.jit(lambda obs: policy(obs, jax.random.key(0))[0])


LEARNERS: dict[str, Callable[..., Acts]] = {"ppo": learn_ppo, "sac": learn_sac}


def measured(learn: Callable[..., Acts], config: Config, robot: Robot, motions: Sequence[Motion], env_steps: int) -> Row:
    """What `learn` makes of the task in so many env-steps, by the numbers that our own rows have."""
    backend, _ = choose_backend(config.backend, config.device)
    device_put_replicated()
    task = make_task(config, robot, tuple(motions), backend)
    epochs: list[dict[str, float]] = []

    def note(steps: int, metrics: dict[str, Any]) -> None:
        if "training/sps" in metrics:
            epochs.append({"env_steps": int(steps), "rate": float(metrics["training/sps"])})

    acts = learn(config, task, env_steps, note)
    steps = int(epochs[-1]["env_steps"])
    spec = make_spec(config, robot, motions[0], {"env_steps": str(steps)})
    policy = Policy(spec, Session(acts), robot.model, motions[0], robot.mjcf)
    rate = float(np.median([epoch["rate"] for epoch in epochs[1:]]))
    return evaluate_policy(policy, list(motions)).to_json() | {"env_steps_per_s": rate}


def measure(name: str, data: Path, out: Path) -> Row:
    clip = retargeted(data, CLIP, ours.SKILLS[CLIP].cycles, out)
    config = replace(make_preset("humanoid"), env_steps=ours.ENV_STEPS)
    record = facts()
    found = measured(LEARNERS[name], config, load_robot(config.robot, sim=config.sim), [load_motion(clip)], config.env_steps)
    return found | {"commit": record["git_commit"], "cpu": record["machine"]["cpu"]}


HEADS = ("learner", "commit", "env-steps", "env-steps/s", "frames", "E_mpbpe", "NR", "pose error, m", "another simulator")


def table(rows: dict[str, Row]) -> str:
    own = Path(ours.__file__).parent / "results" / f"{CLIP}.json"
    beside = {"ours": json.loads(own.read_text())} if own.exists() else {}
    return markdown(HEADS, (_cells(name, row) for name, row in (beside | rows).items()))


def _cells(name: str, row: Row) -> list[str]:
    mean, other = row["mean"], row["sim2sim"]["mean"]
    whole = mean["completed_frames"] == mean["frames"]
    error, rate = mean["e_mpbpe_mm"], row.get("env_steps_per_s")
    return [
        name if name == "ours" else f"brax {name.upper()}",
        commit_of(row),
        f"{row['n_env_steps'] / 1e6:.1f} M",
        "-" if rate is None else f"{rate:,.0f}",
        bold(f"{mean['completed_frames']:.0f}/{mean['frames']:.0f}", whole),
        "-" if error is None else f"{error:.1f} mm",
        f"{mean['nr']:.3f}",
        f"{mean['pose_error_m']:.3f}",
        f"{other['completed_frames']:.0f}/{other['frames']:.0f}, {other['nr']:.3f}",
    ]


if __name__ == "__main__":
    sys.exit(main(__name__, LEARNERS, measure, table))
