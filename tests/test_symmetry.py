"""Left-right symmetry: mirrored states and observations against the mirrored motion's own, the loss against dense matrices."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_robot
from toy import Reach, toy_config

from mimic.config import ActionConfig, NetworkConfig, ObservationConfig, PPOConfig
from mimic.learning.networks import Networks, actor_layers, make_networks, symmetric_layers
from mimic.learning.ppo import Batch, make_learner, ppo_loss
from mimic.mdp.observations import TERMS, BodyLayout, Observed, observe
from mimic.mdp.priors import Prior
from mimic.mdp.symmetry import Image, Mirror, mirrored_state, observation_image, state_mirror
from mimic.presets import make_preset
from mimic.robots import Robot, load_robot
from mimic.tasks.symmetry import find_mirror
from motions.clips import FOLDER as CLIPS
from motions.edit import mirror, mirror_map
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.library import pack
from motions.motion import load_motion
from motions.rotations import quat_angle

ROBOT, DT = load_robot("humanoid"), 0.02
WALK = load_motion(CLIPS / "walk.npz")
FRAMES, IMAGES = (pack([m], ROBOT.body, ROBOT.tracked_bodies, DT).frames for m in (WALK, mirror(WALK, ROBOT.body)))
JOINTS = mirror_map(ROBOT.body)
ACTION = Image(JOINTS.joint, JOINTS.sign)
LAYOUT = BodyLayout(ROBOT.tracked_bodies.index(ROBOT.anchor_body), ROBOT.default_qpos[7:])
WITHOUT_IMAGE = ("phase", "clip_time", "randomization", "reach")


def part(frames: KinematicState, index: Any) -> KinematicState:
    return KinematicState(*(np.asarray(values, float)[index] for values in frames))


def test_a_mirrored_state_is_the_mirrored_motions():
    """Its velocities by finite differences of the mirrored poses, its bodies by their kinematics."""
    found = mirrored_state(FRAMES, state_mirror(ROBOT.body, JOINTS, ROBOT.tracked_bodies))
    for name in ("qpos", "qvel", "xpos", "xlinvel", "xangvel"):
        np.testing.assert_allclose(getattr(found, name), getattr(IMAGES, name), atol=2e-4, err_msg=name)
    assert quat_angle(found.xquat, IMAGES.xquat).max() < 1e-3
    assert np.abs(IMAGES.qpos - FRAMES.qpos).max() > 0.1


def seen(frames: KinematicState, action: np.ndarray, goal: np.ndarray) -> Observed:
    """The body a little behind its reference, so that no error vanishes."""
    nothing = np.zeros(())
    return Observed(part(frames, 20), part(frames, 26), part(frames, [30, 40]), action, nothing, nothing, np.zeros(3), goal)


@pytest.mark.parametrize("name", [name for name in TERMS if name not in WITHOUT_IMAGE])
def test_the_image_of_an_observation_is_the_observation_of_the_image(name: str):
    """Shown once and, remembered, twice more."""
    states = state_mirror(ROBOT.body, JOINTS, ROBOT.tracked_bodies)
    config = ObservationConfig(actor=("command", name), history=2, history_terms=(name,), future_frames=(4, 14))
    image = observation_image(config, LAYOUT, states)
    assert sorted(image.index) == list(range(len(image.index)))
    action = np.random.default_rng(0).normal(size=len(ROBOT.joint_names))
    names = ("command", name, name, name)
    goal = np.array([1.5, 0.7, 0.9, 1.0])
    one, other = (
        observe(names, o, LAYOUT) for o in (seen(FRAMES, action, goal), seen(IMAGES, ACTION.of(action), goal * [1, -1, 1, 1]))
    )
    np.testing.assert_allclose(image.of(one), other, atol=1e-3)
    np.testing.assert_allclose(image.of(image.of(one)), one, atol=1e-12)


def test_the_prior_of_the_mirrored_reference_is_the_mirror_of_the_prior():
    """Torques of inverse dynamics and contacts included: what a residual action is added to mirrors as the action does."""

    def prior(frames: KinematicState) -> np.ndarray:
        whole = Prior(ROBOT.model, ROBOT.default_qpos[7:], ROBOT.kp, ROBOT.kd, ROBOT.effort, DT, 0.6, ActionConfig())
        return whole.targets(frames.qpos[:40], frames.qvel[:40])

    np.testing.assert_allclose(ACTION.of(prior(FRAMES)), prior(IMAGES), atol=5e-3)


@pytest.mark.parametrize("name", ["g1", "g1_ros", "g1_deploy"])
def test_presets_of_the_g1_have_an_image(name: str, shared_robots, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MIMIC_ROBOTS", str(shared_robots))
    config = make_preset(name)
    robot = load_robot(config.robot, sim=config.sim)
    image, action = find_mirror(robot, config.observation)
    np.testing.assert_array_equal(image.index[image.index], np.arange(len(image.index)))
    np.testing.assert_array_equal(image.sign * image.sign[image.index], 1.0)
    left = robot.joint_names.index("left_shoulder_roll_joint")
    assert robot.joint_names[action.index[left]] == "right_shoulder_roll_joint"
    assert action.sign[left] == -1.0


@pytest.mark.parametrize("name", WITHOUT_IMAGE)
def test_a_term_without_an_image_is_refused_by_name(name: str):
    with pytest.raises(InputError, match=f"observation term '{name}' has no left-right mirror image.*terms that have one: comm"):
        find_mirror(ROBOT, ObservationConfig(actor=("command", name)))
    find_mirror(ROBOT, ObservationConfig(actor=("command",), critic=(name,)))


def uneven_gains(robot: Robot) -> Robot:
    return dataclasses.replace(robot, kp=robot.kp * [1, 1, 1, 1.2])


def uneven_pose(robot: Robot) -> Robot:
    return dataclasses.replace(robot, default_qpos=robot.default_qpos + 0.1 * np.eye(11)[10])


def half_tracked(robot: Robot) -> Robot:
    return dataclasses.replace(robot, tracked_bodies=("trunk", "front_left"))


@pytest.mark.parametrize(
    ("spoilt", "says"),
    [
        (uneven_gains, "robot 'tiny' cannot be mirrored: kp is 60 at hind_left_hip and 72 at hind_right_hip"),
        (uneven_pose, "observation term 'joint_pos' has no left-right mirror image"),
        (half_tracked, "tracked body 'front_left' has no tracked counterpart \\(front_right\\)"),
    ],
)
def test_a_robot_that_is_not_symmetric_is_refused(spoilt: Any, says: str):
    find_mirror(tiny_robot(), ObservationConfig())
    with pytest.raises(InputError, match=says):
        find_mirror(spoilt(tiny_robot()), ObservationConfig())


# What the learner makes of it: dense matrices, observations of 4 numbers of which the actor sees 3, two actions

SEEN, DONE = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1.0]]), np.array([[0, -1], [-1, 0.0]])
MIRROR = Mirror(Image(np.array([1, 0, 2]), np.array([1, 1, -1.0])), Image(np.array([1, 0]), np.array([-1, -1.0])))


def random_batch() -> tuple[Batch, dict, np.ndarray]:
    rng = np.random.default_rng(0)
    networks = make_networks(NetworkConfig(hidden=(5,)), 2, actor_size=3)
    shapes = jax.eval_shape(lambda key: networks.init(key, 4), jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape, scale=0.5), jnp.float32), shapes)
    obs, action, mean = rng.normal(size=(40, 4)), rng.normal(size=(40, 2)), rng.normal(size=(40, 2))
    log_prob, value, advantage, target = rng.normal(size=(4, 40)) - [[2.0], [0], [0], [0]]
    batch = Batch(*(jnp.asarray(x, jnp.float32) for x in (obs, action, mean, log_prob, value, advantage, target)))
    return batch, params, np.zeros(2)


def test_augmented_loss_is_that_of_the_samples_and_their_images():
    networks = make_networks(NetworkConfig(hidden=(5,)), 2, actor_size=3)
    batch, params, log_std = random_batch()
    obs = np.concatenate([np.asarray(batch.obs)[:, :3] @ SEEN.T, np.asarray(batch.obs)[:, 3:]], axis=1)
    image = batch._replace(obs=jnp.asarray(obs), action=jnp.asarray(np.asarray(batch.action) @ DONE.T))
    plain, log = ppo_loss(params, batch, log_std, networks, PPOConfig())
    _, mirrored = ppo_loss(params, image, log_std, networks, PPOConfig())
    found, augmented = ppo_loss(params, batch, log_std, networks, PPOConfig(symmetry="augment"), MIRROR)
    expected = (log["loss/policy"] + mirrored["loss/policy"]) / 2
    assert abs(log["loss/policy"] - mirrored["loss/policy"]) > 1e-3
    assert float(augmented["loss/policy"]) == pytest.approx(float(expected), rel=1e-5)
    assert float(found - plain) == pytest.approx(float(expected - log["loss/policy"]), abs=1e-5)
    assert "loss/asymmetry" not in log
    for name in ("loss/value", "loss/kl"):
        assert float(augmented[name]) == float(log[name])


def test_symmetry_loss_by_dense_matrices():
    networks = make_networks(NetworkConfig(hidden=(5,)), 2, actor_size=3)
    batch, params, log_std = random_batch()
    plain, _ = ppo_loss(params, batch, log_std, networks, PPOConfig())
    found, log = ppo_loss(params, batch, log_std, networks, PPOConfig(symmetry="loss", symmetry_coef=3.0), MIRROR)
    total = 0.0
    for obs in np.asarray(batch.obs)[:, :3]:
        mean, image = (np.asarray(networks.policy(params, jnp.asarray(o, jnp.float32))[0]) for o in (obs, SEEN @ obs))
        total += np.sum((image - DONE @ mean) ** 2) / len(batch.obs)
    assert float(log["loss/asymmetry"]) == pytest.approx(total, rel=1e-4)
    assert float(found - plain) == pytest.approx(3 * total, rel=1e-4)


def test_a_symmetric_network_is_its_own_mirror_image_and_one_network():
    """By dense matrices; and the network twice as wide that is exported gives the same."""
    _, params, _ = random_batch()
    plain = make_networks(NetworkConfig(hidden=(5, 4)), 2, actor_size=3)
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda key: plain.init(key, 4), jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape, scale=0.5), jnp.float32), shapes)
    networks, obs = plain._replace(mirror=MIRROR), rng.normal(size=(20, 3)).astype(np.float32)
    image = (obs @ SEEN.T).astype(np.float32)

    def means(of: Networks, given: np.ndarray) -> np.ndarray:
        return np.asarray(of.policy(params, jnp.asarray(given))[0])

    expected = 0.5 * (means(plain, obs) + means(plain, image) @ DONE.T)
    np.testing.assert_allclose(means(networks, obs), expected, atol=1e-5)
    np.testing.assert_allclose(means(networks, image), means(networks, obs) @ DONE.T, atol=1e-6)
    assert np.abs(means(plain, image) - means(plain, obs) @ DONE.T).max() > 0.1
    x = obs
    *hidden, (kernel, bias) = symmetric_layers(actor_layers(params), MIRROR)
    for layer, offset in hidden:
        x = np.asarray(nn.elu(x @ layer + offset))
    np.testing.assert_allclose(x @ kernel + bias, expected, atol=1e-5)


class MirroredReach(Reach):
    """The plane's y is its left and right."""

    def mirror(self) -> Mirror:
        flip = Image(np.arange(2), np.array([1.0, -1.0]))
        return Mirror(flip, flip)


def test_training_with_images_sees_both_sides_alike():
    """The normalizer has no left and right, and the policy loses them: against a policy that began crooked."""
    config = toy_config(symmetry="loss", symmetry_coef=10.0)
    learner = make_learner(config, MirroredReach())
    state = jax.jit(learner.init)(jax.random.key(0))
    crooked = jax.tree.map(lambda leaf: leaf, state.params)
    crooked["actor"]["params"]["Dense_1"]["bias"] = jnp.array([0.0, 0.5])
    state, iterate = state._replace(params=crooked), jax.jit(learner.iterate)
    logs = []
    for _ in range(61):
        state, log, _ = iterate(state)
        logs.append(float(log["loss/asymmetry"]))
    del logs[0]  # nothing is learnt in the first
    assert float(state.normalizer.mean[1]) == pytest.approx(0.0, abs=1e-5)
    assert abs(float(state.normalizer.mean[0])) > 1e-3
    assert logs[0] > 0.5
    assert logs[-1] < 0.1 * logs[0]
