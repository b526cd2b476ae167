"""Guessed mappings: what a person wrote for the same robot is the reference; text and file read back as the same."""

import mujoco
import numpy as np
import pytest

from motions.errors import InputError
from motions.kinematics import Body
from retarget.mapping import RobotMap, load_map, map_robot, shipped_robot_maps
from retarget.propose import map_to_toml, propose_map
from retarget.rig import build_rig
from tests.test_retarget_robots import CASES, body_of

HAND_TIP_M = 0.05  # a forearm's end is a matter of taste to this much

# A biped of capsules that faces -x, has no actuators, limits or sides in its names, and arms held out.
NAMELESS = """
<mujoco><worldbody><body name="j1" pos="0 0 1"><freejoint/><geom type="box" size="0.1 0.15 0.1"/>
  <body name="j2" pos="0 -0.1 -0.1"><joint name="a" axis="1 0 0"/><joint name="b" axis="0 1 0"/>
    <geom type="capsule" size="0.04" fromto="0 0 0 0 0 -0.4"/>
    <body name="j3" pos="0 0 -0.4"><joint name="c" axis="0 1 0"/><geom type="capsule" size="0.04" fromto="0 0 0 0 0 -0.4"/>
      <body name="j4" pos="0 0 -0.4"><joint name="d" axis="0 1 0"/><geom type="box" size="0.1 0.04 0.02" pos="-0.05 0 -0.04"/></body></body></body>
  <body name="j5" pos="0 0.1 -0.1"><joint name="e" axis="1 0 0"/><joint name="f" axis="0 1 0"/>
    <geom type="capsule" size="0.04" fromto="0 0 0 0 0 -0.4"/>
    <body name="j6" pos="0 0 -0.4"><joint name="g" axis="0 1 0"/><geom type="capsule" size="0.04" fromto="0 0 0 0 0 -0.4"/>
      <body name="j7" pos="0 0 -0.4"><joint name="h" axis="0 1 0"/><geom type="box" size="0.1 0.04 0.02" pos="-0.05 0 -0.04"/></body></body></body>
  <body name="j8" pos="0 0 0.1"><joint name="i" axis="0 0 1"/><geom type="box" size="0.1 0.15 0.2" pos="0 0 0.2"/>
    <body name="j9" pos="0 -0.2 0.4"><joint name="k" axis="1 0 0"/><geom type="capsule" size="0.03" fromto="0 0 0 0 -0.3 0"/>
      <body name="j10" pos="0 -0.3 0"><joint name="l" axis="0 0 1"/><geom type="capsule" size="0.03" fromto="0 0 0 0 -0.25 0"/></body></body>
    <body name="j11" pos="0 0.2 0.4"><joint name="m" axis="1 0 0"/><geom type="capsule" size="0.03" fromto="0 0 0 0 0.3 0"/>
      <body name="j12" pos="0 0.3 0"><joint name="n" axis="0 0 1"/><geom type="capsule" size="0.03" fromto="0 0 0 0 0.25 0"/></body></body>
  </body></body></worldbody></mujoco>"""  # noqa: E501


def body(xml: str, name: str = "nameless") -> Body:
    return Body(name, mujoco.MjModel.from_xml_string(xml))


@pytest.mark.parametrize(("name", "file"), CASES)
def test_the_proposal_is_what_a_person_wrote(name, file, shared_robots):
    model = body_of(shared_robots, file)
    wanted, (found, notes) = shipped_robot_maps()[name], propose_map(model)
    assert found.bodies == wanted.bodies
    for role in wanted.bodies:
        away = np.subtract(found.offsets.get(role, (0.0, 0.0, 0.0)), wanted.offsets.get(role, (0.0, 0.0, 0.0)))
        assert np.linalg.norm(away) < (HAND_TIP_M if role.endswith("hand") else 0.005), role
    assert found.upright == pytest.approx(dict(wanted.upright), abs=0.02)
    assert "guessed" in notes[0]
    joints = set(model.joint_names)
    both = {joint for joint in wanted.rest if joint in found.rest} & joints
    assert len(both) >= 2  # knees at least
    for joint in both:
        assert found.rest[joint] == pytest.approx(wanted.rest[joint], abs=0.35), joint
    build_rig(model, map_robot(model, found))


