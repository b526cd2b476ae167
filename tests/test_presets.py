"""The preset g1_beyondmimic against every constant of the published formulation, typed here again; and what it makes of them."""

import fnmatch
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mimic.config import Config
from mimic.mdp.sampling import Bins, SamplerState, bin_probabilities, update_sampler
from mimic.presets import make_preset
from mimic.robots import Robot, load_robot
from mimic.robots.contacts import sensed_bodies
from mimic.sim.native import NativePhysics
from mimic.sim.randomize import draw_episode, full_extent
from mimic.tasks.tracking import Tracking
from motions.library import pack
from motions.motion import Motion

CONFIG = make_preset("g1_beyondmimic")
# motor -> armature, kp, kd, effort, velocity limit, and the joints that it drives
MOTORS = {
    "7520_14": (0.010177520, 40.179, 2.5579, 88, 32, "*_hip_pitch_joint *_hip_yaw_joint waist_yaw_joint"),
    "7520_22": (0.025101925, 99.098, 6.3088, 139, 20, "*_hip_roll_joint *_knee_joint"),
    "5020": (0.003609725, 14.251, 0.90722, 25, 37, "*_shoulder_*_joint *_elbow_joint *_wrist_roll_joint"),
    "2 x 5020": (0.00721945, 28.501, 1.8145, 50, 37, "*_ankle_*_joint waist_roll_joint waist_pitch_joint"),
    "4010": (0.00425, 16.778, 1.0681, 5, 22, "*_wrist_pitch_joint *_wrist_yaw_joint"),
}
LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
TRACKED = (
    "pelvis", "left_hip_roll_link", "left_knee_link", "left_ankle_roll_link", "right_hip_roll_link", "right_knee_link",
    "right_ankle_roll_link", "torso_link", "left_shoulder_roll_link", "left_elbow_link", "left_wrist_yaw_link",
    "right_shoulder_roll_link", "right_elbow_link", "right_wrist_yaw_link",
)  # fmt: skip
ENDS = ("left_ankle_roll_link", "right_ankle_roll_link", "left_wrist_yaw_link", "right_wrist_yaw_link")


@pytest.fixture(scope="module")
def g1(shared_robots) -> Robot:
    return load_robot("g1", sim=CONFIG.sim, search=(shared_robots,))


def make_task(config: Config, robot: Robot) -> Tracking:
    motion = Motion("stand", robot.name, 50.0, np.tile(robot.default_qpos, (301, 1)), robot.joint_names)
    library = pack([motion], robot.body, robot.tracked_bodies, config.sim.ctrl_dt)
    return Tracking(config, robot, NativePhysics(robot, config.sim.n_substeps), library)


def test_rewards():
    r = CONFIG.reward
    assert (r.anchor_pos, r.anchor_ori, r.body_pos, r.body_ori, r.body_linvel, r.body_angvel) == (0.5, 0.5, 1, 1, 1, 1)
    assert (r.sigma_anchor_pos, r.sigma_anchor_ori, r.sigma_body_pos, r.sigma_body_ori) == (0.3, 0.4, 0.3, 0.4)
    assert (r.sigma_body_linvel, r.sigma_body_angvel) == (1, 3.14)
    assert (r.action_rate, r.joint_limit, r.undesired_contacts) == (-0.1, -10, -0.1)
    assert (r.soft_limit, r.contact_force) == (0.9, 1)
    assert r.scale == 0.02


def test_ends():
    t = CONFIG.termination
    assert (t.anchor_height, t.anchor_angle, t.anchor_gravity, t.end_effector_height) == (0.25, None, 0.8, 0.25)
    assert CONFIG.sampling.episode_s == 10


