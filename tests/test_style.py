"""What discriminators are shown: invariances, MuJoCo's own joint rotations, and how much of the clips is visited."""

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import wasserstein_distance
from states import rotation
from tiny import tiny_motion, tiny_robot

from mimic.config import ActionConfig, Config, RewardConfig, StyleConfig
from mimic.mdp.style import (
    StyleLayout,
    coverage,
    difference,
    make_clusters,
    speed,
    speed_distance,
    style_features,
    visited,
)
from mimic.robots import load_robot
from mimic.tasks.aim import Aim
from mimic.tasks.style import StyleView
from motions.errors import InputError
from motions.kinematics import KinematicState, joint_rotations, kinematic_state, shifted, turned
from motions.library import MotionLibrary, pack
from motions.rotations import yaw_quat

HUMANOID = load_robot("humanoid")
TRACKED = HUMANOID.body.body_ids(HUMANOID.tracked_bodies)
LAYOUT = StyleLayout(HUMANOID.body, tuple(HUMANOID.tracked_bodies.index(name) for name in HUMANOID.end_effectors))


def random_states(count: int = 5, seed: int = 0) -> KinematicState:
    """The humanoid in poses within its joints' ranges, not near the heading's singularity."""
    rng = np.random.default_rng(seed)
    low, high = HUMANOID.body.joint_range.T
    qpos = np.concatenate([rng.normal(size=(count, 7)), rng.uniform(low, high, (count, len(low)))], axis=1)
    tilt = Rotation.from_rotvec(rng.uniform(-0.5, 0.5, (count, 3)))
    turn = Rotation.from_rotvec(rng.uniform(-3, 3, (count, 1)) * [0, 0, 1])
    qpos[:, 3:7] = (turn * tilt).as_quat(scalar_first=True)
    return kinematic_state(HUMANOID.body, qpos, rng.normal(size=(count, HUMANOID.model.nv)), TRACKED)


def test_joint_rotations_are_what_lies_between_the_bodies_of_mujoco():
    model, data = HUMANOID.model, mujoco.MjData(HUMANOID.model)
    jointed = [body for body in range(1, model.nbody) if model.body_jntnum[body] and body != model.jnt_bodyid[0]]
    for qpos in random_states().qpos:
        data.qpos = qpos
        mujoco.mj_kinematics(model, data)
        for found, body in zip(joint_rotations(HUMANOID.body, qpos), jointed, strict=True):
            parent = rotation(data.xquat[model.body_parentid[body]]) * rotation(model.body_quat[body])
            between = parent.inv() * rotation(data.xquat[body])
            assert (rotation(found).inv() * between).magnitude() < 1e-9


def test_features_know_neither_place_nor_heading():
    states = random_states()
    expected = style_features(states, LAYOUT)
    away = shifted(states, np.tile([3.0, -2.0, 0.0], (5, 1)))
    elsewhere = turned(away, np.tile(Rotation.from_rotvec([0, 0, 2.0]).as_quat(scalar_first=True), (5, 1)))
    np.testing.assert_allclose(style_features(elsewhere, LAYOUT), expected, atol=1e-9)
    higher = style_features(shifted(states, np.tile([0.0, 0.0, 0.1], (5, 1))), LAYOUT)
    np.testing.assert_allclose(higher - expected, np.eye(expected.shape[1])[0] * 0.1 * np.ones((5, 1)), atol=1e-9)


def test_features_of_the_root_in_its_heading_frame():
    states = random_states()
    features = style_features(states, LAYOUT)
    for i in range(5):
        heading, root = rotation(yaw_quat(states.qpos[i, 3:7])), rotation(states.qpos[i, 3:7])
        np.testing.assert_allclose(features[i, 1:7], (heading.inv() * root).as_matrix()[:, :2].reshape(6), atol=1e-9)
        np.testing.assert_allclose(features[i, 7:10], heading.inv().apply(states.qvel[i, :3]), atol=1e-9)
        np.testing.assert_allclose(features[i, 10:13], heading.inv().apply(root.apply(states.qvel[i, 3:6])), atol=1e-9)
        foot = states.xpos[i, LAYOUT.end_effectors[0]] - states.qpos[i, :3]
        np.testing.assert_allclose(features[i, -12:-9], heading.inv().apply(foot), atol=1e-9)
    np.testing.assert_allclose(speed(features), np.linalg.norm(states.qvel[:, :2], axis=1), atol=1e-9)


