"""What befalls a training: physics that break or lack room, learning that diverges, disks that are full."""

import copy
import dataclasses
import importlib.util
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import optax
import pytest
from tiny_run import LAST, PER_ITERATION, ROBOT, final_state, leaves, new_run

import mimic.training.train
from mimic.checkpoint import Checkpoints
from mimic.config import SimConfig
from mimic.runs import open_run, read_metrics, resume_run
from mimic.sim import native
from mimic.training.train import RECOVERIES, TrainingError, train

pytestmark = pytest.mark.usefixtures("one_program")


def poisoned(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """One environment's state becomes NaN in one control step of the run."""
    step, calls = native._Engine.step, [0]

    def poison(self: Any, *row: Any) -> np.ndarray:
        out = step(self, *row)
        calls[0] += 1
        if calls[0] == call:
            out[3] = np.nan
        return out

    monkeypatch.setattr(native._Engine, "step", poison)


def test_one_broken_step_is_counted_and_kept_and_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In the third step of iteration 4; .78 % of that rollout, so not yet too much."""
    run = new_run(tmp_path / "run")
    poisoned(monkeypatch, 3 * 8 + 3)
    said: list[str] = []
    assert train(run, said.append).env_steps == PER_ITERATION * LAST
    rows = {row["iteration"]: row for row in read_metrics(run.metrics_path)}
    assert [i for i, row in rows.items() if row["rollout/invalid"] > 0] == [4]
    assert rows[4]["rollout/invalid"] == pytest.approx(1 / PER_ITERATION)
    assert rows[4]["rollout/terminated"] >= 1 / PER_ITERATION
    assert any("broken physics in 7.81e-03 of the steps" in line for line in said)
    with np.load(run.folder / "invalid_state.npz") as state:
        assert state["qpos"].shape == (11,)
        assert state["qvel"].shape == (10,)
        assert state["action"].shape == (4,)
        assert 0 <= state["frame"] < 100
        assert all(np.isfinite(state[name]).all() for name in state.files)
    for leaf in leaves(final_state(run)):
        assert np.isfinite(leaf.astype(float)).all()


def test_broken_physics_of_more_than_a_hundredth_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Motors that push away from their targets, in MuJoCo itself."""
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log where it stands
    run = new_run(tmp_path / "run")
    wild = copy.copy(ROBOT.model)
    wild.actuator_biasprm[:, 1] = 1e12
    wild.actuator_forcelimited[:] = 0
    with pytest.raises(TrainingError, match=r"physics broke .* more than 1%.*invalid_state.npz"):
        train(dataclasses.replace(run, robot=dataclasses.replace(ROBOT, model=wild)), lambda _: None)
    with np.load(run.folder / "invalid_state.npz") as state:
        assert np.isfinite(state["qpos"]).all()
    assert read_metrics(run.metrics_path)[-1]["rollout/invalid"] > 0.01


def spoiling(monkeypatch: pytest.MonkeyPatch, when: Callable[[int], bool], **spoilt: float) -> None:
    """Numbers of an iteration, counted over all tries, are these `when` it says so."""
    get, calls = jax.device_get, [0]

    def spoiled(log: dict) -> dict:
        values = dict(get(log))
        if "loss/value" in values:
            calls[0] += 1
            values |= {name: np.float32(value) for name, value in spoilt.items()} if when(calls[0]) else {}
        return values

    monkeypatch.setattr(mimic.training.train, "jax", SimpleNamespace(**{**vars(jax), "device_get": spoiled}))


def diverging(monkeypatch: pytest.MonkeyPatch, when: Callable[[int], bool]) -> None:
    spoiling(monkeypatch, when, **{"loss/value": np.nan})


def test_physics_that_lacked_room_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """At once, whatever became of the learning: the numbers are wrong. What was saved is from before."""
    run = new_run(tmp_path / "run", save_every_s=-1.0)
    lacking = {"max/contacts": 11.0, "max/contacts_fill": 1.1, "max/constraints": 9.0, "max/constraints_fill": 0.4}
    spoiling(monkeypatch, lambda call: call == 3, **lacking, **{"loss/value": np.nan})
    with pytest.raises(TrainingError, match=r"Enough .*: --sim.contacts-per-env 14. The checkpoints in .* before it: .*--resume"):
        train(run, lambda _: None)
    assert max(int(path.name) for path in run.checkpoints.iterdir() if path.name.isdigit()) == 2
    assert read_metrics(run.metrics_path)[-1]["max/contacts_fill"] == pytest.approx(1.1)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("warp") is None, reason="Warp is not installed")
