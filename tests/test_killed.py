"""`kill -9` at any moment: the same command goes on, and what is left behind can always be read."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL, call, write_tiny

from mimic.checkpoint import Checkpoints
from mimic.runs import open_run, read_metrics

KILLS = 10
ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_run_that_is_killed_ten_times_is_finished_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Between a second and the whole of a start-up, a checkpoint every tenth of a second: the kills fall into saves, too."""
    write_tiny(tmp_path)
    run = tmp_path / "run"
    options = [
        "train", "g1", "--robot", tmp_path / "tiny.toml", "--motion", tmp_path / "sway.npz", "--run-dir", run, "--resume",
        "--save-every-s", "0.1", *SMALL,
    ]  # fmt: skip
    command = [sys.executable, "-m", "mimic", *map(str, options), "--env-steps", str(10**7)]
    rng = np.random.default_rng(0)
    reached, alive = 0, []
    for _ in range(KILLS):
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ, stderr=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=float(rng.uniform(2.0, 30.0)))
        process.kill()
        errors = process.communicate()[1]
        assert "Traceback" not in errors, errors
        if not (run / "config.json").exists():
            continue  # killed before there was a run: the next one begins it
        open_run(run)
        checkpoints = Checkpoints(run / "checkpoints")
        newest = max(checkpoints._manager.all_steps(), default=0)
        checkpoints.close()
        assert newest >= reached  # nothing that was saved is lost
        alive.append(newest > reached)
        reached = newest
    assert sum(alive) >= 2
    monkeypatch.chdir(ROOT)
    assert call(*options, "--env-steps", (reached + 5) * 16 * 8) == 0
    assert [row["iteration"] for row in read_metrics(run / "metrics.jsonl")] == list(range(1, reached + 6))
    assert not list((run / "checkpoints").glob("*tmp*"))  # what the kills left half-written
