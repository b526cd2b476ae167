"""Bad input on the command line: exit code 2, one clear line, no traceback, and no run folder left behind."""

import pickle
from pathlib import Path

import jax
import numpy as np
import pytest
from commands import SMALL, call, refusal
from tiny import tiny_motion

from motions.clips import demo_bvh
from motions.motion import save_motion


def write_csv(path: Path, columns: int, rows: int = 10, quat: tuple = (1, 0, 0, 0)) -> None:
    row = [0, 0, 0.33, *quat, *[0.0] * (columns - 7)]
    path.write_text("\n".join(",".join(str(value) for value in row) for _ in range(rows)))


def bad_motion(kind: str, folder: Path) -> Path:
    """A motion file with one thing wrong."""
    path = folder / "clip.npz"
    motion = tiny_motion(25)
    save_motion(motion, path)
    with np.load(path) as data:
        fields = dict(data)
    match kind:
        case "missing":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "truncated":
            path.write_bytes(path.read_bytes()[:400])
        case "folder":
            path.unlink()
            path.mkdir()
        case "not finite":
            fields["qpos"][3, 9] = np.nan
        case "two frames":
            fields["qpos"] = fields["qpos"][:2]
        case "too short":
            fields["fps"] = np.float64(1200)
        case "fps 0":
            fields["fps"] = np.float64(0)
        case "fps -30":
            fields["fps"] = np.float64(-30)
        case "another robot's":
            fields["joint_names"] = np.array(["a", "b", "c", "front_left_hip"])
        case "not unit":
            fields["qpos"][:, 3:7] *= 1.01
        case "csv columns":
            path = folder / "clip.csv"
            write_csv(path, 15)
        case "csv not unit":
            path = folder / "clip.csv"
            write_csv(path, 11, quat=(1, 1, 0, 0))
        case "csv two frames":
            path = folder / "clip.csv"
            write_csv(path, 11, rows=2)
        case "unknown kind":
            path = folder / "clip.fbx"
            path.write_text("FBX")
    if kind in ("not finite", "two frames", "too short", "fps 0", "fps -30", "another robot's", "not unit"):
        np.savez(path, **fields)
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "clip.npz: no such file"),
        ("empty", "clip.npz: the file is empty"),
        ("truncated", "clip.npz: not a readable npz file: damaged, truncated"),
        ("folder", "clip.npz: is a folder"),
        ("not finite", "non-finite value in frame 3, column 9"),
        ("two frames", "2 frame(s), at least 3 are needed"),
        ("too short", "fewer than 3 frames at 50 Hz"),
        ("fps 0", "fps is 0.0, expected a number above 0"),
        ("fps -30", "fps is -30.0, expected a number above 0"),
        ("another robot's", "and does not fit robot 'tiny': it has 4 joints, 4 are expected; it lacks"),
        ("not unit", "is off unit length by 0.01, expected 1 within 0.001"),
        ("csv columns", "15"),
        ("csv not unit", "quaternion"),
        ("csv two frames", "2 frame(s), at least 3 are needed"),
        ("unknown kind", ".fbx"),
    ],
)
def test_bad_motions(kind: str, says: str, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    path = bad_motion(kind, tmp_path)
    line = refusal(capsys, "train", "humanoid", "--robot", here / "tiny.toml", "--motion", path, "--run-dir", tmp_path / "run",
                   "--quat-order", "wxyz", *SMALL)  # fmt: skip
    assert says in line
    assert "clip" in line or "sway" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--clip", "b"], "unknown clip 'b'"),
        (["--mapping", "IN/none.toml"], "none.toml: cannot read the mapping"),
        (["--scale", "0"], "scale is 0"),
        (["--skeleton", "IN/none.asf"], "none.asf"),
    ],
)
@pytest.mark.parametrize("command", ["train", "bench"])
def test_what_is_said_of_files_is_heeded_by_all_that_read_them(command, options, says, tmp_path: Path, capsys):
    """One file of each kind that wants such a word; nothing else may be wrong with it."""
    file = {"--clip": "two.pkl", "--skeleton": "walk.amc"}.get(options[0])
    (tmp_path / "two.pkl").write_bytes(pickle.dumps({"a": dict.fromkeys(("root_trans_offset", "root_rot", "dof"))}))
    (tmp_path / "walk.amc").write_text(":FULLY-SPECIFIED\n:DEGREES\n1\nroot 0 0 0 0 0 0\n")
    words = [word.replace("IN/", f"{tmp_path}/") for word in options]
    motion = tmp_path / file if file else demo_bvh()
    start = (
        ["train", "humanoid", "--run-dir", tmp_path / "run"] if command == "train" else ["bench", "learn", "--robot", "humanoid"]
    )
    assert says in refusal(capsys, *start, "--motion", motion, *words)


