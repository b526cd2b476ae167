"""Retargeting as a whole: a known motion is recovered, limits are hard, feet stand still on the ground."""

import mujoco
import numpy as np
import pytest

from mimic.robots import load_robot
from motions.clips import demo_bvh, shipped_clips
from motions.errors import InputError
from motions.formats import read_amc, read_bvh
from motions.kinematics import Body, forward_kinematics
from motions.motion import Motion, load_motion
from motions.rotations import quat_angle
from motions.skeleton import SkeletonMotion
from retarget import ground, retarget
from retarget.capture import capture
from retarget.contacts import detect_contacts
from retarget.mapping import map_source
from retarget.pipeline import rig_of
from retarget.quality import world_points
from retarget.scaling import build_targets

FIRST_S = 2.4  # of the demo clip is enough: it steps, turns and kicks


@pytest.fixture(scope="module")
def body() -> Body:
    return load_robot("humanoid").body


@pytest.fixture(scope="module")
def g1(shared_robots) -> Body:
    path = shared_robots / "unitree_g1" / "nomesh" / "g1_mjlab_nomesh.xml"
    return Body("g1", mujoco.MjModel.from_xml_path(str(path)), ("left_ankle_roll_link", "right_ankle_roll_link"))


def cut(source: SkeletonMotion, frames: int) -> SkeletonMotion:
    return SkeletonMotion(
        source.name, source.skeleton, source.fps, source.root_pos[:frames], source.local_quat[:frames], source.source
    )


@pytest.fixture(scope="module")
def known(body) -> Motion:
    """A motion of the humanoid of which a BVH on a plain skeleton exists."""
    return load_motion(shipped_clips()[demo_bvh().stem]).trimmed(0.0, FIRST_S)


@pytest.fixture(scope="module")
def recovered(body, known):
    source = cut(read_bvh(demo_bvh()), known.num_frames)
    return retarget(source, body, fps=known.fps)


def lowest_points(body: Body, motion: Motion) -> np.ndarray:
    """Height of the lowest corner of both feet's boxes, (F, 2), by C MuJoCo."""
    model, data = body.model, mujoco.MjData(body.model)
    corners = np.stack(np.meshgrid(*[[-1, 1]] * 3), axis=-1).reshape(-1, 3)
    heights = []
    for q in motion.qpos:
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        row = []
        for name in body.foot_bodies:
            geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] == model.body(name).id]
            ends = [data.geom_xpos[g] + corners * model.geom_size[g] @ data.geom_xmat[g].reshape(3, 3).T for g in geoms]
            row.append(min(e[:, 2].min() for e in ends))
        heights.append(row)
    return np.array(heights)


def test_a_known_motion_is_recovered(body, known, recovered):
    motion, report = recovered
    assert report.converged
    xpos, xquat = forward_kinematics(body, motion.qpos)
    want_pos, want_quat = forward_kinematics(body, known.qpos)
    distance = np.linalg.norm(xpos[:, 1:] - want_pos[:, 1:], axis=-1)
    assert distance.mean() < 0.02
    assert np.percentile(distance, 99) < 0.06
    limbs = [n for n in body.body_names[1:] if n.endswith(("thigh", "shin", "upper_arm", "forearm", "pelvis", "chest"))]
    angle = quat_angle(xquat, want_quat)[:, body.body_ids(tuple(limbs))]
    assert np.median(angle) < np.deg2rad(4.0)


def test_quality_of_the_result(recovered):
    _, report = recovered
    assert report.fidelity > 95.0
    assert [report.joint_feasibility, report.non_floating] == [100.0] * 2
    assert [report.non_penetration, report.non_skating] == [100.0] * 2
    assert report.worst_penetration_m < 0.005
    assert report.max_joint_jump_rad < 0.35
    assert report.foot_slide_mm_s < 5.0


def test_joint_limits_are_hard(body, recovered):
    joints = recovered[0].qpos[:, 7:]
    assert (joints >= body.joint_range[:, 0]).all()
    assert (joints <= body.joint_range[:, 1]).all()


def test_feet_are_on_the_ground_by_mujocos_own_geometry(body, recovered):
    heights = lowest_points(body, recovered[0])
    assert heights.min() > -0.006
    assert (heights.min(axis=1) < 0.006).mean() > 0.9  # one foot at least carries the body


