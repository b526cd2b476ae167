"""Joint positions without rotations: the climb, and skeletons of known rotation turned into points and back."""

import json
from itertools import pairwise

import numpy as np
import pytest

from motions.errors import InputError
from motions.formats import read_motion_file
from motions.formats.amass import BODY_JOINTS, BONES
from motions.formats.bvh import read_bvh
from motions.formats.positions import ORDERS, read_positions
from motions.formats.tree import rigid_tree, tree_order
from motions.rotations import quat_angle
from retarget.capture import capture
from retarget.mapping import ROBOT_ROLES, map_source


def test_the_climb(shared_data):
    path = shared_data / "motions/climb_joint_positions/mocap_climb_seq_4_joint_positions.npy"
    with pytest.raises(InputError, match="holds no frame rate"):
        read_motion_file(path)
    motion = read_motion_file(path, fps=30.0).motion
    names, stored = motion.skeleton.joint_names, np.load(path)
    (label, order) = next((k, v) for k, v in ORDERS.items() if len(v) == 53)
    assert any(label in note for note in motion.notes)
    assert any("z taken as up" in note for note in motion.notes)
    assert any("taken as metres" in note for note in motion.notes)
    pos, _ = motion.forward_kinematics()
    np.testing.assert_allclose(pos[:, [names.index(n) for n in order]], stored, atol=1e-5)
    assert motion.translations is None
    parent = {n: names[p] if p >= 0 else None for n, p in zip(names, motion.skeleton.parents)}
    chains = (
        "Hips Spine Spine1 Neck Head",
        "Spine1 LeftShoulder LeftArm LeftForeArm LeftHand",
        "Hips RightUpLeg RightLeg RightFoot",
    )
    for chain in chains:
        words = chain.split()
        assert all(parent[child] == near for near, child in pairwise(words))
    roles = map_source(motion.skeleton)
    assert all(role in roles for role in ROBOT_ROLES)
    taken = capture(motion, roles, 30.0)
    assert taken.leg_length == pytest.approx(0.832, abs=0.005)
    assert taken.upright["pelvis"][0, 0] > 0.95  # faces +x at rest


def walk(shared_data):
    return read_bvh(shared_data / "motions/cmu_bvh/12_01_walk.bvh")


def test_a_walk_as_points_keeps_its_pelvis_and_places(shared_data, tmp_path):
    source = walk(shared_data)
    pos, quat = source.forward_kinematics()
    file_pos = 100.0 * pos[..., [1, 2, 0]]  # centimetres, y up
    np.save(tmp_path / "walk.npy", file_pos.astype(np.float32))
    names = {"joint_names": source.skeleton.joint_names, "parents": source.skeleton.parents}
    (tmp_path / "walk.names.json").write_text(json.dumps(names))
    motion = read_motion_file(tmp_path / "walk.npy", fps=120.0).motion
    assert any("y taken as up" in note for note in motion.notes)
    assert any("taken as centimetres" in note for note in motion.notes)
    order = [motion.skeleton.index(name) for name in source.skeleton.joint_names]
    ours, turned = motion.forward_kinematics()
    np.testing.assert_allclose(ours[:, order], pos, atol=2e-3)
    hips = turned[:, 0]
    relative = quat_angle(np.broadcast_to(hips[:1], hips.shape), hips) - quat_angle(
        np.broadcast_to(quat[:1, 0], hips.shape), quat[:, 0]
    )
    assert np.abs(relative).max() < np.deg2rad(3.0)  # the pelvis turns as in the source


def test_names_without_parents_find_the_limbs(shared_data, tmp_path):
    source = walk(shared_data)
    keep = [j for j, name in enumerate(source.skeleton.joint_names) if name not in source.skeleton.end_sites]
    pos = source.forward_kinematics()[0][:, keep]
    np.save(tmp_path / "w.npy", pos)
    (tmp_path / "names.txt").write_text("\n".join(source.skeleton.joint_names[j] for j in keep))
    motion = read_positions(tmp_path / "w.npy", 120.0, tmp_path / "names.txt")
    roles = map_source(motion.skeleton)
    assert all(role in roles for role in ROBOT_ROLES)
    order = [motion.skeleton.index(source.skeleton.joint_names[j]) for j in keep]
    np.testing.assert_allclose(motion.forward_kinematics()[0][:, order], pos, atol=5e-3)


