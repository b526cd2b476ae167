"""Pickled robots' motions: every family's layout, the order of joints and what is refused."""

import pickle

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from stick import stick_body, stick_walk

from motions.errors import InputError
from motions.formats import read_motion_file
from motions.formats.pickles import read_pickle
from motions.formats.robot_frames import ball_to_hinges
from motions.formats.robot_pickles import read_robot_pickle
from motions.kinematics import Body

CLIPS = (
    "APT_level1",
    "CR7_level2_filter",
    "jump_degree_level3_filter",
    "squat_level1_filter",
    "step_forward_back_level2_filter",
    "walk_level1_filter",
)

BALL_XML = """<mujoco><compiler angle="radian"/><worldbody><body name="pelvis" pos="0 0 1"><freejoint/><geom size=".1"/>
  <body name="chest" pos="0 0 .2" quat=".9 .1 .2 .3">
    <joint name="chest_y" axis="0 1 0"/><joint name="chest_z" axis="0 0 -1" ref=".1"/><joint name="chest_x" axis="1 0 0"/>
    <geom size=".1"/><body name="head" pos="0 0 .3"><joint name="neck" axis="0 1 0"/><geom size=".1"/></body>
  </body>
  <body name="tail" pos="0 0 -.2"><joint name="tail_x" axis="1 0 0"/><joint name="tail_y" axis="0 1 0"/>
  <joint name="tail_z" axis="0 0 1"/><geom size=".1"/></body></body></worldbody></mujoco>"""


@pytest.fixture(scope="module")
def stick() -> Body:
    return stick_body()


@pytest.fixture(scope="module")
def g1(shared_robots) -> Body:
    model = mujoco.MjModel.from_xml_path(str(shared_robots / "unitree_g1/nomesh/g1_mjlab_nomesh.xml"))
    return Body("g1", model, ("left_ankle_roll_link", "right_ankle_roll_link"))


def fields(motion, layout: str, **more) -> dict:
    """A clip's fields as one of the families writes them."""
    pos, rot, dof = {
        "gmr": ("root_pos", "root_rot", "dof_pos"),
        "pbhc": ("root_trans_offset", "root_rot", "dof"),
        "phuma": ("root_trans", "root_ori", "dof_pos"),
    }[layout]
    quat_xyzw = motion.qpos[:, [4, 5, 6, 3]]
    return {pos: motion.qpos[:, :3], rot: quat_xyzw, dof: motion.qpos[:, 7:], "fps": motion.fps} | more


def save(path, content):
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.mark.parametrize("layout", ["gmr", "pbhc", "phuma"])
def test_each_layout(stick, tmp_path, layout):
    walk = stick_walk(yaw=0.7)
    result = read_motion_file(save(tmp_path / "walk.pkl", fields(walk, layout)), robot=stick)
    np.testing.assert_allclose(result.motion.qpos, walk.qpos, atol=1e-12)
    assert (result.motion.fps, result.motion.name, result.motion.robot, result.notes) == (30.0, "walk", "stick", ())


def test_phumas_npy(stick, tmp_path):
    walk = stick_walk(yaw=0.7)
    np.save(tmp_path / "walk.npy", np.array(fields(walk, "phuma"), dtype=object), allow_pickle=True)
    np.testing.assert_allclose(read_robot_pickle(tmp_path / "walk.npy", stick).motion.qpos, walk.qpos, atol=1e-12)


def test_lists_and_odd_rates_are_read_too(stick, tmp_path):
    walk = stick_walk(yaw=0.7)
    content = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields(walk, "gmr").items()}
    result = read_motion_file(save(tmp_path / "a.pkl", content | {"fps": np.array([50.0])}), robot=stick)
    np.testing.assert_allclose(result.motion.qpos, walk.qpos, atol=1e-12)
    assert result.motion.fps == 50.0
    result = read_motion_file(save(tmp_path / "a.pkl", content | {"fps": None}), robot=stick)
    assert result.motion.fps == 30.0
    assert result.notes == ("30 frames per second assumed, the file does not say",)
    result = read_motion_file(tmp_path / "a.pkl", robot=stick, fps=60.0)
    assert (result.motion.fps, result.notes) == (60.0, ())
    deeper = fields(walk, "pbhc") | {"dof": walk.qpos[:, 7:, None]}
    np.testing.assert_allclose(read_motion_file(save(tmp_path / "a.pkl", deeper), robot=stick).motion.qpos, walk.qpos)


