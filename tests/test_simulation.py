"""Robots side by side against a loop of mj_step over each of them."""

import mujoco
import numpy as np
from tiny import tiny_robot

from mimic.deploy.simulation import Simulation, read_state

ROBOT = tiny_robot()
IDS = ROBOT.body.body_ids(ROBOT.tracked_bodies)


def starts(count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    qpos = np.repeat(ROBOT.default_qpos[None], count, axis=0)
    qpos[:, 7:] += rng.uniform(-0.2, 0.2, (count, 4))
    return qpos, rng.uniform(-0.5, 0.5, (count, 10))


def test_a_batch_equals_a_loop_to_the_last_bit():
    qpos, qvel = starts(5)
    simulation = Simulation(ROBOT.model, IDS, qpos, qvel)
    many = [mujoco.MjData(ROBOT.model) for _ in range(5)]
    for data, q, v in zip(many, qpos, qvel, strict=True):
        data.qpos[:], data.qvel[:] = q, v
    rng = np.random.default_rng(1)
    for steps in (0, 4, 1, 3, 4):
        ctrl = rng.uniform(-0.3, 0.3, (5, 4))
        if steps:
            simulation.step(ctrl, steps)
        state = simulation.state()
        for b, data in enumerate(many):
            data.ctrl[:] = ctrl[b]
            for _ in range(steps):
                mujoco.mj_step(ROBOT.model, data)
            for name, values in read_state(ROBOT.model, data, IDS)._asdict().items():
                np.testing.assert_array_equal(getattr(state, name)[b], values, err_msg=name)


def test_a_stopped_robot_stands_still_and_the_others_go_on():
    qpos, qvel = starts(3)
    ctrl = np.zeros((3, 4))
    together, without = (Simulation(ROBOT.model, IDS, qpos, qvel) for _ in range(2))
    together.step(ctrl, 4)
    without.stop(np.array([False, True, False]))
    without.step(ctrl, 4)
    np.testing.assert_array_equal(without.state().qpos[[0, 2]], together.state().qpos[[0, 2]])
    np.testing.assert_array_equal(without.state().qpos[1], qpos[1].astype(np.float32))
    without.stop(np.array([True, True, True]))
    without.step(ctrl, 4)
    np.testing.assert_array_equal(without.state().qpos[0], together.state().qpos[0])


def test_only_the_robot_whose_physics_broke_is_nan(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log where it stands
    qpos, qvel = starts(3)
    qvel[1, 0] = 1e12
    simulation = Simulation(ROBOT.model, IDS, qpos, qvel)
    for _ in range(2):
        simulation.step(np.zeros((3, 4)), 4)
        for part in simulation.state():
            np.testing.assert_array_equal(np.isnan(part).reshape(3, -1).any(axis=1), [False, True, False])
