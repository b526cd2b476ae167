"""What is shown on a time line: a policy's run with all that is known about it, and what acts on a robot."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot
from tiny_policy import CONFIG, FREE, still_policy

from mimic.deploy.sim2sim import rollout
from mimic.metrics import body_error
from mimic.takes import policy_take
from mimic.view.acting import acting, hull, near_contacts

ROBOT, MOTION = tiny_robot(), tiny_motion()


def test_a_policys_take_is_its_rollout(tmp_path: Path):
    policy = still_policy(tmp_path, CONFIG)
    take, run = policy_take(tmp_path, policy), rollout(policy)
    np.testing.assert_allclose(take.motion.qpos, run.states.qpos, atol=1e-6)
    assert take.reference is not None
    assert take.errors is not None
    assert take.errors.shape == (run.frames, len(policy.spec.tracked_bodies))
    np.testing.assert_allclose(take.errors.mean(axis=1), body_error(run.states, run.reference, policy.spec.anchor), rtol=1e-5)
    assert take.frame(1e9) == run.frames - 1
    assert all(len(part) == run.frames for part in take.traces if part is not None)


def test_torques_are_those_of_the_actuators(tmp_path: Path):
    policy = still_policy(tmp_path, CONFIG)
    take = policy_take(tmp_path, policy)
    assert take.dynamics is not None
    assert take.torques is not None
    model, qvel, targets = take.dynamics
    data = mujoco.MjData(model)
    for frame in (0, 40, 90):
        data.qpos[:], data.qvel[:], data.ctrl[:] = take.motion.qpos[frame], qvel[frame], targets[frame]
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(take.torques[frame], data.actuator_force, atol=1e-4)


def test_a_policy_that_follows_nothing_has_no_errors(tmp_path: Path):
    take = policy_take(tmp_path, still_policy(tmp_path, FREE))
    assert take.errors is None
    assert take.reference is None
    assert take.bodies == ()


def test_who_stands_is_borne_by_forces_of_its_weight():
    model, data = ROBOT.model, mujoco.MjData(ROBOT.model)
    data.qpos[:] = ROBOT.default_qpos
    data.ctrl[:] = ROBOT.default_qpos[7:]
    for _ in range(600):
        mujoco.mj_step(model, data)
    found = acting(model, mujoco.MjData(model), data.qpos, (data.qvel, data.ctrl))
    weight = model.body_mass.sum() * 9.81
    np.testing.assert_allclose(found.forces.sum(axis=0), [0.0, 0.0, weight], atol=0.02 * weight)
    assert found.balanced
    assert len(found.support) == 4, "a table on four legs"
    np.testing.assert_allclose(found.com[:2], data.qpos[:2], atol=0.05)
    np.testing.assert_allclose(found.com, data.subtree_com[1], atol=1e-6)


def test_of_a_pose_alone_the_feet_near_the_ground_stand():
    model = near_contacts(ROBOT.model)
    pose = ROBOT.default_qpos.copy()
    pose[7:], pose[2] = 0.0, 0.335  # 5 mm above the ground
    found = acting(model, mujoco.MjData(model), pose, None)
    assert len(found.support) == 4
    assert not found.forces.any()
    pose[2] = 0.4
    found = acting(model, mujoco.MjData(model), pose, None)
    assert found.points.shape == (0, 3)
    assert not found.balanced
    assert ROBOT.model.geom_margin.max() == 0.0, "the robot's own model is as it was"


@pytest.mark.parametrize("count", [0, 1, 2, 5, 40])
def test_the_hull_encloses_all_and_turns_left(count: int):
    points = np.random.default_rng(count).normal(size=(count, 2))
    corners = hull(points)
    assert {tuple(corner) for corner in corners} <= {tuple(point) for point in np.round(points, 6)}
    if count < 3:
        assert len(corners) == count
        return
    edges = np.roll(corners, -1, axis=0) - corners
    for point in points:
        to = point - corners
        assert (edges[:, 0] * to[:, 1] - edges[:, 1] * to[:, 0] > -1e-5).all()
    assert len(hull(np.outer(np.arange(count), [1.0, 2.0]))) == 2, "of a line its ends"
