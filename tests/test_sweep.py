"""Sweeps: what they are of, that a failure stops nobody and nothing is trained twice, and the table of what came of them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from commands import SMALL, STEPS, call, refusal, write_tiny

from mimic.commands.sweep import checked_plan, parse_sweep
from mimic.training import sweep as module
from mimic.training.sweep import (
    Member,
    Plan,
    check_plan,
    command_of,
    keep_plan,
    members,
    outcomes,
    print_sweep,
    rows_of,
    run_members,
)
from mimic.view.plots import plot_sweep
from motions.errors import InputError

PLAN = Plan("g1", ("/a/walk.csv", "/b/run.amc"), ("", "sampling.cap=3 ppo.discount=.9"), (0, 5), ("--end-s", "2"))


def test_all_clips_and_variants_with_one_seed_before_any_has_two():
    found = members(PLAN)
    assert [member.seed for member in found] == [0] * 4 + [5] * 4
    assert {member.clip for member in found[:2]} == {"/a/walk.csv"}
    assert len({member.folder for member in found}) == 8
    assert found[1].folder == Path("walk", "sampling.cap=3_ppo.discount=.9", "seed0")
    assert members(Plan("g1", (), (), (1,), ()))[0].folder == Path("clip", "preset", "seed1")


def test_two_clips_of_one_name_are_told_apart_or_refused():
    with pytest.raises(InputError, match="would share the folder walk"):
        members(Plan("g1", ("/a/walk.csv", "/b/walk.bvh"), ("",), (0,), ()))


def test_the_command_of_a_member():
    argv = command_of(members(PLAN)[1], PLAN, Path("here"))
    assert argv == [
        "train", "g1", "--motion", "/a/walk.csv", "--end-s", "2", "--sampling.cap", "3", "--ppo.discount", ".9",
        "--seed", "0", "--run-dir", "here/walk/sampling.cap=3_ppo.discount=.9/seed0", "--resume",
    ]  # fmt: skip


def test_a_sweep_may_grow_but_not_become_another(tmp_path: Path):
    check_plan(PLAN, tmp_path)
    assert not list(tmp_path.iterdir())
    keep_plan(PLAN, tmp_path)
    more = replace(PLAN, clips=("/c/jump.bvh",), variants=("ppo.discount=.8",), seeds=(1,))
    check_plan(more, tmp_path)
    keep_plan(more, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
    for other, says in (
        (replace(PLAN, options=()), r"options: \[\] \(there: \['--end-s', '2'\]\)"),
        (replace(PLAN, file="seed = 1"), "the file of --config says other things now"),
        (replace(PLAN, preset="humanoid"), r"preset: humanoid \(there: g1\)"),
        (replace(PLAN, clips=("/other/jump.npz",)), r"clip: /other/jump.npz \(there: /c/jump.bvh\)"),
    ):
        with pytest.raises(InputError, match=f"holds another sweep: {says}"):
            check_plan(other, tmp_path)


def test_a_sweep_by_a_file_is_of_its_clips_and_text(tmp_path: Path):
    clip, other, file = tmp_path / "walk.npz", tmp_path / "run.npz", tmp_path / "mimic.toml"
    text = f'preset = "g1"\nmotion = ["{clip}"]\n'
    file.write_text(text)
    for path in (clip, other):
        path.touch()
    for given, clips in (((), (str(clip),)), (("--motion", str(other)), (str(other),))):
        plan = checked_plan(*parse_sweep(["g1", "--config", str(file), *given]))
        assert (plan.clips, plan.file) == (clips, text)


def test_settings_of_several_values():
    member = Member("", "randomize.friction=.3 1.6 network.hidden=64 32", 1)
    argv = command_of(member, replace(PLAN, options=()), Path("here"))
    assert argv[2:8] == ["--randomize.friction", ".3", "1.6", "--network.hidden", "64", "32"]


class Trainings:
    """In place of `mimic train`: notes what is asked for, and leaves what it would. `codes`: exit codes, by the call's number."""

    def __init__(self, codes: dict[int, int]) -> None:
        self.codes, self.folders = codes, []

    def __call__(self, argv: list[str], log: Path) -> int:
        folder = Path(argv[argv.index("--run-dir") + 1])
        code = self.codes.get(len(self.folders), 0)
        self.folders.append(folder)
        log.write_text("working\n" + ("ValueError: the file is broken\nFor simplicity, no more is said.\n" if code == 2 else ""))
        if code == 0:
            folder.mkdir(parents=True)
            mean = {"success_height": float("run" not in str(folder)), "e_mpbpe_mm": 10.0 + len(self.folders), "e_g_mpbpe_mm": 50}
            (folder / "evaluation.json").write_text(json.dumps({"mean": mean}))
        return code


