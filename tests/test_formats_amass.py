"""AMASS npz files: the model's chain against scipy and against stored joints of real clips, worlds, broken files."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from motions.errors import InputError
from motions.formats import read_motion_file
from motions.formats.amass import BONES, read_amass, stated_rest
from retarget.capture import capture
from retarget.mapping import ROBOT_ROLES, map_source

CLIPS = ("APT_level1", "squat_level1_filter", "walk_level1_filter", "jump_degree_level3_filter")
NAMES = tuple(BONES)
PARENTS = [NAMES.index(BONES[name][0]) if BONES[name][0] else -1 for name in NAMES]


def plain_chain(rotvec: np.ndarray, trans: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Joint positions (F, J, 3) in the file's world: the pelvis at rest + trans, each bone turned by its parents."""
    frames, joints = rotvec.shape[:2]
    pos = np.zeros((frames, joints, 3))
    for f in range(frames):
        turn = []
        for j in range(joints):
            own, parent = Rotation.from_rotvec(rotvec[f, j]), PARENTS[j]
            turn.append(own if j == 0 else turn[parent] * own)
            pos[f, j] = trans[f] + rest[0] if j == 0 else pos[f, parent] + turn[parent].apply(rest[j] - rest[parent])
    return pos


def standing(frames: int = 5, joints: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rotation vectors and translations of a body that stands in a z-up world and moves its limbs."""
    rng = np.random.default_rng(seed)
    rotvec = rng.uniform(-0.5, 0.5, (frames, joints, 3))
    rotvec[:, 0] = (
        Rotation.from_rotvec(rng.uniform(-0.3, 0.3, (frames, 3))) * Rotation.from_euler("x", 90, degrees=True)
    ).as_rotvec()
    return rotvec, rng.uniform(-1, 1, (frames, 3))


def write_amass(path, rotvec, trans, /, **fields):
    arrays = {"trans": trans, "poses": rotvec.reshape(len(rotvec), -1), "mocap_framerate": 60.0, "betas": np.zeros(10)}
    np.savez(path, **{k: v for k, v in (arrays | {"gender": "neutral"} | fields).items() if v is not None})
    return path


# File vectors as ours, for the three worlds a file may use.
WORLDS = {
    "z": (np.eye(3), lambda p: p),
    "y": (Rotation.from_euler("x", -90, degrees=True).as_matrix(), lambda p: p[..., [2, 0, 1]]),
    "-y": (Rotation.from_euler("x", 90, degrees=True).as_matrix(), lambda p: p[..., [2, 0, 1]] * [1, -1, -1]),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("width", [66, 72, 156, 165])
def test_joints_against_a_plain_chain(tmp_path, world, width):
    turn, to_ours = WORLDS[world]
    rotvec, trans = standing(joints=width // 3)
    rotvec[:, 0] = (Rotation.from_matrix(turn) * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    motion = read_amass(write_amass(tmp_path / "a.npz", rotvec, trans))
    joints = 24 if width == 72 else 22
    assert motion.skeleton.joint_names == NAMES[:joints]
    assert any(f"{world} taken as up" in note for note in motion.notes)
    expected = to_ours(plain_chain(rotvec[:, :joints], trans, stated_rest(1.7)[:joints]))
    np.testing.assert_allclose(motion.forward_kinematics()[0], expected, atol=1e-9)


def test_our_frames_face_where_the_body_does(tmp_path):
    """The identity pose faces +x with its left at +y; arms sideways."""
    rotvec = np.zeros((3, 24, 3))
    rotvec[:, 0] = [0.0, 0.0, 0.0]  # a y-up world: the rest pose stands
    motion = read_amass(write_amass(tmp_path / "a.npz", rotvec, np.zeros((3, 3))))
    np.testing.assert_allclose(motion.local_quat, np.broadcast_to([1.0, 0, 0, 0], (3, 24, 4)), atol=1e-12)
    pos = motion.forward_kinematics()[0][0]
    at = {name: pos[j] - pos[0] for j, name in enumerate(NAMES)}
    assert at["left_wrist"][1] > 0.6
    assert at["right_wrist"][1] < -0.6
    assert at["left_foot"][0] > at["left_ankle"][0] + 0.08
    assert at["head"][2] > 0.5
    assert at["left_foot"][2] < -0.85


def test_a_body_model_gives_the_joints(tmp_path):
    """Joints as the models define them: J_regressor (v_template + shapedirs betas)."""
    rng = np.random.default_rng(1)
    regressor, template, directions = rng.uniform(size=(30, 7)), rng.normal(size=(7, 3)), rng.normal(size=(7, 3, 16))
    betas = rng.normal(size=10)
    np.savez(tmp_path / "body.npz", J_regressor=regressor, v_template=template, shapedirs=directions, extra=np.array({}))
    rotvec, trans = standing()
    path = write_amass(tmp_path / "a.npz", rotvec, trans, betas=betas)
    motion = read_motion_file(path, skeleton=tmp_path / "body.npz").motion
    vertices = template + sum(betas[k] * directions[..., k] for k in range(10))
    expected = plain_chain(rotvec, trans, (regressor @ vertices)[:24])
    np.testing.assert_allclose(motion.forward_kinematics()[0], expected, atol=1e-9)
    with pytest.raises(InputError, match=r"a.npz: no body model: lacks J_regressor"):
        read_amass(path, model=path)


@pytest.mark.parametrize("clip", CLIPS)
def test_real_clips_stand_and_bend_as_stored(shared_data, clip):
    """The joints that the authors stored beside the robot's motion: exactly, with their body's bones; with ours, in direction."""
    pickles = pytest.importorskip("motions.formats.pickles")
    motion = read_motion_file(shared_data / f"motions/asap_g1/smpl_npz/{clip}.npz").motion
    stored = pickles.read_pickle(shared_data / f"motions/asap_g1/g1_pkl/{clip}.pkl")
    stored = np.asarray(next(iter(stored.values()))["smpl_joints"], dtype=np.float64)
    pos, quat = motion.forward_kinematics()
    for j, parent in enumerate(PARENTS[1:], start=1):
        ours, theirs = pos[:, j] - pos[:, parent], stored[:, j] - stored[:, parent]
        frame = Rotation.from_quat(quat[:, parent], scalar_first=True)
        assert frame.inv().apply(theirs).std(axis=0).max() < 1e-5  # a bone is constant in its parent's frame
        cosine = np.sum(ours * theirs, axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
        limb = NAMES[j].endswith(("knee", "ankle", "elbow", "wrist"))
        assert np.degrees(np.arccos(cosine.min())) < (4.0 if limb else 14.0)


@pytest.mark.parametrize("clip", CLIPS)
def test_real_clips_stand_on_the_ground(shared_data, clip):
    motion = read_motion_file(shared_data / f"motions/asap_g1/smpl_npz/{clip}.npz").motion
    assert motion.fps == 30.0
    assert any("z taken as up" in note for note in motion.notes)
    assert any("stated skeleton of 1.70 m" in note for note in motion.notes)
    pos, _ = motion.forward_kinematics()
    toes = pos[:, [NAMES.index("left_foot"), NAMES.index("right_foot")], 2].min(axis=1)
    assert abs(np.median(toes)) < 0.03
    roles = map_source(motion.skeleton)
    assert all(role in roles for role in (*ROBOT_ROLES, "l_toe", "r_toe"))
    taken = capture(motion, roles, 30.0)
    np.testing.assert_allclose(taken.upright["pelvis"], np.eye(3), atol=1e-9)
    assert taken.leg_length == pytest.approx(1.7 * (0.245 + 0.246), abs=0.01)


def test_spellings_of_the_rate_and_of_the_poses(tmp_path):
    rotvec, trans = standing(joints=55)
    for key in ("mocap_frame_rate", "fps"):
        assert (
            read_amass(write_amass(tmp_path / "a.npz", rotvec, trans, mocap_framerate=None, **{key: np.array(100)})).fps == 100.0
        )
    path = write_amass(tmp_path / "a.npz", rotvec, trans, mocap_framerate=None)
    with pytest.raises(InputError, match=r"a.npz: the file holds no frame rate"):
        read_motion_file(path)
    assert read_motion_file(path, fps=25.0).motion.fps == 25.0
    split = {"root_orient": rotvec[:, 0], "pose_body": rotvec[:, 1:22].reshape(-1, 63), "markers_latent_vids": np.array({"a": 1})}
    path = write_amass(tmp_path / "s.npz", rotvec, trans, poses=None, **split)
    motion = read_motion_file(path).motion
    np.testing.assert_allclose(
        motion.forward_kinematics()[0], plain_chain(rotvec[:, :22], trans, stated_rest(1.7)[:22]), atol=1e-9
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"poses": np.zeros((5, 71))}, r"poses have shape \(5, 71\), expected .*72 \(SMPL\)"),
        ({"poses": np.zeros(72)}, "poses have shape"),
        ({"poses": np.array(1.0)}, "poses have shape"),
        ({"poses": np.full((5, 72), np.nan)}, r"poses has a non-finite value at index \(0, 0\)"),
        ({"trans": np.zeros((4, 3))}, r"trans is float64 of shape \(4, 3\), expected numbers of shape \(5, 3\)"),
        ({"trans": np.zeros((5, 3)).astype(str)}, "trans is <U32 of shape .5, 3., expected numbers"),
        ({"mocap_framerate": 0.0}, "frame rate is 0, expected a number above 0"),
        ({"mocap_framerate": np.array([30.0, 30.0])}, "the frame rate is float64 of shape"),
        ({"poses": np.zeros((2, 72)), "trans": np.zeros((2, 3))}, r"2 frame\(s\) of motion"),
        ({"poses": None}, "of no kind we read. .*AMASS's has trans, poses"),
        ({"poses": np.array({})}, "not a readable npz"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path, fields, message):
    rotvec, trans = standing()
    path = write_amass(tmp_path / "bad.npz", rotvec, trans, **fields)
    with pytest.raises(InputError, match=rf"bad.npz.*{message}"):
        read_motion_file(path)
