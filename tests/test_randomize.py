"""Draws of episodes, and the hardware between a policy and its robot, against loops in numpy."""

import dataclasses
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tiny import EFFORT, KD, tiny_motion, tiny_robot

from mimic.config import Config, ObservationConfig, PushConfig, RandomizeConfig, ResetConfig
from mimic.sim.native import NativePhysics
from mimic.sim.randomize import COMMON, KINDS, Extent, draw_episode, full_extent, varies_model
from mimic.tasks.curriculum import Notes
from mimic.tasks.tracking import Tracking
from motions.library import pack

ROBOT = tiny_robot()
WIDE = RandomizeConfig(
    nominal_share=0.25,
    start_level=1.0,
    friction=(0.5, 2.0),
    mass=(0.8, 1.2),
    inertia=(0.9, 1.1),
    com=(0.01, 0.02, 0.03),
    armature=(0.9, 1.2),
    kp=(0.7, 1.3),
    kd=(0.6, 1.1),
    effort=(0.8, 1.0),
    spread=0.1,
    joint_friction=0.02,
    joint_damping=0.3,
    gravity_tilt=0.05,
    encoder_bias=0.02,
    target_offset=0.03,
    action_delay=(1, 7),
    observation_delay=(0, 5),
)
CONFIG = Config(robot="tiny", observation=ObservationConfig(actor=("joint_pos", "actions"), critic=("phase", "randomization")))
LIBRARY = pack([tiny_motion()], ROBOT.body, ROBOT.tracked_bodies, 0.02)


def extent(level: float, config: RandomizeConfig) -> Extent:
    return full_extent(config)._replace(level=jnp.asarray(level))


def episodes(level: float, count: int = 2000, config: RandomizeConfig = WIDE):
    draw = jax.jit(jax.vmap(lambda key: draw_episode(key, extent(level, config), config, ROBOT)))
    return jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(0), count)))


@pytest.mark.parametrize("level", [1.0, 0.5])
def test_draws_fill_their_ranges_and_no_more(level: float):
    e = episodes(level)
    v, drawn = e.variation, e.levels[:, 0] > 0
    assert drawn.mean() == pytest.approx(0.75, abs=0.05)

    def spans(values: np.ndarray, low: float, high: float) -> None:
        """Uniform between the two: all inside, and within a tenth of both ends."""
        span = high - low
        assert values.min() >= low - 1e-6
        assert values.max() <= high + 1e-6
        assert values.min() < low + 0.1 * span
        assert values.max() > high - 0.1 * span

    spans(v.friction[drawn], 0.5**level, 2**level)
    for name, own in (("mass", v.mass), ("kp", v.kp), ("effort", v.effort)):
        low, high = (end**level for end in getattr(WIDE, name))
        spans(1.0 + e.drawn[drawn][:, COMMON.index(name)], low, high)
        assert own[drawn].min() >= low * (1 - 0.1 * level) - 1e-6
        assert own[drawn].max() <= high * (1 + 0.1 * level) + 1e-6
        assert np.ptp(own[drawn] / own[drawn][:, :1], axis=1).mean() > 0.02 * level  # each body or joint has its own
    for axis in range(3):
        spans(v.com[drawn][:, axis], -level * WIDE.com[axis], level * WIDE.com[axis])
    spans(v.joint_friction[drawn], 0.0, level * 0.02 * EFFORT)
    spans(v.joint_damping[drawn], 0.0, level * 0.3 * KD)
    spans(e.encoder_bias[drawn], -level * 0.02, level * 0.02)
    np.testing.assert_allclose(np.linalg.norm(v.gravity, axis=1), 9.81, rtol=1e-5)
    tilt = np.arcsin(v.gravity[drawn][:, :2] / 9.81)
    spans(tilt, -level * 0.05, level * 0.05)


