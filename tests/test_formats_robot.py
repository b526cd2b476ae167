"""Files that hold a robot's motion: CSV and its quaternion order, our npz, the whole_body_tracking npz."""

import contextlib
from pathlib import Path

import mujoco
import numpy as np
import pytest
from stick import stick_body, stick_walk

from motions.errors import InputError
from motions.formats import read_motion_file, write_csv, write_wbt
from motions.formats.whole_body_tracking import breadth_first
from motions.kinematics import Body, finite_difference_qvel, forward_kinematics
from motions.motion import Motion, save_motion


@pytest.fixture(scope="module")
def stick() -> Body:
    return stick_body()


@pytest.fixture
def g1(shared_robots) -> Body:
    model = mujoco.MjModel.from_xml_path(str(shared_robots / "unitree_g1/nomesh/g1_mjlab_nomesh.xml"))
    return Body("g1", model, ("left_ankle_roll_link", "right_ankle_roll_link"))


def write_rows(motion: Motion, path: Path, order: str = "wxyz") -> None:
    """A CSV as most are: numbers alone."""
    write_csv(motion, path, order)
    path.write_text(path.read_text().partition("\n")[2])


@pytest.mark.parametrize("order", ["wxyz", "xyzw"])
def test_csv_round_trip_with_the_order_given(stick, tmp_path, order):
    walk = stick_walk(yaw=0.4)
    write_rows(walk, tmp_path / "walk.csv", order)
    result = read_motion_file(tmp_path / "walk.csv", robot=stick, quat_order=order)
    np.testing.assert_allclose(result.motion.qpos, walk.qpos, atol=1e-8)
    assert result.motion.joint_names == walk.joint_names
    assert result.motion.fps == 30.0
    assert any("30 frames per second assumed" in note for note in result.notes)
    assert read_motion_file(tmp_path / "walk.csv", robot=stick, quat_order=order, fps=50.0).motion.fps == 50.0


# Directions in which the wrong reading of an upright walk leans by 60 to 80 degrees: not upright, not fallen.
UNDECIDED = {f"wxyz {d}" for d in (100, 120, 240, 260)} | {f"xyzw {d}" for d in (60, 80, 280, 300)}


@pytest.mark.parametrize("order", ["wxyz", "xyzw"])
@pytest.mark.parametrize("degrees", range(0, 360, 20))
def test_the_order_is_decided_rightly_or_not_at_all(stick, tmp_path, order, degrees):
    """A walk in any direction: what is decided is true."""
    walk = stick_walk(yaw=np.deg2rad(degrees))
    write_rows(walk, tmp_path / "walk.csv", order)
    undecided = f"{order} {degrees}" in UNDECIDED
    with pytest.raises(InputError, match="--quat-order") if undecided else contextlib.nullcontext():
        result = read_motion_file(tmp_path / "walk.csv", robot=stick)
    if undecided:
        return
    np.testing.assert_allclose(result.motion.qpos, walk.qpos, atol=1e-8)
    assert any(f"quaternion taken as {order}" in note for note in result.notes)


def test_standing_still_along_x_tells_nothing_in_xyzw(stick, tmp_path):
    """(0, 0, 0, 1) is unturned in xyzw, and turned by 180 degrees in wxyz: both stand."""
    write_rows(stick_walk(speed_m_s=0.0), tmp_path / "stand.csv", "xyzw")
    with pytest.raises(InputError, match=r"stand.csv.*--quat-order wxyz or xyzw"):
        read_motion_file(tmp_path / "stand.csv", robot=stick)


def test_a_tumbling_body_demands_the_order(stick, tmp_path):
    walk = stick_walk()
    qpos = walk.qpos.copy()
    qpos[:, 3:7] = 0.5
    write_rows(Motion("lying", "stick", 30.0, qpos, walk.joint_names), tmp_path / "lying.csv")
    with pytest.raises(InputError, match="--quat-order"):
        read_motion_file(tmp_path / "lying.csv", robot=stick)


@pytest.mark.parametrize("name", ["walk", "high5", "wave"])
def test_real_csv(shared_data, g1, name):
    result = read_motion_file(shared_data / f"motions/kimodo_g1/kimodo_{name}.csv", robot=g1)
    assert result.motion.num_frames == 150
    assert any("quaternion taken as wxyz" in note for note in result.notes)
    lowest = forward_kinematics(g1, result.motion.qpos)[0][:, 1:, 2].min(axis=1)
    assert -0.02 < np.median(lowest) < 0.08


