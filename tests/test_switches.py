"""Going over from one clip to another: where the other is taken up, and what counts as done."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stick import stick_body, stick_walk
from tiny import tiny_motion, tiny_robot
from tiny_policy import CONFIG, still_policy

from mimic.presets import make_preset
from mimic.sources import motions_of
from mimic.switches import drawn_switches, with_switches
from mimic.switching import SEED, measure_switches
from motions.edit import switch
from motions.errors import InputError
from motions.motion import save_motion

ROBOT = tiny_robot()


def test_a_walk_is_gone_on_with_in_step():
    """The same walk with another beginning is taken up where it is in the same phase: the walk goes on as it was."""
    walk, body = stick_walk(frames=120), stick_body()  # 30 Hz, a period of 30 frames
    late = replace(walk, name="late", qpos=walk.qpos[7:])
    joined = switch(walk, late, 1.5, body, rest_s=1.0)
    expected = walk.qpos[: joined.num_frames]
    np.testing.assert_allclose(joined.qpos[:, 7:], expected[:, 7:], atol=1e-6)
    np.testing.assert_allclose(joined.qpos[:, :3], expected[:, :3], atol=1e-6)
    assert joined.duration_s > 2.5
    assert joined.name == f"{walk.name}+late"


@pytest.mark.parametrize(("time_s", "rest_s", "said"), [(3.9, 1.0, "no switch at"), (1.0, 9.0, "less than the 9 s")])
def test_what_is_too_short_is_refused(time_s: float, rest_s: float, said: str):
    with pytest.raises(InputError, match=said):
        switch(stick_walk(frames=120), stick_walk(frames=120), time_s, stick_body(), rest_s=rest_s)


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
        first = round(max(time_s - 0.5, 0.0) * before.fps)
        until = round(time_s * before.fps) - first
        np.testing.assert_allclose(motion.qpos[:until, 7:], before.qpos[first : first + until, 7:], atol=1e-9)
        tail = motion.qpos[-60:, 7:]
        assert min(np.abs(after.qpos[i : i + 60, 7:] - tail).max() for i in range(after.num_frames - 59)) < 1e-9
        assert motion.duration_s <= 0.5 + 0.3 + 1.5 + 1e-6


def test_what_is_measured_was_not_practised():
    sway = tiny_motion(181)
    other = replace(sway, name="other")
    practised, measured = ([time_s for *_, time_s in drawn_switches([sway, other], 8, seed)] for seed in (0, SEED))
    assert not set(practised) & set(measured)
    assert len(with_switches([sway, other], ROBOT.body, 8, 0)) == 8
