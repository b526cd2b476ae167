"""A varied model against a MuJoCo model edited by hand, stepped by a plain loop; native and MJX."""

import copy
import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot

from mimic.robots.actuators import torque_limits
from mimic.sim.mjx import MjxPhysics
from mimic.sim.native import NativePhysics
from mimic.sim.physics import Drive, PhysicsState, Push
from mimic.sim.variation import Variation, varied_fields
from motions.kinematics import KinematicState, kinematic_state
from motions.library import pack

ROBOT, SUBSTEPS = tiny_robot(), 4
MODEL = ROBOT.model
FRAMES = pack([tiny_motion()], ROBOT.body, ROBOT.tracked_bodies, 0.02).frames
RNG = np.random.default_rng(0)
PUSHED = MODEL.body("front_left").id


def variation(seed: int) -> Variation:
    rng = np.random.default_rng(seed)
    body, joint = rng.uniform(0.8, 1.2, (2, MODEL.nbody)), rng.uniform(0.7, 1.3, (4, 4))
    parts = (
        rng.uniform(0.5, 1.5), *body, rng.uniform(-0.05, 0.05, 3), *joint, np.zeros(4), rng.uniform(0, 0.3, 4),
        np.array([0.3, -0.2, -9.7]),
    )  # fmt: skip
    return Variation(*(np.float32(part) for part in parts))


def edited(v: Variation) -> mujoco.MjModel:
    """By hand, field by field, joint by joint."""
    text = ROBOT.mjcf.replace('size=".25 .15 .05" mass="6"/>', 'size=".25 .15 .05" mass="6" pos="{} {} {}"/>'.format(*v.com))
    model = mujoco.MjModel.from_xml_string(text)  # the trunk's only geom, whose place is its centre of mass
    assert np.abs(model.body("trunk").ipos - v.com).max() < 1e-6
    model.geom("floor").friction[0] *= v.friction
    for b in range(model.nbody):
        model.body_mass[b] *= v.mass[b]
        model.body_inertia[b] *= v.mass[b] * v.inertia[b]
    for j in range(4):
        model.dof_armature[6 + j] *= v.armature[j]
        model.dof_damping[6 + j] += v.joint_damping[j]
        model.actuator_gainprm[j, 0] *= v.kp[j]
        model.actuator_biasprm[j, 1] *= v.kp[j]
        model.actuator_biasprm[j, 2] *= v.kd[j]
        model.actuator_forcerange[j] *= v.effort[j]
    model.opt.gravity[:] = v.gravity
    return model


def start(frame: int, lift: float) -> KinematicState:
    qpos = FRAMES.qpos[frame].copy()
    qpos[2] += lift
    return kinematic_state(ROBOT.body, qpos, FRAMES.qvel[frame], ROBOT.body.body_ids(ROBOT.tracked_bodies))


def batch(physics, drives: list[Drive], lift: float = 0.0) -> PhysicsState:
    states = [physics.init(jax.tree.map(jnp.asarray, start(5 + i, lift))) for i in range(len(drives))]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    drive = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf, jnp.float32) for leaf in leaves]), *drives)
    return jax.jit(jax.vmap(physics.step))(stacked, drive)


def loop(frame: int, model: mujoco.MjModel, ctrl: np.ndarray, torque: np.ndarray, force: np.ndarray, lift: float) -> np.ndarray:
    """qpos and qvel after plain mj_steps with one row of `ctrl` each."""
    data = mujoco.MjData(model)
    state = start(frame, lift)
    data.qpos[:], data.qvel[:] = state.qpos, state.qvel
    data.qfrc_applied[6:] = torque
    data.xfrc_applied[PUSHED, :3] = force
    for row in ctrl:
        data.ctrl[:] = row
        mujoco.mj_step(model, data)
    return np.concatenate([data.qpos, data.qvel])


CTRL = RNG.normal(size=(3, SUBSTEPS, 4), scale=0.08).astype(np.float32)
TORQUE = RNG.normal(size=(3, 4)).astype(np.float32)
FORCE = RNG.normal(size=(3, 3), scale=20).astype(np.float32)
DRIVES = [Drive(CTRL[i], TORQUE[i], (Push(FORCE[i], PUSHED),), variation(i)) for i in range(3)]


def test_native_steps_the_edited_model():
    """Another model, other targets in each substep, torques and a push in every environment.

    Exactly in the air; on the ground the edited model's contacts are regularized by its own inertia, the engine's by the nominal.
    """
    for lift, tolerance in ((0.2, 2e-6), (0.0, 0.02)):
        found = batch(NativePhysics(ROBOT, SUBSTEPS), DRIVES, lift).kinematics
        for i, drive in enumerate(DRIVES):
            expected = loop(5 + i, edited(drive.variation), CTRL[i], TORQUE[i], FORCE[i], lift)
            np.testing.assert_allclose(np.concatenate([found.qpos[i], found.qvel[i]]), expected, rtol=tolerance, atol=tolerance)
    nominal = loop(5, MODEL, CTRL[0], TORQUE[0], FORCE[0], 0.0)
    assert np.abs(np.concatenate([found.qpos[0], found.qvel[0]]) - nominal).max() > 0.05  # the variation does matter


