"""A policy at work, one control step at a time, while somebody pushes it, tells it what to do, or gives it another body.

Plain C MuJoCo, no drawing, no clock, no JAX: who calls `advance` decides how fast time goes.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue

import mujoco
import numpy as np

from mimic.deploy.sim2sim import ControlStep, Once, Policy, frame_of, shown_style, track
from mimic.evaluation.perturb import Perturbation, perturbed_link
from mimic.falls import rising
from mimic.live.hands import Hands, world_with_box
from mimic.mdp.goals import KINDS
from mimic.mdp.terminations import fallen
from mimic.metrics import body_errors
from mimic.switches import seam_of
from mimic.view.acting import Acting, acting
from mimic.view.take import Traces
from motions.edit import reset_origin, switch
from motions.edit.travel import heading, turn_level
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.motion import Motion, resample

ENDLESS = 1 << 40  # control steps of a policy that follows no clip
TRAIL_S = 6.0  # of which the curves tell
DOWN_S = 1.0  # how long one that has fallen is shown lying


class Session:
    """One robot of `policy`, and a box to be thrown. It begins anew at the end of its clip, and a second after a fall: or
    gets up then, where there are `ways` up, and stands. It goes over to another of `clips` when it is told to, which is the
    `chosen` one from then on.

    frame: of the clip. state: (1, ...) as it is now. errors (K,) [mm]: distances of the bodies from the clip's re-anchored, None
    of a policy that follows none. falls: how often it fell. goal (G,): what it is told, None where it cannot be told anything.
    hands: those of who looks on. traces: of the last `TRAIL_S`. Threads other than that of `advance` may call `push`, `tell`,
    `do` and `ask`: these take effect at its next call.
    """

    def __init__(
        self,
        policy: Policy,
        setting: Perturbation | None = None,
        ways: Sequence[Motion] = (),
        clips: Sequence[Motion] = (),
        chosen: Motion | None = None,
    ) -> None:
        self.policy, self.ways, self.clips, self.chosen = policy, ways, clips, chosen
        self._begin_with(chosen or (policy.motion if policy.spec.follow else reset_origin(policy.motion)))
        self.motion, self.clip = self._begins
        self.setting = setting or Perturbation(start_rad=0.0)
        self.world = world_with_box(policy.mjcf)
        self.falls = 0
        self._trail: deque[tuple[np.ndarray | None, ...]] = deque(maxlen=round(TRAIL_S / policy.spec.ctrl_dt))
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
    def to_go_m(self) -> float | None:
        """How far it is from where it is told to be [m]; None where it is told no place."""
        if self.goal is None or not self.kind.place:
            return None
        return float(np.linalg.norm(self.kind.away(self.goal[None], self.state, self.policy.goals)))

    @property
    def there(self) -> bool:
        """Whether it has hit its target, or is where it is to be."""
        if self.told_once and self.goal is not None:
            return bool(self.goal[-1])
        to_go, near = self.to_go_m, None if self.goal is None else self.kind.near_m
        return to_go is not None and near is not None and to_go < near

    def _begin_with(self, motion: Motion) -> None:
        """Let this be what it begins with."""
        self._begins = motion, self.policy.reference(motion)
        self._priors = self.policy.priors(self._begins[1])  # half a second's work, of a long clip

    def begin(self) -> None:
        """Put it at the beginning of its clip."""
        self.motion, self.clip = self._begins
        self.link = perturbed_link(self.policy, self.clip, self.setting, 1, world=self.world)
        self.hands = Hands(self.link.simulation)
        self._torques, self._data = self.link.simulation.batch.bind("actuator_force"), mujoco.MjData(self.hands.model)
        self.frame = 0
        self.state = self.link.simulation.state()
        if self.told_once and self.goal is not None:
            self.goal = np.array([*self.goal[:-1], 0.0], np.float32)
        self._remember(self.state.qpos[0, 7:])
        self._go(len(self.clip.qpos) - 1 if self.policy.spec.follow else ENDLESS, self._priors)

    def _go(self, steps: int, priors: np.ndarray | None = None) -> None:
        """Follow the clip from its first frame on, from where it is now; beyond its end the last frame."""
        tell = None if self.goal is None else self._tell
        self._steps: Iterator[ControlStep] = track(self.policy, self.clip, self.link, steps, tell, priors)
        self.frame, self._down, self._last = 0, 0, None

    def _goes_over(self, motion: Motion) -> None:
        """Go over to `motion` within two seconds, where both are most alike; begin with it from now on. Whoever has fallen, or is
        told to do what is too short for that, begins anew first."""
        self.chosen = resample(motion, 1.0 / self.policy.spec.ctrl_dt)
        self._begin_with(self.chosen)
        try:
            seam = seam_of(self.motion, self.chosen, self.frame * self.policy.spec.ctrl_dt, self.policy.body)
        except InputError:
            return
        if self._down or self._last is None:
            return
        self.motion = switch(self.motion, self.chosen, seam)
        self.clip = self.policy.reference(self.motion)
        steps = len(self.clip.qpos) - 1 - self.frame
        self._steps = track(self.policy, self.clip, self.link, steps, first=self.frame, after=self._last)

    def _gets_up(self) -> bool:
        """Show it the way up from where it lies, if there is one."""
        if not self.ways or not np.isfinite(self.state.qpos).all():
            return False
        try:
            way = rising(self.state.qpos[0].astype(float), self.ways, self.policy.body)
        except InputError:  # nothing comes near it
            return False
        self.clip = self.policy.reference(way)
        self._go(ENDLESS)
        return True

    def vary(self, setting: Perturbation) -> None:
        """Give it another body, and begin anew."""
        self.setting = setting
        self.begin()

    def ask(self, of_hands: Callable[[Hands], None]) -> None:
        """Let the hands do something."""
        self._asked.put(lambda: of_hands(self.hands))

    def push(self, velocity: np.ndarray) -> None:
        """Change the root's horizontal velocity by (2,) [m/s] as it faces, x ahead."""
        self._asked.put(lambda: self._shove(velocity))

    def tell(self, goal: np.ndarray) -> None:
        """Tell it `goal` (G,)."""
        self._asked.put(lambda: setattr(self, "goal", np.array(goal, np.float32)))

    def do(self, name: str) -> None:
        """Go over to the clip `name`, and begin with it from then on."""
        self._asked.put(lambda: self._goes_over(next(clip for clip in self.clips if clip.name == name)))

    def take(self) -> None:
        """Do what was asked for."""
        while not self._asked.empty():
            self._asked.get()()

    def advance(self) -> None:
        """One control step."""
        self.take()
        self.hands.act()
        step = next(self._steps, None)
        if step is None:
            self.begin()
            return
        self.state, self.frame, self._last = step.state, self.frame + 1, step
        spec, reference = self.policy.spec, self.reference
        self._remember(step.target[0])
        lowest = np.array(spec.lowest) if spec.lowest else None
        down = fallen(self.state, reference, spec.anchor, spec.end_effector_indices, spec.termination, lowest=lowest)
        if self._down or bool(np.asarray(down)[0]):
            self.falls += self._down == 0
            self._down += 1
            if self._down * spec.ctrl_dt >= DOWN_S and not self._gets_up():
                self.begin()

    def _remember(self, target: np.ndarray) -> None:
        """What its errors are now, and all that the curves tell of."""
        follow, reference = self.policy.spec.follow, self.reference
        self.errors = np.asarray(body_errors(self.state, reference, self.policy.spec.anchor))[0] if follow else None
        aim = reference.qpos[0, 7:] if follow else None
        self._trail.append((self.state.qpos[0, 7:], self.errors, target, aim, self._torques[0].copy()))

    @property
    def traces(self) -> Traces:
        """What has been since `TRAIL_S`, whether it began anew or not; times up to 0, which is now."""
        errors, targets, aims, torques = (
            None if column[0] is None else np.array(column) for column in list(zip(*self._trail, strict=True))[1:]
        )
        times = (np.arange(len(self._trail)) - len(self._trail) + 1) * self.policy.spec.ctrl_dt
        return Traces(times, np.array([moment[0] for moment in self._trail]), errors, targets, aims, torques)

    def acting(self) -> Acting:
        """The forces upon it and its balance as they are now."""
        batch = self.link.simulation.batch
        self._data.xfrc_applied[:] = self.hands.forces[0]
        return acting(self.hands.model, self._data, batch.qpos[0], (batch.qvel[0], batch.ctrl[0]))

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
        """In the middle of what may be drawn: of targets, of places, or straight on at a middling speed; its clip's style."""
        if self.policy.goals.styles:
            return shown_style(self.policy, self.policy.motion.name)
        if self.kind.once:
            return Once(self.policy, self.clip, np.zeros((1, 4), np.float32)).goal[0].copy()
        start = KinematicState(*(part[:1] for part in self.clip))
        middle = np.zeros((1, 4), np.float32)
        return np.array(self.kind.draw(middle, start, self.policy.goals)[0], np.float32)
