"""What an action of zero asks for: the arithmetic by hand, inverse dynamics against MuJoCo's, and that it holds a robot."""

import copy

import mujoco
import numpy as np
import pytest
from tiny import EFFORT, KD, KP, tiny_motion, tiny_robot

from mimic.config import ActionConfig
from mimic.mdp.inverse_dynamics import reference_torques
from mimic.mdp.priors import Prior
from motions.kinematics import KinematicState
from motions.library import pack

ROBOT, DT = tiny_robot(), 0.02
FRAMES = pack([tiny_motion()], ROBOT.body, ROBOT.tracked_bodies, DT).frames


def priors(
    config: ActionConfig, frames: KinematicState = FRAMES, model: mujoco.MjModel = ROBOT.model, ctrl_dt: float = DT
) -> np.ndarray:
    prior = Prior(model, ROBOT.default_qpos[7:], ROBOT.kp, ROBOT.kd, ROBOT.effort, ctrl_dt, 0.6, config)
    return prior.targets(frames.qpos, frames.qvel)


def test_default_prior_is_the_default_pose_in_every_frame():
    found = priors(ActionConfig(prior="default"))
    assert found.shape == (101, 4)
    np.testing.assert_array_equal(found, np.tile(np.float32([0.1, 0.1, -0.1, -0.1]), (101, 1)))


def test_reference_prior_by_loops():
    plain, leading = (priors(ActionConfig(feed_forward=name)) for name in ("none", "velocity"))
    assert plain.dtype == leading.dtype == np.float32
    for f in (0, 17, 100):
        for j in range(4):
            assert plain[f, j] == FRAMES.qpos[f, 7 + j]
            assert leading[f, j] == pytest.approx(FRAMES.qpos[f, 7 + j] + KD / KP * FRAMES.qvel[f, 6 + j], abs=1e-6)


def test_velocity_feed_forward_cancels_the_damping():
    """On the reference the PD law's torque kp (q* - q) - kd qdot is then zero."""
    target = priors(ActionConfig(feed_forward="velocity"))
    torque = KP * (target - FRAMES.qpos[:, 7:]) - KD * FRAMES.qvel[:, 6:]
    np.testing.assert_allclose(torque, 0, atol=1e-4)


def test_dynamics_add_the_torques_within_the_motors_effort():
    torques = reference_torques(ROBOT.model, FRAMES.qpos, FRAMES.qvel, 50.0, 0.6)
    assert np.abs(torques).max() < EFFORT
    difference = priors(ActionConfig()) - priors(ActionConfig(feed_forward="velocity"))
    np.testing.assert_allclose(difference, torques / KP, atol=1e-6)
    weak = Prior(ROBOT.model, ROBOT.default_qpos[7:], ROBOT.kp, ROBOT.kd, 0.01 * np.ones(4), DT, 0.6, ActionConfig())
    held_back = weak.targets(FRAMES.qpos, FRAMES.qvel)
    assert np.abs(held_back - priors(ActionConfig(feed_forward="velocity"))).max() < 0.0101 / KP


def test_in_the_air_it_is_mujocos_inverse_dynamics():
    """No contact: M qacc + bias - passive, as mj_inverse gives it; the passive part is the joints' damping here."""
    t = np.arange(40) / 50
    qvel = np.zeros((40, 10))
    qvel[:, 2], qvel[:, 6:] = 1 - 9.81 * t, 3 * np.sin(4 * t)[:, None] * [1, -1, 0.5, 2]
    qpos = np.zeros((40, 11))
    qpos[:, 2], qpos[:, 3], qpos[:, 7:] = 5, 1, 0.5 * np.cos(4 * t)[:, None]
    found = reference_torques(ROBOT.model, qpos, qvel, 50.0, 0.6)
    data = mujoco.MjData(ROBOT.model)
    for f in (8, 10, 20):
        data.qpos[:], data.qvel[:], data.qacc[:] = qpos[f], qvel[f], (qvel[f + 1] - qvel[f - 1]) * 25
        mujoco.mj_inverse(ROBOT.model, data)
        np.testing.assert_allclose(found[f], data.qfrc_inverse[6:], atol=0.02)
        assert np.abs(data.qfrc_inverse[6:]).max() > 0.2


