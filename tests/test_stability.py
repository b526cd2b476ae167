"""The gains a time step can bear: the pendulum's formula typed out, and C MuJoCo swinging up, or not, on both sides of it."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mimic.config import SimConfig
from mimic.inspection import inspect_path
from mimic.robots import load_robot
from mimic.robots.stability import UnstableJoint, unstable_joints

INERTIA, STEP_S = 0.02, 0.005


def pendulum(kp: float, kd: float) -> mujoco.MjModel:
    """One hinge on a root too heavy to move; the hinge sees INERTIA."""
    return mujoco.MjModel.from_xml_string(
        f"""<mujoco><option timestep="{STEP_S}" gravity="0 0 0" integrator="implicitfast"/><worldbody>
        <body><freejoint/><geom size="1" mass="1e9"/><body><joint name="hinge" axis="0 1 0" armature="{INERTIA / 2}"/>
        <inertial pos="0 0 0" mass="1" diaginertia="1 {INERTIA / 2} 1"/></body></body></worldbody><actuator>
        <general joint="hinge" biastype="affine" gainprm="{kp}" biasprm="0 {-kp} {-kd}"/></actuator></mujoco>"""
    )


def swings_up(model: mujoco.MjModel, qpos: np.ndarray) -> bool:
    """Whether a tiny disturbance of the joints grows ten-thousandfold in 2000 steps, in the air, without torque limits."""
    model = copy(model)
    model.opt.gravity[:], model.opt.disableflags = 0, mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    model.actuator_forcelimited[:] = 0
    data = mujoco.MjData(model)
    data.qpos[:], data.ctrl[:] = qpos, qpos[7:]
    data.qvel[6:] = 1e-8 * np.random.default_rng(0).normal(size=model.nu)
    for _ in range(2000):
        mujoco.mj_step(model, data)
        if np.abs(data.qvel[6:]).max() > 1e-4:
            return True
    return False


@pytest.mark.parametrize("kd", [0.0, 0.5, 20.0])
def test_a_pendulum_swings_up_exactly_beyond_its_limit(kd: float) -> None:
    limit = 4 * INERTIA / STEP_S**2 + 2 * kd / STEP_S
    rest = np.array([0, 0, 0, 1.0, 0, 0, 0, 0])
    below, above = pendulum(0.99 * limit, kd), pendulum(1.01 * limit, kd)
    assert unstable_joints(below, rest) == []
    (found,) = unstable_joints(above, rest)
    assert found.joint == "hinge"
    assert found.kp == pytest.approx(1.01 * limit)
    assert found.stable_kp == pytest.approx(limit, rel=1e-6)
    assert not swings_up(below, rest)
    assert swings_up(above, rest)


@pytest.mark.parametrize("name", ["humanoid", "g1", "t1"])
def test_a_whole_body_swings_up_exactly_beyond_its_limit(name: str, shared_robots: Path) -> None:
    robot = load_robot(name, search=(shared_robots,))
    model = robot.model
    assert unstable_joints(model, robot.default_qpos) == []
    model.actuator_gainprm[:, 0] *= 1000
    worst = min(joint.stable_kp / joint.kp for joint in unstable_joints(model, robot.default_qpos))
    model.actuator_gainprm[:, 0] *= worst
    for factor, unstable in ((0.97, False), (1.03, True)):
        tried = copy(model)
        tried.actuator_gainprm[:, 0] *= factor
        tried.actuator_biasprm[:, 1] = -tried.actuator_gainprm[:, 0]
        assert bool(unstable_joints(tried, robot.default_qpos)) == unstable
        assert swings_up(tried, robot.default_qpos) == unstable


def test_the_joint_that_swings_up_is_the_one_named() -> None:
    robot = load_robot("humanoid")
    i = robot.joint_names.index("left_elbow")
    robot.model.actuator_gainprm[i, 0] = 1e5
    (found,) = unstable_joints(robot.model, robot.default_qpos)
    assert found == UnstableJoint("left_elbow", 1e5, found.stable_kp)
    robot.model.actuator_gainprm[i, 0] = 0.99 * found.stable_kp
    assert unstable_joints(robot.model, robot.default_qpos) == []


def test_the_user_is_told_with_the_stable_limit(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    source = Path(load_robot("humanoid").source)
    spec = source.with_suffix(".toml").read_text().replace('"*_elbow" = { kp = 300.0', '"*_elbow" = { kp = 1e5')
    (tmp_path / "humanoid.xml").write_text(source.read_text())
    (tmp_path / "stiff.toml").write_text(spec)
    (told,) = load_robot(str(tmp_path / "stiff.toml")).assumptions
    assert told.startswith("warning: unstable gains for a physics step of 5 ms")
    assert "left_elbow kp 1e+05 (stable up to" in told
    assert "more" not in told
    inspect_path(str(tmp_path / "stiff.toml"))
    assert "unstable gains" in capsys.readouterr().out
    fine = load_robot(str(tmp_path / "stiff.toml"), sim=replace(SimConfig(), sim_dt=0.0005))
    assert fine.assumptions == ()
