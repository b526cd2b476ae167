"""Completion: every option that a command has and no other, and what bash makes of the script."""

import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import call
from tiny import tiny_motion, tiny_robot

from mimic.cli import COMMANDS
from mimic.commands.completion import typed_after
from mimic.completion import SHELLS
from mimic.config import Config
from mimic.presets import PRESETS
from mimic.runs import create_run

TABLE = typed_after(COMMANDS)
READY = b"\x1b[?2004h"  # what zsh's editor tells a terminal before it reads a line


@pytest.mark.parametrize("command", [name for name in TABLE if name != "motions"])
def test_a_command_completes_the_options_that_it_has(command: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    """The independent reference is its help."""
    before = {"train": ["g1"], "sweep": ["g1"]}.get(command, [])
    if command in ("distill", "harden"):
        create_run(tmp_path / "run", Config(preset="tiny", robot="tiny"), tiny_robot(), (tiny_motion(),))
        before = [str(tmp_path / "run")]
    assert call(*command.split(), *before, "--help") == 0
    told = set(re.findall(r"^[│ ] (?:-h, )?(--[a-z][a-z0-9.-]*)(?=[ ,]|$)", capsys.readouterr().out, re.MULTILINE))
    known = set(TABLE[command].options)
    assert told <= known
    if command != "sweep":  # which takes those of `mimic train` too
        assert {option.replace("no-", "") for option in known} == {option.replace("no-", "") for option in told}


def tabbed(script: Path, typed: str) -> list[str]:
    """What bash offers where Tab is pressed after `typed`."""
    words = typed.split(" ")
    program = (
        f"source {script}; COMP_WORDS=({' '.join(word or repr('') for word in words)}); COMP_CWORD={len(words) - 1}; "
        '_mimic; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert call("completion", "bash") == 0
    script = tmp_path / "mimic.bash"
    script.write_text(capsys.readouterr().out)
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert tabbed(script, "mimic ") == list(COMMANDS)
    assert tabbed(script, "mimic tr") == ["train"]
    assert tabbed(script, "mimic train ") == list(PRESETS)
    assert tabbed(script, "mimic train g1_d") == ["g1_deploy"]
    assert tabbed(script, "mimic train g1 --ppo.disc") == ["--ppo.discount"]
    assert tabbed(script, "mimic train g1 --robot h") == ["h1", "humanoid"]
    assert tabbed(script, "mimic train g1 --sim.collisions ") == ["feet", "self", "all"]
    assert tabbed(script, "mimic motions ") == ["edit", "curate"]
    assert tabbed(script, "mimic motions edit a.npz b.npz --mirr") == ["--mirror"]
    assert tabbed(script, "mimic bench s") == ["speed"]
    assert tabbed(script, "mimic evaluate run") == []  # a folder: bash's own completion takes over (-o default)
    assert tabbed(script, "mimic evaluate runs/x --quat-order x") == ["xyzw"]


def offered(script: Path, typed: str) -> set[str]:
    """What fish offers there, without what its descriptions say."""
    program = f"source {script}; complete -C '{typed}'"
    done = subprocess.run(["fish", "--no-config", "-c", program], capture_output=True, text=True, check=True)
    assert not done.stderr
    return {line.partition("\t")[0] for line in done.stdout.splitlines()}


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish_completes(tmp_path: Path):
    script = tmp_path / "mimic.fish"
    script.write_text(SHELLS["fish"](TABLE))
    assert offered(script, "mimic tr") == {"train"}
    assert set(PRESETS) <= offered(script, "mimic train ")
    assert not set(PRESETS) & offered(script, "mimic train g1 ")
    assert offered(script, "mimic robot init --ou") == {"--out"}
    assert offered(script, "mimic robot init --tas") == set(), "an option of `mimic init`"
    assert {"edit", "curate"} <= offered(script, "mimic motions ")
    assert offered(script, "mimic motions edit --mirr") == {"--mirror"}
    assert offered(script, "mimic train g1 --robot h") == {"h1", "humanoid"}


def test_fish_is_told_where_a_word_must_stand():
    """Where there is no fish to ask."""
    lines = SHELLS["fish"](TABLE).splitlines()
    (edit,) = [line for line in lines if line.endswith("-l 'mirror'") and "motions" in line]
    assert """-n 'set -l words (commandline -opc); and test "$words[2]" = motions; and test "$words[3]" = edit'""" in edit
    (first,) = [line for line in lines if line.endswith("-a 'edit curate'")]
    assert """= motions; and test (count $words) -eq 2'""" in first


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_take_their_scripts(shell: str, tmp_path: Path):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    script = tmp_path / f"mimic.{shell}"
    script.write_text(SHELLS[shell](TABLE))
    subprocess.run([shell, "-n", str(script)], check=True)


def test_each_shell_knows_every_command():
    for shell, script in SHELLS.items():
        text = script(TABLE)
        assert all(re.search(rf"\b{command}\b", text) for command in COMMANDS), shell


def finished(script: Path, typed: list[str]) -> list[str]:
    """What zsh makes of each line where Tab is pressed after it, on a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(["zsh", "-f", "-i"], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as shell:
        os.close(theirs)
        said = b""

        def answer(line: bytes, end: bytes) -> bytes:
            """All that is said after `line`, until `end`; the editor, which knows of Tab, is ready then."""
            nonlocal said
            os.write(ours, line)
            while said.count(end) == 0 or not said.rpartition(end)[2].endswith(READY):
                said += os.read(ours, 4096)
            found, said = said, b""
            return found

        answer(f"source {script}; echo lo''aded\n".encode(), b"loaded")
        # `echo` is put before what Tab has made of the line
        lines = [answer(f"{line}\t\x01echo it is \x05 d''one\n".encode(), b"done") for line in typed]
        shell.kill()
    os.close(ours)
    return [re.findall(rb"it is (\S.*?) +done\r", line)[-1].decode() for line in lines]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_zsh_completes(tmp_path: Path):
    script = tmp_path / "mimic.zsh"
    script.write_text(SHELLS["zsh"](TABLE))
    typed = ["mimic tr", "mimic train g1_d", "mimic train g1 --ppo.disc", "mimic bench s"]
    made = ["mimic train", "mimic train g1_deploy", "mimic train g1 --ppo.discount", "mimic bench speed"]
    assert finished(script, typed) == made