def test_a_process_of_its_own_writes_to_the_log(tmp_path: Path):
    log = tmp_path / "log.txt"
    assert module.call(["--version"], log) == 0
    assert module.call(["no-command"], log) == 2
    assert log.read_text().startswith("mimic 0.")
    assert "unknown command 'no-command'" in log.read_text()


@pytest.mark.parametrize(
    ("number", "says", "code"),
    [
        (signal.SIGTERM, 75, 75),
        (signal.SIGUSR1, 75, 75),
        (signal.SIGUSR1, None, 75),  # ended before it could save
        (signal.SIGUSR1, 0, 0),  # done all the same
        (signal.SIGINT, 130, 130),
        (signal.SIGINT, 1, 130),
    ],
)
def test_signals_reach_the_training(number: signal.Signals, says: int | None, code: int, tmp_path: Path):
    """It says when it is ready, and how it ends when it is signalled; Ctrl-C it gets from the terminal, here by its number."""
    ready = tmp_path / "ready"
    handler = f"signal.signal({int(number)}, lambda *_: sys.exit({says}))" if says is not None else ""
    program = f"import os, signal, sys, time\n{handler}\nopen({str(ready)!r}, 'w').write(str(os.getpid()))\ntime.sleep(20)"

    def signal_both() -> None:
        while not (ready.exists() and ready.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), number)
        if number == signal.SIGINT:
            os.kill(int(ready.read_text()), number)

    threading.Thread(target=signal_both).start()
    before = signal.getsignal(number)
    assert module.wait_for([sys.executable, "-c", program], subprocess.DEVNULL) == code
    assert signal.getsignal(number) == before


def test_a_failure_stops_nobody_and_what_is_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    trainings, said = Trainings({1: 2}), []
    monkeypatch.setattr(module, "call", trainings)
    assert run_members(members(PLAN), PLAN, tmp_path, said.append) == 1
    assert len(trainings.folders) == 8
    assert any("failed (exit code 2): ValueError: the file is broken" in line for line in said)
    rows = rows_of(list(outcomes(PLAN, tmp_path)))
    print_sweep(rows)
    printed = capsys.readouterr().out
    assert "walk, sampling.cap=3 ppo.discount=.9, seed 0 failed: exit code 2: ValueError: the file is broken" in " ".join(
        printed.split()
    )
    assert "11.0, 15.0" in printed
    assert "13.0" in printed  # their median
    assert "failed, 16.0" in printed
    assert [(row["clip"], row["median_e_mpbpe_mm"]) for row in rows] == [("walk", 13), ("walk", 16), ("run", 15), ("run", 16)]
    assert (tmp_path / "walk" / "preset" / "seed0.log.txt").read_text() == "working\n"
    path = plot_sweep(tmp_path / "sweep.png", rows)
    assert path.stat().st_size > 5000
    assert run_members(members(PLAN), PLAN, tmp_path, said.append) == 0
    assert len(trainings.folders) == 9  # the one that had failed
    assert [outcome.state for outcome in outcomes(PLAN, tmp_path)] == ["done"] * 8


