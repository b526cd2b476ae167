"""Robots from files of one's own: what is derived where an MJCF does not say it, and clear words where it cannot work."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from mimic.robots import load_robot
from mimic.robots.derive import lowest_point
from mimic.robots.spec_file import spec_to_toml
from motions.errors import InputError


def biped(joints: str = "", root: str = "<freejoint/>", rest: str = "") -> str:
    """A torso on two legs of two hinges each; nothing said about gains, limits, floor or names of geoms."""
    legs = "".join(
        f"""<body name="{side}_thigh" pos="0 {y} -.2"><joint name="{side}_hip" axis="0 1 0" range="-2 2" {joints}/>
              <geom type="capsule" fromto="0 0 0 0 0 -.3" size=".05"/>
              <body name="{side}_shin" pos="0 0 -.4"><joint name="{side}_knee" axis="0 1 0" range=".2 2.5" {joints}/>
                <geom type="capsule" fromto="0 0 0 0 0 -.35" size=".04"/>
                <geom type="box" pos=".05 0 -.4" size=".1 .05 .02"/></body></body>"""
        for side, y in (("right", -0.1), ("left", 0.1))
    )
    return f"""<mujoco><compiler angle="radian"/><worldbody><body name="torso" pos="0 0 5">{root}
      <geom type="box" size=".1 .15 .2" mass="20"/>{legs}</body></worldbody>{rest}</mujoco>"""


def write(folder: Path, text: str, name: str = "biped.xml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_derived_traits_of_a_plain_file(tmp_path: Path) -> None:
    robot = load_robot(write(tmp_path, biped()))
    assert robot.name == "biped"
    assert robot.joint_names == ("right_hip", "right_knee", "left_hip", "left_knee")
    assert robot.foot_bodies == ("left_shin", "right_shin")
    assert robot.foot_geoms == ("left_shin_geom1", "right_shin_geom1")
    assert robot.anchor_body == "torso"
    assert robot.end_effectors == ("right_shin", "left_shin")
    np.testing.assert_allclose(robot.default_qpos[7:], [0, 0.2, 0, 0.2])  # as near to zero as the ranges allow
    data = mujoco.MjData(robot.model)
    data.qpos[:] = robot.default_qpos
    mujoco.mj_forward(robot.model, data)
    lows = [lowest_point(robot.model, data, robot.model.geom(g).id) for g in robot.foot_geoms]
    assert min(lows) == pytest.approx(0.0, abs=1e-9)
    # without armature: 3 Hz, damping ratio 1, so kd/kp = 2/w; full torque at 1 rad at the latest
    np.testing.assert_allclose(robot.kd / robot.kp, 2 / (2 * np.pi * 3))
    assert np.all(robot.effort / robot.kp <= 1 + 1e-9)
    said = " ".join(robot.assumptions)
    for word in (
        "named 'biped' after its file",
        "hinges are actuated",
        "without armature",
        "weight",
        "feet are left_shin",
        "anchor is torso",
        "feet on the floor",
    ):
        assert word in said


def test_derived_gains_use_the_armature_and_the_files_limits(tmp_path: Path) -> None:
    motors = "".join(
        f'<motor joint="{side}_{joint}" gear="{gear}" ctrlrange="-2 2"/>'
        for side in ("right", "left")
        for joint, gear in (("hip", 30), ("knee", 20))
    )
    text = biped('armature=".03" damping="3" stiffness="5"', rest=f"<actuator>{motors}</actuator>")
    robot = load_robot(write(tmp_path, text))
    np.testing.assert_allclose(robot.effort, [60, 40, 60, 40])
    np.testing.assert_allclose(robot.kp, 0.03 * (2 * np.pi * 10) ** 2)
    np.testing.assert_allclose(robot.kd, 4 * 0.03 * 2 * np.pi * 10)
    assert robot.model.nu == 4
    assert not robot.model.dof_damping.any()
    assert not robot.model.jnt_stiffness.any()
    assert "from their armature at 10 Hz" in " ".join(robot.assumptions)


def test_keyframe_home_is_the_default_pose(tmp_path: Path) -> None:
    keys = "<keyframe><key qpos='0 0 9 1 0 0 0 1 1 1 1'/><key name='home' qpos='0 0 9 1 0 0 0 -.5 1 -.5 1'/></keyframe>"
    robot = load_robot(write(tmp_path, biped(rest=keys)))
    np.testing.assert_allclose(robot.default_qpos[7:], [-0.5, 1, -0.5, 1])
    assert 0 < robot.default_qpos[2] < 1.2
    assert "keyframe 'home'" in " ".join(robot.assumptions)


def test_meshes_are_replaced_and_inertia_kept(tmp_path: Path) -> None:
    """A foot that is a colliding mesh becomes its box; a visual mesh that carries the mass leaves its inertia behind."""
    corners = " ".join(f"{x} {y} {z}" for x in (-0.1, 0.1) for y in (-0.05, 0.05) for z in (-0.02, 0.02))
    text = biped().replace('type="box" pos=".05 0 -.4" size=".1 .05 .02"', 'type="mesh" mesh="sole" pos=".05 0 -.4"')
    text = text.replace('type="box" size=".1 .15 .2" mass="20"', 'type="mesh" mesh="sole" mass="20" contype="0" conaffinity="0"')
    text = text.replace("<worldbody>", f'<asset><mesh name="sole" vertex="{corners}"/></asset><worldbody>')
    path = write(tmp_path, text)
    robot, original = load_robot(path), mujoco.MjModel.from_xml_path(path)
    assert robot.model.nmesh == 0
    np.testing.assert_allclose(robot.model.body_mass, original.body_mass, rtol=1e-5)
    np.testing.assert_allclose(robot.model.body_inertia, original.body_inertia, rtol=1e-4)
    sole = robot.model.geom("left_shin_geom1")
    assert sole.type[0] == mujoco.mjtGeom.mjGEOM_BOX
    np.testing.assert_allclose(np.sort(sole.size), [0.02, 0.05, 0.1], rtol=1e-4)
    assert "2 colliding meshes replaced" in robot.assumptions[0]


def test_a_spec_file_of_ones_own(tmp_path: Path) -> None:
    write(tmp_path, biped())
    spec = """
      name = "walker"
      files = ["biped.xml"]
      [joints]
      "*_hip" = { kp = 80.0, kd = 4.0, effort = 60.0, armature = 0.01 }
      "*_knee" = { kp = 50.0, kd = 2.0, effort = 40.0, armature = 0.02 }
      [default_pose]
      root_z = 1.0
      joints = { "*_knee" = 0.3 }
      [bodies]
      tracked = ["torso", "left_shin", "right_shin"]
      anchor = "torso"
      end_effectors = ["left_shin", "right_shin"]
      feet = ["left_shin", "right_shin"]
    """
    robot = load_robot(write(tmp_path, spec, "walker.toml"))
    assert robot.name == "walker"
    np.testing.assert_array_equal(robot.kp, [80, 50, 80, 50])
    np.testing.assert_array_equal(robot.default_qpos, [0, 0, 1, 1, 0, 0, 0, 0, 0.3, 0, 0.3])
    assert robot.assumptions == ()
    for old, new, told in (
        ('"*_hip" =', '"*_hipp" =', "exactly one pattern of .joints.: none for right_hip, left_hip"),
        ('"*_knee" = { kp', '"*" = { kp', "several for right_hip, left_hip"),
        ('anchor = "torso"', 'anchor = "tors"', "Did you mean 'torso'"),
        ("[default_pose]", "[default_pos]", "Did you mean 'default_pose'"),
        ('files = ["biped.xml"]', "", "lacks 'files'"),
        ("name =", "name ", "not a readable robot spec"),
    ):
        with pytest.raises(InputError, match=told):
            load_robot(write(tmp_path, spec.replace(old, new), "wrong.toml"))


@pytest.mark.parametrize("name", ["humanoid", "g1", "own"])
def test_a_spec_that_is_written_reads_back_as_the_same_robot(
    name: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "g1":
        monkeypatch.setenv("MIMIC_ROBOTS", str(request.getfixturevalue("shared_robots")))
    odd = biped('armature=".03"').replace("left_hip", "left[hip]*")  # not to be taken for a pattern
    robot = load_robot(write(tmp_path, odd) if name == "own" else name)
    (tmp_path / "specs").mkdir()
    again = load_robot(write(tmp_path / "specs", spec_to_toml(robot, tmp_path / "specs"), "mine.toml"))
    assert again.name == robot.name
    assert again.source.samefile(robot.source)
    rows = ("kp", "kd", "effort", "armature", "velocity_limit", "corner_velocity", "motor_friction", "motor_damping")
    for row in (*rows, "default_qpos"):
        np.testing.assert_allclose(getattr(again, row), getattr(robot, row), rtol=1e-5, atol=1e-6, err_msg=row)
    for names in ("tracked_bodies", "anchor_body", "end_effectors", "foot_bodies", "foot_geoms"):
        assert getattr(again, names) == getattr(robot, names)
    assert not any("foot geoms" in text for text in again.assumptions)


def test_a_written_spec_says_what_was_assumed_and_what_it_cannot_keep(tmp_path: Path) -> None:
    keys = "<keyframe><key name='home' qpos='0 0 9 0 0 0 1 0 1 0 1'/></keyframe>"
    text = spec_to_toml(load_robot(write(tmp_path, biped(rest=keys))), tmp_path)
    assert "# assumed: all 4 hinges are actuated" in text
    assert "# assumed: the root's turn is not kept, it is upright" in text


def test_a_model_that_a_spec_names_by_a_whole_path_and_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = spec_to_toml(load_robot(write(tmp_path, biped())), tmp_path).replace("biped.xml", str(tmp_path / "gone.xml"))
    monkeypatch.setenv("MIMIC_ROBOTS", str(tmp_path))
    with pytest.raises(InputError, match=r"no model of robot 'biped' found; tried .*gone\.xml"):
        load_robot(write(tmp_path, text, "gone.toml"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (biped(root=""), "must be a free joint"),
        (biped().replace('name="left_knee"', 'name="left_knee" type="slide"'), "only hinges.*left_knee"),
        (biped(rest='<equality><joint joint1="left_hip" joint2="right_hip"/></equality>'), "equality constraint 'left_hip'"),
        (biped(rest='<tendon><fixed name="t" stiffness="9"><joint joint="left_hip" coef="1"/></fixed></tendon>'), "tendon 't'"),
        ("<mujoco><sensor/></mujoco>", "no hinge joint"),
        ("<mujoco><worldbody>", "not a readable MJCF"),
        (biped().replace("<geom ", '<geom material="nowhere" ', 1), "cannot compile.*nowhere"),
        ("", "not a readable MJCF"),
    ],
)
def test_files_that_cannot_work_say_why(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        load_robot(write(tmp_path, text))
    assert "biped" in str(caught.value)
    assert "\n" not in str(caught.value)
