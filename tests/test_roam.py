"""Policies that follow no clip, let loose: what is measured of them, against numbers that are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import tiny_motion, tiny_robot
from tiny_policy import CONFIG as FOLLOWING
from tiny_policy import FREE as CONFIG
from tiny_policy import exported, still_policy
from tiny_report import tiny_free_run

from mimic.cli import main
from mimic.config import GoalConfig, ObservationConfig, TerminationConfig
from mimic.deploy.sim2sim import Policy, rollout
from mimic.deploy.spec import read_spec
from mimic.evaluation import roam as roaming
from mimic.evaluation.roam import ROBOTS, measure, roam
from mimic.evaluation.stress import sweep
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.rotations import quat_conj, quat_rotate, yaw_quat

ROBOT, MOTION = tiny_robot(), tiny_motion()


def test_robots_that_stand_neither_fall_nor_get_anywhere(tmp_path: Path):
    policy = still_policy(tmp_path, CONFIG)
    found = roam(policy, seconds=4.0)
    row = found.row
    assert found.states.qpos.shape == (201, ROBOTS, 11)
    assert (row["robots"], row["seconds"], row["stood"]) == (ROBOTS, 4.0, 1.0)
    assert row["fallen_s"] == pytest.approx(4.0)
    assert row["coverage"] < 0.5
    assert found.goals is not None
    speeds = np.linalg.norm(found.goals, axis=-1)
    assert ((speeds > 0.099) & (speeds < 0.401)).all()
    assert len(np.unique(found.goals.reshape(200, -1), axis=0)) == 2, "one at the start, one after three seconds"
    wanted = np.exp(-2.5 * np.sum((found.goals - found.states.qvel[1:, :, :2]) ** 2, axis=-1)).mean()
    assert row["heading_return"] == pytest.approx(wanted, rel=1e-5)
    assert row["heading_return"] < row["heading_return_deepmimic"] < 1.0
    assert found.sim2sim is not None
    assert found.sim2sim.keys() == row.keys()
    assert found.to_json()["free"] is row


def test_who_falls_earns_nothing_from_then_on(tmp_path: Path):
    policy = still_policy(tmp_path, CONFIG)
    clip = policy.reference(MOTION)
    run = KinematicState(*(np.stack([part] * 4, axis=1)[:101] for part in clip))
    run.xpos[60:, 1, 0, 2] -= 0.2  # the second robot's trunk sinks after 1.2 s
    goals = np.zeros((100, 4, 2), np.float32)
    row = measure(policy, run, clip, [clip], goals)
    assert row["stood"] == 0.75
    assert row["fallen_s"] == pytest.approx((3 * 100 + 60) * 0.02 / 4)
    assert row["pose_error_m"] == pytest.approx(0.0, abs=1e-5)
    assert 0.75 < row["coverage"] < 1.0, "but for the first half second"
    paid = np.exp(-2.5 * np.sum(run.qvel[1:, :, :2] ** 2, axis=-1))
    paid[59:, 1] = 0.0
    assert row["heading_return"] == pytest.approx(paid.mean(), rel=1e-4)


def test_who_all_fall_at_once_have_shown_nothing(tmp_path: Path):
    policy = still_policy(tmp_path, CONFIG)
    clip = policy.reference(MOTION)
    run = KinematicState(*(np.stack([part] * 2, axis=1)[:51] for part in clip))
    run.xpos[10:, :, 0, 2] -= 0.2
    row = measure(policy, run, clip, [clip], None)
    assert (row["stood"], row["pose_error_m"], row["coverage"], row["speed_distance_m_s"]) == (0.0, None, 0.0, None)
    assert row["fallen_s"] == pytest.approx(0.2)


def test_what_a_policy_is_told_stands_in_its_spec(tmp_path: Path):
    still_policy(tmp_path, CONFIG)
    spec = read_spec(tmp_path / "p.json")
    assert not spec.follow
    assert spec.goal is not None
    assert (spec.goal.kind, spec.goal.speed, len(spec.goal.numbers)) == ("heading", (0.1, 0.4), 2)
    assert [term.name for term in spec.observation] == ["projected_gravity", "joint_pos", "heading"]
    assert spec.termination.below_clips == 0.1


def test_without_a_goal_style_is_all(tmp_path: Path):
    config = replace(CONFIG, goal=GoalConfig(), observation=ObservationConfig(actor=("projected_gravity", "joint_pos")))
    found = roam(still_policy(tmp_path, config), seconds=1.0, again=False)
    assert found.sim2sim is None
    assert found.goals is None
    assert not [name for name in found.row if "return" in name]


def test_followers_are_sent_to_evaluate(tmp_path: Path):
    policy = Policy.load(exported(tmp_path, FOLLOWING))
    with pytest.raises(InputError, match="mimic evaluate"):
        roam(policy)


def test_a_follower_is_told_what_its_clip_does(tmp_path: Path):
    """Along the clip, from wherever it is; the term shows it in the robot's own heading."""
    told = replace(CONFIG, follow=True, termination=TerminationConfig())
    policy = still_policy(tmp_path, told)
    run = rollout(policy, max_steps=60)
    clip, seen = policy.reference(MOTION), run.observations[:, -2:]
    for frame in (0, 20, 59):
        way = (clip.qpos[frame + 25, :2] - clip.qpos[frame, :2]) / 0.5
        back = quat_conj(yaw_quat(clip.qpos[frame, 3:7]))
        np.testing.assert_allclose(seen[frame], quat_rotate(back, np.array([*way, 0.0]))[:2], atol=1e-4)


def test_stress_is_for_followers(tmp_path: Path):
    with pytest.raises(InputError, match="follows no clip"):
        sweep(still_policy(tmp_path, CONFIG), "p.onnx")


def test_people_see_the_same_numbers(tmp_path: Path, capsys: pytest.CaptureFixture):
    found = roam(still_policy(tmp_path, CONFIG), seconds=1.0)
    roaming.print_roaming(found)
    shown = capsys.readouterr().out
    assert "16 robots let loose" in shown
    assert "heading_return_deepmimic" in shown


def test_evaluate_names_the_option_that_is_for_followers_and_the_command_that_saves(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    tiny_free_run(tmp_path / "run")
    for argv, said in ((["--falls", "3"], "--falls: for policies"), (["--save-motion", "a.npz"], "mimic play POLICY --command")):
        with pytest.raises(SystemExit):
            main(["evaluate", str(tmp_path / "run"), *argv])
        told = capsys.readouterr().err
        assert said in told
        assert "--mirror" not in told
