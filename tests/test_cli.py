"""The command line, in this process: help, one training from file to policy, and what protects a run and its files."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import SMALL, STEPS, call, refusal
from tiny import tiny_motion

import mimic.reporting
from mimic.cli import COMMANDS
from mimic.evaluation.stress import AXES
from mimic.presets import PRESETS
from mimic.progress import Progress
from mimic.robots import load_robot
from mimic.runs import open_run, read_metrics
from motions.clips import demo_bvh
from motions.motion import save_motion

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.usefixtures("one_program")


def test_help_lists_every_command(capsys: pytest.CaptureFixture):
    assert call("--help") == 0
    overview = capsys.readouterr().out
    assert [line.split()[0] for line in overview.splitlines() if re.match("  [a-z]", line)] == list(COMMANDS)
    for command in (
        "demo", "init", "train", "sweep", "distill", "harden", "view", "report", "play", "inspect", "evaluate", "stress", "bench",
        "retarget", "convert", "motions", "fetch", "robot", "export", "check-bundle", "rehearse", "serve", "sim-robot", "doctor",
        "explain", "completion",
    ):  # fmt: skip
        assert command in COMMANDS
    assert call() == 2
    assert call("--version") == 0


@pytest.mark.parametrize("argv", [*([name] for name in COMMANDS), ["train", "g1"]], ids=" ".join)
def test_each_command_has_help(argv: list[str], capsys: pytest.CaptureFixture):
    assert call(*argv, "--help") == 0
    out = capsys.readouterr().out
    assert f"mimic {argv[0]}" in out
    if argv == ["train"]:
        assert all(name in out for name in PRESETS)
    if argv == ["train", "g1"]:
        for option in ("--motion", "--quat-order", "--fps", "--robot", "--backend", "--device", "--env-steps", "--num-envs",
                       "--seed", "--run-dir", "--resume", "--overwrite", "--ppo.discount", "--reward.body-pos"):  # fmt: skip
            assert option in out, option


def test_cold_help_is_quick_and_loads_no_jax():
    """The promise is a second on an idle machine; the bound allows for a busy one."""
    program = (
        "import sys\n"
        "from mimic.__main__ import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as done:\n    assert done.code == 0\n"
        "loaded = [name for name in ('jax', 'mujoco', 'scipy', 'brax', 'tyro', 'rich', 'matplotlib') if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
        seconds.append(time.perf_counter() - began)
        assert done.returncode == 0, done.stderr
        assert "usage: mimic" in done.stdout
    assert min(seconds) < 2.0, seconds


# One training, and what follows it


@pytest.fixture(scope="module")
def trained(here: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    code = call("train", "humanoid", "--robot", here / "tiny.toml", "--motion", here / "sway.npz", "--run-dir", folder,
                "--env-steps", STEPS, *SMALL)  # fmt: skip
    assert code == 0
    return folder


def test_train_leaves_everything(trained: Path):
    names = {path.name for path in trained.iterdir()}
    assert names >= {
        "config.json", "metrics.jsonl", "checkpoints", "robot.xml", "robot.json", "motions", "policy.onnx", "policy.json",
        "evaluation.json", "rollouts.npz", "video.mp4", "report.html", "learning.png", "errors.png",
    }  # fmt: skip
    run = open_run(trained)
    assert (run.robot.name, run.motions[0].name, run.config.env_steps) == ("tiny", "sway", STEPS)
    assert run.config.network.hidden == (16,)
    assert read_metrics(run.metrics_path)[-1]["env_steps"] == STEPS


def test_evaluate_writes_the_numbers(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert call("evaluate", trained, "--json", tmp_path / "deep" / "numbers.json") == 0
    report = json.loads((tmp_path / "deep" / "numbers.json").read_text())
    keys = {"name", "frames", "completed_frames", "success_height", "success_015", "success_05",
            "e_g_mpbpe_mm", "e_mpbpe_mm", "e_mpjpe_rad", "e_mpjve_rad_s"}  # fmt: skip
    assert report["clips"][0].keys() >= keys
    assert report["clips"][0]["frames"] == 21
    assert report["mean"].keys() >= keys - {"name"}
    assert "sway" in capsys.readouterr().out


def test_evaluate_takes_other_motions(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    save_motion(dataclasses.replace(tiny_motion(31), name="other"), tmp_path / "other.npz")
    save_motion(tiny_motion(13), tmp_path / "third.npz")
    json_path = tmp_path / "numbers.json"
    assert call("evaluate", trained, "--motion", tmp_path / "other.npz", tmp_path / "third.npz", "--json", json_path) == 0
    assert [(row["name"], row["frames"]) for row in json.loads(json_path.read_text())["clips"]] == [("other", 26), ("sway", 11)]


def test_stress_takes_a_run_and_other_motions(trained: Path, tmp_path: Path):
    save_motion(dataclasses.replace(tiny_motion(13), name="other"), tmp_path / "other.npz")
    json_path, given = tmp_path / "numbers.json", ("--seeds", "2", "--motion", tmp_path / "other.npz")
    assert call("stress", trained, "--axes", "torque", "--json", json_path, *given) == 0
    report = json.loads(json_path.read_text())
    assert (report["clip"], report["policy"], len(report["axes"])) == ("other", str(trained), 3)
    assert not (trained / "stress.json").exists(), "that is of all axes, and of the run's own clips"


def test_a_whole_stress_sweep_is_kept_for_the_report(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    monkeypatch.setattr("mimic.evaluation.stress.AXES", {"torque": AXES["torque"]})
    assert call("stress", folder, "--seeds", "2") == 0
    assert json.loads((folder / "stress.json").read_text())["clip"] == "sway"
    assert call("report", folder, "--json", tmp_path / "r.json") == 0
    assert json.loads((tmp_path / "r.json").read_text())["runs"][0]["stress"]["margins"].keys() == {"torque"}
    assert "What margin?" in (folder / "report.html").read_text()


def test_evaluate_measures_the_mirror_image_too(trained: Path, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """Of the clip and of that image's image, which is the clip: the two pairs are one, the other way round."""
    clip, image = tmp_path / "clip.npz", tmp_path / "image.npz"
    save_motion(tiny_motion(31), clip)
    assert call("motions", "edit", clip, image, "--robot", here / "tiny.toml", "--mirror") == 0
    assert call("evaluate", trained, "--mirror", "--motion", clip, image, "--json", tmp_path / "numbers.json") == 0
    rows = json.loads((tmp_path / "numbers.json").read_text())["clips"]
    assert [row["name"] for row in rows] == ["sway", "sway_mirrored", "sway_mirrored", "sway_mirrored_mirrored"]
    errors = [row["e_mpbpe_mm"] for row in rows]
    assert errors[:2] == pytest.approx(errors[:1:-1], rel=1e-3)
    line = f"sway: E_mpbpe {errors[0]:.2f} mm, its mirror image {errors[2]:.2f} mm: {abs(errors[2] / errors[0] - 1):.1%} apart"
    assert line in capsys.readouterr().out


