"""Presets: functions that return a whole `Config`. The only place where configurations differ by name."""

from collections.abc import Callable
from dataclasses import replace

from mimic.config import Config, ResetConfig
from motions.errors import unknown_name


def g1() -> Config:
    """Unitree G1, 29 joints."""
    return Config(preset="g1", robot="g1")


def g1_ros() -> Config:
    """Unitree G1 with the observation terms of the ROS-side contract, kicked at the start of every episode."""
    config = g1()
    anchor = ("motion_anchor_pos_b", "motion_anchor_ori_b")
    terms = ("command", *anchor, "base_lin_vel", "base_ang_vel", "joint_pos", "joint_vel", "actions")
    return replace(
        config,
        preset="g1_ros",
        observation=replace(config.observation, actor=terms),
        reset=ResetConfig(linvel=(0.5, 0.5, 0.2), angvel=(0.52, 0.52, 0.78)),
    )


def humanoid() -> Config:
    """Our humanoid, 28 joints, with gains of the DeepMimic class."""
    return Config(preset="humanoid", robot="humanoid", env_steps=1_800_000)


PRESETS: dict[str, Callable[[], Config]] = {preset.__name__: preset for preset in (g1, g1_ros, humanoid)}


def make_preset(name: str) -> Config:
    """The preset `name`. Raises `InputError` with the known ones."""
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]()