def test_csv_header_lines(stick, tmp_path):
    walk = stick_walk(yaw=0.4)
    write_rows(walk, tmp_path / "plain.csv")
    rows = (tmp_path / "plain.csv").read_text()
    root = "x,y,z,qw,qx,qy,qz,"
    (tmp_path / "named.csv").write_text(root + ",".join(walk.joint_names) + "\n" + rows)
    named = read_motion_file(tmp_path / "named.csv", robot=stick, quat_order="wxyz")
    np.testing.assert_allclose(named.motion.qpos, walk.qpos, atol=1e-8)
    (tmp_path / "turned.csv").write_text(root + ",".join(walk.joint_names[::-1]) + "\n" + rows)
    turned = read_motion_file(tmp_path / "turned.csv", robot=stick, quat_order="wxyz")
    np.testing.assert_allclose(turned.motion.qpos[:, 7:], walk.qpos[:, :6:-1], atol=1e-8)
    (tmp_path / "other.csv").write_text("some words\n" + rows)
    other = read_motion_file(tmp_path / "other.csv", robot=stick, quat_order="wxyz")
    assert any("skipped" in note for note in other.notes)


@pytest.mark.parametrize("order", ["wxyz", "xyzw"])
def test_what_is_written_names_its_columns(stick, tmp_path, order):
    """So that it comes back whatever the order of joints and quaternion, though it stands still, which alone tells no order;
    and a reader that knows numbers only reads it, too."""
    still = stick_walk(speed_m_s=0.0)
    path = tmp_path / "named.csv"
    write_csv(still, path, order)
    assert path.read_text().startswith(f"# x,y,z,{','.join('q' + part for part in order)},{still.joint_names[0]}")
    assert np.loadtxt(path, delimiter=",").shape == still.qpos.shape
    table = [line.lstrip("# ").split(",") for line in path.read_text().splitlines()]
    path.write_text("\n".join(",".join([*row[:7], *row[:6:-1]]) for row in table))
    found = read_motion_file(path, robot=stick)
    np.testing.assert_allclose(found.motion.qpos, still.qpos, atol=1e-8)
    assert f"quaternion taken as {order}, as the header line names it" in found.notes
    other = {"wxyz": "xyzw", "xyzw": "wxyz"}[order]
    notes = read_motion_file(path, robot=stick, quat_order=other).notes
    assert f"quaternion taken as {other}, as given, though the header line names it {order}" in notes


def test_degrees_and_millimetres_are_refused_before_anything_is_made_of_them(g1, shared_data, tmp_path):
    rows = np.loadtxt(shared_data / "motions/kimodo_g1/kimodo_walk.csv", delimiter=",")
    degrees, tall = rows.copy(), rows.copy()
    degrees[:, 7:] = np.degrees(degrees[:, 7:])
    tall[:, :3] *= 1000.0
    for name, table, said in (("deg", degrees, "are these degrees"), ("mm", tall, "are these millimetres")):
        np.savetxt(tmp_path / f"{name}.csv", table, delimiter=",")
        with pytest.raises(InputError, match=rf"{name}.csv: .*{said}"):
            read_motion_file(tmp_path / f"{name}.csv", robot=g1, quat_order="wxyz")


def test_an_order_against_the_data_is_taken_and_said(stick, tmp_path):
    write_rows(stick_walk(), tmp_path / "walk.csv", "wxyz")
    notes = read_motion_file(tmp_path / "walk.csv", robot=stick, quat_order="xyzw").notes
    assert any("quaternion taken as xyzw, as said, but by the data it would be wxyz" in note for note in notes)


def test_a_column_of_times_is_named(stick, tmp_path):
    write_rows(stick_walk(), tmp_path / "plain.csv")
    rows = [f"{i / 30:.4f},{row}" for i, row in enumerate((tmp_path / "plain.csv").read_text().splitlines())]
    (tmp_path / "timed.csv").write_text("\n".join(["time,and,more", *rows]))
    with pytest.raises(InputError, match="the first column is named 'time': leave times out, --fps gives the rate"):
        read_motion_file(tmp_path / "timed.csv", robot=stick)


