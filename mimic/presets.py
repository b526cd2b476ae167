"""Presets: functions that return a whole `Config`. The only place where configurations differ by name."""

from collections.abc import Callable
from dataclasses import replace

from mimic.config import Config, NoiseConfig, PushConfig, RandomizeConfig, ResetConfig
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


def g1_deploy() -> Config:
    """Unitree G1 for the real robot: no state estimation, randomized bodies, motors, delays, noise and shoves."""
    config = g1()
    return replace(
        config,
        preset="g1_deploy",
        observation=replace(
            config.observation,
            actor=(
                "command", "motion_anchor_ori_b", "base_ang_vel", "projected_gravity", "joint_pos", "joint_vel", "actions",
                "joint_errors", "future_motion",
            ),
            critic=(
                "motion_anchor_pos_b", "base_lin_vel", "joint_errors", "tracking_errors", "body_pos_b", "clip_time", "phase",
                "randomization",
            ),
            history=3,
            future_frames=(5, 15),
        ),
        reset=ResetConfig((0.3, 0.3, 0.1), (0.3, 0.3, 0.3), (0.02, 0.02, 0.01), (0.05, 0.05, 0.1), 0.05),
        randomize=DEPLOY,
        num_envs=256,
        env_steps=10_000_000,
    )  # fmt: skip


def g1_teacher() -> Config:
    """A teacher for students of g1_deploy: in the same world it sees its true state, and what is wrong with its robot."""
    config = g1_deploy()
    # where it is in the world it does not see: its student could not know what is done about it
    actor = (*config.observation.actor, "base_lin_vel", "tracking_errors", "randomization")
    critic = ("motion_anchor_pos_b", "body_pos_b", "clip_time", "phase")
    return replace(
        config,
        preset="g1_teacher",
        observation=replace(config.observation, actor=actor, critic=critic, history=0, true_state=True),
    )


DEPLOY = RandomizeConfig(
    friction=(0.4, 2.0),
    mass=(0.85, 1.25),
    inertia=(0.9, 1.1),
    com=(0.05, 0.05, 0.05),
    armature=(0.9, 1.1),
    kp=(0.75, 1.25),
    kd=(0.75, 1.25),
    effort=(0.8, 1.0),
    spread=0.05,
    gravity_tilt=0.03,
    encoder_bias=0.015,
    target_offset=0.01,
    action_delay=(0, 7),
    observation_delay=(0, 2),
    torque_noise=0.03,
    noise=NoiseConfig(base_ori=0.06, base_ang_vel=0.3, joint_pos=0.015, joint_vel=0.75),
    push=PushConfig(linvel=(0.5, 0.5, 0.2), angvel=(0.5, 0.5, 0.5)),
)

PRESETS: dict[str, Callable[[], Config]] = {preset.__name__: preset for preset in (g1, g1_ros, g1_deploy, g1_teacher, humanoid)}


def make_preset(name: str) -> Config:
    """The preset `name`. Raises `InputError` with the known ones."""
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]()
