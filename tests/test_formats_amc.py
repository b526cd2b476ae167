"""ASF/AMC: the BVH of the same capture as the oracle, a hand-made skeleton against scipy, skeleton search, broken files."""

import shutil

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motions.errors import InputError
from motions.formats.asf import read_asf
from motions.formats.asf_amc import find_asf, read_amc
from motions.formats.bvh import read_bvh
from motions.rotations import quat_angle, quat_rotate

UNIT_M = 0.0254 / 0.45

ASF = """# a comment
:version 1.10
:name tiny
:units
  mass 1.0
  length 0.45
  angle deg
:documentation
   free text
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name lfemur
     direction 0 -1 0
     length 8
     axis 10 20 30 XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
     id 2
     name lfoot
     direction 0 -0.6 0.8
     length 8
     axis -90 7 20 XYZ
    dof rx rz
    limits (-45.0 90.0)
           (-70.0 20.0)
  end
  begin
     id 3
     name head
     direction 0 1 0
     length 12
     axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root head lfemur
    lfemur lfoot
  end
"""
HEADER = "#!OML:ASF somewhere.ASF\n:FULLY-SPECIFIED\n:DEGREES\n"
FRAME = "{i}\nroot 1 16 2 10 20 30\nlfoot 5 6\nlfemur 40 50 60\n"


def tiny(folder, frames: int = 3):
    (folder / "tiny.asf").write_text(ASF)
    path = folder / "tiny.amc"
    path.write_text(HEADER + "".join(FRAME.format(i=i) for i in range(1, frames + 1)))
    return path


def test_bones_are_turned_as_scipy_says(tmp_path):
    motion = read_amc(tiny(tmp_path), scale=1.0)
    names = motion.skeleton.joint_names
    assert names == ("Hips", "Head", "Head_end", "LeftUpLeg", "LeftFoot", "LeftFoot_end")
    root = Rotation.from_euler("xyz", [10, 20, 30], degrees=True)  # scipy's lower case: about fixed axes, x first
    thigh_axes = Rotation.from_euler("xyz", [10, 20, 30], degrees=True)
    foot_axes = Rotation.from_euler("xyz", [-90, 7, 20], degrees=True)
    thigh = root * thigh_axes * Rotation.from_euler("xyz", [40, 50, 60], degrees=True) * thigh_axes.inv()
    foot = thigh * foot_axes * Rotation.from_euler("xyz", [5, 0, 6], degrees=True) * foot_axes.inv()
    hips = np.array([1.0, 16.0, 2.0])
    ankle = hips + thigh.apply([0, -8, 0])
    expected = [hips, hips, hips + root.apply([0, 12, 0]), hips, ankle, ankle + foot.apply([0, -4.8, 6.4])]
    x, y, z = np.array(expected).T
    np.testing.assert_allclose(motion.forward_kinematics()[0][1], np.stack([z, x, y], axis=1), atol=1e-9)


def test_the_unit_length_sets_the_scale(tmp_path):
    motion = read_amc(tiny(tmp_path))
    assert motion.root_pos[0, 2] == pytest.approx(16 * UNIT_M)
    assert motion.fps == 120.0
    assert any("120 frames per second assumed" in note for note in motion.notes)
    assert any("tiny.asf (same name)" in note for note in motion.notes)


def test_radians_are_read_as_such(tmp_path):
    path = tiny(tmp_path)
    degrees = read_amc(path)
    body = "".join(
        f"{i}\nroot 1 16 2 {' '.join(repr(v) for v in np.deg2rad([10, 20, 30]).tolist())}\n"
        f"lfoot {' '.join(repr(v) for v in np.deg2rad([5, 6]).tolist())}\n"
        f"lfemur {' '.join(repr(v) for v in np.deg2rad([40, 50, 60]).tolist())}\n"
        for i in (1, 2, 3)
    )
    path.write_text(":FULLY-SPECIFIED\n:RADIANS\n" + body)
    np.testing.assert_allclose(read_amc(path).local_quat, degrees.local_quat, atol=1e-12)


