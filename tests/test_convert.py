"""`mimic convert` and `mimic evaluate --save-motion`: what comes out, read again; and refusals of one line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import call, refusal, write_tiny
from tiny import tiny_motion

from mimic.deploy.sim2sim import Rollout
from mimic.evaluation.whole_clips import Evaluation, save_simulated, simulated_motion
from mimic.robots import Robot, load_robot
from motions.clips import demo_bvh, shipped_clips
from motions.errors import InputError
from motions.formats import read_bvh, read_motion_file
from motions.formats.bvh import write_bvh
from motions.formats.units import CMU_UNIT_M
from motions.kinematics import KinematicState
from motions.motion import Motion, load_motion, save_motion
from motions.rotations import quat_angle
from motions.skeleton import SkeletonMotion


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a robot and a short clip."""
    folder = tmp_path_factory.mktemp("files")
    write_tiny(folder)
    return folder


def test_from_npz_to_csv_and_back(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert call("convert", here / "sway.npz", tmp_path / "s.csv", "--out-quat-order", "xyzw") == 0
    assert "25 frames at 60 Hz, as csv" in capsys.readouterr().err
    robot = here / "tiny.toml"
    code = call("convert", tmp_path / "s.csv", tmp_path / "s.npz", "--robot", robot, "--quat-order", "xyzw", "--fps", 60)
    assert code == 0
    again, sway = load_motion(tmp_path / "s.npz"), load_motion(here / "sway.npz")
    np.testing.assert_allclose(again.qpos, sway.qpos, atol=1e-6)
    assert (again.fps, again.joint_names) == (sway.fps, sway.joint_names)


def test_a_clip_names_its_robot(tmp_path: Path, capsys: pytest.CaptureFixture):
    """The simulated or retargeted motion of a known robot needs no --robot."""
    assert call("convert", shipped_clips()["walk"], tmp_path / "walk.glb") == 0
    assert (tmp_path / "walk.glb").read_bytes()[:4] == b"glTF"
    assert call("convert", shipped_clips()["walk"], tmp_path / "walk.npz", "--format", "whole_body_tracking") == 0
    capsys.readouterr()
    with np.load(tmp_path / "walk.npz") as data:
        assert data["body_names"][0] == "pelvis"


def test_a_capture_to_glb(tmp_path: Path):
    assert call("convert", demo_bvh(), tmp_path / "dance.glb") == 0
    assert b'"Hips"' in (tmp_path / "dance.glb").read_bytes()


def test_onto_the_source_skeleton(tmp_path: Path, capsys: pytest.CaptureFixture):
    """The robot's dance, on the skeleton it came from: names, offsets, rate; and nearly the same dance."""
    source = read_bvh(demo_bvh())
    clip = load_motion(shipped_clips()[demo_bvh().stem]).trimmed(0.0, 2.0)
    save_motion(clip, tmp_path / "dance.npz")
    assert call("convert", tmp_path / "dance.npz", tmp_path / "back.bvh", "--onto", demo_bvh()) == 0
    assert "ratio of leg lengths" in capsys.readouterr().err
    again = read_motion_file(tmp_path / "back.bvh", scale=0.01).motion
    assert isinstance(again, SkeletonMotion)
    assert again.skeleton.joint_names == source.skeleton.joint_names
    np.testing.assert_allclose(again.skeleton.offsets, source.skeleton.offsets, atol=1e-6)
    assert again.fps == source.fps
    assert np.degrees(quat_angle(again.local_quat, source.local_quat[: again.num_frames])).mean() < 3.0


@pytest.mark.parametrize(
    ("unit", "name"), [(0.01, "centimetres"), (CMU_UNIT_M, "CMU units"), (1.0, "metres"), (0.2, "a unit of 0.2 m")]
)
def test_a_skeleton_is_written_in_the_unit_of_its_file(unit: float, name: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    """As large in the animator's scene as the rig that it is for: the same numbers stand in both files."""
    mine, back = tmp_path / "mine.bvh", tmp_path / "back.bvh"
    write_bvh(replace(read_bvh(demo_bvh()), unit_m=unit), mine)
    clip = load_motion(shipped_clips()[demo_bvh().stem]).trimmed(0.0, 0.5)
    save_motion(clip, tmp_path / "dance.npz")
    said = ["--scale", unit] if name.startswith("a unit") else []  # which cannot be recognised
    assert call("convert", tmp_path / "dance.npz", back, "--onto", mine, *said) == 0
    assert f"y up, {name}" in capsys.readouterr().err
    offsets = [[line.split() for line in path.read_text().splitlines() if "OFFSET" in line] for path in (mine, back)]
    assert offsets[0] == offsets[1]
    assert read_bvh(back, *said[1:]).unit_m == pytest.approx(unit)


def test_onto_the_source_skeleton_in_other_formats(tmp_path: Path):
    """GLB and USD hold what the BVH holds: the same joints, at the same places."""
    clip = load_motion(shipped_clips()[demo_bvh().stem]).trimmed(0.0, 0.5)
    save_motion(clip, tmp_path / "dance.npz")
    for suffix in ("bvh", "glb"):
        assert call("convert", tmp_path / "dance.npz", tmp_path / f"back.{suffix}", "--onto", demo_bvh()) == 0
    bvh, glb = (
        read_motion_file(tmp_path / f"back.{suffix}", scale=scale).motion for suffix, scale in (("bvh", 0.01), ("glb", 1.0))
    )
    assert isinstance(bvh, SkeletonMotion)
    assert isinstance(glb, SkeletonMotion)
    joints = [name for name in bvh.skeleton.joint_names if name not in bvh.skeleton.end_sites]
    places = [motion.forward_kinematics()[0][:, [motion.skeleton.index(name) for name in joints]] for motion in (bvh, glb)]
    np.testing.assert_allclose(places[1], places[0], atol=1e-4)
    assert glb.fps == pytest.approx(bvh.fps)
    skel = pytest.importorskip("pxr.UsdSkel")
    usd = pytest.importorskip("pxr.Usd")
    assert call("convert", tmp_path / "dance.npz", tmp_path / "back.usda", "--onto", demo_bvh()) == 0
    stage = usd.Stage.Open(str(tmp_path / "back.usda"))
    (animation,) = [skel.Animation(prim) for prim in stage.Traverse() if prim.IsA(skel.Animation)]
    assert {path.rpartition("/")[2] for path in animation.GetJointsAttr().Get()} >= set(joints)
    assert len(animation.GetRotationsAttr().GetTimeSamples()) == bvh.num_frames


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["IN/sway.npz", "s.xyz"],
            r"no format has the suffix '.xyz'. Written are .npz (npz), .csv (csv), .bvh (bvh), .glb (glb)",
        ),
        (["IN/none.npz", "s.glb"], "none.npz: no such file"),
        (["IN/sway.npz", "s.glb"], "is a motion of robot 'tiny', which is not found: give --robot"),
        (["IN/sway.npz", "s.glb", "--robot", "nobody"], "nobody"),
        (["IN/sway.npz", "s.bvh", "--root-motion", "root"], "--root-motion is for --onto"),
        (["IN/sway.npz", "s.csv", "--onto", "BVH"], "--onto makes a skeleton's motion, which csv"),
        (["IN/sway.npz", "s.csv", "--format", "whole_body_tracking"], "a whole_body_tracking file ends in .npz"),
        (["BVH", "s.npz"], "the motion of a captured skeleton, which has none. Retarget it first"),
        (["BVH", "s.bvh", "--onto", "BVH"], "--onto wants a robot's motion"),
        (["WALK", "s.bvh", "--onto", "WALK"], "a robot's motion, expected a captured skeleton"),
        (["IN/sway.npz", "IN/sway.npz"], "would be written over what is read"),
        (["IN/sway.npz", "IN/tiny.xml/s.csv"], "cannot write"),
    ],
)
def test_refusals(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture, argv: list[str], message: str):
    places = {"BVH": str(demo_bvh()), "WALK": str(shipped_clips()["walk"])}
    words = [places.get(word, word.replace("IN/", f"{here}/")) for word in argv]
    words[1] = words[1] if "/" in words[1] else str(tmp_path / words[1])
    assert message in refusal(capsys, "convert", *words)
    assert list(tmp_path.iterdir()) == []


