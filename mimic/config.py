"""The configuration tree: frozen dataclasses, one docstring line per field. Presets fill it in `mimic.presets`."""

import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from mimic.config_learning import DistillConfig, NetworkConfig, PPOConfig, SearchConfig, StyleConfig
from mimic.config_log import LogConfig
from mimic.config_randomize import BEYONDMIMIC_NOISE as BEYONDMIMIC_NOISE
from mimic.config_randomize import NoiseConfig as NoiseConfig
from mimic.config_randomize import PushConfig as PushConfig
from mimic.config_randomize import RandomizeConfig, Range, Vector
from mimic.config_randomize import ThrowConfig as ThrowConfig
from motions.errors import InputError, unknown_name

BACKENDS = ("native", "mjx-jax", "mjx-warp")
DEVICES = ("auto", "cpu", "gpu", "tpu")
Collisions = Literal["feet", "self", "all"]
ROUND = 6  # control steps; an environment that ends twice within them starts twice from the same state


@dataclass(frozen=True)
class SimConfig:
    sim_dt: float = 0.005
    """Physics time step [s]."""
    n_substeps: int = 4
    """Physics steps per control step; the control rate is 1 / (sim_dt n_substeps)."""
    iterations: int = 10
    """Largest number of solver iterations."""
    ls_iterations: int = 20
    """Largest number of line-search iterations."""
    friction: float = 0.6
    """Sliding friction between the robot and the ground."""
    collisions: Collisions = "feet"
    """Which of the robot's geoms touch. feet: feet with the ground only; self: the robot's bodies one another too, as its model
    lets them; all: every geom the model lets collide, the ground too. On mjx-jax, which makes room for every pair that may ever
    touch, only feet is fast."""
    contact_forces: bool = False
    """Measure the contact force on each body; not on mjx-jax."""
    contacts_per_env: int | None = None
    """Contacts that mjx-warp makes room for, per environment in the mean over those of a device. None: what the motion needs."""
    constraints_per_env: int | None = None
    """Constraint rows that mjx-warp makes room for in each environment. None: what the motion needs."""
    actuator: Literal["pd", "motor"] = "pd"
    """pd: torque = clip(kp (target - q) - kd qdot, +-effort). motor: the same, and effort falls with speed as the
    robot's torque-speed curve says, with its dry friction."""

    @property
    def ctrl_dt(self) -> float:
        return self.sim_dt * self.n_substeps


@dataclass(frozen=True)
class ActionConfig:
    prior: Literal["reference", "default"] = "reference"
    """What an action of zero asks for: the reference joint position of the next frame, or the default pose."""
    feed_forward: Literal["none", "velocity", "dynamics"] = "dynamics"
    """Added to the reference prior. velocity: (kd/kp) qdot_ref, which cancels the lag of the PD law. dynamics: that and the
    torques of inverse dynamics over kp, which cancel its sag."""
    scale: float = 0.25
    """Target offset of an action of one, as a part of effort/kp."""


@dataclass(frozen=True)
class ObservationConfig:
    actor: tuple[str, ...] = (
        "command",
        "motion_anchor_pos_b",
        "motion_anchor_ori_b",
        "base_lin_vel",
        "base_ang_vel",
        "joint_pos",
        "joint_vel",
        "actions",
        "projected_gravity",
        "joint_errors",
        "tracking_errors",
    )
    """What the policy sees, in this order (`mimic.mdp.observations.TERMS`). The two errors could be inferred from the others;
    shown as such, feedback is learnt in less than half the env-steps."""
    true_state: bool = False
    """Whether the actor sees the true state, not what the robot measures of it: for teachers (`mimic distill`)."""
    critic: tuple[str, ...] = ("body_pos_b", "clip_time", "phase")
    """Terms the critic sees beyond the actor's, always of the true state."""
    critic_sees_actor: bool = True
    """Whether the critic sees the actor's observation too, with its noise and delay."""
    history: int = 0
    """Past control steps of which the actor also sees `history_terms`, the most recent first."""
    history_terms: tuple[str, ...] = ("base_ang_vel", "projected_gravity", "joint_pos", "joint_vel", "actions")
    """Terms shown again as they were in past control steps."""
    future_frames: tuple[int, ...] = ()
    """Offsets [control steps] of reference frames that the term `future` shows."""
    clip: float = 10.0
    """Bound on normalized observations."""