def test_the_bvh_of_the_same_capture_agrees(shared_data):
    folder = shared_data / "motions/cmu_asfamc/fairmotion_pair"
    amc, bvh = read_amc(folder / "01_01_first600.amc"), read_bvh(folder / "01_01_first600.bvh")
    assert amc.num_frames == bvh.num_frames == 600
    assert amc.fps == bvh.fps
    assert set(amc.skeleton.joint_names) == set(bvh.skeleton.joint_names)
    # Root translation in the file's unit to 5e-5: the BVH is printed with four decimals.
    np.testing.assert_allclose(amc.root_pos / UNIT_M, bvh.root_pos / UNIT_M, atol=5.1e-5)
    same = [bvh.skeleton.index(name) for name in amc.skeleton.joint_names]
    pos, quat = amc.forward_kinematics()
    pos_bvh, quat_bvh = (part[:, same] for part in bvh.forward_kinematics())
    assert quat_angle(quat, quat_bvh).max() < 1e-5
    # The BVH's makers dropped two bones' lengths, thorax and wrist; the joints that hang on them are moved by just that.
    parents, offsets = amc.skeleton.parents, amc.skeleton.offsets
    moved = np.zeros_like(pos)
    for j, parent in enumerate(parents[1:], start=1):
        moved[:, j] = moved[:, parent]
        lost = not bvh.skeleton.offsets[same[j]].any()
        if lost and amc.skeleton.joint_names[parent] in ("Spine1", "LeftHand", "RightHand"):
            moved[:, j] += quat_rotate(quat[:, parent], np.broadcast_to(offsets[j], (600, 3)))
    np.testing.assert_allclose(pos - moved, pos_bvh, atol=2e-5)
    whole = [j for j, name in enumerate(amc.skeleton.joint_names) if "Leg" in name or "Foot" in name or "Spine" in name]
    assert len(whole) == 8
    np.testing.assert_allclose(moved[:, whole], 0.0)


@pytest.mark.parametrize(
    ("name", "skeleton", "frames"),
    [
        ("07_05-walk.amc", "07-walk.asf", 517),
        ("09_06-run.amc", "09-run.asf", 141),
        ("131_04-dance.amc", "131-dance.asf", 1086),
        ("135_06-martialArts.amc", "135-martialArts.asf", 3261),
        ("backflip.amc", "backflip.asf", 247),
        ("fairmotion_pair/11_01.amc", "11.asf", 597),
    ],
)
def test_real_files(shared_data, name, skeleton, frames):
    motion = read_amc(shared_data / "motions/cmu_asfamc" / name)
    assert motion.num_frames == frames
    assert motion.notes[0].startswith(f"skeleton {skeleton} ")
    pos, quat = motion.forward_kinematics()
    assert -0.1 < pos[..., 2].min() < 0.05
    assert 1.4 < pos[..., 2].max() < 2.3
    if "walk" in name or "run" in name:
        travel = motion.root_pos[-1] - motion.root_pos[0]
        ahead = quat_rotate(quat[:, 0], np.broadcast_to([1.0, 0.0, 0.0], (frames, 3))).mean(axis=0)
        assert ahead @ travel > 0.9 * np.linalg.norm(travel)


def test_the_skeleton_is_found_or_asked_for(tmp_path):
    def touch(*names):
        for old in tmp_path.iterdir():
            old.unlink()
        for name in names:
            (tmp_path / name).write_text(ASF)
        return tmp_path / names[0]

    assert find_asf(touch("07_05.amc", "07.asf", "7_05.asf", "07_05.asf"))[0].name == "07_05.asf"
    assert find_asf(touch("07_05.amc", "07.asf", "08.asf"))[0].name == "07.asf"
    assert find_asf(touch("7_5.amc", "07.ASF"))[0].name == "07.ASF"
    assert find_asf(touch("07_05-walk.amc", "07-walk.asf", "07-run.asf"))[0].name == "07-walk.asf"
    path = touch("07_05-walk.amc", "07-run.asf", "other.asf")
    assert find_asf(path)[0].name == "07-run.asf"  # the only one of subject 07
    assert find_asf(path, tmp_path / "other.asf") == (tmp_path / "other.asf", "as given")
    for names in (("walk.amc", "other.asf"), ("07_05.amc", "08.asf"), ("07_05-jump.amc", "07-walk.asf", "07-run.asf")):
        with pytest.raises(InputError, match=f"--skeleton.*{names[1]}"):
            find_asf(touch(*names))
    with pytest.raises(InputError, match="holds no"):
        find_asf(touch("07_05.amc"))