# Simulated motions


@pytest.fixture(scope="module")
def tiny(here: Path) -> Robot:
    return load_robot(str(here / "tiny.toml"))


def simulated(name: str, broken_at: int | None = None) -> Rollout:
    """A run as `rollout` returns it, of which only qpos is looked at."""
    qpos = tiny_motion(25).qpos.astype(np.float32)
    if broken_at is not None:
        qpos[broken_at:] = np.nan
    states = KinematicState(qpos, *[np.zeros(0)] * 5)
    nothing = np.zeros(0)
    return Rollout(name, 25, states, states, nothing, nothing, nothing, nothing)


def test_simulated_motions_are_saved(tiny: Robot, tmp_path: Path):
    said: list[str] = []
    one = Evaluation([], None, [], 1.0, [simulated("sway")])
    save_simulated(one, tiny, 50.0, tmp_path / "deep" / "sim.npz", said.append)
    motion = load_motion(tmp_path / "deep" / "sim.npz")
    np.testing.assert_allclose(motion.qpos, tiny_motion(25).qpos, atol=1e-6)
    assert (motion.fps, motion.robot, motion.joint_names) == (50.0, "tiny", tiny.joint_names)
    assert "25 simulated frames at 50 Hz" in said[0]
    two = Evaluation([], None, [], 1.0, [simulated("a/b"), simulated("c", broken_at=7)])
    save_simulated(two, tiny, 50.0, tmp_path / "both", said.append)
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == ["0000-a_b.npz", "0001-c.npz"]
    assert load_motion(tmp_path / "both" / "0001-c.npz").num_frames == 7
    assert "ended early: the clip has 25" in said[-1]
    with pytest.raises(InputError, match="is one file but 2 motions"):
        save_simulated(two, tiny, 50.0, tmp_path / "both.npz", said.append)
    with pytest.raises(InputError, match=r"2 frame\(s\)"):
        simulated_motion("c", simulated("c", broken_at=2).states.qpos, "tiny", tiny.joint_names, 50.0)


def test_a_simulated_motion_can_be_converted(tiny: Robot, here: Path, tmp_path: Path):
    save_simulated(Evaluation([], None, [], 1.0, [simulated("sway")]), tiny, 50.0, tmp_path / "sim.npz", lambda _: None)
    assert call("convert", tmp_path / "sim.npz", tmp_path / "sim.bvh", "--robot", here / "tiny.toml") == 0
    motion = read_motion_file(tmp_path / "sim.bvh", scale=0.01).motion
    assert not isinstance(motion, Motion)
    assert motion.skeleton.joint_names[0] == "trunk"
