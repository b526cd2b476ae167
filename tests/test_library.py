"""The packed library: clips packed together against each clip alone, numpy's gradient, scipy and C MuJoCo."""

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tiny import tiny_motion, tiny_robot

from motions.errors import InputError
from motions.library import pack
from motions.motion import resample

ROBOT, DT = tiny_robot(), 0.02
FAR = 100.0  # [m] between the clips: a difference across a seam would be a speed of kilometres per second


def far_away(frames: int, fps: float):
    motion = tiny_motion(frames, fps)
    qpos = motion.qpos + np.concatenate([[FAR, -FAR], np.zeros(9)])
    return dataclasses.replace(motion, name="far", qpos=qpos)


CLIPS = (tiny_motion(), far_away(37, 30.0), tiny_motion(50, 50.0))


@pytest.fixture(scope="module")
def library():
    return pack(CLIPS, ROBOT.body, ROBOT.tracked_bodies, DT)


def test_lengths_at_the_control_rate(library):
    """2 s, 1.2 s and .98 s at 50 Hz, both ends included."""
    assert library.num_clips == 3
    assert library.clip_length.tolist() == [101, 61, 50]
    assert library.clip_start.tolist() == [0, 101, 162]
    assert library.frames.xpos.shape == (212, 5, 3)
    assert {part.dtype for part in library.frames} == {np.dtype("float32")}


def test_each_clip_is_as_if_packed_alone(library):
    """So nothing, velocities included, crosses a seam."""
    for i, clip in enumerate(CLIPS):
        alone = pack([clip], ROBOT.body, ROBOT.tracked_bodies, DT)
        start, length = library.clip_start[i], library.clip_length[i]
        for together, single in zip(library.frames, alone.frames):
            np.testing.assert_array_equal(together[start : start + length], single)
    assert np.abs(library.frames.qvel).max() < 2.0


def test_velocities_are_numpys_gradient(library):
    """Of the root's position and the joints, per clip."""
    for i, clip in enumerate(CLIPS):
        qpos = resample(clip, 1 / DT).qpos
        part = slice(library.clip_start[i], library.clip_start[i] + library.clip_length[i])
        np.testing.assert_allclose(library.frames.qvel[part, :3], np.gradient(qpos[:, :3], DT, axis=0), atol=1e-4)
        np.testing.assert_allclose(library.frames.qvel[part, 6:], np.gradient(qpos[:, 7:], DT, axis=0), atol=1e-5)


def test_angular_velocity_is_scipys_difference(library):
    turn = Rotation.from_quat(resample(CLIPS[0], 1 / DT).qpos[:, 3:7], scalar_first=True)
    for f in (1, 40, 99):
        world = (turn[f + 1] * turn[f - 1].inv()).as_rotvec() / (2 * DT)
        np.testing.assert_allclose(library.frames.qvel[f, 3:6], turn[f].inv().apply(world), atol=1e-5)
        np.testing.assert_allclose(library.frames.xangvel[f, 0], world, atol=1e-5)


def test_tracked_bodies_are_where_mujoco_puts_them(library):
    data, velocity = mujoco.MjData(ROBOT.model), np.zeros(6)
    for f in (0, 55, 150, 211):
        data.qpos[:], data.qvel[:] = library.frames.qpos[f], library.frames.qvel[f]
        mujoco.mj_forward(ROBOT.model, data)
        for k, name in enumerate(ROBOT.tracked_bodies):
            body = ROBOT.model.body(name).id
            mujoco.mj_objectVelocity(ROBOT.model, data, mujoco.mjtObj.mjOBJ_XBODY, body, velocity, 0)
            np.testing.assert_allclose(library.frames.xpos[f, k], data.xpos[body], atol=2e-5)
            np.testing.assert_allclose(library.frames.xquat[f, k], data.xquat[body], atol=1e-6)
            np.testing.assert_allclose(library.frames.xlinvel[f, k], velocity[3:], atol=1e-4)
            np.testing.assert_allclose(library.frames.xangvel[f, k], velocity[:3], atol=1e-4)


@pytest.mark.parametrize("xp", [np, jnp])
def test_lookup_stays_in_its_clip(library, xp):
    """Beyond either end it gives the end frame."""
    table = library.moved(xp.asarray)
    for clip in range(3):
        start, length = int(library.clip_start[clip]), int(library.clip_length[clip])
        for frame in (-5, 0, 1, length - 1, length, length + 1, 10_000):
            expected = start + min(max(frame, 0), length - 1)
            found = table.lookup(xp.asarray(clip), xp.asarray(frame))
            np.testing.assert_array_equal(found.qpos, library.frames.qpos[expected])
            np.testing.assert_array_equal(found.xangvel, library.frames.xangvel[expected])


@pytest.mark.parametrize("poses", ["kept", "recomputed"])
def test_lookup_of_many_at_once_in_a_jitted_function(library, poses):
    """Poses that are recomputed on the device are those that numpy packs."""
    clips, frames = np.array([0, 1, 2, 1]), np.array([3, 60, 61, 0])
    table = pack(CLIPS, ROBOT.body, ROBOT.tracked_bodies, DT, poses=poses).moved(jnp.asarray)
    assert (table.poses is None) == (poses == "recomputed")
    found = jax.jit(table.lookup)(clips, frames)
    for part, expected in zip(found, library.frames):
        np.testing.assert_allclose(part, expected[[3, 161, 211, 101]], atol=2e-5)


def test_poses_are_recomputed_where_they_would_take_much(monkeypatch):
    assert pack(CLIPS, ROBOT.body, ROBOT.tracked_bodies, DT).poses is not None
    monkeypatch.setattr("motions.library.KEPT_MB", 0.05)  # 212 frames of 5 bodies are .055 MB
    assert pack(CLIPS, ROBOT.body, ROBOT.tracked_bodies, DT).poses is None


def test_poses_are_packed_in_chunks(library, monkeypatch):
    monkeypatch.setattr("motions.library.CHUNK", 50)
    for part, expected in zip(pack(CLIPS, ROBOT.body, ROBOT.tracked_bodies, DT).frames, library.frames):
        np.testing.assert_array_equal(part, expected)


def test_joints_must_be_the_robots():
    swapped = dataclasses.replace(CLIPS[0], joint_names=CLIPS[0].joint_names[::-1])
    with pytest.raises(InputError, match=r"'sway'.*does not fit robot 'tiny'.*another order"):
        pack([swapped], ROBOT.body, ROBOT.tracked_bodies, DT)
    other = dataclasses.replace(CLIPS[0], joint_names=("a", *CLIPS[0].joint_names[1:]))
    with pytest.raises(InputError, match="unknown to the robot: a; lacking: front_left_hip"):
        pack([other], ROBOT.body, ROBOT.tracked_bodies, DT)


def test_no_motion_and_too_short_a_motion():
    with pytest.raises(InputError, match="no motion"):
        pack([], ROBOT.body, ROBOT.tracked_bodies, DT)
    with pytest.raises(InputError, match="fewer than 3 frames at 50 Hz"):
        pack([tiny_motion(4, 120.0)], ROBOT.body, ROBOT.tracked_bodies, DT)
