"""A training on a machine without a network: nothing in it looks for one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import SMALL, STEPS, write_tiny

ALONE = ["unshare", "--map-root-user", "--net"]  # a network of its own, with nothing in it, not even the loopback


def has_namespaces() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*ALONE, "true"], capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not has_namespaces(), reason="no network namespaces here")
def test_a_whole_training_without_a_network(tmp_path: Path):
    """From the motion to the report, in a process that could not reach anything; with a compile cache of its own."""
    write_tiny(tmp_path)
    asks = "import socket; socket.create_connection(('127.0.0.1', 9), timeout=1)"
    assert b"unreachable" in subprocess.run([*ALONE, sys.executable, "-c", asks], capture_output=True).stderr
    argv = ["train", "humanoid", "--motion", tmp_path / "sway.npz", "--robot", tmp_path / "tiny.toml", "--env-steps", 2 * STEPS]
    done = subprocess.run(
        [*ALONE, sys.executable, "-m", "mimic", *map(str, argv), *SMALL, "--run-dir", tmp_path / "run"],
        env=os.environ | {"MIMIC_CACHE": str(tmp_path / "cache")}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ("policy.onnx", "evaluation.json", "report.html", "checkpoints"):
        assert (tmp_path / "run" / name).exists()
