"""Cutting, speeding and mirroring captured skeletons, judged by where their joints go."""

import dataclasses

import numpy as np
import pytest

from mimic.robots import load_robot
from mimic.sources import read_motions
from motions.clips import FOLDER as CLIPS
from motions.clips import demo_bvh
from motions.edit import cut_captured, mirror_captured, repeat_captured, speed_captured
from motions.errors import InputError
from motions.formats import read_amc, read_bvh, read_motion_file, write_bvh
from motions.rotations import quat_mul
from motions.skeleton import SkeletonMotion


@pytest.fixture(scope="module")
def dance() -> SkeletonMotion:
    return read_bvh(demo_bvh())


def joint(motion: SkeletonMotion, name: str) -> np.ndarray:
    return motion.forward_kinematics()[0][:, motion.skeleton.index(name)]


def test_every_joint_goes_where_the_other_sides_image_goes(dance: SkeletonMotion):
    mirrored = mirror_captured(dance)
    for here, there in (("LeftHand", "RightHand"), ("RightToeBase_end", "LeftToeBase_end"), ("Head", "Head"), ("Hips", "Hips")):
        np.testing.assert_allclose(joint(mirrored, here), joint(dance, there) * [1, -1, 1], atol=1e-12)
    twice = mirror_captured(mirrored)
    np.testing.assert_array_equal(twice.local_quat, dance.local_quat)
    np.testing.assert_array_equal(twice.skeleton.offsets, dance.skeleton.offsets)


def test_moving_joints_are_mirrored_too(dance: SkeletonMotion):
    moving = np.random.default_rng(0).normal(size=(dance.num_frames, len(dance.skeleton.joint_names), 3))
    free = dataclasses.replace(dance, translations=moving)
    mirrored = mirror_captured(free)
    np.testing.assert_allclose(joint(mirrored, "LeftHand"), joint(free, "RightHand") * [1, -1, 1], atol=1e-12)
    assert cut_captured(free, 0.0, 1.0).translations.shape[0] == round(free.fps) + 1


@pytest.mark.parametrize(
    ("file", "left", "right"),
    [
        ("cmu_bvh/02_01_walk.bvh", "LeftFoot", "RightFoot"),
        ("cmu_bvh/131_01_start_walk_stop.bvh", "lhand", "rhand"),
        ("mss_bvh/walk.bvh", "Character1_LeftFoot", "Character1_RightFoot"),
        ("cmu_asfamc/07_05-walk.amc", "LeftLeg", "RightLeg"),
    ],
)
def test_the_names_of_real_captures_are_understood(shared_data, file: str, left: str, right: str):
    path = shared_data / "motions" / file
    motion = cut_captured(read_amc(path) if file.endswith("amc") else read_bvh(path), 0.2, 0.5)
    np.testing.assert_allclose(joint(mirror_captured(motion), left), joint(motion, right) * [1, -1, 1], atol=1e-12)


def test_an_edited_capture_survives_its_file(dance: SkeletonMotion, tmp_path):
    edited = mirror_captured(speed_captured(cut_captured(dance, 1.0, 2.0), 1.1))
    write_bvh(edited, tmp_path / "edited.bvh")
    again = read_motion_file(tmp_path / "edited.bvh", scale=0.01).motion
    assert isinstance(again, SkeletonMotion)
    assert again.fps == pytest.approx(1.1 * dance.fps, rel=1e-6)
    np.testing.assert_allclose(joint(again, "LeftHand"), joint(edited, "LeftHand"), atol=1e-6)
    np.testing.assert_allclose(edited.root_pos[0], dance.root_pos[round(dance.fps)] * [1, -1, 1])


