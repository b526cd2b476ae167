"""Isaac Lab's AMP npz, loco-mujoco's npz, Laikago's JSON and MuJoCo keyframes, mostly on the real files."""

import json

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from stick import stick_body, stick_walk

from motions.errors import InputError
from motions.formats import read_keyframe_points, read_motion_file
from motions.formats.laikago import laikago_skeleton, read_laikago
from motions.kinematics import Body, finite_difference_qvel, forward_kinematics
from motions.motion import Motion
from motions.skeleton import SkeletonMotion

AMP = ("walk", "run", "dance")


@pytest.fixture(scope="module")
def amp(shared_robots) -> Body:
    xml = (shared_robots / "characters/isaacgym_amp_humanoid/amp_humanoid.xml").read_text()
    # The material it names is not in the file: Isaac does not mind, MuJoCo does.
    return Body("amp", mujoco.MjModel.from_xml_string(xml.replace('material="grid"', "")), ("right_foot", "left_foot"))


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path) as data:
        return {key: data[key] for key in data.files}


# Isaac Lab's AMP npz


@pytest.mark.parametrize("clip", AMP)
def test_amp_on_its_own_robot_is_the_files_bodies(shared_data, amp, clip):
    path = shared_data / f"motions/isaaclab_amp_npz/humanoid_{clip}.npz"
    result, file = read_motion_file(path, robot=amp), arrays(path)
    assert isinstance(result.motion, Motion)
    assert any("read as rotation vectors" in note for note in result.notes)
    data = mujoco.MjData(amp.model)
    ids = amp.body_ids(tuple(file["body_names"].tolist()))
    for frame in range(0, result.motion.num_frames, 20):
        data.qpos[:] = result.motion.qpos[frame]
        mujoco.mj_kinematics(amp.model, data)
        np.testing.assert_allclose(data.xpos[ids], file["body_positions"][frame], atol=1e-4)
        dot = np.abs(np.sum(data.xquat[ids] * file["body_rotations"][frame], axis=-1))
        np.testing.assert_allclose(dot, 1.0, atol=1e-6)
    # The file's own root velocity, made elsewhere: right in the mean over a tenth of a second.
    qvel = finite_difference_qvel(result.motion.qpos, result.motion.fps)[1:-1, :3]
    smooth = np.ones(7) / 7
    for axis in range(3):
        mine, theirs = (np.convolve(v[:, axis], smooth, "valid") for v in (qvel, file["body_linear_velocities"][1:-1, 0]))
        assert np.median(np.abs(mine - theirs)) < 0.1


def test_amp_on_a_robot_that_turns_its_elbows_otherwise(shared_data, shared_robots):
    xml = str(shared_robots / "characters/mimickit_humanoid/humanoid.xml")
    other = Body("other", mujoco.MjModel.from_xml_path(xml))
    result = read_motion_file(shared_data / "motions/isaaclab_amp_npz/humanoid_walk.npz", robot=other)
    assert isinstance(result.motion, SkeletonMotion)
    assert any("turns them otherwise" in note and "lower_arm" in note for note in result.notes)


@pytest.mark.parametrize("clip", AMP)
def test_amp_without_a_robot_is_a_skeleton(shared_data, amp, clip):
    path = shared_data / f"motions/isaaclab_amp_npz/humanoid_{clip}.npz"
    motion, file = read_motion_file(path).motion, arrays(path)
    skeleton = motion.skeleton
    for name, parent in zip(skeleton.joint_names, skeleton.parents):
        b = amp.body_names.index(name)
        above = amp.body_names[amp.model.body_parentid[b]]
        assert above == ("world" if parent < 0 else skeleton.joint_names[parent])
        if parent >= 0:
            np.testing.assert_allclose(skeleton.offsets[skeleton.index(name)], amp.model.body_pos[b], atol=1e-4)
    pos, quat = motion.forward_kinematics()
    order = [file["body_names"].tolist().index(name) for name in skeleton.joint_names]
    np.testing.assert_allclose(pos, file["body_positions"][:, order], atol=1e-4)
    np.testing.assert_allclose(np.abs(np.sum(quat * file["body_rotations"][:, order], axis=-1)), 1.0, atol=1e-5)


def amp_file(path, body: Body, motion: Motion, **changes):
    pos, quat = (part[:, 1:] for part in forward_kinematics(body, motion.qpos))
    content = {
        "fps": 30,
        "dof_names": np.array(body.joint_names[::-1]),
        "dof_positions": motion.qpos[:, :6:-1],
        "body_names": np.array(body.body_names[1:]),
        "body_positions": pos,
        "body_rotations": quat,
    } | changes
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return path