def test_half_is_as_likely_as_twice_unless_factors_are_uniform():
    """Of a range from a half to twice: half of the factors below 1, or a third."""
    for distribution, below in (("log_uniform", 1 / 2), ("uniform", 1 / 3)):
        e = episodes(1.0, config=dataclasses.replace(WIDE, nominal_share=0.0, distribution=distribution))
        friction = e.variation.friction
        assert np.mean(friction < 1) == pytest.approx(below, abs=0.04)
        assert (friction.min(), friction.max()) == pytest.approx((0.5, 2.0), abs=0.02)


def test_nominal_episodes_are_nominal():
    e = episodes(1.0)
    plain = e.levels[:, 0] == 0
    assert plain.any()
    for name in ("friction", "mass", "inertia", "armature", "kp", "kd", "effort"):
        assert (getattr(e.variation, name)[plain] == 1.0).all()
    for values in (e.variation.com, e.variation.joint_friction, e.encoder_bias, e.target_offset, e.action_delay, e.drawn):
        assert not values[plain].any()


def test_of_each_kind_an_episode_has_it_or_not():
    """Independently, as often as asked; what is absent is nominal, what is there reaches as far as ever."""
    config = dataclasses.replace(WIDE, nominal_share=0.0, varied_share=0.3, push=PushConfig(linvel=(1.0, 1.0, 1.0)))
    draw = jax.jit(jax.vmap(lambda key: draw_episode(key, extent(0.8, config), config, ROBOT)))
    e = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(0), 4000)))
    v = e.variation
    kinds = [
        v.friction != 1, v.mass[:, 0] != 1, v.kp[:, 0] != 1, v.com[:, 0] != 0, v.gravity[:, 0] != 0,
        v.joint_friction[:, 0] > 0, v.joint_damping[:, 0] > 0, e.encoder_bias[:, 0] != 0, e.target_offset[:, 0] != 0,
        e.action_delay > 0, *(e.levels[:, KINDS.index(name)] > 0 for name in ("noise", "push", "torque_noise")),
    ]  # fmt: skip
    there = np.stack(kinds)
    np.testing.assert_allclose(there.mean(axis=1), 0.3, atol=0.03)
    together = np.corrcoef(there)
    assert np.abs(together - np.eye(len(there))).max() < 0.07
    assert (v.mass[there[1]] != 1).all()
    assert (v.mass[~there[1]] == 1).all()
    assert set(np.unique(e.levels)) == {0.0, np.float32(0.8)}
    assert v.friction.min() < 0.59 < 1.7 < v.friction.max()  # half and twice to the power .8: .57 and 1.74


def test_delays_are_whole_steps_up_to_the_last():
    e = episodes(1.0)
    drawn = e.levels[:, 0] > 0
    assert sorted(set(e.action_delay[drawn].tolist())) == list(range(1, 8))
    assert sorted(set(e.observation_delay[drawn].tolist())) == list(range(6))
    assert episodes(0.5).action_delay.max() == 3


def test_a_config_of_no_differences_varies_nothing():
    assert not varies_model(RandomizeConfig())
    assert varies_model(RandomizeConfig(com=(0.0, 0.01, 0.0)))
    episode = draw_episode(jax.random.key(0), full_extent(RandomizeConfig()), RandomizeConfig(), ROBOT)
    assert episode.variation is None


def task_of(randomize: RandomizeConfig, **changes) -> Tracking:
    config = dataclasses.replace(CONFIG, randomize=randomize, **changes)
    return Tracking(config, ROBOT, NativePhysics(ROBOT, 4), LIBRARY)


def episode_of(task: Tracking, steps: int, seed: int = 3):
    """Actions, chances and states of one episode."""
    curriculum = task.init_curriculum()
    env = jax.jit(task.reset)(jax.random.key(seed), curriculum)
    actions = jnp.asarray(np.random.default_rng(seed).normal(size=(steps, 4), scale=0.3), jnp.float32)
    chances = jax.vmap(task.chance)(jax.random.split(jax.random.key(seed + 1), steps))

    def step(env, drawn):
        after, _ = task.step(env, drawn[0], drawn[1], curriculum)
        return after, (
            env,
            after,
            task.hardware.act(env.wire, env.physics, task.target(env.clip, env.frame + 1, drawn[0]), drawn[1].hardware)[2],
        )

    return actions, chances.hardware, jax.jit(lambda e: jax.lax.scan(step, e, (actions, chances)))(env)[1]