def test_refusals(dance: SkeletonMotion):
    with pytest.raises(InputError, match="no 3 frames from 1 s to 1 s"):
        cut_captured(dance, 1.0, 1.0)
    with pytest.raises(InputError, match="it lasts"):
        cut_captured(dance, 0.0, 1e3)
    with pytest.raises(InputError, match="the factor is 0"):
        speed_captured(dance, 0.0)
    names = tuple("LeftPaw" if name == "LeftHand" else name for name in dance.skeleton.joint_names)
    lame = dataclasses.replace(dance, skeleton=dataclasses.replace(dance.skeleton, joint_names=names))
    with pytest.raises(InputError, match="'LeftPaw' but no 'RightPaw'"):
        mirror_captured(lame)
    parents = list(dance.skeleton.parents)
    parents[dance.skeleton.index("LeftHand")] = dance.skeleton.index("LeftArm")
    crooked = dataclasses.replace(dance, skeleton=dataclasses.replace(dance.skeleton, parents=tuple(parents)))
    with pytest.raises(InputError, match="'LeftHand' and 'RightHand' hang on"):
        mirror_captured(crooked)


def turning(dance: SkeletonMotion, lack: float = 0.0) -> SkeletonMotion:
    """A second of it played there and back while it walks on and turns, so that it loops; but for an elbow."""
    part = cut_captured(dance, 1.0, 1.5)
    quat, root = (np.concatenate([column, column[-2::-1]]) for column in (part.local_quat, part.root_pos))
    share = np.linspace(0.0, 1.0, len(root))
    half = 0.25 * share
    zero = 0.0 * share
    quat[:, 0] = quat_mul(np.stack([np.cos(half), zero, zero, np.sin(half)], axis=1), quat[:, 0])
    elbow = dance.skeleton.index("LeftForeArm")
    half = 0.5 * lack * share
    quat[:, elbow] = quat_mul(quat[:, elbow], np.stack([np.cos(half), np.sin(half), zero, zero], axis=1))
    return dataclasses.replace(dance, root_pos=root + share[:, None] * [0.6, 0.1, 0.0], local_quat=quat)


@pytest.mark.parametrize("lack", [0.0, 0.5])
def test_cycles_go_on_from_where_the_last_one_ended(dance: SkeletonMotion, lack: float):
    once = turning(dance, lack)
    steps = once.num_frames - 1
    thrice = repeat_captured(once, 3)
    assert thrice.num_frames == 3 * steps + 1
    pos = thrice.forward_kinematics()[0]
    turn = np.array([[np.cos(0.5), -np.sin(0.5), 0.0], [np.sin(0.5), np.cos(0.5), 0.0], [0.0, 0.0, 1.0]])
    for cycle in (1, 2):  # the same moves, seen from where each cycle begins
        before, now = (pos[c * steps : (c + 1) * steps + 1] for c in (cycle - 1, cycle))
        level = [1.0, 1.0, 0.0]
        np.testing.assert_allclose(now - now[0, 0] * level, (before - before[0, 0] * level) @ turn.T, atol=1e-9)
    jumps = np.linalg.norm(np.diff(pos, axis=0), axis=-1).max(axis=1)
    assert jumps[steps - 1 : steps + 2].max() < 1.5 * np.sort(jumps)[-10], "no jump at the seam"
    np.testing.assert_allclose(thrice.root_pos[: steps // 2], once.root_pos[: steps // 2])
    np.testing.assert_array_equal(repeat_captured(once, 1).local_quat, once.local_quat)


def test_what_does_not_loop_is_not_repeated(dance: SkeletonMotion):
    with pytest.raises(InputError, match=r"LeftForeArm turns by 52 degrees and the root moves by 0 cm"):
        repeat_captured(turning(dance, 0.9), 2)
    with pytest.raises(InputError, match="0 cycles"):
        repeat_captured(turning(dance), 0)


def test_cycles_of_a_file_are_retargeted_together(shared_data):
    """DeepMimic's walk lacks half a radian of a shoulder; and a robot's motion that loops goes on by itself."""
    robot, said = load_robot("humanoid"), []
    path = str(shared_data / "motions" / "deepmimic" / "motions" / "humanoid3d_walk.txt")
    (motion,), (report,) = read_motions([path], robot, said.append, cycles=2)
    assert motion.num_frames == 2 * 38 + 1
    assert report is not None
    assert report.passed
    with pytest.raises(InputError, match="no loop"):
        read_motions([str(CLIPS / "walk.npz")], robot, said.append, cycles=2)
