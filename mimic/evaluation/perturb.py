"""How a robot differs from the one a policy was trained for: its model, its start, its sensors, its line to the policy.

Everything random is drawn from a seed by the row's number, so that two settings differ in nothing but the setting.
"""

import copy
import math
from collections import deque
from dataclasses import dataclass, fields
from itertools import pairwise

import mujoco
import numpy as np

from mimic.config import BEYONDMIMIC_NOISE
from mimic.deploy.sim2sim import Link, Policy
from mimic.deploy.simulation import Simulation, substeps
from mimic.mdp.sensors import measured, noise_size
from mimic.sim.throws import NUMBERS, Impact, ball_of, hulls_of, impact_of
from mimic.sim.variation import Variation, variable_model, varied_fields
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.rotations import quat_exp, quat_mul, quat_rotate, yaw_quat

ROOT = 1  # body of the model
START_RAD = 0.02  # every start differs a little, or all seeds of a deterministic setting would be one
PUSH_EVERY_S = 2.0
FORCE_S = 0.2  # how long a force acts
THROWN_M_S = 5.0  # how fast a ball comes
AFTER_S = 1.0  # what is left of the clip at least when it begins; or half of it, where that is less


@dataclass(frozen=True)
class Perturbation:
    """One setting; the defaults are the nominal robot."""

    action_delay_s: float = 0.0
    """From the policy's decision to its target holding in the motors [s], rounded up to whole physics steps."""
    observation_delay_s: float = 0.0
    """Age of the state the policy sees [s], rounded up to whole physics steps."""
    dropped: float = 0.0
    """Share of the states that do not arrive; the one before is used again."""
    torque: float = 1.0
    """Factor on the torque limits."""
    mass: float = 1.0
    """Factor on all masses and inertias."""
    com_m: float = 0.0
    """Shift of the anchor body's centre of mass, in a random direction [m]."""
    friction: float = 1.0
    """Factor on the ground's sliding friction."""
    gains: float = 1.0
    """Factor on kp and kd."""
    noise: float = 0.0
    """Sensor noise, in multiples of BeyondMimic's."""
    push_m_s: float = 0.0
    """Sudden change of the root's horizontal velocity, in a random direction every 2 s [m/s]."""
    forward_n: float = 0.0
    """Force on the root for .2 s [N], to where it faces, once, at a moment of each robot's own. (DeepMimic's, section 10.5)"""
    sideways_n: float = 0.0
    """The same to its left or right [N]."""
    throw_kg: float = 0.0
    """Mass of a ball [kg] that flies at 5 m/s from any side at any of the tracked bodies every 2 s, and stays where it hits."""
    encoder_bias_rad: float = 0.0
    """Largest constant error of each joint sensor [rad]; the motors hold their targets by the same sensors."""
    start_rad: float = START_RAD
    """Largest error of each joint and of the root's tilt at the start [rad]."""

    def __post_init__(self) -> None:
        """Raises `InputError` for what cannot be."""
        for field in fields(self):
            value = getattr(self, field.name)
            is_factor = field.name in ("torque", "mass", "friction", "gains")
            if not (math.isfinite(value) and (value > 0 if is_factor else value >= 0)):
                raise InputError(f"perturbation {field.name} = {value!r}, expected a number {'above 0' if is_factor else '>= 0'}")
        if self.dropped >= 1:
            raise InputError(f"perturbation dropped = {self.dropped!r}, expected a share below 1")


def perturbed_model(model: mujoco.MjModel, setting: Perturbation) -> mujoco.MjModel:
    """A copy of `model` with the masses, friction, gains and torque limits of `setting`."""
    varied = copy.copy(model)
    for name, values in varied_fields(model, _variation(model, setting, np.zeros(3)), anchor_id=0).items():
        holder, _, field = name.rpartition(".")
        getattr(varied.opt if holder else varied, field)[:] = values
    mujoco.mj_setConst(varied, mujoco.MjData(varied))  # what MuJoCo derives from masses
    return varied


def _variation(model: mujoco.MjModel, setting: Perturbation, com: np.ndarray) -> Variation:
    """`setting` as training would draw it; `com` (..., 3) [m] shifts the anchor's centre of mass."""
    body, joint = np.ones(model.nbody), np.ones(model.nu)
    return Variation(
        friction=np.float64(setting.friction), mass=setting.mass * body, inertia=body, com=com, armature=joint,
        kp=setting.gains * joint, kd=setting.gains * joint, effort=setting.torque * joint,
        joint_friction=0.0 * joint, joint_damping=0.0 * joint, gravity=model.opt.gravity,
    )  # fmt: skip


