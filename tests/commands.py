"""`mimic` commands called in this process, on a robot small enough that training it takes seconds."""

import warnings
from pathlib import Path

import pytest
from tiny import EFFORT, KD, KP, tiny_mjcf, tiny_motion

from mimic.cli import main
from mimic.error_codes import find_code
from motions.motion import save_motion

STEPS = 16 * 8 * 4
SMALL = ["--backend", "native", "--device", "cpu", "--num-envs", "16", "--ppo.rollout-length", "8", "--ppo.num-epochs", "1",
         "--ppo.num-minibatches", "2", "--network.hidden", "16"]  # fmt: skip
SPEC = f"""
name = "tiny"
files = ["tiny.xml"]
[joints]
"*_hip" = {{ kp = {KP}, kd = {KD}, effort = {EFFORT}, armature = 0.01 }}
[default_pose]
root_z = 0.33
[bodies]
tracked = ["trunk", "front_left", "front_right", "hind_left", "hind_right"]
anchor = "trunk"
end_effectors = ["hind_left", "hind_right"]
feet = ["front_left", "front_right", "hind_left", "hind_right"]
foot_geoms = ["*_foot"]
"""


def write_tiny(folder: Path) -> None:
    """A robot, tiny.toml, and a clip of half a second for it, sway.npz."""
    (folder / "tiny.xml").write_text(tiny_mjcf())
    (folder / "tiny.toml").write_text(SPEC)
    save_motion(tiny_motion(25), folder / "sway.npz")


def call(*argv: object) -> int:
    """Run a command; its exit code."""
    formatwarning = warnings.formatwarning  # `main` sets how warnings look; pytest wants its own
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in argv])
    warnings.formatwarning = formatwarning
    return int(done.value.code or 0)


def refusal(capsys: pytest.CaptureFixture, *argv: object) -> str:
    """The one line that says why, without the code behind it, which every refusal has."""
    capsys.readouterr()
    assert call(*argv) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    lines = [line for line in err.splitlines() if line.strip()]
    assert [line.startswith("mimic: ") for line in lines].count(True) == 1, err
    assert lines[-1].startswith("mimic: ")
    said, behind, code = lines[-1].removeprefix("mimic: ").rpartition(" [")
    assert behind, f"no code behind: {lines[-1]}"
    find_code(code.removesuffix("]"))
    return said
