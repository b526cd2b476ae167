"""Editing in time and over the ground, joining and splitting: against scipy, plain formulas and clips made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from stick import stick_body, stick_walk

from motions.clips import FOLDER as CLIPS
from motions.edit import concatenate, find_cuts, move, reset_origin, smooth, speed, split_at_cuts, travel_between, trim
from motions.edit.travel import Travel
from motions.errors import InputError
from motions.motion import Motion, load_motion


def clip(name: str) -> Motion:
    return load_motion(CLIPS / f"{name}.npz")


def sines(hz: float, fps: float = 100.0, seconds: float = 6.0) -> Motion:
    """Every coordinate, and the root's orientation about a tilted axis, as a sine of `hz` with amplitude 0.3."""
    t = np.arange(round(seconds * fps) + 1) / fps
    wave = 0.3 * np.sin(2 * np.pi * hz * t)
    qpos = np.tile(wave[:, None], (1, 14))
    axis = np.array([1.0, 2.0, -2.0]) / 3.0
    qpos[:, 3:7] = Rotation.from_rotvec(wave[:, None] * axis).as_quat(scalar_first=True)
    return Motion("sines", "stick", fps, qpos, stick_walk().joint_names)


def root_angle(motion: Motion) -> np.ndarray:
    return Rotation.from_quat(motion.qpos[:, 3:7], scalar_first=True).as_rotvec() @ np.array([1.0, 2.0, -2.0]) / 3.0


def steps_of(motion: Motion) -> np.ndarray:
    """Largest change of velocity from frame to frame, of every coordinate, per frame; (F - 2,)."""
    return np.abs(np.diff(motion.qpos, n=2, axis=0)).max(axis=1)


def test_smoothing_keeps_one_hertz_and_kills_twenty():
    slow, fast = sines(1.0), sines(20.0)
    kept, killed = smooth(slow, 6.0), smooth(fast, 6.0)
    inner = slice(50, -50)
    np.testing.assert_allclose(kept.qpos[inner], slow.qpos[inner], atol=3e-3)  # no delay either
    np.testing.assert_allclose(root_angle(kept)[inner], root_angle(slow)[inner], atol=3e-3)
    assert np.abs(killed.qpos[inner, 7:]).max() < 0.01
    assert np.abs(root_angle(killed)[inner]).max() < 0.01


def test_smoothing_a_turning_root_is_the_same_in_every_direction():
    """Filtering must not depend on the axes of the world: turned before or after, it is the same motion."""
    spinning = clip("basketball")
    turn = Rotation.from_rotvec([0.4, -1.0, 0.7])

    def turned(motion: Motion) -> Motion:
        qpos = motion.qpos.copy()
        qpos[:, 3:7] = (turn * Rotation.from_quat(qpos[:, 3:7], scalar_first=True)).as_quat(scalar_first=True)
        return replace(motion, qpos=qpos)

    a, b = turned(smooth(spinning, 4.0)), smooth(turned(spinning), 4.0)
    both = [Rotation.from_quat(m.qpos[:, 3:7], scalar_first=True) for m in (a, b)]
    assert (both[0] * both[1].inv()).magnitude().max() < 1e-6


def test_smoothing_refuses_what_it_cannot_do():
    with pytest.raises(InputError, match="less than 50 Hz"):
        smooth(sines(1.0), 50.0)
    t = np.arange(400) / 100.0
    qpos = np.zeros((400, 14))
    qpos[:, 3:7] = Rotation.from_rotvec(np.outer(12.0 * t, [0, 0, 1.0])).as_quat(scalar_first=True)
    with pytest.raises(InputError, match=r"turns faster than 0\.3 Hz"):
        smooth(Motion("top", "stick", 100.0, qpos, stick_walk().joint_names), 0.3)


def test_speed_is_time_read_faster():
    slow = sines(1.0)
    fast = speed(slow, 1.7)
    assert fast.fps == slow.fps
    assert fast.duration_s == pytest.approx(slow.duration_s / 1.7, abs=0.01)
    expected = 0.3 * np.sin(2 * np.pi * 1.7 * np.arange(fast.num_frames) / fast.fps)
    np.testing.assert_allclose(fast.qpos[:, 9], expected, atol=1e-6)
    np.testing.assert_allclose(root_angle(fast), expected, atol=1e-6)
    for factor in (0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="factor"):
            speed(slow, factor)


def test_trim_keeps_both_ends_and_refuses_the_empty():
    whole = sines(1.0)
    np.testing.assert_array_equal(trim(whole, 1.0, 2.0).qpos, whole.qpos[100:201])
    np.testing.assert_array_equal(trim(whole, 5.0).qpos, whole.qpos[500:])
    for start, end, said in ((2.0, 1.0, "empty"), (7.0, 8.0, "empty"), (1.0, 9.0, "lasts 6.00 s"), (-1.0, 2.0, "empty")):
        with pytest.raises(InputError, match=said):
            trim(whole, start, end)