def test_a_run_that_was_not_evaluated_since_its_checkpoint_is_measured_for_the_report(trained: Path, tmp_path: Path, capsys):
    """As one in training is, or one of an older version, which kept no rollouts. The run's folder stays as it was."""
    folder = tmp_path / "older"
    shutil.copytree(trained, folder)
    for name in ("rollouts.npz", "evaluation.json", "report.html"):
        (folder / name).unlink()
    before = sorted(folder.rglob("*"))
    assert call("report", folder, "--out", tmp_path / "a.html", "--json", tmp_path / "a.json") == 0
    assert "this is done now" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before
    old, new = (json.loads((tmp_path / "a.json").read_text())["runs"][0], json.loads((trained / "evaluation.json").read_text()))
    assert old["evaluation"]["clips"] == new["clips"]
    assert old["missing"][0].startswith("Measured for this page only")
    assert call("report", trained, "--out", tmp_path / "b.html", "--json", tmp_path / "b.json") == 0
    assert "this is done now" not in capsys.readouterr().err
    kept = json.loads((tmp_path / "b.json").read_text())["runs"][0]
    assert kept["clips"] == old["clips"]
    assert (tmp_path / "b.html").read_text().count("<canvas") == 1


def test_export_play_and_inspect(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert call("export", trained, "--out", tmp_path / "new" / "policy.onnx") == 0
    assert (tmp_path / "new" / "policy.json").exists()
    assert "policy_ros.onnx is left out, which only ROS 2 needs" in capsys.readouterr().err.splitlines()[-1]
    assert call("play", tmp_path / "new" / "policy.onnx", "--json", tmp_path / "played.json") == 0
    capsys.readouterr()
    assert call("play", trained) == 0
    played = capsys.readouterr().out
    assert "policy.onnx: tiny" in played.replace("\n", "")  # of the run itself
    assert json.loads((tmp_path / "played.json").read_text())["clips"][0]["name"] == "sway"
    assert "sway" in played
    assert call("inspect", trained) == 0
    shown = capsys.readouterr().out
    assert "tiny; sway" in shown
    assert "falls/s" in shown


def test_bundle_is_exported_and_checked(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = tmp_path / "bundle"
    assert call("export", trained, "--bundle", "--out", folder) == 0
    capsys.readouterr()
    assert call("check-bundle", folder) == 0
    assert capsys.readouterr().out.endswith(f"{folder}: every check passed\n")
    (folder / "raw.onnx").write_bytes(b"")
    assert call("check-bundle", folder, "--json", tmp_path / "checks.json") == 1
    checks = json.loads((tmp_path / "checks.json").read_text())
    assert not checks["passed"]
    assert next(check["what"] for check in checks["checks"] if not check["passed"]) == "raw.onnx"
    assert "raw.onnx" in capsys.readouterr().out
    (folder / "mine.txt").write_text("")
    assert "mine.txt" in refusal(capsys, "export", trained, "--bundle", "--out", folder)
    assert "not an .onnx" in refusal(capsys, "export", trained, "--bundle", "--out", tmp_path / "policy.onnx")


def test_inspect_says_what_is_in_a_file(here: Path, capsys: pytest.CaptureFixture):
    assert call("inspect", here / "sway.npz", "--robot", here / "tiny.toml") == 0
    assert "25 at 60 Hz" in capsys.readouterr().out
    assert call("inspect", here / "tiny.toml") == 0
    assert "front_left_hip" in capsys.readouterr().out


def test_inspect_reads_a_file_as_it_is_told_to(tmp_path: Path):
    """A skeleton of twice the scale is twice as tall."""
    heights = []
    for scale in (0.01, 0.02):
        assert call("inspect", demo_bvh(), "--scale", scale, "--json", tmp_path / "found.json") == 0
        heights.append(float(json.loads((tmp_path / "found.json").read_text())["height [m]"].rpartition(" ")[2]))
    assert heights[1] == pytest.approx(2 * heights[0], abs=2e-3)


def test_inspect_writes_a_spec_once(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    spec = tmp_path / "spec.toml"
    assert call("inspect", here / "tiny.xml", "--spec", spec) == 0
    assert f"wrote {spec}: look at it and correct it" in capsys.readouterr().err
    assert call("inspect", spec) == 0
    assert call("inspect", here / "tiny.xml", "--spec", spec) == 2
    assert "exists already" in capsys.readouterr().err
    for path, told in ((here / "sway.npz", "expected a name, an .xml or a .toml file"), (here / "tiny.xml", "ends in .toml")):
        assert call("inspect", path, "--spec", tmp_path / ("spec.json" if path.suffix == ".xml" else "new.toml")) == 2
        assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["spec.toml"]


def test_what_is_assumed_of_a_robot_is_listed_once_and_counted_later(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    robot = load_robot(str(here / "tiny.xml"))
    save_motion(dataclasses.replace(tiny_motion(25), robot=robot.name), tmp_path / "sway.npz")
    assert call("motions", "edit", tmp_path / "sway.npz", tmp_path / "cut.npz", "--robot", here / "tiny.xml") == 0
    said = capsys.readouterr().err
    assert f"tiny: {len(robot.assumptions)} things are assumed of it, mimic inspect {here / 'tiny.xml'} lists them" in said
    assert robot.assumptions[1] not in said
    line = refusal(capsys, "motions", "edit", tmp_path / "sway.npz", tmp_path / "again.npz", "--mirror")
    assert "unknown robot 'tiny'" in line
    assert "One of your own is given by its file: --robot FILE.toml" in line


def test_retarget_copies_what_already_fits(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert call("retarget", here / "sway.npz", "--robot", here / "tiny.toml", "--out", tmp_path / "out",
                "--json", tmp_path / "q.json") == 0  # fmt: skip
    assert list(json.loads((tmp_path / "q.json").read_text())["motions"]) == [str(tmp_path / "out" / "sway.npz")]
    assert (tmp_path / "out" / "sway.npz").exists()


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1)], ids=["as it is", "strict"])
def test_a_clip_that_failed_ends_a_script_only_where_asked(here: Path, tmp_path: Path, capsys, monkeypatch, options, code: int):
    verdicts = [SimpleNamespace(name=name, passed=name == "good", to_dict=dict) for name in ("good", "bad")]
    monkeypatch.setattr("mimic.sources.read_motions", lambda *_, **__: ([tiny_motion(25)] * 2, verdicts))
    files = [here / "sway.npz", tmp_path / "bad.npz"]
    assert call("retarget", *files, "--robot", here / "tiny.toml", "--out", tmp_path / "out", *options) == code
    assert len(list((tmp_path / "out").iterdir())) == 2, "what failed is written, too"
    assert ("FAILED are 1 of 2: bad" in capsys.readouterr().err) == bool(options)


def test_an_interrupted_training_goes_on_by_its_own_settings(here: Path, tmp_path: Path, capsys, monkeypatch):
    """Nothing but the folder need be said again; what is said again and differs is taken or refused aloud. Its first command may
    be the same as the second, as a scheduler repeats it."""
    monkeypatch.setattr(mimic.reporting, "report_run", lambda *_: [])
    update = Progress.update

    def interrupted(self: Progress, row: dict) -> None:
        update(self, row)
        if row["iteration"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "update", interrupted)
        code = call("train", "humanoid", "--robot", here / "tiny.toml", "--motion", here / "sway.npz", "--run-dir", folder,
                    "--env-steps", STEPS, *SMALL, "--resume")  # fmt: skip
    assert code == 75
    err = capsys.readouterr().err
    assert f"no run in {folder} to resume: beginning one" in err
    assert "interrupted: saved at iteration 2 of 4" in err
    line = refusal(capsys, "train", "humanoid", "--run-dir", folder)
    assert "holds a run with another config" in line
    assert call("train", "humanoid", "--run-dir", folder, "--resume", "--seed", "5") == 0
    err = capsys.readouterr().err
    assert "resuming from iteration 2" in err
    assert "kept from the run folder, the command line's is not used: seed: 5 (the folder has 0)" in err
    assert err.count("kept from the run folder") == 1
    run = open_run(folder)
    assert [row["iteration"] for row in read_metrics(run.metrics_path)] == [1, 2, 3, 4]
    assert (run.config.seed, run.config.env_steps, run.config.num_envs) == (0, STEPS, 16)


def test_doctor_finds_something(capsys: pytest.CaptureFixture):
    assert call("doctor") == 0
    assert "backend native" in capsys.readouterr().out


def test_unwritable_places_are_found_out_before_any_work(
    here: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    (tmp_path / "file").write_text("precious")
    clip, robot, inside = here / "sway.npz", here / "tiny.toml", tmp_path / "file" / "x"
    for argv in (
        ["train", "humanoid", "--robot", robot, "--motion", clip, "--run-dir", inside],
        ["train", "humanoid", "--robot", robot, "--motion", clip, "--run-dir", "/dev/null/run"],
        ["retarget", clip, "--robot", robot, "--out", inside],
        ["retarget", clip, "--robot", robot, "--out", tmp_path / "file" / "x.npz"],
        ["retarget", clip, "--robot", robot, "--out", tmp_path / "out", "--json", inside],
        ["evaluate", trained, "--json", inside],
        ["report", trained, "--json", inside],
        ["report", trained, "--out", inside.with_suffix(".html")],
        ["export", trained, "--out", inside / "policy.onnx"],
        ["bench", "speed", "--robot", robot, "--motion", clip, "--json", inside],
        ["bench", "learn", "--robot", robot, "--motion", clip, "--run-dir", inside],
    ):
        assert "cannot write in" in refusal(capsys, *argv), argv
    assert (tmp_path / "file").read_text() == "precious"
    assert "is a folder, expected a file" in refusal(capsys, "evaluate", trained, "--json", tmp_path)
    line = refusal(capsys, "train", "humanoid", "--robot", robot, "--motion", clip, "--run-dir", tmp_path)
    assert "exists and is not a run folder" in line


def test_a_folder_with_another_run_is_refused(here: Path, trained: Path, capsys: pytest.CaptureFixture):
    before = (trained / "config.json").read_text()
    same = ["train", "humanoid", "--robot", here / "tiny.toml", "--motion", here / "sway.npz", "--run-dir", trained,
            "--env-steps", STEPS, *SMALL]  # fmt: skip
    assert "holds a run with the same config: --resume" in refusal(capsys, *same)
    line = refusal(capsys, *same, "--seed", "7")
    assert "another config (seed: 7 (the folder has 0)): --resume goes on with it, --overwrite replaces it" in line
    line = refusal(capsys, *same, "--overwrite", "--motion", here / "gone.npz")
    assert "gone.npz: no such file" in line
    assert (trained / "config.json").read_text() == before
    assert read_metrics(trained / "metrics.jsonl")


def test_damaged_runs_and_policies(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "config.json").write_text("{")
    for argv in (["evaluate", tmp_path], ["export", tmp_path, "--out", tmp_path / "p.onnx"], ["inspect", tmp_path],
                 ["train", "humanoid", "--resume", "--run-dir", tmp_path]):  # fmt: skip
        assert "config.json is damaged" in refusal(capsys, *argv)
    (tmp_path / "policy.onnx").write_bytes((trained / "policy.onnx").read_bytes()[:500])
    assert "policy" in refusal(capsys, "play", tmp_path / "policy.onnx")


def test_a_run_without_a_checkpoint_cannot_be_evaluated(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    for name in ("config.json", "robot.xml", "robot.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    (tmp_path / "motions").mkdir()
    for path in (trained / "motions").iterdir():
        (tmp_path / "motions" / path.name).write_bytes(path.read_bytes())
    assert "has no readable checkpoint: train it first" in refusal(capsys, "evaluate", tmp_path)


@pytest.mark.slow
def test_a_terminated_process_saves_and_says_so(here: Path, tmp_path: Path):
    """The same as above in a process of its own, as a cluster would end it."""
    argv = ["train", "humanoid", "--robot", here / "tiny.toml", "--motion", here / "sway.npz", "--run-dir", tmp_path / "run",
            "--env-steps", "100000000", *SMALL]  # fmt: skip
    command = [sys.executable, "-m", "mimic", *(str(a) for a in argv)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        metrics = tmp_path / "run" / "metrics.jsonl"
        deadline = time.monotonic() + 300
        while not (metrics.exists() and metrics.stat().st_size > 0):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 75
    assert "interrupted: saved at iteration" in err
    assert "Traceback" not in err
    last = read_metrics(metrics)[-1]["iteration"]
    assert (tmp_path / "run" / "checkpoints" / str(last)).exists()
