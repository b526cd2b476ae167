"""Kicked starts: ranges, and that the kick moves the whole body rigidly."""

import jax
import jax.numpy as jnp
import numpy as np
from states import rotation
from tiny import tiny_motion, tiny_robot

from mimic.config import ResetConfig
from mimic.mdp.resets import kick
from motions.kinematics import KinematicState, kinematic_state
from motions.library import pack

ROBOT, CONFIG = tiny_robot(), ResetConfig(linvel=(0.5, 0.4, 0.2), angvel=(0.5, 0.6, 0.8))
IDS = ROBOT.body.body_ids(ROBOT.tracked_bodies)
FRAMES = pack([tiny_motion()], ROBOT.body, ROBOT.tracked_bodies, 0.02).frames
STATE = KinematicState(*(jnp.asarray(part[30]) for part in FRAMES))
KEYS = jax.random.split(jax.random.key(0), 4000)
KICKED = jax.jit(jax.vmap(lambda key: kick(key, STATE, CONFIG)))(KEYS)


def test_positions_and_joint_speeds_stay():
    for name in ("qpos", "xpos", "xquat"):
        np.testing.assert_array_equal(getattr(KICKED, name), np.broadcast_to(getattr(STATE, name), getattr(KICKED, name).shape))
    np.testing.assert_array_equal(KICKED.qvel[:, 6:], np.broadcast_to(STATE.qvel[6:], (4000, 4)))


def test_kicks_fill_their_ranges_evenly():
    """Uniform on +-a: the largest of many is near a, the mean near 0, the variance a^2/3."""
    kicks = np.asarray(KICKED.qvel[:, :6] - STATE.qvel[:6], float)
    bound = np.array([*CONFIG.linvel, *CONFIG.angvel])
    assert (np.abs(kicks) <= bound + 1e-6).all()
    assert (np.abs(kicks).max(axis=0) > 0.99 * bound).all()
    np.testing.assert_allclose(kicks.mean(axis=0) / bound, 0, atol=0.04)
    np.testing.assert_allclose(kicks.var(axis=0) / bound**2, 1 / 3, atol=0.02)
    np.testing.assert_allclose(np.corrcoef(kicks.T), np.eye(6), atol=0.06)


def test_tracked_bodies_move_as_the_kinematics_say():
    """`kick` moves them by a formula; the kinematics of the kicked qvel are computed anew."""
    for i in range(5):
        expected = kinematic_state(ROBOT.body, np.asarray(KICKED.qpos[i]), np.asarray(KICKED.qvel[i]), IDS)
        np.testing.assert_allclose(KICKED.xlinvel[i], expected.xlinvel, atol=1e-5)
        np.testing.assert_allclose(KICKED.xangvel[i], expected.xangvel, atol=1e-5)


def test_spin_is_about_the_roots_own_axes():
    turn = rotation(np.asarray(STATE.qpos[3:7]))
    spun = kick(KEYS[0], STATE, ResetConfig(linvel=(0.0, 0.0, 0.0), angvel=(1.0, 0.0, 0.0)))
    change = np.asarray(spun.xangvel[0] - STATE.xangvel[0])
    np.testing.assert_allclose(np.cross(change, turn.apply([1, 0, 0])), 0, atol=1e-6)


def test_without_ranges_nothing_is_kicked():
    still = kick(KEYS[0], STATE, ResetConfig(linvel=(0.0,) * 3, angvel=(0.0,) * 3))
    for part, other in zip(still, STATE):
        np.testing.assert_array_equal(part, other)
