"""A loop led over the ground: where it goes, that its body does what the clip's does, and which clips cannot be led."""

from dataclasses import replace

import numpy as np
import pytest

from mimic.presets import make_preset
from mimic.robots import load_robot
from mimic.sources import motions_of
from motions.clips import FOLDER as CLIPS
from motions.edit import led, loop, wander
from motions.edit.travel import heading, turn_level
from motions.edit.wander import PACES, TURN_RATE
from motions.errors import InputError
from motions.motion import load_motion, save_motion


@pytest.fixture(scope="module")
def humanoid():
    return load_robot("humanoid")


@pytest.fixture(scope="module")
def cycle(humanoid):
    return loop(load_motion(CLIPS / "walk.npz"), humanoid.body)


def unturned(motion) -> np.ndarray:
    """Velocity over the ground (F - 1, 2) as it faces [m/s]."""
    velocity, yaw = np.diff(motion.qpos[:, :2], axis=0) * motion.fps, np.unwrap(heading(motion.qpos[:, 3:7]))
    return np.stack([turn_level(v, -y) for v, y in zip(velocity, 0.5 * (yaw[1:] + yaw[:-1]), strict=True)])


def test_it_turns_and_changes_its_pace_but_walks_as_the_clip(cycle):
    way = wander(cycle, 20.0, seed=1)
    assert (way.duration_s, way.fps, way.loop) == (20.0, cycle.fps, False)
    yaw = np.unwrap(heading(way.qpos[:, 3:7]))
    own = np.unwrap(heading(cycle.qpos[:, 3:7]))
    assert np.ptp(yaw) > np.ptp(own) + 0.8
    fastest = np.abs(np.diff(own)).max() * cycle.fps * PACES[1]
    assert np.abs(np.diff(yaw)).max() * way.fps < TURN_RATE + 1.05 * fastest
    speed, first = np.linalg.norm(unturned(way), axis=1), np.linalg.norm(unturned(cycle), axis=1)
    steps = round(1.5 * cycle.duration_s * cycle.fps)
    mean = np.convolve(speed, np.ones(steps) / steps, "valid")
    assert PACES[0] * 0.97 < mean.min() / first.mean() < 0.95  # over more than a cycle; sideways and forwards alike
    assert 1.05 < mean.max() / first.mean() < PACES[1] * 1.05
    # every pose is one of the clip's: joints, and the root's height and tilt
    for frame in range(0, way.num_frames, 37):
        near = np.abs(cycle.qpos[:, 7:] - way.qpos[frame, 7:]).max(axis=1).argmin()
        np.testing.assert_allclose(cycle.qpos[near, 7:], way.qpos[frame, 7:], atol=0.12)
        np.testing.assert_allclose(cycle.qpos[near, 2], way.qpos[frame, 2], atol=0.01)


def test_the_same_seed_goes_the_same_way(cycle):
    np.testing.assert_array_equal(wander(cycle, 5.0, seed=3).qpos, wander(cycle, 5.0, seed=3).qpos)
    assert np.abs(wander(cycle, 9.0, seed=3).qpos - wander(cycle, 9.0, seed=4).qpos).max() > 0.1


def test_it_begins_as_the_clip(cycle):
    way = wander(cycle, 4.0)
    count = round(0.9 * cycle.fps)  # nothing changes in the first second
    np.testing.assert_allclose(way.qpos[:count], cycle.qpos[:count], atol=1e-6)


@pytest.mark.parametrize(
    ("seconds", "seed", "said"), [(0.5, 0, "at least 1"), (float("nan"), 0, "at least 1"), (5, -1, "seed is -1")]
)
def test_rubbish_is_refused(cycle, seconds: float, seed: int, said: str):
    with pytest.raises(InputError, match=said):
        wander(cycle, seconds, seed=seed)


def test_what_cannot_be_led(cycle):
    with pytest.raises(InputError, match="no loop"):
        wander(replace(cycle, loop=False), 5.0)
    still = cycle.qpos.copy()
    still[:, :2] = still[0, :2]
    with pytest.raises(InputError, match="stays in its place"):
        wander(replace(cycle, qpos=still), 5.0)


def test_pieces_are_led_each_its_own_way_every_second_mirrored(cycle, humanoid):
    pieces = led(cycle, humanoid.body, 50.0)
    assert [piece.duration_s for piece in pieces] == pytest.approx([50 / 3] * 3, abs=0.02)
    assert [piece.name.endswith("mirrored") for piece in pieces] == [False, True, False]


def test_a_training_has_them_beside_its_clips(cycle, humanoid, tmp_path):
    said: list[str] = []
    clips = (str(CLIPS / "walk.npz"), str(tmp_path / "treadmill.npz"))
    save_motion(replace(cycle, qpos=cycle.qpos * np.r_[0.0, 0.0, np.ones(cycle.qpos.shape[1] - 2)]), clips[1])
    config = replace(make_preset("humanoid_steer"), motion=clips, weights=(2.0, 1.0), led_s=30.0)
    found, motions, reports = motions_of(config, humanoid, said.append)
    assert [motion.name for motion in motions][2:] == ["walk_wander0", "walk_wander1_mirrored"]
    assert (found.weights, len(reports)) == ((2.0, 1.0, 2.0, 2.0), 4)
    assert any(line.startswith("not led: ") for line in said)
    with pytest.raises(InputError, match="weights are 1, and there are 2 motions"):
        motions_of(replace(config, weights=(1.0,)), humanoid, said.append)
    with pytest.raises(InputError, match="none of the motions can be led"):
        motions_of(replace(config, motion=clips[1:], weights=()), humanoid, said.append)
