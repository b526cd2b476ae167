"""Which joint is which: the naming families, and clear errors where a skeleton or robot cannot be read."""

import mujoco
import numpy as np
import pytest

from motions.errors import InputError
from motions.formats import read_amc, read_bvh
from motions.formats.units import rest_positions
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
    "lafan1": ("Hips", "Spine2", "Head", "{side}Shoulder", "{side}Arm", "{side}ForeArm", "{side}Hand",
               "{side}UpLeg", "{side}Leg", "{side}Foot", "{side}Toe"),
    "100style": ("Hips", "Chest4", "Head", "{side}Collar", "{side}Shoulder", "{side}Elbow", "{side}Wrist",
                 "{side}Hip", "{side}Knee", "{side}Ankle", "{side}Toe"),
    "bandai_namco": ("Hips", "Chest", "Head", "Shoulder_{S}", "UpperArm_{S}", "LowerArm_{S}", "Hand_{S}",
                     "UpperLeg_{S}", "LowerLeg_{S}", "Foot_{S}", "Toes_{S}"),
    "xsens": ("Pelvis", "T8", "Head", "{side}Shoulder", "{side}UpperArm", "{side}ForeArm", "{side}Hand",
              "{side}UpperLeg", "{side}LowerLeg", "{side}Foot", "{side}Toe"),
    "deepmimic": ("root", "chest", "head", "{low}_clavicle", "{low}_shoulder", "{low}_elbow", "{low}_wrist",
                  "{low}_hip", "{low}_knee", "{low}_ankle", "{low}_toe"),
    "mujoco_humanoid": ("pelvis", "torso", "head", "{low}_clavicle", "{low}_upper_arm", "{low}_lower_arm", "{low}_hand",
                        "{low}_thigh", "{low}_shin", "{low}_foot", "{low}_toes"),
    "3dsmax_biped": ("Bip01 Pelvis", "Bip01 Spine1", "Bip01 Head", "Bip01 {S} Clavicle", "Bip01 {S} UpperArm",
                     "Bip01 {S} Forearm", "Bip01 {S} Hand", "Bip01 {S} Thigh", "Bip01 {S} Calf", "Bip01 {S} Foot",
                     "Bip01 {S} Toe0"),
    "unreal": ("pelvis", "spine_03", "head", "clavicle_{s}", "upperarm_{s}", "lowerarm_{s}", "hand_{s}",
               "thigh_{s}", "calf_{s}", "foot_{s}", "ball_{s}"),
    "rigify": ("DEF-spine", "DEF-spine.003", "head", "DEF-shoulder.{S}", "DEF-upper_arm.{S}", "DEF-forearm.{S}", "DEF-hand.{S}",
               "DEF-thigh.{S}", "DEF-shin.{S}", "DEF-foot.{S}", "DEF-toe.{S}"),
    "soma": ("Hips", "Chest", "Head", "{side}Shoulder", "{side}Arm", "{side}ForeArm", "{side}Hand",
             "{side}Leg", "{side}Shin", "{side}Foot", "{side}ToeBase"),
}  # fmt: skip


def skeleton(names: tuple[str, ...]) -> Skeleton:
    """Root, chest, head, then per side: collar, upper arm, forearm, hand, thigh, shank, foot, toe."""
    joints, parents = [*names[:3]], [-1, 0, 1]
    for side in ("Left", "Right"):
        filled = [n.format(side=side, low=side.lower(), s=side[0].lower(), S=side[0]) for n in names[3:]]
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
    assert not found.notes


def test_a_skeleton_without_legs_is_refused_by_naming_what_lacks():
    names = ("Hips", "Chest", "Head")
    with pytest.raises(InputError, match=r"l_thigh.*r_foot.*Hips, Chest, Head"):
        map_source(Skeleton(names, (-1, 0, 1), np.zeros((3, 3))))


def test_limbs_in_the_wrong_order_are_refused():
    names = tuple(n.replace("UpLeg", "X").replace("Leg", "UpLeg").replace("X", "Leg") for n in FAMILIES["cmu_bvh"])
    with pytest.raises(InputError, match="does not hang below"):
        map_source(skeleton(names))


# A person who stands: name, parent, place in the rest pose [m] with x ahead, y left, z up; one side, then mirrored.
MIDDLE = (
    ("hips", None, (0, 0, 0)),
    ("spine", "hips", (0, 0, 0.2)),
    ("neck", "spine", (0, 0, 0.5)),
    ("skull", "neck", (0, 0, 0.6)),
)
SIDE = (
    ("thigh", "hips", (0, 0.1, -0.05)), ("shank", "thigh", (0, 0.1, -0.45)), ("foot", "shank", (0, 0.1, -0.85)),
    ("toe", "foot", (0.14, 0.1, -0.92)), ("collar", "spine", (0, 0.03, 0.45)), ("upper_arm", "collar", (0, 0.18, 0.45)),
    ("forearm", "upper_arm", (0, 0.46, 0.45)), ("hand", "forearm", (0, 0.71, 0.45)), ("finger", "hand", (0, 0.8, 0.45)),
)  # fmt: skip


