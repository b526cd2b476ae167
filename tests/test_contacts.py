"""Contact forces by body: a block on the floor against its weight, in native physics and in the plain model."""

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from tiny import LEGS, tiny_robot

from mimic.config import SimConfig
from mimic.robots import Robot, load_robot
from mimic.robots.contacts import add_contact_sensors, net_forces, sensed_bodies
from mimic.sim.mjx import MjxPhysics
from mimic.sim.native import NativePhysics
from mimic.sim.physics import Drive, PhysicsState, Push
from motions.errors import InputError
from motions.kinematics import Body

# A block that lies on the floor with a short arm on top; the hand at its end touches nothing.
BLOCK = """<mujoco><worldbody>
  <body name="block" pos="0 0 .1"><freejoint/><geom name="sole" type="box" size=".3 .2 .1" mass="5"/>
    <body name="frame" pos="0 0 .1">
      <body name="hand" pos="0 0 .1"><joint name="wrist" range="-1 1"/><geom name="palm" size=".05" mass=".5"/></body>
    </body>
  </body>
</worldbody></mujoco>"""
SPEC = """
name = "block"
files = ["block.xml"]
[joints]
wrist = { kp = 10.0, kd = 1.0, effort = 10.0, armature = 0.01 }
[default_pose]
root_z = 0.1
[bodies]
tracked = ["block", "hand"]
anchor = "block"
end_effectors = ["hand"]
feet = ["block"]
foot_geoms = ["sole"]
"""
WEIGHT = 5.5 * 9.81


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> Robot:
    folder = tmp_path_factory.mktemp("block")
    (folder / "block.xml").write_text(BLOCK)
    (folder / "block.toml").write_text(SPEC)
    return load_robot(str(folder / "block.toml"), sim=SimConfig(collisions="all", contact_forces=True))


def at_rest(robot: Robot, drives: list[Drive]) -> PhysicsState:
    """Three of it after a second, each under its own drive."""
    physics = NativePhysics(robot, 4)
    drive = jax.tree.map(lambda *leaves: jnp.stack(leaves), *drives)
    qpos = jnp.tile(jnp.asarray(robot.default_qpos, jnp.float32), (len(drives), 1))
    state = jax.vmap(physics.place)(qpos, jnp.zeros((len(drives), robot.model.nv)))
    np.testing.assert_array_equal(state.contact_forces, 0)
    step = jax.jit(jax.vmap(physics.step))
    for _ in range(50):
        state = step(state, drive)
    return state


def test_a_body_pressed_on_the_floor(block: Robot):
    """Its weight; more by what presses, less by what lifts. The arm, which touches nothing but air, feels nothing."""
    assert sensed_bodies(block.model) == ("block", "hand")  # what has no geom cannot touch
    pushes = [Push(jnp.array([0.0, 0.0, z]), jnp.asarray(block.model.body("block").id)) for z in (0.0, -20.0, 15.0)]
    state = at_rest(block, [Drive(jnp.zeros(1), pushes=(push,)) for push in pushes])
    np.testing.assert_allclose(state.contact_forces[:, 0], [WEIGHT, WEIGHT + 20, WEIGHT - 15], rtol=1e-3)
    np.testing.assert_array_equal(state.contact_forces[:, 1], 0)


def test_what_touches_itself_feels_it_on_both_sides(block: Robot):
    """The palm grown into the block, in the air."""
    spec = mujoco.MjSpec.from_string(block.mjcf)
    spec.geom("palm").size[0] = 0.15
    spec.option.disableflags = mujoco.mjtDisableBit.mjDSBL_FILTERPARENT  # parent and child may touch
    model = spec.compile()
    data = mujoco.MjData(model)
    data.qpos[2] = 5.0
    mujoco.mj_step(model, data)
    forces = net_forces(model, data.sensordata)
    assert forces[1] > 1
    np.testing.assert_allclose(forces[0], forces[1])


def test_legs_of_a_table_share_its_weight():
    spec = mujoco.MjSpec.from_string(tiny_robot().mjcf)
    add_contact_sensors(spec)
    model = spec.compile()
    robot = dataclasses.replace(tiny_robot(), model=model, mjcf=spec.to_xml(), body=Body("tiny", model, LEGS[:2]))
    assert sensed_bodies(model) == LEGS  # the trunk touches nothing in this model
    straight = dataclasses.replace(robot, default_qpos=np.array([0, 0, 0.33, 1, 0, 0, 0, 0, 0, 0, 0]))
    forces = at_rest(straight, [Drive(jnp.zeros(4))]).contact_forces[0]
    weight = float(model.body_mass.sum() * 9.81)
    assert float(forces.sum()) == pytest.approx(weight, rel=2e-2)
    np.testing.assert_allclose(forces, weight / 4, rtol=0.1)


def test_a_model_without_sensors_carries_nothing():
    robot = tiny_robot()
    assert sensed_bodies(robot.model) == ()
    assert NativePhysics(robot, 4).init(None).contact_forces is None  # type: ignore[arg-type]


def test_mjx_jax_has_no_such_sensors(block: Robot):
    with pytest.raises(InputError, match=r"mjx-jax has no sensor for contact forces .* use native or mjx-warp"):
        MjxPhysics(block, 4, "jax", 1)
