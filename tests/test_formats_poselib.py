"""poselib's motions: real ones against Isaac's own body positions and DeepMimic's clip of the same motion; broken ones."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motions.errors import InputError
from motions.formats import read_motion_file
from motions.formats.deepmimic import read_deepmimic
from motions.formats.poselib import read_poselib
from retarget.mapping import ROBOT_ROLES, map_source


@pytest.mark.parametrize(("name", "frames"), [("walk", 154), ("run", 82), ("dance", 902)])
def test_bodies_are_where_isaac_has_them(shared_data, name, frames):
    motion = read_motion_file(shared_data / f"motions/isaacgym_amp/amp_humanoid_{name}.npy").motion
    assert (motion.num_frames, motion.fps) == (frames, 60.0)
    with np.load(shared_data / f"motions/isaaclab_amp_npz/humanoid_{name}.npz") as isaac:
        assert tuple(isaac["body_names"]) == motion.skeleton.joint_names
        pos, quat = motion.forward_kinematics()
        np.testing.assert_allclose(pos, isaac["body_positions"], atol=1e-6)
        np.testing.assert_allclose(np.abs(np.sum(quat * isaac["body_rotations"], axis=-1)), 1.0, atol=1e-6)
    assert all(role in map_source(motion.skeleton) for role in ROBOT_ROLES)


def test_the_backflip_is_deepmimics(shared_data):
    """The same clip in two formats: other axes, other quaternion order, other names, the same places."""
    theirs = read_poselib(shared_data / "motions/isaacgym_amp/amp_humanoid_backflip.npy")
    ours = read_deepmimic(shared_data / "motions/deepmimic/motions/humanoid3d_backflip.txt")
    assert theirs.fps == ours.fps == 16.0
    pairs = {"pelvis": "root", "torso": "chest", "head": "neck"} | {
        f"{side}_{a}": f"{side}_{b}"
        for side in ("left", "right")
        for a, b in (("thigh", "hip"), ("shin", "knee"), ("foot", "ankle"), ("upper_arm", "shoulder"), ("lower_arm", "elbow"))
    }
    a, b = theirs.forward_kinematics()[0], ours.forward_kinematics()[0]
    for name, other in pairs.items():
        difference = a[:, theirs.skeleton.index(name)] - b[:, ours.skeleton.index(other)]
        assert np.abs(difference).max() < 0.02, name


def write_poselib(path, local: bool = True, **changes) -> np.ndarray:
    """A chain of four joints standing 1.6 m tall; its global rotations (F, 4, 4) wxyz."""
    parents, frames = [-1, 0, 0, 2], 4
    own = Rotation.random(frames * 4, random_state=np.random.default_rng(0)).as_quat().reshape(frames, 4, 4)
    turn = [Rotation.from_quat(own[:, 0])]
    for j in range(1, 4):
        turn.append(turn[parents[j]] * Rotation.from_quat(own[:, j]))
    world = np.stack([r.as_quat() for r in turn], axis=1)
    arrays = {
        "rotation": {"arr": own if local else world},
        "root_translation": {"arr": np.zeros((frames, 3))},
        "skeleton_tree": {
            "node_names": ["pelvis", "head", "shin", "foot"],
            "parent_indices": {"arr": np.array(parents)},
            "local_translation": {"arr": np.array([[0, 0, 0.9], [0, 0, 0.6], [0, 0, -0.4], [0, 0, -0.4]])},
        },
        "is_local": local,
        "fps": 30,
    } | changes
    np.save(path, np.array({k: v for k, v in arrays.items() if v is not None}, dtype=object), allow_pickle=True)
    return world[..., [3, 0, 1, 2]]


@pytest.mark.parametrize("local", [True, False])
def test_rotations_relative_to_parent_or_world(tmp_path, local):
    world = write_poselib(tmp_path / "p.npy", local)
    motion = read_poselib(tmp_path / "p.npy")
    expected = Rotation.from_quat(world.reshape(-1, 4), scalar_first=True).as_matrix()
    if any("y taken as up" in note for note in motion.notes):  # a body that tumbles at random: the other axes
        turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
        expected = turn @ expected @ turn.T
    quat = motion.forward_kinematics()[1].reshape(-1, 4)
    np.testing.assert_allclose(Rotation.from_quat(quat, scalar_first=True).as_matrix(), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skeleton_tree": None}, "of no kind we read"),
        ({"skeleton_tree": {"node_names": ["a"]}}, "lacks parent_indices, local_translation"),
        ({"skeleton_tree": 3}, "lacks node_names"),
        ({"rotation": None}, "lacks rotation"),
        (
            {"rotation": {"arr": np.zeros((4, 3, 4))}},
            r"rotation is float64 of shape \(4, 3, 4\), expected numbers of shape \(any, 4, 4\)",
        ),
        ({"rotation": {"arr": np.zeros((4, 4, 4))}}, "has length 0, expected 1"),
        ({"rotation": {"arr": np.zeros((0, 4, 4))}}, "no frame"),
        ({"root_translation": {"arr": np.full((4, 3), np.inf)}}, "root_translation has a non-finite value"),
        ({"fps": 0}, "frame rate is 0"),
        ({"fps": "x"}, "fps is .*, expected numbers"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path, changes, message):
    write_poselib(tmp_path / "bad.npy", **changes)
    with pytest.raises(InputError, match=rf"bad.npy.*{message}"):
        read_motion_file(tmp_path / "bad.npy")


@pytest.mark.parametrize(
    ("names", "parents", "message"),
    [
        (["pelvis", "head", "head", "foot"], [-1, 0, 0, 2], "more than once: head"),
        (["pelvis", "head", "shin", "foot"], [-1, -1, 0, 2], "'head' .number 1. has parent -1"),
        (["pelvis", "head", "shin", "foot"], [-1, 0, 3, 2], "'shin' .number 2. has parent 3"),
    ],
)
def test_broken_trees_say_what_is_wrong(tmp_path, names, parents, message):
    tree = {"node_names": names, "parent_indices": np.array(parents), "local_translation": np.eye(4)[:, :3]}
    write_poselib(tmp_path / "bad.npy", skeleton_tree=tree)
    with pytest.raises(InputError, match=rf"bad.npy.*{message}"):
        read_motion_file(tmp_path / "bad.npy")
