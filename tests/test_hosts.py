"""Processes that train together, here two on one machine: the numbers of one process with two devices."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL, call, refusal, write_tiny
from test_devices import CONFIG, MOTION, ROBOT, assert_same_numbers, rows

from mimic.runs import create_run, open_run, read_metrics
from mimic.training.hosts import any_of, is_first, refuse_idle_gpus, require_same, told
from motions.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
TRAIN = """
import sys
from pathlib import Path
from mimic.training.hosts import join, part
join(sys.argv[1], 2, int(sys.argv[2]))
from mimic.runs import open_run
from mimic.training.train import train
run = open_run(Path(sys.argv[3]))
if len(sys.argv) > 4 and sys.argv[2] == "1":
    from dataclasses import replace
    run = replace(run, config=replace(run.config, seed=int(sys.argv[4])))
train(run)
part()
"""


def two(*command: object) -> list[subprocess.Popen]:
    """Two processes of one device each that run `command` with the coordinator's address and their number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    env = os.environ | {"XLA_FLAGS": ""}
    return [
        subprocess.Popen(
            [str(part).format(address=address, index=index) for part in command],
            cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for index in range(2)
    ]  # fmt: skip


def ends(processes: list[subprocess.Popen], timeout: float = 240.0) -> list[tuple[int, str]]:
    """Exit codes, and what was said."""
    try:
        said = [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


@pytest.mark.slow
def test_two_processes_compute_what_two_devices_of_one_do(tmp_path: Path):
    one = rows(tmp_path / "one", "native", 2)
    run = create_run(tmp_path / "two", dataclasses.replace(CONFIG, backend="native"), ROBOT, (MOTION,))
    first, second = ends(two(sys.executable, "-c", TRAIN, "{address}", "{index}", run.folder))
    assert (first[0], second[0]) == (0, 0), first[1] + second[1]
    assert "(2 x cpu)" in first[1]
    assert_same_numbers(read_metrics(run.metrics_path), one)
    assert [path.name for path in run.checkpoints.iterdir()] == [str(len(one))]


def test_alone_a_process_is_the_first_and_waits_for_nobody():
    assert is_first()
    assert told({"a": [1, None]}) == {"a": [1, None]}
    assert any_of((True, False)) == (True, False)
    require_same(code=b"anything")


def test_half_of_an_address_is_refused(capsys: pytest.CaptureFixture, tmp_path: Path):
    train = "train", "humanoid", "--run-dir", tmp_path / "run"
    assert "need --cluster.join" in refusal(capsys, *train, "--cluster.process-id", 1)
    assert "given together or not at all" in refusal(capsys, *train, "--cluster.join", "--cluster.process-id", 1)
    assert not (tmp_path / "run").exists()


def test_gpus_that_would_idle_are_refused():
    """The usual launch line of one process a node, of which each takes one GPU, trains on one of eight."""
    node = {"SLURM_GPUS_ON_NODE": "8", "SLURM_STEP_TASKS_PER_NODE": "1(x2)"}
    with pytest.raises(InputError, match=r"8 GPUs of this node are allocated, 1 would be used .* --ntasks-per-node=8"):
        refuse_idle_gpus(node, 1)
    refuse_idle_gpus(node, 8)
    refuse_idle_gpus(node | {"SLURM_STEP_TASKS_PER_NODE": "8(x2)"}, 1)
    refuse_idle_gpus({}, 1)
    refuse_idle_gpus(node, 0)  # trained on CPUs


@pytest.mark.slow
def test_processes_that_would_train_differently_are_refused(tmp_path: Path):
    run = create_run(tmp_path / "run", dataclasses.replace(CONFIG, backend="native"), ROBOT, (MOTION,))
    for code, said in ends(two(sys.executable, "-c", TRAIN, "{address}", "{index}", run.folder, 7)):
        assert code != 0
        assert "the config of process 1 differs from the first's" in said


def together(folder: Path, *more: object) -> list[subprocess.Popen]:
    """`mimic train`, far too long, by two processes."""
    return two(
        sys.executable, "-m", "mimic", "train", "g1", "--robot", folder / "tiny.toml", "--motion", folder / "sway.npz",
        "--run-dir", folder / "run", "--env-steps", 10**7, *SMALL, *more,
        "--cluster.join", "--cluster.coordinator", "{address}", "--cluster.num-processes", 2, "--cluster.process-id", "{index}",
    )  # fmt: skip


def wait_for(path: Path, timeout: float = 120.0) -> None:
    deadline = time.monotonic() + timeout
    while not path.exists() or not path.read_text().count("\n") > 20:
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_a_signal_to_one_saves_and_ends_all_and_one_goes_on_alone(tmp_path: Path):
    write_tiny(tmp_path)
    processes = together(tmp_path)
    wait_for(tmp_path / "run" / "metrics.jsonl")
    processes[1].send_signal(signal.SIGTERM)
    for code, said in ends(processes):
        assert code == 75, said
    done = int(np.max([int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()]))
    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["iteration"] == done
    assert call("train", "g1", "--run-dir", tmp_path / "run", "--resume", "--env-steps", (done + 3) * 16 * 8) == 0
    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["iteration"] == done + 3


@pytest.mark.slow
def test_when_one_dies_the_other_does_not_wait_for_ever(tmp_path: Path):
    write_tiny(tmp_path)
    processes = together(tmp_path, "--save-every-s", 1)
    wait_for(tmp_path / "run" / "metrics.jsonl")
    processes[1].kill()
    first, _ = ends(processes, timeout=180.0)
    assert first[0] != 0
    assert open_run(tmp_path / "run").config.env_steps == 10**7
    assert list((tmp_path / "run" / "checkpoints").iterdir())
