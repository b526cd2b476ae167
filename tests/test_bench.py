"""Benchmarks: that what is replayed is the run itself, that the numbers fit together, and the verdict."""

import dataclasses
import json
import signal
from pathlib import Path

import jax
import mujoco
import numpy as np
import pytest
from commands import call, refusal
from tiny import tiny_motion, tiny_robot

from mimic.bench import brax, learn
from mimic.bench import speed as bench
from mimic.config import Config, NetworkConfig, PPOConfig
from mimic.learning.ppo import make_learner
from mimic.training.train import TrainResult, make_task
from mimic.view.plots import plot_speed

ROBOT, MOTION = tiny_robot(), tiny_motion()
CONFIG = Config(
    preset="tiny",
    robot="tiny",
    num_envs=16,
    env_steps=3 * 128,
    backend="native",
    device="cpu",
    network=NetworkConfig(hidden=(16,)),
    ppo=PPOConfig(rollout_length=8, num_epochs=2, num_minibatches=2),
)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "WARM_ITERATIONS", 1)
    monkeypatch.setattr(bench, "ROUNDS", 2)


def test_the_replay_is_the_runs_own_states_and_controls():
    """Each recorded state, stepped by plain MuJoCo with its control, is the next one, unless the episode ended there."""
    task = make_task(CONFIG, ROBOT, (MOTION,), "native")
    learner = make_learner(CONFIG, task)
    state = jax.jit(learner.init)(jax.random.key(0))
    states, controls = (np.asarray(x, float) for x in jax.jit(lambda s: bench._record(task, learner, CONFIG, s))(state))
    assert states.shape == (8, 16, 11 + 10 + 10)
    assert controls.shape == (8, 16, 4)
    same = 0
    for t in range(7):
        for env in range(16):
            data = mujoco.MjData(ROBOT.model)
            data.qpos[:], data.qvel[:], data.qacc_warmstart[:] = np.split(states[t, env], [11, 21])
            data.ctrl[:] = controls[t, env]
            mujoco.mj_step(ROBOT.model, data, 4)
            if np.array_equal(data.qpos.astype(np.float32), states[t + 1, env, :11].astype(np.float32)):
                same += 1
            else:  # an episode begins, on a frame of the reference
                distance = np.abs(np.asarray(task.library.frames.qpos) - states[t + 1, env, :11]).max(axis=1)
                assert distance.min() < 1e-6
    assert same > 0.8 * 7 * 16
    bench._native_replay(ROBOT, CONFIG, states, controls)()


@pytest.mark.slow
def test_speed_fits_together(quick: None, capsys: pytest.CaptureFixture):
    speed = bench.bench_speed(dataclasses.replace(CONFIG, devices=2), ROBOT, (MOTION,))
    assert set(speed._asdict()) == {
        "backend", "num_envs", "devices", "physics_steps_per_s", "env_steps_per_s", "train_steps_per_s", "ratio",
        "peak_memory_mb", "estimated_memory_mb", "compile_s", "brax_steps_per_s",
    }  # fmt: skip
    assert (speed.backend, speed.num_envs, speed.devices, speed.brax_steps_per_s) == ("native", 16, 2, None)
    assert speed.ratio == pytest.approx(speed.train_steps_per_s / (speed.physics_steps_per_s / 4))
    assert speed.train_steps_per_s > 0
    assert speed.env_steps_per_s > 0
    assert 100 < speed.peak_memory_mb < 1e5
    assert 430 < speed.estimated_memory_mb < 1e5
    bench.print_speeds([speed, speed._replace(brax_steps_per_s=9.0)])
    text = " ".join(capsys.readouterr().out.split())
    assert "16 x 2" in text
    assert "brax_steps_per_s" in text


