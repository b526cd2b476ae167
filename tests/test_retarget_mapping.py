"""Which joint is which: the naming families, and clear errors where a skeleton or robot cannot be read."""

import mujoco
import numpy as np
import pytest

from motions.errors import InputError
from motions.kinematics import Body
from motions.skeleton import Skeleton
from retarget.mapping import RobotMap, map_robot, map_source, shipped_robot_maps

FAMILIES = {
    "cmu_bvh": ("Hips", "Spine1", "Head", "{side}Shoulder", "{side}Arm", "{side}ForeArm", "{side}Hand",
                "{side}UpLeg", "{side}Leg", "{side}Foot", "{side}ToeBase"),
    "3dsmax": ("Hips", "Chest2", "Head", "{side}Collar", "{side}Shoulder", "{side}Elbow", "{side}Wrist",
               "{side}Hip", "{side}Knee", "{side}Ankle", "{side}Toe"),
    "mixamo": ("mixamorig:Hips", "mixamorig:Spine2", "mixamorig:Head", "mixamorig:{side}Shoulder", "mixamorig:{side}Arm",
               "mixamorig:{side}ForeArm", "mixamorig:{side}Hand", "mixamorig:{side}UpLeg", "mixamorig:{side}Leg",
               "mixamorig:{side}Foot", "mixamorig:{side}ToeBase"),
    "motionbuilder": ("Character1_Hips", "Character1_Spine1", "Character1_Head", "Character1_{side}Shoulder",
                      "Character1_{side}Arm", "Character1_{side}ForeArm", "Character1_{side}Hand", "Character1_{side}UpLeg",
                      "Character1_{side}Leg", "Character1_{side}Foot", "Character1_{side}ToeBase"),
    "asf": ("root", "thorax", "head", "{s}clavicle", "{s}humerus", "{s}radius", "{s}wrist",
            "{s}femur", "{s}tibia", "{s}foot", "{s}toes"),
    "smpl": ("Pelvis", "Spine3", "Head", "{S}_Collar", "{S}_Shoulder", "{S}_Elbow", "{S}_Wrist",
             "{S}_Hip", "{S}_Knee", "{S}_Ankle", "{S}_Foot"),
}  # fmt: skip


def skeleton(names: tuple[str, ...]) -> Skeleton:
    """Root, chest, head, then per side: collar, upper arm, forearm, hand, thigh, shank, foot, toe."""
    joints, parents = [*names[:3]], [-1, 0, 1]
    for side in ("Left", "Right"):
        filled = [n.format(side=side, s=side[0].lower(), S=side[0]) for n in names[3:]]
        start = len(joints)
        joints += filled
        parents += [1, start, start + 1, start + 2, 0, start + 4, start + 5, start + 6]
    offsets = np.tile([0.1, 0.0, 0.1], (len(joints), 1))
    return Skeleton(tuple(joints), tuple(parents), offsets)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_finds_all_roles(family):
    found = map_source(skeleton(FAMILIES[family]))
    left = ("l_upper_arm", "l_forearm", "l_hand", "l_thigh", "l_shank", "l_foot")
    assert [found[role] for role in left] == [4, 5, 6, 7, 8, 9]
    assert [found[role.replace("l_", "r_", 1)] for role in left] == [12, 13, 14, 15, 16, 17]
    assert (found["pelvis"], found["chest"], found["head"]) == (0, 1, 2)
    assert family == "smpl" or found["l_toe"] == 10


def test_a_skeleton_without_legs_is_refused_by_naming_what_lacks():
    names = ("Hips", "Chest", "Head")
    with pytest.raises(InputError, match=r"l_thigh.*r_foot.*Hips, Chest, Head"):
        map_source(Skeleton(names, (-1, 0, 1), np.zeros((3, 3))))


def test_limbs_in_the_wrong_order_are_refused():
    names = tuple(n.replace("UpLeg", "X").replace("Leg", "UpLeg").replace("X", "Leg") for n in FAMILIES["cmu_bvh"])
    with pytest.raises(InputError, match="does not hang below"):
        map_source(skeleton(names))


@pytest.fixture(scope="module")
def box() -> Body:
    xml = '<mujoco><worldbody><body name="box"><freejoint/><geom size="0.1" mass="1"/></body></worldbody></mujoco>'
    return Body("box", mujoco.MjModel.from_xml_string(xml))


def test_an_unknown_robot_says_which_mappings_there_are(box):
    with pytest.raises(InputError, match=r"no retarget mapping fits robot 'box'.*g1.*humanoid"):
        map_robot(box)


def test_a_mapping_to_a_missing_body_is_refused(box):
    mapping = shipped_robot_maps()["g1"]
    with pytest.raises(InputError, match="has no body 'pelvis'"):
        map_robot(box, mapping)
    with pytest.raises(InputError, match=r"lacks the role\(s\) l_thigh"):
        map_robot(box, RobotMap({"pelvis": "box"}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bodies = [", "not a TOML file"),
        ("[body]\npelvis = 'box'", "expected the tables"),
        ("[bodies]\nl_tail = 'box'", "unknown role"),
        ("[bodies]\npelvis = 3", "expected a body's name"),
    ],
)
def test_a_bad_mapping_file_is_explained(box, tmp_path, text, expected):
    path = tmp_path / "robot.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=expected):
        map_robot(box, path)
