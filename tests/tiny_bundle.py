"""A bundle of the tiny robot, and what a robot that stands in its first frame measures."""

from pathlib import Path
from typing import Any

import numpy as np
from tiny_policy import CONFIG, MOTION, ROBOT, random_network

from mimic.config import Config
from mimic.deploy.bundle import write_bundle
from motions.motion import Motion


def tiny_bundle(folder: Path, config: Config = CONFIG, motion: Motion = MOTION) -> Path:
    """Of a random network whose actions are so small that the feed-forward does the tracking."""
    layers, mean, std = random_network(config)
    kernel, bias = layers[-1]
    write_bundle([*layers[:-1], (0.05 * kernel, 0.05 * bias)], mean, std, config, ROBOT, motion, folder)
    return folder


def standing(bundle: Path) -> dict[str, Any]:
    """A measurement at time 0 of a robot at rest in the clip's first frame."""
    with np.load(bundle / "policy.npz") as clip:
        qpos = clip["qpos"][0]
    return {
        "time": 0.0, "received": 0.0, "joint_pos": qpos[7:], "joint_vel": np.zeros(len(qpos) - 7), "root_quat": qpos[3:7],
        "root_angvel": np.zeros(3), "root_pos": qpos[:3], "root_linvel": np.zeros(3),
    }  # fmt: skip