def test_amp_of_a_hinge_robot_in_another_order(tmp_path):
    stick, walk = stick_body(), stick_walk(yaw=0.5)
    result = read_motion_file(amp_file(tmp_path / "a.npz", stick, walk), robot=stick)
    np.testing.assert_allclose(result.motion.qpos, walk.qpos, atol=1e-9)
    assert any("read as angles" in note for note in result.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"body_rotations": None}, "lacks body_rotations"),
        ({"dof_positions": np.zeros((60, 6))}, "expected numbers of shape .60, 7."),
        ({"body_positions": np.zeros((60, 2, 3))}, "expected numbers of shape .any, 8, 3."),
        ({"body_rotations": np.zeros((60, 8, 4))}, "no unit quaternions"),
        ({"body_names": np.array(["a"] * 8)}, "holds 'a' twice"),
        ({"fps": np.array([1.0, 2.0])}, "fps is float64 of shape .2,."),
        ({"dof_names": np.zeros(7)}, "dof_names is no list of names"),
    ],
)
def test_broken_amp_files(tmp_path, changes, message):
    path = amp_file(tmp_path / "a.npz", stick_body(), stick_walk(), **changes)
    with pytest.raises(InputError, match=rf"a\.npz: .*{message}"):
        read_motion_file(path)


# loco-mujoco


def test_loco_mujocos_g1_against_its_own_model(shared_data):
    """The set's model with slides and hinges, posed by the file's values, and the same robot with a free joint."""
    folder = shared_data / "motions/locomujoco_mini"

    def model(free: bool) -> mujoco.MjModel:
        spec = mujoco.MjSpec.from_file(str(folder / "models/unitree_g1.xml"))
        for geom in [g for g in spec.geoms if g.type == mujoco.mjtGeom.mjGEOM_MESH]:
            spec.delete(geom)
        for mesh in list(spec.meshes):
            spec.delete(mesh)
        if free:
            pelvis = spec.body("pelvis")
            for joint in list(pelvis.joints):
                spec.delete(joint)
            pelvis.add_freejoint()
            for other in list(spec.actuators):
                spec.delete(other)
        return spec.compile()

    theirs, body = model(free=False), Body("g1", model(free=True))
    path = folder / "02-constspeed_UnitreeG1.npz"
    result, file = read_motion_file(path, robot=body), arrays(path)
    assert result.motion.fps == 500.0
    assert any("lumbar_extension, lumbar_bending: left out" in note for note in result.notes)
    data = mujoco.MjData(theirs)
    pos, quat = forward_kinematics(body, result.motion.qpos)
    names = [theirs.joint(j).name for j in range(theirs.njnt)]
    for frame in range(0, 500, 50):
        data.qpos[:] = [file[f"q_{name}"][frame] for name in names]
        mujoco.mj_kinematics(theirs, data)
        np.testing.assert_allclose(pos[frame], data.xpos, atol=1e-9)
        np.testing.assert_allclose(np.abs(np.sum(quat[frame] * data.xquat, axis=-1)), 1.0, atol=1e-9)
    qvel = finite_difference_qvel(result.motion.qpos, 500.0)[5:-5]
    assert np.abs(qvel[:, 0] - file["dq_pelvis_tx"][5:-5]).mean() < 0.02


@pytest.mark.parametrize(
    ("file", "robot", "lowest_m"),
    [
        ("02-constspeed_UnitreeH1", "unitree_h1/h1_menagerie_nomesh.xml", (0.05, 0.12)),
        ("quadruped_A1_walk_straight", "unitree_a1/a1_menagerie_nomesh.xml", (0.08, 0.16)),
    ],
)
def test_loco_mujoco_on_our_robots_stands_on_the_ground(shared_data, shared_robots, file, robot, lowest_m):
    body = Body("robot", mujoco.MjModel.from_xml_path(str(shared_robots / robot)))
    path = shared_data / f"motions/locomujoco_mini/{file}.npz"
    if "quadruped" in file:
        with pytest.raises(InputError, match="holds 3 clips, name the one to read: 1, 2, 3"):
            read_motion_file(path, robot=body)
    motion = read_motion_file(path, robot=body, clip="2" if "quadruped" in file else None).motion
    assert motion.num_frames == 500
    lowest = forward_kinematics(body, motion.qpos)[0][:, 1:, 2].min(axis=1)
    assert lowest_m[0] < lowest.min() < lowest.max() < lowest_m[1]
    low, high = body.joint_range.T
    assert np.all((motion.qpos[:, 7:] > low - 0.1) & (motion.qpos[:, 7:] < high + 0.1))


