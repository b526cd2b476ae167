"""The probe for contacts and constraint rows, against falls that are simulated and against what Warp itself counts."""

import importlib.util
import math

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot

from mimic.config import SimConfig
from mimic.robots import Robot, load_robot
from mimic.sim.buffers import LYING, MARGIN, STANDING, STUMBLING, Room, demands, disturbed, find_room, probe, shortage
from motions.clips import demo_bvh
from motions.motion import load_motion

ROBOT, FRAMES = tiny_robot(), tiny_motion().qpos
needs_warp = pytest.mark.skipif(importlib.util.find_spec("warp") is None, reason="Warp is not installed")


@pytest.fixture(scope="module")
def humanoid() -> tuple[Robot, np.ndarray]:
    """All of it touches all of it and the floor; frames of a walk."""
    robot = load_robot("humanoid", sim=SimConfig(collisions="all"))
    return robot, load_motion(demo_bvh().with_name("walk.npz")).qpos


def test_a_table_needs_two_contacts_a_leg_and_its_limits():
    """Four capsules touch at both ends when they lie flat, with four rows each; the joints pass their limits by no more than one
    row a leg."""
    contacts, rows = demands(ROBOT.model, disturbed(ROBOT.model, FRAMES, LYING, np.random.default_rng(0)))
    assert contacts.min() >= 1
    assert contacts.max() <= 8
    assert rows.max() <= 4 * 8 + 4
    room = probe(ROBOT.model, FRAMES, num_envs=1)
    assert 4 < room.contacts <= math.ceil(MARGIN * 8)
    assert np.quantile(rows, 0.999) < room.constraints <= math.ceil(MARGIN * 36)
    assert probe(ROBOT.model, FRAMES, num_envs=1) == room  # a resumed run finds the same
    assert probe(ROBOT.model, FRAMES, num_envs=4096).contacts <= room.contacts


@pytest.mark.parametrize("kind", [STANDING, STUMBLING, LYING])
def test_disturbed_frames_are_in_the_floor(kind):
    poses = disturbed(ROBOT.model, FRAMES, kind, np.random.default_rng(0))
    data, deepest = mujoco.MjData(ROBOT.model), []
    for pose in poses:
        data.qpos[:] = pose
        mujoco.mj_forward(ROBOT.model, data)
        deepest.append(-data.contact.dist.min())
    assert min(deepest) >= 0.0
    assert 0.9 * kind.depth < max(deepest) <= kind.depth + 1e-6
    turned = np.abs(np.sum(poses[:, 3:7] * FRAMES[:, 3:7], axis=1)).clip(max=1.0)
    assert 2 * np.arccos(turned).max() == pytest.approx(kind.turn, rel=0.1, abs=1e-6)
    assert np.abs(poses[:, 7:] - FRAMES[:, 7:]).max() == pytest.approx(kind.joints, rel=0.05)


def test_falls_fit(humanoid):
    """Robots that start on the frames and do anything until they lie."""
    robot, frames = humanoid
    room, rng = probe(robot.model, frames, num_envs=4096), np.random.default_rng(0)
    data, contacts, rows = mujoco.MjData(robot.model), np.zeros((16, 60)), []
    for fall, start in enumerate(frames[np.linspace(0, len(frames) - 1, len(contacts)).astype(int)]):
        mujoco.mj_resetData(robot.model, data)
        data.qpos[:], data.qvel[:] = start, rng.normal(size=robot.model.nv)
        for step in range(contacts.shape[1]):
            data.ctrl[:] = start[7:] + rng.normal(size=robot.model.nu, scale=0.3) * robot.action_scale_unit
            mujoco.mj_step(robot.model, data, 8)
            contacts[fall, step] = data.ncon
            rows.append(data.nefc)
    assert data.qpos[2] < 0.6 * frames[0, 2]
    assert 0.3 * room.contacts < contacts.mean(axis=0).max() < room.contacts
    assert 0.2 * room.constraints < max(rows) < room.constraints


def test_given_sizes_are_taken():
    found = find_room(ROBOT.model, FRAMES, 8, SimConfig())
    assert found == probe(ROBOT.model, FRAMES, 8)
    assert find_room(ROBOT.model, FRAMES, 8, SimConfig(contacts_per_env=3)) == Room(3, found.constraints)
    assert find_room(ROBOT.model, FRAMES, 8, SimConfig(constraints_per_env=7)) == Room(found.contacts, 7)
    assert find_room(ROBOT.model, FRAMES, 8, SimConfig(contacts_per_env=3, constraints_per_env=7)) == Room(3, 7)


def test_what_lacks_room_says_how_much_is_enough():
    log = {"max/contacts": 10.4, "max/contacts_fill": 0.9, "max/constraints": 101.0, "max/constraints_fill": 1.01}
    said = shortage(log)
    assert said is not None
    assert said.endswith("Enough for what was seen: --sim.constraints-per-env 127")
    assert "--sim.contacts-per-env 13 " in str(shortage(log | {"max/contacts_fill": 1.2}))
    assert shortage(log | {"max/constraints_fill": 1.0}) is None  # full is not too full
    assert shortage({"rollout/invalid": 0.0}) is None  # an engine without buffers


@needs_warp
@pytest.mark.slow
def test_warp_counts_nearly_the_same(humanoid):
    """Two boxes may touch in a few points more or less."""
    from mujoco import mjx

    robot, frames = humanoid
    rng, some = np.random.default_rng(1), frames[:: len(frames) // 16]
    poses = np.concatenate([disturbed(robot.model, some, kind, rng) for kind in (STANDING, STUMBLING, LYING)])
    model, data = mjx.put_model(robot.model, impl="warp"), mjx.make_data(robot.model, impl="warp", naconmax=4096, njmax=256)

    def counted(qpos: jax.Array) -> tuple:
        after = mjx.step(model, data.replace(qpos=qpos))._impl
        return after.nacon, after.ncollision, after.nefc

    found = jax.jit(jax.vmap(counted))(jnp.asarray(poses, jnp.float32))
    touching, near, its_rows = (np.asarray(part).ravel() for part in found)
    contacts, rows = demands(robot.model, poses)
    print(f"{touching[0]} contacts of {near[0]} pairs, ours {contacts.sum()}; {its_rows.sum()} rows, ours {rows.sum()}")
    assert np.mean(its_rows == rows) > 0.9
    assert its_rows.mean() == pytest.approx(rows.mean(), rel=0.03)
    assert 0.97 * max(touching[0], near[0]) < contacts.sum() < touching[0] + near[0]