def nameless(turn: float, sides: tuple[str, str] = ("l_", "r_")) -> tuple[Skeleton, dict[str, int]]:
    """That person, turned about z, with all names replaced by joint1 ... N; role -> index."""
    rows = [*MIDDLE, *((s + n, p if p in ("hips", "spine") else s + p, (x, y if s == "l_" else -y, z))
                       for s in sides for n, p, (x, y, z) in SIDE)]  # fmt: skip
    index = {row[0]: i for i, row in enumerate(rows)}
    c, s = np.cos(turn), np.sin(turn)
    places = np.array([row[2] for row in rows]) @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    parents = [-1 if row[1] is None else index[row[1]] for row in rows]
    offsets = np.array([place - (places[p] if p >= 0 else 0) for place, p in zip(places, parents, strict=True)])
    return Skeleton(tuple(f"joint{i + 1}" for i in range(len(rows))), tuple(parents), offsets), index


@pytest.mark.parametrize("turn", [0.0, 1.2, np.pi, -1.5])
@pytest.mark.parametrize("sides", [("l_", "r_"), ("r_", "l_")])
def test_without_names_the_shape_tells(turn, sides):
    person, index = nameless(turn, sides)
    found = map_source(person)
    roles = [s + part for s in ("l_", "r_") for part in ("thigh", "shank", "foot", "toe", "upper_arm", "forearm", "hand")]
    assert {role: found[role] for role in roles} == {role: index[role] for role in roles}
    assert (found["pelvis"], found["chest"], found["head"]) == (index["hips"], index["spine"], index["skull"])
    assert "guessed" in found.notes[0]
    assert f"l_shank = joint{index['l_shank'] + 1}" in found.notes[0]


def test_a_rest_pose_that_does_not_stand_gives_way_to_the_first_frame():
    person, index = nameless(0.0)
    lying = Skeleton(person.joint_names, person.parents, np.abs(person.offsets).sum(axis=1)[:, None] * [1.0, 0.0, 0.0])
    with pytest.raises(InputError, match=r"no joint found for l_thigh.*no two legs.*joint1, joint2"):
        map_source(lying)
    found = map_source(lying, rest_positions(person))
    assert found["l_shank"] == index["l_shank"]


@pytest.mark.parametrize(
    "file",
    ["cmu_bvh/02_01_walk.bvh", "cmu_bvh/131_01_start_walk_stop.bvh", "mss_bvh/run_simple.bvh", "cmu_asfamc/07_05-walk.amc"],
)
def test_shape_and_names_agree_on_captured_skeletons(file, shared_data):
    path = shared_data / "motions" / file
    person = (read_bvh if path.suffix == ".bvh" else read_amc)(path).skeleton
    names = tuple(f"joint{i}" for i in range(len(person.parents)))
    ends = tuple(names[person.index(n)] for n in person.end_sites)
    by_shape, by_name = map_source(Skeleton(names, person.parents, person.offsets, ends)), map_source(person)
    assert by_shape.notes
    assert not by_name.notes
    assert by_shape.joints == {role: by_name.joints.get(role) for role in by_shape.joints}
    assert {"l_hand", "r_foot", "pelvis", "chest", "head"} <= by_shape.joints.keys()


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
        ("bodies = 3", "expected a table"),
        ("[bodies]\npelvis = { body = 'box', offset = [1, 2] }", "pelvis is .*expected 3 numbers"),
        ("[bodies]\npelvis = { body = 'box', offset = 'far' }", "expected 3 numbers"),
        ("[bodies]\npelvis = 'box'\n[limits]\nknee = 1.0", "knee is 1.0, expected 2 numbers"),
        ("[bodies]\npelvis = 'box'\n[rest]\nknee = nan", "knee is nan, expected a number"),
    ],
)
def test_a_bad_mapping_file_is_explained(box, tmp_path, text, expected):
    path = tmp_path / "robot.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=expected):
        map_robot(box, path)


def test_a_hand_without_a_forearm_is_refused(box):
    legs = {f"{side}_{part}": "box" for side in "lr" for part in ("thigh", "shank", "foot")}
    with pytest.raises(InputError, match="has l_hand without l_forearm"):
        map_robot(box, RobotMap({"pelvis": "box", **legs, "l_hand": "box"}))
