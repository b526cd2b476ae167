"""Balls that hit robots: momentum is kept, what they hit and how often, and that nothing else changes; native and MJX."""

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tiny import tiny_motion, tiny_robot

from mimic.config import Config, NoiseConfig, ObservationConfig, PushConfig, RandomizeConfig, ThrowConfig
from mimic.deploy.simulation import read_state
from mimic.sim.mjx import MjxPhysics
from mimic.sim.native import NativePhysics
from mimic.sim.physics import Drive, Push
from mimic.sim.randomize import draw_chance, draw_episode, full_extent, throws
from mimic.sim.throws import NUMBERS, STEEP_RAD, Ball, ball_of, hulls_of, impact_of
from mimic.tasks.tracking import Chances, Tracking
from motions.kinematics import KinematicState, kinematic_state
from motions.library import pack

ROBOT, MOTION = tiny_robot(), tiny_motion()
IDS = ROBOT.body.body_ids(ROBOT.tracked_bodies)
HULLS = hulls_of(ROBOT.model, IDS, range(len(IDS)))
CONFIG = Config(robot="tiny", observation=ObservationConfig(actor=("joint_pos",), critic=("phase", "randomization")))
THROW = ThrowConfig(mass=(0.5, 2.0), speed=(2.0, 4.0), interval_s=0.1)
ELLIPSOID = """<mujoco><option gravity="0 0 0" timestep="1e-4" integrator="implicitfast"/><worldbody>
  <body name="stone"><freejoint/><geom type="ellipsoid" size=".1 .2 .3" mass="4" pos=".05 0 .1" euler="20 30 40"/></body>
</worldbody></mujoco>"""


def ball(seed: int, hulls=HULLS, mass: float = 1.5, speed: float = 5.0) -> Ball:
    u = np.random.default_rng(seed).uniform(-1, 1, NUMBERS)
    return ball_of(u, (mass, mass), (speed, speed), hulls)


