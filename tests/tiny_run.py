"""A run of the tiny robot that is trained in seconds, with all on that a task keeps between rollouts."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot

from mimic.config import (
    Config,
    CurriculumConfig,
    GoalConfig,
    NetworkConfig,
    ObservationConfig,
    PPOConfig,
    RewardConfig,
    SamplingConfig,
    StyleConfig,
)
from mimic.learning.ppo import TrainState, make_learner
from mimic.runs import Run, create_run, open_run
from mimic.training.train import make_task, restore_state

ROBOT, MOTION = tiny_robot(), tiny_motion()
PER_ITERATION, LAST = 16 * 8, 10
CONFIG = Config(
    preset="tiny",
    robot="tiny",
    num_envs=16,
    env_steps=PER_ITERATION * LAST,
    backend="native",
    device="cpu",
    save_every_s=1e9,
    network=NetworkConfig(hidden=(16,)),
    # all that a task keeps between rollouts and steps is on: it must survive an interruption
    reward=RewardConfig(action_acceleration=-0.01, style=0.5, goal=0.5),
    style=StyleConfig(window=2, hidden=(8,), batch=16, updates=1, replay=64),
    goal=GoalConfig(kind="heading"),
    observation=ObservationConfig(actor=(*ObservationConfig().actor, "heading")),
    sampling=SamplingConfig(cap=3.0),
    curriculum=CurriculumConfig(tolerance_decay=0.99),
    # not annealed: the length of a run is then nothing that its beginning knows of
    ppo=PPOConfig(rollout_length=8, num_epochs=2, num_minibatches=2, anneal_share=0.0),
)


def new_run(folder: Path, **changes) -> Run:
    return create_run(folder, dataclasses.replace(CONFIG, **changes), ROBOT, (MOTION,))


def final_state(run: Run) -> TrainState:
    config = open_run(run.folder).config
    learner = make_learner(config, make_task(config, run.robot, run.motions, "native"))
    state = restore_state(open_run(run.folder), learner, pytest.fail)
    assert state is not None
    return state


def leaves(state: TrainState) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))]
