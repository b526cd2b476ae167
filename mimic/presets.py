"""Presets: functions that return a whole `Config`. The only place where configurations differ by name."""

from collections.abc import Callable
from dataclasses import replace

from mimic.config import (
    BEYONDMIMIC_NOISE,
    ActionConfig,
    Config,
    CurriculumConfig,
    GoalConfig,
    NetworkConfig,
    NoiseConfig,
    ObservationConfig,
    PPOConfig,
    PushConfig,
    RandomizeConfig,
    ResetConfig,
    RewardConfig,
    SamplingConfig,
    SimConfig,
    TerminationConfig,
)
from motions.clips import shipped_clips
from motions.errors import unknown_name

# what is followed closely is paid for being followed more closely still; not before there is anything to be precise about
NARROWING = CurriculumConfig(tolerance_decay=0.999, tolerance_falls=0.2)


def _g1() -> Config:
    # begun beside its place, and paid twice for it, it walks back: a drift that no episode began with would not be corrected
    return Config(robot="g1", reset=ResetConfig(pos=(0.15, 0.15, 0.0)), reward=RewardConfig(anchor_pos=1.0))


def g1() -> Config:
    """Unitree G1, 29 joints."""
    return replace(
        _g1(),
        preset="g1",
        sim=SimConfig(collisions="self"),  # legs that pass through one another in training trip over one another later
        reset=ResetConfig(pos=(0.05, 0.05, 0.0)),  # not further: rewards narrow to the mean error, and ask for no more than that
        curriculum=NARROWING,
    )


def g1_ros() -> Config:
    """Unitree G1 with the observation terms of the ROS-side contract, kicked at the start of every episode."""
    config = _g1()
    anchor = ("motion_anchor_pos_b", "motion_anchor_ori_b")
    terms = ("command", *anchor, "base_lin_vel", "base_ang_vel", "joint_pos", "joint_vel", "actions")
    return replace(
        config,
        preset="g1_ros",
        observation=replace(config.observation, actor=terms),
        reset=replace(config.reset, linvel=(0.5, 0.5, 0.2), angvel=(0.52, 0.52, 0.78)),
    )


def g1_beyondmimic() -> Config:
    """Unitree G1 by BeyondMimic's formulation: its terms, weights, ranges and learner, to compare ours against.

    Theirs is 30 000 iterations of 4096 environments, for a GPU. On a CPU: `--num-envs 256 --env-steps 20000000`; the batches
    are then smaller, and failures, which are counted over all environments, weigh less against the uniform starts.

    What differs still. Physics: MuJoCo's, with one friction (their static one) and no restitution; friction and centre of mass
    are drawn for each episode, not once for each environment. Pushes come with a constant probability, every 2 s in the mean, not
    1-3 s after the last; angular ones are in the root's axes. Contacts are those of the last physics step, not of the last three.
    An error of the measured orientation is one rotation, not noise on its six numbers; the critic's joint positions lack the
    offset. Joints start within their limits, not the soft ones. A clip's end truncates the episode; theirs goes on from another
    start. Uniform starts are by length, and the failure average is updated once per rollout. Learner: the step size
    moves by 1.2, not 1.5; gradients of actor, critic and noise are clipped apart; the log of the noise is learnt; networks start
    orthogonal, the actor's last layer small; normalized observations are bounded, their statistics known from a first rollout.
    """
    sim = SimConfig(friction=1.0, collisions="all", contact_forces=True)
    linvel, angvel = (0.5, 0.5, 0.2), (0.52, 0.52, 0.78)
    actor = (
        "command", "motion_anchor_pos_b", "motion_anchor_ori_b", "base_lin_vel", "base_ang_vel",
        "joint_pos", "joint_vel", "actions",
    )  # fmt: skip
    ppo = PPOConfig(
        rollout_length=24, num_epochs=5, num_minibatches=4, learning_rate=1e-3, min_learning_rate=1e-5, max_learning_rate=1e-2,
        desired_kl=0.01, anneal_share=0.0, critic_learning_rate=None, std_rate=1.0, value_clip=0.2, discount=0.99,
        gae_lambda=0.95, clip_ratio=0.2, entropy_coef=0.005, max_grad_norm=1.0, paired=False, average_decay=0.0,
    )  # fmt: skip
    num_envs = 4096
    return Config(
        preset="g1_beyondmimic",
        robot="g1",
        num_envs=num_envs,
        env_steps=30_000 * num_envs * ppo.rollout_length,
        sim=sim,
        action=ActionConfig(prior="default", feed_forward="none", scale=0.25),
        observation=ObservationConfig(actor=actor, critic=(*actor, "body_pos_b", "body_ori_b"), critic_sees_actor=False),
        reward=RewardConfig(
            anchor_pos=0.5, anchor_ori=0.5, body_pos=1.0, body_ori=1.0, body_linvel=1.0, body_angvel=1.0,
            action_rate=-0.1, joint_limit=-10.0, undesired_contacts=-0.1,
            sigma_anchor_pos=0.3, sigma_anchor_ori=0.4, sigma_body_pos=0.3, sigma_body_ori=0.4, sigma_body_linvel=1.0,
            sigma_body_angvel=3.14, soft_limit=0.9, contact_force=1.0, scale=sim.ctrl_dt,
        ),
        termination=TerminationConfig(
            anchor_height=0.25, anchor_angle=None, anchor_gravity=0.8, end_effector_height=0.25
        ),
        sampling=SamplingConfig(
            bin_s=1.0, uniform_failures=0.1, from_start=0.0, decay=0.999**ppo.rollout_length, blame_start=False, episode_s=10.0
        ),
        reset=ResetConfig(linvel, angvel, pos=(0.05, 0.05, 0.01), tilt=(0.1, 0.1, 0.2), joints=0.1),
        randomize=RandomizeConfig(
            nominal_share=0.0,
            start_level=1.0,
            distribution="uniform",
            friction=(0.3 / sim.friction, 1.6 / sim.friction),
            com=(0.025, 0.05, 0.05),
            encoder_bias=0.01,  # moves the measured position and the target together, as their offset of the default pose does
            noise=BEYONDMIMIC_NOISE,
            push=PushConfig(interval_s=2.0, linvel=linvel, angvel=angvel),
        ),
        network=NetworkConfig(hidden=(512, 256, 128), init_std=1.0),
        ppo=ppo,
    )  # fmt: skip


