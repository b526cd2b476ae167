"""Writing by suffix, and reading again: round trips, USD read back by pxr, FBX through a stand-in for Blender, refusals."""

import os
import stat
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest
from stick import stick_body, stick_walk

from motions.errors import InputError
from motions.formats import WRITERS, read_motion_file, write_motion_file
from motions.formats.blender_fbx import blender_command, find_blender
from motions.formats.scene import robot_skeleton
from motions.kinematics import Body
from motions.motion import Motion
from motions.rotations import quat_angle
from motions.skeleton import Skeleton, SkeletonMotion


@pytest.fixture(scope="module")
def stick() -> Body:
    return stick_body()


def swing(frames: int = 10) -> SkeletonMotion:
    """A captured body, with names as MotionBuilder and Blender give them."""
    offsets = np.array([[0, 0, 0], [0, 0.1, -0.9], [0.1, 0, -0.05], [0, 0, 0.5], [0, 0, 0.2]])
    names = ("mixamorig:Hips", "Left Foot", "Left Foot_end", "Left.Foot", "Left.Foot_end")
    skeleton = Skeleton(names, (-1, 0, 1, 0, 3), offsets, ("Left Foot_end", "Left.Foot_end"))
    rng = np.random.default_rng(1)
    quat = rng.normal(size=(frames, 5, 4))
    quat[:, [2, 4]] = [1, 0, 0, 0]
    quat /= np.linalg.norm(quat, axis=-1, keepdims=True)
    return SkeletonMotion("a swing", skeleton, 50.0, rng.normal(size=(frames, 3)), quat)


# A robot's motion


@pytest.mark.parametrize(
    ("file", "options", "atol"),
    [
        ("w.npz", {}, 1e-6),
        ("w.csv", {}, 1e-8),
        ("w.csv", {"quat_order": "xyzw"}, 1e-8),
        ("w.npz", {"format": "whole_body_tracking"}, 1e-6),
        ("w.npz", {"format": "whole_body_tracking", "joint_order": "isaac"}, 1e-6),
    ],
)
def test_a_robots_motion_comes_back(stick, tmp_path, file, options, atol):
    walk = stick_walk(yaw=0.4)
    notes = write_motion_file(tmp_path / "new" / file, walk, body=stick, **options)
    assert all("wxyz" in note or "xyzw" in note or "order" in note for note in notes)
    order = options.get("quat_order", "wxyz") if file.endswith("csv") else None
    again = read_motion_file(tmp_path / "new" / file, robot=stick, quat_order=order).motion
    assert isinstance(again, Motion)
    np.testing.assert_allclose(again.qpos, walk.qpos, atol=atol)
    assert again.joint_names == walk.joint_names
    assert [path.name for path in (tmp_path / "new").iterdir()] == [file]


def test_a_robot_as_bvh_has_its_bodies_where_mujoco_has_them(stick, tmp_path):
    walk = stick_walk(yaw=0.4)
    write_motion_file(tmp_path / "w.bvh", walk, body=stick)
    again = read_motion_file(tmp_path / "w.bvh", scale=0.01).motion
    assert isinstance(again, SkeletonMotion)
    pos, _ = again.forward_kinematics()
    data = mujoco.MjData(stick.model)
    for frame in (0, 17, 59):
        data.qpos[:] = walk.qpos[frame]
        mujoco.mj_kinematics(stick.model, data)
        for b in range(1, stick.model.nbody):
            place = pos[frame, again.skeleton.index(stick.model.body(b).name)]
            np.testing.assert_allclose(place, data.xpos[b], atol=1e-6)


def test_frames_of_a_robots_skeleton_are_turned_as_mujocos_bodies_are(stick):
    """Away from the zero pose; orientations there are awkward (turned bodies, oblique axes, a joint's reference)."""
    walk = stick_walk(yaw=0.4)
    motion, _ = robot_skeleton(walk, stick)
    _, quat = motion.forward_kinematics()
    data, zero = mujoco.MjData(stick.model), mujoco.MjData(stick.model)
    mujoco.mj_kinematics(stick.model, zero)
    for frame in (3, 42):
        data.qpos[:] = walk.qpos[frame]
        mujoco.mj_kinematics(stick.model, data)
        for b in range(1, stick.model.nbody):
            turn, back = np.zeros(4), np.zeros(4)
            mujoco.mju_negQuat(back, zero.xquat[b])
            mujoco.mju_mulQuat(turn, data.xquat[b], back)
            assert quat_angle(quat[frame, motion.skeleton.index(stick.model.body(b).name)], turn) < 1e-6


