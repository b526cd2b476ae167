"""An untrained policy for the tiny robot: its config, its network, its exported file."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from tiny import tiny_motion, tiny_robot

from mimic.config import ActionConfig, Config, GoalConfig, ObservationConfig, TerminationConfig
from mimic.deploy.export import ROS_TERMS, export_policy, make_spec
from mimic.deploy.graph import Layers
from mimic.deploy.sim2sim import Policy

ROBOT, MOTION = tiny_robot(), tiny_motion()
CONFIG = Config(preset="tiny", robot="tiny", observation=ObservationConfig(actor=ROS_TERMS))


def random_network(config: Config, hidden: tuple[int, ...] = (24, 16)) -> tuple[Layers, np.ndarray, np.ndarray]:
    """(layers, mean, std) of the size `config` asks for on the tiny robot."""
    rng = np.random.default_rng(0)
    size = make_spec(config, ROBOT, MOTION).observation_size
    sizes = (size, *hidden, 4)
    layers = [
        (rng.normal(size=(a, b)).astype(np.float32) / np.sqrt(a), 0.1 * rng.normal(size=b).astype(np.float32))
        for a, b in pairwise(sizes)
    ]
    return layers, rng.normal(size=size).astype(np.float32), rng.uniform(0.5, 2, size).astype(np.float32)


def exported(folder: Path, config: Config = CONFIG) -> Path:
    return export_policy(*random_network(config), config, ROBOT, MOTION, folder / "policy.onnx", {"git_commit": "abc"})


FREE = Config(
    preset="tiny", robot="tiny", follow=False, action=ActionConfig(prior="default", feed_forward="none"),
    observation=ObservationConfig(actor=("projected_gravity", "joint_pos", "heading")),
    termination=TerminationConfig(None, None, None, None, below_clips=0.1), goal=GoalConfig(kind="heading", speed=(0.1, 0.4)),
)  # fmt: skip


def still_policy(folder: Path, config: Config = CONFIG) -> Policy:
    """One that does what its prior asks for, whatever it sees."""
    layers, mean, std = random_network(config)
    kernel, bias = layers[-1]
    return Policy.load(export_policy([*layers[:-1], (0 * kernel, 0 * bias)], mean, std, config, ROBOT, MOTION, folder / "p.onnx"))
