"""The whole-clip protocol: what is run, where it ends, what is written and printed."""

import dataclasses
import io
import json
from pathlib import Path

import mujoco
import numpy as np
import pytest
from rich.console import Console
from tiny import tiny_motion, tiny_robot

from mimic.config import Config
from mimic.deploy.export import export_policy, make_spec
from mimic.deploy.sim2sim import Policy, rollout
from mimic.deploy.simulation import other_simulator, substeps
from mimic.evaluation.whole_clips import evaluate_policy, print_evaluation
from mimic.play import Kept, play
from motions.errors import InputError

ROBOT, MOTION, CONFIG = tiny_robot(), tiny_motion(), Config(preset="tiny", robot="tiny")
ISSUE_KEYS = {
    "name", "frames", "completed_frames", "success_height", "success_015", "success_05",
    "e_g_mpbpe_mm", "e_mpbpe_mm", "e_mpjpe_rad", "e_mpjve_rad_s",
}  # fmt: skip


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """An action of zero, always: the PD law follows the reference's joints."""
    size = make_spec(CONFIG, ROBOT, MOTION).observation_size
    layers = [(np.zeros((size, 4), np.float32), np.zeros(4, np.float32))]
    folder = tmp_path_factory.mktemp("policy")
    return Policy.load(export_policy(layers, np.zeros(size), np.ones(size), CONFIG, ROBOT, MOTION, folder / "policy.onnx"))


@pytest.fixture(scope="module")
def without_floor() -> mujoco.MjModel:
    model = mujoco.MjModel.from_xml_string(ROBOT.mjcf)
    model.geom("floor").contype = 0
    return model


def test_a_standing_robot_completes_its_clip(policy: Policy):
    evaluation = evaluate_policy(policy)
    row = evaluation.clips[0]
    assert row["name"] == "sway"
    assert (row["frames"], row["completed_frames"], row["success_height"], row["success_05"]) == (101, 101, 1, 1)
    run = evaluation.rollouts[0]
    distance_mm = 1000 * np.linalg.norm(run.states.xpos - run.reference.xpos, axis=-1)
    assert row["e_g_mpbpe_mm"] == pytest.approx(distance_mm.mean(), rel=1e-5)
    assert 0.5 < row["nr"] < 1.0
    assert row["pose_error_m"] < 0.01


