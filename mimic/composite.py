"""Policies of several clips as one controller: where another clip is asked for, or one has ended, critics say how to go on.

Each policy has a critic, which knows what it may still earn from a state along its own clip. Normalized by what it knows of the
clip itself, that says how well the policy would take over, and at which frame: it goes on from the one that promises most, its
reference blended into from where the robot is. (the composite policy of DeepMimic, Peng et al. 2018, which draws from them)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mimic.checkpoint import newest
from mimic.config import Collisions
from mimic.deploy.export import numpy_policy
from mimic.deploy.sim2sim import Link, Policy, frame_of, track
from mimic.deploy.simulation import Simulation, substeps
from mimic.evaluation.switching import SEED, counted
from mimic.learning.networks import Layers, layers_of
from mimic.mdp.observations import observe
from mimic.mdp.terminations import fallen
from mimic.pipeline import exported
from mimic.runs import Run, open_run
from mimic.switches import BLEND_S, REST_S, drawn_switches
from motions.edit import Seam, switch
from motions.errors import InputError
from motions.kinematics import KinematicState, shifted, turned
from motions.motion import Motion, resample
from motions.rotations import quat_conj, quat_mul, yaw_quat

SECONDS = 20.0  # of a controller that is told nothing
ENTRIES = 120  # frames of a clip that are tried, at most
TOUCHING: tuple[Collisions, ...] = ("feet", "self", "all")  # ever more of them


class Critic(NamedTuple):
    """layers, and mean and std (N,) of what they see: what the actor does, if `with_actor`, and `terms`; clip: its bound."""

    layers: Layers
    mean: np.ndarray
    std: np.ndarray
    terms: tuple[str, ...]
    with_actor: bool
    clip: float


class Member:
    """A policy on one of its clips (at the control rate), and its critic."""

    def __init__(self, policy: Policy, motion: Motion, critic: Critic) -> None:
        self.policy, self.critic = policy, critic
        self.motion = resample(motion, 1.0 / policy.spec.ctrl_dt)
        self.clip = policy.reference(self.motion)
        own = self._values([frame_of(self.clip, frame) for frame in self._tried(0)], self._tried(0))
        self._usual, self._spread = float(own.mean()), max(float(own.std()), 1e-6)

    def promise(self, state: KinematicState) -> tuple[float, int]:
        """The most that it promises a robot at `state`, and the frame to begin at, of those that leave `REST_S` and a blend. In
        standard deviations of what it promises along its clip, from their mean."""
        frames = self._tried(round((REST_S + BLEND_S) / self.policy.spec.ctrl_dt))
        values = self._values([_placed(state, frame_of(self.clip, frame)) for frame in frames], frames)
        best = int(values.argmax())
        return (float(values[best]) - self._usual) / self._spread, int(frames[best])

    def _tried(self, rest: int) -> np.ndarray:
        last = max(len(self.clip.qpos) - 1 - rest, 0)
        return np.unique(np.linspace(0, last, ENTRIES).astype(int))

    def _values(self, states: Sequence[KinematicState], frames: np.ndarray) -> np.ndarray:
        """What the critic says of a robot at each of `states` that begins at that frame of the clip."""
        still, critic, seen = np.zeros(len(self.policy.spec.joint_names), np.float32), self.critic, []
        for state, frame in zip(states, frames, strict=True):
            observed = self.policy.observed(state, self.clip, int(frame), still)
            beyond = observe(critic.terms, observed, self.policy.layout)
            actor = self.policy.observation(state, self.clip, int(frame), still)[0] if critic.with_actor else beyond[:0]
            seen.append(np.concatenate([actor, beyond]))
        return numpy_policy(critic.layers, critic.mean, critic.std, critic.clip, np.stack(seen))[:, 0]


@dataclass(frozen=True)
class Alone:
    """What a composite did that was told nothing: which clips it took up when [s], and how long it stood [s]; states and
    reference (F, ...)."""

    acted: list[dict[str, Any]]
    stood_s: float
    states: KinematicState = field(repr=False)
    reference: KinematicState = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        return {"acted": self.acted, "stood_s": self.stood_s, "seconds": SECONDS}


class Leg(NamedTuple):
    """A stretch that one member follows: its reference, from frame `first` of it for `steps` control steps."""

    member: Member
    motion: Motion
    first: int
    steps: int


class Composite:
    """Members of one robot, in the contacts of the one that has most of them."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        most = max(members, key=lambda member: TOUCHING.index(member.policy.spec.sim.collisions))
        self.model, self.spec = most.policy.model, most.policy.spec

    def alone(self) -> Alone:
        """For `SECONDS`, or until it falls, from the first clip on: where one ends that follows which promises most."""
        begun = _begin(self.members[0], self.model)
        steps = round(SECONDS / self.spec.ctrl_dt)
        blend = round(BLEND_S / self.spec.ctrl_dt)
        member, motion, first = self.members[0], self.members[0].motion, 0
        acted = [{"clip": member.motion.name, "at_s": 0.0}]
        done = _Done(begun.simulation.state(), frame_of(member.clip, 0))
        while True:
            leg = Leg(member, motion, first, min(motion.num_frames - 1 - blend - first, steps - done.steps))
            if not self._goes(begun, leg, done) or done.steps >= steps:
                break
            state, frame = done.state, first + leg.steps
            member, begin, promise = self._most(state)
            motion, first = _entered(motion, frame, member, begin), 1
            acted.append({"clip": member.motion.name, "at_s": done.steps * self.spec.ctrl_dt, "frame": begin, "promise": promise})
        return Alone(acted, (done.upright - 1) * self.spec.ctrl_dt, *done.whole())

    def switches(self, count: int, *, seed: int = SEED) -> dict[str, Any]:
        """As `mimic.evaluation.switching.measure_switches`: the same clips and moments, but the other clip's own policy takes
        over, where it promises most."""
        motions, rows = [member.motion for member in self.members], []
        for before, after, time_s in drawn_switches(motions, count, seed):
            here, there = (next(m for m in self.members if m.motion is motion) for motion in (before, after))
            link, steps = _begin(here, self.model), round(time_s / self.spec.ctrl_dt)
            done = _Done(link.simulation.state(), frame_of(here.clip, 0))
            held, begin = self._goes(link, Leg(here, here.motion, 0, steps), done), None
            if held:
                _, begin = there.promise(done.state)
                motion = _entered(here.motion, steps, there, begin)
                held = self._goes(link, Leg(there, motion, 1, motion.num_frames - 2), done)
            rows.append({"from": before.name, "to": after.name, "at_s": time_s, "frame": begin, "succeeded": held})
        return counted(rows)

    def _most(self, state: KinematicState) -> tuple[Member, int, float]:
        """Who promises a robot at `state` most, from which frame on, and how much."""
        offers = [member.promise(state) for member in self.members]
        best = int(np.argmax([promise for promise, _ in offers]))
        return self.members[best], offers[best][1], offers[best][0]

    def _goes(self, link: Link, leg: Leg, done: "_Done") -> bool:
        """Whether it goes a leg without a fall, which is remembered."""
        policy, spec = leg.member.policy, self.spec
        clip = policy.reference(leg.motion)
        for frame, step in enumerate(track(policy, clip, link, leg.steps, first=leg.first), start=leg.first + 1):
            done.add(step.state, frame_of(clip, frame))
            reference = KinematicState(*(part[None] for part in done.reference))
            if fallen(step.state, reference, spec.anchor, spec.end_effector_indices, spec.termination).all():
                done.upright -= 1
                return False
        return True


