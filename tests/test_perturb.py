"""Robots that differ: each setting against a plain loop, a scale, or the numbers it was asked for."""

import dataclasses
from itertools import pairwise

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tiny import EFFORT, KD, KP, tiny_motion, tiny_robot

from mimic.config import Config
from mimic.deploy.export import export_policy, make_spec
from mimic.deploy.sim2sim import Policy, track
from mimic.deploy.simulation import read_state
from mimic.evaluation.perturb import Perturbation, PerturbedLink, perturbed_link, perturbed_model
from motions.errors import InputError
from motions.kinematics import kinematic_state

ROBOT, MOTION, CONFIG = tiny_robot(), tiny_motion(), Config(preset="tiny", robot="tiny")
CONFIG = dataclasses.replace(CONFIG, observation=dataclasses.replace(CONFIG.observation, history=2))
EXACT = Perturbation(start_rad=0.0)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """Random weights, so that what it does depends on what it sees."""
    rng = np.random.default_rng(0)
    size = make_spec(CONFIG, ROBOT, MOTION).observation_size
    layers = [
        (rng.normal(size=(a, b)).astype(np.float32) / np.sqrt(a), np.zeros(b, np.float32)) for a, b in pairwise((size, 16, 4))
    ]
    folder = tmp_path_factory.mktemp("policy")
    return Policy.load(export_policy(layers, np.zeros(size), np.ones(size), CONFIG, ROBOT, MOTION, folder / "policy.onnx"))


def linked(policy: Policy, count: int = 3, **setting: float) -> PerturbedLink:
    return perturbed_link(policy, policy.reference(MOTION), dataclasses.replace(EXACT, **setting), count)