@dataclass(frozen=True)
class RewardConfig:
    """Weights of exp(-error/sigma^2) tracking terms and penalties; their sum is multiplied by `scale`. (BeyondMimic)"""

    anchor_pos: float = 0.5
    anchor_ori: float = 0.5
    body_pos: float = 1.0
    body_ori: float = 1.0
    body_linvel: float = 1.0
    body_angvel: float = 1.0
    action_rate: float = -0.01
    """Weight of the squared change of the action."""
    action_acceleration: float = 0.0
    """Weight of the squared change of that change, a_t - 2 a_(t-1) + a_(t-2)."""
    joint_limit: float = 0.0
    """Weight of what the joints exceed their soft limits by, summed [rad]."""
    undesired_contacts: float = 0.0
    """Weight of the number of bodies, end effectors aside, that touch something; needs `sim.contact_forces`."""
    sigma_anchor_pos: float = 0.3
    """[m]"""
    sigma_anchor_ori: float = 0.4
    """[rad]"""
    sigma_body_pos: float = 0.1
    """[m]"""
    sigma_body_ori: float = 0.3
    """[rad]"""
    sigma_body_linvel: float = 1.0
    """[m/s]"""
    sigma_body_angvel: float = 3.14
    """[rad/s]"""
    style: float = 0.0
    """Weight of what a discriminator says (`StyleConfig`); 0: there is none."""
    goal: float = 0.0
    """Weight of how well the robot does what it is told (`GoalConfig`)."""
    soft_limit: float = 0.9
    """Part of a joint's range, about its middle, that lies within its soft limits."""
    contact_force: float = 1.0
    """Force [N] above which a body touches."""
    scale: float = 0.1
    """Factor on the whole sum, so that returns stay near one."""


@dataclass(frozen=True)
class GoalConfig:
    """What the robot is told to do, anew at random times; `reward.goal` is what it earns by it, and the observation term of the
    same name shows it. Where the clips are followed, it is told what they do."""

    kind: Literal["heading", "location", "strike", "reach", "style"] | None = None
    """heading: to move with a horizontal velocity; location: to be at a place; strike: to hit a target, where a clip is followed
    that strikes; reach: to keep a hand at a point that goes along with the root; style: which of the clips to move like, by name,
    for which the discriminator pays. None: nothing."""
    interval_s: float = 3.0
    """Mean time [s] until it is told something else."""
    speed: Range | None = None
    """Of heading: speeds [m/s]; None: what the clips show."""
    turn: float = 1.6
    """Of heading: largest angle between the velocity asked for and where the robot faces then; of strike: between the target and
    where the clip strikes; of reach: between straight ahead and the way from the shoulder to the point [rad]."""
    distance: Range = (1.0, 5.0)
    """Of location: how far the place is; of strike: how far the target is from over the root [m]."""
    height: Range = (0.8, 1.25)
    """Of strike: how high the target is [m]."""
    effector: str | None = field(default=None, metadata={"was": "striker"})
    """Of strike: the tracked body that is to hit it; None: the end effector that the clips move fastest. Of reach: the last body
    of the limb that is to come to the point; None: the end effector that is highest as the robot stands, a hand."""
    reach: Range | None = None
    """Of reach: how far the point is from where the limb begins, its shoulder [m]; None: what the limb is long enough for."""
    styles: tuple[str, ...] = ()
    """Of style: their names, at least two, each LABEL, for the clips whose names contain it, or LABEL=PART for those whose names
    contain PART; several clips, and several such words, may have one label."""


@dataclass(frozen=True)
class TerminationConfig:
    anchor_height: float | None = 0.25
    """Largest |dz| of the anchor [m]; None: any."""
    anchor_angle: float | None = 0.8
    """Largest angle between the anchor and its reference [rad]; None: any."""
    anchor_gravity: float | None = None
    """Largest difference between the anchor and its reference in how much of gravity points along their own z, from -1 to 1:
    blind to heading; None: any."""
    end_effector_height: float | None = 0.25
    """Largest |dz| of any end effector [m], after re-anchoring; None: any."""
    below_clips: float | None = None
    """How far below the lowest place that a tracked body has in its clip it may be [m], where none is followed in any of the
    clips: what they never bring near the ground has fallen where it is there. None: any."""
    may_touch: tuple[str, ...] = ()
    """Tracked bodies that may come to the ground all the same."""


HEIGHT_RULE = TerminationConfig()  # what "success" means in every evaluation, whatever a training terminated on