def test_a_run_on_warp_that_lacked_room_goes_on_with_what_it_asks_for(tmp_path: Path):
    short = SimConfig(contacts_per_env=1)
    changes = {"backend": "mjx-warp", "env_steps": 2 * PER_ITERATION, "save_every_s": -1.0}
    run = new_run(tmp_path / "run", sim=short, **changes)
    with pytest.raises(TrainingError, match=r"--sim.contacts-per-env") as said:
        train(run, lambda _: None)
    size = int(re.findall(r"--sim.contacts-per-env (\d+)", str(said.value))[0])
    wanted = dataclasses.replace(run.config, sim=dataclasses.replace(short, contacts_per_env=size))
    again, ignored = resume_run(run.folder, wanted)
    assert ignored == []
    train(again, lambda _: None)
    rows = read_metrics(run.metrics_path)
    assert [row["iteration"] for row in rows] == [1, 2]
    assert all(0.1 < row["max/contacts_fill"] <= 1.0 for row in rows)
    assert all(0.0 < row["max/constraints_fill"] <= 1.0 for row in rows)


@pytest.mark.slow
def test_learning_that_diverges_goes_on_from_before_with_smaller_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = new_run(tmp_path / "run", save_every_s=-1.0)
    diverging(monkeypatch, lambda call: call == 5)
    said: list[str] = []
    assert train(run, said.append).env_steps == PER_ITERATION * LAST
    assert any("loss/value not finite" in line and "half the step sizes (then 2 more tries)" in line for line in said)
    assert "resuming from iteration 4" in said
    assert [row["iteration"] for row in read_metrics(run.metrics_path)] == list(range(1, LAST + 1))
    kept, first = open_run(run.folder).config, run.config
    assert (kept.ppo.desired_kl, kept.distill.learning_rate) == (first.ppo.desired_kl / 2, first.distill.learning_rate / 2)
    assert kept.style.learning_rate == first.style.learning_rate / 2
    parts = {name: getattr(first, name) for name in ("ppo", "distill", "search", "style")}
    assert dataclasses.replace(kept, **parts) == first


@pytest.mark.slow
def test_learning_that_diverges_again_and_again_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing of it is saved."""
    run = new_run(tmp_path / "run", save_every_s=-1.0)
    diverging(monkeypatch, lambda call: call >= 3)
    with pytest.raises(TrainingError, match="learning has diverged: loss/value not finite"):
        train(run, lambda _: None)
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["1", "2"]
    assert open_run(run.folder).config.ppo.desired_kl == run.config.ppo.desired_kl / 2**RECOVERIES


def test_a_disk_that_is_full_stops_the_run_and_leaves_what_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From the fourth save on, which goes on in the background, no file may grow beyond a kilobyte."""
    run = new_run(tmp_path / "run", save_every_s=-1.0)
    save, limits = Checkpoints.save, resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(self: Checkpoints, iteration: int, state: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000 if iteration >= 4 else limits[0], limits[1]))
        try:
            save(self, iteration, state)
            while self._manager.is_saving_in_progress():
                time.sleep(0.01)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(Checkpoints, "save", full)
    with pytest.raises(TrainingError, match=r"cannot write to .*run: checkpoint 4 failed: .*--resume"):
        train(run, lambda _: None)
    monkeypatch.undo()
    said: list[str] = []
    resumed, _ = resume_run(run.folder, run.config)
    assert train(resumed, said.append).env_steps == PER_ITERATION * LAST
    assert "resuming from iteration 3" in said
    assert not list(run.checkpoints.glob("*tmp*"))


@pytest.mark.slow
def test_weights_that_are_no_numbers_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Broken by the last update of iteration 3, of which its numbers know nothing."""
    run = new_run(tmp_path / "run", save_every_s=-1.0)
    norm, calls = optax.tree.norm, [0]

    def spoiled(params: Any) -> Any:
        calls[0] += 1
        return np.nan if calls[0] == 3 else norm(params)

    monkeypatch.setattr(mimic.training.train, "optax", SimpleNamespace(tree=SimpleNamespace(norm=spoiled)))
    said: list[str] = []
    train(run, said.append)
    assert any("weights not finite" in line for line in said)
    assert "resuming from iteration 2" in said
