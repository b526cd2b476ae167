"""BVH: channels against scipy, units and axes of real files, the writer's round trip, broken files."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motions.clips import demo_bvh
from motions.errors import InputError
from motions.formats import read_motion_file
from motions.formats.bvh import read_bvh, write_bvh
from motions.formats.units import Y_UP_TO_Z_UP
from motions.rotations import quat_angle, quat_rotate
from motions.skeleton import Skeleton, SkeletonMotion

REAL = {  # name: frames after the T-pose row, fps, joints, metres per unit, has a T-pose row
    "cmu_bvh/02_01_walk.bvh": (343, 120.0, 31, 0.0254 / 0.45, False),
    "cmu_bvh/05_06_dance.bvh": (885, 120.0, 31, 0.0254 / 0.45, True),
    "cmu_bvh/05_15_dance.bvh": (540, 120.0, 31, 0.0254 / 0.45, True),
    "cmu_bvh/06_09_basketball.bvh": (301, 120.0, 31, 0.0254 / 0.45, True),
    "cmu_bvh/12_01_walk.bvh": (523, 120.0, 31, 0.0254 / 0.45, True),
    "cmu_bvh/131_01_start_walk_stop.bvh": (994, 120.0, 31, 0.0254 / 0.45, False),
    "cmu_bvh/m21/kick.bvh": (296, 60.0, 21, 0.01, False),
    "cmu_bvh/m21/walk.bvh": (162, 60.0, 21, 0.01, False),
    "cmu_bvh/m21/dance.bvh": (559, 60.0, 21, 0.01, False),
    "mss_bvh/walk.bvh": (141, 120.0, 29, 0.01, False),
    "mss_bvh/walk_fullbody.bvh": (671, 120.0, 37, 0.01, False),
    "mss_bvh/run_simple.bvh": (226, 120.0, 69, 0.01, False),
    "mss_bvh/jump_simple.bvh": (306, 120.0, 69, 0.01, False),
    "mss_bvh/sidewalk.bvh": (351, 120.0, 37, 0.01, False),
}
WALKS = (
    "cmu_bvh/12_01_walk.bvh",
    "cmu_bvh/02_01_walk.bvh",
    "cmu_bvh/m21/walk.bvh",
    "mss_bvh/walk.bvh",
    "mss_bvh/walk_fullbody.bvh",
)

# A human in centimetres with every kind of channel line: mixed orders, a 6-channel joint, a joint with a single
# position, one without channels, a name with a space, braces on the same line, tabs.
MIXED = """HIERARCHY
ROOT Hips {
  OFFSET 7 8 9
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT Left Leg
  {
    OFFSET 10 -2 1
    CHANNELS 3 Xrotation Yrotation Zrotation
    JOINT LeftFoot
    {
      OFFSET 0 -85 0
      CHANNELS 6 Xposition Yposition Zposition Yrotation Zrotation Xrotation
      End Site
      {
        OFFSET 0 -5 12
      }
    }
  }
  JOINT Spine
  {
    OFFSET 0 40 0
    CHANNELS 2 Yposition Zrotation
    JOINT Head
    {
\t\tOFFSET 0 30 0
      CHANNELS 0
      End Site
      { OFFSET 0 10 0 }
    }
  }
}
MOTION
Frames: 4
Frame Time: .0333333
"""


def mixed_bvh(path: Path) -> np.ndarray:
    """Write MIXED with random frames; the values (4, 17)."""
    values = np.random.default_rng(0).uniform(-90, 90, size=(4, 17))
    values[:, :3] = [[1, 90, 2], [2, 91, 3], [3, 92, 4], [4, 93, 5]]
    path.write_text(MIXED + "\n".join(" ".join(f"{v:.12g}" for v in row) for row in values) + "\n")
    return values


def test_channels_are_applied_as_scipy_says(tmp_path):
    values = mixed_bvh(tmp_path / "mixed.bvh")
    motion = read_bvh(tmp_path / "mixed.bvh", scale=0.01)
    assert motion.skeleton.joint_names == ("Hips", "Left Leg", "LeftFoot", "LeftFoot_end", "Spine", "Head", "Head_end")
    assert motion.skeleton.end_sites == ("LeftFoot_end", "Head_end")
    assert motion.fps == pytest.approx(30.0, rel=1e-9)
    pos, _ = motion.forward_kinematics()
    for frame, v in enumerate(values):
        hips = Rotation.from_euler("ZYX", v[3:6], degrees=True)
        leg = hips * Rotation.from_euler("XYZ", v[6:9], degrees=True)
        foot = leg * Rotation.from_euler("YZX", v[12:15], degrees=True)
        spine = hips * Rotation.from_euler("Z", v[16], degrees=True)
        at_leg = v[:3] + hips.apply([10, -2, 1])
        at_foot = at_leg + leg.apply(v[9:12])
        at_spine = v[:3] + hips.apply([0, v[15], 0])
        at_head = at_spine + spine.apply([0, 30, 0])
        expected = [v[:3], at_leg, at_foot, at_foot + foot.apply([0, -5, 12]), at_spine, at_head]
        expected.append(at_head + spine.apply([0, 10, 0]))
        x, y, z = np.array(expected).T / 100.0
        np.testing.assert_allclose(pos[frame], np.stack([z, x, y], axis=1), atol=1e-9)


def test_the_identity_pose_faces_x_with_its_left_at_y(tmp_path):
    path = tmp_path / "rest.bvh"
    path.write_text(MIXED.replace("\nFrames: 4", "\nFrames: 3") + ("0 90 0" + " 0" * 6 + " 0 -85 0 0 0 0 40 0\n") * 3)
    motion = read_bvh(path)
    np.testing.assert_allclose(motion.local_quat[..., 0], 1.0)
    pos, _ = motion.forward_kinematics()
    np.testing.assert_allclose(pos[0, 2], [0.01, 0.10, 0.03], atol=1e-9)  # the left foot, 1 cm ahead
    np.testing.assert_allclose(pos[0, 3] - pos[0, 2], [0.12, 0.0, -0.05], atol=1e-9)  # toes point ahead and down


@pytest.mark.parametrize("name", REAL)
def test_real_files(shared_data, name):
    frames, fps, joints, scale, t_pose = REAL[name]
    motion = read_bvh(shared_data / "motions" / name)
    assert motion.num_frames == frames
    assert motion.fps == fps
    assert len(motion.skeleton.joint_names) - len(motion.skeleton.end_sites) == joints
    assert any("T-pose" in note for note in motion.notes) == t_pose
    assert any(f"({scale:.6g} m)" in note for note in motion.notes), motion.notes
    pos, _ = motion.forward_kinematics()
    # One subject's rig nodes and hand ends carry offsets of metres; they are read as they are.
    named = [j for j, joint in enumerate(motion.skeleton.joint_names) if "RIGMESH" not in joint and "Hand_end" not in joint]
    assert -0.15 < np.median(pos[:, named, 2].min(axis=1)) < 0.3  # something is near the ground
    assert 1.2 < np.median(pos[:, named, 2].max(axis=1)) < 2.0  # and the head where heads are
    step = np.abs(np.diff(pos[:20, named], axis=0)).max() * motion.fps
    assert step < 10.0  # [m/s]; no jump is left where a T-pose row was (the dances hold jumps of their own, later)


@pytest.mark.parametrize("name", WALKS)
def test_walkers_go_where_they_face_with_their_left_on_the_left(shared_data, name):
    motion = read_bvh(shared_data / "motions" / name)
    pos, quat = motion.forward_kinematics()
    ahead = quat_rotate(quat[:, 0], np.broadcast_to([1.0, 0.0, 0.0], (motion.num_frames, 3)))
    travel = motion.root_pos[-1, :2] - motion.root_pos[0, :2]
    assert np.mean(ahead[:, :2], axis=0) @ travel > 0.9 * np.linalg.norm(travel)
    names = motion.skeleton.joint_names
    left, right = (next(j for j, n in enumerate(names) if n.endswith(f"{side}UpLeg")) for side in ("Left", "Right"))
    to_left = np.cross([0.0, 0.0, 1.0], [*travel / np.linalg.norm(travel), 0.0])
    assert np.all((pos[:, left] - pos[:, right]) @ to_left > 0.05)


def test_names_keep_their_prefix(shared_data):
    names = read_bvh(shared_data / "motions/mss_bvh/walk.bvh").skeleton.joint_names
    assert names[0] == "Character1_Hips"


@pytest.mark.parametrize("name", ["cmu_bvh/12_01_walk.bvh", "cmu_bvh/131_01_start_walk_stop.bvh", "mss_bvh/run_simple.bvh"])
@pytest.mark.parametrize("order", ["ZYX", "YXZ"])
def test_writing_and_reading_back(shared_data, tmp_path, name, order):
    motion = read_bvh(shared_data / "motions" / name)
    write_bvh(motion, tmp_path / "again.bvh", rotation_order=order)
    again = read_bvh(tmp_path / "again.bvh")
    _assert_same(motion, again)
    assert again.skeleton.joint_names == motion.skeleton.joint_names


def _assert_same(motion: SkeletonMotion, again: SkeletonMotion) -> None:
    assert again.fps == motion.fps
    pos, quat = motion.forward_kinematics()
    pos_again, quat_again = again.forward_kinematics()
    np.testing.assert_allclose(pos_again, pos, atol=1e-6)
    assert quat_angle(quat, quat_again).max() < 1e-5


def test_writing_keeps_moving_translations(tmp_path):
    mixed_bvh(tmp_path / "mixed.bvh")
    motion = read_bvh(tmp_path / "mixed.bvh", scale=0.01)
    assert motion.translations is not None
    write_bvh(motion, tmp_path / "again.bvh")
    _assert_same(motion, read_bvh(tmp_path / "again.bvh", scale=0.01))


def test_a_leaf_joint_gets_the_end_site_the_format_wants(tmp_path):
    skeleton = Skeleton(("Hips", "LeftFoot", "Head"), (-1, 0, 0), np.array([[0, 0, 0], [0, 0.1, -0.9], [0, 0, 0.7]]))
    quat = np.tile([1.0, 0, 0, 0], (3, 3, 1))
    write_bvh(SkeletonMotion("stick", skeleton, 60.0, np.zeros((3, 3)), quat), tmp_path / "stick.bvh")
    again = read_bvh(tmp_path / "stick.bvh")
    assert again.skeleton.end_sites == ("LeftFoot_end", "Head_end")
    np.testing.assert_allclose(again.skeleton.offsets[again.skeleton.index("LeftFoot")], [0, 0.1, -0.9], atol=1e-8)


def test_writing_refuses_an_unknown_rotation_order(tmp_path):
    mixed_bvh(tmp_path / "mixed.bvh")
    with pytest.raises(InputError, match="XXY"):
        write_bvh(read_bvh(tmp_path / "mixed.bvh", scale=0.01), tmp_path / "x.bvh", rotation_order="XXY")


def _resized(source: Path, path: Path, factor: float) -> Path:
    """The file with all lengths times `factor`."""
    lines = source.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    for i, line in enumerate(lines):
        words = line.split()
        if i >= start:
            values = [float(w) for w in words]
            lines[i] = " ".join(repr(v * factor if k < 3 else v) for k, v in enumerate(values))
        elif words and words[0] == "OFFSET":
            lines[i] = "OFFSET " + " ".join(repr(float(w) * factor) for w in words[1:])
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("scale", [1.0, 0.01, 0.0254, 0.0254 / 0.45, 0.001])
def test_every_unit_is_recognised(shared_data, tmp_path, scale):
    source = shared_data / "motions/cmu_bvh/m21/walk.bvh"
    motion = read_bvh(_resized(source, tmp_path / "resized.bvh", 0.01 / scale))
    np.testing.assert_allclose(motion.root_pos, read_bvh(source).root_pos, atol=1e-9)


def test_an_unrecognised_unit_demands_a_scale(shared_data, tmp_path):
    path = _resized(shared_data / "motions/cmu_bvh/m21/walk.bvh", tmp_path / "ant.bvh", 1e-4)
    with pytest.raises(InputError, match="scale"):
        read_bvh(path)
    assert read_bvh(path, scale=100.0).root_pos[0, 2] == pytest.approx(0.945, abs=0.001)
    chain = shared_data / "motions/bvh_parser_samples/fairmotion_sinusoidal.bvh"
    assert read_bvh(chain, scale=1.0).num_frames == 120


def test_a_scale_that_makes_no_person_is_taken_and_said():
    notes = {scale: read_motion_file(demo_bvh(), scale=scale).notes for scale in (0.01, 1.0)}
    assert not any("as given" in note for note in notes[0.01])
    assert any(note.startswith("scale 1 m per unit as given, by which the body measures 1") for note in notes[1.0])
    assert any(note.endswith("from ankle to head: no person's size") for note in notes[1.0])


@pytest.mark.parametrize("left_x", [10, -10])
def test_a_z_up_file_is_recognised_and_turned_to_face_x(tmp_path, left_x):
    text = f"""HIERARCHY