def test_what_is_no_part_of_the_robot_is_left_out_aloud(tmp_path):
    model = mujoco.MjModel.from_xml_string(
        """<mujoco><worldbody><body name="table"><geom size=".1"/></body>
        <body name="base"><freejoint/><geom size=".1"/><body name="leg"><joint name="hip"/><geom size=".1"/></body></body>
        </worldbody></mujoco>"""
    )
    motion = Motion("m", "r", 30.0, np.tile([0, 0, 1, 1, 0, 0, 0, 0.1], (3, 1)), ("hip",))
    notes = write_motion_file(tmp_path / "m.glb", motion, body=Body("r", model))
    assert any("table" in note for note in notes)


# A captured skeleton's motion


def test_a_captured_skeleton_comes_back_from_bvh(tmp_path):
    motion = swing()
    write_motion_file(tmp_path / "s.bvh", motion)
    again = read_motion_file(tmp_path / "s.bvh", scale=0.01).motion
    assert isinstance(again, SkeletonMotion)
    assert again.skeleton.joint_names == motion.skeleton.joint_names
    assert again.fps == motion.fps
    np.testing.assert_allclose(again.skeleton.offsets, motion.skeleton.offsets, atol=1e-8)
    np.testing.assert_allclose(again.root_pos, motion.root_pos, atol=1e-7)
    assert quat_angle(again.local_quat, motion.local_quat).max() < 1e-6


@pytest.mark.parametrize(("file", "options"), [("s.npz", {}), ("s.csv", {}), ("s.npz", {"format": "whole_body_tracking"})])
def test_a_captured_skeleton_has_no_joint_values(tmp_path, file, options):
    with pytest.raises(InputError, match=rf"{file}.*captured skeleton.*mimic retarget.*bvh, glb, usd, fbx"):
        write_motion_file(tmp_path / file, swing(), **options)
    assert list(tmp_path.iterdir()) == []


# USD


@pytest.mark.parametrize("suffix", [".usda", ".usdc"])
def test_usd_read_back_by_pxr(stick, tmp_path, suffix):
    pytest.importorskip("pxr")
    from pxr import Usd, UsdGeom, UsdSkel

    walk = stick_walk(yaw=0.4)
    assert write_motion_file(tmp_path / f"w{suffix}", walk, body=stick) == ()
    stage = Usd.Stage.Open(str(tmp_path / f"w{suffix}"))
    assert UsdGeom.GetStageUpAxis(stage) == "Z"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert (stage.GetTimeCodesPerSecond(), stage.GetEndTimeCode()) == (30.0, walk.num_frames - 1)
    top = stage.GetDefaultPrim()
    cache = UsdSkel.Cache()
    root = UsdSkel.Root(top)
    assert cache.Populate(root, Usd.PrimDefaultPredicate)
    (binding,) = cache.ComputeSkelBindings(root, Usd.PrimDefaultPredicate)
    query = cache.GetSkelQuery(binding.GetSkeleton())
    names = [path.rsplit("/", 1)[-1] for path in query.GetJointOrder()]
    data = mujoco.MjData(stick.model)
    for frame in (0, 17, 59):
        data.qpos[:] = walk.qpos[frame]
        mujoco.mj_kinematics(stick.model, data)
        for name, matrix in zip(names, query.ComputeJointSkelTransforms(frame), strict=True):
            np.testing.assert_allclose(matrix.ExtractTranslation(), data.xpos[stick.model.body(name).id], atol=1e-5)
    # the mesh follows: skinned by USD, the head end of the left shin's capsule is where MuJoCo has the geom
    (target,) = binding.GetSkinningTargets()
    mesh = UsdGeom.Mesh(target.GetPrim())
    points = mesh.GetPointsAttr().Get()
    assert target.ComputeSkinnedPoints(query.ComputeSkinningTransforms(59), points, 59)
    shin = stick.model.body("left_shin").id
    bound = np.array(target.GetJointIndicesPrimvar().Get()) == names.index("left_shin")
    (geom,) = np.flatnonzero(stick.model.geom_bodyid == shin)
    np.testing.assert_allclose(np.array(points)[bound].mean(axis=0), data.geom_xpos[geom], atol=1e-4)


def test_names_usd_does_not_allow_are_changed_aloud(tmp_path):
    pytest.importorskip("pxr")
    from pxr import Usd, UsdSkel

    (note,) = write_motion_file(tmp_path / "s.usda", swing())
    assert "mixamorig:Hips as mixamorig_Hips" in note
    assert "Left.Foot as Left_Foot_2" in note
    stage = Usd.Stage.Open(str(tmp_path / "s.usda"))
    skeleton = UsdSkel.Skeleton(stage.GetPrimAtPath("/a_swing/Skeleton"))
    assert skeleton.GetJointsAttr().Get()[1] == "mixamorig_Hips/Left_Foot"
    assert skeleton.GetJointNamesAttr().Get()[0] == "mixamorig:Hips"


