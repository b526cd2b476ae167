"""Native physics against a plain loop of mj_step, one environment against many, and what it does when a simulation explodes."""

import copy
import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot

from mimic.sim.native import NativePhysics
from mimic.sim.physics import Drive, PhysicsState
from motions.kinematics import KinematicState
from motions.library import pack

ROBOT, SUBSTEPS, ENVS = tiny_robot(), 4, 6
FRAMES = pack([tiny_motion()], ROBOT.body, ROBOT.tracked_bodies, 0.02).frames
PHYSICS = NativePhysics(ROBOT, SUBSTEPS)
STEP = jax.jit(jax.vmap(PHYSICS.step))


def starts() -> PhysicsState:
    """Six frames of the clip, some of them in the air and turning."""
    frames = KinematicState(*(np.array(part[5 : 5 + ENVS]) for part in FRAMES))
    frames.qpos[3:, 2] += 0.2
    frames.qvel[3:, :6] += np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    return jax.vmap(PHYSICS.init)(KinematicState(*(jnp.asarray(part) for part in frames)))


def controls(steps: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(steps, ENVS, 4), scale=0.3).astype(np.float32)


def run(steps: int) -> list[PhysicsState]:
    states = [starts()]
    for ctrl in controls(steps):
        states.append(STEP(states[-1], Drive(ctrl)))
    return states


RUN = run(15)


def test_init_is_exactly_there():
    state = PHYSICS.init(KinematicState(*(jnp.asarray(part[9]) for part in FRAMES)))
    for part, expected in zip(state.kinematics, FRAMES):
        np.testing.assert_array_equal(part, expected[9])


def test_each_step_is_a_loop_of_mj_step_to_the_last_bit_of_float32():
    """The state crosses the callback as float32 after each control step: the loop rounds at the same places."""
    ids = ROBOT.body.body_ids(ROBOT.tracked_bodies)
    velocity = np.zeros(6)
    for before, after, ctrl in zip(RUN, RUN[1:], controls(15)):
        for env in range(ENVS):
            data = mujoco.MjData(ROBOT.model)
            data.qpos[:], data.qvel[:] = before.kinematics.qpos[env], before.kinematics.qvel[env]
            data.qacc_warmstart[:], data.ctrl[:] = before.qacc_warmstart[env], ctrl[env]
            for _ in range(SUBSTEPS):
                mujoco.mj_step(ROBOT.model, data)
            np.testing.assert_array_equal(after.kinematics.qpos[env], data.qpos.astype(np.float32))
            np.testing.assert_array_equal(after.kinematics.qvel[env], data.qvel.astype(np.float32))
            np.testing.assert_array_equal(after.qacc_warmstart[env], data.qacc_warmstart.astype(np.float32))
            mujoco.mj_forward(ROBOT.model, data)
            np.testing.assert_allclose(after.kinematics.xpos[env], data.xpos[ids], atol=1e-6)
            np.testing.assert_allclose(after.kinematics.xquat[env], data.xquat[ids], atol=1e-6)
            for k, body in enumerate(ids):
                mujoco.mj_objectVelocity(ROBOT.model, data, mujoco.mjtObj.mjOBJ_XBODY, body, velocity, 0)
                np.testing.assert_allclose(after.kinematics.xlinvel[env, k], velocity[3:], atol=1e-5)
                np.testing.assert_allclose(after.kinematics.xangvel[env, k], velocity[:3], atol=1e-5)
    assert np.abs(RUN[-1].kinematics.qpos[0] - RUN[-1].kinematics.qpos[4]).max() > 0.1  # the six do go different ways


def test_one_environment_is_as_many():
    single = jax.jit(PHYSICS.step)
    state = jax.tree.map(lambda leaf: leaf[4], RUN[0])
    for i, ctrl in enumerate(controls(3)):
        state = single(state, Drive(ctrl[4]))
        for part, expected in zip(jax.tree.leaves(state), jax.tree.leaves(RUN[i + 1])):
            np.testing.assert_array_equal(part, expected[4])


def test_batches_of_batches():
    nested = jax.jit(jax.vmap(jax.vmap(PHYSICS.step)))
    state = jax.tree.map(lambda leaf: leaf.reshape(2, 3, *leaf.shape[1:]), RUN[0])
    after = nested(state, Drive(controls(1)[0].reshape(2, 3, 4)))
    np.testing.assert_array_equal(after.kinematics.qpos.reshape(ENVS, -1), RUN[1].kinematics.qpos)


def test_nothing_is_kept_between_calls():
    """Another state in between changes nothing, nor does the number of threads."""
    ctrl = controls(1)[0]
    STEP(RUN[-1], Drive(3 * ctrl))
    again = STEP(RUN[0], Drive(ctrl))
    alone = jax.jit(jax.vmap(NativePhysics(ROBOT, SUBSTEPS, nthread=1).step))(RUN[0], Drive(ctrl))
    for part, other, expected in zip(jax.tree.leaves(again), jax.tree.leaves(alone), jax.tree.leaves(RUN[1])):
        np.testing.assert_array_equal(part, expected)
        np.testing.assert_array_equal(other, expected)


@pytest.mark.parametrize("substeps", [1, 2, 4])
def test_an_exploded_simulation_is_not_a_fresh_start(substeps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """MuJoCo puts it back to its rest pose by itself; what comes out must be NaN, and the neighbours untouched."""
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log where it stands
    wild = copy.copy(ROBOT.model)
    wild.actuator_biasprm[:, 1] = 1e12
    wild.actuator_forcelimited[:] = 0
    physics = NativePhysics(dataclasses.replace(ROBOT, model=wild), substeps)
    rest = np.asarray(RUN[0].kinematics.qpos).copy()
    rest[:, 7:] = 0  # unstable anywhere but exactly here
    rest[2, 7:] = 0.1
    frames = RUN[0].kinematics._replace(qpos=jnp.asarray(rest), qvel=jnp.zeros((ENVS, 10)))
    state = jax.vmap(physics.init)(frames)
    step = jax.jit(jax.vmap(physics.step))
    for _ in range(4):
        state = step(state, Drive(jnp.zeros((ENVS, 4))))
        assert not np.isfinite(state.kinematics.qpos[2]).all() or np.abs(state.kinematics.qvel[2]).max() > 1e3


def test_not_a_number_in_is_not_a_number_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    broken = RUN[0]._replace(kinematics=RUN[0].kinematics._replace(qpos=RUN[0].kinematics.qpos.at[1, 2].set(jnp.nan)))
    after = STEP(broken, Drive(controls(1)[0]))
    assert not np.isfinite(after.kinematics.qpos[1]).any()
    others = np.array([0, 2, 3, 4, 5])
    np.testing.assert_array_equal(after.kinematics.qpos[others], RUN[1].kinematics.qpos[others])
