"""Curating a folder: rows for good clips, words for broken ones, and going on after a kill. Robot files only: no solve."""

import json
from pathlib import Path

import numpy as np
import pytest

from mimic.robots import load_robot
from motions.clips import FOLDER as SHIPPED
from motions.errors import InputError
from motions.formats import read_motion_file
from motions.motion import load_motion, save_motion
from retarget import curate as module
from retarget.curate import body_digest, curate, licence_beside

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
    assert not [path for path in (tmp_path / "out").rglob("*.partial*")]


def test_killed_in_the_middle_it_goes_on(folder, body, tmp_path, monkeypatch):
    out, whole = tmp_path / "out", tmp_path / "whole"
    go(folder, body, whole)
    seen: list[str] = []

    def dies_at_run(path: Path):
        seen.append(path.name)
        if path.name == "run.npz":
            raise KeyboardInterrupt
        return read_motion_file(path, robot=body)

    with pytest.raises(KeyboardInterrupt):
        go(folder, body, out, read=dies_at_run)
    assert not (out / "catalogue.json").exists()
    again = go(folder, body, out)
    assert (again.done, again.kept) == (2, 2)
    third = go(folder, body, out)
    assert (third.done, third.kept) == (0, 4)
    assert json.loads((out / "catalogue.json").read_text()) == json.loads((whole / "catalogue.json").read_text())


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
    real = module.assess

    def faulty(motion, body):
        if motion.name == "run":
            raise ZeroDivisionError("oops")
        return real(motion, body)

    monkeypatch.setattr(module, "assess", faulty)
    said: list[str] = []
    assert go(folder, body, tmp_path / "out", said).broken == 2
    assert any("our fault" in line and "ZeroDivisionError: oops" in line for line in said)
    monkeypatch.setattr(module, "assess", real)
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
