"""`mimic motions ...` and `mimic fetch` as a user types them."""

from pathlib import Path

import numpy as np
import pytest

from mimic.arguments import parse_arguments
from mimic.commands.motions import Fetch, parse_span, run_motions, spell_passed_over, spell_split
from motions.clips import FOLDER as CLIPS
from motions.errors import InputError
from motions.motion import load_motion, save_motion

WALK = str(CLIPS / "walk.npz")


def test_edit_does_it_all(tmp_path, capsys):
    out = tmp_path / "new" / "walk.npz"
    options = "--trim 0.2: --mirror --speed 1.2 --smooth 8 --loop --reset-origin --resample 60"
    assert run_motions(["edit", WALK, str(out), *options.split()]) == 0
    motion = load_motion(out)
    assert motion.loop
    assert motion.fps == 60.0
    np.testing.assert_allclose(motion.qpos[0, :2], 0.0, atol=1e-6)
    np.testing.assert_allclose(motion.qpos[-1, 7:], motion.qpos[0, 7:], atol=1e-6)
    said = capsys.readouterr().err
    assert "the cycle from" in said
    assert "loops" in said


def test_edit_repeats_a_loop(tmp_path):
    for name, options in (("once", []), ("thrice", ["--repeat", "3"])):
        assert run_motions(["edit", WALK, str(tmp_path / f"{name}.npz"), "--loop", "--reset-origin", *options]) == 0
    once, thrice = (load_motion(tmp_path / f"{name}.npz") for name in ("once", "thrice"))
    assert thrice.loop
    assert thrice.num_frames - 1 == 3 * (once.num_frames - 1)
    np.testing.assert_allclose(thrice.qpos[:, 7:], np.concatenate([once.qpos[:1, 7:], *[once.qpos[1:, 7:]] * 3]), atol=1e-6)
    assert np.linalg.norm(thrice.qpos[-1, :2]) > 2.5 * np.linalg.norm(once.qpos[-1, :2])
    with pytest.raises(InputError, match="no loop"):
        run_motions(["edit", WALK, str(tmp_path / "no.npz"), "--repeat", "3"])


def test_edit_joins_and_splits(tmp_path):
    assert run_motions(["edit", WALK, str(tmp_path / "two.npz"), "--join", str(CLIPS / "run.npz"), "--blend-s", "0.4"]) == 0
    assert load_motion(tmp_path / "two.npz").name == "walk+run"
    walk = load_motion(WALK)
    qpos = walk.qpos.copy()
    qpos[40:, 0] += 2.0
    save_motion(type(walk)(**{**vars(walk), "qpos": qpos}), tmp_path / "spliced.npz")
    assert run_motions(["edit", str(tmp_path / "spliced.npz"), str(tmp_path / "parts"), "--split"]) == 0
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["walk_1.npz", "walk_2.npz"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["cut"], "unknown command of mimic motions 'cut'"),
        (["edit", WALK, "out.bvh"], "written as .npz"),
        (["edit", WALK, "out.npz", "--trim", "1-4"], "expected FROM:TO"),
        (["edit", WALK, "out.npz", "--trim", "50:60"], "is empty"),
        (["edit", WALK, "out.npz", "--resample", "-5"], "expected a number above 0"),
        (["edit", WALK, "out.npz", "--smooth", "1000"], "half the frame rate"),
        (["edit", "walk.csv", "out.npz"], "give --robot"),
        (["curate", "nowhere", "--robot", "humanoid", "--out", "out"], "no such folder"),
        (["curate", WALK, "--robot", "humanoid", "--out", "out"], "a file, expected a folder"),
        (["curate", ".", "--robot", "humanoid", "--out", "out"], "no motion files in it"),
        (["curate", ".", "--robot", "humanoid", "--out", WALK], "cannot write in"),
        (["curate", ".", "--robot", "humanoid", "--out", "out", "--scale", "-1"], "--scale -1: expected a number above 0"),
        (["curate", str(CLIPS), "--robot", "humanoid", "--out", "out", "--mapping", "none.toml"], "none.toml: cannot read"),
    ],
)
def test_refusals(argv, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        run_motions(argv)


def test_help_lists_the_commands(capsys):
    assert run_motions(["--help"]) == 0
    assert "curate" in capsys.readouterr().out


def test_spans():
    assert [parse_span(text) for text in ("1:4", ":4", "2:", ":")] == [(1.0, 4.0), (0.0, 4.0), (2.0, None), (0.0, None)]


def test_fetch_lists_and_refuses(capsys):
    assert parse_arguments(Fetch, [], "mimic fetch").run() == 0
    assert "lafan1: LAFAN1" in capsys.readouterr().out
    with pytest.raises(InputError, match="--accept-licence"):
        parse_arguments(Fetch, ["lafan1"], "mimic fetch").run()
    assert "CC BY-NC-ND 4.0" in capsys.readouterr().err


def test_curation_says_what_is_held_out_and_what_was_passed_over(tmp_path: Path):
    rows = [{"name": name, "file": f"{name}.npz", "passed": True, "split": "train"} for name in "abc"]
    assert spell_split([*rows, {"name": "d", "file": "d.bvh", "error": "broken"}], tmp_path) is None
    told = spell_split([*rows[:2], rows[2] | {"split": "held_out"}], tmp_path / "out")
    assert told is not None
    assert "of the 3 that passed 2 are for training and 1 held out" in told
    assert told.index(": c.") > told.index("mimic evaluate")
    for name in ("a.npz", "b.npz", "c.npz"):
        (tmp_path / name).touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "catalogue.json").touch()
    assert spell_passed_over(tmp_path, tmp_path / "out", rows) is None
    (tmp_path / "deep").mkdir()
    for name in ("notes.txt", "deep/read.me"):
        (tmp_path / name).touch()
    assert spell_passed_over(tmp_path, tmp_path / "out", rows) == "passed over, no motions of their own: deep/read.me, notes.txt"
