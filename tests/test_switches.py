"""Going over from one clip to another: where the other is taken up, and what counts as done."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stick import stick_body, stick_walk
from tiny import tiny_motion, tiny_robot
from tiny_policy import CONFIG, still_policy

from mimic.evaluation.switching import SEED, measure_switches
from mimic.presets import make_preset
from mimic.sources import motions_of
from mimic.switches import drawn_switches, seam_of, with_switches
from motions.edit import find_seam, switch
from motions.errors import InputError
from motions.motion import Motion, save_motion

ROBOT = tiny_robot()


def test_a_walk_is_gone_on_with_in_step():
    """The same walk with another beginning is taken up where it is in the same phase: the walk goes on as it was."""
    walk, body = stick_walk(frames=120), stick_body()  # 30 Hz, a period of 30 frames
    late = replace(walk, name="late", qpos=walk.qpos[7:])
    seam = find_seam(walk, late, 1.5, body, rest_s=1.0)
    assert (seam.leave_s, seam.blend_s) == (1.5, 0.3)
    joined = switch(walk, late, seam)
    expected = walk.qpos[: joined.num_frames]
    np.testing.assert_allclose(joined.qpos[:, 7:], expected[:, 7:], atol=1e-6)
    np.testing.assert_allclose(joined.qpos[:, :3], expected[:, :3], atol=1e-6)
    assert joined.duration_s > 2.5
    assert joined.name == f"{walk.name}+late"


def test_it_waits_for_where_both_are_alike_and_no_longer():
    """Of a pose that is held, like the walk at its frame 40 only: told to at frame 15, it leaves there and not a period later."""
    walk, body = stick_walk(frames=150), stick_body()
    still = replace(walk, name="still", qpos=np.repeat(walk.qpos[40:41], 90, axis=0))
    slow = replace(walk, qpos=np.concatenate([walk.qpos[:40], np.repeat(walk.qpos[40:41], 60, axis=0), walk.qpos[40:]]))
    seam = find_seam(slow, still, 0.5, body, rest_s=0.5, wait_s=3.0)
    assert 40 <= round(seam.leave_s * 30) <= 44
    assert find_seam(slow, still, 0.5, body, rest_s=0.5).leave_s == 0.5


def test_who_is_to_run_is_sped_up_within_reason():
    """By 2 m/s within a second, as the change of speed is smooth: at most 3 m/s^2, and nowhere a jump of the root."""
    walk, body = stick_walk(frames=150), stick_body()

    def at(speed: float, name: str) -> Motion:
        qpos = walk.qpos.copy()
        qpos[:, 0] = speed * np.arange(150) / 30.0
        return replace(walk, name=name, qpos=qpos)

    seam = find_seam(at(1.0, "slow"), at(3.0, "fast"), 1.0, body, rest_s=1.0)
    assert seam.blend_s == pytest.approx(1.0, abs=0.04)
    speeds = np.diff(switch(at(1.0, "slow"), at(3.0, "fast"), seam).qpos[:, 0]) * 30.0
    assert speeds[:25] == pytest.approx(1.0)
    assert speeds[-25:] == pytest.approx(3.0)
    assert np.diff(speeds).min() > -1e-9
    assert np.diff(speeds).max() * 30.0 < 3.2


def test_beyond_its_end_a_clip_holds_its_last_pose():
    walk, body = stick_walk(frames=60), stick_body()
    seam = find_seam(walk, walk, walk.duration_s, body, rest_s=0.5)
    joined = switch(walk, walk, seam)
    assert seam.leave_s == pytest.approx(walk.duration_s)
    np.testing.assert_allclose(joined.qpos[:60], walk.qpos, atol=1e-9)
    assert joined.num_frames == 60 + 60 - 1 - seam.enter


def test_what_is_too_short_is_refused():
    walk, body = stick_walk(frames=120), stick_body()
    with pytest.raises(InputError, match=r"no switch at 4\.1 s"):
        find_seam(walk, walk, 4.1, body)
    with pytest.raises(InputError, match=r"too short for a switch of 0\.3 s"):
        find_seam(walk, walk.trimmed(0.0, 0.2), 1.0, body)


def test_switches_are_counted_by_their_end(tmp_path: Path):
    """Between two sways a still policy stands; to a clip that rises into the air nothing can follow."""
    policy = still_policy(tmp_path, CONFIG)
    sway = tiny_motion(181)
    rising = sway.qpos.copy()
    rising[:, 2] += np.linspace(0.0, 1.0, len(rising))
    other, up = replace(sway, name="other", qpos=sway.qpos[::-1].copy()), replace(sway, name="up", qpos=rising)
    assert measure_switches(policy, [sway, other], 6)["succeeded"] == 1.0
    found = measure_switches(policy, [sway, up], 8)
    assert {(row["from"], row["to"]) for row in found["switches"]} == {(sway.name, "up"), ("up", sway.name)}
    assert not any(row["succeeded"] for row in found["switches"] if row["to"] == "up")
    assert measure_switches(policy, [sway, up], 8) == found
    with pytest.raises(InputError, match="1 of 2 motions last"):
        measure_switches(policy, [sway, tiny_motion(31)], 2)


def test_switches_are_clips_beside_those_asked_for(tmp_path: Path):
    """Each has half a second of the one before, as it is, and from the blend on the pace of the other; together they weigh as
    much as what was asked for."""
    sway = tiny_motion(181)
    other = replace(sway, name="other", qpos=sway.qpos[::-1].copy())
    for motion in (sway, other):
        save_motion(motion, tmp_path / f"{motion.name}.npz")
    files = tuple(str(tmp_path / f"{motion.name}.npz") for motion in (sway, other))
    config = replace(make_preset("humanoid"), motion=files, weights=(2.0, 1.0), switches=3, seed=3)
    found, motions, reports = motions_of(config, ROBOT, lambda _: None)
    drawn = list(drawn_switches(motions[:2], 3, 3))
    assert [motion.name for motion in motions[2:]] == [f"{a.name}_to_{b.name}_{i}" for i, (a, b, _) in enumerate(drawn)]
    assert len(reports) == len(found.weights) == 5
    assert found.weights[:2] == (2.0, 1.0)
    theirs = sum(weight * motion.duration_s for weight, motion in zip(found.weights[2:], motions[2:], strict=True))
    assert theirs == pytest.approx(2.0 * sway.duration_s + other.duration_s)
    for motion, (before, after, time_s) in zip(motions[2:], drawn, strict=True):
        seam = seam_of(before, after, time_s, ROBOT.body)
        assert time_s - 0.02 <= seam.leave_s <= time_s + 2.02
        first = round(max(seam.leave_s - 0.5, 0.0) * before.fps)
        until = round(seam.leave_s * before.fps) - first
        np.testing.assert_allclose(motion.qpos[:until, 7:], before.qpos[first : first + until, 7:], atol=1e-9)
        tail = motion.qpos[-30:, 7:]
        assert min(np.abs(after.qpos[i : i + 30, 7:] - tail).max() for i in range(after.num_frames - 29)) < 1e-9
        assert motion.duration_s <= 0.5 + seam.blend_s + 1.5 + 1e-6


def test_what_is_measured_was_not_practised():
    sway = tiny_motion(181)
    other = replace(sway, name="other")
    practised, measured = ([time_s for *_, time_s in drawn_switches([sway, other], 8, seed)] for seed in (0, SEED))
    assert not set(practised) & set(measured)
    assert len(with_switches([sway, other], ROBOT.body, 8, 0)) == 8


def test_a_perfect_seam_is_worth_waiting_for():
    """Held for two thirds of a second, then the very walk that is to be gone over to: rounding must not make it less than 0."""
    walk, body = stick_walk(frames=120), stick_body()
    held = replace(walk, name="held", qpos=np.concatenate([np.repeat(walk.qpos[:1], 20, axis=0), walk.qpos]))
    seam = find_seam(held, walk, 0.1, body, rest_s=0.5, wait_s=2.0)
    assert seam.leave_s >= 20 / 30
    np.testing.assert_allclose(switch(held, walk, seam).qpos[:60, 7:], held.qpos[:60, 7:], atol=1e-9)