def test_csv_needs_a_robot_and_its_number_of_columns(stick, tmp_path):
    path = tmp_path / "walk.csv"
    write_rows(stick_walk(), path)
    with pytest.raises(InputError, match="give the robot"):
        read_motion_file(path)
    path.write_text("\n".join(line + ",0" for line in path.read_text().splitlines()))
    with pytest.raises(InputError, match=r"walk.csv, line 1: 15 values, expected 14 .*7 joints of robot 'stick'"):
        read_motion_file(path, robot=stick)
    with pytest.raises(InputError, match=r"unknown quaternion order 'wxzy'. Did you mean"):
        read_motion_file(path, robot=stick, quat_order="wxzy")


def test_non_unit_quaternions_in_a_csv(stick, tmp_path):
    walk = stick_walk()
    for length, refused in ((1.0005, False), (1.01, True)):
        rows = walk.qpos.copy()
        rows[:, 3:7] *= length
        np.savetxt(tmp_path / "q.csv", rows, delimiter=",")
        if refused:
            with pytest.raises(InputError, match=r"q.csv: motion 'q': the root quaternion of frame 0"):
                read_motion_file(tmp_path / "q.csv", robot=stick, quat_order="wxyz")
        else:
            result = read_motion_file(tmp_path / "q.csv", robot=stick, quat_order="wxyz")
            assert any("renormalized" in note for note in result.notes)


def test_our_npz(stick, tmp_path):
    walk = stick_walk()
    save_motion(walk, tmp_path / "walk.npz")
    result = read_motion_file(tmp_path / "walk.npz", robot=stick)
    np.testing.assert_allclose(result.motion.qpos, walk.qpos, atol=1e-6)
    assert result.notes == ()
    slower = read_motion_file(tmp_path / "walk.npz", fps=15.0)
    assert slower.motion.fps == 15.0
    assert "the file says 30" in slower.notes[0]


def test_joints_are_put_in_order_or_refused(stick, tmp_path):
    walk = stick_walk()
    turned = Motion("walk", "stick", 30.0, walk.qpos[:, [*range(7), *range(13, 6, -1)]], walk.joint_names[::-1])
    save_motion(turned, tmp_path / "turned.npz")
    result = read_motion_file(tmp_path / "turned.npz", robot=stick)
    np.testing.assert_allclose(result.motion.qpos, walk.qpos, atol=1e-6)
    assert "order of robot 'stick'" in result.notes[0]
    save_motion(Motion("walk", "other", 30.0, walk.qpos, tuple("abcdefg")), tmp_path / "other.npz")
    with pytest.raises(InputError, match=r"made for robot 'other' and does not fit robot 'stick'.*left_hip_x"):
        read_motion_file(tmp_path / "other.npz", robot=stick)