class _Done:
    """What was done so far, of one robot: `upright` states before it fell, the last of them `state`."""

    def __init__(self, state: KinematicState, reference: KinematicState) -> None:
        self._states, self._references, self.upright = [state], [reference], 1

    def add(self, state: KinematicState, reference: KinematicState) -> None:
        self._states.append(state)
        self._references.append(reference)
        self.upright += 1

    @property
    def state(self) -> KinematicState:
        return KinematicState(*(part[0] for part in self._states[-1]))

    @property
    def reference(self) -> KinematicState:
        return self._references[-1]

    @property
    def steps(self) -> int:
        return len(self._states) - 1

    def whole(self) -> tuple[KinematicState, KinematicState]:
        """All states and references, (F, ...)."""
        states = (np.concatenate(parts) for parts in zip(*self._states, strict=True))
        return KinematicState(*states), KinematicState(*(np.stack(parts) for parts in zip(*self._references, strict=True)))


def _begin(member: Member, model: Any) -> Link:
    """One robot in the first frame of the member's clip."""
    policy, clip = member.policy, member.clip
    simulation = Simulation(model, policy.tracked_ids, clip.qpos[:1], clip.qvel[:1], policy.spec.curve)
    return Link(simulation, substeps(model, policy.spec.ctrl_dt))