def test_origin_is_reset_without_changing_the_motion():
    walk = move(stick_walk(yaw=0.3), Travel(2.0, np.array([5.0, -3.0])))
    home = reset_origin(walk)
    np.testing.assert_allclose(home.qpos[0, :2], 0.0, atol=1e-12)
    np.testing.assert_allclose(home.qpos, stick_walk(yaw=0.0).qpos, atol=1e-9)
    kept = reset_origin(walk, heading=False)
    np.testing.assert_allclose(kept.qpos[0, :2], 0.0, atol=1e-12)
    np.testing.assert_allclose(kept.qpos[:, 3:7], walk.qpos[:, 3:7])


def test_moves_compose_as_matrices_do():
    walk, travel = stick_walk(yaw=0.3), Travel(2.0, np.array([5.0, -3.0]))
    moved = move(walk, travel)
    turn = Rotation.from_rotvec([0, 0, 2.0])
    np.testing.assert_allclose(moved.qpos[:, :3], np.array([5.0, -3.0, 0.0]) + turn.apply(walk.qpos[:, :3]), atol=1e-12)
    found = travel_between(walk.qpos[7], moved.qpos[7])
    np.testing.assert_allclose([found.yaw, *found.xy], [2.0, 5.0, -3.0], atol=1e-9)


def test_joined_clips_do_not_jump():
    names = ("walk", "dance", "run")
    clips = [clip(name) for name in names]
    joined = concatenate(clips, blend_s=0.4)
    blend = round(0.4 * clips[0].fps)
    assert joined.num_frames == sum(len(c.qpos) for c in clips) - 2 * (blend + 1)
    own = max(np.abs(np.diff(c.qpos, axis=0)).max() for c in clips)
    assert np.abs(np.diff(joined.qpos, axis=0)).max() < 1.5 * own
    assert steps_of(joined).max() < 1.5 * max(steps_of(c).max() for c in clips)
    np.testing.assert_allclose(joined.qpos[: len(clips[0].qpos) - blend - 1], clips[0].qpos[: -blend - 1], atol=1e-12)
    assert joined.name == "walk+dance+run"
    inner = slice(-(clips[2].num_frames - blend - 1), None)  # the last clip, as it was but for place and heading
    np.testing.assert_allclose(joined.qpos[inner, 7:], clips[2].qpos[blend + 1 :, 7:], atol=1e-12)


def test_clips_that_cannot_be_joined():
    walk = stick_walk()
    with pytest.raises(InputError, match="no motion"):
        concatenate([])
    with pytest.raises(InputError, match="other joints"):
        concatenate([walk, clip("walk")])
    with pytest.raises(InputError, match="too short for a blend of 3 s"):
        concatenate([walk, walk], blend_s=3.0)
    with pytest.raises(InputError, match="less than 2 frames"):
        concatenate([walk, walk], blend_s=0.0)
    assert concatenate([walk]).num_frames == walk.num_frames


def test_cuts_are_found_where_clips_were_spliced():
    body, walk = stick_body(), stick_walk()
    assert find_cuts(walk, body) == []
    spliced = walk.qpos.copy()
    spliced[20:, 0] += 0.8
    spliced[40:, 9] += 2.5
    cuts = find_cuts(replace(walk, qpos=spliced), body)
    assert [cut.frame for cut in cuts] == [19, 39]
    assert "the root moves" in str(cuts[0])
    assert "left_knee" in str(cuts[1])
    pieces = split_at_cuts(replace(walk, qpos=spliced), body)
    assert [piece.num_frames for piece in pieces] == [20, 20, 20]
    assert [piece.name for piece in pieces] == ["stick_walk_1", "stick_walk_2", "stick_walk_3"]
    assert split_at_cuts(walk, body) == [walk]


@pytest.mark.parametrize("name", ["walk", "run", "dance", "martial_arts", "basketball"])
def test_real_clips_have_no_cuts_until_frames_are_taken_out(name):
    from mimic.robots import load_robot

    motion, body = clip(name), load_robot("humanoid").body
    assert find_cuts(motion, body) == []
    if name in ("run", "martial_arts"):
        half = motion.num_frames // 2
        cut = replace(motion, qpos=np.concatenate([motion.qpos[: half - 30], motion.qpos[half:]]))
        assert [c.frame for c in find_cuts(cut, body)] == [half - 31]


def test_noise_from_frame_to_frame_leaves_nothing():
    qpos = stick_walk().qpos.copy()
    qpos[::2, 0] += 3.0
    with pytest.raises(InputError, match="jumps in nearly every frame"):
        split_at_cuts(replace(stick_walk(), qpos=qpos), stick_body())