def test_a_name_in_a_log_is_not_broken(policy: Policy, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "06_09_basketball_with_a_name_as_long_as_a_line"
    print_evaluation(evaluate_policy(policy, [dataclasses.replace(MOTION, name=name)]), "feet")
    lines = [line for line in capsys.readouterr().out.splitlines() if name in line]
    assert len(lines) == 2
    assert all("101/101" in line for line in lines)


def test_the_run_begins_exactly_on_the_reference(policy: Policy):
    run = rollout(policy)
    for name in ("qpos", "qvel", "xpos", "xlinvel", "xangvel"):
        np.testing.assert_allclose(getattr(run.states, name)[0], getattr(run.reference, name)[0], atol=2e-6, err_msg=name)


def test_it_is_deterministic(policy: Policy):
    np.testing.assert_array_equal(rollout(policy).states.qpos, rollout(policy).states.qpos)


def test_a_fall_ends_the_run_where_free_fall_says(policy: Policy, without_floor: mujoco.MjModel):
    """Through the floor: g t^2 / 2 exceeds .25 m after .226 s, so that frame 12 is the first too low, and .5 m after .32 s."""
    row = evaluate_policy(policy, all_collisions=without_floor).all_collisions[0]
    assert (row["frames"], row["completed_frames"], row["success_height"], row["success_015"], row["success_05"]) == (
        101,
        12,
        0,
        0,
        0,
    )
    assert len(rollout(policy, model=without_floor).states.qpos) == 17


def test_broken_physics_is_a_failure_not_a_fresh_start(policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """MuJoCo puts a body whose state has exploded back to its rest pose; here that is close to the reference."""
    model = mujoco.MjModel.from_xml_string(ROBOT.mjcf)
    model.actuator_biasprm[:, 1] = 1e9
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log where it stands
    model.actuator_forcelimited[:] = 0
    row = evaluate_policy(policy, all_collisions=model).all_collisions[0]
    assert row["completed_frames"] < 101
    assert row["success_height"] == row["success_05"] == 0
    json.dumps(row, allow_nan=False)


def test_the_other_simulator_is_another_one_and_keeps_the_control_rate():
    model = mujoco.MjModel.from_xml_string(ROBOT.mjcf)
    model.geom_solref[1] = -1000, -50  # stiffness and damping: no time constant to halve
    other = other_simulator(model)
    assert substeps(other, CONFIG.sim.ctrl_dt) == 2 * substeps(model, CONFIG.sim.ctrl_dt) == 8
    for name in ("integrator", "cone", "solver", "tolerance"):
        assert getattr(other.opt, name) != getattr(model.opt, name), name
    assert other.opt.jacobian == model.opt.jacobian
    np.testing.assert_array_equal(model.geom("floor").solref, [0.02, 1])
    np.testing.assert_array_equal(other.geom("floor").solref, [0.01, 1])
    np.testing.assert_array_equal(other.geom_solref[1], [-1000, -50])
    with pytest.raises(InputError, match=r"0\.012 s.*0\.005 s"):
        substeps(model, 0.012)


def test_json_holds_what_the_scripts_read(policy: Policy, without_floor: mujoco.MjModel):
    slow = dataclasses.replace(tiny_motion(frames=61), name="half")
    report = json.loads(
        json.dumps(evaluate_policy(policy, [MOTION, slow], all_collisions=without_floor).to_json(), allow_nan=False)
    )
    assert [clip["name"] for clip in report["clips"]] == ["sway", "half"]
    assert all(clip.keys() >= ISSUE_KEYS for clip in report["clips"])
    assert report["mean"].keys() == report["clips"][0].keys() - {"name"}
    assert report["mean"]["frames"] == (101 + 51) / 2
    assert report["mean"]["success_height"] == 1
    assert report["all_collisions"]["mean"]["success_height"] == 0
    assert report["step_ms"] > 0
    assert [clip["completed_frames"] for clip in report["sim2sim"]["clips"]] == [101, 51]
    assert 0 < abs(report["sim2sim"]["mean"]["e_g_mpbpe_mm"] / report["mean"]["e_g_mpbpe_mm"] - 1) < 0.5


def test_tables_fit_a_terminal(policy: Policy, without_floor: mujoco.MjModel):
    out = io.StringIO()
    named = [dataclasses.replace(MOTION, name=name) for name in ("a/[bold]long_name_of_a_clip", "b")]
    print_evaluation(evaluate_policy(policy, named, all_collisions=without_floor), "feet", Console(file=out, width=80))
    text = out.getvalue()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    for expected in (
        "contacts as trained (feet)",
        "all collisions",
        "another simulator",
        "101/101",
        "12/101",
        "100%",
        "[rad/s]",
        "mean",
        "[bold]",
    ):
        assert expected in text, expected


def test_play_prints_and_returns_the_same(policy: Policy, tmp_path: Path):
    size = policy.spec.observation_size
    layers = [(np.zeros((size, 4), np.float32), np.zeros(4, np.float32))]
    path = export_policy(layers, np.zeros(size), np.ones(size), CONFIG, ROBOT, MOTION, tmp_path / "zero.onnx")
    out = io.StringIO()
    result = play(path, console=Console(file=out, width=80))
    assert result.clips == evaluate_policy(policy).clips
    assert "sway" in out.getvalue()


def test_play_films(tmp_path: Path):
    size = make_spec(CONFIG, ROBOT, MOTION).observation_size
    layers = [(np.zeros((size, 4), np.float32), np.zeros(4, np.float32))]
    short = tiny_motion(frames=12)
    path = export_policy(layers, np.zeros(size), np.ones(size), CONFIG, ROBOT, short, tmp_path / "zero.onnx")
    play(path, Kept(video=tmp_path / "film.mp4"), Console(file=io.StringIO()))
    assert b"ftyp" in (tmp_path / "film.mp4").read_bytes()[:16]
