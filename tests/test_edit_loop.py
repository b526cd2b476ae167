"""Loops: the cycle found in clips whose period is known, its seam, and what repeating it travels."""

from dataclasses import replace

import numpy as np
import pytest
from stick import stick_body, stick_walk

from mimic.robots import load_robot
from motions.clips import FOLDER as CLIPS
from motions.edit import close_cycle, find_cycle, loop, repeat, reset_origin, smooth, speed
from motions.edit.cycle import Cycle
from motions.errors import InputError
from motions.kinematics import finite_difference_qvel
from motions.motion import load_motion, resample


@pytest.fixture(scope="module")
def body():
    return load_robot("humanoid").body


@pytest.fixture(scope="module")
def walk():
    return load_motion(CLIPS / "walk.npz")


def velocity_steps(motion) -> np.ndarray:
    """Change of velocity from frame to frame, largest over the coordinates; (F - 2,)."""
    steps = np.diff(motion.qpos, axis=0) * motion.fps
    return np.abs(np.diff(steps, axis=0)).max(axis=1)


def test_the_cycle_of_a_periodic_walk_is_its_period():
    cycle = find_cycle(stick_walk(frames=120), stick_body())
    assert (cycle.end - cycle.start) % 30 == 0  # two steps of half a second, at 30 frames per second
    assert cycle.ratio < 1e-6


@pytest.mark.parametrize("name", ["walk", "run"])
def test_a_closed_loop_has_no_step_at_its_seam(name, body):
    motion = load_motion(CLIPS / f"{name}.npz")
    closed = loop(motion, body)
    assert closed.loop
    np.testing.assert_allclose(closed.qpos[-1, 7:], closed.qpos[0, 7:], atol=1e-9)
    np.testing.assert_allclose(closed.qpos[-1, 2], closed.qpos[0, 2], atol=1e-9)
    three = repeat(closed, 3)
    steps = velocity_steps(three)
    seam = closed.num_frames - 1
    assert steps[seam - 1] <= np.percentile(velocity_steps(motion), 99)
    assert steps[2 * seam - 1] <= np.percentile(velocity_steps(motion), 99)
    assert steps.max() < 1.5 * velocity_steps(motion).max()  # nor in the blend


def test_repeated_cycles_walk_straight_on(walk, body):
    closed = loop(walk, body)
    many = repeat(closed, 6)
    ends = many.qpos[:: closed.num_frames - 1, :2]
    steps = np.diff(ends, axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-9)
    assert np.linalg.norm(steps[0]) > 0.5


def test_a_way_of_centimetres_is_drift_and_taken_out():
    still = stick_walk(frames=61, speed_m_s=1.0)
    qpos = still.qpos.copy()
    qpos[:, :2] = np.linspace(0, 0.03, 61)[:, None]
    closed = close_cycle(replace(still, qpos=qpos), Cycle(0, 60, 0.0, 0.0))
    np.testing.assert_allclose(closed.qpos[-1, :2], closed.qpos[0, :2], atol=1e-9)


def test_a_turning_walk_keeps_its_turn():
    turning = stick_walk(frames=121)
    yaw = np.linspace(0, np.pi / 2, 121)
    qpos = turning.qpos.copy()
    qpos[:, 3], qpos[:, 6] = np.cos(yaw / 2), np.sin(yaw / 2)
    closed = close_cycle(replace(turning, qpos=qpos), Cycle(0, 60, 0.0, 0.0))
    after = repeat(closed, 3).qpos[-1]
    assert 2 * np.arctan2(after[6], after[3]) == pytest.approx(3 * np.pi / 4, abs=1e-6)


def test_loops_stay_loops(walk, body):
    closed = loop(walk, body)
    for changed in (smooth(closed, 5.0), resample(closed, 37.0), speed(closed, 1.3), reset_origin(closed)):
        assert changed.loop
        np.testing.assert_allclose(changed.qpos[-1, 7:], changed.qpos[0, 7:], atol=1e-4)
    three = repeat(smooth(closed, 5.0), 3)
    assert velocity_steps(three).max() <= velocity_steps(repeat(closed, 3)).max()


def test_what_never_returns_is_refused(body, walk):
    qpos = walk.qpos.copy()
    qpos[:, 7:] = np.linspace(-0.5, 0.5, len(qpos))[:, None] ** np.arange(1, 29)
    with pytest.raises(InputError, match="never comes back"):
        find_cycle(replace(walk, qpos=qpos), body)
    with pytest.raises(InputError, match="no cycle of 100 s"):
        find_cycle(walk, body, min_s=100.0)
    with pytest.raises(InputError, match="blended over 9 s"):
        loop(walk, body, blend_s=9.0)
    with pytest.raises(InputError, match="is no loop"):
        repeat(walk, 2)


def test_velocities_at_the_seam_are_those_of_the_clip(walk, body):
    """What the finite differences of the repeated loop say at the seam is what they said there in the clip."""
    cycle = find_cycle(walk, body)
    closed = close_cycle(walk, cycle)
    three = repeat(closed, 3)
    seam = closed.num_frames - 1
    before = finite_difference_qvel(walk.qpos, walk.fps)[cycle.start, 6:]
    after = finite_difference_qvel(three.qpos, three.fps)[seam, 6:]
    assert np.abs(after - before).max() < 0.05 * np.abs(finite_difference_qvel(walk.qpos, walk.fps)[:, 6:]).max()
