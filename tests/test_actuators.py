"""What a motor has left at a speed: the corners of its curve, C MuJoCo against the solved equation, and what specs say of it."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from tiny import tiny_robot

from mimic.inspection import inspect_path
from mimic.robots import Robot, load_robot
from mimic.robots.actuators import limit_torques, torque_limits
from mimic.robots.store import read_robot, write_robot
from motions.errors import InputError

EFFORT, NO_LOAD, CORNER = np.array([10.0, 20.0]), np.array([8.0, 30.0]), np.array([2.0, 30.0])

# Unitree's measurements, as published: full torque [N m] up to a speed [rad/s], none from another [rad/s] on; dry and viscous
# friction; the robot and one joint that one such motor drives; the gears it has there beyond those of the measurement.
MEASURED = {
    "7520_14": (71.0, 22.63, 35.52, 1.6, 0.16, "g1", "left_hip_pitch_joint", 1.0),
    "7520_22": (111.0, 14.5, 22.7, 2.4, 0.24, "g1", "left_knee_joint", 1.0),
    "5020": (24.8, 30.86, 40.13, 0.6, 0.06, "g1", "left_elbow_joint", 1.0),
    "4010": (4.8, 15.3, 24.76, 0.6, 0.06, "g1", "left_wrist_yaw_joint", 1.0),
    "go2hv": (20.2, 13.5, 30.0, 0.0, 0.0, "go2", "FL_hip_joint", 1.0),
    "go2hv, calf": (20.2, 13.5, 30.0, 0.0, 0.0, "go2", "FL_calf_joint", 1.917),
    "m107_15": (150.0, 14.0, 25.6, 0.0, 0.0, "h1", "left_hip_pitch", 1.0),
    "m107_24": (240.0, 8.8, 16.0, 0.0, 0.0, "h1", "left_knee", 1.0),
    "go2hv, ankle": (20.2, 13.5, 30.0, 0.0, 0.0, "h1", "left_ankle", 30.1 / 9.0),
    "go2hv, elbow": (20.2, 13.5, 30.0, 0.0, 0.0, "h1", "left_elbow", 30.1 / 20.0),
}


def test_the_corners_of_the_curve() -> None:
    low, high = torque_limits(np.array([0.0, 0.0]), EFFORT, NO_LOAD, CORNER)
    np.testing.assert_array_equal([low, high], [-EFFORT, EFFORT])
    low, high = torque_limits(np.array([2.0, 29.9]), EFFORT, NO_LOAD, CORNER)
    np.testing.assert_array_equal(high, EFFORT)  # the second falls off right at its no-load speed
    low, high = torque_limits(np.array([5.0, 30.0]), EFFORT, NO_LOAD, CORNER)
    np.testing.assert_allclose(high, [5.0, 0.0])  # half way down
    np.testing.assert_array_equal(low, -EFFORT)  # braking
    low, high = torque_limits(np.array([-8.0, -99.0]), EFFORT, NO_LOAD, CORNER)
    np.testing.assert_array_equal(low, [0.0, 0.0])
    np.testing.assert_array_equal(high, EFFORT)


def test_the_faster_the_less_and_no_known_limit_no_loss() -> None:
    speeds = np.linspace(-12, 12, 241)[:, None]
    low, high = torque_limits(speeds, EFFORT[:1], NO_LOAD[:1], CORNER[:1])
    assert (np.diff(high, axis=0) <= 0).all()
    assert (np.diff(low, axis=0) <= 0).all()
    np.testing.assert_allclose(low, -high[::-1])
    low, high = torque_limits(speeds, EFFORT[:1], np.array([np.inf]), np.array([np.inf]))
    np.testing.assert_array_equal(np.unique([low, high]), [-10.0, 10.0])


def test_numpy_and_jax_agree_also_for_motors_without_a_limit() -> None:
    speeds = np.random.default_rng(0).normal(scale=20, size=(50, 3)).astype(np.float32)
    motors = (np.array([10.0, 20.0, 30.0]), np.array([8.0, 30.0, np.inf]), np.array([2.0, 30.0, np.inf]))
    compiled = jax.jit(torque_limits)(jnp.asarray(speeds), *motors)
    for ours, theirs in zip(torque_limits(speeds, *motors), compiled, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_mujocos_wheel_spins_up_as_the_solved_equation_says() -> None:
    """I v' = effort up to the corner; then v' = (v_n - v)/tau, tau = I (v_n - v_c)/effort: exponentially to the no-load speed."""
    inertia, effort, no_load, corner = 0.5, 4.0, 20.0, 8.0
    model = mujoco.MjModel.from_xml_string(
        f"""<mujoco><option timestep=".0005" gravity="0 0 0" integrator="implicitfast"/><worldbody>
        <body><freejoint/><geom size="1" mass="1e9"/><body><joint name="wheel" axis="0 0 1" armature="{inertia}"/>
        <inertial pos="0 0 0" mass="1e-6" diaginertia="1e-9 1e-9 1e-9"/></body></body></worldbody>
        <actuator><motor joint="wheel" forcerange="-1 1" forcelimited="true"/></actuator></mujoco>"""
    )
    data = mujoco.MjData(model)
    data.ctrl[0] = 1e6
    motor = [np.array([value]) for value in (effort, no_load, corner)]
    at_corner_s, tau_s = inertia * corner / effort, inertia * (no_load - corner) / effort
    for time_s in (0.5 * at_corner_s, at_corner_s, at_corner_s + tau_s, at_corner_s + 5 * tau_s):
        while data.time < time_s - 1e-9:
            limit_torques(model, data, *motor)
            mujoco.mj_step(model, data)
        late = max(time_s - at_corner_s, 0.0)
        wanted = effort * time_s / inertia if late == 0 else no_load - (no_load - corner) * np.exp(-late / tau_s)
        assert data.qvel[6] == pytest.approx(wanted, rel=1e-3)
    data.ctrl[0] = -1e6
    limit_torques(model, data, *motor)
    mujoco.mj_step(model, data)
    assert data.actuator_force[0] == -effort  # braking from full speed


@pytest.mark.parametrize("motor", MEASURED)
def test_specs_say_what_was_measured(motor: str, shared_robots: Path) -> None:
    torque, corner, no_load, friction, damping, name, joint, gear = MEASURED[motor]
    robot = load_robot(name, search=(shared_robots,))
    i = robot.joint_names.index(joint)
    # the measured line, seen behind the joint's gears, is down to the effort that the spec allows
    left = torque * gear * (no_load / gear - robot.corner_velocity[i]) / (no_load / gear - corner / gear)
    assert left == pytest.approx(robot.effort[i], rel=2e-3)
    assert robot.velocity_limit[i] < 1.01 * no_load / gear
    assert robot.motor_friction[i] == friction
    assert robot.motor_damping[i] == damping


def test_two_motors_on_one_joint_rub_twice_and_an_unmeasured_one_is_strong_up_to_half_its_limit(shared_robots: Path) -> None:
    g1, t1 = (load_robot(name, search=(shared_robots,)) for name in ("g1", "t1"))
    elbow, ankle = (g1.joint_names.index(f"left_{name}_joint") for name in ("elbow", "ankle_pitch"))
    assert g1.motor_friction[ankle] == 2 * g1.motor_friction[elbow] > 0
    assert g1.motor_damping[ankle] == 2 * g1.motor_damping[elbow] > 0
    assert g1.corner_velocity[ankle] == g1.corner_velocity[elbow]
    np.testing.assert_array_equal(t1.corner_velocity, t1.velocity_limit / 2)


def test_inspect_shows_whole_names_and_the_motors(capsys: pytest.CaptureFixture, shared_robots: Path) -> None:
    inspect_path(str(shared_robots / "unitree_g1" / "nomesh" / "g1_mjlab_nomesh.xml"))
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "right_hip_pitch_joint" in line and "19.54" in line]
    assert row.split() == ["right_hip_pitch_joint", "88", "19.54", "32", "1.6", "0.16"]


def same(one: Robot, two: Robot) -> None:
    for name in ("velocity_limit", "corner_velocity", "motor_friction", "motor_damping"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_stored_robots_keep_their_motors_and_old_files_have_ideal_ones(tmp_path: Path, shared_robots: Path) -> None:
    g1 = load_robot("g1", search=(shared_robots,))
    write_robot(g1, tmp_path / "g1")
    same(read_robot(tmp_path / "g1"), g1)
    write_robot(tiny_robot(), tmp_path / "tiny")
    path = tmp_path / "tiny.json"
    old = {key: value for key, value in json.loads(path.read_text()).items() if not key.startswith(("motor_", "corner_"))}
    assert len(old) + 3 == len(json.loads(path.read_text()))
    path.write_text(json.dumps(old))
    same(read_robot(tmp_path / "tiny"), tiny_robot())


SPEC = """
name = "walker"
files = ["walker.xml"]
[gains]
natural_frequency_hz = 10.0
damping_ratio = 2.0
[motors.m]
armature = 0.01
effort = 9.0
velocity_limit = 12.0
corner_velocity = 6.0
[joints]
"*" = { motor = "m" }
[default_pose]
root_z = 1.0
[bodies]
tracked = ["trunk"]
anchor = "trunk"
end_effectors = []
feet = ["foot"]
"""
WALKER = """<mujoco><worldbody><body name="trunk"><freejoint/><geom size=".1"/><body name="foot" pos="0 0 -.5">
<joint name="knee" axis="0 1 0"/><geom size=".1"/></body></body></worldbody></mujoco>"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("", "", ""),
        ("corner_velocity = 6.0", "corner_velocity = 13.0", "'knee' has corner_velocity 13 above its velocity_limit 12"),
        ("corner_velocity = 6.0", "friction = -1.0", "friction = -1.0, expected a number not below 0"),
        ("corner_velocity = 6.0", 'damping = "much"', "damping = 'much', expected a number"),
        ("corner_velocity", "corner_velocty", "Did you mean 'corner_velocity'"),
        ("effort = 9.0", "", "'knee' lacks effort"),
        ("armature = 0.01", "rotor_inertias = [1e-4, 0.0, 0.0]", "'knee' lacks gears"),
        ('motor = "m"', 'motor = "m", kp = 3.0', "'knee' lacks kd"),
        ('motor = "m"', 'motor = "n"', "unknown motor .* 'n'"),
        ("armature = 0.01", "rotor_inertias = [1e-4]\ngears = [2.0, 3.0]", "rotor_inertias = .*expected 3 numbers"),
        ('"*" = { motor = "m" }', '"*" = 3', "joints and what is in it must be tables"),
        ("damping_ratio = 2.0", "", "expected damping_ratio and natural_frequency_hz"),
    ],
)
def test_what_a_spec_says_wrong_of_a_motor_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    (tmp_path / "walker.xml").write_text(WALKER)
    path = tmp_path / "walker.toml"
    path.write_text(SPEC.replace(old, new) if old else SPEC)
    if not told:
        np.testing.assert_allclose(load_robot(str(path)).kp, 0.01 * (20 * np.pi) ** 2)
        return
    with pytest.raises(InputError, match=told) as caught:
        load_robot(str(path))
    assert "walker.toml" in str(caught.value)
