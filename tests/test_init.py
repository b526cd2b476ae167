"""`mimic init`: asks or is told, looks at the motion, and writes a file that a training takes."""

import builtins
import dataclasses
import shlex
from pathlib import Path

import numpy as np
import pytest
from commands import call, refusal
from tiny import tiny_motion

import mimic.commands.init
from mimic.commands.init import CHARACTER, FILE, own
from mimic.config import Config
from mimic.config_file import configured, run_dir_in
from mimic.presets import PRESETS, make_preset
from mimic.proposal import TASKS, Proposal, explanations
from motions.motion import save_motion


@pytest.fixture
def tiny(here: Path) -> list[object]:
    return ["--robot", here / "tiny.toml", "--motion", here / "sway.npz"]


def test_flags_alone_write_a_file_that_a_training_takes(tiny: list, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = tmp_path / "mine"
    assert call("init", folder, *tiny, "--task", "track", "--end-s", "0.3") == 0
    out, err = capsys.readouterr()
    assert f"mimic train --config {folder / FILE}" in out
    assert "25 frames at 60 Hz" in err
    assert "it would start" in err
    config = configured(folder / FILE, make_preset("g1"))
    said = {"robot": str(here / "tiny.toml"), "motion": (str(here / "sway.npz"),), "end_s": 0.3}
    assert config == dataclasses.replace(make_preset("g1"), **said)
    assert run_dir_in(folder / FILE) == folder / "run"
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_every_line_is_explained(tiny: list, tmp_path: Path):
    assert call("init", tmp_path, *tiny, "--task", "track") == 0
    for block in (tmp_path / FILE).read_text().split("\n\n"):
        assert block.startswith("# ")
        assert max(map(len, block.splitlines())) <= 130
    assert set(explanations()) >= {
        field.name for field in dataclasses.fields(Config) if not dataclasses.is_dataclass(getattr(Config(), field.name))
    }


def test_somebodys_work_is_kept(tiny: list, tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / FILE).write_text("precious")
    assert "--force replaces it" in refusal(capsys, "init", tmp_path, *tiny, "--task", "track")
    assert (tmp_path / FILE).read_text() == "precious"
    assert "gone.npz" in refusal(capsys, "init", tmp_path, *tiny[:2], "--motion", "gone.npz", "--task", "track", "--force")
    assert (tmp_path / FILE).read_text() == "precious"
    assert call("init", tmp_path, *tiny, "--task", "track", "--force") == 0
    assert "precious" not in (tmp_path / FILE).read_text()


def test_without_a_terminal_it_says_what_is_missing(tiny: list, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert "no terminal to ask on: give --motion, --task too" in refusal(capsys, "init", tmp_path, *tiny[:2])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--task", "track", "--end-s", "-1"), "is empty"),
        (("--task", "steer"), "led"),
    ],
)
def test_what_would_not_start_is_not_written(argv: tuple, said: str, tiny: list, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert said in refusal(capsys, "init", tmp_path / "new", *tiny, *argv)
    assert not (tmp_path / "new" / FILE).exists()


def test_an_end_at_zero_is_an_end(tiny: list, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert call("init", tmp_path, *tiny, "--task", "track", "--cycles", "100", "--end-s", "0") == 2
    assert "s is long" not in capsys.readouterr().err


def test_what_cannot_be_written_or_is_occupied_is_said(tiny: list, tmp_path: Path, capsys: pytest.CaptureFixture):
    """The first before anything is read, so before anything is asked."""
    (tmp_path / "file").write_text("")
    assert "cannot write" in refusal(capsys, "init", tmp_path / "file", *tiny[:2], "--motion", "gone.npz", "--task", "track")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    assert "is not a run folder" in refusal(capsys, "init", tmp_path, *tiny, "--task", "track")
    assert not (tmp_path / FILE).exists()


def test_what_cannot_be_read_without_its_options_names_no_robot(tmp_path: Path):
    """--fps, --skeleton, or a robot that is not known yet: no reason to refuse it."""
    np.savez(tmp_path / "numbers.npz", a=np.zeros(3))
    assert own(str(tmp_path / "numbers.npz")) == CHARACTER


def test_it_asks_until_it_is_told(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    answers = iter(["gone.bvh", str(here / "sway.npz"), str(here / "tiny.toml"), "st", "tr"])
    monkeypatch.setattr(builtins, "input", lambda: next(answers))
    monkeypatch.setattr(mimic.commands.init.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(mimic.commands.init.sys.stderr, "isatty", lambda: True, raising=False)
    assert call("init", tmp_path) == 0
    err = capsys.readouterr().err
    assert "gone.bvh: no such file, and no shipped clip: basketball" in err
    assert "unknown answer 'st'" in err
    assert 'preset = "g1"' in (tmp_path / FILE).read_text()
    monkeypatch.setattr(builtins, "input", lambda: (_ for _ in ()).throw(EOFError))
    assert call("init", tmp_path, "--force") == 130


def test_a_shipped_clip_is_for_whom_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture, shared_robots: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MIMIC_ROBOTS", str(shared_robots))
    line = refusal(capsys, "init", tmp_path, "--robot", "t1", "--motion", "walk", "--task", "track")
    assert "for t1 there is dance" in line


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("robot", ["g1", "h1", "humanoid", "my.xml"])
def test_each_task_is_a_preset_for_each_robot(task: str, robot: str, tmp_path: Path):
    proposal = Proposal(task, tmp_path, {"robot": robot, "motion": ("a.npz",)}, {})
    assert proposal.preset in PRESETS
    (tmp_path / FILE).write_text(proposal.text(tmp_path / FILE))
    assert configured(tmp_path / FILE, make_preset(proposal.preset)).robot == robot
    lines = dataclasses.replace(proposal, folder=Path("my walk")).next_commands(Path("my walk") / FILE)
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[0] == "mimic"
        assert all(Path(word).parts[0] == "my walk" for word in words if "walk" in word), line
    assert "--config 'my walk/mimic.toml'" in proposal.text(Path("my walk") / FILE)


def test_what_a_motion_is_called_runs_nowhere(here: Path, tmp_path: Path):
    """Neither as TOML nor as the end of a comment."""
    name = '<script>alert(1)</script>\nseed = 7\n"'
    clip = tmp_path / "evil.npz"
    save_motion(dataclasses.replace(tiny_motion(25), name=name, robot=name), clip)
    assert own(str(clip)) == name
    notes = {"motion": f"a motion of {name}"}
    proposal = Proposal("track", tmp_path / name, {"robot": "g1", "motion": (name,)}, notes)
    (tmp_path / FILE).write_text(proposal.text(tmp_path / FILE))
    config = configured(tmp_path / FILE, make_preset("g1"))
    assert (config.seed, config.motion) == (0, (name,))