def test_hulls_are_the_ellipsoids_of_the_bodies_inertias():
    model = mujoco.MjModel.from_xml_string(ELLIPSOID)
    hulls = hulls_of(model, np.array([1]), [0])
    np.testing.assert_allclose(np.sort(hulls.half[0]), [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose(hulls.centre[0], [0.05, 0.0, 0.1], atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_ball_and_body_keep_their_momentum_and_move_on_together(seed: int):
    """A body afloat that moves and turns, hit off its centre: linear and angular momentum it gains are those the ball loses, and
    after it the point that was hit is as fast along the ball's way as the ball."""
    model = mujoco.MjModel.from_xml_string(
        ELLIPSOID.replace(".1 .2 .3", ".2 .2 .2")
    )  # of one inertia, which MuJoCo's mean is then
    hulls, data = hulls_of(model, np.array([1]), [0]), mujoco.MjData(model)
    data.qvel[:] = np.random.default_rng(seed).normal(size=6, scale=0.3)
    mujoco.mj_forward(model, data)
    state = jax.tree.map(np.float64, read_state(model, data, np.array([1])))
    thrown, seconds = ball(seed, hulls), 0.002

    def momentum() -> np.ndarray:
        mujoco.mj_forward(model, data)
        mujoco.mj_subtreeVel(model, data)
        return np.concatenate([model.body_mass[1] * data.subtree_linvel[1], data.subtree_angmom[1]])

    impact = impact_of(thrown, state, hulls, seconds)
    force, centre, begun = np.asarray(impact.force), data.xipos[1].copy(), momentum()
    arm = np.cross(thrown.direction, impact.torque) / np.linalg.norm(force)  # of the force's line from the centre
    assert np.linalg.norm(arm) < 0.2
    np.testing.assert_allclose(np.cross(arm, force), impact.torque, atol=1e-9)
    data.xfrc_applied[1] = [*force, *impact.torque]
    mujoco.mj_step(model, data, round(seconds / model.opt.timestep))
    lost = seconds * force
    np.testing.assert_allclose(momentum() - begun, [*lost, *np.cross(arm, lost)], atol=2e-3)
    left = thrown.speed - np.linalg.norm(lost) / thrown.mass
    spin = Rotation.from_quat(data.qpos[3:7], scalar_first=True).apply(data.qvel[3:6])
    at_centre = data.qvel[:3] + np.cross(spin, data.xipos[1] - data.qpos[:3])
    assert (at_centre + np.cross(spin, arm)) @ thrown.direction == pytest.approx(left, abs=0.02)
    assert 0.0 < left < thrown.speed
    assert np.linalg.norm(data.xipos[1] - centre) < 0.01, "it has hardly moved meanwhile"


def test_what_flees_faster_than_the_ball_is_not_hit():
    state = jax.tree.map(lambda part: part[0].copy(), pack([MOTION], ROBOT.body, ROBOT.tracked_bodies, 0.02).frames)
    thrown = ball(0)
    state.xlinvel[:] = 6.0 * thrown.direction
    state.xangvel[:] = 0.0
    assert not np.asarray(impact_of(thrown, state, HULLS, 0.02).force).any()


def test_balls_come_from_all_around_and_hit_what_is_large_in_its_silhouette():
    u = np.random.default_rng(0).uniform(-1, 1, (20_000, NUMBERS))
    thrown = ball_of(u, (0.5, 2.0), (2.0, 4.0), HULLS)
    assert (thrown.mass.min(), thrown.mass.max()) == pytest.approx((0.5, 2.0), abs=0.01)
    assert (thrown.speed.min(), thrown.speed.max()) == pytest.approx((2.0, 4.0), abs=0.01)
    np.testing.assert_allclose(np.linalg.norm(thrown.direction, axis=1), 1.0)
    assert np.abs(thrown.direction.mean(axis=0)).max() < 0.02
    assert np.arcsin(np.abs(thrown.direction[:, 2]).max()) == pytest.approx(STEEP_RAD, abs=0.01)
    shares = np.bincount(thrown.hull, minlength=5) / len(u)
    np.testing.assert_allclose(shares, np.diff(HULLS.up_to, prepend=0.0), atol=0.01)
    assert shares[0] > 0.5, "the trunk"
    trunk = hulls_of(ROBOT.model, IDS, [0])
    level = thrown._replace(hull=np.zeros(len(u), int), direction=np.broadcast_to([0.0, 1.0, 0.0], (len(u), 3)))
    state = KinematicState(*(np.broadcast_to(part[0], (len(u), *part[0].shape)) for part in still()))
    impact = impact_of(level, state, trunk, 0.02)
    arm = np.cross([0.0, 1.0, 0.0], impact.torque) / np.linalg.norm(impact.force, axis=1, keepdims=True)
    seen = (arm / trunk.half[0])[:, [0, 2]] if trunk.turn[0, 0] > 0.99 else None
    assert seen is not None, "the trunk's axes are its own"
    radius_sq = (seen**2).sum(axis=1)
    assert radius_sq.max() < 1.0 + 1e-6
    np.testing.assert_allclose(np.quantile(radius_sq, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.02)  # uniform over the disc


def still() -> KinematicState:
    qpos = ROBOT.default_qpos.copy()
    qpos[2] += 1.0
    state = kinematic_state(ROBOT.body, qpos[None], np.zeros((1, 10)), IDS)
    return KinematicState(*(np.asarray(part) for part in state))


def hits(engine) -> list[np.ndarray]:
    """(qvel, total momentum [kg m/s]) of robots in the air that are hit, after a control step, and of one that is not."""
    start = jax.tree.map(lambda part: jnp.asarray(part[0], jnp.float32), still())
    impacts = [impact_of(ball(seed, mass=0.2), jax.tree.map(lambda part: part[0], still()), HULLS, 0.02) for seed in range(3)]
    nothing = (np.zeros(3), impacts[0].body, np.zeros(3))
    drives = [
        Drive(jnp.asarray(ROBOT.default_qpos[7:]), pushes=(Push(*impact), Push(*other)))
        for impact, other in ((impacts[0], nothing), (impacts[1], impacts[2]), (impacts[2], impacts[2]), (nothing, nothing))
    ]
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf, jnp.float32) for leaf in leaves]), *drives)
    states = jax.tree.map(lambda part: jnp.broadcast_to(part, (4, *part.shape)), start)
    after = jax.jit(jax.vmap(lambda state, drive: engine.step(engine.init(state), drive)))(states, stacked).kinematics
    return [np.asarray(after.qpos), np.asarray(after.qvel)]


