"""The tracking task: follow a reference motion. One environment; `jax.vmap` makes the batch."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mimic.config import ActionConfig, Config, ObservationConfig
from mimic.mdp import sampling
from mimic.mdp.anchoring import anchored_targets
from mimic.mdp.observations import BodyLayout, Observed, observe
from mimic.mdp.resets import displace, kick
from mimic.mdp.rewards import (
    TERMS,
    action_acceleration,
    action_rate,
    joint_limit,
    soft_range,
    squared_errors,
    squared_widths,
    total_reward,
    touching,
    tracking_rewards,
)
from mimic.mdp.symmetry import Mirror
from mimic.mdp.terminations import fallen, lowest_of
from mimic.robots import Robot
from mimic.robots.contacts import sensed_bodies
from mimic.sim.physics import Physics, PhysicsState
from mimic.sim.randomize import Chance, Extent, full_extent, nominal_extent, without_delays
from mimic.tasks.aim import Aim
from mimic.tasks.curriculum import Curriculum, Notes, curriculum_log, init_curriculum, update_curriculum
from mimic.tasks.goals import Goals
from mimic.tasks.hardware import Hardware, Wire
from mimic.tasks.style import StyleView
from mimic.tasks.symmetry import find_mirror
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.library import MotionLibrary
from motions.rotations import Array

MAX_QVEL = 1e3  # [m/s, rad/s] a state this fast has exploded


class EnvState(NamedTuple):
    """One environment between control steps. The cursor (clip, frame) points at the reference the body should be on; `start` is
    the packed frame the episode began on. history (H, P): `history_terms` of the last H control steps, the most recent first;
    None without. action_before (J,): the action before the last; None where no reward asks for it. window (n, P): features of the
    last control steps, the newest first, where a discriminator judges them. goal: what the robot is told, where it is."""

    physics: PhysicsState
    clip: Array
    frame: Array
    start: Array
    last_action: Array
    step_count: Array
    wire: Wire
    history: Array | None
    action_before: Array | None
    window: Array | None
    goal: Array | None


class Chances(NamedTuple):
    """What chance does in one control step: to the hardware, and of what the robot is told."""

    hardware: Chance
    goal: Array | None


class StepResult(NamedTuple):
    """What one control step gave, before any reset. `invalid`: the physics broke; `log`: named scalars."""

    reward: Array
    terminated: Array
    truncated: Array
    invalid: Array
    notes: Notes
    log: dict[str, Array]


class Tracking:
    """Tracking of the clips of `library` by `robot`. targets: as `StyleView` takes them.

    At control step t the cursor is at frame f: the action is applied, physics advances, the cursor becomes f + 1
    and the new state is compared with frame f + 1.
    """

    def __init__(
        self, config: Config, robot: Robot, physics: Physics, library: MotionLibrary, targets: np.ndarray | None = None
    ) -> None:
        self.config = config
        self.robot = robot
        self.physics = physics
        self.library = library.moved(jnp.asarray)
        self.anchor = robot.tracked_bodies.index(robot.anchor_body)
        self.end_effectors = [robot.tracked_bodies.index(name) for name in robot.end_effectors]
        self.goals = Goals(config, robot, self.library) if config.goal.kind else None
        effector = None if self.goals is None else self.goals.terms.effector
        self.layout = BodyLayout(self.anchor, robot.default_qpos[7:].astype(np.float32), effector)
        self.aim = Aim(config, robot, self.library)
        self.action_scale = self.aim.scale
        self.action_size = len(robot.joint_names)
        self.max_steps = round(config.sampling.episode_s / config.sim.ctrl_dt)
        self.hardware = Hardware(config, robot)
        self.width_sq = squared_widths(config.reward)
        self.joint_range = robot.body.joint_range.astype(np.float32)
        self.soft_range = soft_range(self.joint_range, config.reward.soft_limit)
        sensed = sensed_bodies(robot.model)
        self.undesired = [i for i, name in enumerate(sensed) if name not in robot.end_effectors]
        if config.reward.undesired_contacts and not sensed:
            raise InputError(
                f"reward.undesired_contacts is {config.reward.undesired_contacts:g}, but the model of {robot.name!r} measures no "
                f"contact forces: load it with sim.contact_forces"
            )
        self.lowest = None
        if config.termination.below_clips is not None:
            lowest = lowest_of(library.moved(np.asarray), robot.tracked_bodies, config.termination)
            self.lowest = jnp.asarray(lowest if config.follow else np.broadcast_to(lowest.min(axis=0), lowest.shape))
        self.style = StyleView(config, robot, self.library, self.aim, targets) if config.reward.style else None
        self.bins = sampling.make_bins(library, round(config.sampling.bin_s / config.sim.ctrl_dt))

    def init_curriculum(self) -> Curriculum:
        return init_curriculum(self.config, self.bins)

    def full_curriculum(self) -> Curriculum:
        """What a training ends in: all of the randomization, bounds as configured. For learners that update no curriculum."""
        return self.init_curriculum()._replace(extent=full_extent(self.config.randomize), looseness=None)

    def update_curriculum(self, curriculum: Curriculum, notes: Notes, failed: Array) -> Curriculum:
        return update_curriculum(curriculum, notes, failed, self.config, self.bins)

    def curriculum_log(self, curriculum: Curriculum) -> dict[str, Array]:
        return curriculum_log(curriculum, self.config)

    def chance(self, key: Array) -> Chances:
        """What chance does in one control step."""
        return Chances(self.hardware.chance(key), None if self.goals is None else self.goals.chance(key))

    def reset(self, key: Array, curriculum: Curriculum) -> EnvState:
        """Start on a frame drawn by the sampler, disturbed, with a robot of its own."""
        key_start, key_kick, key_pose, key_wire = jax.random.split(key, 4)
        probabilities = sampling.bin_probabilities(curriculum.sampler, self.bins, self.config.sampling)
        clip, frame = sampling.sample_start(key_start, probabilities, self.bins, self.config.sampling.from_start)
        goal = None if self.goals is None else self.goals.first(key_wire, clip, frame)
        state, config = self._reference(clip, frame, goal), self.config.reset
        if any(config.pos) or any(config.tilt) or config.joints:
            state = self.physics.place(displace(key_pose, state.qpos, config, self.joint_range), state.qvel).kinematics
        return self._start(clip, frame, kick(key_kick, state, config), key_wire, curriculum.extent)

    def reset_to(self, clip: Array, frame: Array) -> EnvState:
        """The nominal body exactly on a reference frame, at its velocity."""
        return self._start(
            clip, frame, self.library.lookup(clip, frame), jax.random.key(0), nominal_extent(self.config.randomize)
        )

    def _start(self, clip: Array, frame: Array, state: KinematicState, key: Array, extent: Extent) -> EnvState:
        zero, still = jnp.zeros((), jnp.int32), jnp.zeros(self.action_size, jnp.float32)
        wire = self.hardware.connect(key, extent, state, self.target(clip, frame, still))
        env_state = EnvState(
            self.physics.init(state), clip, frame, self.library.packed(clip, frame), still, zero, wire, None, None, None, None
        )
        if self.goals is not None:
            env_state = env_state._replace(goal=self.goals.begun(key, clip, frame, state))
        if self.style is not None:
            env_state = env_state._replace(window=self.style.begun(clip, frame, state))
        if self.config.reward.action_acceleration:
            env_state = env_state._replace(action_before=still)
        if self.config.observation.history:
            env_state = env_state._replace(history=jnp.stack([self._remembered(env_state)] * self.config.observation.history))
        return env_state

    def step(self, env_state: EnvState, action: Array, chance: Chances, curriculum: Curriculum) -> tuple[EnvState, StepResult]:
        """Apply `action` (J,) for one control step."""
        clip, frame = env_state.clip, env_state.frame + 1
        reference = self._reference(clip, frame, env_state.goal)
        target = self.target(clip, frame, action)
        wire, physics, drive = self.hardware.act(env_state.wire, env_state.physics, target, chance.hardware)
        physics = self.physics.step(physics, drive)
        invalid, demand = ~_finite(physics), physics.demand
        # a broken state is replaced by the reference, so that nothing downstream sees a NaN; it counts as terminated
        physics = jax.tree.map(lambda bad, good: jnp.where(invalid, good, bad), physics, self.physics.init(reference))
        state = physics.kinematics
        wire = self.hardware.sense(wire, env_state.physics.kinematics, state, chance.hardware)
        history = env_state.history
        if history is not None:
            history = jnp.concatenate([self._remembered(env_state)[None], history[:-1]])
        before = None if env_state.action_before is None else env_state.last_action
        window = None if self.style is None else self.style.moved(env_state.window, state, invalid)
        next_state = EnvState(
            physics, clip, frame, env_state.start, action, env_state.step_count + 1, wire, history, before, window,
            None if self.goals is None else self.goals.next(env_state.goal, chance.goal, clip, frame, state),
        )  # fmt: skip

        errors = squared_errors(state, reference, anchor=self.anchor)
        width_sq = self.width_sq if curriculum.tolerance is None else curriculum.tolerance.width_sq
        terms = (tracking_rewards(errors, width_sq) if self.config.follow else {}) | self._costs(physics, action, env_state)
        earned = None if self.goals is None else self.goals.reward(env_state.goal, state)
        if earned is not None:
            terms["goal"] = earned
        reward = jnp.where(invalid, 0.0, total_reward(terms, self.config.reward))
        looseness = 1.0 if curriculum.looseness is None else curriculum.looseness
        rules, lowest = self.config.termination, None if self.lowest is None else self.lowest[clip]
        terminated = invalid | fallen(state, reference, self.anchor, self.end_effectors, rules, looseness, lowest)
        over = next_state.step_count >= self.max_steps
        if self.config.follow:
            over = over | (frame >= self.library.clip_length[clip] - 1)
        truncated = ~terminated & over
        # where nothing is followed the cursor says nothing of where the body is: only the start may be to blame
        reached = self.library.packed(clip, frame) if self.config.follow else env_state.start
        place = jnp.stack([reached, env_state.start])
        log = {f"reward/{name}": value for name, value in terms.items()}
        if self.config.follow:
            log |= self._errors(state, reference)
        if demand is not None:
            log |= {f"max/{name}": value for name, value in demand._asdict().items()}
        notes = Notes(place, jnp.stack([errors[name] for name in TERMS]), env_state.wire.episode.levels > 0)
        if self.style is not None:
            settled = next_state.step_count >= self.style.settling
            shown = self.style.shown(window, state, reference, action, env_state.goal)
            notes = notes._replace(shown=shown, settled=settled, valid=~invalid)
        return next_state, StepResult(reward, terminated, truncated, invalid, notes, log)

    def _reference(self, clip: Array, frame: Array, goal: Array | None) -> KinematicState:
        """The clip's frame, aimed at the target where there is one."""
        found = self.library.lookup(clip, frame)
        return found if self.goals is None else self.goals.aimed(found, clip, frame, goal)

    def _costs(self, physics: PhysicsState, action: Array, before: EnvState) -> dict[str, Array]:
        """What has a price, by name, of the step from `before` to `physics`."""
        config, costs = self.config.reward, {"action_rate": action_rate(action, before.last_action)}
        if before.action_before is not None:
            costs["action_acceleration"] = action_acceleration(action, before.last_action, before.action_before)
        if config.joint_limit:
            costs["joint_limit"] = joint_limit(physics.kinematics.qpos[7:], self.soft_range)
        if config.undesired_contacts and physics.contact_forces is not None:
            costs["undesired_contacts"] = touching(physics.contact_forces[np.array(self.undesired, int)], config.contact_force)
        return costs

    def target(self, clip: Array, frame: Array, action: Array) -> Array:
        """Joint position targets (J,) [rad] of an action that leads to `frame`."""
        return self.aim.target(clip, frame, action)

    def aim_of(self, action: ActionConfig) -> Aim:
        """What actions of another kind ask for, such as a teacher's."""
        same = action == self.config.action
        return self.aim if same else Aim(replace(self.config, action=action), self.robot, self.library)

    def intended(self, env_state: EnvState, action: Array, ahead: Array | float = 0.0, aim: Aim | None = None) -> Array:
        """Joint targets (J,) [rad] of `action`, one of this task or of `aim`, were it sent `ahead` control steps from now;
        between whole ones by time."""
        steps, aim = jnp.floor(ahead).astype(jnp.int32), aim or self.aim
        now, then = (aim.target(env_state.clip, env_state.frame + 1 + steps + more, action) for more in (0, 1))
        return now + (ahead - steps) * (then - now)

    def lag(self, env_state: EnvState) -> Array:
        """Control steps until an action acts."""
        return env_state.wire.episode.action_delay / self.config.sim.n_substeps

    def observe(self, env_state: EnvState) -> tuple[Array, Array]:
        """(what the actor sees, what the critic sees beyond it)."""
        observation = self.config.observation
        actor = observe(observation.actor, self._observed(env_state, self._seen(env_state)), self.layout)
        if env_state.history is not None:
            actor = jnp.concatenate([actor, env_state.history.reshape(-1)])
        return actor, observe(observation.critic, self._observed(env_state, env_state.physics.kinematics), self.layout)

    def mirror(self) -> Mirror:
        """The left-right mirror images of what the actor sees and does. Raises `InputError` where there are none."""
        return find_mirror(self.robot, self.config.observation)

    def observe_true(self, env_state: EnvState, observation: ObservationConfig, aim: Aim) -> Array:
        """What an actor of `observation`, one without history, sees of the true state: nothing late, nothing noisy; (N,).

        Its last action is the one, of its `aim`, that would have acted as the last that acted, and among what was drawn there
        is no delay.
        """
        observed = self._observed(env_state, env_state.physics.kinematics, observation.future_frames)
        acted, (clip, frame) = env_state.wire.acted, (env_state.clip, env_state.frame)
        if acted is None and aim is not self.aim:
            acted = self.target(clip, frame, env_state.last_action)
        if acted is not None:
            last = aim.action_of(clip, frame, acted)
            if aim is not self.aim:  # where nothing has acted yet, it is none of either's
                last = jnp.where(env_state.step_count > 0, last, 0.0)
            observed = observed._replace(last_action=last)
        return observe(observation.actor, observed._replace(drawn=without_delays(observed.drawn)), self.layout)

    def _remembered(self, env_state: EnvState) -> Array:
        return observe(self.config.observation.history_terms, self._observed(env_state, self._seen(env_state)), self.layout)

    def _seen(self, env_state: EnvState) -> KinematicState:
        return env_state.physics.kinematics if self.config.observation.true_state else env_state.wire.sensed

    def _observed(self, env_state: EnvState, state: KinematicState, future_frames: tuple[int, ...] | None = None) -> Observed:
        clip, frame = env_state.clip, env_state.frame
        offsets = jnp.asarray(self.config.observation.future_frames if future_frames is None else future_frames, jnp.int32)
        return Observed(
            state=state,
            reference=self._reference(clip, frame, env_state.goal),
            future=jax.vmap(lambda offset: self._reference(clip, frame + offset, env_state.goal))(offsets),
            last_action=env_state.last_action,
            phase=frame / jnp.maximum(self.library.clip_length[clip] - 1, 1),
            time=frame * self.config.sim.ctrl_dt,
            drawn=env_state.wire.episode.drawn,
            goal=env_state.goal,
        )

    def _errors(self, state: KinematicState, reference: KinematicState) -> dict[str, Array]:
        target_xpos, _ = anchored_targets(state, reference, self.anchor)
        return {
            "error/e_mpbpe_mm": 1e3 * jnp.mean(jnp.linalg.norm(state.xpos - target_xpos, axis=-1)),
            "error/e_g_mpbpe_mm": 1e3 * jnp.mean(jnp.linalg.norm(state.xpos - reference.xpos, axis=-1)),
            "error/e_mpjpe_rad": jnp.mean(jnp.abs(state.qpos[7:] - reference.qpos[7:])),
        }


def _finite(physics: PhysicsState) -> Array:
    state = physics.kinematics
    return jnp.isfinite(state.qpos).all() & (jnp.abs(state.qvel) < MAX_QVEL).all()
