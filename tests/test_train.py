"""The training program: what it writes, that an interruption changes nothing, and what it does when something breaks."""

import dataclasses
import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from tiny_run import CONFIG, LAST, PER_ITERATION, final_state, leaves, new_run

import mimic.training.interim
from mimic.checkpoint import Checkpoints
from mimic.learning.networks import actor_layers
from mimic.learning.ppo import TrainState
from mimic.pipeline import evaluate_run, trained_policy
from mimic.progress import Progress
from mimic.runs import Run, open_run, read_metrics, resume_run
from mimic.training.interim import Interim
from mimic.training.train import train
from motions.errors import InputError

pytestmark = pytest.mark.usefixtures("one_program")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An uninterrupted run."""
    run = new_run(tmp_path_factory.mktemp("whole") / "run")
    said: list[str] = []
    result = train(run, said.append)
    assert result.stopped_by is None
    assert (result.env_steps, result.steps_per_s > 0, result.compile_s > 0) == (PER_ITERATION * LAST, True, True)
    assert "16 environments on native (cpu)" in said[0]
    return run


def test_metrics_have_a_row_per_iteration(whole: Run):
    rows = read_metrics(whole.metrics_path)
    assert [row["iteration"] for row in rows] == list(range(1, LAST + 1))
    assert [row["env_steps"] for row in rows] == [i * PER_ITERATION for i in range(1, LAST + 1)]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert rows[-1].keys() >= {
        "loss/policy", "loss/value", "loss/kl", "loss/learning_rate", "rollout/reward", "rollout/falls_per_s",
        "error/e_mpbpe_mm", "reward/body_pos", "time/env_steps_per_s", "time/host_share", "rollout/invalid",
    }  # fmt: skip
    assert rows[-1]["rollout/falls_per_s"] == rows[-1]["rollout/terminated"] * 50


def test_the_run_folder_holds_events_and_the_last_checkpoint(whole: Run):
    assert next(whole.folder.glob("events.out.tfevents.*")).stat().st_size > 1000
    assert [path.name for path in whole.checkpoints.iterdir()] == [str(LAST)]
    assert int(final_state(whole).iteration) == LAST


def test_the_policy_taken_from_a_run_is_its_average_with_its_normalizer(whole: Run):
    state = final_state(whole)
    policy = trained_policy(whole, pytest.fail)
    layers, mean, std = policy.layers, policy.mean, policy.std
    for layer, expected in zip(layers, actor_layers(state.average), strict=True):
        np.testing.assert_array_equal(layer[0], expected[0])
    assert not np.array_equal(layers[0][0], actor_layers(state.params)[0][0])
    np.testing.assert_array_equal(mean, state.normalizer.mean[: len(mean)])
    np.testing.assert_array_equal(std, state.normalizer.std[: len(std)])
    assert layers[0][0].shape == (len(mean), 16)


def test_a_policy_is_measured_beside_the_training_as_it_is_after(whole: Run):
    state = final_state(whole)
    with Interim(dataclasses.replace(whole, config=dataclasses.replace(CONFIG, evaluate_every_s=1e-9))) as interim:
        assert interim.due
        assert not interim.take(pytest.fail)
        interim.begin(state, 77)
        assert not interim.due, "one at a time"
        assert interim.pending is not None
        interim.pending.result()
        measured = interim.take(pytest.fail)
        assert interim.due
        assert not interim.take(pytest.fail), "each once"
    assert measured is not None
    assert measured.film is not None
    assert measured.film.startswith(b"GIF89a")
    mean = evaluate_run(whole, None, lambda _: None).mean
    assert measured.values == {
        "evaluation/env_steps": 77.0,
        **{f"evaluation/{name}": mean[name] for name in ("success_height", "e_mpbpe_mm", "e_g_mpbpe_mm")},
    }


def test_a_film_that_cannot_be_made_is_said_once_and_ends_nothing(whole: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mimic.training.interim, "film", MagicMock(side_effect=ValueError("no room to draw")))
    state, said = final_state(whole), []
    with Interim(whole) as interim:
        for env_steps in (77, 88):
            interim.begin(state, env_steps)
            assert interim.pending is not None
            interim.pending.exception()
            measured = interim.take(said.append)
            assert measured is not None
            assert (measured.values["evaluation/env_steps"], measured.film) == (env_steps, None)
    (line,) = said
    assert "not filmed" in line
    assert "no room to draw" in line


def test_evaluations_are_said_and_kept_among_the_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Interim, "begin", waits(Interim.begin))
    run = new_run(tmp_path / "run", evaluate_every_s=1e-9)
    said: list[str] = []
    train(run, said.append)
    assert sum("evaluated: " in line for line in said) == LAST - 1
    evaluated = [row["evaluation/env_steps"] for row in read_metrics(run.metrics_path) if "evaluation/env_steps" in row]
    assert evaluated == [i * PER_ITERATION for i in range(1, LAST)]


def waits(begin):
    def begin_and_wait(self: Interim, *args) -> None:
        begin(self, *args)
        self.pending.exception()

    return begin_and_wait


def same_run(run: Run, whole: Run) -> None:
    """To the last bit: every metric but the times, and everything in the final state."""
    for row, expected in zip(read_metrics(run.metrics_path), read_metrics(whole.metrics_path), strict=True):
        assert {k: v for k, v in row.items() if k[:5] != "time/"} == {k: v for k, v in expected.items() if k[:5] != "time/"}
    for leaf, expected in zip(leaves(final_state(run)), leaves(final_state(whole)), strict=True):
        np.testing.assert_array_equal(leaf, expected)


def resume(run: Run) -> list[str]:
    said: list[str] = []
    train(resume_run(run.folder, CONFIG)[0], said.append)
    return said


@pytest.mark.slow
def test_a_shorter_run_gone_on_with_is_the_longer_run(whole: Run, tmp_path: Path):
    run = new_run(tmp_path / "run", env_steps=PER_ITERATION * 4)
    assert train(run, lambda _: None).env_steps == PER_ITERATION * 4
    assert "resuming from iteration 4" in resume(run)
    same_run(run, whole)


def at_iteration(monkeypatch: pytest.MonkeyPatch, iteration: int, happens: Callable[[], None]) -> None:
    """Let something happen while the progress of that iteration is shown."""
    update = Progress.update

    def watched(self: Progress, row: dict) -> None:
        update(self, row)
        if row["iteration"] == iteration:
            happens()

    monkeypatch.setattr(Progress, "update", watched)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGUSR1, marks=pytest.mark.slow)])
def test_a_signal_saves_first_and_a_resume_is_as_if_nothing_had_been(
    number: signal.Signals, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Schedulers repeat themselves."""
    run = new_run(tmp_path / "run")
    before = signal.getsignal(number)

    def twice() -> None:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        at_iteration(patch, 6, twice)
        said: list[str] = []
        result = train(run, said.append)
    assert result.stopped_by == number
    assert result.env_steps == 6 * PER_ITERATION
    assert said[-1].startswith("interrupted: saved at iteration 6 of 10")
    assert said[-1].endswith("go on with --resume")
    assert signal.getsignal(number) is before
    resume(run)
    same_run(run, whole)