def test_jax_and_numpy_agree():
    states = random_states()
    np.testing.assert_allclose(
        jax.jit(lambda s: style_features(s, LAYOUT))(jax.tree.map(jnp.asarray, states)), style_features(states, LAYOUT), atol=1e-5
    )


def test_a_difference_is_zero_at_the_reference_and_says_how_far_off_the_body_is():
    states = random_states()
    np.testing.assert_allclose(difference(states, states), 0.0, atol=1e-7)
    off = difference(shifted(states, np.tile([0.0, 0.0, 0.2], (5, 1))), states)
    bodies = len(TRACKED)
    np.testing.assert_allclose(off[:, : 3 * bodies].reshape(5, bodies, 3), np.tile([0.0, 0.0, -0.2], (5, bodies, 1)), atol=1e-9)
    np.testing.assert_allclose(off[:, 3 * bodies :], 0.0, atol=1e-7)


# How much of the clips is visited


ROBOT = tiny_robot()
LIBRARY = pack([tiny_motion(240)], ROBOT.body, ROBOT.tracked_bodies, 0.02)
TINY = StyleLayout(ROBOT.body, (3, 4))
FEATURES = style_features(LIBRARY.frames, TINY)
CLUSTERS = make_clusters(FEATURES, TINY.kinds)


def test_the_clips_themselves_visit_all_of_it_and_one_pose_hardly_any():
    assert len(CLUSTERS.share) == len(FEATURES) // 10
    assert CLUSTERS.share.sum() == pytest.approx(1.0)
    visits = visited(CLUSTERS, FEATURES)
    assert visits[:, :-1].sum() == len(FEATURES)
    assert coverage(CLUSTERS, visits.sum(axis=0)) == pytest.approx(1.0)
    still = visited(CLUSTERS, np.repeat(FEATURES[:1], 500, axis=0)).sum(axis=0)
    assert coverage(CLUSTERS, still) == pytest.approx(CLUSTERS.share[still[:-1] > 0].sum())
    assert coverage(CLUSTERS, still) < 0.15
    assert coverage(CLUSTERS, 0.0 * still) == 0.0
    lost = visits.sum(axis=0)
    lost[-1] = 20 * lost.sum()
    assert coverage(CLUSTERS, lost) == 0.0, "hardly ever is not visited"


def test_a_state_is_in_the_nearest_cluster_if_it_reaches_that_far():
    rng = np.random.default_rng(1)
    others = FEATURES + rng.normal(size=FEATURES.shape).astype(np.float32) * CLUSTERS.scale * rng.uniform(
        0, 2, (len(FEATURES), 1)
    )
    found = visited(CLUSTERS, others)
    for row, state in zip(found, (others - CLUSTERS.origin) / CLUSTERS.scale, strict=True):
        distance = np.linalg.norm(state - CLUSTERS.centres, axis=1)
        nearest = int(np.argmin(distance))
        assert row.sum() == 1
        assert row[nearest if distance[nearest] <= CLUSTERS.reach[nearest] else -1] == 1
    assert 0 < found[:, -1].sum() < len(others)


def test_the_distance_of_speeds_is_wasserstein_s():
    slower = FEATURES.copy()
    slower[:, 7:9] *= 0.5
    expected = wasserstein_distance(speed(FEATURES), speed(slower))
    assert speed_distance(CLUSTERS, slower) == pytest.approx(expected, rel=0.02)
    assert speed_distance(CLUSTERS, FEATURES) == pytest.approx(0.0, abs=1e-6)


# What a task shows


CONFIG = Config(robot="tiny", reward=RewardConfig(style=1.0), style=StyleConfig(window=3))


def view_of(config: Config, library: MotionLibrary = LIBRARY, targets: np.ndarray | None = None) -> StyleView:
    return StyleView(config, ROBOT, library, Aim(config, ROBOT, library), targets)