def test_a_skeleton_of_another_body_is_refused(shared_data, tmp_path):
    path = tiny(tmp_path)
    with pytest.raises(InputError, match="no values for bone"):
        read_amc(path, asf=shared_data / "motions/cmu_asfamc/07-walk.asf")
    shutil.copy(shared_data / "motions/cmu_asfamc/07_05-walk.amc", tmp_path / "walk.amc")
    with pytest.raises(InputError, match=r"walk.amc, line 6: unknown bone \(skeleton tiny.asf\) 'lowerback'"):
        read_amc(tmp_path / "walk.amc", asf=tmp_path / "tiny.asf")


BROKEN_AMC = [
    ("1\nroot", "root", "line 4: 'root', expected a frame number"),
    ("2\nroot", "3\nroot", "line 8: frame 3 follows frame 1"),
    ("lfoot 5 6", "lfoot 5", "line 6: 1 values for bone 'lfoot', expected 2 .rx rz in tiny.asf"),
    ("lfoot 5 6", "lfot 5 6", "line 6: unknown bone .*'lfot'. Did you mean 'lfoot'"),
    ("lfoot 5 6", "lfoot 5 six", "line 6: value 2 is 'six'"),
    ("lfoot 5 6", "lfoot nan 6", "line 6: value 1 is nan"),
    ("lfoot 5 6\n", "lfoot 5 6\nlfoot 5 6\n", "line 7: bone 'lfoot' a second time in frame 1"),
    ("lfoot 5 6\n", "", "line 4: frame 1 has no values for bone 'lfoot': truncated"),
]


@pytest.mark.parametrize(("old", "new", "message"), BROKEN_AMC)
def test_broken_motions_name_the_place(tmp_path, old, new, message):
    path = tiny(tmp_path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=f"tiny.amc, {message}"):
        read_amc(path)


def test_too_few_frames_are_refused(tmp_path):
    with pytest.raises(InputError, match="2 frame"):
        read_amc(tiny(tmp_path, frames=2))


BROKEN_ASF = [
    ("length 8", "length eight", "line 20: value 1 is 'eight'"),
    ("direction 0 -1 0", "direction 0 -1", "line 19: direction with 2 values, expected 3"),
    ("axis 10 20 30 XYZ", "axis 10 20 30 XXZ", "line 21: axis order 'XXZ'"),
    ("dof rx ry rz", "dof rx ry l", "line 22: bone 'lfemur' has the degree of freedom 'l'"),
    ("length 0.45", "length 0", "line 6: length 0, expected a number above 0"),
    ("order TX TY TZ RX RY RZ", "order TX TY TZ RX RY", "line 11: root order"),
    ("orientation 0 0 0", "orientation 0 90 0", "line 14: root orientation 0 90 0"),
    ("name lfoot", "name lfemur", "line 36: a second bone 'lfemur'"),
    ("name lfoot", "id 7", "line 36: the bone that ends here has no name"),
    ("lfemur lfoot", "lfemur lfot", "unknown bone 'lfot'. Did you mean 'lfoot'"),
    ("lfemur lfoot", "", "bone 'lfoot' is not connected"),
    ("lfemur lfoot", "lfemur lfoot\n head lfoot", "bone 'lfoot' has a second parent"),
    (ASF[ASF.index(":hierarchy") :], "", "no :hierarchy section"),
]


@pytest.mark.parametrize(("old", "new", "message"), BROKEN_ASF)
def test_broken_skeletons_name_the_place(tmp_path, old, new, message):
    tiny(tmp_path)
    path = tmp_path / "tiny.asf"
    assert old in ASF
    path.write_text(ASF.replace(old, new, 1))
    with pytest.raises(InputError, match=f"tiny.asf.*{message}"):
        read_asf(path)