def loco_file(path, **changes):
    """A made-up trunk that turns while the stick's joints swing, at 100 Hz."""
    t = np.arange(50) / 100.0
    root = {f"trunk_{k}": 0.3 * np.sin(3 * t + i) for i, k in enumerate(("tx", "ty", "tz", "rotation", "list", "tilt"))}
    values = root | {name: 0.2 * np.sin(4 * t + i) for i, name in enumerate(stick_body().joint_names)}
    content = {f"q_{k}": v for k, v in values.items()} | {f"dq_{k}": np.gradient(v, 0.01) for k, v in values.items()} | changes
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return path


def test_loco_mujocos_trunk_is_turned_as_scipy_says(tmp_path):
    stick = stick_body()
    path = loco_file(tmp_path / "a.npz")
    result, file = read_motion_file(path, robot=stick), arrays(path)
    angles = np.stack([file[f"q_trunk_{k}"] for k in ("rotation", "list", "tilt")], axis=1)
    expected = Rotation.from_euler("ZXY", angles).as_quat(scalar_first=True)
    np.testing.assert_allclose(np.abs(np.sum(result.motion.qpos[:, 3:7] * expected, axis=1)), 1.0, atol=1e-12)
    np.testing.assert_allclose(result.motion.qpos[:, 2], 0.85 + file["q_trunk_tz"])
    assert result.motion.fps == 100.0
    assert any("at rest, 0.850 m" in note for note in result.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q_waist": None}, "no column for waist. It has left_hip_x"),
        ({"q_trunk_ty": None}, "lacks root slides and hinges"),
        ({"q_trunk_ty": np.zeros(49)}, "q_trunk_ty is float64 of shape .49,."),
        ({"split_points": np.array([0, 60])}, "do not divide 50 frames"),
        ({f"dq_{k}": np.ones(50) for k in ("waist", *stick_body().joint_names)}, "velocities fit none"),
    ],
)
def test_broken_loco_mujoco_files(tmp_path, changes, message):
    if "fit none" in message:
        changes |= {f"dq_trunk_{k}": np.zeros(50) for k in ("tx", "ty", "tz", "rotation", "list", "tilt")}
    path = loco_file(tmp_path / "a.npz", **changes)
    with pytest.raises(InputError, match=rf"a\.npz: .*{message}"):
        read_motion_file(path, robot=stick_body())
    with pytest.raises(InputError):
        read_motion_file(path)


# Laikago


@pytest.mark.parametrize("clip", ["hopturn", "inplace_steps", "runningman", "sidesteps", "turn"])
def test_laikagos_toes_stay_on_one_height(shared_data, clip):
    motion = read_motion_file(shared_data / f"motions/laikago_quadruped/{clip}.txt").motion
    pos, _ = motion.forward_kinematics()
    toes = pos[:, [motion.skeleton.index(name) for name in motion.skeleton.end_sites]]
    lowest = toes[..., 2].min(axis=1)
    standing = 60 if clip == "hopturn" else 95  # [percent] of the frames
    assert np.percentile(lowest, standing) - lowest.min() < 0.015
    assert abs(np.median(lowest) - 0.056) < 0.004  # a toe of 3 cm radius, and what the clips' makers left below it
    speed = np.sort(np.linalg.norm(np.diff(toes[..., :2], axis=0), axis=-1) * motion.fps, axis=1)
    assert np.median(speed[:, 0]) < 0.15, "a standing toe does not slide"