def test_names_in_the_file_win(stick, tmp_path):
    walk = stick_walk()
    content = fields(walk, "gmr", joint_names=list(walk.joint_names[::-1]))
    content["dof_pos"] = content["dof_pos"][:, ::-1]
    result = read_motion_file(save(tmp_path / "a.pkl", content), robot=stick)
    np.testing.assert_allclose(result.motion.qpos, walk.qpos, atol=1e-12)
    assert read_motion_file(tmp_path / "a.pkl").motion.joint_names == walk.joint_names[::-1]


def test_of_several_clips_one_is_asked_for(stick, tmp_path):
    walks = {name: stick_walk(yaw=yaw) for name, yaw in (("ahead", 0.0), ("left", 1.5))}
    path = save(tmp_path / "a.pkl", {name: fields(walk, "pbhc") for name, walk in walks.items()})
    with pytest.raises(InputError, match=r"a\.pkl: holds 2 clips, name the one to read: ahead, left"):
        read_motion_file(path, robot=stick)
    result = read_motion_file(path, robot=stick, clip="left")
    np.testing.assert_allclose(result.motion.qpos, walks["left"].qpos, atol=1e-12)
    assert result.motion.name == "left"
    with pytest.raises(InputError, match=r"a\.pkl: unknown clip 'lft'. Did you mean 'left'"):
        read_motion_file(path, robot=stick, clip="lft")


@pytest.mark.parametrize("clip", CLIPS)
def test_asaps_clips_stand_on_the_robot(shared_data, g1, clip):
    path = shared_data / f"motions/asap_g1/g1_pkl/{clip}.pkl"
    result = read_motion_file(path, robot=g1)
    motion = result.motion
    assert any("23 joints of 29: left_wrist_roll_joint" in note for note in result.notes)
    wrists = [i for i, name in enumerate(g1.joint_names) if "wrist" in name]
    assert not motion.qpos[:, 7:][:, wrists].any()
    low, high = g1.joint_range.T
    assert np.all((motion.qpos[:, 7:] > low) & (motion.qpos[:, 7:] < high)), "another order of joints breaks limits"
    data, lowest = mujoco.MjData(g1.model), []
    (raw,) = read_pickle(path).values()
    for frame in range(0, motion.num_frames, 10):
        data.qpos[:] = motion.qpos[frame]
        mujoco.mj_kinematics(g1.model, data)
        lowest.append(data.xpos[1:, 2].min())
        # The head's joint of the same capture as a person: the robot's torso stands below it, and not elsewhere.
        person = raw["smpl_joints"][frame, 0, :2] - raw["smpl_joints"][0, 0, :2]
        assert np.linalg.norm(person - (data.qpos[:2] - motion.qpos[0, :2])) < 0.25
    assert 0.0 < np.median(lowest) < 0.2, "an ankle's height, and up to 10 cm of floating"
    up = Rotation.from_quat(raw["root_rot"]).apply([0.0, 0.0, 1.0])[:, 2]  # scipy's quaternions are xyzw
    assert up.min() > 0.9


def test_23_joints_only_where_the_file_proves_which(shared_data, g1, tmp_path):
    (raw,) = read_pickle(shared_data / "motions/asap_g1/g1_pkl/walk_level1_filter.pkl").values()
    raw = dict(raw)
    unproved = {k: v for k, v in raw.items() if k != "pose_aa"}
    with pytest.raises(InputError, match=r"23 joints without names, but robot 'g1' has 29, and which .* is not certain"):
        read_motion_file(save(tmp_path / "a.pkl", unproved), robot=g1)
    swapped = raw | {"dof": raw["dof"][:, [1, 0, *range(2, 23)]]}
    with pytest.raises(InputError, match=r"pose_aa turns column \d about another axis than"):
        read_motion_file(save(tmp_path / "a.pkl", swapped), robot=g1)


def ball_body() -> Body:
    return Body("ball", mujoco.MjModel.from_xml_string(BALL_XML))