def test_starts_pushes_and_noise():
    velocities = (0.5, 0.5, 0.2), (0.52, 0.52, 0.78)
    reset, push, noise = CONFIG.reset, CONFIG.randomize.push, CONFIG.randomize.noise
    assert (reset.pos, reset.tilt, reset.joints) == ((0.05, 0.05, 0.01), (0.1, 0.1, 0.2), 0.1)
    assert (reset.linvel, reset.angvel) == (push.linvel, push.angvel) == velocities
    assert (push.interval_s, push.force) == ((1 + 3) / 2, 0)
    sizes = noise.base_pos, noise.base_ori, noise.base_lin_vel, noise.base_ang_vel, noise.joint_pos, noise.joint_vel
    assert sizes == (0.25, 0.05, 0.5, 0.2, 0.01, 0.5)


def test_randomization_is_theirs_from_the_first_episode_on(g1: Robot):
    """Static friction .3 to 1.6, joints' default +-.01, the torso's centre of mass; nothing else: no delay, gain or mass."""
    keys = jax.random.split(jax.random.key(0), 2000)
    draw = jax.jit(jax.vmap(lambda key: draw_episode(key, full_extent(CONFIG.randomize), CONFIG.randomize, g1)))
    episode = draw(keys)
    v = episode.variation
    ranges = {
        (0.3, 1.6): CONFIG.sim.friction * v.friction, (-0.025, 0.025): v.com[:, 0], (-0.05, 0.05): v.com[:, 1:],
        (-0.01, 0.01): episode.encoder_bias,
    }  # fmt: skip
    for (low, high), values in ranges.items():
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high >= values.max() > high - 0.01 * (high - low)
    for factors in (v.mass, v.inertia, v.armature, v.kp, v.kd, v.effort):
        np.testing.assert_array_equal(factors, 1)
    for extra in (v.joint_friction, v.joint_damping, v.gravity[:, :2], episode.target_offset, episode.action_delay,
                  episode.observation_delay):  # fmt: skip
        np.testing.assert_array_equal(extra, 0)
    assert CONFIG.randomize.torque_noise == 0
    assert CONFIG.randomize.start_level == 1
    assert CONFIG.randomize.distribution == "uniform"


def test_failure_average_is_theirs():
    """F <- .001 fails + .999 F in each of a rollout's 24 steps; then p ~ F + .1/bins."""
    config, bins = (
        CONFIG.sampling,
        Bins(*map(np.array, ([0] * 4, [0, 50, 100, 150], [50] * 4, [0, 50, 100, 150], [0.25] * 4))),
    )
    assert (config.bin_s, config.from_start, config.blame_start) == (1, 0, False)
    fails = np.random.default_rng(0).integers(0, 9, size=(40, 24, 4)) * [1.0, 0.5, 0.1, 0.0]
    average, sampler = np.zeros(4), SamplerState(jnp.zeros(4))
    for rollout in fails:
        for step in rollout:
            average = 0.001 * step + 0.999 * average
        sampler = update_sampler(sampler, jnp.asarray(rollout.mean(axis=0)), config)
    np.testing.assert_allclose(sampler.failures, average, rtol=5e-3)
    weights = np.asarray(sampler.failures) + 0.1 / 4
    np.testing.assert_allclose(bin_probabilities(sampler, bins, config), weights / weights.sum(), rtol=1e-5)


def test_learner():
    ppo, network = CONFIG.ppo, CONFIG.network
    assert (CONFIG.num_envs, ppo.rollout_length, CONFIG.num_iterations) == (4096, 24, 30_000)
    assert CONFIG.env_steps == pytest.approx(2.95e9, rel=1e-3)
    assert (network.hidden, network.init_std) == ((512, 256, 128), 1)
    assert (ppo.learning_rate, ppo.desired_kl, ppo.anneal_share, ppo.critic_learning_rate) == (1e-3, 0.01, 0, None)
    assert (ppo.clip_ratio, ppo.value_clip, ppo.entropy_coef, ppo.max_grad_norm) == (0.2, 0.2, 0.005, 1)
    assert (ppo.num_epochs, ppo.num_minibatches, ppo.discount, ppo.gae_lambda) == (5, 4, 0.99, 0.95)
    assert (ppo.paired, ppo.std_rate, ppo.average_decay) == (False, 1, 0)