def test_what_another_process_trains_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trainings, said = Trainings({}), []
    monkeypatch.setattr(module, "call", trainings)
    first, second = members(PLAN)[:2]
    with module._alone(tmp_path / first.folder) as alone:
        assert alone
        assert run_members([first, second], PLAN, tmp_path, said.append) == 0
    assert trainings.folders == [tmp_path / second.folder]
    assert said[0].endswith("another process is training it")
    assert run_members([first, second], PLAN, tmp_path, said.append) == 0
    assert len(trainings.folders) == 2


@pytest.mark.parametrize("code", [75, 130])
def test_after_a_signal_nobody_begins(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trainings = Trainings({2: code})
    monkeypatch.setattr(module, "call", trainings)
    assert run_members(members(PLAN), PLAN, tmp_path, lambda line: None) == code
    assert len(trainings.folders) == 3
    assert [outcome.state for outcome in outcomes(PLAN, tmp_path)] == ["done"] * 2 + ["begun"] + ["to do"] * 5


@pytest.mark.slow
def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """One of two as a task of an array; the table says what is done and what is not."""
    import mimic.reporting

    write_tiny(tmp_path)
    monkeypatch.setattr(mimic.reporting, "report_run", lambda *_: [])

    monkeypatch.setattr(module, "call", lambda argv, log: call(*argv))
    argv = ["sweep", "humanoid", "--motion", tmp_path / "sway.npz", "--vary", "", "ppo.discount=.9", "--seeds", "0",
            "--run-dir", tmp_path / "sweep", "--robot", tmp_path / "tiny.toml", "--env-steps", 2 * STEPS, *SMALL]  # fmt: skip
    assert call(*argv, "--list") == 0
    assert capsys.readouterr().out.splitlines()[1] == "  1  to do   sway, ppo.discount=.9, seed 0"
    assert call(*argv, "--task", 1) == 0
    capsys.readouterr()
    assert call(*argv, "--collect", "--json", tmp_path / "table.json", "--plot", tmp_path / "table.png") == 0
    assert "to do" in capsys.readouterr().out
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [row["seeds"][0]["state"] for row in rows] == ["to do", "done"]
    config = json.loads((tmp_path / "sweep" / "sway" / "ppo.discount=.9" / "seed0" / "config.json").read_text())["config"]
    assert (config["ppo"]["discount"], config["seed"], config["env_steps"]) == (0.9, 0, 2 * STEPS)
    assert (tmp_path / "table.png").exists()


def test_the_ablations_are_a_sweep_that_can_be_trained(tmp_path: Path):
    """Its settings are looked at before anything is trained, here by `--list`."""
    script = Path(__file__).resolve().parents[1] / "experiments" / "ablations" / "sweep.sh"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [script, "--list", "--seeds", "0"], env=os.environ | {"PATH": path, "OUT": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 12
    assert "sampling.cap=3, seed 0" in done.stdout


def test_what_is_no_sweep(tmp_path: Path, capsys):
    there = ["--run-dir", tmp_path / "sweep"]
    for asked, says in (
        (["--resume"], "--resume: a sweep gives its trainings their own"),
        (["--seed", 3], "it has --seeds"),
        (["--task", 6], "--task 6: the sweep has 3 trainings, 0 to 2"),
        (["--motion", tmp_path / "nothing.bvh"], "nothing.bvh: no such file"),
        (["--vary", "cap"], "--vary cap: expected SECTION.NAME=VALUE"),
        (["--task", 1, "--collect"], "--task trains one of the sweep, --collect is of all"),
        (["--vary", "ppo.discount=2"], "ppo.discount is 2.0"),
        (["--plot", "table.pdf"], "expected a file that ends in .png or .svg"),
    ):
        assert says in refusal(capsys, "sweep", "humanoid", *there, *asked)
    assert "a preset" in refusal(capsys, "sweep", "--seeds", 1)
    assert not (tmp_path / "sweep").exists()
    capsys.readouterr()
    assert call("sweep", "humanoid", *there, "--vary", "sampling.cab=3") == 2
    said = capsys.readouterr().err
    assert "run mimic train humanoid --help" in said, "a command that there is"
    assert "--vary 'sampling.cab=3'" in said