def test_late_targets_arrive_when_their_delay_is_over():
    """By a queue: a target sent at step t holds from physics step 4 t + d on; before the first, the start's."""
    randomize = RandomizeConfig(nominal_share=0.0, start_level=1.0, action_delay=(6, 6), target_offset=0.01, encoder_bias=0.02)
    task = task_of(randomize)
    actions, _, (before, _, drives) = episode_of(task, 6)
    offset, bias = before.wire.episode.target_offset[0], before.wire.episode.encoder_bias[0]
    sent = [np.asarray(task.target(before.clip[0], before.frame[0], jnp.zeros(4)))]
    sent += [np.asarray(task.target(before.clip[t], before.frame[t] + 1, actions[t])) for t in range(6)]
    for t in range(6):
        for substep in range(4):
            arrived = (4 * t + substep - 6) // 4  # the control step whose target has been under way for 6 physics steps
            expected = sent[max(arrived, -1) + 1] + offset - bias
            np.testing.assert_allclose(drives.ctrl[t, substep], expected, atol=1e-6, err_msg=f"step {t}, substep {substep}")


def test_old_news_and_biased_encoders_are_what_the_policy_sees():
    """An observation 6 physics steps old lies halfway between those of 1 and of 2 control steps ago."""
    randomize = RandomizeConfig(nominal_share=0.0, start_level=1.0, observation_delay=(6, 6), encoder_bias=0.02)
    _, _, (before, after, _) = episode_of(task_of(randomize), 8)
    joints = np.concatenate([before.physics.kinematics.qpos[:1, 7:], after.physics.kinematics.qpos[:, 7:]])
    bias = np.asarray(before.wire.episode.encoder_bias[0])
    assert np.abs(bias).max() > 0.005
    for t in range(2, 8):
        expected = (joints[t - 1] + joints[t]) / 2 + bias
        np.testing.assert_allclose(after.wire.sensed.qpos[t, 7:], expected, atol=1e-6)


def test_shoves_come_as_often_and_as_hard_as_asked():
    push = PushConfig(interval_s=0.1, linvel=(0.5, 0.4, 0.0), angvel=(0.0, 0.0, 0.3), force=10.0, force_s=0.06, bodies=("trunk",))
    task = task_of(RandomizeConfig(nominal_share=0.0, start_level=1.0, push=push))
    _, _, (before, _, drives) = episode_of(task, 400)
    shoved = task.hardware
    physics = jax.tree.map(lambda leaf: leaf[0], before.physics)
    chances = jax.vmap(task.chance)(jax.random.split(jax.random.key(4), 2000)).hardware
    kicked = jax.vmap(lambda c: shoved.act(jax.tree.map(lambda x: x[0], before.wire), physics, jnp.zeros(4), c)[1])(chances)
    kicks = np.asarray(kicked.kinematics.qvel - physics.kinematics.qvel)
    hit = kicks[:, :6].any(axis=1)
    assert hit.mean() == pytest.approx(0.02 / 0.1, abs=0.03)
    assert not kicks[:, 6:].any()
    np.testing.assert_allclose(np.abs(kicks).max(axis=0)[:6], [0.5, 0.4, 0, 0, 0, 0.3], rtol=0.05, atol=1e-6)
    force = np.linalg.norm(drives.pushes[0].force, axis=1)
    assert force.max() <= 10.0 + 1e-5
    assert np.abs(drives.pushes[0].force[:, 2]).max() == 0.0
    changes = np.flatnonzero(np.diff(force) != 0)
    assert len(changes) > 20
    alone = [b - a for a, b in pairwise(changes) if force[a + 1] > 0 and force[b + 1] == 0]
    assert set(alone) == {3}  # .06 s are three control steps, unless the next shove comes before


