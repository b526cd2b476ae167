"""An exported policy in simulation: MuJoCo, numpy and onnxruntime; JAX is never imported. On a robot: `policy.py`.

A control step is: read the state, observe the reference under the cursor, run the network, turn its action into joint
position targets, hold them for one control step.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np

from mimic.deploy.simulation import Simulation, substeps
from mimic.deploy.spec import PolicySpec, read_spec, require_side_file, side_file
from mimic.deploy.told import terms_of
from mimic.mdp.goals import KINDS, Terms, told_by_clip
from mimic.mdp.observations import BodyLayout, Observed, observe
from mimic.mdp.priors import Prior
from mimic.mdp.striking import strike_of, turned_to
from mimic.mdp.styles import style_of
from mimic.mdp.terminations import fallen
from motions.errors import InputError
from motions.kinematics import Body, KinematicState
from motions.library import pack
from motions.motion import Motion, load_motion

LOST_M = 0.5  # a body that has fallen by the height rule and is this far from its reference has nothing left to show


@dataclass(frozen=True)
class Policy:
    """A loaded policy: its spec, network session, simulation model (and the MJCF of it), and the clip it came with."""

    spec: PolicySpec
    session: Any
    model: mujoco.MjModel
    motion: Motion
    mjcf: str

    @classmethod
    def load(cls, path: str | Path) -> "Policy":
        """Read PATH.onnx and the files beside it. Raises `InputError` when one is missing, damaged or does not fit."""
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such policy file; expected an .onnx written by `mimic export`")
        spec = read_spec(path.with_suffix(".json"))
        if side_file(path).sha256 != spec.files["network"].sha256:
            raise InputError(
                f"{path}: not the network that {path.with_suffix('.json').name} describes (checksum differs); is it whole?"
            )
        model_file = require_side_file(path.parent, spec.files["model"])
        model = _load_model(model_file, spec)
        motion = load_motion(require_side_file(path.parent, spec.files["motion"]))
        return cls(spec, _load_session(path, spec), model, motion, model_file.read_text())

    @cached_property
    def body(self) -> Body:
        return Body(self.spec.robot, self.model)

    @cached_property
    def tracked_ids(self) -> np.ndarray:
        return self.body.body_ids(self.spec.tracked_bodies)

    @cached_property
    def layout(self) -> BodyLayout:
        effector = None if self.spec.goal is None else self.goals.effector
        return BodyLayout(self.spec.anchor, np.array(self.spec.default_joints, np.float32), effector)

    @cached_property
    def goals(self) -> Terms:
        """What the goals it was told in training were drawn between; of a policy that is told anything."""
        told = terms_of(self.spec)
        assert told is not None
        return told

    @property
    def striker(self) -> int:
        """The tracked body that strikes, of a policy that does."""
        assert self.goals.effector is not None
        return self.goals.effector.body

    @cached_property
    def _gains(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.array(self.spec.kp), np.array(self.spec.kd), np.array(self.spec.action_scale, np.float32)

    def reference(self, motion: Motion) -> KinematicState:
        """`motion` at the control rate, as the trainer saw it: leading axis of frames, float32."""
        return pack([motion], self.body, self.spec.tracked_bodies, self.spec.ctrl_dt).frames

    def observation(
        self,
        state: KinematicState,
        clip: KinematicState,
        frame: int,
        last_action: np.ndarray,
        history: np.ndarray | None = None,
        goal: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The observation (..., N) float32 of robots at `state` (..., nq) with the cursor at `frame` of `clip`, and the `history`
        (..., H, P) to give at the next step.

        The observation is not normalized: the network does that. `history` None: there is no past yet, all of it is as now.
        goal (..., G): what the robots are told, of a policy that is told anything.
        """
        observed, robots = self.observed(state, clip, frame, last_action, goal), state.qpos.shape[:-1]
        now = observe(self.spec.history_terms, observed, self.layout).astype(np.float32, copy=False)
        if history is None:
            history = np.repeat(now[..., None, :], self.spec.history, axis=-2)
        shown = observe(self.spec.terms, observed, self.layout).astype(np.float32, copy=False)
        observation = np.concatenate([shown, history.reshape(*robots, -1)], axis=-1)
        return observation, np.concatenate([now[..., None, :], history], axis=-2)[..., : self.spec.history, :]

    def observed(
        self, state: KinematicState, clip: KinematicState, frame: int, last_action: np.ndarray, goal: np.ndarray | None = None
    ) -> Observed:
        """What terms look at, as `observation` has it."""
        last, robots = len(clip.qpos) - 1, state.qpos.shape[:-1]

        def alike(part: np.ndarray | np.floating) -> np.ndarray:
            return np.broadcast_to(part, (*robots, *part.shape))

        ahead = np.clip(frame + np.array(self.spec.future_frames, dtype=int), 0, last)
        return Observed(
            state=state,
            reference=self.aimed(KinematicState(*(alike(part) for part in frame_of(clip, frame))), clip, np.asarray(frame), goal),
            future=self.aimed(KinematicState(*(alike(part[ahead]) for part in clip)), clip, ahead, goal),
            last_action=last_action,
            phase=alike(np.float32(min(frame, last) / max(last, 1))),
            time=alike(np.float32(frame * self.spec.ctrl_dt)),
            drawn=alike(np.zeros(0, np.float32)),
            goal=None if goal is None else goal.astype(np.float32, copy=False),
        )

    def aimed(self, frames: KinematicState, clip: KinematicState, number: np.ndarray, goal: np.ndarray | None) -> KinematicState:
        """Frames of `clip` as they are followed: on the way to targets `goal` (..., G), where there are any. number: which frames
        they are, (), or (H,) of a further last leading axis."""
        if goal is None or self.spec.goal is None or not KINDS[self.spec.goal.kind].once:
            return frames
        target = goal[..., None, :2] if number.ndim else goal[..., :2]
        number = np.minimum(number, len(clip.qpos) - 1).astype(np.float32)
        turned = turned_to(frames, number, strike_of(clip, self.striker), target, self.spec.ctrl_dt)
        return KinematicState(*(part.astype(np.float32, copy=False) for part in turned))

    def act(self, observation: np.ndarray) -> np.ndarray:
        """The network's actions (..., J) for observations (..., N)."""
        actions = self.session.run(None, {"obs": observation.reshape(-1, observation.shape[-1])})[0]
        return actions.reshape(*observation.shape[:-1], -1)

    def priors(self, clip: KinematicState) -> np.ndarray:
        """The joint targets (F, J) [rad] of an action of zero, by the frame a step leads to."""
        spec, (kp, kd, _) = self.spec, self._gains
        gains = (self.layout.default_joints, kp, kd, np.array(spec.effort))
        return Prior(self.model, *gains, spec.ctrl_dt, spec.sim.friction, spec.action).targets(clip.qpos, clip.qvel)

    def target(self, priors: np.ndarray, frame: int, action: np.ndarray) -> np.ndarray:
        """Joint position targets (..., J) [rad] of actions taken with the cursor at `frame`."""
        return priors[min(frame + 1, len(priors) - 1)] + self._gains[2] * action


