"""Policies that reach for points: what is counted as reached, let loose and along a clip, against loops."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot
from tiny_policy import CONFIG as FOLLOWING
from tiny_policy import FREE, still_policy

from mimic.config import GoalConfig, ObservationConfig
from mimic.deploy.spec import read_spec
from mimic.drive import drive, read_script, responses
from mimic.evaluation.points import points_row
from mimic.evaluation.roam import roam
from mimic.evaluation.whole_clips import evaluate_policy, print_evaluation
from mimic.live.session import Session
from mimic.mdp.goals import REACHED_M
from mimic.report.gather import RunReport
from mimic.report.sections import clip_tables
from motions.kinematics import KinematicState

ROBOT, MOTION = tiny_robot(), tiny_motion(181)
GOAL = GoalConfig(kind="reach", effector="front_left", reach=(0.1, 0.4), turn=3.1)
LOOSE = replace(FREE, goal=GOAL, observation=ObservationConfig(actor=("projected_gravity", "joint_pos", "reach")))
ALONG = replace(FOLLOWING, goal=GOAL, observation=ObservationConfig(actor=("command", "joint_errors", "reach")))


def test_the_file_says_what_reaches_from_where_and_how_far(tmp_path: Path):
    policy = still_policy(tmp_path, LOOSE)
    told = read_spec(tmp_path / "p.json").goal
    assert told is not None
    assert (told.kind, told.effector, told.reach, told.turn) == ("reach", "front_left", (0.1, 0.4), 3.1)
    assert (told.tip, told.shoulder) == ((0.0, 0.0, -0.15), pytest.approx((0.2, 0.15, 0.0)))
    assert told.numbers == ("ahead of the root [m]", "left of the root [m]", "above the root [m]")
    assert policy.goals.effector == policy.layout.effector
    assert policy.spec.observation[-1].size == 6


def test_points_are_counted_one_by_one(tmp_path: Path):
    """Two robots, the second down after 30 of 40 steps: by the hand's distance, put there by hand."""
    policy = still_policy(tmp_path, LOOSE)
    clip = policy.reference(MOTION)
    state = KinematicState(*(np.stack([part[:40]] * 2, axis=1) for part in clip))
    hand = policy.goals.effector.from_root(state)  # [T, B, 3]
    away = np.full((40, 2), 0.3)
    away[10:20, 0], away[12, 1], away[35:, 1] = 0.05, 0.09, 0.0
    goals = np.zeros((40, 2, 3))
    goals[:20], goals[20:] = (0.1, 0.2, 0.3), (0.1, 0.2, 0.4)
    moved = state._replace(xpos=state.xpos.copy())
    yaw = np.arctan2(2 * state.qpos[..., 3] * state.qpos[..., 6], 1 - 2 * state.qpos[..., 6] ** 2)  # it only turns
    to = goals - hand + np.stack([away, 0 * away, 0 * away], axis=-1)
    moved.xpos[..., 1, 0] += np.cos(yaw) * to[..., 0] - np.sin(yaw) * to[..., 1]
    moved.xpos[..., 1, 1] += np.sin(yaw) * to[..., 0] + np.cos(yaw) * to[..., 1]
    moved.xpos[..., 1, 2] += to[..., 2]
    up = np.ones((40, 2), bool)
    up[30:, 1] = False
    row = points_row(policy, goals, moved, up)
    assert REACHED_M == 0.1
    assert (row["points"], row["reached"]) == (4, 0.5), "what is come near to once fallen does not count"
    assert row["nearest_m"] == pytest.approx((0.05 + 0.3 + 0.09 + 0.3) / 4, abs=1e-5)
    held = [0.05] * 10 + [0.3] * 19 + [0.09]  # the second robot was down in the second half of its second point
    assert row["held_m"] == pytest.approx(np.mean(held), abs=1e-5)


def test_who_is_let_loose_is_told_points_and_counted(tmp_path: Path):
    found = roam(still_policy(tmp_path, LOOSE), seconds=7.0)
    assert found.row["points"] == 16 * 3
    assert 0.0 < found.row["nearest_m"] < found.row["held_m"] < 0.6
    assert 0.0 < found.row["reach_return"] < 1.0
    assert 0.0 < found.row["reached"] < 1.0
    assert found.sim2sim is not None
    assert found.sim2sim.keys() == found.row.keys()
    assert "points" not in roam(still_policy(tmp_path, FREE), seconds=0.5, again=False).row


def test_who_follows_is_told_where_the_clips_hand_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    policy = still_policy(tmp_path, ALONG)
    evaluation = evaluate_policy(policy, [MOTION])
    report = json.loads(json.dumps(evaluation.to_json()))
    (row,) = report["points"]
    assert (row["name"], row["points"], row["reached"]) == ("sway", 3, 1.0), "3 s, and its legs do as the clip's"
    assert row["nearest_m"] < 0.05
    assert report["sim2sim"]["points"][0].keys() == row.keys()
    told = clip_tables(cast(RunReport, SimpleNamespace(evaluation=report, free=None)))
    assert "Points, as trained" in told
    assert "Points, in another simulator" in told
    print_evaluation(evaluation, "feet")
    shown = capsys.readouterr().out
    assert "Points" in shown
    assert "100%" in shown
    assert "points" not in evaluate_policy(still_policy(tmp_path, FOLLOWING)).to_json()


def test_a_file_of_commands_leads_the_hand(tmp_path: Path):
    policy = still_policy(tmp_path, LOOSE)
    path = tmp_path / "points.csv"
    path.write_text("time_s,ahead_m,left_m,up_m\n0,.2,.15,-.15\n1,.5,.15,-.15\n")
    found = drive(policy, read_script(path, "reach"))
    after = KinematicState(*(part[1:] for part in found.states))
    np.testing.assert_allclose(found.done, policy.goals.effector.from_root(after), atol=1e-6)
    rows = responses(found, "reach")
    for row, end, goal in zip(rows, (50, 200), ([0.2, 0.15, -0.15], [0.5, 0.15, -0.15]), strict=True):
        assert row["distance_m"] == pytest.approx(np.linalg.norm(found.done[end - 1] - goal), abs=1e-6)
    assert rows[0]["distance_m"] < 0.1 < rows[1]["distance_m"], "it stands still, on the first"


def test_a_session_says_how_far_it_is_and_when_it_is_there(tmp_path: Path):
    session = Session(still_policy(tmp_path, LOOSE))
    session.advance()
    hand = session.policy.goals.effector.from_root(session.state)[0]
    session.tell(hand + np.array([0.05, 0.0, 0.0]))
    session.take()
    assert session.to_go_m == pytest.approx(0.05, abs=1e-5)
    assert session.there
    session.tell(hand + np.array([0.0, 0.2, 0.0]))
    session.take()
    assert not session.there
    assert Session(still_policy(tmp_path, FREE)).to_go_m is None