def test_a_robot_without_names_masses_or_limits():
    model = body(NAMELESS)
    model.model.body_mass[:] = 0.0  # MuJoCo compiles no such model, but may be handed one
    mapping = map_robot(model)
    legs = ("l_thigh", "l_shank", "l_foot", "r_thigh", "r_shank", "r_foot")
    assert [mapping.bodies[role] for role in legs] == ["j5", "j6", "j7", "j2", "j3", "j4"]
    arms = ("pelvis", "chest", "l_upper_arm", "l_forearm", "l_hand", "r_upper_arm", "r_forearm", "r_hand")
    assert [mapping.bodies[role] for role in arms] == ["j1", "j8", "j11", "j12", "j12", "j9", "j10", "j10"]
    assert mapping.offsets["l_hand"] == pytest.approx((0.0, 0.25, 0.0), abs=1e-3)
    assert mapping.limits["c"][0] == pytest.approx(-0.07, abs=1e-3)  # knees bend about +y only
    assert mapping.limits["n"][1] == pytest.approx(0.17, abs=1e-3)  # the left elbow about -z: the hand goes forward
    assert mapping.limits["l"][0] == pytest.approx(-0.17, abs=1e-3)
    assert mapping.rest["m"] == pytest.approx(-1.3, abs=0.01)  # down
    assert any("guessed" in note for note in mapping.notes)
    rig = build_rig(model, mapping)
    assert rig.mass.sum() > 0
    assert np.isfinite(rig.masses.offset).all()


def test_left_is_what_names_call_left_even_if_the_model_looks_the_other_way():
    xml = NAMELESS
    for old, new in (("j4", "left_foot"), ("j7", "right_foot")):
        xml = xml.replace(f'"{old}"', f'"{new}"')
    mapping = propose_map(body(xml))[0]
    assert mapping.bodies["l_foot"] == "left_foot"
    assert mapping.bodies["l_upper_arm"] == "j9"
    rig = build_rig(body(xml), mapping)
    assert rig.upright[3:7] == pytest.approx([0.0, 0.0, 0.0, -1.0], abs=1e-9) or rig.upright[6] == pytest.approx(1.0)
    assert rig.joint_xyz[rig.role("l_thigh"), 1] == pytest.approx(0.1)


@pytest.mark.parametrize(("name", "file"), CASES[:3])
def test_a_proposal_written_down_reads_back_as_the_same(name, file, shared_robots, tmp_path):
    mapping, _ = propose_map(body_of(shared_robots, file))
    path = tmp_path / "map.toml"
    path.write_text(map_to_toml(mapping, "first line\nsecond line"))
    assert load_map(path) == mapping


def test_every_name_survives_toml(tmp_path):
    odd = 'a "quoted" \\ name\twith = [everything] #'
    mapping = RobotMap({"pelvis": odd}, {"pelvis": (0.1, 0.0, -1e-7)}, {odd: (-1.0, 1e9)}, {odd: 0.25}, {}, {odd: -3.0})
    path = tmp_path / "map.toml"
    path.write_text(map_to_toml(mapping))
    assert load_map(path) == mapping


@pytest.mark.parametrize("legs", [1, 3])
def test_a_body_with_neither_two_legs_nor_four_is_refused_in_words(legs):
    shape = '<joint axis="0 1 0"/><geom type="capsule" size="0.03" fromto="0 0 0 0 0 -0.5"/>'
    limbs = "".join(f'<body name="leg{i}" pos="{0.3 * (i // 2)} {0.2 * (i % 2)} 0">{shape}</body>' for i in range(legs))
    xml = f'<mujoco><worldbody><body name="base"><freejoint/><geom size="0.1"/>{limbs}</body></worldbody></mujoco>'
    with pytest.raises(InputError, match=rf"{legs} limb\(s\) reach the ground.*expected two or four legs"):
        propose_map(body(xml, "animal"))