@dataclass(frozen=True)
class SamplingConfig:
    """Where episodes start: bins of the clips, weighted by failures in them and of episodes begun in them. (after BeyondMimic)"""

    bin_s: float = 1.0
    """Length of a bin [s]."""
    uniform: float = 0.2
    """Share of starts drawn uniformly over all frames."""
    uniform_failures: float | None = None
    """Failures per control step, of all environments together, that weigh as much as all uniform starts: their share then grows
    as failures vanish, whatever `uniform` says. None: the share is `uniform`."""
    cap: float | None = None
    """Most that a bin is drawn, as a multiple of its share of the frames; None: no bound."""
    from_start: float = 0.1
    """Share of starts on a clip's first frame: what is reached only from there is practised too."""
    decay: float = 0.9
    """Per-iteration decay of the failure average."""
    blame_start: bool = True
    """Whether a failure counts not only where it happened but where its episode began, too."""
    episode_s: float = 10.0
    """Longest episode [s]; reaching it truncates."""


@dataclass(frozen=True)
class CurriculumConfig:
    """What changes while the policy learns, beside where episodes start (`SamplingConfig`) and how much of the randomization
    acts (`RandomizeConfig`: start_level, ramp_share, ramp_falls)."""

    tolerance_decay: float | None = None
    """Decay per control step of the running mean of each tracking error; a reward's width shrinks to it, as KungfuBot's
    does with .999. None: widths stay as configured."""
    tolerance_falls: float | None = None
    """It shrinks only while robots fall less often than this [1/s], by a running mean over some hundred control steps: what falls
    early is followed closely as long as it lasts, and would make the widths narrow before there is anything to be precise about.
    None: always, as KungfuBot's does."""
    loose_bounds: float = 1.0
    """Factor on the bounds of termination at the start of the training ..."""
    tighten_share: float = 0.5
    """... falling linearly to 1 over this first part of it."""


@dataclass(frozen=True)
class ResetConfig:
    """How far an episode starts from its reference frame, each drawn uniformly within +-."""

    linvel: Vector = (0.0, 0.0, 0.0)
    """Largest change of the root's linear velocity [m/s], world axes."""
    angvel: Vector = (0.0, 0.0, 0.0)
    """Largest change of the root's angular velocity [rad/s], root axes."""
    pos: Vector = (0.0, 0.0, 0.0)
    """Largest change of the root's position [m], world axes."""
    tilt: Vector = (0.0, 0.0, 0.0)
    """Largest rotation of the root, as roll, pitch, yaw [rad]."""
    joints: float = 0.0
    """Largest change of a joint's position [rad], kept within its range."""


