"""What lies between a policy and its robot: wires that delay, encoders that are off, motors that jitter, hands that shove."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mimic.config import Config
from mimic.mdp.sensors import delayed, measured, noise_size
from mimic.robots import Robot
from mimic.sim.physics import Drive, PhysicsState, Push
from mimic.sim.randomize import Chance, Episode, Extent, Shoved, draw_chance, draw_episode, throws
from mimic.sim.throws import Hulls, ball_of, hulls_of, impact_of
from motions.kinematics import KinematicState, turned
from motions.rotations import Array, quat_exp


class Wire(NamedTuple):
    """The state of one environment's hardware.

    sensed: the robot's state as the policy sees it. past: true states of the last control steps, and targets (A, J): the last
    joint targets [rad]; both the most recent first and as many as the longest delay reaches back. acted (J,): the mean target
    that reached the motors in the last control step. shoved: a force under way.
    None where the config asks for no such thing.
    """

    episode: Episode
    sensed: KinematicState
    past: KinematicState | None
    targets: Array | None
    acted: Array | None
    shoved: Shoved | None


class Hardware:
    """One robot's hardware as `config.randomize` makes it: pure functions of one environment."""

    def __init__(self, config: Config, robot: Robot) -> None:
        self.config, self.robot = config.randomize, robot
        self.n_substeps, self.ctrl_dt = config.sim.n_substeps, config.sim.ctrl_dt
        self.joints = len(robot.joint_names)
        self.targets_kept, self.states_kept = (
            -(-bounds[1] // self.n_substeps) for bounds in (self.config.action_delay, self.config.observation_delay)
        )
        self.bent = any((self.config.encoder_bias, self.config.target_offset))
        names = self.config.push.bodies or (robot.anchor_body,)
        self.push_ids = jnp.asarray(robot.body.body_ids(names))
        self.hulls = None
        if throws(self.config):
            tracked = robot.tracked_bodies
            aims = [tracked.index(name) for name in self.config.throw.bodies or tracked]
            self.hulls = hulls_of(robot.model, robot.body.body_ids(tracked), aims)
        self.push_steps = max(1, round(self.config.push.force_s / self.ctrl_dt))

    def chance(self, key: Array) -> Chance:
        """What chance does in one control step."""
        return draw_chance(key, self.config, self.joints, noise_size(self.joints))

    def connect(self, key: Array, extent: Extent, state: KinematicState, target: Array) -> Wire:
        """A new episode's hardware, as if the robot had been in `state` with `target` (J,) [rad] for a while."""
        key_episode, key_chance = jax.random.split(key)
        episode = draw_episode(key_episode, extent, self.config, self.robot)
        past = targets = acted = shoved = None
        if self.states_kept:
            past = jax.tree.map(lambda part: jnp.stack([part] * self.states_kept), state)
        if self.targets_kept:
            targets, acted = jnp.stack([target] * self.targets_kept), target
        if self.config.push.force:
            shoved = Shoved(Push(jnp.zeros(3), self.push_ids[0]), jnp.zeros((), jnp.int32))
        wire = Wire(episode, state, past, targets, acted, shoved)
        return wire._replace(sensed=self._sensed(wire, state, self.chance(key_chance)))

    def act(self, wire: Wire, physics: PhysicsState, target: Array, chance: Chance) -> tuple[Wire, PhysicsState, Drive]:
        """The wire with `target` (J,) [rad] sent down it, the state a shove makes of `physics`, and what reaches the motors."""
        episode, config = wire.episode, self.config
        ctrl, targets, acted = target, wire.targets, None
        if targets is not None:
            sent = jnp.concatenate([target[None], targets])
            ctrl, targets = _late(sent, episode.action_delay, self.n_substeps), sent[:-1]
            acted = ctrl.mean(axis=0)
        if self.bent:  # the motors' own loops close on the biased encoders
            ctrl = ctrl + episode.target_offset - episode.encoder_bias
        torque = None
        if chance.torque.size:
            torque = episode.level_of("torque_noise") * config.torque_noise * self.robot.effort.astype(np.float32) * chance.torque
        shoved, pushes = wire.shoved, []
        if chance.shove.size:
            physics = self._kicked(physics, episode.level_of("push"), chance.shove)
        if shoved is not None:
            shoved = self._pushed(shoved, episode.level_of("push"), chance.shove)
            pushes.append(Push(jnp.where(shoved.steps_left > 0, 1.0, 0.0) * shoved.push.force, shoved.push.body))
        if self.hulls is not None:
            pushes.append(self._hit(self.hulls, physics.kinematics, episode.level_of("throw"), chance.throw))
        drive = Drive(ctrl, torque, tuple(pushes), episode.variation)
        return wire._replace(targets=targets, acted=acted, shoved=shoved), physics, drive

    def sense(self, wire: Wire, before: KinematicState, state: KinematicState, chance: Chance) -> Wire:
        """The wire after a control step that led from `before` to `state`."""
        if wire.past is not None:
            wire = wire._replace(past=jax.tree.map(lambda new, old: jnp.concatenate([new[None], old[:-1]]), before, wire.past))
        return wire._replace(sensed=self._sensed(wire, state, chance))

    def _sensed(self, wire: Wire, state: KinematicState, chance: Chance) -> KinematicState:
        if wire.past is not None:
            states = jax.tree.map(lambda new, old: jnp.concatenate([new[None], old]), state, wire.past)
            state = delayed(states, wire.episode.observation_delay / self.n_substeps)
        noise = wire.episode.level_of("noise") * chance.noise if chance.noise.size else jnp.zeros(noise_size(self.joints))
        if self.config.gravity_tilt and wire.episode.variation is not None:
            state = turned(state, _upright(wire.episode.variation.gravity))  # an IMU knows where down is, not where the floor is
        if chance.noise.size or self.config.encoder_bias:
            state = measured(state, wire.episode.encoder_bias, noise, self.config.noise)
        return state

    def _hit(self, hulls: Hulls, state: KinematicState, level: Array, throw: Array) -> Push:
        """What a ball does to the robot in this control step, where chance has one hit it: its mass grows with the level."""
        config = self.config.throw
        there = level * self._comes(throw[0], config.interval_s)
        ball = ball_of(throw[1:], (there * config.mass[0], there * config.mass[1]), config.speed, hulls)
        return Push(*impact_of(ball, state, hulls, self.ctrl_dt))

    def _comes(self, chance: Array, interval_s: float) -> Array:
        """Whether what comes every `interval_s` in the mean does in this control step, by a number of [-1, 1]."""
        return 0.5 * (chance + 1.0) < self.ctrl_dt / interval_s

    def _shoves(self, shove: Array) -> Array:
        return self._comes(shove[0], self.config.push.interval_s)

    def _kicked(self, physics: PhysicsState, level: Array, shove: Array) -> PhysicsState:
        push = self.config.push
        kick = jnp.where(self._shoves(shove), level * shove[1:7] * jnp.asarray(push.linvel + push.angvel), 0.0)
        kinematics = physics.kinematics
        return physics._replace(kinematics=kinematics._replace(qvel=kinematics.qvel.at[:6].add(kick)))

    def _pushed(self, shoved: Shoved, level: Array, shove: Array) -> Shoved:
        """A new force where chance says so, else what is left of the old one. Uniform in direction and strength."""
        angle, strength = jnp.pi * shove[7], level * 0.5 * (shove[6] + 1.0) * self.config.push.force
        force = strength * jnp.stack([jnp.cos(angle), jnp.sin(angle), 0.0])
        body = self.push_ids[
            jnp.clip(jnp.floor(0.5 * (shove[5] + 1.0) * len(self.push_ids)).astype(int), 0, len(self.push_ids) - 1)
        ]
        fresh = Shoved(Push(force, body), jnp.asarray(self.push_steps, jnp.int32))
        left = Shoved(shoved.push, jnp.maximum(shoved.steps_left - 1, 0))
        return jax.tree.map(lambda new, old: jnp.where(self._shoves(shove), new, old), fresh, left)


def _upright(gravity: Array) -> Array:
    """The smallest rotation (4,) that turns the direction of `gravity` (3,) to straight down."""
    down = gravity / jnp.linalg.norm(gravity)
    axis = jnp.stack([-down[1], down[0], jnp.zeros(())])  # down x (0, 0, -1), as long as the sine of the angle
    sine_sq = jnp.maximum(jnp.sum(jnp.square(axis)), 1e-12)
    return quat_exp(axis * jnp.arcsin(jnp.sqrt(sine_sq)) / jnp.sqrt(sine_sq))


def _late(targets: Array, delay: Array, n_substeps: int) -> Array:
    """Targets (1 + A, J), the newest first, as they arrive `delay` physics steps late: one row per substep, (n_substeps, J)."""
    behind = jnp.maximum(delay - jnp.arange(n_substeps), 0)
    return targets[-(-behind // n_substeps)]