def test_stretching_bones_are_kept_in_place(tmp_path):
    """Points that no rigid skeleton can follow: every joint stays where the file has it."""
    rng = np.random.default_rng(0)
    pos = np.array([[0, 0, 0.9], [0.0, 0.1, 0.9], [0, -0.1, 0.9], [0, 0.1, 0.4], [0, -0.1, 0.4], [0, 0, 1.5]])
    pos = pos + rng.normal(scale=0.03, size=(20, 6, 3))
    np.save(tmp_path / "p.npy", pos)
    (tmp_path / "p.names.txt").write_text("pelvis, left_hip, right_hip\nleft_foot, right_foot, head\n")
    motion = read_positions(tmp_path / "p.npy", 30.0)
    assert motion.translations is not None
    order = [motion.skeleton.index(n) for n in ("pelvis", "left_hip", "right_hip", "left_foot", "right_foot", "head")]
    np.testing.assert_allclose(motion.forward_kinematics()[0][:, order], pos, atol=1e-9)


def test_the_rigid_tree_of_a_folding_chain():
    """Three links of fixed length that turn at random: neighbours are linked, whatever the order of the points."""
    rng = np.random.default_rng(1)
    steps = rng.normal(size=(200, 3, 3))
    steps /= np.linalg.norm(steps, axis=-1, keepdims=True)
    chain = np.concatenate([np.zeros((200, 1, 3)), np.cumsum(steps, axis=1)], axis=1)
    assert rigid_tree(chain[:, [2, 0, 3, 1]], 1) == [3, -1, 0, 1]
    assert tree_order([3, -1, 0, 1]) == [1, 3, 0, 2]
    assert tree_order([1, 0, -1]) == [2]


def test_smpls_order_is_recognised_without_names(tmp_path):
    from test_formats_amass import plain_chain, standing, stated_rest

    rotvec, trans = standing(frames=8, joints=22)
    np.save(tmp_path / "h.npy", plain_chain(rotvec, trans, stated_rest(1.7)[:22])[..., [0, 2, 1]] * [1, 1, -1])
    motion = read_positions(tmp_path / "h.npy", 20.0)
    assert set(motion.skeleton.joint_names) == set(tuple(BONES)[:BODY_JOINTS])
    assert any("HumanML3D" in note for note in motion.notes)


def good(tmp_path):
    pos = np.random.default_rng(0).normal(size=(9, 4, 3))
    np.save(tmp_path / "p.npy", pos)
    return pos


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (None, "p.npy: no joint names, and the 4 joints fit no known order.*--skeleton"),
        ("a\nb\n", "p.names.json: not JSON"),
        ('{"a": 1}', "p.names.json: expected a list of joint names"),
        ('["a", "b"]', "2 joint names, but p.npy has 4 joints"),
        ('["a", "b", "b", "d"]', "more than once: b"),
        ('{"joint_names": ["a", "b", "c", "d"], "parents": [-1, 0, 0]}', "3 parents for 4 names"),
        ('{"joint_names": ["a", "b", "c", "d"], "parents": [-1, 0, 3, 2]}', "the parents are no tree"),
        ('{"joint_names": ["a", "b", "c", "d"], "parents": [1, 2, 3, 0]}', "the parents are no tree"),
        ('{"joint_names": ["a", "b", "c", "d"], "parents": "x"}', "parents must be a list"),
    ],
)
def test_broken_names_say_what_is_wrong(tmp_path, names, message):
    good(tmp_path)
    if names is not None:
        (tmp_path / "p.names.json").write_text(names)
    with pytest.raises(InputError, match=message):
        read_motion_file(tmp_path / "p.npy", fps=30.0)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 4)), r"the array is float64 of shape \(5, 4\)"),
        (np.zeros((5, 4, 3), dtype=complex), "is complex128 .*, expected numbers"),
        (np.full((5, 4, 3), np.nan), r"non-finite value at index \(0, 0, 0\)"),
        (np.zeros((0, 4, 3)), "0 frames"),
        (np.zeros((5, 53, 3)), "fit no known order"),
    ],
)
def test_broken_arrays_say_what_is_wrong(tmp_path, array, message):
    np.save(tmp_path / "p.npy", array)
    with pytest.raises(InputError, match=rf"p.npy: .*{message}"):
        read_motion_file(tmp_path / "p.npy", fps=30.0)
