"""Brax's learners on our task, measured as ours: from the first step of learning to the table, on the tiny robot."""

from dataclasses import replace

import pytest
from tiny import tiny_motion, tiny_robot

from experiments.baselines.run import LEARNERS, measured, table
from mimic.config import Config, NetworkConfig, PPOConfig, SamplingConfig

CONFIG = Config(
    preset="tiny", robot="tiny", num_envs=8, backend="native", device="cpu", network=NetworkConfig(hidden=(8,)),
    ppo=PPOConfig(rollout_length=4, num_minibatches=1, num_epochs=2), sampling=SamplingConfig(episode_s=0.4),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_a_baseline_learns_is_measured_and_has_its_row(name: str, monkeypatch: pytest.MonkeyPatch):
    for setting, value in {"SAC_ENVS": 8, "SAC_UPDATES": 1, "SAC_BATCH": 16, "SAC_REPLAY": 256}.items():
        monkeypatch.setattr(f"experiments.baselines.run.{setting}", value)
    row = measured(LEARNERS[name], CONFIG, tiny_robot(), [replace(tiny_motion(61), name="sway")], 256)
    assert row["n_env_steps"] >= 256
    assert row["mean"]["frames"] == 51
    assert row["env_steps_per_s"] > 0
    assert row["sim2sim"]["clips"][0]["name"] == "sway"
    shown = table({name: row | {"commit": "0123456789ab"}}).splitlines()
    assert shown[-1].startswith(f"| brax {name.upper()} | 0123456 |")
    assert shown[-1].count("|") == shown[0].count("|")