def test_whole_body_tracking_arrays_are_mujocos(stick, tmp_path):
    walk = stick_walk(yaw=0.3)
    write_wbt(walk, stick, tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz") as data:
        arrays = {key: data[key] for key in data.files}
    frames, bodies = walk.num_frames, stick.model.nbody - 1
    assert arrays["fps"].item() == 30.0
    qvel = finite_difference_qvel(walk.qpos, walk.fps)
    data, velocity = mujoco.MjData(stick.model), np.zeros(6)
    for frame in (0, 7, frames - 1):
        data.qpos[:], data.qvel[:] = walk.qpos[frame], qvel[frame]
        mujoco.mj_forward(stick.model, data)
        np.testing.assert_allclose(arrays["joint_pos"][frame], walk.qpos[frame, 7:], atol=1e-6)
        np.testing.assert_allclose(arrays["joint_vel"][frame], qvel[frame, 6:], atol=1e-5)
        np.testing.assert_allclose(arrays["body_pos_w"][frame], data.xpos[1:], atol=1e-6)
        dot = np.abs(np.sum(arrays["body_quat_w"][frame] * data.xquat[1:], axis=-1))
        np.testing.assert_allclose(dot, 1.0, atol=1e-6)
        for b in range(bodies):
            mujoco.mj_objectVelocity(stick.model, data, mujoco.mjtObj.mjOBJ_XBODY, b + 1, velocity, 0)
            np.testing.assert_allclose(arrays["body_ang_vel_w"][frame, b], velocity[:3], atol=1e-5)
            np.testing.assert_allclose(arrays["body_lin_vel_w"][frame, b], velocity[3:], atol=1e-5)


@pytest.mark.parametrize("order", ["mujoco", "isaac"])
@pytest.mark.parametrize("named", [True, False])
def test_whole_body_tracking_round_trip(stick, tmp_path, order, named):
    walk = stick_walk(yaw=0.3)
    write_wbt(walk, stick, tmp_path / "w.npz", order)
    _change(tmp_path / "w.npz", **({} if named else {"joint_names": None, "body_names": None}))
    result = read_motion_file(tmp_path / "w.npz", robot=stick)
    np.testing.assert_allclose(result.motion.qpos, walk.qpos, atol=1e-6)
    if not named:
        assert any(f"taken as {order}'s" in note for note in result.notes)
        with pytest.raises(InputError, match="give the robot"):
            read_motion_file(tmp_path / "w.npz")


def test_the_named_variant_with_the_world_and_the_whole_qpos(stick, tmp_path):
    walk = stick_walk(yaw=0.3)
    write_wbt(walk, stick, tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz") as data:
        poses = {key: np.concatenate([data[key][:, :1] * 0.0, data[key]], axis=1) for key in ("body_pos_w", "body_quat_w")}
        names = np.array(["world", *data["body_names"]])
    poses["body_quat_w"][:, 0, 0] = 1.0
    _change(tmp_path / "w.npz", joint_pos=walk.qpos, body_names=names, **poses)
    for robot in (stick, None):
        result = read_motion_file(tmp_path / "w.npz", robot=robot)
        np.testing.assert_allclose(result.motion.qpos, walk.qpos, atol=1e-6)
        assert any("first seven columns" in note for note in result.notes)


def test_isaacs_order_is_breadth_first(g1):
    joints, bodies = breadth_first(g1)
    names = [g1.joint_names[j] for j in joints]
    # As Isaac lists Unitree's G1.
    assert names[:9] == [
        "left_hip_pitch_joint",
        "right_hip_pitch_joint",
        "waist_yaw_joint",
        "left_hip_roll_joint",
        "right_hip_roll_joint",
        "waist_roll_joint",
        "left_hip_yaw_joint",
        "right_hip_yaw_joint",
        "waist_pitch_joint",
    ]
    assert sorted(joints) == list(range(29))
    assert g1.body_names[1:][bodies[0]] == "pelvis"


def _change(path, **changes) -> None:
    with np.load(path) as data:
        arrays = {key: data[key] for key in data.files} | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"body_quat_w": None}, "lacks body_quat_w"),
        ({"joint_pos": np.zeros((60, 6))}, "7 joint_names for 6 columns"),
        ({"joint_pos": np.zeros((60, 6)), "joint_names": None}, "6 joints, but robot 'stick' has 7"),
        ({"joint_pos": np.zeros((59, 7))}, "shapes disagree"),
        ({"joint_pos": np.full((60, 7), np.nan)}, "joint_pos has a non-finite value at index .0, 0."),
        ({"joint_pos": np.zeros(60)}, r"joint_pos is float64 of shape \(60,\), expected numbers of shape \(any, any\)"),
        ({"joint_pos": np.ones((60, 7)), "joint_names": None}, "fit robot 'stick' neither in MuJoCo's"),
        ({"fps": np.array([30.0, 30.0])}, "fps is float64 of shape .2,., expected numbers"),
        ({"fps": np.array([0.0])}, "the frame rate is 0"),
        ({"body_names": np.array(["pelvis"])}, "1 body_names for 8 bodies"),
        ({"joint_names": np.array(list("abcdefg"))}, "does not fit robot 'stick'"),
        ({"joint_pos": None}, "of no kind we read"),
    ],
)
def test_broken_whole_body_tracking_files(stick, tmp_path, changes, message):
    write_wbt(stick_walk(), stick, tmp_path / "w.npz")
    _change(tmp_path / "w.npz", **changes)
    with pytest.raises(InputError, match=message):
        read_motion_file(tmp_path / "w.npz", robot=stick)