def test_the_first_ctrl_c_waits_for_the_iteration_the_second_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = new_run(tmp_path / "run")

    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    at_iteration(monkeypatch, 3, twice)
    with pytest.raises(KeyboardInterrupt):
        train(run, lambda _: None)


def test_a_crash_costs_what_came_after_the_last_checkpoint(whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Saved every iteration, killed in iteration 8 before it was saved; the newest checkpoint is damaged too."""
    run = new_run(tmp_path / "run", save_every_s=-1.0)

    def crash() -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        at_iteration(patch, 8, crash)
        with pytest.raises(RuntimeError, match="power cut"):
            train(run, lambda _: None)
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["5", "6", "7"]
    shutil.rmtree(run.checkpoints / "7" / "default")
    with run.metrics_path.open("a") as file:
        file.write('{"iteration": 9, "env_st')
    said = resume(run)
    assert "checkpoint 7 is damaged; using the one before it, 6" in said
    assert "resuming from iteration 6" in said
    same_run(run, whole)


def test_a_finished_run_gone_on_with_stays_as_it_is(whole: Run, tmp_path: Path):
    shutil.copytree(whole.folder, tmp_path / "run")
    run = open_run(tmp_path / "run")
    resume(run)
    same_run(run, whole)


@pytest.mark.slow
def test_resuming_before_the_first_checkpoint_begins_anew(whole: Run, tmp_path: Path):
    run = new_run(tmp_path / "run")
    assert "no checkpoint to resume from: starting at the beginning" in resume(run)
    same_run(run, whole)


def test_unreadable_checkpoints_stop_a_resume_and_stay(whole: Run, tmp_path: Path):
    shutil.copytree(whole.folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / str(LAST) / "default")
    with pytest.raises(InputError, match=r"none of the checkpoints.*--init-from"):
        resume(open_run(tmp_path / "run"))
    assert (tmp_path / "run" / "checkpoints" / str(LAST)).exists()
    assert len(read_metrics(tmp_path / "run" / "metrics.jsonl")) == LAST


# What cannot be trained


def test_iterations_fit_into_the_asked_steps():
    assert dataclasses.replace(CONFIG, env_steps=PER_ITERATION * 7 + 100).num_iterations == 7
    assert dataclasses.replace(CONFIG, env_steps=1).num_iterations == 2


def test_an_unknown_backend_leaves_no_checkpoints(tmp_path: Path):
    run = new_run(tmp_path / "run", backend="bullet")
    with pytest.raises(InputError, match="unknown backend 'bullet'"):
        train(run, lambda _: None)
    assert not run.checkpoints.exists()


def test_a_checkpoint_is_a_whole_training_state(whole: Run):
    """Saved anew, it is what was read: nothing a resume needs lies elsewhere."""
    state = final_state(whole)
    checkpoints = Checkpoints(whole.checkpoints)
    restored, iteration = checkpoints.restore(state, pytest.fail) or (None, 0)
    checkpoints.close()
    assert iteration == LAST
    assert set(TrainState._fields) >= {
        "params",
        "average",
        "opt_state",
        "normalizer",
        "env_state",
        "curriculum",
        "key",
        "iteration",
    }
    for a, b in zip(leaves(restored), leaves(state)):
        np.testing.assert_array_equal(a, b)
    assert json.loads((whole.folder / "config.json").read_text())["config"]["num_envs"] == 16
