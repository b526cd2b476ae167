"""Going over from one clip to another: where the other is taken up, and what counts as done."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from stick import stick_body, stick_walk
from tiny import tiny_motion, tiny_robot
from tiny_policy import CONFIG, still_policy

from mimic.switches import measure_switches
from motions.edit import switch
from motions.errors import InputError

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