def test_standing_on_splayed_legs_the_feet_bear_the_weight():
    """At rest with hips at angle q, by symmetry each foot bears a quarter of the weight, and sideways at most .6 of that.

    The hip's torque is then the moment of the foot's force about it, less the leg's own weight.
    """
    q = np.array([0.3, 0.3, -0.3, -0.3])
    reach = 0.3 * np.cos(0.3) + 0.03
    qpos = np.concatenate([[0, 0, reach, 1, 0, 0, 0], q])[None].repeat(20, 0)
    found = reference_torques(ROBOT.model, qpos, np.zeros((20, 10)), 50.0, 0.6)[10]
    data = mujoco.MjData(ROBOT.model)
    data.qpos[:] = qpos[0]
    mujoco.mj_forward(ROBOT.model, data)
    weight = 9.81 * sum(ROBOT.model.body_mass)
    assert found[:2] == pytest.approx(-found[2:], abs=0.02)
    for i, leg in enumerate(("front_left", "front_right", "hind_left", "hind_right")):
        body = ROBOT.model.body(leg).id
        foot = data.xpos[body] + data.xmat[body].reshape(3, 3) @ [0, 0, -0.3]
        arm = foot - data.xpos[body]
        own = 9.81 * ROBOT.model.body_mass[body] * (data.xipos[body] - data.xpos[body])[0]  # moment about +y: z force down
        upward = weight / 4 * arm[0]  # of a force straight up at the foot's lowest point, about +y with the opposite sign
        sideways = (found[i] - (upward - own)) / (arm[2] - 0.03)
        assert abs(sideways) < 0.6 * weight / 4 + 0.1


def recorded_flight() -> KinematicState:
    """One second, at 200 Hz, of a thrown robot whose joints are driven by known torques: a motion that physics made."""
    free = copy.copy(ROBOT.model)
    free.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ACTUATION
    data = mujoco.MjData(free)
    data.qpos[2] = 20
    qpos, qvel = [data.qpos.copy()], [data.qvel.copy()]
    for step in range(200):
        data.qfrc_applied[6:] = 1.5 * np.cos(0.005 * step * np.array([17, 19, 18, 16]))
        mujoco.mj_step(free, data)
        qpos.append(data.qpos.copy())
        qvel.append(data.qvel.copy())
    empty = np.zeros((201, 0, 3))
    return KinematicState(np.array(qpos), np.array(qvel), empty, empty, empty, empty)


def test_a_motion_that_physics_made_is_repeated_by_an_action_of_zero():
    """Joint errors in plain MuJoCo: smaller with the torques fed forward than without, smaller with the velocity than without."""
    flight = recorded_flight()
    assert 0.2 < np.abs(flight.qpos[:, 7:]).max() < 0.9

    def error(feed_forward: str) -> float:
        data = mujoco.MjData(ROBOT.model)
        data.qpos[:], data.qvel[:] = flight.qpos[0], flight.qvel[0]
        targets, errors = priors(ActionConfig(feed_forward=feed_forward), flight, ctrl_dt=0.005), []
        for f in range(1, 201):
            data.ctrl[:] = targets[f]
            mujoco.mj_step(ROBOT.model, data)
            errors.append(np.abs(data.qpos[7:] - flight.qpos[f, 7:]).mean())
        return float(np.mean(errors))

    assert error("dynamics") < 0.75 * error("velocity") < 0.5 * error("none")


def test_it_leaves_the_model_alone():
    model = copy.copy(ROBOT.model)
    before = model.geom_pos.copy(), model.opt.timestep
    priors(ActionConfig(), model=model)
    np.testing.assert_array_equal(model.geom_pos, before[0])
    assert model.opt.timestep == before[1]
