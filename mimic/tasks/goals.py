"""What a task tells the robot to do, and when something else: for free robots at random, for followers what the clip does."""

import jax
import jax.numpy as jnp
import numpy as np

from mimic.config import Config, GoalConfig
from mimic.mdp.goals import KINDS, Terms, find_terms, shown_speeds, told_by_clip
from mimic.mdp.limbs import limb_of
from mimic.mdp.striking import Strike, strike_of, turned_to
from mimic.mdp.styles import require_all_shown, style_of
from mimic.robots import Robot
from motions.kinematics import KinematicState
from motions.library import MotionLibrary
from motions.rotations import Array

OF_GOALS = 1 << 21  # what the goals' keys are folded with: none that `split` gives for anything else
BEYOND = (0.7, 1.3)  # of the slowest and the fastest that the clips show: a little beyond, a style carries


def _doubt(goal: GoalConfig, shown: MotionLibrary, robot: Robot, terms: Terms, ctrl_dt: float) -> str:
    """What is to be said of speeds that the clips do not show, or of points that no limb gets to; empty if nothing."""
    if goal.kind == "heading" and goal.speed is not None:
        (low, high), (slowest, fastest) = goal.speed, shown_speeds(shown, ctrl_dt)
        if low < BEYOND[0] * slowest or high > BEYOND[1] * fastest:
            return (
                f"goal.speed is {low:g} .. {high:g} m/s, the clips go from {slowest:.2f} to {fastest:.2f}: beyond there is no "
                f"style to learn. Give clips that go so fast, or a range within"
            )
    if goal.kind == "reach" and goal.reach is not None:
        assert terms.effector is not None
        last, (low, high) = robot.tracked_bodies[terms.effector.body], goal.reach
        nearest, furthest = limb_of(robot.body, robot.default_qpos, last, robot.end_effectors).span
        if low < nearest or high > furthest:
            return (
                f"goal.reach is {low:g} .. {high:g} m from the shoulder, {last} gets from {nearest:.2f} to {furthest:.2f} m "
                f"away: it will not come to what is beyond. Give a range within"
            )
    return ""


class Goals:
    """Goals of one kind as `config.goal` says: pure functions of one environment. doubt: what is to be said of them, empty if
    nothing."""

    def __init__(self, config: Config, robot: Robot, library: MotionLibrary) -> None:
        assert config.goal.kind is not None
        self.kind, self.follow, self.library = KINDS[config.goal.kind], config.follow, library.moved(jnp.asarray)
        self.ctrl_dt, self.interval_s = config.sim.ctrl_dt, config.goal.interval_s
        shown = library.moved(np.asarray)
        self.terms = find_terms(
            config.goal, shown, robot.body, robot.default_qpos, robot.tracked_bodies, robot.end_effectors, self.ctrl_dt
        )
        self.doubt = _doubt(config.goal, shown, robot, self.terms, self.ctrl_dt)
        if self.terms.styles:
            require_all_shown(config.goal.styles, library.names)
            self.shown_styles = jnp.eye(self.terms.styles)[style_of(config.goal.styles, library.names)]
        effector, clips = self.terms.effector, zip(shown.clip_start, shown.clip_length, strict=True)
        if self.kind.once and effector is not None:
            found = [strike_of(shown.at(slice(first, first + n)), effector.body) for first, n in clips]
            self.strikes = Strike(*(jnp.asarray(np.stack(parts)) for parts in zip(*found, strict=True)))

    def chance(self, key: Array) -> Array:
        """Whether it is told something else, and what; (5,) in [-1, 1]."""
        return jax.random.uniform(jax.random.fold_in(key, OF_GOALS), (5,), minval=-1.0)

    def begun(self, key: Array, clip: Array, frame: Array, state: KinematicState) -> Array:
        """What it is told first."""
        if self.kind.once:
            return self._once(key, clip, frame)
        if self.follow or self.terms.styles:  # a style first as the robot already moves
            return self._of_clip(clip, frame, state)
        return self.kind.draw(self.chance(key)[1:], state, self.terms)

    def first(self, key: Array, clip: Array, frame: Array) -> Array | None:
        """What `begun` will tell it, where that does not depend on its state; else None."""
        return self._once(key, clip, frame) if self.kind.once else None

    def next(self, goal: Array, chance: Array, clip: Array, frame: Array, state: KinematicState) -> Array:
        """What it is told after a control step that led to `frame` and `state`."""
        if self.kind.once:
            return self.kind.met(goal, state, self.terms)
        if self.follow:
            return self._of_clip(clip, frame, state)
        new = 0.5 * (chance[0] + 1.0) < self.ctrl_dt / self.interval_s
        return jnp.where(new, self.kind.draw(chance[1:], state, self.terms), goal)

    def reward(self, goal: Array, state: KinematicState) -> Array | None:
        """What it earns at `state`, told `goal`; None: something else pays for that."""
        return None if self.kind.done is None else self.kind.reward(goal, state, self.terms)

    def aimed(self, frame: KinematicState, clip: Array, number: Array, goal: Array | None) -> KinematicState:
        """A clip's frame as it is followed: on the way to the target, where there is one."""
        if not self.kind.once or goal is None:
            return frame
        number = jnp.minimum(number, self.library.clip_length[clip] - 1)
        return turned_to(frame, number, Strike(*(part[clip] for part in self.strikes)), goal[:2], self.ctrl_dt)

    def _once(self, key: Array, clip: Array, frame: Array) -> Array:
        """A target about where the clip strikes; whoever begins later has struck it."""
        moment = self.strikes.moment[clip]
        goal = self.kind.draw(self.chance(key)[1:], self.library.lookup(clip, moment), self.terms)
        return goal.at[-1].set(jnp.where(frame > moment, 1.0, goal[-1]))

    def _of_clip(self, clip: Array, frame: Array, state: KinematicState) -> Array:
        if self.terms.styles:
            return self.shown_styles[clip]

        def at(frame: Array) -> KinematicState:
            return self.library.lookup(clip, frame)

        return told_by_clip(self.kind, at, frame, self.library.clip_length[clip] - 1, self.ctrl_dt, state, self.terms)
