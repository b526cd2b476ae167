"""Curating a folder: rows for good clips, words for broken ones, and going on after a stop."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from test_retarget import FIRST_S

from mimic.robots import load_robot
from motions.clips import FOLDER as SHIPPED
from motions.clips import demo_bvh
from motions.edit import cut_captured
from motions.errors import InputError
from motions.formats import read_bvh, read_motion_file, write_bvh
from motions.motion import load_motion, save_motion
from retarget import batch, retarget
from retarget import curate as module
from retarget.catalogue import body_digest, licence_beside
from retarget.curate import curate

CLIPS = ("walk", "run", "dance")


@pytest.fixture(scope="module")
def body():
    return load_robot("humanoid").body


@pytest.fixture
def folder(tmp_path) -> Path:
    top = tmp_path / "motions"
    (top / "dances").mkdir(parents=True)
    for name in CLIPS:
        clip = load_motion(SHIPPED / f"{name}.npz").trimmed(0.0, 1.0)
        save_motion(clip, (top / "dances" if name == "dance" else top) / f"{name}.npz")
    (top / "broken.bvh").write_text("HIERARCHY\nnonsense\n")
    (top / "LICENSE.txt").write_text("do as you like")
    (top / "dances" / "NOTICE").write_text("dances only")
    (top / "notes.txt").write_text("no motion")
    return top


def go(folder, body, out, said=None, **changes):
    options = {"version": "1"} | changes
    read = options.pop("read", lambda path: read_motion_file(path, robot=body))
    return curate(folder, body, out, read, (lambda text: None) if said is None else said.append, **options)


def test_a_folder_becomes_a_catalogue(folder, body, tmp_path):
    said: list[str] = []
    tally = go(folder, body, tmp_path / "out", said)
    assert (tally.done, tally.kept, tally.broken) == (4, 0, 1)
    assert "1/4 broken.bvh" in said[0]
    catalogue = json.loads((tmp_path / "out/catalogue.json").read_text())
    rows = {row["file"]: row for row in catalogue["clips"]}
    assert list(rows) == ["broken.bvh", "dances/dance.npz", "run.npz", "walk.npz"]
    assert "broken.bvh, line 2" in rows["broken.bvh"]["error"]
    walk = rows["walk.npz"]
    assert walk["duration_s"] == pytest.approx(1.0, abs=0.02)
    assert walk["licence_file"] == "LICENSE.txt"
    assert rows["dances/dance.npz"]["licence_file"] == "dances/NOTICE"
    assert walk["split"] in ("train", "held_out")
    assert walk["weight"] == float(walk["passed"])
    assert set(walk["checks"]) >= {"non_floating", "non_skating", "limit_violations"}
    stored = load_motion(tmp_path / "out" / walk["clip"])
    np.testing.assert_allclose(stored.qpos, load_motion(folder / "walk.npz").qpos, atol=1e-6)
    assert catalogue["totals"]["files"] == 4
    assert not [path for path in (tmp_path / "out").rglob(".partial*")]


def test_interrupted_in_the_middle_it_goes_on(folder, body, tmp_path):
    out, whole = tmp_path / "out", tmp_path / "whole"
    go(folder, body, whole)

    def stops_at_run(stem, motion, report, found):
        if motion.name == "run":
            raise KeyboardInterrupt

    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        go(folder, body, out, said, watch=stops_at_run)
    assert "the same command goes on" in said[-1]
    assert not (out / "catalogue.json").exists()
    again = go(folder, body, out)
    assert (again.done, again.kept) == (2, 2)
    third = go(folder, body, out)
    assert (third.done, third.kept) == (0, 4)
    assert json.loads((out / "catalogue.json").read_text()) == json.loads((whole / "catalogue.json").read_text())


def test_captured_clips_are_retargeted_beside_those_that_are_measured(folder, body, tmp_path):
    """What is written is what `retarget` gives, and speed and compilation stand beside each other."""
    clip = cut_captured(read_bvh(demo_bvh()), 0.0, FIRST_S)
    for name in ("captured", "zaptured"):
        write_bvh(clip, folder / f"{name}.bvh")
    said: list[str] = []
    tally = go(folder, body, tmp_path / "out", said)
    assert [line.split(":")[0] for line in said] == [
        f"{number}/6 {file}"
        for number, file in enumerate(
            ("broken.bvh", "captured.bvh", "dances/dance.npz", "run.npz", "walk.npz", "zaptured.bvh"), start=1
        )
    ]
    assert "frames/s" in said[1]
    rows = {row["file"]: row for row in json.loads((tmp_path / "out/catalogue.json").read_text())["clips"]}
    alone, report = retarget(read_bvh(folder / "captured.bvh"), body)
    stored = load_motion(tmp_path / "out" / rows["captured.bvh"]["clip"])
    np.testing.assert_allclose(stored.qpos, alone.qpos, atol=1e-6)
    assert rows["captured.bvh"]["passed"] == report.passed
    assert rows["walk.npz"]["solve_fps"] is None
    assert rows["captured.bvh"]["solve_fps"] > 0.0
    assert tally.frames == 2 * alone.num_frames
    totals = json.loads((tmp_path / "out/catalogue.json").read_text())["totals"]
    expected = 2.0 / sum(1.0 / rows[f"{name}.bvh"]["solve_fps"] for name in ("captured", "zaptured"))
    assert totals["solve_fps"] == pytest.approx(expected)


def test_files_that_cannot_be_read_are_named_and_passed_over(folder, body, tmp_path):
    (folder / "folder.bvh").mkdir()
    (folder / "link.bvh").symlink_to(folder / "nowhere.bvh")
    (folder / "empty.bvh").write_text("")
    (folder / "round").symlink_to(folder)
    still = cut_captured(read_bvh(demo_bvh()), 0.0, 0.1)
    write_bvh(still, folder / "none.bvh")
    text = (folder / "none.bvh").read_text()
    (folder / "none.bvh").write_text(text[: text.index("Frames:")] + "Frames: 0\nFrame Time: 0.02\n")
    (folder / "broken.json").write_text("{")
    (folder / "link.json").symlink_to(folder / "nowhere.json")  # whether that was a motion, nobody can tell
    tally = go(folder, body, tmp_path / "out")
    assert (tally.done, tally.broken) == (9, 6)
    errors = {row["file"]: row.get("error") for row in json.loads((tmp_path / "out/catalogue.json").read_text())["clips"]}
    for file, word in (
        ("folder.bvh", "is a folder, expected a motion file"),
        ("link.bvh", "a link to a file that is not there"),
        ("empty.bvh", "the file is empty"),
        ("none.bvh", "Frames: 0, expected a whole number above 0"),
        ("broken.json", "not JSON"),
    ):
        assert word in errors[file], errors[file]
    (folder / "empty.bvh").unlink()
    (folder / "walk.npz").rename(folder / "empty.bvh")
    assert go(folder, body, tmp_path / "out").broken == 6  # an npz is no BVH


def test_an_output_folder_that_will_not_do(folder, body, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write in .*file"):
        go(folder, body, tmp_path / "file")
    out = tmp_path / "out"
    go(folder, body, out)
    with pytest.raises(InputError, match=r"the catalogue of robot 'humanoid', and this is 'other'.*--out"):
        go(folder, dataclasses.replace(body, name="other"), out)
    said: list[str] = []
    assert go(folder, body, out, said, version="2").done == 4
    assert said[0].endswith("was written by version 1, this is 2: every clip is done again")
    (out / "catalogue.json").write_text("[]")
    with pytest.raises(InputError, match="not a catalogue of ours"):
        go(folder, body, out)
    (out / "catalogue.json").unlink()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_motion", full)
    with pytest.raises(InputError, match=r"cannot write in .*: No space left on device"):
        go(folder, body, out, version="3")


def test_what_changed_is_done_again(folder, body, tmp_path):
    out = tmp_path / "out"
    go(folder, body, out)
    save_motion(load_motion(SHIPPED / "walk.npz").trimmed(0.5, 1.5), folder / "walk.npz")
    assert go(folder, body, out).done == 1
    assert go(folder, body, out, version="2").done == 4
    assert go(folder, body, out, options="fps 30").done == 4
    row = next(row for row in json.loads((out / "catalogue.json").read_text())["clips"] if row["file"] == "walk.npz")
    (out / row["clip"]).unlink()
    assert go(folder, body, out, options="fps 30").done == 1


def test_a_fault_of_ours_ends_nothing_and_is_tried_again(folder, body, tmp_path, monkeypatch):
    real = batch.assess

    def faulty(motion, body, mapping=None):
        if motion.name == "run":
            raise ZeroDivisionError("oops")
        return real(motion, body, mapping=mapping)

    monkeypatch.setattr(batch, "assess", faulty)
    said: list[str] = []
    assert go(folder, body, tmp_path / "out", said).broken == 2
    assert any("our fault" in line and "ZeroDivisionError: oops" in line for line in said)
    monkeypatch.setattr(batch, "assess", real)
    assert go(folder, body, tmp_path / "out").done == 1


def test_new_clips_are_shown_and_an_unshowable_one_is_a_broken_one(folder, body, tmp_path):
    shown: list[str] = []

    def watch(stem, motion, report, found):
        if motion.name == "run":
            raise InputError("no picture")
        shown.append(stem)

    assert go(folder, body, tmp_path / "out", watch=watch).broken == 2
    assert sorted(stem.rpartition("-")[0] for stem in shown) == ["dance", "walk"]
    assert all((tmp_path / f"out/clips/{stem}.npz").is_file() for stem in shown)


def test_splits_depend_on_the_content_alone(folder, body, tmp_path):
    go(folder, body, tmp_path / "a")
    (folder / "walk.npz").rename(folder / "zzz.npz")
    go(folder, body, tmp_path / "b")
    rows = [json.loads((tmp_path / name / "catalogue.json").read_text())["clips"] for name in "ab"]
    split = [{row["source_sha256"]: row["split"] for row in part if "error" not in row} for part in rows]
    assert split[0] == split[1]


def test_the_robot_is_part_of_the_key(body, shared_robots):
    import mujoco

    from motions.kinematics import Body

    other = Body("humanoid", mujoco.MjModel.from_xml_path(str(shared_robots / "unitree_g1/nomesh/g1_mjlab_nomesh.xml")))
    assert body_digest(body) == body_digest(load_robot("humanoid").body) != body_digest(other)


def test_folders_that_hold_nothing(body, tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        go(tmp_path / "none", body, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no motion files in it.*\.bvh"):
        go(tmp_path / "empty", body, tmp_path / "out")
    assert licence_beside(tmp_path / "empty" / "x.bvh", tmp_path / "empty") is None