def test_environments_change_their_variation_by_themselves():
    """The engine writes only what has changed: swapped variations must swap the results."""
    physics = NativePhysics(ROBOT, SUBSTEPS)
    first = batch(physics, [DRIVES[0]] * 2)
    other = DRIVES[0]._replace(variation=DRIVES[1].variation)
    second = batch(physics, [DRIVES[0], other])
    np.testing.assert_array_equal(first.kinematics.qpos[0], second.kinematics.qpos[0])
    assert not np.array_equal(first.kinematics.qvel[1], second.kinematics.qvel[1])
    third = batch(physics, [DRIVES[0]] * 2)
    np.testing.assert_array_equal(third.kinematics.qpos, first.kinematics.qpos)


@pytest.mark.slow
def test_mjx_agrees_with_native():
    """In the air, where both engines are exact."""
    native, mjx = (batch(physics, DRIVES, 0.2) for physics in (NativePhysics(ROBOT, 4), MjxPhysics(ROBOT, 4, "jax", 3)))
    for name, a, b in zip(KinematicState._fields, mjx.kinematics, native.kinematics):
        np.testing.assert_allclose(a, b, atol=5e-6, err_msg=name)


@pytest.mark.parametrize("engine", ["native", pytest.param("mjx", marks=pytest.mark.slow)])
def test_dry_friction_holds_a_joint(engine: str):
    """Legs without gains that swing in the air: with much friction they stop at once, without they go on."""
    loose = copy.copy(MODEL)
    loose.actuator_gainprm[:], loose.actuator_biasprm[:] = 0.0, 0.0
    loose = dataclasses.replace(ROBOT, model=loose)
    native = engine == "native"
    physics = NativePhysics(loose, 20) if native else MjxPhysics(loose, 20, "jax", 2, dry_friction=True)
    drives = []
    for friction in (0.0, 3.0):
        v = variation(1)._replace(joint_friction=np.full(4, friction, np.float32), joint_damping=np.zeros(4, np.float32))
        drives.append(Drive(np.zeros(4, np.float32), variation=v))
    speed = np.abs(batch(physics, drives, 0.5).kinematics.qvel[:, 6:]).max(axis=1)
    assert speed[0] > 0.1
    assert speed[1] < 0.05 * speed[0]


def test_nominal_factors_leave_every_field_as_it_is():
    ones = jax.tree.map(np.ones_like, variation(0))
    nothing = ones._replace(com=np.zeros(3), joint_friction=np.zeros(4), joint_damping=np.zeros(4), gravity=MODEL.opt.gravity)
    for name, values in varied_fields(MODEL, nothing, 1).items():
        np.testing.assert_array_equal(values, MODEL.opt.gravity if name == "opt.gravity" else getattr(MODEL, name))


def test_motors_give_what_their_curve_leaves():
    """Full ahead at speed: the joints gain what a plain loop with narrowed force ranges says."""
    fast = dataclasses.replace(ROBOT, velocity_limit=np.full(4, 3.0), corner_velocity=np.full(4, 0.5))
    ctrl = np.full(4, 2.0, np.float32)
    found = batch(NativePhysics(fast, SUBSTEPS, motors=True), [Drive(ctrl)], 0.3).kinematics
    model, state = copy.copy(MODEL), start(5, 0.3)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = state.qpos, state.qvel, ctrl
    for _ in range(SUBSTEPS):
        low, high = torque_limits(data.qvel[6:], fast.effort, fast.velocity_limit, fast.corner_velocity)
        model.actuator_forcerange[:] = np.stack([low, high], axis=1)
        mujoco.mj_step(model, data)
    np.testing.assert_allclose(found.qvel[0, 6:], data.qvel[6:], rtol=1e-5)
    free = batch(NativePhysics(ROBOT, SUBSTEPS), [Drive(ctrl)], 0.3).kinematics
    assert float(free.qvel[0, 6:].min()) > 1.2 * float(found.qvel[0, 6:].max())


@pytest.mark.slow
def test_motors_of_mjx_are_held_back_too():
    """At a motor's limit C MuJoCo's integrator drops the damping term and MJX does not: compared with itself only."""
    fast = dataclasses.replace(ROBOT, velocity_limit=np.full(4, 3.0), corner_velocity=np.full(4, 0.5))
    drive = [Drive(np.full(4, 2.0, np.float32))]
    slow, free = (batch(MjxPhysics(r, 4, "jax", 1, motors=m), drive, 0.3).kinematics for r, m in ((fast, True), (ROBOT, False)))
    assert float(free.qvel[0, 6:].min()) > 1.2 * float(slow.qvel[0, 6:].max())


def test_placed_bodies_are_where_kinematics_puts_them():
    """More than one chunk of them."""
    qpos = np.tile(FRAMES.qpos[:50], (3, 1)) + RNG.normal(size=(150, 11), scale=0.01).astype(np.float32)
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    qvel = np.tile(FRAMES.qvel[:50], (3, 1))
    physics = NativePhysics(ROBOT, SUBSTEPS)
    found = jax.jit(jax.vmap(physics.place))(jnp.asarray(qpos), jnp.asarray(qvel)).kinematics
    expected = kinematic_state(ROBOT.body, qpos, qvel, ROBOT.body.body_ids(ROBOT.tracked_bodies))
    for name, a, b in zip(KinematicState._fields, found, expected):
        np.testing.assert_allclose(a, b, atol=5e-6, err_msg=name)