def test_windows_hold_the_last_steps_the_newest_first():
    view = view_of(CONFIG)
    size = FEATURES.shape[1]
    assert view.style_size == 3 * size
    frames = view.library.lookup(jnp.array(0), jnp.arange(20))
    window = view.begun(jnp.array(0), jnp.array(10), jax.tree.map(lambda leaf: leaf[10], frames))
    np.testing.assert_allclose(window, FEATURES[[10, 9, 8]], atol=1e-5)
    state = jax.tree.map(lambda leaf: leaf[15], frames)
    np.testing.assert_allclose(view.moved(window, state, jnp.array(False)), FEATURES[[15, 10, 9]], atol=1e-5)
    np.testing.assert_array_equal(view.moved(window, state, jnp.array(True)), window)
    first = view.begun(jnp.array(0), jnp.array(1), jax.tree.map(lambda leaf: leaf[1], frames))
    np.testing.assert_allclose(first, FEATURES[[1, 0, 0]], atol=1e-5)


def test_demonstrations_are_windows_of_the_clips_by_their_weights():
    clips = [tiny_motion(241), tiny_motion(61)]
    view = view_of(CONFIG, pack(clips, ROBOT.body, ROBOT.tracked_bodies, 0.02, weights=(1.0, 2.0)))
    shown = np.asarray(jax.jit(jax.vmap(view.demo))(jax.random.split(jax.random.key(0), 2000))).reshape(2000, 3, -1)
    known = np.asarray(style_features(view.library.frames, view.layout))
    distance = np.abs(shown[:, 0, None] - known).max(axis=-1)
    assert distance.min(axis=1).max() < 1e-5
    long = int(view.library.clip_length[0])
    heavy = pack(clips, ROBOT.body, ROBOT.tracked_bodies, 0.02, weights=(1e-6, 1.0))
    late = view_of(CONFIG, heavy)
    few = np.asarray(jax.jit(jax.vmap(late.demo))(jax.random.split(jax.random.key(0), 500))).reshape(500, 3, -1)
    reached = np.abs(few[:, 0, None] - known[long:]).max(axis=-1).min(axis=1)
    assert reached.max() < 1e-5  # only what the short one shows


def test_differences_are_shown_as_they_are():
    config = dataclasses.replace(CONFIG, style=StyleConfig(judges="difference"))
    view = view_of(config)
    state, reference = (view.library.lookup(jnp.array(0), jnp.array(frame)) for frame in (5, 9))
    assert view.begun(jnp.array(0), jnp.array(5), state) is None
    assert view.moved(None, state, jnp.array(False)) is None
    np.testing.assert_array_equal(view.shown(None, state, reference, jnp.zeros(4), None), difference(state, reference))
    assert view.clusters is None
    assert view.style_size == len(difference(state, reference))


def test_actions_of_demonstrations_are_what_the_tracker_sent():
    """In this task's own terms: an action is an offset from its prior, by its scale."""
    action = ActionConfig(prior="default", feed_forward="none", scale=0.5)
    config = dataclasses.replace(CONFIG, action=action, style=StyleConfig(window=2, actions=True))
    targets = np.random.default_rng(0).normal(size=(len(LIBRARY.qpos), 4)).astype(np.float32)
    view, size = view_of(config, targets=targets), FEATURES.shape[1]
    assert view.style_size == 2 * size + 4
    shown = np.asarray(jax.jit(jax.vmap(view.demo))(jax.random.split(jax.random.key(0), 50)))
    frame = np.abs(shown[:, None, :size] - FEATURES).max(axis=-1).argmin(axis=1)
    wanted = (targets[frame] - ROBOT.default_qpos[7:]) * ROBOT.kp / (0.5 * ROBOT.effort)
    np.testing.assert_allclose(shown[:, 2 * size :], wanted, atol=1e-4)
    state = view.library.lookup(jnp.array(0), jnp.array(7))
    window = view.begun(jnp.array(0), jnp.array(7), state)
    np.testing.assert_array_equal(view.shown(window, state, state, jnp.arange(4.0), None)[-4:], np.arange(4.0))


def test_without_a_tracker_there_are_no_actions_to_show():
    config = dataclasses.replace(CONFIG, style=StyleConfig(actions=True))
    with pytest.raises(InputError, match="begin tracker"):
        view_of(config)
    with pytest.raises(InputError, match="expected one for each"):
        view_of(config, targets=np.zeros((3, 4), np.float32))
