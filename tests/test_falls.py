"""Falls: how robots lie, how a clip is begun from there, and what counts as having got up."""

import json
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
from stick import stick_body, stick_walk
from tiny import tiny_motion, tiny_robot
from tiny_policy import CONFIG, still_policy

from mimic.checks import check_config
from mimic.evaluation.recovery import WITHIN_S, measure_recovery
from mimic.evaluation.whole_clips import evaluate_policy, print_evaluation
from mimic.falls import drawn_falls, rising, with_falls
from mimic.presets import make_preset
from mimic.sources import motions_of
from motions.edit import enter
from motions.edit.travel import Travel, move, move_qpos
from motions.errors import InputError
from motions.motion import save_motion
from motions.rotations import quat_rotate

SWAY = tiny_motion(241)


def touching_robot():
    """The tiny robot, all of whose geoms touch."""
    robot = tiny_robot()
    robot.model.geom_contype[1:] = robot.model.geom_conaffinity[1:] = 1
    return robot


def up(qpos: np.ndarray) -> np.ndarray:
    """Height of the tip of the root's own z axis, 1 m long."""
    return quat_rotate(qpos[..., 3:7], np.broadcast_to([0.0, 0.0, 1.0], (*qpos.shape[:-1], 3)))[..., 2]


def test_a_clip_is_taken_up_where_its_pose_is_wherever_it_stands():
    walk, body = stick_walk(frames=120), stick_body()
    other = replace(stick_walk(frames=120, speed_m_s=0.4), name="other")
    moved = move(walk, Travel(2.0, np.array([3.0, -1.0])))
    entered = enter(moved.qpos[41], [other, walk], body)
    np.testing.assert_allclose(entered.qpos[0], moved.qpos[41], atol=1e-6)
    np.testing.assert_allclose(entered.qpos[9:], moved.qpos[44:], atol=1e-6)  # after the shortest blend, a third of its time on
    assert (entered.name, entered.loop) == (walk.name, False)


def test_the_clip_grows_out_of_the_pose():
    walk, body = stick_walk(frames=120), stick_body()
    pose = move_qpos(walk.qpos[30:31], Travel(-1.0, np.array([0.3, 0.0])))[0]
    pose[8] += 0.4  # one joint is elsewhere
    entered = enter(pose, [walk], body)
    np.testing.assert_allclose(entered.qpos[0], pose, atol=1e-9)
    fastest = np.abs(np.diff(walk.qpos[:, 7:], axis=0)).max()
    assert np.abs(np.diff(entered.qpos[:, 7:], axis=0)).max() < 1.1 * fastest, "nothing jumps"
    np.testing.assert_allclose(entered.qpos[-1, 7:], walk.qpos[-1, 7:], atol=1e-9)


def test_what_no_clip_comes_near_is_refused():
    walk, body = stick_walk(frames=120), stick_body()
    lying = walk.qpos[0].copy()
    lying[2:7] = 0.1, np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0
    with pytest.raises(InputError, match=r"no motion comes nearer .* on the back and on the belly"):
        enter(lying, [walk], body)
    with pytest.raises(InputError, match=r"none of 1 motions lasts 1\.2 s"):
        enter(walk.qpos[0], [stick_walk(frames=30)], body)


def test_dropped_robots_lie_still_on_the_ground_and_anyhow():
    model = touching_robot().model
    falls = drawn_falls(model, 16, seed=3)
    np.testing.assert_array_equal(falls, drawn_falls(model, 16, seed=3))
    assert not np.allclose(falls, drawn_falls(model, 16, seed=4))
    assert (up(falls) < -0.9).any(), "some are on their backs"
    assert (up(falls) > -0.9).any(), "and some are not"
    data = mujoco.MjData(model)
    for pose in falls:
        data.qpos[:], data.qvel[:] = pose, 0.0
        mujoco.mj_forward(model, data)
        assert data.ncon > 0
        assert -0.02 < data.contact.dist.min() < 0.005
        data.ctrl[:] = pose[7:]
        for _ in range(100):
            mujoco.mj_step(model, data)
        assert abs(up(data.qpos) - up(pose)) < 0.1, "it lies as it will go on to lie"


def test_the_way_up_is_no_deeper_in_the_ground_than_its_ends():
    robot = touching_robot()
    pose = SWAY.qpos[0].copy()
    pose[2], pose[7:] = 0.1, [1.0, 1.0, -1.0, -1.0]  # its legs spread, its trunk low
    way = rising(pose, [SWAY], robot.body)
    data, depths = mujoco.MjData(robot.model), []
    for row in way.qpos:
        data.qpos[:] = row
        mujoco.mj_forward(robot.model, data)
        depths.append(max(0.0, -data.contact.dist.min(initial=0.0)))
    assert max(depths) < max(depths[0], depths[-1]) + 0.011


def test_a_policy_has_got_up_when_it_stands_at_the_clips_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A still policy comes up from spread legs; on its back it can do nothing."""
    policy, model = still_policy(tmp_path, CONFIG), touching_robot().model
    spread = SWAY.qpos[0].copy()
    spread[2], spread[7:] = 0.2, [0.9, 0.9, -0.9, -0.9]
    on_its_back = np.array([0, 0, 0.06, 0, 1, 0, 0, 0.1, 0.1, -0.1, -0.1])
    monkeypatch.setattr("mimic.evaluation.recovery.drawn_falls", lambda *_: np.stack([spread, on_its_back, spread]))
    row = measure_recovery(policy, [SWAY], model, 3)
    assert [seconds is not None for seconds in row["falls"]] == [True, False, True]
    assert row["recovered"] == pytest.approx(2 / 3)
    assert 1.0 < row["median_s"] < WITHIN_S
    evaluation = replace(evaluate_policy(policy), recovery=row)
    assert json.loads(json.dumps(evaluation.to_json()))["recovery"] == row
    print_evaluation(evaluation, "feet")
    assert "of 3 random falls it gets up from 67% within 10 s" in capsys.readouterr().out


def test_who_lies_as_in_no_clip_has_not_got_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def far(*_):
        raise InputError("far")

    monkeypatch.setattr("mimic.evaluation.recovery.rising", far)
    row = measure_recovery(still_policy(tmp_path, CONFIG), [SWAY], touching_robot().model, 2)
    assert row == {"recovered": 0.0, "median_s": None, "falls": [None, None]}


def test_falls_are_clips_beside_those_asked_for(tmp_path: Path):
    robot = touching_robot()
    save_motion(SWAY, tmp_path / "sway.npz")
    config = replace(make_preset("humanoid_recover"), motion=(str(tmp_path / "sway.npz"),), falls=3, weights=(2.0,), seed=3)
    found, motions, reports = motions_of(config, robot, lambda _: None)
    assert [motion.name for motion in motions] == [SWAY.name, *(f"{SWAY.name}_fall{number}" for number in range(3))]
    assert found.weights == (2.0, 1.0, 1.0, 1.0)
    assert len(reports) == 4
    falls = drawn_falls(robot.model, 3, seed=3)
    for motion, expected, pose in zip(motions[1:], with_falls(motions[:1], robot.body, robot.model, 3, 3), falls, strict=True):
        np.testing.assert_array_equal(motion.qpos, expected.qpos)
        np.testing.assert_allclose(motion.qpos[0, 7:], pose[7:], atol=1e-9)


def test_who_lies_needs_a_ground_under_all_of_him():
    with pytest.raises(InputError, match=r"falls is 3 and sim.collisions feet: expected all"):
        check_config(replace(make_preset("humanoid"), falls=3))