def g1_beyondmimic_wose() -> Config:
    """`g1_beyondmimic` without state estimation: its actor knows neither where it is nor how fast it moves."""
    config = g1_beyondmimic()
    unknown = ("motion_anchor_pos_b", "base_lin_vel")
    known = tuple(term for term in config.observation.actor if term not in unknown)
    return replace(config, preset="g1_beyondmimic_wose", observation=replace(config.observation, actor=known))


def _humanoid() -> Config:
    """Our humanoid, 28 joints, with gains of the DeepMimic class."""
    return Config(robot="humanoid", env_steps=2_400_000, ppo=PPOConfig(noise_correlation=0.5))


def humanoid() -> Config:
    """Our humanoid, 28 joints."""
    like = g1()  # it corrects its place, and its rewards narrow
    return replace(_humanoid(), preset="humanoid", reset=like.reset, reward=like.reward, curriculum=like.curriculum)


def humanoid_style() -> Config:
    """Our humanoid, moving as its clips do and following none (AMP)."""
    config = _humanoid()
    nothing = dict.fromkeys(("anchor_pos", "anchor_ori", "body_pos", "body_ori", "body_linvel", "body_angvel"), 0.0)
    own = ("root_height", "projected_gravity", "base_lin_vel", "base_ang_vel", "joint_pos", "joint_vel", "actions", "body_pos_b")
    return replace(
        config,
        preset="humanoid_style",
        motion=(str(shipped_clips()["walk"]),),
        follow=False,
        begin="tracker",
        env_steps=2_000_000,
        action=ActionConfig(prior="default", feed_forward="none", scale=1.0),
        observation=ObservationConfig(actor=own, critic=()),
        reward=RewardConfig(**nothing, style=2.0, action_rate=-0.005),
        termination=TerminationConfig(None, None, None, None, below_clips=0.15),
        network=NetworkConfig(init_std=0.1),  # it begins with a student that does well
        ppo=replace(config.ppo, discount=0.97, gae_lambda=0.9, critic_lead=15),
    )


def humanoid_steer() -> Config:
    """Our humanoid, told how fast to go and where to, in the style of its clips."""
    config = humanoid_style()
    return replace(
        config,
        preset="humanoid_steer",
        led_s=120.0,
        env_steps=4_000_000,
        tracker_steps=5_000_000,
        observation=replace(config.observation, actor=(*config.observation.actor, "heading")),
        reward=replace(config.reward, goal=2.0),
        goal=GoalConfig(kind="heading", turn=0.8),  # what the ways of `led_s` show at a time
    )


def humanoid_styles() -> Config:
    """Our humanoid, told which of several clips to move like, by name."""
    config = humanoid_style()
    return replace(
        config,
        preset="humanoid_styles",
        motion=tuple(str(shipped_clips()[name]) for name in ("walk", "run")),
        env_steps=4_000_000,
        tracker_steps=4_000_000,
        observation=replace(config.observation, actor=(*config.observation.actor, "style")),
        goal=GoalConfig(kind="style", styles=("walk", "run")),
    )