ROOT Hips
{{ OFFSET 0 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
JOINT LeftUpLeg {{ OFFSET {left_x} 0 -5 CHANNELS 3 Zrotation Xrotation Yrotation
JOINT LeftFoot {{ OFFSET 0 0 -85 CHANNELS 3 Zrotation Xrotation Yrotation }} }}
JOINT Head {{ OFFSET 0 0 70 CHANNELS 3 Zrotation Xrotation Yrotation }} }}
MOTION
Frames: 3
Frame Time: 0.01
"""
    path = tmp_path / "z_up.bvh"
    path.write_text(text + ("0 0 90" + " 0" * 12 + "\n") * 3)
    motion = read_bvh(path)
    assert any("z taken as up" in note for note in motion.notes)
    pos, _ = motion.forward_kinematics()
    np.testing.assert_allclose(pos[0, 1:], [[0, 0.1, 0.85], [0, 0.1, 0.0], [0, 0, 1.6]], atol=1e-9)


def test_axes_are_a_proper_rotation():
    assert np.linalg.det(Y_UP_TO_Z_UP) == pytest.approx(1.0)


def test_fps_given_overrules_the_file(tmp_path):
    mixed_bvh(tmp_path / "mixed.bvh")
    motion = read_bvh(tmp_path / "mixed.bvh", scale=0.01, fps=25.0)
    assert motion.fps == 25.0
    assert any("25 frames per second as given (the file says 30)" in note for note in motion.notes)


def test_two_joints_of_one_name_are_told_apart(tmp_path):
    mixed_bvh(tmp_path / "mixed.bvh")
    path = tmp_path / "twice.bvh"
    path.write_text((tmp_path / "mixed.bvh").read_text().replace("JOINT Spine", "JOINT Head"))
    assert {"Head", "Head_2"} <= set(read_bvh(path, scale=0.01).skeleton.joint_names)


ROW = "0 90 0" + " 0" * 14 + "\n"
BROKEN = [  # what is replaced, by what, what the error says; ROW stands for the three rows
    ("HIERARCHY", "HIRACHY", "line 1: starts with 'HIRACHY', expected HIERARCHY"),
    ("Zrotation Yrotation Xrotation", "Zrotation Yrotation Xrotatoin", "did you mean 'Xrotation'"),
    ("CHANNELS 6 X", "CHANNELS 7 X", "line 4: CHANNELS '7'"),
    ("CHANNELS 6 X", "CHANNELS six X", "line 4: CHANNELS 'six'"),
    ("CHANNELS 2 Yposition Zrotation", "CHANNELS 2 Yposition", "line 22: CHANNELS 2 with 1 values, expected 2"),
    ("CHANNELS 2 Yposition Zrotation", "CHANNELS 2 Yposition Yposition", "one channel twice"),
    ("OFFSET 10 -2 1", "OFFSET 10 -2", "line 7: OFFSET with 2 values, expected 3"),
    ("OFFSET 10 -2 1", "OFFSET 10 -2 one", "line 7: value 3 is 'one', expected a number"),
    ("OFFSET 10 -2 1", "OFFSET 10 nan 1", "line 7: value 2 is nan, expected a finite number"),
    ("JOINT Spine", "JOIN Spine", "line 19: 'JOIN', expected ROOT, JOINT"),
    ("JOINT Spine", "JOINT", "line 19: a joint without a name"),
    ("JOINT Spine", "ROOT Spine", "line 19: a second ROOT 'Spine'"),
    ("}\nMOTION", "MOTION", "MOTION before the hierarchy is complete"),
    ("}\nMOTION", "}\n}\nMOTION", "without its '{'"),
    ("MOTION\n", "", "without a MOTION section|expected ROOT"),
    ("Frames: 3", "Frames: 5", "3 rows of motion, but line 33 says Frames: 5: truncated"),
    ("Frames: 3", "Frames: 2", "3 rows of motion, but line 33 says Frames: 2"),
    ("Frames: 3", "Frames: many", "line 33: value 1 is 'many'"),
    ("Frames: 3", "Frames: -1", "line 33: Frames: -1"),
    ("Frame Time: .0333333", "Frame Time: 0", "line 34: Frame Time: 0, expected seconds above 0"),
    ("Frame Time: .0333333", "Time: 1", "line 34: 'Time: 1', expected 'Frame Time: <number>'"),
    (ROW * 3, ROW * 2 + ROW[:-5], "line 37: 15 values, expected 17 .* truncated"),
    (ROW * 3, ROW + ROW.replace("90", "inf") + ROW, "line 36: value 2 is inf"),
    (ROW * 3, ROW + ROW.replace("90", "9o") + ROW, "line 36: value 2 is '9o', expected a number"),
    ("Frames: 3\nFrame Time: .0333333\n" + ROW * 3, "", "ends after MOTION"),
    ("Frames: 3\nFrame Time: .0333333\n" + ROW * 3, "Frames: 2\nFrame Time: .1\n" + ROW * 2, "2 frame"),
]


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_broken_files_name_the_place(tmp_path, old, new, message):
    whole = MIXED.replace("Frames: 4", "Frames: 3") + ROW * 3
    assert old in whole
    path = tmp_path / "broken.bvh"
    path.write_text(whole.replace(old, new, 1))
    with pytest.raises(InputError, match=f"(?i)broken.bvh.*({message})"):
        read_bvh(path)


def test_a_file_cut_anywhere_is_refused_without_a_crash(tmp_path):
    whole = MIXED.replace("Frames: 4", "Frames: 3") + ROW * 3
    path = tmp_path / "cut.bvh"
    for length in range(1, len(whole) - 2, 7):
        path.write_text(whole[:length])
        with pytest.raises(InputError, match=r"cut\.bvh"):
            read_bvh(path)
