"""MJX against native physics on the same states and controls; both implementations where they can run."""

import copy
import dataclasses
import importlib.util

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from mujoco import mjx
from tiny import tiny_motion, tiny_robot

from mimic.config import Collisions, SimConfig
from mimic.robots import load_robot
from mimic.sim.buffers import Room, demands
from mimic.sim.mjx import MjxPhysics
from mimic.sim.native import NativePhysics
from mimic.sim.physics import Drive, PhysicsState
from motions.clips import demo_bvh
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.library import pack
from motions.motion import load_motion

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


@pytest.mark.parametrize(
    "impl", ["jax", pytest.param("jax on a TPU", marks=pytest.mark.slow), pytest.param("warp", marks=needs_warp)]
)
def test_parity_with_native(impl: str, monkeypatch: pytest.MonkeyPatch):
    """Without contacts to float32; on the ground the bodies stay within a millimetre, over a tenth of a second."""
    if impl == "jax on a TPU":  # where inertias are sparse
        monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    physics = MjxPhysics(ROBOT, SUBSTEPS, impl.split()[0], ENVS, room=Room(8, 40) if impl == "warp" else None)
    native, other = run(NativePhysics(ROBOT, SUBSTEPS)), run(physics)
    assert mjx.is_sparse(physics.model) == (impl == "jax on a TPU")
    assert ROBOT.model.opt.jacobian == mujoco.mjtJacobian.mjJAC_DENSE  # others' model is as it was
    assert (other[-1].demand is not None) == (impl == "warp")
    for expected, found in zip(native, other):
        for name, a, b in zip(KinematicState._fields, found.kinematics, expected.kinematics):
            np.testing.assert_allclose(a[2:], b[2:], atol=2e-6, err_msg=name)
        np.testing.assert_allclose(found.kinematics.xpos[:2], expected.kinematics.xpos[:2], atol=1e-3)
        np.testing.assert_allclose(found.kinematics.xquat[:2], expected.kinematics.xquat[:2], atol=1e-2)
    for part, other_part in zip(native[1].kinematics, other[1].kinematics):  # before the first foot lifts off
        np.testing.assert_allclose(other_part, part, atol=0.02)
    assert np.abs(native[-1].kinematics.qpos - native[0].kinematics.qpos).max() > 0.02


def test_only_pairs_that_may_touch_are_in_the_model():
    """MJX in JAX computes all contacts that it makes room for, in every step: two for each of four capsules on the floor."""
    contact = MjxPhysics(ROBOT, SUBSTEPS, "jax", 1).data._impl.contact
    assert contact.dim.tolist() == [3] * 8


@pytest.mark.parametrize(("name", "collisions", "most"), [("humanoid", "feet", 8), ("humanoid", "self", 200)])
def test_room_of_mjx_jax(name: str, collisions: Collisions, most: int):
    model = load_robot(name, sim=SimConfig(collisions=collisions)).model
    count = mjx.make_data(mjx.put_model(model, impl="jax"))._impl.contact.dim.size
    print(f"{name}, collisions {collisions}: {count} contacts")
    assert count <= most


@needs_warp
@pytest.mark.parametrize("room", [Room(2, 40), Room(8, 7)])
def test_what_does_not_fit_is_counted(room: Room):
    """Four legs on the floor, whose contacts or rows have too little room: the demand is what C MuJoCo counts all the same."""
    physics = MjxPhysics(ROBOT, 1, "warp", ENVS, room=room)
    frames = KinematicState(*(jnp.asarray(part[5 : 5 + ENVS]) for part in FRAMES))
    start = jax.vmap(physics.init)(frames)
    np.testing.assert_array_equal(start.demand, np.zeros((4, ENVS)))
    demand = jax.jit(jax.vmap(physics.step))(start, Drive(jnp.zeros((ENVS, 4)))).demand
    contacts, rows = demands(ROBOT.model, np.asarray(frames.qpos))
    assert demand is not None
    np.testing.assert_allclose(demand.contacts, contacts.mean())
    np.testing.assert_allclose(demand.contacts_fill, contacts.mean() / room.contacts)
    assert (demand.contacts_fill[0] > 1) == (room.contacts == 2)
    np.testing.assert_allclose(demand.constraints_fill, demand.constraints / room.constraints)
    if room.contacts > 2:  # a contact that is lost asks for no rows
        np.testing.assert_array_equal(demand.constraints, rows)
        assert demand.constraints_fill.min() > 1


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


class Bound:
    """A number of iterations that is an argument of the program, where MJX would compile one for each number; no `int`, of which
    JAX would take the value. MJX asks two things of it: whether it is 1, and whether it is reached."""

    def __init__(self, traced: jax.Array) -> None:
        self.traced = traced

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0

    def __le__(self, count: jax.Array) -> jax.Array:
        return self.traced <= count


@pytest.mark.slow
def test_solver_iterations_that_keep_the_motion():
    """A table, humanoid's walk on mjx-jax: mm that the worst body of 16 starts ends up away after five control steps, from where
    10 iterations of 20 line-search steps lead. 5 lead there, too, and MJX runs all it is given; 6 iterations may not."""
    ends = {}
    for searches in (20, 10, 5):
        robot = load_robot("humanoid", sim=SimConfig(ls_iterations=searches))
        motion = load_motion(demo_bvh().with_name("walk.npz"))
        frames = pack([motion], robot.body, robot.tracked_bodies, 0.02).frames
        starts = np.linspace(0, len(frames.qpos) - 8, 16).astype(int)
        physics = MjxPhysics(robot, SUBSTEPS, "jax", len(starts))
        plain = physics.model

        def stepped(state: PhysicsState, drive: Drive, iterations: jax.Array, physics=physics, plain=plain) -> PhysicsState:
            physics.model = plain.replace(opt=plain.opt.replace(iterations=Bound(iterations)))
            return jax.vmap(physics.step)(state, drive)

        step = jax.jit(stepped)
        for iterations in (10, 6, 4, 2):
            state = jax.vmap(physics.init)(KinematicState(*(jnp.asarray(part[starts]) for part in frames)))
            for control in range(5):
                state = step(state, Drive(jnp.asarray(frames.qpos[starts + control + 1, 7:])), jnp.asarray(iterations))
            ends[iterations, searches] = np.asarray(state.kinematics.xpos)
            away = np.linalg.norm(ends[iterations, searches] - ends[10, 20], axis=-1).max(axis=-1) * 1e3
            print(f"{iterations:2d} x {searches:2d}: median {np.median(away):7.3f} mm, worst {away.max():8.3f} mm")
    np.testing.assert_allclose(ends[10, 5], ends[10, 20], atol=1e-5)
    assert np.median(np.abs(ends[6, 5] - ends[10, 20]).max(axis=(1, 2))) < 1e-4
    assert np.abs(ends[2, 20] - ends[10, 20]).max() > 0.02