def humanoid_strike() -> Config:
    """Our humanoid, following a clip that strikes, and hitting a target with it (DeepMimic's task)."""
    config = _humanoid()
    return replace(
        config,
        preset="humanoid_strike",
        motion=(str(shipped_clips()["martial_arts"]),),
        env_steps=8_000_000,
        goal=GoalConfig(kind="strike", distance=(0.6, 0.8), turn=1.0),
        observation=replace(config.observation, actor=(*config.observation.actor, "strike")),
        reward=replace(config.reward, goal=2.0),
        termination=TerminationConfig(end_effector_height=0.5),  # targets are lower and higher than the clip strikes
    )


def humanoid_reach() -> Config:
    """Our humanoid, keeping its right hand at points before it while it moves as its clips do."""
    config = humanoid_style()
    return replace(
        config,
        preset="humanoid_reach",
        motion=tuple(str(shipped_clips()[name]) for name in ("walk", "basketball")),  # in one of them hands are busy
        env_steps=4_000_000,
        observation=replace(config.observation, actor=(*config.observation.actor, "reach")),
        reward=replace(config.reward, goal=2.0),
        goal=GoalConfig(kind="reach", turn=0.8, effector="right_forearm"),
    )


def humanoid_recover() -> Config:
    """Our humanoid, getting up by its clips from wherever it has fallen."""
    config = _humanoid()
    return replace(
        config,
        preset="humanoid_recover",
        falls=200,
        env_steps=8_000_000,
        sim=replace(config.sim, collisions="all"),
        sampling=replace(config.sampling, from_start=0.5, cap=5.0),
    )


def g1_deploy() -> Config:
    """Unitree G1 for the real robot: no state estimation, randomized bodies, motors, delays, noise and shoves."""
    config = _g1()
    return replace(
        config,
        preset="g1_deploy",
        sim=g1().sim,
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
            history=12,
            future_frames=(5, 15),
        ),
        reward=RewardConfig(),  # nobody can walk back to where he does not know that he is not
        reset=ResetConfig((0.2, 0.2, 0.1), (0.2, 0.2, 0.2), (0.01, 0.01, 0.01), (0.05, 0.05, 0.05), 0.05),
        randomize=DEPLOY,
        ppo=PPOConfig(discount=0.98, gae_lambda=0.9),  # a fall comes half a second after what it came of
        env_steps=10_000_000,
    )  # fmt: skip


def h1_deploy() -> Config:
    """Unitree H1, 19 joints, as g1_deploy."""
    return replace(g1_deploy(), preset="h1_deploy", robot="h1")


def t1_deploy() -> Config:
    """Booster T1, 29 joints, as g1_deploy."""
    return replace(g1_deploy(), preset="t1_deploy", robot="t1")


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
        # what it would do at once; that it must be sent earlier is for the student to learn
        randomize=replace(DEPLOY, action_delay=(0, 0), observation_delay=(0, 0), noise=NoiseConfig()),
        ppo=replace(config.ppo, min_std=0.2),  # the size of the errors that its student will make
    )


DEPLOY = RandomizeConfig(
    varied_share=0.3,  # a few differences at a time: with all at their worst nearly every episode is lost, and teaches nothing
    varied_by_falls=0.75,
    ramp_falls=0.3,
    friction=(0.35, 1.4),
    mass=(0.8, 1.3),
    inertia=(0.9, 1.1),
    com=(0.05, 0.05, 0.05),
    armature=(0.9, 1.1),
    kp=(0.7, 1.3),
    kd=(0.7, 1.3),
    effort=(0.75, 1.0),
    spread=0.05,
    gravity_tilt=0.03,
    encoder_bias=0.02,
    target_offset=0.01,
    action_delay=(0, 9),
    observation_delay=(0, 4),
    torque_noise=0.03,
    noise=NoiseConfig(base_ori=0.12, base_ang_vel=0.5, joint_pos=0.025, joint_vel=1.25),
    push=PushConfig(interval_s=2.0, linvel=(0.6, 0.6, 0.1), angvel=(0.2, 0.2, 0.2)),
)

PRESETS: dict[str, Callable[[], Config]] = {
    preset.__name__: preset
    for preset in (
        g1,
        g1_ros,
        g1_deploy,
        g1_teacher,
        g1_beyondmimic,
        g1_beyondmimic_wose,
        h1_deploy,
        t1_deploy,
        humanoid,
        humanoid_style,
        humanoid_steer,
        humanoid_styles,
        humanoid_strike,
        humanoid_reach,
        humanoid_recover,
    )
}


def make_preset(name: str) -> Config:
    """The preset `name`. Raises `InputError` with the known ones."""
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]()
