"""The robustness tables: what is run for a row, what is not run again, and how the tables read."""

import importlib.util
import json
from pathlib import Path

import pytest

from mimic.evaluation.stress import AXES
from mimic.presets import make_preset

PATH = Path(__file__).resolve().parents[1] / "experiments" / "robustness" / "run.py"
SPEC = importlib.util.spec_from_file_location("robustness", PATH)
assert SPEC
assert SPEC.loader
robustness = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(robustness)

MEAN = {"frames": 601.0, "completed_frames": 601.0, "e_mpbpe_mm": 15.43}


def test_goals_are_of_what_is_tried():
    for axis, value, _ in robustness.GOALS:
        assert value in AXES[axis].values


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The commands that were run, each of which leaves the files that it would."""
    done = []

    def mimic(*argv: str) -> None:
        done.append(argv)
        if argv[0] == "stress":
            axes = [{"axis": axis, "value": value, "completion": goal - 0.01} for axis, value, goal in robustness.GOALS]
            axes[0]["completion"] = 1.0
            Path(argv[-1]).write_text(json.dumps({"axes": axes}))
        elif argv[0] in ("train", "distill"):
            folder = Path(argv[argv.index("--run-dir") + 1])
            folder.mkdir(parents=True)
            (folder / "config.json").write_text(json.dumps({"git_commit": "0123456789ab+", "machine": {"cpu": "a"}}))
            evaluation = {"mean": MEAN, "sim2sim": {"mean": MEAN}}
            if "run" not in str(folder):  # whose robot's own file is not found
                evaluation["all_collisions"] = {"mean": MEAN | {"completed_frames": 222.0}}
            (folder / "evaluation.json").write_text(json.dumps(evaluation))
            (folder / "report.html").write_text("")

    monkeypatch.setattr(robustness, "mimic", mimic)
    monkeypatch.setattr(robustness, "RESULTS", tmp_path / "results")
    return done


def run(monkeypatch: pytest.MonkeyPatch, *argv: str) -> int:
    monkeypatch.setattr("sys.argv", ["run.py", *argv])
    return robustness.main()


def test_a_row_is_trained_once_and_told_for_ever(commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    argv = ["--data", "DATA", "--out", str(tmp_path / "out"), "--clips", "martial-arts", "--rows", "deploy"]
    assert run(monkeypatch, *argv) == 0
    assert [command[0] for command in commands] == ["train", "distill", "distill", "stress"]
    assert commands[0][2:6] == ("--motion", "DATA/cmu_asfamc/135_06-martialArts.amc", "--end-s", "12")
    assert commands[1][1] == commands[0][commands[0].index("--run-dir") + 1]  # the student's teacher
    student = commands[1][commands[1].index("--run-dir") + 1]
    assert commands[2][commands[2].index("--init-from") + 1] == student
    assert commands[3][1] == commands[2][commands[2].index("--run-dir") + 1]  # what comes last is stressed
    printed = capsys.readouterr().out
    assert "| martial-arts, deploy | 0123456+ | 20.0 M | 601/601, 15.4 mm | 222/601, 15.4 mm | 601/601, 15.4 mm |" in printed
    assert "| martial-arts, deploy | **100%** | 69% | 89% |" in printed
    commands.clear()
    assert run(monkeypatch, *argv) == 0
    assert run(monkeypatch) == 0
    assert commands == []
    assert capsys.readouterr().out.count("**100%**") == 2


def test_what_was_stopped_goes_on(commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """A teacher that is whole is not trained again; every training may be repeated as it is."""
    out = tmp_path / "out"
    robustness.mimic("train", "--run-dir", str(out / "run" / "deploy" / "teacher"))
    commands.clear()
    assert run(monkeypatch, "--data", "DATA", "--out", str(out), "--clips", "run", "--rows", "deploy", "beyondmimic") == 0
    assert [command[:2] for command in commands] == [
        ("motions", "edit"),
        ("distill", str(out / "run" / "deploy" / "teacher")),
        ("distill", str(out / "run" / "deploy" / "teacher")),
        ("stress", str(out / "run" / "deploy" / "settled")),
        ("motions", "edit"),
        ("train", "g1_beyondmimic_wose"),
        ("stress", str(out / "run" / "beyondmimic")),
    ]
    assert all("--resume" in command for command in commands if command[0] in ("train", "distill"))
    assert "| run, beyondmimic | 0123456+ | 20.0 M | 601/601, 15.4 mm | not measured |" in capsys.readouterr().out


@pytest.mark.parametrize("row", robustness.ROWS)
def test_every_row_is_of_presets_there_are(row: str):
    for command in robustness.ROWS[row](["clip"], Path("folder"))[0]:
        if command[0] == "train":
            make_preset(command[1])