def test_hinges_that_make_a_ball_joint_against_mujoco():
    body = ball_body()
    rng = np.random.default_rng(0)
    wanted = rng.uniform(-1.4, 1.4, size=(50, body.model.nq - 7)) + body.model.qpos0[7:]
    data, rest = mujoco.MjData(body.model), mujoco.MjData(body.model)
    mujoco.mj_kinematics(body.model, rest)
    for hinges, b in (([0, 1, 2], body.body_names.index("chest")), ([4, 5, 6], body.body_names.index("tail"))):
        quat = []
        for row in wanted:
            data.qpos[:] = np.concatenate([body.model.qpos0[:7], row])
            mujoco.mj_kinematics(body.model, data)
            turned = Rotation.from_quat(rest.xquat[b], scalar_first=True).inv() * Rotation.from_quat(
                data.xquat[b], scalar_first=True
            )
            quat.append(turned.as_quat(scalar_first=True))
        angles = np.concatenate([ball_to_hinges(np.array(q)[None], body, hinges, "x") for q in quat])
        np.testing.assert_allclose(angles, wanted[:, hinges], atol=1e-9)


def test_mimickits_frames_against_mujoco(tmp_path):
    body = ball_body()
    rng = np.random.default_rng(1)
    steps = np.linspace(0, 1, 20)[:, None]
    root, chest, tail = (steps * rng.uniform(-1, 1, 3) for _ in range(3))
    neck = steps * 0.5
    frames = np.concatenate([steps * [1.0, 2.0, 0.1], root, chest, neck, tail], axis=1)
    path = save(tmp_path / "a.pkl", {"frames": frames.tolist(), "fps": 60, "loop_mode": 1})
    motion = (result := read_motion_file(path, robot=body)).motion
    assert (motion.loop, motion.fps) == (True, 60.0)
    assert any("rotation vectors of 2 bodies" in note for note in result.notes)
    data = mujoco.MjData(body.model)
    for frame in (0, 7, 19):
        data.qpos[:] = motion.qpos[frame]
        mujoco.mj_kinematics(body.model, data)
        base = Rotation.from_rotvec(root[frame])
        turned = {
            "pelvis": base,
            "chest": base * Rotation.from_quat([0.9, 0.1, 0.2, 0.3], scalar_first=True) * Rotation.from_rotvec(chest[frame]),
            "tail": base * Rotation.from_rotvec(tail[frame]),
        }
        for name, rotation in turned.items():
            quat = data.xquat[body.body_names.index(name)]
            assert (Rotation.from_quat(quat, scalar_first=True).inv() * rotation).magnitude() < 1e-9
        np.testing.assert_allclose(data.xpos[1], frames[frame, :3], atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dof_pos": np.zeros((60, 6))}, "6 joints without names, but robot 'stick' has 7"),
        ({"dof_pos": np.zeros((59, 7))}, "60 root positions, 60 rotations, 59 rows of joints"),
        ({"dof_pos": np.full((60, 7), np.nan)}, "dof_pos has a non-finite value at index .0, 0."),
        ({"dof_pos": [[1.0, 2.0], [3.0]]}, "uneven"),
        ({"dof_pos": [["a"] * 7] * 60}, "other things than numbers"),
        ({"dof_pos": [[[[]]]]}, "uneven or nested"),
        ({"dof_pos": {"a": 1}}, "dof_pos is a dict, expected numbers"),
        ({"root_rot": np.zeros((60, 4))}, "root quaternion of frame 0"),
        ({"root_rot": np.zeros((60, 3))}, "expected numbers of shape .any, 4."),
        ({"fps": "fast"}, "fps is a str"),
        ({"fps": -1.0}, "the frame rate is -1"),
        ({"joint_names": list("abcdefg")}, "does not fit robot 'stick'"),
        ({"joint_names": list("aacdefg")}, "joint_names holds 'a' twice"),
        ({"joint_names": list("abc")}, "3 joint names for 7 columns"),
    ],
)
def test_broken_fields(stick, tmp_path, change, message):
    path = save(tmp_path / "a.pkl", fields(stick_walk(), "gmr") | change)
    with pytest.raises(InputError, match=rf"a\.pkl: .*{message}|{message}"):
        read_motion_file(path, robot=stick)


@pytest.mark.parametrize("content", [{}, [], 3, {"a": {"b": 1}}, {"frames": 1}, None, "text", {1: 2}])
def test_other_pickles_say_what_they_hold(stick, tmp_path, content):
    with pytest.raises(InputError, match=r"a\.pkl: a pickle of no kind we read.*MimicKit's has frames, fps. This holds"):
        read_motion_file(save(tmp_path / "a.pkl", content), robot=stick)


def test_without_a_robot(tmp_path):
    with pytest.raises(InputError, match="holds no joint names; give the robot"):
        read_motion_file(save(tmp_path / "a.pkl", fields(stick_walk(), "gmr")))