def loop(policy: Policy, steps: int, action_steps: int, state_steps: int) -> np.ndarray:
    """One robot, physics step by physics step, everything that ever was kept: qpos after each control step."""
    clip, model = policy.reference(MOTION), policy.model
    priors, data = policy.priors(clip), mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = clip.qpos[0], clip.qvel[0]
    states, targets, seen = [read_state(model, data, policy.tracked_ids)], [], []
    action, history = np.zeros(4, np.float32), None
    for physics_step in range(4 * steps):
        if physics_step % 4 == 0:
            state = states[max(0, physics_step - state_steps)]
            observation, history = policy.observation(state, clip, physics_step // 4, action, history)
            action = policy.act(observation)
            targets.append(policy.target(priors, physics_step // 4, action))
        decided = (physics_step - action_steps) // 4
        data.ctrl[:] = targets[decided] if decided >= 0 else clip.qpos[0, 7:]
        mujoco.mj_step(model, data)
        states.append(read_state(model, data, policy.tracked_ids))
        if physics_step % 4 == 3:
            seen.append(states[-1].qpos)
    return np.array(seen)


@pytest.mark.parametrize(("action_steps", "state_steps"), [(0, 0), (1, 0), (4, 0), (6, 0), (0, 1), (0, 4), (0, 7), (3, 2)])
def test_delays_equal_a_loop_that_remembers_everything(policy: Policy, action_steps: int, state_steps: int):
    link = linked(policy, 1, action_delay_s=0.005 * action_steps, observation_delay_s=0.005 * state_steps)
    found = np.concatenate([step.state.qpos for step in track(policy, policy.reference(MOTION), link, 20)])
    np.testing.assert_allclose(found, loop(policy, 20, action_steps, state_steps), atol=2e-5)
    if action_steps + state_steps:
        assert np.abs(found - loop(policy, 20, 0, 0)).max() > 1e-3, "the delay makes no difference here"


def ground_force(model: mujoco.MjModel) -> float:
    """What a scale under the resting robot reads [N]."""
    data = mujoco.MjData(model)
    data.qpos[:] = ROBOT.default_qpos
    data.ctrl[:] = ROBOT.default_qpos[7:]
    mujoco.mj_step(model, data, 1000)
    total, force = 0.0, np.zeros(6)
    for contact in range(data.ncon):
        mujoco.mj_contactForce(model, data, contact, force)
        total += force[0]
    return total


def test_mass_is_what_a_scale_reads(policy: Policy):
    weight = 9.81 * policy.model.body_mass.sum()
    assert ground_force(policy.model) == pytest.approx(weight, rel=1e-3)
    assert ground_force(perturbed_model(policy.model, Perturbation(mass=1.5))) == pytest.approx(1.5 * weight, rel=1e-3)


@pytest.mark.parametrize(("factor", "slides"), [(1.0, False), (0.4, False), (0.3, True)])
def test_a_slope_is_held_by_friction_above_its_tangent(policy: Policy, factor: float, slides: bool):
    """The slope is .35, the friction of the file is 1. It falls sideways, where the legs have no joints to give in."""
    model = perturbed_model(policy.model, Perturbation(friction=factor))
    model.geom("floor").priority = 1  # as every robot of ours has it: the floor's friction counts
    model.opt.gravity[1:] = 9.81 * np.array([np.sin(np.arctan(0.35)), -np.cos(np.arctan(0.35))])
    data = mujoco.MjData(model)
    data.qpos[:] = ROBOT.default_qpos
    data.ctrl[:] = ROBOT.default_qpos[7:]
    mujoco.mj_step(model, data, 100)
    begin = data.qpos[1]
    mujoco.mj_step(model, data, 200)
    assert (data.qpos[1] - begin > 0.1) == slides


def test_gains_and_torque_limits(policy: Policy):
    data = mujoco.MjData(policy.model)
    data.qpos[:] = ROBOT.default_qpos
    data.qvel[6:] = 0.5
    data.ctrl[:] = [0.2, 0.1, 5.0, -5.0]
    mujoco.mj_forward(perturbed_model(policy.model, Perturbation(gains=0.8, torque=0.7)), data)
    asked = 0.8 * (KP * (data.ctrl - data.qpos[7:]) - KD * 0.5)
    np.testing.assert_allclose(data.actuator_force, [asked[0], asked[1], 0.7 * EFFORT, -0.7 * EFFORT])


def test_the_centre_of_mass_moves_by_the_trunks_share(policy: Policy):
    shifted, nominal = linked(policy, 16, com_m=0.05), linked(policy, 16)
    moved = shifted.simulation.batch.subtree_com[:, 0] - nominal.simulation.batch.subtree_com[:, 0]
    share = policy.model.body("trunk").mass[0] / policy.model.body_mass.sum()
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 0.05 * share, rtol=1e-6)
    assert np.linalg.norm(moved.mean(axis=0)) < 0.03 * share, "all to one side"


def test_what_hangs_on_the_trunk_stays_where_its_centre_of_mass_does_not(policy: Policy):
    """The trunk's box lies in its centre of mass, and MuJoCo would move it along."""
    shifted, trunk = linked(policy, 2, com_m=0.05).simulation.batch.model, policy.model.body("trunk").id
    boxes = policy.model.geom_bodyid == trunk
    assert policy.model.geom_sameframe[boxes].all()
    assert not shifted.geom_sameframe[boxes].any()


def test_the_model_given_is_left_alone(policy: Policy):
    before = policy.model.body_mass.copy(), policy.model.actuator_gainprm.copy(), policy.model.body_ipos.copy()
    linked(policy, mass=2.0, gains=2.0, com_m=0.1)
    for old, new in zip(before, (policy.model.body_mass, policy.model.actuator_gainprm, policy.model.body_ipos)):
        np.testing.assert_array_equal(old, new)


def test_sensors_err_by_the_published_levels_and_bodies_follow(policy: Policy):
    link = linked(policy, 4000, noise=2.0)
    true = link.simulation.state()
    seen = link.sense(true)
    own = [Rotation.from_quat(s.qpos[:, 3:7], scalar_first=True).inv().apply(s.qvel[:, :3]) for s in (seen, true)]
    shift = Rotation.from_quat(true.qpos[:, 3:7], scalar_first=True).inv().apply(seen.qpos[:, :3] - true.qpos[:, :3])
    for values, level in (
        (shift, 0.5), (seen.qpos[:, 7:] - true.qpos[:, 7:], 0.02), (own[0] - own[1], 1.0),
        (seen.qvel[:, 3:6] - true.qvel[:, 3:6], 0.4),
        (seen.qvel[:, 6:] - true.qvel[:, 6:], 1.0),
    ):  # fmt: skip
        assert np.abs(values).max() == pytest.approx(level, rel=0.02)
        assert np.abs(values.mean(axis=0)).max() < 0.05 * level
    expected = kinematic_state(policy.body, seen.qpos[:9].astype(float), seen.qvel[:9].astype(float), policy.tracked_ids)
    for name in ("xpos", "xquat", "xlinvel", "xangvel"):
        np.testing.assert_allclose(getattr(seen, name)[:9], getattr(expected, name), atol=1e-5, err_msg=name)
    assert not np.array_equal(seen.qpos, link.sense(true).qpos), "noise is drawn anew each time"


def test_an_encoders_bias_is_seen_and_held(policy: Policy):
    """Target = reading means that the motor is content: the bias is in the policy's eyes and in the motor's."""
    link = linked(policy, 200, encoder_bias_rad=0.05)
    state = link.simulation.state()
    reading = link.sense(state).qpos[:, 7:]
    assert np.abs(reading - state.qpos[:, 7:]).max() == pytest.approx(0.05, rel=0.02)
    link.drive(reading)
    np.testing.assert_allclose(link.simulation.batch.ctrl, state.qpos[:, 7:], atol=1e-6)


def test_what_is_dropped_is_the_one_before(policy: Policy):
    link = linked(policy, 500, dropped=0.2)
    before, repeated = link.sense(link.simulation.state()), 0
    for _ in range(10):
        link.drive(np.zeros((500, 4)))
        state = link.simulation.state()
        seen = link.sense(state)
        old = (seen.qpos == before.qpos).all(axis=1)
        np.testing.assert_array_equal(seen.qpos[~old], state.qpos[~old])
        np.testing.assert_array_equal(seen.xpos[old], before.xpos[old])
        before, repeated = seen, repeated + old.sum()
    assert repeated / 5000 == pytest.approx(0.2, abs=0.03)


def test_pushes_come_every_two_seconds_at_the_size_asked_for(policy: Policy, monkeypatch: pytest.MonkeyPatch):
    link = linked(policy, 50, push_m_s=0.5)
    monkeypatch.setattr(link.simulation, "step", lambda ctrl, steps: None)  # only the pushes move it
    pushed = np.zeros((300, 50), bool)
    for step in range(300):
        before = link.simulation.batch.qvel.copy()
        link.drive(np.zeros((50, 4)))
        change = link.simulation.batch.qvel - before
        pushed[step] = np.abs(change).max(axis=1) > 0
        np.testing.assert_allclose(np.linalg.norm(change[pushed[step], :2], axis=1), 0.5)
        assert not change[:, 2:].any()
    assert not pushed[0].any()
    np.testing.assert_array_equal(pushed[:100].sum(axis=0) + pushed[100], 1 + pushed[100] * pushed[:100].any(axis=0))
    np.testing.assert_array_equal(pushed[101:200], pushed[201:300])
    assert len(np.unique(np.argmax(pushed, axis=0))) > 20, "seeds are pushed at different moments"


@pytest.mark.parametrize(("setting", "axis"), [({"forward_n": 40.0}, 0), ({"sideways_n": 40.0}, 1)])
def test_a_force_acts_once_for_a_fifth_of_a_second_as_the_robot_faces(policy: Policy, setting: dict[str, float], axis: int):
    link, free = linked(policy, 50, **setting), linked(policy, 50)
    steps, hold = 2 * (MOTION.num_frames // 2), policy.reference(MOTION).qpos[0, 7:]
    acted, first_change = np.zeros((steps, 50), bool), np.full((50, 2), np.nan)
    for step in range(steps):
        facing = Rotation.from_quat(link.simulation.batch.qpos[:, 3:7], scalar_first=True).as_euler("ZYX")[:, 0]
        for one in (link, free):
            one.drive(np.broadcast_to(hold, (50, 4)))
        force = link.simulation.batch.xfrc_applied[:, 1, :3]
        acted[step] = np.abs(force).max(axis=1) > 0
        assert not link.simulation.batch.xfrc_applied[:, 2:].any()
        along = np.stack([np.cos(facing + axis * np.pi / 2), np.sin(facing + axis * np.pi / 2), 0.0 * facing], axis=1)
        size = np.sum(force * along, axis=1)
        np.testing.assert_allclose(np.abs(size[acted[step]]), 40.0, rtol=1e-5)
        if axis == 0:
            assert (size[acted[step]] > 0).all()
        new = acted[step] & np.isnan(first_change[:, 0])
        first_change[new] = (link.simulation.batch.qvel - free.simulation.batch.qvel)[new, :2]
    assert (acted.sum(axis=0) == 10).all()
    assert (np.diff(acted.astype(int), axis=0) == 1).sum(axis=0).max() <= 1, "in one stretch"
    assert len(np.unique(acted.argmax(axis=0))) > 20
    assert (np.linalg.norm(first_change, axis=1) > 0.005).all(), "it moves the body"


def test_starts_differ_within_bounds_and_stand_on_the_ground(policy: Policy):
    clip = policy.reference(MOTION)
    qpos = linked(policy, 300, start_rad=0.2).simulation.state().qpos
    assert np.abs(qpos[:, 7:] - clip.qpos[0, 7:]).max() == pytest.approx(0.2, rel=0.05)
    up = 1 - 2 * (qpos[:, 4] ** 2 + qpos[:, 5] ** 2)  # z of the trunk's z axis; the clip's trunk is level
    assert np.arccos(up).max() == pytest.approx(0.2, rel=0.05)
    np.testing.assert_allclose(qpos[:, :2], np.broadcast_to(clip.qpos[0, :2], (300, 2)), atol=1e-6)
    data, depths = mujoco.MjData(policy.model), []
    for row in [clip.qpos[0], *qpos]:
        data.qpos[:] = row
        mujoco.mj_forward(policy.model, data)
        depths.append(-data.contact.dist.min(initial=0.0))
    assert max(depths[1:]) <= depths[0] + 0.003  # the lift is along z, a foot's contact need not be
    np.testing.assert_array_equal(qpos, linked(policy, 300, start_rad=0.2).simulation.state().qpos)


@pytest.mark.parametrize(
    "wrong",
    [{"mass": -1.0}, {"friction": 0.0}, {"push_m_s": -0.1}, {"throw_kg": -1.0}, {"dropped": 1.0}, {"noise": float("nan")}],
)
def test_what_cannot_be_is_refused(wrong: dict[str, float]):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Perturbation(**wrong)


def test_balls_hit_every_two_seconds_and_leave_nothing_behind(policy: Policy):
    link, free = linked(policy, 50, throw_kg=2.0), linked(policy, 50)
    hold, hit = np.broadcast_to(policy.reference(MOTION).qpos[0, 7:], (50, 4)), np.zeros((200, 50), bool)
    for step in range(200):
        link.drive(hold)
        assert not link.simulation.batch.xfrc_applied.any(), "what has hit acts no more"
        free.drive(hold)
        hit[step] = (link.simulation.batch.qvel != free.simulation.batch.qvel).any(axis=1)
    first = hit.argmax(axis=0)
    assert first.min() >= 1
    assert hit[100].all()
    assert len(np.unique(first)) > 20, "each at a moment of its own"
    moved = np.abs(link.simulation.batch.qpos - free.simulation.batch.qpos)[:, :2].max(axis=1)
    assert np.median(moved) > 0.02
    again = linked(policy, 50, throw_kg=2.0)
    for _ in range(200):
        again.drive(hold)
    np.testing.assert_array_equal(again.simulation.batch.qpos, link.simulation.batch.qpos)


def test_a_heavier_ball_hits_the_same_place_harder(policy: Policy):
    light, heavy = linked(policy, 50, throw_kg=0.5), linked(policy, 50, throw_kg=2.0)
    state = light.simulation.state()
    for step in range(1, 101):
        light.control_steps = heavy.control_steps = step
        light.forces[:] = heavy.forces[:] = 0.0
        small, large = (link._throw() for link in (light, heavy))
        np.testing.assert_array_equal(small.body, large.body)
        size = np.linalg.norm(small.force, axis=1)
        assert (size < 0.5 * 5.0 / 0.02 + 20).all(), "no more than its momentum, but for how fast it is met"
        assert (np.linalg.norm(large.force, axis=1)[size > 0] > size[size > 0]).all()
        np.testing.assert_allclose(light.forces[np.arange(50), small.body, :3], small.force)
    np.testing.assert_array_equal(light.simulation.state().qpos, state.qpos)
