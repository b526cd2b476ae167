"""A file of settings: as the command line's, which overrides it; and what is wrong with one is said."""

import re
import tomllib
from pathlib import Path

import pytest
from commands import call, refusal
from hypothesis import given, settings
from hypothesis import strategies as st

from mimic.commands.training import Train
from mimic.config import Config
from mimic.config_file import as_toml, configured, run_dir_in
from mimic.presets import PRESETS, make_preset
from mimic.runs import Run, open_run


def written(folder: Path, text: str) -> Path:
    file = folder / "mimic.toml"
    file.write_text(text)
    return file


def test_what_the_file_says_is_set_and_nothing_else(tmp_path: Path):
    file = written(
        tmp_path,
        'motion = ["a.bvh"]\nenv-steps = 1000\nrun_dir = "there"\nevaluate_every_s = "none"\n[ppo]\ndiscount = 1\n'
        '[goal]\nspeed = [1, 2.5]\n[randomize.push]\nlinvel = [0, 0, 1]\nbodies = ["torso"]\n',
    )
    config = configured(file, make_preset("g1"))
    assert (config.motion, config.env_steps, config.evaluate_every_s) == (("a.bvh",), 1000, None)
    assert (config.ppo.discount, config.goal.speed) == (1.0, (1.0, 2.5))
    assert (config.randomize.push.linvel, config.randomize.push.bodies) == ((0.0, 0.0, 1.0), ("torso",))
    assert (config.ppo.gae_lambda, config.robot) == (make_preset("g1").ppo.gae_lambda, "g1")
    assert run_dir_in(file) == Path("there")
    file.write_text("seed = 3\n", encoding="utf-8-sig")  # as some editors do
    assert configured(file, Config()).seed == 3


@pytest.mark.parametrize("name", PRESETS)
def test_every_setting_of_a_preset_can_be_written_and_read(name: str, tmp_path: Path):
    """So all types of fields are known."""
    lines, preset = [], make_preset(name)

    def write(section: object, table: str) -> None:
        inner = []
        for key, value in vars(section).items():
            if hasattr(value, "__dataclass_fields__"):
                inner.append((value, f"{table}.{key}".strip(".")))
            elif key not in ("teacher", "learner"):
                lines.append(f"{key} = {as_toml(value)}")
        for value, path in inner:
            lines.append(f"[{path}]")
            write(value, path)

    write(preset, "")
    assert configured(written(tmp_path, "\n".join(lines)), Config()) == preset


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[pppo]\nx = 1", "unknown setting in .*mimic.toml 'pppo'. Did you mean 'ppo'?"),
        ("[ppo]\ndiscuont = 1", r"unknown setting in .*mimic.toml \[ppo\] 'discuont'. Did you mean 'discount'?"),
        ("run_dri = 'x'", "Did you mean 'run_dir'"),
        ("ppo = 3", r"ppo is 3, expected a table: \[ppo\]"),
        ("num_envs = 'x'", "num_envs is 'x', expected a whole number"),
        ("num_envs = true", "num_envs is True, expected a whole number"),
        ("motion = 'x'", r"motion is 'x', expected \[a text in quotes, ...\]"),
        (
            "[goal]\nkind = 'fly'",
            'goal.kind is \'fly\', expected "heading" or .* or "none"',
        ),
        ("[reset]\nlinvel = [1, 2]", r"expected \[a number, a number, a number\]"),
        ("teacher = 'x'", "teacher is not for a file to say: `mimic distill` sets it"),
        ("run_dir = 3", "run_dir is 3, expected a text in quotes"),
        ("num-envs = 3\nnum_envs = 4", "num_envs is given twice"),
        ("[ppo]\nclip-ratio = 3\nclip_ratio = 4", "clip_ratio is given twice"),
        ("x", "not TOML"),
        ("robot = 'g7'", "unknown robot 'g7'"),
        ("num_envs = 0", "num_envs is 0"),
    ],
)
def test_what_is_wrong_with_it_is_said(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    line = refusal(capsys, "train", "humanoid", "--config", written(tmp_path, text), "--run-dir", tmp_path / "run")
    assert re.search(said, line), line
    assert not (tmp_path / "run").exists()


def test_the_preset_is_the_files_or_the_command_lines(tmp_path: Path, capsys: pytest.CaptureFixture):
    file = written(tmp_path, 'preset = "humanoid"\nmotion = ["gone.npz"]\n')
    assert "gone.npz" in refusal(capsys, "train", "--config", file)
    assert "preset g1 is asked for first, and then humanoid" in refusal(capsys, "train", "g1", "--config", file)
    assert "preset g1 is asked for first, and then humanoid" in refusal(capsys, "sweep", "g1", f"--config={file}")
    assert "names no preset" in refusal(capsys, "train", "--config", written(tmp_path, "seed = 1\n"))
    assert "No such file" in refusal(capsys, "train", "--config", tmp_path / "gone.toml")
    assert "--config is given 2 times" in refusal(capsys, "train", "--config", file, f"--config={file}")
    assert "wants a preset or --config FILE first" in refusal(capsys, "train", "--config")


def test_a_run_by_file_keeps_what_was_said_and_goes_on_by_the_same_command(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """All but the training itself."""
    begun: list[Run] = []
    monkeypatch.setattr(Train, "run", lambda self: begun.append(self.begin()[0]) or 0)
    run = tmp_path / "run"
    file = written(
        tmp_path,
        f'preset = "humanoid"\nrobot = "{here / "tiny.toml"}"\nmotion = ["{here / "sway.npz"}"]\nrun_dir = "{run}"\n'
        "seed = 3\n[ppo]\ndiscount = 0.9\nclip_ratio = 0.3\n",
    )
    command = ("train", "--config", file, "--ppo.discount", "0.8", "--resume")
    assert call(*command) == 0
    kept = open_run(run).config
    assert (kept.preset, kept.seed, kept.ppo.discount, kept.ppo.clip_ratio) == ("humanoid", 3, 0.8, 0.3)
    capsys.readouterr()
    assert call(*command) == 0
    assert "not used" not in capsys.readouterr().err
    assert [one.resumed for one in begun] == [False, True]


@settings(max_examples=30, deadline=None)
@given(st.text())
def test_any_text_can_be_written(text: str):
    text = text.encode("utf-8", "replace").decode()
    assert tomllib.loads(f"a = {as_toml(text)}")["a"] == text
    assert "\n" not in as_toml(text)
