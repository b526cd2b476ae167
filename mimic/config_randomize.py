"""What an episode's robot and world differ in from the model: a part of the configuration tree (`mimic.config`)."""

from dataclasses import dataclass, field
from typing import Literal

Range = tuple[float, float]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class NoiseConfig:
    """Largest error of what the robot measures, drawn uniformly and anew in every control step."""

    base_pos: float = 0.0
    """[m]"""
    base_ori: float = 0.0
    """[rad], about each axis."""
    base_lin_vel: float = 0.0
    """[m/s]"""
    base_ang_vel: float = 0.0
    """[rad/s]"""
    joint_pos: float = 0.0
    """[rad]"""
    joint_vel: float = 0.0
    """[rad/s]"""


BEYONDMIMIC_NOISE = NoiseConfig(base_pos=0.25, base_ori=0.05, base_lin_vel=0.5, base_ang_vel=0.2, joint_pos=0.01, joint_vel=0.5)


@dataclass(frozen=True)
class PushConfig:
    """Shoves at random times."""

    interval_s: float = 2.0
    """Mean time between two [s]; a shove comes in any control step with the same probability."""
    linvel: Vector = (0.0, 0.0, 0.0)
    """Largest sudden change of the root's linear velocity [m/s], world axes."""
    angvel: Vector = (0.0, 0.0, 0.0)
    """Largest sudden change of the root's angular velocity [rad/s], root axes."""
    force: float = 0.0
    """Largest horizontal force [N] ..."""
    force_s: float = 0.2
    """... for this long [s] ..."""
    bodies: tuple[str, ...] = ()
    """... on one of these bodies; none: the anchor."""


@dataclass(frozen=True)
class ThrowConfig:
    """Balls thrown at the robot at random times, from all around; where they hit they stay, as bags of sand do."""

    mass: Range = (0.0, 0.0)
    """Of a ball [kg]; 0: there are none."""
    speed: Range = (3.0, 6.0)
    """With which it comes [m/s]."""
    interval_s: float = 4.0
    """Mean time between two [s]; one hits in any control step with the same probability."""
    bodies: tuple[str, ...] = ()
    """Which of the tracked bodies are thrown at, the larger the more often; none: all."""


@dataclass(frozen=True)
class RandomizeConfig:
    """What an episode's robot and world differ in from the model. Ranges multiply the model's value, one draw an episode."""

    nominal_share: float = 0.1
    """Share, in expectation, of episodes with the model as it is: no draw, no delay."""
    varied_share: float = 1.0
    """Probability that one kind of difference (a range, a delay, noise, shoves, balls) is there in an episode that is not
    nominal. Below 1 a robot is off in some respects, each as far as it goes, and hardly ever in all of them at their worst."""
    varied_by_falls: float = 0.0
    """Part of these that goes to the kinds a robot falls with more often than without."""
    start_level: float = 0.1
    """Part of every range, noise and shove that is used at the start of the training ..."""
    ramp_share: float = 0.2
    """... growing to the whole over this part of it at the soonest ..."""
    ramp_falls: float = 0.2
    """... and shrinking while there are more falls per second than this."""
    distribution: Literal["log_uniform", "uniform"] = "log_uniform"
    """Of factors in their ranges. log_uniform: half is as likely as twice, so that the low ends are met as often as the high."""
    friction: Range = (1.0, 1.0)
    """Of the ground."""
    mass: Range = (1.0, 1.0)
    """Of all bodies in common, inertia with it."""
    inertia: Range = (1.0, 1.0)
    """Of all bodies, beyond that of the mass."""
    com: Vector = (0.0, 0.0, 0.0)
    """Largest shift of the anchor's centre of mass along each of its axes [m]."""
    armature: Range = (1.0, 1.0)
    kp: Range = (1.0, 1.0)
    kd: Range = (1.0, 1.0)
    effort: Range = (1.0, 1.0)
    """Of the torque limits."""
    spread: float = 0.0
    """Largest part by which a joint's or body's own factor differs from the common one."""
    joint_friction: float = 0.0
    """Largest dry friction of a joint, as a part of its effort."""
    joint_damping: float = 0.0
    """Largest viscous damping of a joint, as a part of its kd."""
    gravity_tilt: float = 0.0
    """Largest tilt of gravity about each horizontal axis [rad]: a floor that is not level."""
    encoder_bias: float = 0.0
    """Largest constant error of a joint's encoder [rad]: the measured position and the motor's own are off by it."""
    target_offset: float = 0.0
    """Largest constant offset of a joint's target [rad]."""
    action_delay: tuple[int, int] = (0, 0)
    """Physics steps from an action to its effect."""
    observation_delay: tuple[int, int] = (0, 0)
    """Physics steps from a measurement to the policy."""
    torque_noise: float = 0.0
    """Largest error of a torque, as a part of the effort, drawn in every control step."""
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    push: PushConfig = field(default_factory=PushConfig)
    throw: ThrowConfig = field(default_factory=ThrowConfig)