def test_nearly_unit_quaternions_are_repaired_with_a_warning(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    save_motion(tiny_motion(25), tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz") as data:
        fields = dict(data)
    fields["qpos"][:, 3:7] *= 1.0005
    np.savez(tmp_path / "clip.npz", **fields)
    with pytest.warns(UserWarning, match="off unit length by 5.0e-04, renormalized"):
        assert call("inspect", tmp_path / "clip.npz", "--robot", here / "tiny.toml") == 0


def test_an_undecided_quaternion_order_is_asked_for(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    write_csv(tmp_path / "clip.csv", 11, quat=(0.6, 0, 0, 0.8))
    line = refusal(capsys, "inspect", tmp_path / "clip.csv", "--robot", here / "tiny.toml")
    assert "quat-order" in line or "quat_order" in line


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["trian"], "unknown command 'trian'. Did you mean 'train'?"),
        (["train", "humanoit"], "unknown preset 'humanoit'. Did you mean 'humanoid'?"),
        (["train", "--seed", "3"], "wants a preset or --config FILE first"),
        (["train", "humanoid", "--robot", "humanoit"], "unknown robot 'humanoit'. Did you mean 'humanoid'?"),
        (["train", "humanoid", "--robot", "none.xml"], "'none.xml'"),
        (["train", "humanoid", "--backend", "nativ"], "unknown backend 'nativ'. Did you mean 'native'?"),
        (["train", "humanoid", "--device", "cpuu"], "unknown device 'cpuu'. Did you mean 'cpu'?"),
        (["train", "humanoid", "--num-envs", "0"], "num_envs is 0"),
        (["train", "humanoid", "--env-steps", "-1"], "env_steps is -1"),
        (["train", "humanoid", "--fps", "0"], "fps"),
        (["train", "humanoid", "--observation.actor", "comand"], "unknown observation term 'comand'. Did you mean 'command'?"),
        (["train", "humanoid", "--resume", "--overwrite"], "exclude each other"),
        (["evaluate", "nowhere"], "nowhere is not a run folder"),
        (["export", "nowhere", "--out", "policy.onnx"], "nowhere is not a run folder"),
        (["export", "nowhere", "--bundle", "--out", "bundle"], "nowhere is not a run folder"),
        (["check-bundle", "nowhere"], "nowhere: no such folder"),
        (["play", "nowhere.onnx"], "nowhere"),
        (["inspect", "nowhere.npz"], "nowhere.npz: no such file"),
        (["inspect", "humanoit"], "Did you mean 'humanoid'?"),
        (["retarget", "nowhere.bvh", "--robot", "humanoid", "--out", "out"], "nowhere.bvh: no such file"),
        (["retarget", "a/x.bvh", "b/x.bvh", "--robot", "humanoid", "--out", "out"], "the same name"),
        (["retarget", "a.bvh", "b.bvh", "--robot", "humanoid", "--out", "out.npz"], "is one file but 2 motions"),
        (["bench", "speed", "--robot", "humanoit"], "unknown robot 'humanoit'"),
        (["bench", "speed", "--robot", "humanoid", "--num-envs", "-4"], "num_envs is -4"),
        (["bench", "learn", "--robot", "humanoid", "--set", "sampling.cap"], "--set sampling.cap: expected SECTION.NAME=VALUE"),
        (["bench", "learn", "--robot", "humanoid", "--set", "sampling.cap=.5"], "sampling.cap is 0.5, expected 1"),
        pytest.param(
            ["train", "humanoid", "--ppo.symmetry", "loss", "--observation.actor", "phase"],
            "'phase' has no left-right mirror",
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_names_and_numbers(argv: list[str], says: str, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIMIC_ROBOTS", raising=False)
    line = refusal(capsys, *argv)
    assert any(part in line for part in says.split("|"))
    assert not list(tmp_path.rglob("config.json"))


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["train", "humanoid", "--ppo.discout", "0.9"], "--ppo.discount"),
        (["train", "humanoid", "--num-envs", "many"], "many"),
        (["train", "humanoid", "--sim.collisions", "fet"], "feet"),
        (["train", "humanoid", "--quat-order", "zyxw"], "wxyz"),
        (["bench", "sped"], "speed"),
        (["bench", "learn", "--robot", "humanoid", "--set", "sampling.cup=3"], "--sampling.cap"),
        (["bench", "learn", "--robot", "humanoid", "--set", "ppo.symmetry=both"], "augment"),
        (["evaluate"], "mimic evaluate RUN"),
        (["retarget", "a.bvh"], "--robot"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_do_not_exist_get_a_hint(argv: list[str], says: str, capsys: pytest.CaptureFixture):
    """These are the parser's: a box that names what was expected."""
    assert call(*argv) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    assert says in out + err


def test_no_accelerator_where_one_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    if jax.default_backend() != "cpu":
        pytest.skip("this machine has an accelerator")
    monkeypatch.chdir(tmp_path)
    for argv, says in (
        (["--device", "gpu"], "no gpu found by JAX on this machine; present: cpu"),
        (["--device", "tpu"], "no tpu found"),
        (["--backend", "mjx-warp"], "ask for it with --device cpu"),
        (["--backend", "mjx-warp", "--device", "gpu"], "no gpu found"),
    ):
        assert says in refusal(capsys, "train", "humanoid", *argv)
        assert says in refusal(capsys, "bench", "speed", "--robot", "humanoid", *argv)
    assert not list(tmp_path.iterdir())


def test_only_what_may_be_typed_is_listed(capsys: pytest.CaptureFixture):
    assert call("convert", "a.npz", "b.bvh", "--root-motion", "sideways") == 2
    said = capsys.readouterr().err
    assert "'hips'" in said
    assert "None" not in said