def start_states(policy: Policy, clip: KinematicState, count: int, radians: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` starts near the clip's first frame: qpos (B, nq), qvel (B, nv).

    Joints differ by up to `radians` within their range, the root is tilted by up to as much about a random horizontal axis.
    Each is lifted until it is no deeper in the ground than the clip's own first frame.
    """
    rng = _rng(seed, "start")
    qpos = np.repeat(clip.qpos[:1].astype(np.float64), count, axis=0)
    low, high = policy.body.joint_range.T
    joints = qpos[:, 7:] + radians * rng.uniform(-1, 1, (count, qpos.shape[1] - 7))
    qpos[:, 7:] = np.clip(joints, np.minimum(low, qpos[:, 7:]), np.maximum(high, qpos[:, 7:]))
    axis, angle = _horizontal(rng, count), radians * rng.uniform(-1, 1, (count, 1))
    qpos[:, 3:7] = quat_mul(quat_exp(np.concatenate([axis * angle, np.zeros((count, 1))], axis=1)), qpos[:, 3:7])
    data = mujoco.MjData(policy.model)
    allowed = _depth(policy.model, data, clip.qpos[0])
    for row in qpos:
        row[2] += max(0.0, _depth(policy.model, data, row) - allowed)
    return qpos, np.repeat(clip.qvel[:1], count, axis=0)


class PerturbedLink(Link):
    """The robots of one setting: delays and losses on the line, sensors that err, and pushes."""

    def __init__(self, policy: Policy, setting: Perturbation, simulation: Simulation, frames: int, seed: int) -> None:
        model = simulation.batch.model
        super().__init__(simulation, substeps(model, policy.spec.ctrl_dt))
        self.setting = setting
        self.rng_noise, self.rng_drop, self.rng_push = (_rng(seed, use) for use in ("noise", "drop", "push"))
        count, joints, start = simulation.count, len(policy.spec.joint_names), simulation.state()
        self.bias = setting.encoder_bias_rad * _rng(seed, "bias").uniform(-1, 1, (count, joints))
        self.errs = setting.noise > 0 or setting.encoder_bias_rad > 0
        if self.errs:  # what the robot makes of its sensors, by its own nominal model
            self.body = Simulation(policy.model, policy.tracked_ids, start.qpos, start.qvel)
        late, self.action_remainder = divmod(_steps(setting.action_delay_s, model), self.n_substeps)
        self.targets = deque([start.qpos[:, 7:]] * (late + 2), maxlen=late + 2)  # before the first target: the start is held
        late, self.state_remainder = divmod(_steps(setting.observation_delay_s, model), self.n_substeps)
        self.states = deque([start] * (late + 1), maxlen=late + 1)
        self.push_period = round(PUSH_EVERY_S / policy.spec.ctrl_dt)
        self.push_phase = self.rng_push.integers(1, self.push_period + 1, count)
        self.forces = simulation.batch.bind("xfrc_applied")
        if setting.throw_kg > 0:
            self.rng_throw, self.ctrl_dt = _rng(seed, "throw"), policy.spec.ctrl_dt
            self.hulls = hulls_of(policy.model, policy.tracked_ids, range(len(policy.tracked_ids)))
            self.throw_phase = self.rng_throw.integers(1, self.push_period + 1, count)
        if setting.forward_n > 0 or setting.sideways_n > 0:
            rng, left = _rng(seed, "force"), frames - 1 - round(AFTER_S / policy.spec.ctrl_dt)
            self.force_begins = rng.integers(0, max(left, (frames - 1) // 2) + 1, count)
            self.side, self.force_steps = rng.choice((-1.0, 1.0), count), round(FORCE_S / policy.spec.ctrl_dt)
        self.control_steps = 0
        self.arrived: KinematicState | None = None

    def sense(self, state: KinematicState) -> KinematicState:
        """The state as the policy gets it: late, with the sensors' errors, or once more the one before."""
        if self.setting.observation_delay_s > 0:
            state = self.states[0]
        if self.errs:
            state = self._measured(state)
        if self.setting.dropped > 0:
            if self.arrived is not None:
                state = self._with_losses(state, self.arrived)
            self.arrived = state
        return state

    def drive(self, target: np.ndarray) -> None:
        """One control step; the target in force changes, and the state is taken, in the middle of it where a delay says so."""
        if self.setting.push_m_s > 0:
            self._push()
        if self.setting.forward_n > 0 or self.setting.sideways_n > 0:
            self._force()
        hit = self._throw() if self.setting.throw_kg > 0 else None
        self.targets.append(target)
        taken = self.n_substeps - self.state_remainder
        for begin, end in pairwise(sorted({0, self.action_remainder, taken, self.n_substeps})):
            ctrl = self.targets[1] if begin >= self.action_remainder else self.targets[0]
            self.simulation.step(ctrl - self.bias, end - begin)
            if end == taken and self.setting.observation_delay_s > 0:
                self.states.append(self.simulation.state())
        if hit is not None:  # it has acted
            self._add(hit, -1.0)
        self.control_steps += 1

    def _measured(self, state: KinematicState) -> KinematicState:
        """Root, joints and their velocities with errors; the tracked bodies follow from them."""
        draws = self.setting.noise * self.rng_noise.uniform(-1, 1, (len(state.qpos), noise_size(self.bias.shape[1])))
        qpos, qvel, *_ = measured(state, self.bias, draws, BEYONDMIMIC_NOISE)
        stand = ~np.isfinite(qpos).all(axis=1)  # a robot whose physics broke is not looked at any more
        qpos[stand], qvel[stand] = self.body.batch.model.qpos0, 0.0
        self.body.place(qpos, qvel)
        return self.body.state()

    def _with_losses(self, state: KinematicState, before: KinematicState) -> KinematicState:
        lost = self.rng_drop.uniform(size=len(state.qpos)) < self.setting.dropped
        held = KinematicState(*(part.copy() for part in state))
        for part, old in zip(held, before, strict=True):
            part[lost] = old[lost]
        return held

    def _push(self) -> None:
        now = self._comes(self.push_phase)
        kick = self.setting.push_m_s * _horizontal(self.rng_push, len(now))
        self.simulation.batch.qvel[now, :2] += kick[now]

    def _comes(self, phase: np.ndarray) -> np.ndarray:
        """Whether what comes every `PUSH_EVERY_S`, to each robot at a moment of its own, does now; (B,)."""
        return (self.control_steps >= phase) & ((self.control_steps - phase) % self.push_period == 0)

    def _throw(self) -> Impact:
        """Balls that hit some of the robots in this control step, their force added."""
        now, state = self._comes(self.throw_phase), self.simulation.state()
        u = self.rng_throw.uniform(-1, 1, (len(now), NUMBERS)).astype(np.float32)
        ball = ball_of(u, (self.setting.throw_kg, self.setting.throw_kg), (THROWN_M_S, THROWN_M_S), self.hulls)
        impact = impact_of(ball._replace(mass=np.where(now, ball.mass, 0.0)), state, self.hulls, self.ctrl_dt)
        self._add(impact, 1.0)
        return impact

    def _add(self, impact: Impact, factor: float) -> None:
        wrench = np.concatenate([impact.force, impact.torque], axis=1)
        self.forces[np.arange(len(wrench)), impact.body] += factor * wrench

    def _force(self) -> None:
        now = (self.control_steps >= self.force_begins) & (self.control_steps < self.force_begins + self.force_steps)
        along = np.stack(
            [np.full(len(now), self.setting.forward_n), self.setting.sideways_n * self.side, 0.0 * self.side], axis=1
        )
        force = quat_rotate(yaw_quat(self.simulation.batch.qpos[:, 3:7]), along)
        self.forces[:, ROOT, :3] = np.where(now[:, None], force, 0.0)


def perturbed_link(
    policy: Policy, clip: KinematicState, setting: Perturbation, count: int, seed: int = 0, world: mujoco.MjModel | None = None
) -> PerturbedLink:
    """`count` robots of `setting` at the beginning of `clip`. world: the policy's model with more in it than the robot."""
    model = perturbed_model(world or policy.model, setting)
    qpos, qvel = start_states(policy, clip, count, setting.start_rad, seed)
    anchor = policy.body.body_ids((policy.spec.anchor_body,))[0]
    if setting.com_m > 0:
        model = variable_model(model, anchor)
    simulation = Simulation(model, policy.tracked_ids, qpos, qvel, policy.spec.curve)
    if setting.com_m > 0:
        direction = _rng(seed, "com").normal(size=(count, 3))
        shift = setting.com_m * direction / np.linalg.norm(direction, axis=1, keepdims=True)
        varied = varied_fields(world or policy.model, _variation(world or policy.model, setting, shift), anchor)
        simulation.batch.expand("body_ipos")[:] = varied["body_ipos"]
        simulation.batch.set_const()
        simulation.place(qpos, qvel)
    return PerturbedLink(policy, setting, simulation, len(clip.qpos), seed)


def _rng(seed: int, use: str) -> np.random.Generator:
    """One for each use: what one axis draws does not depend on what another one does."""
    return np.random.default_rng([seed, *use.encode()])


def _steps(delay_s: float, model: mujoco.MjModel) -> int:
    return math.ceil(delay_s / model.opt.timestep - 1e-6)


def _horizontal(rng: np.random.Generator, count: int) -> np.ndarray:
    """Unit vectors (B, 2)."""
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _depth(model: mujoco.MjModel, data: mujoco.MjData, qpos: np.ndarray) -> float:
    """How deep [m] the deepest contact of a pose is; 0 without one."""
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_collision(model, data)
    return max(0.0, -float(data.contact.dist.min(initial=0.0)))
