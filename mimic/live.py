"""A policy at work, one control step at a time, while somebody pushes it, tells it what to do, or gives it another body.

Plain C MuJoCo, no drawing, no clock, no JAX: who calls `advance` decides how fast time goes.
"""

from collections.abc import Callable, Iterator
from queue import SimpleQueue

import numpy as np

from mimic.deploy.sim2sim import ControlStep, Once, Policy, frame_of, track
from mimic.mdp.goals import KINDS
from mimic.mdp.terminations import fallen
from mimic.metrics import body_error
from mimic.perturb import Perturbation, perturbed_link
from motions.edit import reset_origin
from motions.edit.travel import heading, turn_level
from motions.kinematics import KinematicState

ENDLESS = 1 << 40  # control steps of a policy that follows no clip
DOWN_S = 1.0  # how long one that has fallen is shown lying


class Session:
    """One robot of `policy`. It begins anew at the end of its clip, and a second after a fall.

    frame: of the clip. state: (1, ...) as it is now. error_mm: mean distance of the bodies from the clip's re-anchored, None of
    a policy that follows none. falls: how often it fell. goal (G,): what it is told, None where it cannot be told anything.
    `push` and `tell` may be called by other threads than that of `advance`: they take effect at its next call.
    """

    def __init__(self, policy: Policy, setting: Perturbation | None = None) -> None:
        self.policy = policy
        self.clip = policy.reference(policy.motion if policy.spec.follow else reset_origin(policy.motion))
        self.setting = setting or Perturbation(start_rad=0.0)
        self.falls = 0
        self.goal: np.ndarray | None = None
        if policy.spec.goal is not None:
            self.kind = KINDS[policy.spec.goal.kind]
            self.goal = self._first_goal()
        self._asked: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.begin()

    @property
    def told_once(self) -> bool:
        """Whether what it is told is a target along the clip."""
        return self.goal is not None and self.kind.once

    @property
    def struck(self) -> bool:
        """Whether it has hit that target."""
        return self.told_once and self.goal is not None and bool(self.goal[-1])

    def begin(self) -> None:
        """Put it at the beginning of its clip."""
        self.link = perturbed_link(self.policy, self.clip, self.setting, 1)
        self.frame, self._down = 0, 0
        self.error_mm: float | None = None
        self.state = self.link.simulation.state()
        if self.told_once and self.goal is not None:
            self.goal = np.array([*self.goal[:-1], 0.0], np.float32)
        steps = len(self.clip.qpos) - 1 if self.policy.spec.follow else ENDLESS
        tell = None if self.goal is None else self._tell
        self._steps: Iterator[ControlStep] = track(self.policy, self.clip, self.link, steps, tell)

    def vary(self, setting: Perturbation) -> None:
        """Give it another body, and begin anew."""
        self.setting = setting
        self.begin()

    def push(self, velocity: np.ndarray) -> None:
        """Change the root's horizontal velocity by (2,) [m/s] as it faces, x ahead."""
        self._asked.put(lambda: self._shove(velocity))

    def tell(self, goal: np.ndarray) -> None:
        """Tell it `goal` (G,)."""
        self._asked.put(lambda: setattr(self, "goal", np.array(goal, np.float32)))

    def take(self) -> None:
        """Do what was asked for."""
        while not self._asked.empty():
            self._asked.get()()

    def advance(self) -> None:
        """One control step."""
        self.take()
        step = next(self._steps, None)
        if step is None:
            self.begin()
            return
        self.state, self.frame = step.state, self.frame + 1
        spec, reference = self.policy.spec, self.reference
        if spec.follow:
            self.error_mm = float(body_error(self.state, reference, spec.anchor)[0])
        lowest = np.array(spec.lowest) if spec.lowest else None
        down = fallen(self.state, reference, spec.anchor, spec.end_effector_indices, spec.termination, lowest=lowest)
        if self._down or bool(np.asarray(down)[0]):
            self.falls += self._down == 0
            self._down += 1
            if self._down * spec.ctrl_dt >= DOWN_S:
                self.begin()

    @property
    def reference(self) -> KinematicState:
        """The clip's frame (1, ...) that goes with the state, on the way to the target where there is one."""
        frame = KinematicState(*(part[None] for part in frame_of(self.clip, self.frame)))
        return self.policy.aimed(frame, self.clip, np.asarray(self.frame), None if self.goal is None else self.goal[None])

    def _shove(self, velocity: np.ndarray) -> None:
        self.link.simulation.batch.qvel[0, :2] += turn_level(velocity, float(heading(self.state.qpos[0, 3:7])))

    def _tell(self, state: KinematicState) -> np.ndarray:
        goal = self.goal
        assert goal is not None
        if self.told_once:
            goal = self.goal = self.kind.met(goal[None], state, self.policy.goals)[0]
        return goal[None].astype(np.float32)

    def _first_goal(self) -> np.ndarray:
        """In the middle of what may be drawn: of targets, of places, or straight on at a middling speed."""
        if self.kind.once:
            return Once(self.policy, self.clip, np.zeros((1, 4), np.float32)).goal[0].copy()
        start = KinematicState(*(part[:1] for part in self.clip))
        middle = np.zeros((1, 4), np.float32)
        return np.array(self.kind.draw(middle, start, self.policy.goals)[0], np.float32)