def _entered(motion: Motion, frame: int, member: Member, begin: int) -> Motion:
    """What goes on from `motion` at `frame`, which is frame 1 of it, into the member's clip from its frame `begin`."""
    left = Motion(motion.name, motion.robot, motion.fps, motion.qpos[frame - 1 :], motion.joint_names)
    moment = 1.0 / motion.fps
    return switch(left, member.motion, Seam(moment, begin, BLEND_S))


def _placed(state: KinematicState, frame: KinematicState) -> KinematicState:
    """A robot at `state` moved over the ground to where the root is in `frame`, and turned to its heading."""
    turn = quat_mul(yaw_quat(frame.qpos[3:7]), quat_conj(yaw_quat(state.qpos[3:7])))
    way = np.append(frame.qpos[:2] - state.qpos[:2], np.float32(0.0))
    return shifted(turned(state, turn), way)


def load_composite(folders: Sequence[Path], say: Callable[[str], None]) -> Composite:
    """Of the newest policies and critics of several runs, each on its clips.

    Raises `InputError` for runs of different robots or rates, and policies that have no critic, follow nothing, or are told
    something.
    """
    runs = [open_run(folder) for folder in folders]
    for run in runs:
        _check(run, runs[0])
    return Composite([member for run in runs for member in _members(run, say)])


def _check(run: Run, first: Run) -> None:
    config, folder = run.config, run.folder
    if config.teacher is not None or config.learner == "search":
        raise InputError(f"{folder}: its policy was not learnt by reward, and has no critic to say what it promises")
    if not config.follow or config.goal.kind is not None:
        raise InputError(f"{folder}: its policy follows no clip, or is told what to do; expected trackers of clips")
    if "randomization" in config.observation.critic:
        raise InputError(f"{folder}: its critic sees what is drawn (randomization), which nobody knows of a robot")
    if run.robot.joint_names != first.robot.joint_names or run.config.sim.ctrl_dt != first.config.sim.ctrl_dt:
        raise InputError(f"{folder} has another robot or control rate than {first.folder}: expected the same")


def _members(run: Run, say: Callable[[str], None]) -> list[Member]:
    parts = newest(run, lambda checkpoints: checkpoints.restore_parts(("average", "normalizer"), say))
    layers, observation = layers_of(parts["average"]["critic"]), run.config.observation
    mean, std = (np.asarray(parts["normalizer"][name])[-len(layers[0][0]) :] for name in ("mean", "std"))
    critic = Critic(layers, mean, std, observation.critic, observation.critic_sees_actor, observation.clip)
    policy = exported(run, say)
    return [Member(policy, motion, critic) for motion in run.asked]


def print_alone(found: Alone, say: Callable[[str], None]) -> None:
    """For people."""
    for took in found.acted:
        promise = f", which promises {took['promise']:+.2f} (0: as its clip in the mean)" if "promise" in took else ""
        say(f"{took['at_s']:6.2f} s  {took['clip']}{promise}")
    say(f"told nothing it stood for {found.stood_s:.1f} of {SECONDS:g} s")