def test_the_level_grows_while_falls_are_few():
    task = task_of(dataclasses.replace(WIDE, start_level=0.2, ramp_share=0.5, ramp_falls=1.0), env_steps=128 * 24 * 20)
    curriculum, none, many = task.init_curriculum(), jnp.zeros((24, 128), bool), jnp.ones((24, 128), bool)
    notes = Notes(jnp.zeros((24, 128, 2), int), jnp.zeros((24, 128, 6)), jnp.zeros((24, 128, len(KINDS)), bool))
    levels = []
    for _ in range(12):
        curriculum = task.update_curriculum(curriculum, notes, none)
        levels.append(float(curriculum.extent.level))
    np.testing.assert_allclose(levels[:10], 0.2 + 0.08 * np.arange(1, 11), atol=1e-5)
    assert levels[-1] == 1.0
    for _ in range(20):
        curriculum = task.update_curriculum(curriculum, notes, many)
    assert float(curriculum.extent.level) == pytest.approx(0.2)


def test_disturbed_starts_keep_bodies_and_joints_together():
    reset = ResetConfig(pos=(0.02, 0.02, 0.01), tilt=(0.1, 0.1, 0.2), joints=0.1)
    task = task_of(RandomizeConfig(), reset=reset)
    states = jax.jit(jax.vmap(task.reset, (0, None)))(jax.random.split(jax.random.key(1), 64), task.init_curriculum())
    found = jax.tree.map(np.asarray, states.physics.kinematics)
    again = jax.jit(jax.vmap(task.physics.place))(found.qpos, found.qvel).kinematics
    np.testing.assert_allclose(found.xpos, again.xpos, atol=1e-5)
    reference = jax.tree.map(np.asarray, jax.vmap(task.library.lookup)(states.clip, states.frame))
    moved = np.abs(found.qpos - reference.qpos)
    assert 0.09 < moved[:, 7:].max() <= 0.1 + 1e-6
    assert 0.018 < moved[:, 0].max() <= 0.02 + 1e-6
    low, high = ROBOT.body.joint_range.T
    assert (found.qpos[:, 7:] >= low - 1e-6).all()
    assert (found.qpos[:, 7:] <= high + 1e-6).all()


def test_history_is_what_was_seen():
    observation = ObservationConfig(actor=("joint_pos",), critic=("phase",), history=3, history_terms=("joint_pos", "actions"))
    task = task_of(RandomizeConfig(), observation=observation)
    actions, _, (before, _, _) = episode_of(task, 6)
    joints = np.asarray(before.physics.kinematics.qpos[:, 7:]) - ROBOT.default_qpos[7:]
    last = np.concatenate([np.zeros((1, 4)), actions])
    shown = np.asarray(jax.vmap(task.observe)(before)[0])
    for t, seen in enumerate(shown):
        past = [np.concatenate([joints[max(t - k, 0)], last[max(t - k, 0)]]) for k in (1, 2, 3)]
        np.testing.assert_allclose(seen, np.concatenate([joints[t], *past]), atol=1e-6)


def test_an_imu_knows_where_down_is():
    """On a tilted floor the sensed orientation is that against gravity; the body stays in one piece."""
    task = task_of(RandomizeConfig(nominal_share=0.0, start_level=1.0, gravity_tilt=0.1))
    _, _, (before, _, _) = episode_of(task, 2)
    env = jax.tree.map(lambda leaf: np.asarray(leaf[0]), before)
    true, sensed = env.physics.kinematics, env.wire.sensed
    down = env.wire.episode.variation.gravity / 9.81
    root = Rotation.from_quat(true.qpos[3:7], scalar_first=True)
    found = Rotation.from_quat(sensed.qpos[3:7], scalar_first=True)
    np.testing.assert_allclose(found.inv().apply([0, 0, -1]), root.inv().apply(down), atol=1e-5)
    assert 0.01 < np.hypot(*down[:2]) < 0.15
    np.testing.assert_allclose(found.inv().apply(sensed.qvel[:3]), root.inv().apply(true.qvel[:3]), atol=1e-5)
    there, seen = (r.inv().apply(s.xpos - s.qpos[:3]) for r, s in ((root, true), (found, sensed)))
    np.testing.assert_allclose(seen, there, atol=1e-5)