def test_what_is_seen(g1: Robot):
    """160 numbers, 154 without state estimation; the critic its own 286 without noise. In the order of the publication."""
    actor = ("command", "motion_anchor_pos_b", "motion_anchor_ori_b", "base_lin_vel", "base_ang_vel", "joint_pos", "joint_vel",
             "actions")  # fmt: skip
    assert CONFIG.observation.actor == actor
    assert set(CONFIG.observation.critic) == {*actor, "body_pos_b", "body_ori_b"}
    for name, size in (("g1_beyondmimic", 160), ("g1_beyondmimic_wose", 154)):
        config = make_preset(name)
        task = make_task(config, g1)
        shapes = jax.eval_shape(lambda task=task: task.observe(task.reset(jax.random.key(0), task.init_curriculum())))
        assert [shape.shape for shape in shapes] == [(size,), (286,)]
        assert not config.observation.critic_sees_actor
        assert config.observation.history == 0


def test_action_and_time(g1: Robot):
    """The default pose and .25 effort/kp an action, wherever the reference is; 50 Hz; 10 s."""
    task = make_task(CONFIG, g1)
    found = task.target(jnp.array(0), jnp.array(7), jnp.ones(29))
    np.testing.assert_allclose(found, g1.default_qpos[7:] + 0.25 * g1.effort / g1.kp, rtol=1e-6)
    assert (CONFIG.sim.sim_dt, CONFIG.sim.n_substeps, CONFIG.action.feed_forward) == (0.005, 4, "none")
    assert task.max_steps == 500
    np.testing.assert_array_equal(task.bins.length, 50)


def test_what_must_not_touch(g1: Robot):
    """All that can, but ankles and wrists."""
    task, bodies = make_task(CONFIG, g1), sensed_bodies(g1.model)
    assert {bodies[i] for i in task.undesired} == set(bodies) - set(ENDS)
    assert {"pelvis", "torso_link", "left_knee_link", "right_elbow_link", "left_wrist_pitch_link"} <= set(bodies)


def test_robot(g1: Robot):
    """Order of the joints, motors, bodies and pose; kp = I w^2, kd = 2 zeta I w with w of 10 Hz and zeta 2."""
    order = [f"{side}_{joint}_joint" for side in ("left", "right") for joint in LEG]
    order += [f"waist_{axis}_joint" for axis in ("yaw", "roll", "pitch")]
    order += [f"{side}_{joint}_joint" for side in ("left", "right") for joint in ARM]
    assert g1.joint_names == tuple(order)
    driven = {joint: row[:5] for row in MOTORS.values() for joint in order for p in row[5].split() if fnmatch.fnmatch(joint, p)}
    table = np.array([driven[joint] for joint in order])
    found = np.stack([g1.armature, g1.kp, g1.kd, g1.effort, g1.velocity_limit], axis=1)
    np.testing.assert_allclose(found, table, rtol=5e-5)
    omega = 2 * math.pi * 10
    np.testing.assert_allclose(g1.kp, g1.armature * omega**2)
    np.testing.assert_allclose(g1.kd, 2 * 2 * g1.armature * omega)
    assert (g1.tracked_bodies, g1.anchor_body, g1.end_effectors) == (TRACKED, "torso_link", ENDS)
    said = {"hip_pitch": -0.312, "knee": 0.669, "ankle_pitch": -0.363, "elbow": 0.6, "shoulder_pitch": 0.2}
    pose = {f"{side}_{joint}_joint": angle for side in ("left", "right") for joint, angle in said.items()}
    pose |= {"left_shoulder_roll_joint": 0.2, "right_shoulder_roll_joint": -0.2}
    np.testing.assert_array_equal(g1.default_qpos[7:], [pose.get(joint, 0.0) for joint in order])
    assert g1.default_qpos[2] == 0.76