def test_a_robot_in_the_air_gains_the_momentum_of_what_hits_it():
    """All of its bodies together, of two balls at once the sum."""
    impacts = [impact_of(ball(seed, mass=0.2), jax.tree.map(lambda part: part[0], still()), HULLS, 0.02) for seed in range(3)]
    qpos, qvel = hits(NativePhysics(ROBOT, 4))
    totals = []
    for i in range(4):
        data = mujoco.MjData(ROBOT.model)
        data.qpos[:], data.qvel[:] = qpos[i], qvel[i]
        mujoco.mj_forward(ROBOT.model, data)
        mujoco.mj_subtreeVel(ROBOT.model, data)
        totals.append(ROBOT.model.body_subtreemass[1] * data.subtree_linvel[1])
    expected = [impacts[0].force, impacts[1].force + impacts[2].force, 2 * impacts[2].force]
    np.testing.assert_allclose(np.array(totals[:3]) - totals[3], 0.02 * np.array(expected), atol=0.02)
    assert 0.02 * np.linalg.norm(expected[0]) > 0.7


@pytest.mark.slow
def test_mjx_agrees_with_native():
    for mjx, native in zip(hits(MjxPhysics(ROBOT, 4, "jax", 4)), hits(NativePhysics(ROBOT, 4)), strict=True):
        np.testing.assert_allclose(mjx, native, atol=5e-5)


def test_they_come_as_often_and_as_heavy_as_asked_and_only_where_they_are_there():
    """Of a hundred control steps a fifth; half as heavy at half the level; their draw is no other kind's."""
    config = dataclasses.replace(CONFIG, randomize=RandomizeConfig(nominal_share=0.0, start_level=1.0, throw=THROW))
    library = pack([MOTION], ROBOT.body, ROBOT.tracked_bodies, 0.02)
    task = Tracking(config, ROBOT, NativePhysics(ROBOT, 4), library)
    env = jax.jit(task.reset)(jax.random.key(0), task.init_curriculum())
    chances = jax.vmap(task.chance)(jax.random.split(jax.random.key(1), 4000)).hardware

    def forces(level: float) -> np.ndarray:
        levels = env.wire.episode.levels.at[-1].set(level)
        wire = env.wire._replace(episode=env.wire.episode._replace(levels=levels))
        drive = jax.jit(jax.vmap(lambda chance: task.hardware.act(wire, env.physics, jnp.zeros(4), chance)[2]))(chances)
        return np.linalg.norm(drive.pushes[0].force, axis=1)

    full, half = forces(1.0), forces(0.5)
    one = jax.tree.map(lambda part: part[int((full > 0).argmax())], chances)
    step = jax.jit(lambda chance: task.step(env, jnp.zeros(4), Chances(chance, None), task.init_curriculum()))
    (hit, result), (left, _) = step(one), step(one._replace(throw=jnp.ones_like(one.throw)))
    assert not result.invalid
    assert np.abs(hit.physics.kinematics.qvel - left.physics.kinematics.qvel).max() > 0.1, "a ball that comes changes the step"
    assert (full > 0).mean() == pytest.approx(0.02 / 0.1, abs=0.02)
    assert ((half > 0) == (full > 0)).all()
    assert (half[full > 0] < full[full > 0]).all()
    assert not forces(0.0).any()
    assert env.wire.episode.drawn[-3] == 1.0, "what is drawn shows the critic that balls come"
    small = dataclasses.replace(
        config, randomize=dataclasses.replace(config.randomize, throw=dataclasses.replace(THROW, bodies=("hind_left",)))
    )
    hulls = Tracking(small, ROBOT, NativePhysics(ROBOT, 4), library).hardware.hulls
    assert hulls is not None
    assert hulls.body.tolist() == [ROBOT.model.body("hind_left").id]


def test_nothing_else_changes_by_them_and_without_them_nothing_at_all():
    plain = RandomizeConfig(
        mass=(0.8, 1.2),
        encoder_bias=0.02,
        torque_noise=0.1,
        noise=NoiseConfig(joint_pos=0.1),
        push=PushConfig(linvel=(1.0, 0, 0)),
    )
    balls = dataclasses.replace(plain, throw=THROW)
    assert throws(balls)
    assert not throws(plain)
    for seed in range(5):
        one, other = (draw_episode(jax.random.key(seed), full_extent(c), c, ROBOT) for c in (plain, balls))
        np.testing.assert_array_equal(one.levels, other.levels[:-1])
        np.testing.assert_array_equal(one.variation.mass, other.variation.mass)
        np.testing.assert_array_equal(one.encoder_bias, other.encoder_bias)
        assert len(other.drawn) == len(one.drawn) + 1
        one, other = (draw_chance(jax.random.key(seed), c, 4, 9) for c in (plain, balls))
        for a, b in zip(one[:-1], other[:-1], strict=True):
            np.testing.assert_array_equal(a, b)
        assert one.throw.size == 0
    assert one.throw.size == 0