def test_laikagos_skeleton_and_axes(tmp_path):
    skeleton = laikago_skeleton()
    row = [0.0, 0.0, 0.4, 0.5, 0.5, 0.5, 0.5, *[0.0] * 12]
    raised = [*row[:7], *[0.5, 0.0, 0.0] * 4]
    (tmp_path / "a.txt").write_text(json.dumps({"FrameDuration": 0.02, "Frames": [row, row, raised]}))
    motion = read_motion_file(tmp_path / "a.txt").motion
    assert motion.fps == 50.0
    pos, quat = motion.forward_kinematics()
    np.testing.assert_allclose(quat[0], np.tile([1.0, 0, 0, 0], (17, 1)), atol=1e-12)
    front = pos[0, [skeleton.index(f"{leg}_hip_motor") for leg in ("FR", "FL")]]
    assert np.all(front[:, 0] > 0.2)
    assert front[0, 1] < 0 < front[1, 1], "right is at -y"
    spread = [abs(pos[2, skeleton.index(f"{leg}_toe"), 1]) - abs(pos[0, skeleton.index(f"{leg}_toe"), 1]) for leg in ("FR", "RL")]
    assert min(spread) > 0.1, "a positive hip angle spreads the legs on both sides"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[1, 2]", "expected an object"),
        ("{}", "no Frames in it"),
        (json.dumps({"Frames": [[0.0] * 44] * 5, "FrameDuration": 0.1}), "5 Frames of 44 values, expected 19"),
        (json.dumps({"Frames": [[0.0] * 19] * 2, "FrameDuration": 0.1}), "2 Frames"),
        (json.dumps({"Frames": [[0.0] * 19] * 5, "FrameDuration": 0.1}), "frame 0 is not of unit length"),
        (json.dumps({"Frames": [[0.5] * 19] * 5}), "FrameDuration is 0"),
        (json.dumps({"Frames": [[0.5] * 18 + ["x"]] * 5}), "other things than numbers"),
        (json.dumps({"Frames": [[0.5] * 18 + [float("nan")]] * 5}), "non-finite"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_broken_laikago_files(tmp_path, content, message):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(InputError, match=rf"a\.txt.*{message}"):
        read_laikago(tmp_path / "a.txt")


# MuJoCo keyframes


def test_mjpcs_keyframes_are_points(shared_data):
    """Bones keep their length, left is left, and the walk of subject 137 moves at the pace of a walk."""
    paths = sorted((shared_data / "motions/mjpc_cmu_keyframes/keyframes").glob("*.xml"))
    assert len(paths) == 10
    for path in paths:
        points = read_keyframe_points(path)
        at = {name: points.positions[:, i] for i, name in enumerate(points.point_names)}
        for side in ("left", "right"):
            for one, other in (("knee", "heel"), ("hip", "knee"), ("shoulder", "elbow"), ("elbow", "hand"), ("heel", "toe")):
                length = np.linalg.norm(at[f"{side}_{one}"] - at[f"{side}_{other}"], axis=1)
                assert length.std() < 2e-3, (path.name, side, one, other)
        ahead = at["left_toe"] + at["right_toe"] - at["left_heel"] - at["right_heel"]
        left = at["left_hip"] - at["right_hip"]
        assert np.median(ahead[:, 0] * left[:, 1] - ahead[:, 1] * left[:, 0]) > 0
    walk = read_motion_file(paths[0]).motion
    pos, _ = walk.forward_kinematics()
    found = [pos[:, walk.skeleton.index(name)] for name in points.point_names]
    np.testing.assert_allclose(np.stack(found, axis=1), read_keyframe_points(paths[0]).positions, atol=5e-3)


def keyframe_xml(qpos: np.ndarray, times: np.ndarray | None = None) -> str:
    rows = [f'qpos="{" ".join(map(str, row))}"' for row in qpos]
    if times is not None:
        rows = [f'{row} time="{time}"' for row, time in zip(rows, times)]
    return "<mujoco><keyframe>" + "".join(f"<key {row}/>" for row in rows) + "</keyframe></mujoco>"


def test_keyframes_of_a_robot(tmp_path):
    walk, stick = stick_walk(yaw=0.4), stick_body()
    path = tmp_path / "a.xml"
    path.write_text(keyframe_xml(walk.qpos, np.arange(60) / 50.0))
    result = read_motion_file(path, robot=stick)
    np.testing.assert_allclose(result.motion.qpos, walk.qpos, atol=1e-12)
    assert result.motion.fps == pytest.approx(50.0)
    path.write_text(keyframe_xml(walk.qpos))
    assert "30 frames per second assumed" in read_motion_file(path, robot=stick).notes[0]
    with pytest.raises(InputError, match="give the robot"):
        read_motion_file(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (keyframe_xml(np.zeros((5, 13))), "qpos of 13 values, but robot 'stick' has 14"),
        (keyframe_xml(np.full((5, 14), np.nan)), r"key 1 \(without name\), qpos: 14 values, expected some finite"),
        ("<mujoco/>", "no keyframe"),
        ("<mujoco>", "not a readable XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><mujoco>&b;</mujoco>', "declares entities"),
        ('<mujoco><key qpos="1 x"/></mujoco>', "could not convert"),
    ],
)
def test_broken_keyframes(tmp_path, content, message):
    (tmp_path / "a.xml").write_text(content)
    with pytest.raises(InputError, match=rf"a\.xml.*{message}"):
        read_motion_file(tmp_path / "a.xml", robot=stick_body())
