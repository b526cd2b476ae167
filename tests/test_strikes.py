"""Policies that strike: what robots are told, and what of their targets is counted as hit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot
from tiny_policy import CONFIG as FOLLOWING
from tiny_policy import still_policy

from mimic.config import GoalConfig, ObservationConfig
from mimic.deploy.sim2sim import Once
from mimic.deploy.spec import read_spec
from mimic.evaluation.strikes import TARGETS, measure_strikes, strikes
from mimic.evaluation.whole_clips import evaluate_policy, print_evaluation
from mimic.mdp.goals import HIT_M
from mimic.mdp.striking import strike_moment

ROBOT, MOTION = tiny_robot(), tiny_motion()
GOAL = GoalConfig(kind="strike", distance=(0.05, 0.3), height=(0.1, 0.6), turn=3.1)
CONFIG = replace(FOLLOWING, goal=GOAL, observation=ObservationConfig(actor=("command", "joint_errors", "strike")))


def test_the_file_says_what_it_strikes_with_and_where(tmp_path: Path):
    policy = still_policy(tmp_path, CONFIG)
    told = read_spec(tmp_path / "p.json").goal
    assert told is not None
    assert (told.kind, told.distance, told.height, told.turn) == ("strike", (0.05, 0.3), (0.1, 0.6), 3.1)
    assert told.effector in ROBOT.end_effectors
    assert policy.striker == ROBOT.tracked_bodies.index(told.effector)
    assert strikes(policy)
    assert not strikes(still_policy(tmp_path, replace(FOLLOWING, goal=GoalConfig())))


def test_what_the_striking_body_comes_near_is_hit(tmp_path: Path):
    """By the bodies' places of a run of its own: a target is hit where it lies within the margin of the body's way."""
    policy = still_policy(tmp_path, CONFIG)
    row = measure_strikes(policy, MOTION, policy.model)
    assert row["targets"] == TARGETS
    assert 0.05 < row["struck"] < 0.95
    assert row["stood"] == 1.0
    clip = policy.reference(MOTION)
    u = np.random.default_rng(0).uniform(-1, 1, (TARGETS, 4)).astype(np.float32)
    targets = Once(policy, clip, u).goal[:, :3]
    assert np.linalg.norm(targets[:, :2] - clip.qpos[strike_moment(clip, policy.striker), :2], axis=1).max() < 0.301
    way = evaluate_policy(policy).rollouts[0].states.xpos[:, policy.striker]  # the action is zero, whatever it is told
    nearest = np.linalg.norm(way[:, None] - targets, axis=-1).min(axis=0)
    assert row["struck"] == pytest.approx(np.mean(nearest < HIT_M), abs=1.01 / TARGETS)
    assert row["nearest_m"] == pytest.approx(nearest.mean(), rel=1e-3)


def test_evaluations_count_strikes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    evaluation = evaluate_policy(still_policy(tmp_path, CONFIG))
    report = json.loads(json.dumps(evaluation.to_json()))
    assert [row["name"] for row in report["strikes"]] == [MOTION.name] == [row["name"] for row in report["sim2sim"]["strikes"]]
    print_evaluation(evaluation, "feet")
    assert "64 targets" in capsys.readouterr().out
    assert "strikes" not in evaluate_policy(still_policy(tmp_path, FOLLOWING)).to_json()
