"""MJX against native physics on the same states and controls; both implementations where they can run."""

import copy
import dataclasses
import importlib.util

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot

from mimic.sim.mjx import MjxPhysics
from mimic.sim.native import NativePhysics
from mimic.sim.physics import Drive, PhysicsState
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.library import pack

ROBOT, SUBSTEPS, ENVS = tiny_robot(), 4, 4
FRAMES = pack([tiny_motion()], ROBOT.body, ROBOT.tracked_bodies, 0.02).frames
# small enough that no motor reaches its effort: there C MuJoCo's implicit integrator drops the damping term, MJX does not
CONTROLS = np.random.default_rng(1).normal(size=(5, ENVS, 4), scale=0.08).astype(np.float32)
needs_warp = pytest.mark.skipif(importlib.util.find_spec("warp") is None, reason="Warp is not installed")


def run(physics) -> list[PhysicsState]:
    """Two environments on the ground, two in the air and turning."""
    frames = KinematicState(*(np.array(part[5 : 5 + ENVS]) for part in FRAMES))
    frames.qpos[2:, 2] += 0.2
    frames.qvel[2:, 3:6] += 1.0
    step = jax.jit(jax.vmap(physics.step))
    states = [jax.vmap(physics.init)(KinematicState(*(jnp.asarray(part) for part in frames)))]
    for ctrl in CONTROLS:
        states.append(step(states[-1], Drive(ctrl)))
    return states


@pytest.mark.parametrize("impl", ["jax", pytest.param("warp", marks=needs_warp)])
def test_parity_with_native(impl: str):
    """Without contacts to float32; on the ground the bodies stay within a millimetre, over a tenth of a second."""
    native, other = run(NativePhysics(ROBOT, SUBSTEPS)), run(MjxPhysics(ROBOT, SUBSTEPS, impl, ENVS))
    for expected, found in zip(native, other):
        for name, a, b in zip(KinematicState._fields, found.kinematics, expected.kinematics):
            np.testing.assert_allclose(a[2:], b[2:], atol=2e-6, err_msg=name)
        np.testing.assert_allclose(found.kinematics.xpos[:2], expected.kinematics.xpos[:2], atol=1e-3)
        np.testing.assert_allclose(found.kinematics.xquat[:2], expected.kinematics.xquat[:2], atol=1e-2)
    for part, other_part in zip(native[1].kinematics, other[1].kinematics):  # before the first foot lifts off
        np.testing.assert_allclose(other_part, part, atol=0.02)
    assert np.abs(native[-1].kinematics.qpos - native[0].kinematics.qpos).max() > 0.02


def test_init_is_exactly_there():
    physics = MjxPhysics(ROBOT, SUBSTEPS, "jax", 1)
    state = physics.init(KinematicState(*(jnp.asarray(part[9]) for part in FRAMES)))
    for part, expected in zip(state.kinematics, FRAMES):
        np.testing.assert_array_equal(part, expected[9])


def test_what_mjx_cannot_simulate_is_refused():
    model = copy.copy(ROBOT.model)
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICIT
    with pytest.raises(InputError, match=r"mjx-jax cannot simulate robot 'tiny'.*--sim.collisions feet"):
        MjxPhysics(dataclasses.replace(ROBOT, model=model), SUBSTEPS, "jax", 1)


@pytest.mark.skipif(importlib.util.find_spec("warp") is not None, reason="Warp is installed")
def test_missing_warp_is_an_input_error():
    with pytest.raises(InputError, match="mjx-warp cannot start"):
        MjxPhysics(ROBOT, SUBSTEPS, "warp", 1)
