"""Cutting, speeding and mirroring captured skeletons, judged by where their joints go."""

import dataclasses

import numpy as np
import pytest

from motions.clips import demo_bvh
from motions.edit import cut_captured, mirror_captured, speed_captured
from motions.errors import InputError
from motions.formats import read_amc, read_bvh, read_motion_file, write_bvh
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