def frame_of(clip: KinematicState, frame: int) -> KinematicState:
    """One frame; beyond the last one, the last."""
    index = min(frame, len(clip.qpos) - 1)
    return KinematicState(*(part[index] for part in clip))


@dataclass(frozen=True)
class Rollout:
    """One run over a clip of `frames` frames: S + 1 states beginning at frame 0, and S control steps between them.

    `states` and `reference` have leading axis S + 1; observations (S, N), actions (S, J), targets (S, J) [rad];
    `step_ms` (S,): wall time of each control step without the physics [ms]; goals (S, G): what it was told, if anything.
    S + 1 < frames where the run was cut short.
    """

    name: str
    frames: int
    states: KinematicState
    reference: KinematicState
    observations: np.ndarray
    actions: np.ndarray
    targets: np.ndarray
    step_ms: np.ndarray
    goals: np.ndarray | None = None


class Link:
    """What lies between a policy and its robots: nothing here. `mimic.evaluation.perturb` has delays, noise and the like."""

    def __init__(self, simulation: Simulation, n_substeps: int) -> None:
        self.simulation = simulation
        self.n_substeps = n_substeps

    def sense(self, state: KinematicState) -> KinematicState:
        """What the policy gets to see when the robots are at `state` (B, ...)."""
        return state

    def drive(self, target: np.ndarray) -> None:
        """One control step of physics with the policy's joint position targets (B, J) [rad]."""
        self.simulation.step(target, self.n_substeps)