def test_ground_repairs_a_floating_sliding_motion(body, known):
    spoilt = known.qpos.copy()
    spoilt[:, 2] += 0.04
    spoilt[:, 0] += 0.08 * np.arange(len(spoilt)) / known.fps  # 80 mm/s of drift
    fixed, report = ground(Motion("spoilt", known.robot, known.fps, spoilt, known.joint_names), body)
    heights = lowest_points(body, fixed)
    assert heights.min() > -0.006
    assert (heights.min(axis=1) < 0.006).mean() > 0.9
    assert report.non_skating == 100.0
    assert report.foot_slide_mm_s < 5.0
    assert np.abs(fixed.qpos[:, 7:] - spoilt[:, 7:]).mean() < 0.05


def test_ground_refuses_another_robots_motion(body):
    motion = Motion("other", "r", 50.0, np.tile([0, 0, 1, 1, 0, 0, 0, 0.0], (5, 1)), ("knee",))
    with pytest.raises(InputError, match="has the joints knee"):
        ground(motion, body)


@pytest.mark.parametrize("fps", [0.0, -5.0, float("nan")])
def test_a_senseless_rate_is_refused(body, fps):
    with pytest.raises(InputError, match="expected a number above 0"):
        retarget(cut(read_bvh(demo_bvh()), 50), body, fps=fps)


def test_a_clip_too_short_is_refused(body):
    with pytest.raises(InputError, match="fewer than 3 frames"):
        retarget(cut(read_bvh(demo_bvh()), 4), body, fps=10.0)


def test_source_rate_above_sixty_is_halved_or_so(body):
    source = read_bvh(demo_bvh())
    fast = SkeletonMotion("fast", source.skeleton, 120.0, source.root_pos[:241], source.local_quat[:241])
    motion, _ = retarget(fast, body, iterations=1)
    assert motion.fps == 60.0
    assert motion.num_frames == 121


def test_one_capture_in_both_formats_gives_the_same_targets(body, shared_data):
    """The BVH leaves out a bone between chest and neck, so only what the solver follows must agree."""
    pair = shared_data / "motions" / "cmu_asfamc" / "fairmotion_pair"
    rig, both = rig_of(body), []
    for source in (read_amc(pair / "01_01_first600.amc"), read_bvh(pair / "01_01_first600.bvh")):
        human = capture(cut(source, 600), map_source(source.skeleton), 50.0)
        both.append(build_targets(human, detect_contacts(human), rig)[0])
    for name in ("bone_dir", "hip_centre", "frame_rot", "ankle", "stand"):
        np.testing.assert_allclose(getattr(both[0], name), getattr(both[1], name), atol=2e-4, err_msg=name)


@pytest.mark.parametrize("robot", ["humanoid", pytest.param("g1", marks=pytest.mark.slow)])
def test_one_capture_in_both_formats_gives_the_same_motion(robot, body, g1, shared_data):
    """What single precision makes of targets that differ in the sixth digit: the goal is a thousandth of a radian."""
    pair = shared_data / "motions" / "cmu_asfamc" / "fairmotion_pair"
    sources = read_amc(pair / "01_01_first600.amc"), read_bvh(pair / "01_01_first600.bvh")
    joints = [retarget(source, {"humanoid": body, "g1": g1}[robot])[0].qpos[:, 7:] for source in sources]
    np.testing.assert_allclose(*joints, rtol=0.0, atol=1e-3)


def test_run_on_g1(g1, shared_data):
    source = read_amc(shared_data / "motions" / "cmu_asfamc" / "09_06-run.amc")
    motion, report = retarget(source, g1)
    assert motion.fps == 60.0
    assert report.fidelity > 95.0
    assert min(report.joint_feasibility, report.non_floating, report.non_penetration, report.non_skating) > 95.0
    rig = rig_of(g1)
    hips = world_points(rig, motion.qpos)["joints"][:, rig.role("pelvis")]
    speed = np.linalg.norm(hips[-1, :2] - hips[0, :2]) / motion.duration_s
    human, roles = source.forward_kinematics()[0], map_source(source.skeleton)
    travelled = human[-1, roles["pelvis"], :2] - human[0, roles["pelvis"], :2]
    assert speed == pytest.approx(report.scale * np.linalg.norm(travelled) / ((source.num_frames - 1) / source.fps), rel=0.05)
