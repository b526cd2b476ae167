"""The five percentages and the worst cases on motions made by hand, whose answers are known."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from mimic.robots import load_robot
from motions.clips import shipped_clips
from motions.motion import Motion, load_motion
from retarget.pipeline import assess, rig_of
from retarget.quality import measure, quality_table, target_joints, world_points
from retarget.scaling import Targets

FRAMES = 20


@pytest.fixture(scope="module")
def rig():
    return rig_of(load_robot("humanoid").body)


def standing(rig) -> np.ndarray:
    """qpos (20, nq) of the zero pose with its soles exactly on the ground."""
    qpos = np.zeros((FRAMES, rig.body.model.nq))
    qpos[:, 3] = 1.0
    sole = world_points(rig, qpos)["sole"]
    qpos[:, 2] = -(sole[..., 2] - rig.sole.radius).min()
    return qpos


def wanted(rig, qpos: np.ndarray) -> Targets:
    """Targets that exactly this motion fulfils, both feet flat on the ground in every frame."""
    joints = world_points(rig, qpos)["joints"]
    bone = np.stack([joints[:, rig.role(b)] - joints[:, rig.role(a)] for a, b in rig.bones], axis=1)
    ones = np.ones(FRAMES)
    return Targets(
        bone_dir=bone / np.linalg.norm(bone, axis=-1, keepdims=True),
        bone_weight=np.ones(bone.shape[:2]),
        hip_centre=qpos[:, :3] + rig.hip_centre,
        frame_rot=np.tile(np.eye(3), (FRAMES, len(rig.frame_roles), 1, 1)),
        ankle=joints[:, [rig.role("l_foot"), rig.role("r_foot")]],
        stand=np.ones((FRAMES, 4)),
        support=np.ones((FRAMES, 4)),
        flight=0.0 * ones,
        rest=qpos[:, 7:],
        stiffness=np.ones((FRAMES, rig.chain.num_joints)),
        start=qpos[:, 7:],
        valid=ones,
    )


def report_of(rig, qpos: np.ndarray):
    motion = Motion("hand-made", "humanoid", 50.0, qpos, rig.body.joint_names)
    return measure(motion, rig, wanted(rig, standing(rig)))


def test_a_perfect_motion_is_perfect(rig):
    report = report_of(rig, standing(rig))
    assert [report.fidelity, report.joint_feasibility, report.non_floating] == [100.0] * 3
    assert [report.non_penetration, report.non_skating] == [100.0] * 2
    assert report.worst_penetration_m == pytest.approx(0.0, abs=1e-9)
    assert report.limit_violations == 0
    assert report.keypoint_error_mm == pytest.approx(0.0, abs=1e-6)


def test_targets_walk_along_the_robots_own_bones(rig):
    qpos = standing(rig)
    np.testing.assert_allclose(target_joints(rig, wanted(rig, qpos)), world_points(rig, qpos)["joints"], atol=1e-9)


def test_lifted_and_sunk_frames_are_counted(rig):
    qpos = standing(rig)
    qpos[2:7, 2] += 0.02  # 5 of 20 frames float
    qpos[10:12, 2] -= 0.03  # 2 of 20 sink
    report = report_of(rig, qpos)
    assert report.non_floating == pytest.approx(75.0)
    assert report.non_penetration == pytest.approx(90.0)
    assert report.worst_penetration_m == pytest.approx(0.03)


def test_sliding_frames_are_counted(rig):
    qpos = standing(rig)
    qpos[5:, 0] += 0.003 * np.minimum(np.arange(1, FRAMES - 4), 4)  # four steps of 3 mm at 50 Hz: 150 mm/s
    report = report_of(rig, qpos)
    assert report.non_skating == pytest.approx(100.0 * 15 / 19)
    assert report.foot_slide_mm_s == pytest.approx(0.0)


def test_broken_limits_jumps_and_speed_are_counted(rig):
    qpos = standing(rig)
    knee = rig.body.joint_names.index("left_knee")
    qpos[8, 7 + knee] = rig.body.joint_range[knee, 1] + 0.1
    report = report_of(rig, qpos)
    assert report.limit_violations == 1
    assert report.max_joint_jump_rad == pytest.approx(qpos[8, 7 + knee])
    assert report.joint_feasibility == pytest.approx(90.0)  # frames 7 and 8: the jump there and back


def test_a_misplaced_limb_loses_fidelity(rig):
    qpos = standing(rig)
    qpos[:, 7 + rig.body.joint_names.index("left_elbow")] = 0.5
    report = report_of(rig, qpos)
    assert report.fidelity == pytest.approx(100.0 * (1.0 - 1.0 / len(rig.bones)))  # the left forearm, and nothing else


def test_report_becomes_json_and_a_table(rig):
    report = report_of(rig, standing(rig))
    assert report.to_dict()["name"] == "hand-made"
    table = quality_table([report, report]).splitlines()
    assert len(table) == 3
    page = (Path(__file__).resolve().parents[1] / "docs" / "concepts" / "retargeting.md").read_text()
    explained = [line.split("|")[1].strip().removesuffix(" %") for line in page.splitlines() if line.startswith("|")]
    columns = [head.strip().removesuffix(" %") for head in re.split(r"  +", table[0].strip())]
    assert [head for head in columns if head not in explained] == ["clip", "robot", "frames"]


@pytest.mark.parametrize("name", shipped_clips())
def test_what_was_retargeted_here_passes_when_it_comes_back_as_a_file(name):
    """Stances are found again in the robot's motion alone."""
    motion = load_motion(shipped_clips()[name])
    assert assess(motion, load_robot(motion.robot).body).passed


def test_a_walk_that_slides_as_a_whole_fails():
    motion = load_motion(shipped_clips()["walk"])
    qpos = motion.qpos.copy()
    qpos[:, 0] += 0.3 * np.arange(len(qpos)) / motion.fps
    report = assess(dataclasses.replace(motion, qpos=qpos), load_robot(motion.robot).body)
    assert report.non_skating < 50.0
    assert not report.passed