class ControlStep(NamedTuple):
    """One control step of B robots, all at the same frame of the clip.

    What the policy saw (B, N), its action (B, J), the target (B, J) [rad] made of it, the state (B, ...) this led to, the wall
    time without the physics [ms], what the robots were told (B, G), if anything, and what is remembered for the next step
    (B, H, P).
    """

    observation: np.ndarray
    action: np.ndarray
    target: np.ndarray
    state: KinematicState
    policy_ms: float
    goal: np.ndarray | None
    history: np.ndarray


def track(
    policy: Policy,
    clip: KinematicState,
    link: Link,
    steps: int,
    tell: Callable[[KinematicState], np.ndarray] | None = None,
    priors: np.ndarray | None = None,
    first: int = 0,
    after: ControlStep | None = None,
) -> Iterator[ControlStep]:
    """Run `policy` along `clip` from its frame `first` for `steps` control steps; the robots are where the link's simulation
    has put them. The caller may stop some of them between the steps. tell: what robots at a state (B, ...) are told, (B, G).
    priors: `Policy.priors` of the clip, where they are known. after: the step before, where robots went another way."""
    simulation, priors = link.simulation, policy.priors(clip) if priors is None else priors
    state = simulation.state()
    action, history = np.zeros((simulation.count, len(policy.spec.joint_names)), np.float32), None
    if after is not None:
        action, history = after.action, after.history
    for frame in range(first, first + steps):
        seen = link.sense(state)
        begin = time.perf_counter()
        goal = None if tell is None else tell(state)
        observation, history = policy.observation(seen, clip, frame, action, history, goal)
        action = policy.act(observation)
        target = policy.target(priors, frame, action)
        policy_ms = 1e3 * (time.perf_counter() - begin)
        link.drive(target)
        state = simulation.state()
        yield ControlStep(observation, action, target, state, policy_ms, goal, history)


class Once:
    """What robots are told that have a goal for the whole of `clip`, drawn from u (B, 4) in [-1, 1]; `goal` (B, G): as it is."""

    def __init__(self, policy: Policy, clip: KinematicState, u: np.ndarray) -> None:
        assert policy.spec.goal is not None
        self.kind, self.terms = KINDS[policy.spec.goal.kind], policy.goals
        strikes = frame_of(clip, int(strike_of(clip, policy.striker).moment))
        self.goal = self.kind.draw(
            u, KinematicState(*(np.broadcast_to(part, (len(u), *part.shape)) for part in strikes)), self.terms
        )

    def __call__(self, state: KinematicState) -> np.ndarray:
        self.goal = self.kind.met(self.goal, state, self.terms)
        return self.goal


def told_as(policy: Policy, clip: KinematicState, name: str) -> Callable[[KinematicState], np.ndarray]:
    """What robots are told, step by step, that are to do as the clip `name` does from where they are; where that is drawn once,
    the middle of what may be drawn."""
    assert policy.spec.goal is not None
    kind, frames = KINDS[policy.spec.goal.kind], itertools.count()
    if kind.once:
        return Once(policy, clip, np.zeros((1, 4), np.float32))
    if policy.goals.styles:
        style = shown_style(policy, name)
        return lambda state: np.broadcast_to(style, (len(state.qpos), len(style)))

    def tell(state: KinematicState) -> np.ndarray:
        def at(frame: int) -> KinematicState:
            return KinematicState(*(np.broadcast_to(part, (len(state.qpos), *part.shape)) for part in frame_of(clip, frame)))

        return told_by_clip(kind, at, next(frames), len(clip.qpos) - 1, policy.spec.ctrl_dt, state, policy.goals)

    return tell


