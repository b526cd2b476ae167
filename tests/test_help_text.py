"""What the command line says of itself: it fits, it is grouped, its examples are true, and colours can be declined."""

import dataclasses
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import call
from tiny import tiny_motion, tiny_robot

import mimic.arguments
from mimic.arguments import EXIT_CODES
from mimic.cli import COMMANDS, GROUPS, command_name
from mimic.commands import motions, sweep
from mimic.commands.training import Training
from mimic.config import Config
from mimic.demo import next_steps
from mimic.help_text import COLUMN, EXAMPLES, MAX_WIDTH, about, program, summary
from mimic.presets import PRESETS
from mimic.runs import create_run

ROOT = Path(__file__).resolve().parents[1]
KINDS = {**COMMANDS, **{f"motions {name}": kind for name, kind in motions.MOTION_COMMANDS.items()}}


def test_the_overview_is_grouped_and_fits(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert call("--help") == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= MAX_WIDTH
    assert all(f"\n{title}:\n" in out for title in GROUPS)
    assert [line.split()[0] for line in out.partition("exit codes:\n")[2].splitlines()] == [str(code) for code in EXIT_CODES]
    assert max(map(len, COMMANDS)) <= COLUMN
    assert all(f"  {command_name(kind):{COLUMN}}  {summary(kind)[:40]}" in out for kind in COMMANDS.values())


def test_a_narrow_terminal_is_not_overrun(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert call("--help") == 0
    told, _ = capsys.readouterr().out.split("exit codes:")
    assert max(map(len, told.splitlines())) <= 60
    assert call("train") == 2
    assert max(map(len, capsys.readouterr().out.partition("presets:")[2].partition("`mimic")[0].splitlines())) <= 60


def test_every_command_is_summed_up_in_a_line_and_has_examples():
    for name, kind in KINDS.items():
        text = summary(kind)
        assert text.endswith((".", "`.")), name
        assert len(text) <= MAX_WIDTH - COLUMN, (name, len(text))
        if name != "motions":
            assert 1 <= len(EXAMPLES[name]) <= 3, name
            assert EXAMPLES[name][0] in about(kind, name)
    assert set(EXAMPLES) <= set(KINDS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples speak of, as far as parsing looks at it."""
    folder = tmp_path_factory.mktemp("place")
    config = Config(preset="tiny", robot="tiny")
    for run in ("g1-walk", "g1_teacher-walk"):
        create_run(folder / "runs" / run, config, tiny_robot(), (tiny_motion(),))
    for clip in ("walk.npz", "dance.npz"):
        (folder / clip).touch()
    (folder / "walk").mkdir()
    (folder / "walk" / "mimic.toml").write_text('preset = "g1"\n')
    return folder


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_every_example_is_taken(line: str, place: Path, monkeypatch: pytest.MonkeyPatch):
    """All but what the command does: that is replaced."""
    for kind in {*KINDS.values(), Training} - {motions.Motions, sweep.Sweep}:
        monkeypatch.setattr(kind, "run", lambda self: 0, raising=False)
    monkeypatch.setattr("mimic.training.sweep.run_members", lambda *_: 0)
    monkeypatch.chdir(place)
    program, *argv = shlex.split(line.removeprefix('eval "$(').removesuffix(')"').partition(" > ")[0])
    assert program == "mimic"
    assert call(*argv) == 0


@pytest.mark.parametrize(("setting", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours_are_for_terminals_that_have_them_and_users_who_want_them(setting: dict, coloured: bool):
    """Help and errors by tyro, and a table by rich, in a terminal of their own."""
    program = (
        "from mimic.cli import main\nfrom rich.console import Console\nfrom rich.table import Table\n"
        "for argv in (['inspect', '--help'], ['inspect', 'a', '--nonsense']):\n"
        "    try:\n        main(argv)\n    except SystemExit:\n        pass\n"
        "Console().print('[red]a[/red]')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"} | setting
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=inner, stdout=inner, stderr=inner, env=environment
    )
    os.close(inner)
    out = b""
    try:
        while chunk := os.read(outer, 65536):
            out += chunk
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(outer)
    assert process.wait() == 0
    assert b"Unrecognized" in out
    assert (b"\x1b[3" in out) == coloured


def test_no_colours_into_files(monkeypatch: pytest.MonkeyPatch):
    assert not mimic.arguments.may_colour()  # pytest has no terminal


def test_no_default_is_named_that_is_nothing(capsys: pytest.CaptureFixture):
    for name in ("evaluate", "bench", "serve", "view"):
        assert call(name, "--help") == 0
        out = capsys.readouterr().out
        assert "default: None" not in out
        assert "{None}" not in out
        assert "default: False" not in out


def test_what_to_type_next_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After `make demo` there is no `mimic` on the PATH, but one in .venv/bin; and every command that is named is taken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    own = tmp_path / ".venv" / "bin" / "mimic"
    own.parent.mkdir(parents=True)
    own.write_text("")
    own.chmod(0o755)
    elsewhere = tmp_path / "a b" / "bin" / "mimic"
    cases = {
        own: ".venv/bin/mimic",
        elsewhere: "'a b/bin/mimic'",
        "/x/mimic/__main__.py": "python -m mimic",
        "/x/pytest/__main__.py": "mimic",
    }
    for argv0, typed in cases.items():
        monkeypatch.setattr(sys, "argv", [str(argv0)])
        assert program() == typed
    monkeypatch.setattr(sys, "argv", [str(own)])
    monkeypatch.setenv("PATH", str(own.parent))
    assert program() == "mimic"
    run = create_run(tmp_path / "runs" / "my demo", Config(preset="tiny", robot="tiny"), tiny_robot(), (tiny_motion(),))
    steps = next_steps(run, [run.folder / name for name in ("policy.onnx", "report.html", "video.mp4")])
    assert steps[1] == "beside it: policy.onnx, video.mp4"
    assert str(run.folder / "report.html") in steps[0]
    for kind in KINDS.values():
        monkeypatch.setattr(kind, "run", lambda self: 0, raising=False)
    typed = [line.strip() for line in steps if line.startswith("  mimic ")]
    assert len(typed) == 4
    for line in typed:
        assert call(*shlex.split(re.split("   *", line)[0])[1:]) == 0, line


def test_what_must_be_given_has_no_default(capsys: pytest.CaptureFixture):
    for name in ("report", "retarget", "view"):
        assert call(name, "--help") == 0
        out = capsys.readouterr().out
        assert "(required)" in out
        assert "(default: )" not in out


def test_every_preset_is_summed_up():
    assert all(summary(preset).endswith((".", ").")) for preset in PRESETS.values())


def test_what_prints_results_writes_them_for_machines(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """Those that need no training; `bench compare`, `check-bundle` and `play` are with what they read."""
    wanted = [kind for kind in KINDS.values() if dataclasses.is_dataclass(kind)]
    with_json = {command_name(kind) for kind in wanted if any(field.name == "json" for field in dataclasses.fields(kind))}
    assert with_json >= {
        "evaluate", "stress", "bench", "retarget", "inspect", "doctor", "play", "check-bundle", "rehearse", "serve", "sim-robot",
        "sweep",
    }  # fmt: skip
    out = tmp_path / "deep" / "facts.json"
    assert call("doctor", "--json", out) == 0
    assert "backend native" in json.loads(out.read_text())
    assert call("inspect", here / "sway.npz", "--robot", here / "tiny.toml", "--json", out) == 0
    facts = json.loads(out.read_text())
    assert facts["what"] == "motion sway"
    assert facts["frames"].startswith("25 at 60 Hz")
    assert call("inspect", here / "tiny.toml", "--json", out) == 0
    assert json.loads(out.read_text())["joints"]["front_left_hip"]["kp"] > 0
