"""An untrained policy for the tiny robot: its config, its network, its exported file."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from tiny import tiny_motion, tiny_robot

from mimic.config import Config, ObservationConfig
from mimic.deploy.export import ROS_TERMS, export_policy, make_spec
from mimic.deploy.graph import Layers

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