def shown_style(policy: Policy, name: str) -> np.ndarray:
    """What a robot is told that is to move as the clip `name`, of a policy that is told styles; (S,)."""
    assert policy.spec.goal is not None
    return np.eye(policy.goals.styles, dtype=np.float32)[style_of(policy.spec.goal.styles, [name])[0]]


def rollout(
    policy: Policy, motion: Motion | None = None, *, model: mujoco.MjModel | None = None, max_steps: int | None = None
) -> Rollout:
    """Track `motion` (the policy's own by default) once from its first frame, deterministically, in C MuJoCo.

    A policy that is told what to do is told what the clip does.

    `model`: another simulation model of the same robot. Stops early once the height rule has failed and the tracked
    bodies are on average `LOST_M` away, or where the physics broke (the state is then NaN).
    """
    motion = motion or policy.motion
    model = model if model is not None else policy.model
    clip = policy.reference(motion)
    simulation = Simulation(model, policy.tracked_ids, clip.qpos[:1], clip.qvel[:1], policy.spec.curve)
    link = Link(simulation, substeps(model, policy.spec.ctrl_dt))
    frames = len(clip.qpos)
    states, done = [simulation.state()], []
    tell = None if policy.spec.goal is None else told_as(policy, clip, motion.name)
    for step in track(policy, clip, link, frames - 1 if max_steps is None else min(max_steps, frames - 1), tell):
        states.append(step.state)
        done.append(step)
        if _lost(policy.spec, step.state, frame_of(clip, len(done))):
            break
    joints, seen = len(policy.spec.joint_names), policy.spec.observation_size
    return Rollout(
        name=motion.name,
        frames=frames,
        states=KinematicState(*(np.concatenate(column) for column in zip(*states, strict=True))),
        reference=KinematicState(*(part[: len(states)] for part in clip)),
        observations=np.array([step.observation for step in done], np.float32).reshape(-1, seen),
        actions=np.array([step.action for step in done], np.float32).reshape(-1, joints),
        targets=np.array([step.target for step in done]).reshape(-1, joints),
        step_ms=np.array([step.policy_ms for step in done]),
        goals=None if tell is None else np.array([step.goal for step in done], np.float32).reshape(len(done), -1),
    )


def _lost(spec: PolicySpec, state: KinematicState, reference: KinematicState) -> bool:
    """Of one robot, whose state has a leading axis of one."""
    if not fallen(state, reference, spec.anchor, spec.end_effector_indices, spec.termination).all():
        return False
    distance_m = np.linalg.norm(state.xpos - reference.xpos, axis=-1).mean()
    return not distance_m <= LOST_M  # true for NaN too


def _load_model(path: Path, spec: PolicySpec) -> mujoco.MjModel:
    try:
        model = mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise InputError(f"{path}: MuJoCo cannot load it: {error}") from error
    names = Body(spec.robot, model).joint_names
    if names != spec.joint_names or model.nu != len(names):
        raise InputError(f"{path}: its joints are not the policy's: {', '.join(names)}; expected {', '.join(spec.joint_names)}")
    return model


def _load_session(path: Path, spec: PolicySpec) -> Any:
    try:
        session = open_session(path)
    except Exception as error:  # onnxruntime's exceptions share no base but this
        raise InputError(f"{path}: onnxruntime cannot load it: {error}") from error
    found = {i.name: i.shape[-1] for i in session.get_inputs()}, {o.name: o.shape[-1] for o in session.get_outputs()}
    if found != ({"obs": spec.observation_size}, {"actions": len(spec.joint_names)}):
        raise InputError(
            f"{path}: its inputs and outputs are {found}, "
            f"expected obs of {spec.observation_size} and actions of {len(spec.joint_names)}"
        )
    return session


def open_session(path: Path) -> Any:
    """One thread: a small network is fastest so, and a robot has other things to do. Raises what onnxruntime raises."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # who calls says what is wrong
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