@pytest.mark.slow
def test_speed_of_mjx_and_of_brax(quick: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(brax, "ITERATIONS", 1)
    speed = bench.bench_speed(dataclasses.replace(CONFIG, backend="mjx-jax"), ROBOT, (MOTION,), brax=True)
    assert speed.backend == "mjx-jax"
    assert speed.ratio == pytest.approx(speed.train_steps_per_s / (speed.physics_steps_per_s / 4))
    assert speed.brax_steps_per_s is not None
    assert speed.brax_steps_per_s > 0


@pytest.mark.slow
def test_several_are_measured_each_in_its_own_process(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """One of them cannot be split: that is said, and the others are measured."""
    small = ("network.hidden=16", "ppo.rollout_length=4", "ppo.num_minibatches=2", "ppo.num_epochs=1")
    table, picture = tmp_path / "speed.json", tmp_path / "speed.png"
    told = ("--robot", here / "tiny.toml", "--motion", here / "sway.npz", "--device", "cpu", "--set", *small)
    code = call("bench", "speed", *told, "--num-envs", "8", "10", "--devices", "1", "4", "--json", table, "--plot", picture)
    assert code == 1
    assert "10 environments cannot be split evenly over 4 devices" in capsys.readouterr().err
    rows = json.loads(table.read_text())["rows"]
    assert [(row["num_envs"], row["devices"]) for row in rows] == [(8, 1), (10, 1), (8, 4)]
    for row in rows:
        assert row["estimated_memory_mb"] == pytest.approx(row["peak_memory_mb"], rel=0.4)  # so small, it is JAX and its compiler
    assert picture.stat().st_size > 5000
    assert call("bench", "compare", table, table) == 0


def test_a_plot_of_speeds(tmp_path: Path):
    """A line for each number of devices, and brax's where it was measured."""
    rows = [
        {
            "backend": "native",
            "num_envs": envs,
            "devices": devices,
            "train_steps_per_s": 10.0 * envs * devices,
            "brax_steps_per_s": brax,
        }
        for devices, brax in ((1, 5.0), (2, None), (4, None))
        for envs in (64, 256)
    ]
    text = plot_speed(tmp_path / "speed.svg", rows).read_text()
    for words in ("1 device", "2 devices", "4 devices", "brax", "256", "env-steps per second"):
        assert f"<!-- {words}" in text


@pytest.mark.slow
def test_learn_trains_and_measures_each_seed(tmp_path: Path):
    rows = learn.bench_learn(CONFIG, ROBOT, (MOTION,), (3,), tmp_path, lambda _: None)
    assert [(row["seed"], row["env_steps"]) for row in rows] == [(3, 3 * 128)]
    assert rows[0]["frames"] == 101
    assert rows[0].keys() >= {"success_height", "e_mpbpe_mm", "e_g_mpbpe_mm", "e_mpjpe_rad", "wall_s"}
    assert (tmp_path / "seed3" / "policy.onnx").exists()


def test_ctrl_c_ends_all_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stopped = TrainResult(128, 1.0, 1.0, 128.0, 1.0, signal.SIGINT)
    monkeypatch.setattr(learn, "train", lambda run, say: stopped)
    with pytest.raises(KeyboardInterrupt):
        learn.bench_learn(CONFIG, ROBOT, (MOTION,), (0, 1), tmp_path, lambda _: None)
    assert not (tmp_path / "seed1").exists()


def row(seed: int, success: int, e_mpbpe_mm: float) -> dict:
    return {"seed": seed, "env_steps": 100, "wall_s": 1.5, "success_height": success, "completed_frames": 9,
            "e_mpbpe_mm": e_mpbpe_mm, "e_g_mpbpe_mm": 30.0, "e_mpjpe_rad": 0.05}  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([row(0, 1, 19.0), row(1, 1, 10.0), row(2, 1, 90.0)], "median E_mpbpe 19.0 mm, all seeds complete: 20 mm reached"),
        (
            [row(0, 1, 19.0), row(1, 0, 10.0), row(2, 1, 12.0)],
            "median E_mpbpe 12.0 mm, not all seeds complete: 20 mm not reached",
        ),
        ([row(0, 1, 21.0)], "median E_mpbpe 21.0 mm, all seeds complete: 20 mm not reached"),
    ],
)
def test_verdict(rows: list[dict], verdict: str, capsys: pytest.CaptureFixture):
    learn.print_learn(rows, 20.0)
    assert verdict in capsys.readouterr().out


SPEED = {"backend": "native", "num_envs": 128, "physics_steps_per_s": 5e4, "ratio": 0.5, "peak_memory_mb": 1000.0}


@pytest.mark.parametrize(
    ("change", "code"),
    [({}, 0), ({"ratio": 0.46}, 0), ({"ratio": 0.44}, 1), ({"peak_memory_mb": 1110.0}, 1), ({"physics_steps_per_s": 1e4}, 0)],
)
def test_what_has_become_slower(change: dict, code: int, tmp_path: Path, capsys: pytest.CaptureFixture):
    """A slower machine is no worse program: only the ratio and the memory count."""
    files = tmp_path / "before.json", tmp_path / "after.json"
    for file, record in zip(files, (SPEED, SPEED | change)):
        file.write_text(json.dumps(record))
    assert call("bench", "compare", *files) == code
    assert ("worse" in capsys.readouterr().out) == bool(code)


def test_several_are_compared_row_by_row(tmp_path: Path):
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    rows = [SPEED, SPEED | {"devices": 2, "brax_steps_per_s": None}]
    before.write_text(json.dumps({"rows": rows}))
    assert call("bench", "compare", before, before) == 0
    after.write_text(json.dumps({"rows": [rows[0], rows[1] | {"ratio": 0.4}]}))
    assert call("bench", "compare", before, after) == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("learn", "--num-envs", "8", "16"), "they are of speed"),
        (("retarget", "--devices", "2"), "they are of speed"),
        (("speed", "--brax", "--devices", "2"), "--brax measures on one device"),
        (("speed", "--num-envs", "8", "16", "--profile", "there"), "--profile traces one measurement"),
        (("speed", "--plot", "speed.gif"), "expected a file that ends in .png or .svg"),
    ],
)
def test_what_only_some_can_be_told(argv: tuple[str, ...], words: str, capsys: pytest.CaptureFixture):
    assert words in refusal(capsys, "bench", *argv)


def test_what_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture):
    one, other, broken = tmp_path / "one.json", tmp_path / "other.json", tmp_path / "broken.json"
    one.write_text(json.dumps(SPEED))
    other.write_text(json.dumps(SPEED | {"num_envs": 256}))
    broken.write_text("[]")
    assert "is of num_envs 256" in refusal(capsys, "bench", "compare", one, other)
    assert "it has no backend, num_envs, ratio" in refusal(capsys, "bench", "compare", one, broken)
    several = tmp_path / "several.json"
    several.write_text(json.dumps({"rows": [SPEED, SPEED | {"devices": 2}]}))
    assert "holds 2 measurements" in refusal(capsys, "bench", "compare", one, several)
    assert "cannot be read" in refusal(capsys, "bench", "compare", tmp_path / "none.json", one)
    assert "bench compare: expected two files" in refusal(capsys, "bench", "compare", one)
    assert "bench speed: expected no files" in refusal(capsys, "bench", "speed", one)