@dataclass(frozen=True)
class Config:
    """Everything that defines a training run."""

    preset: str = "g1"
    """Which one all settings come from that are not said."""
    robot: str = "g1"
    """A robot's name, or a path to an MJCF or spec file."""
    motion: tuple[str, ...] = ()
    """Motion files, or the catalogue of `mimic motions curate`; none: the preset's own clip."""
    weights: tuple[float, ...] = ()
    """How often each of these is drawn, for its length; none: all alike, or as the catalogue says."""
    led_s: float = 0.0
    """Beside each motion that walks or runs, so many seconds of its best cycle led over the ground, at paces and through turns
    that it does not have: for a controller to be steered. 0: none."""
    falls: int = 0
    """Beside the motions, so many clips that begin as the robot lies after a random fall and go on as the nearest of them:
    get-ups from wherever it lies. Needs sim.collisions all. 0: none."""
    switches: int = 0
    """Beside the motions, so many clips that go over from one of them to another, at moments drawn at random, as often practised
    as all of these together: for a controller that is told which. 0: none."""
    poses: Literal["auto", "kept", "recomputed"] = "auto"
    """Body poses of the reference: kept for every frame, or recomputed from the joints at each look-up, which takes a third of
    the memory. auto: kept up to 256 MB, two hours of motion."""
    quat_order: Literal["wxyz", "xyzw"] | None = None
    """Quaternion order of files that do not say."""
    fps: float | None = None
    """Frame rate [Hz] of files that do not say."""
    start_s: float = 0.0
    """Of each motion, the part from here [s] ..."""
    end_s: float | None = None
    """... to here [s] is used; None: to its end."""
    clip: str | None = None
    """Which one, of files that hold several."""
    skeleton: str | None = None
    """The .asf of an .amc, where it is not beside it; the body model (npz) of an AMASS or SMPL file."""
    scale: float | None = None
    """Metres per unit of the files, where it cannot be recognised."""
    cycles: int = 1
    """So many of a clip that loops, one after the other; of a captured one before it is retargeted."""
    mapping: str | None = None
    """TOML file that says how the robot stands for a person or an animal; see `mimic robot init`."""
    seed: int = 0
    """Of everything that is drawn."""
    num_envs: int = 128
    """Environments that are stepped side by side."""
    env_steps: int = 2_500_000
    """Length of the training, in control steps summed over environments."""
    backend: str | None = None
    """Physics engine: native (C MuJoCo on CPU threads), mjx-jax, or mjx-warp (NVIDIA). None: the best one present."""
    device: str = "auto"
    """Where the learner runs: auto, cpu, gpu or tpu."""
    devices: int | None = None
    """Over how many of these the environments are spread; the numbers are those of one. None: all, of CPUs one."""
    init_from: str | None = None
    """Run whose policy, value function and observation statistics training begins with; None: with none."""
    follow: bool = True
    """Whether the body is to be where the reference is, until the clip ends. False: the clips only show where episodes start and
    how to move (`reward.style`), and an episode ends with its time."""
    begin: Literal["scratch", "tracker"] = "scratch"
    """tracker: before this run a tracker of its clips is trained, and a student of that which follows no clip; it goes on from
    the student, in folders beside its own (`mimic.training.stages`)."""
    tracker_steps: int = 2_500_000
    """Env-steps of that tracker ..."""
    student_steps: int = 2_000_000
    """... and of that student."""
    learner: Literal["ppo", "search"] = "ppo"
    """How a policy without a teacher learns: by reward (PPO), or from searched ways out of its falls; `mimic harden` sets it."""
    teacher: str | None = None
    """The run this one is a student of; `mimic distill` sets it."""
    save_every_s: float = 60.0
    """Seconds between checkpoints."""
    evaluate_every_s: float | None = 120.0
    """Seconds between evaluations of the policy while it is trained, up to eight clips whole; None: none."""
    sim: SimConfig = field(default_factory=SimConfig)
    action: ActionConfig = field(default_factory=ActionConfig)
    observation: ObservationConfig = field(default_factory=ObservationConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    termination: TerminationConfig = field(default_factory=TerminationConfig)
    goal: GoalConfig = field(default_factory=GoalConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    reset: ResetConfig = field(default_factory=ResetConfig)
    randomize: RandomizeConfig = field(default_factory=RandomizeConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    style: StyleConfig = field(default_factory=StyleConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    log: LogConfig = field(default_factory=LogConfig)

    @property
    def of_files(self) -> dict[str, Any]:
        """What was said of the motion files, as `mimic.sources.read_motions` takes it."""
        names = ("quat_order", "fps", "start_s", "end_s", "clip", "skeleton", "scale", "cycles", "mapping")
        return {name: getattr(self, name) for name in names}

    @property
    def steps_per_iteration(self) -> int:
        """Env-steps, those of searches included."""
        if self.learner == "search":
            return self.num_envs * (self.search.practice + self.search.generations_per_practice * self.search.horizon)
        return self.num_envs * self.ppo.rollout_length

    @property
    def num_iterations(self) -> int:
        """Rollouts that make up `env_steps`: the largest whole number, but at least two (one starts the normalizer)."""
        return max(2, self.env_steps // self.steps_per_iteration)


def to_dict(config: Any) -> dict[str, Any]:
    """The tree as plain JSON types."""
    return dataclasses.asdict(config)


def from_dict(cls: type, values: dict[str, Any], where: str = "config") -> Any:
    """Rebuild a dataclass tree from `to_dict`'s output; a field may be called what it `was` in older files. Raises `InputError`
    for a key the class lacks."""
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    was = {f.metadata["was"]: f.name for f in dataclasses.fields(cls) if "was" in f.metadata}
    values = {was.get(key, key): value for key, value in values.items()}
    for key in values:
        if key not in names:
            raise unknown_name(f"key in {where}", key, names)
    made = {}
    for key, value in values.items():
        kind = hints[key]
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, dict):
                raise InputError(f"{where}.{key}: expected a table, got {value!r}")
            made[key] = from_dict(typing.cast(type, kind), value, f"{where}.{key}")
        else:
            made[key] = tuple(value) if isinstance(value, list) else value  # JSON has no tuples
    return cls(**made)