def test_usd_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(InputError, match=r"s.usda: .*pip install 'mimic-mjx\[usd\]'"):
        write_motion_file(tmp_path / "s.usda", swing())
    assert list(tmp_path.iterdir()) == []


# FBX


def fake_blender(folder: Path, body: str) -> Path:
    """A program that stands in for Blender."""
    path = folder / "blender"
    path.write_text(f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_fbx_hands_blender_a_glb_and_a_script(tmp_path, monkeypatch):
    program = fake_blender(
        tmp_path,
        """
split = sys.argv.index("--")
options, (glb, fbx, fps) = sys.argv[1:split], sys.argv[split + 1 :]
assert options[:-1] == ["--background", "--factory-startup", "--python-exit-code", "1", "--python"], options
compile(Path(options[-1]).read_text(), "script", "exec")
assert Path(glb).read_bytes()[:4] == b"glTF"
Path(fbx).write_bytes(b"Kaydara FBX at " + fps.encode())
""",
    )
    monkeypatch.setenv("BLENDER", str(program))
    notes = write_motion_file(tmp_path / "s.fbx", swing())
    assert (tmp_path / "s.fbx").read_bytes() == b"Kaydara FBX at 50"
    assert notes == (f"written by {program}",)
    monkeypatch.delenv("BLENDER")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_blender() == program


def test_the_command_line_of_blender():
    command = blender_command(Path("/b/blender"), Path("s.py"), Path("in file.glb"), Path("out.fbx"), 29.97)
    assert command[0] == "/b/blender"
    assert command[command.index("--") + 1 :] == ["in file.glb", "out.fbx", "29.97"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("print('no such operator'); sys.exit(1)", r"Blender failed \(exit code 1\): no such operator"),
        ("pass", r"Blender failed \(exit code 0\): it said nothing"),
    ],
)
def test_a_failing_blender_is_quoted(tmp_path, monkeypatch, body, message):
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("BLENDER", str(fake_blender(tmp_path / "bin", body)))
    with pytest.raises(InputError, match=message):
        write_motion_file(tmp_path / "s.fbx", swing())
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


@pytest.mark.parametrize("named", [None, "/nowhere/blender"])
def test_without_blender_the_error_says_what_to_do(tmp_path, monkeypatch, named):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BLENDER", raising=False)
    if named:
        monkeypatch.setenv("BLENDER", named)
    with pytest.raises(InputError, match=r"written by Blender, and there is none: .*BLENDER.*\.glb"):
        write_motion_file(tmp_path / "s.fbx", swing())


@pytest.mark.slow
def test_a_real_blender_writes_an_fbx(stick, tmp_path):
    try:
        find_blender()
    except InputError:
        pytest.skip("no Blender")
    write_motion_file(tmp_path / "w.fbx", stick_walk(), body=stick)
    assert (tmp_path / "w.fbx").read_bytes()[:18] == b"Kaydara FBX Binary"


# Refusals


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        ("w.xyz", {}, r"no format has the suffix '.xyz'. Written are \.npz \(npz\), \.csv"),
        ("w", {}, "a name without suffix"),
        ("w.npz", {"format": "whole_body_trakcing"}, "unknown motion format.*Did you mean 'whole_body_tracking'"),
        ("w.csv", {"format": "whole_body_tracking"}, r"a whole_body_tracking file ends in \.npz"),
        ("w.csv", {"quat_order": "xyz"}, "unknown quaternion order"),
        ("w.npz", {"format": "whole_body_tracking", "joint_order": "x"}, "expected one of mujoco, isaac"),
        ("w.glb", {"body": None}, "of robot 'stick'.*give the robot"),
        ("w.bvh", {"body": None}, "as a BVH, give the robot"),
        ("w.npz", {"body": None, "format": "whole_body_tracking"}, "give the robot"),
    ],
)
def test_refusals_say_why_and_leave_nothing(stick, tmp_path, file, options, message):
    with pytest.raises(InputError, match=message):
        write_motion_file(tmp_path / file, stick_walk(), **{"body": stick, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to(stick, tmp_path):
    (tmp_path / "file").write_text("precious")
    for path in (tmp_path / "file" / "w.glb", tmp_path / ("x" * 300 + ".glb")):
        with pytest.raises(InputError, match="cannot write"):
            write_motion_file(path, stick_walk(), body=stick)
    os.mkdir(tmp_path / "w.glb")
    with pytest.raises(InputError, match="cannot write"):
        write_motion_file(tmp_path / "w.glb", stick_walk(), body=stick)


def test_every_format_is_tried_here():
    assert set(WRITERS) == {"npz", "csv", "bvh", "glb", "usd", "fbx", "whole_body_tracking"}
