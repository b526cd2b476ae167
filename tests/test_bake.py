"""Baking back: a dance whose skeleton has the robot's proportions returns as it was; another body's keeps its directions."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mimic.robots import load_robot
from motions.clips import demo_bvh, shipped_clips
from motions.errors import InputError
from motions.formats import read_bvh, write_bvh
from motions.kinematics import Body, forward_kinematics
from motions.motion import Motion, load_motion
from motions.rotations import quat_angle
from motions.skeleton import Skeleton, SkeletonMotion
from retarget.bake import bake
from retarget.limbs import reach, swing
from retarget.mapping import map_source
from retarget.pipeline import rig_of
from retarget.quality import world_points

BONES = [(s + a, s + b) for s in ("l_", "r_") for a, b in (
    ("thigh", "shank"), ("shank", "foot"), ("upper_arm", "forearm"), ("forearm", "hand"),
)]  # fmt: skip


@pytest.fixture(scope="module")
def body() -> Body:
    return load_robot("humanoid").body


@pytest.fixture(scope="module")
def source() -> SkeletonMotion:
    return read_bvh(demo_bvh())


@pytest.fixture(scope="module")
def dance() -> Motion:
    return load_motion(shipped_clips()[demo_bvh().stem]).trimmed(0.0, 3.0)


@pytest.fixture(scope="module")
def baked(dance, body, source) -> SkeletonMotion:
    return bake(dance, body, source)


def directions(motion: SkeletonMotion) -> np.ndarray:
    """Unit directions (F, 8, 3) of the limb bones."""
    pos, roles = motion.forward_kinematics()[0], map_source(motion.skeleton)
    bones = np.stack([pos[:, roles[b]] - pos[:, roles[a]] for a, b in BONES], axis=1)
    return bones / np.linalg.norm(bones, axis=-1, keepdims=True)


def robots_directions(motion: Motion, body: Body) -> np.ndarray:
    rig = rig_of(body)
    joints = world_points(rig, motion.qpos)["joints"]
    bones = np.stack([joints[:, rig.role(b)] - joints[:, rig.role(a)] for a, b in BONES], axis=1)
    return bones / np.linalg.norm(bones, axis=-1, keepdims=True)


def degrees_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip(np.sum(a * b, axis=-1), -1.0, 1.0)))


def resized(source: SkeletonMotion, legs: float, rest: float) -> SkeletonMotion:
    """The same animation on a body with longer legs, and all else of another size."""
    offsets = source.skeleton.offsets * rest
    for name in source.skeleton.joint_names:
        if any(part in name for part in ("Leg", "Foot", "Toe")) and "UpLeg" not in name:
            j = source.skeleton.index(name)
            offsets[j] = source.skeleton.offsets[j] * legs
    skeleton = replace(source.skeleton, offsets=offsets)
    pos = source.root_pos * legs
    return replace(source, skeleton=skeleton, root_pos=pos)


def test_a_dance_comes_back_as_it_was(baked, source, dance):
    assert baked.skeleton.joint_names == source.skeleton.joint_names
    np.testing.assert_array_equal(baked.skeleton.offsets, source.skeleton.offsets)
    assert baked.fps == source.fps
    frames = baked.num_frames
    assert frames == dance.num_frames
    # joint by joint: twist too, which bone directions do not show
    angle = np.degrees(quat_angle(baked.local_quat, source.local_quat[:frames]))
    assert angle.mean() < 2.0
    assert angle.mean(axis=0).max() < 8.0
    assert degrees_between(directions(baked), directions(source)[:frames]).mean() < 1.5
    pos, want = baked.forward_kinematics()[0], source.forward_kinematics()[0][:frames]
    feet = [source.skeleton.index(name) for name in source.skeleton.joint_names if name.endswith("Foot")]
    assert np.linalg.norm(pos[:, feet] - want[:, feet], axis=-1).mean() < 0.02


@pytest.mark.parametrize(("legs", "rest"), [(1.3, 1.3), (0.8, 1.0)])
def test_another_body_takes_the_robots_directions(dance, body, source, legs, rest):
    person = resized(source, legs, rest)
    result = bake(dance, body, person)
    error = degrees_between(directions(result), robots_directions(dance, body))
    assert error[:, [2, 3, 6, 7]].max() < 0.1  # arms exactly
    assert error.mean() < 4.0  # legs reach for the ankles
    pos, roles = result.forward_kinematics()[0], map_source(result.skeleton)
    robot = world_points(rig_of(body), dance.qpos)["joints"]
    rig = rig_of(body)
    growth = float(result.notes[0].split("grows by ")[1].split(",")[0])
    for side in ("l_", "r_"):
        at, of = pos[:, roles[side + "foot"]], robot[:, rig.role(side + "foot")]
        steps = np.linalg.norm(np.diff(of, axis=0), axis=1) * dance.fps < 0.02  # the robot's foot stands
        assert steps.sum() > 20
        assert (np.linalg.norm(np.diff(at, axis=0), axis=1)[steps] * dance.fps).max() < 0.05 * growth + 0.02
        assert np.ptp(at[1:][steps, 2] - growth * of[1:][steps, 2]) < 0.02  # as high above the ground as the robot's


def test_baked_bvh_read_again(baked, tmp_path):
    write_bvh(baked, tmp_path / "dance.bvh")
    again = read_bvh(tmp_path / "dance.bvh", scale=0.01)
    assert again.skeleton.joint_names == baked.skeleton.joint_names
    assert quat_angle(again.local_quat, baked.local_quat).max() < 1e-5
    np.testing.assert_allclose(again.root_pos, baked.root_pos, atol=1e-6)


def test_root_motion_moves_the_root_and_nothing_else(baked, dance, body, source):
    rooted = bake(dance, body, source, root_motion="root")
    assert rooted.skeleton.joint_names == ("root", *source.skeleton.joint_names)
    assert any("'root' added above" in note for note in rooted.notes)
    pos, quat = rooted.forward_kinematics()
    want_pos, want_quat = baked.forward_kinematics()
    np.testing.assert_allclose(pos[:, 1:], want_pos, atol=1e-9)  # the same in the world
    assert quat_angle(quat[:, 1:], want_quat).max() < 1e-6
    np.testing.assert_array_equal(rooted.root_pos[:, 2], 0.0)
    np.testing.assert_allclose(rooted.root_pos[:, :2], want_pos[:, 0, :2], atol=1e-9)
    np.testing.assert_allclose(rooted.local_quat[:, 0, 1:3], 0.0, atol=1e-9)  # turns about the vertical only
    facing = Rotation.from_quat(forward_kinematics(body, dance.qpos)[1][:, 1], scalar_first=True).apply([1.0, 0, 0])
    root_facing = Rotation.from_quat(rooted.local_quat[:, 0], scalar_first=True).apply([1.0, 0, 0])
    flat = facing[:, :2] / np.linalg.norm(facing[:, :2], axis=1, keepdims=True)
    assert degrees_between(flat, root_facing[:, :2]).max() < 0.1


def test_a_root_above_the_hips_is_used(dance, body, source, baked):
    """A skeleton with a joint above the hips: root motion goes there, hips motion leaves it alone."""
    names, parents = source.skeleton.joint_names, source.skeleton.parents
    offsets = np.concatenate([[[0.0, 0, 0]], source.skeleton.offsets])
    offsets[1] = [0.0, 0.0, 0.9]
    skeleton = Skeleton(("Reference", *names), (-1, *(p + 1 for p in parents)), offsets, source.skeleton.end_sites)
    frames = source.num_frames
    translations = np.tile(offsets, (frames, 1, 1))
    translations[:, 1] = source.root_pos
    quat = np.concatenate([np.tile([1.0, 0, 0, 0], (frames, 1, 1)), source.local_quat], axis=1)
    person = replace(source, skeleton=skeleton, local_quat=quat, root_pos=np.zeros((frames, 3)), translations=translations)
    for policy in ("hips", "root"):
        result = bake(dance, body, person, root_motion=policy)
        assert result.skeleton.joint_names == skeleton.joint_names
        np.testing.assert_allclose(result.forward_kinematics()[0][:, 1:], baked.forward_kinematics()[0], atol=1e-6)
        assert (np.ptp(result.root_pos, axis=0).max() > 0.05) == (policy == "root")


def test_in_place_does_not_travel(baked, dance, body, source):
    still = bake(dance, body, source, root_motion="in_place")
    np.testing.assert_allclose(np.ptp(still.root_pos[:, :2], axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(still.root_pos[:, 2], baked.root_pos[:, 2], atol=1e-9)
    assert quat_angle(still.local_quat, baked.local_quat).max() < 1e-6
    assert still.skeleton.joint_names == source.skeleton.joint_names


def test_a_skeleton_alone_stands_as_its_rest_pose(baked, dance, body, source):
    result = bake(dance, body, source.skeleton)
    assert result.fps == dance.fps
    assert degrees_between(directions(result), directions(baked)).mean() < 3.0


def test_the_rate_can_be_asked_for(dance, body, source):
    assert bake(dance, body, source, fps=24.0).num_frames == int(3.0 * 24) + 1


def test_refusals(dance, body, source):
    with pytest.raises(InputError, match=r"unknown root motion 'hip'\. Did you mean 'hips'"):
        bake(dance, body, source, root_motion="hip")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="other joints than robot"):
        bake(replace(dance, joint_names=tuple(f"j{i}" for i in range(len(dance.joint_names)))), body, source)
    lying = replace(source.skeleton, offsets=source.skeleton.offsets[:, [2, 1, 0]])
    with pytest.raises(InputError, match="does not stand upright"):
        bake(dance, body, lying)
    limbless = Skeleton(("Hips", "Spine"), (-1, 0), np.array([[0, 0, 0], [0, 0, 0.5]]))
    with pytest.raises(InputError, match="no joint found for"):
        bake(dance, body, limbless)


# The geometry below it


def test_swing_turns_one_vector_to_the_other_the_shortest_way():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200, 3))
    b[0], b[1] = a[0], -a[1]
    turn = Rotation.from_quat(swing(a, b), scalar_first=True)
    unit = lambda v: v / np.linalg.norm(v, axis=-1, keepdims=True)  # noqa: E731
    np.testing.assert_allclose(turn.apply(unit(a)), unit(b), atol=1e-7)
    np.testing.assert_allclose(np.degrees(turn.magnitude()), degrees_between(unit(a), unit(b)), atol=1e-4)


def test_a_leg_reaches_its_ankle_or_points_to_it():
    rng = np.random.default_rng(0)
    hip, knee = rng.normal(size=(2, 300, 3))
    ankle = hip + rng.uniform(0.05, 1.0, size=(300, 1)) * (v := rng.normal(size=(300, 3))) / np.linalg.norm(v, axis=1)[:, None]
    thigh, shank = reach(hip, ankle, (0.45, 0.4), knee)
    end = hip + 0.45 * thigh + 0.4 * shank
    distance = np.linalg.norm(ankle - hip, axis=1)
    within = (distance < 0.84) & (distance > 0.06)
    np.testing.assert_allclose(end[within], ankle[within], atol=1e-9)
    short = distance > 0.85
    way = (ankle - hip) / distance[:, None]
    np.testing.assert_allclose((end - hip)[short], 0.999 * 0.85 * way[short], atol=1e-9)
    normal = np.cross(way, knee)
    np.testing.assert_allclose(np.sum(normal * thigh, axis=1), 0.0, atol=1e-9)
    assert (np.sum(thigh * (knee - way * np.sum(knee * way, axis=1, keepdims=True)), axis=1) >= 0).all()
