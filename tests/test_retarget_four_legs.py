"""Four legs: by names and by shape; a gait that is known on a robot comes back; feet stand by C MuJoCo's own geometry."""

from itertools import pairwise

import mujoco
import numpy as np
import pytest

from mimic.robots import load_robot
from motions.clips import demo_bvh
from motions.errors import InputError
from motions.formats import read_bvh
from motions.formats.laikago import laikago_skeleton
from motions.kinematics import Body, forward_kinematics
from motions.motion import Motion
from motions.rotations import quat_angle, quat_conj, quat_mul, quat_rotate
from motions.skeleton import Skeleton, SkeletonMotion
from retarget import assess, retarget
from retarget.bake import bake
from retarget.capture import capture
from retarget.four_legs import leg_and_core
from retarget.mapping import RobotMap, map_robot, map_source
from retarget.pipeline import rig_of
from retarget.roles import FOUR_LEGS

PARTS = ("thigh", "shank", "foot")
FPS, STEP_S, FRAMES = 30.0, 0.5, 61
THIGH, CALF, YAW = 0.7, -1.4, 0.8
LEG_XML = """<body name="{n}0" pos="{x} {y} 0"><joint name="{n}a" axis="1 0 0" range="-1 1"/>
    <geom type="sphere" size="0.04" mass="0.5"/>
    <body name="{n}1" pos="0 {out} 0"><joint name="{n}b" axis="0 1 0" range="-1.5 3"/>
      <geom type="capsule" size="0.02" fromto="0 0 0 0 0 -0.2" mass="0.8"/>
      <body name="{n}2" pos="0 0 -0.2"><joint name="{n}c" axis="0 1 0" range="-2.6 -0.8"/>
        <geom type="capsule" size="0.012" fromto="0 0 0 0 0 -0.18" mass="0.2"/>
        <geom name="{n}foot" type="sphere" size="0.02" pos="0 0 -0.22"/></body></body></body>"""
CORNERS = {"p": (0.2, 0.05, 0.08), "q": (0.2, -0.05, -0.08), "r": (-0.2, 0.05, 0.08), "s": (-0.2, -0.05, -0.08)}


@pytest.fixture(scope="module")
def body() -> Body:
    """A quadruped whose names say nothing, hind legs before front ones."""
    legs = "".join(LEG_XML.format(n=n, x=x, y=y, out=out) for n, (x, y, out) in reversed(CORNERS.items()))
    trunk = '<geom type="box" size="0.2 0.06 0.05" mass="6"/>'
    xml = f'<mujoco><compiler angle="radian"/><worldbody><body name="t"><freejoint/>{trunk}{legs}</body></worldbody></mujoco>'
    return Body("quadruped", mujoco.MjModel.from_xml_string(xml))


@pytest.fixture(scope="module")
def gait(body) -> Motion:
    """Steps on the spot: diagonal pairs lift their feet in turn, the trunk is still, heading `YAW`."""
    phase = np.arange(FRAMES) / FPS / STEP_S
    lift = np.sin(np.pi * (phase % 1.0)) ** 2
    qpos = np.zeros((FRAMES, body.model.nq))
    qpos[:, 2] = 0.2 * np.cos(THIGH) + 0.22 * np.cos(THIGH + CALF) + 0.02
    qpos[:, 3], qpos[:, 6] = np.cos(YAW / 2), np.sin(YAW / 2)
    for n in CORNERS:
        swing = lift * (np.floor(phase) % 2 == (n in "qr"))
        for joint, angle in ((f"{n}b", THIGH + 0.3 * swing), (f"{n}c", CALF - 0.7 * swing)):
            qpos[:, 7 + body.joint_names.index(joint)] = angle
    return Motion("steps", "quadruped", FPS, qpos, body.joint_names)


@pytest.fixture(scope="module")
def source(body, gait) -> SkeletonMotion:
    """The same motion as captured on an animal of 1.5 times the size, whose names tell the legs."""
    model = body.model
    words = dict(zip(CORNERS, ("FrontLeft", "FrontRight", "HindLeft", "HindRight")))
    names, parents, bodies, offsets = ["root"], [-1], [1], [np.zeros(3)]
    for n, leg in words.items():
        for k, part in enumerate(("Hip", "UpperLeg", "LowerLeg", "Foot")):
            names.append(leg + part)
            parents.append(0 if k == 0 else len(names) - 2)
            bodies.append(0 if k == 3 else model.body(f"{n}{k}").id)
            offsets.append(np.array([0.0, 0.0, -0.22]) if k == 3 else model.body_pos[bodies[-1]])
    _, xquat = forward_kinematics(body, gait.qpos)
    local = np.tile([1.0, 0.0, 0.0, 0.0], (FRAMES, len(names), 1))
    for j, (parent, b) in enumerate(zip(parents, bodies)):
        if b:
            local[:, j] = xquat[:, b] if parent < 0 else quat_mul(quat_conj(xquat[:, bodies[parent]]), xquat[:, b])
    skeleton = Skeleton(tuple(names), tuple(parents), 1.5 * np.array(offsets), tuple(n for n in names if n.endswith("Foot")))
    return SkeletonMotion("steps", skeleton, FPS, 1.5 * gait.qpos[:, :3], local)


@pytest.fixture(scope="module")
def solved(body, source):
    return retarget(source, body)


def foot_heights(body: Body, qpos: np.ndarray) -> np.ndarray:
    """Of the lowest points of the feet (F, 4) [m], by C MuJoCo."""
    data, found = mujoco.MjData(body.model), []
    for pose in qpos:
        data.qpos[:] = pose
        mujoco.mj_kinematics(body.model, data)
        found.append([data.geom(f"{n}foot").xpos[2] - 0.02 for n in CORNERS])
    return np.array(found)


def test_a_known_gait_comes_back(gait, solved):
    motion, report = solved
    assert report.converged
    assert report.limit_violations == 0
    assert [report.fidelity, report.joint_feasibility, report.non_floating, report.non_penetration] == [100.0] * 4
    assert report.non_skating == 100.0
    assert report.worst_penetration_m < 0.003
    assert report.scale == pytest.approx(0.99 / 1.5)
    assert np.rad2deg(quat_angle(motion.qpos[:, 3:7], gait.qpos[:, 3:7])).max() < 3.0
    away = np.abs(motion.qpos[:, 7:] - gait.qpos[:, 7:])
    assert away.mean() < 0.05
    assert np.percentile(away, 99) < 0.2


def test_the_feet_that_stood_stand_and_the_others_swing(body, gait, solved):
    was, now = foot_heights(body, gait.qpos), foot_heights(body, solved[0].qpos)
    assert now.min() > -0.003
    assert np.abs(now[was < 1e-6]).max() < 0.004
    assert (now[was > 0.03] > 0.02).all()
    assert (was > 0.03).any(axis=0).all()


def test_a_robots_own_gait_is_assessed(body, gait):
    report = assess(gait, body)
    assert min(report.fidelity, report.non_floating, report.non_penetration, report.non_skating) == 100.0
    assert report.worst_penetration_m < 1e-6
    lifted = Motion("lifted", gait.robot, FPS, gait.qpos + np.eye(body.model.nq)[2] * 0.02, gait.joint_names)
    assert assess(lifted, body).non_floating == 0.0
    sliding = gait.qpos.copy()
    sliding[:, 0] += 0.12 * np.arange(FRAMES) / FPS
    assert assess(Motion("sliding", gait.robot, FPS, sliding, gait.joint_names), body).non_skating < 50.0


def test_baked_back_the_paws_are_where_they_were(body, source, solved):
    baked = bake(solved[0], body, source)
    assert baked.skeleton is source.skeleton
    was, now = source.forward_kinematics()[0], baked.forward_kinematics()[0]
    paws = [j for j, name in enumerate(source.skeleton.joint_names) if name.endswith("Foot")]
    away = np.linalg.norm(now - was, axis=-1)
    assert away[:, paws].mean() < 0.01
    assert away.max() < 0.06


def test_a_guess_finds_the_corners(body):
    mapping = map_robot(body)
    assert mapping.bodies["pelvis"] == "t"
    for leg, n in zip(FOUR_LEGS, CORNERS):
        assert [mapping.bodies[leg + part] for part in PARTS] == [f"{n}1", f"{n}2", f"{n}2"]
        assert mapping.offsets[leg + "foot"] == pytest.approx((0.0, 0.0, -0.22))
        assert mapping.rest[f"{n}c"] == pytest.approx(-1.6)  # as the range says, the knee goes back
        assert mapping.rest[f"{n}b"] == pytest.approx(0.8)
    assert any("four legs" in note for note in mapping.notes)
    rig = rig_of(body)
    assert rig.legs == FOUR_LEGS
    np.testing.assert_allclose(rig.hips_xy, [(x, y + out) for x, y, out in CORNERS.values()], atol=1e-9)


def test_two_legs_and_four_do_not_meet(body, source, gait):
    human = read_bvh(demo_bvh())
    with pytest.raises(InputError, match=r"walks on 2 legs and robot 'quadruped' on 4"):
        retarget(human, body)
    with pytest.raises(InputError, match=r"'steps' walks on 4 legs and robot 'humanoid' on 2"):
        retarget(source, load_robot("humanoid").body)
    with pytest.raises(InputError, match=r"walks on 4 legs, the skeleton on 2"):
        bake(gait, body, human)


def test_a_mapping_has_two_legs_or_four(body):
    bodies = dict(map_robot(body).bodies)
    with pytest.raises(InputError, match=r"four legs \(fl_, fr_, hl_, hr_\) and also l_thigh"):
        map_robot(body, RobotMap(bodies | {"l_thigh": "p1"}))
    del bodies["hr_shank"]
    with pytest.raises(InputError, match=r"lacks the role\(s\) hr_shank"):
        map_robot(body, RobotMap(bodies))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("FL_upper_leg", ("fl_", "upperleg")),
        ("RR_toe", ("hr_", "toe")),
        ("LF_HFE", ("fl_", "hfe")),
        ("RH_KFE", ("hr_", "kfe")),
        ("FrontRightLowerLeg", ("fr_", "lowerleg")),
        ("left_hind_paw", ("hl_", "paw")),
        ("thigh.back.R", ("hr_", "thigh")),
        ("LeftUpLeg", ("", "leftupleg")),
        ("Head", ("", "head")),
    ],
)
def test_names_of_four_legs(name, expected):
    assert leg_and_core(name) == expected


def expected_laikago() -> dict[str, int]:
    skeleton = laikago_skeleton()
    legs = dict(zip(FOUR_LEGS, ("FL", "FR", "RL", "RR")))
    parts = dict(zip(PARTS, ("upper_leg", "lower_leg", "toe")))
    return {leg + part: skeleton.index(f"{n}_{p}") for leg, n in legs.items() for part, p in parts.items()} | {"pelvis": 0}


def test_a_quadrupeds_names_and_its_shape_agree():
    named = laikago_skeleton()
    found = map_source(named)
    assert dict(found.joints) == expected_laikago()
    assert not found.notes
    nameless = Skeleton(tuple(f"joint{j}" for j in range(17)), named.parents, named.offsets)
    guessed = map_source(nameless)
    assert dict(guessed.joints) == expected_laikago()
    assert "guessed" in guessed.notes[0]


def test_a_thigh_whose_joint_lies_beside_the_leg_is_seen_in_its_plane():
    """Laikago's do, by 2 cm: as captured, thigh and shank are at right angles to the axis that both turn about."""
    skeleton, frames = laikago_skeleton(), 20
    local = np.tile([1.0, 0.0, 0.0, 0.0], (frames, len(skeleton.parents), 1))
    for j, name in enumerate(skeleton.joint_names):
        angle, axis = 0.1 + 0.03 * j, [1.0, 0, 0] if name.endswith("hip_motor") else [0, 1.0, 0]
        local[:, j] = np.append(np.cos(angle / 2), np.sin(angle / 2) * np.array(axis))
    motion = SkeletonMotion("still", skeleton, FPS, np.zeros((frames, 3)), local)
    seen, (pos, quat) = capture(motion, map_source(skeleton), FPS).xyz, motion.forward_kinematics()
    for leg, n in zip(FOUR_LEGS, ("FL", "FR", "RL", "RR")):
        thigh = skeleton.index(f"{n}_upper_leg")
        axis = quat_rotate(quat[0, thigh], np.array([0.0, 1.0, 0.0]))
        for near, far in pairwise(PARTS):
            assert (seen[leg + far] - seen[leg + near])[5] @ axis == pytest.approx(0.0, abs=1e-9)
        moved = seen[leg + "thigh"][5] - pos[5, thigh]
        np.testing.assert_allclose(moved, (moved @ axis) * axis, atol=1e-9)
        assert abs(moved @ axis) == pytest.approx(0.02069)


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_a_nameless_animal_looks_where_its_head_is(turn):
    """A spine with a neck and head at one end; front legs hang from it, hind legs from the hips; toes below every ankle."""
    rows = [("hips", None, (0, 0, 0.5)), ("spine", "hips", (0.4, 0, 0.55)), ("neck", "spine", (0.55, 0, 0.8)),
            ("skull", "neck", (0.7, 0, 0.85)), ("tail", "hips", (-0.3, 0, 0.5))]  # fmt: skip
    for leg, top, x in (("f", "spine", 0.4), ("h", "hips", 0.0)):
        for side, y in (("r_", -0.1), ("l_", 0.1)):
            n = leg + side
            rows += [(n + "thigh", top, (x, y, 0.45)), (n + "shank", n + "thigh", (x - 0.05, y, 0.25)),
                     (n + "foot", n + "shank", (x, y, 0.05)), (n + "toe", n + "foot", (x + 0.05, y, 0.0))]  # fmt: skip
    index = {row[0]: i for i, row in enumerate(rows)}
    places = np.array([row[2] for row in rows]) * [turn, turn, 1.0]
    parents = [-1 if row[1] is None else index[row[1]] for row in rows]
    offsets = np.array([place - (places[p] if p >= 0 else 0) for place, p in zip(places, parents)])
    found = map_source(Skeleton(tuple(f"joint{i}" for i in range(len(rows))), tuple(parents), offsets))
    assert {role: found[role] for role in found.joints if role != "pelvis"} == {
        leg + part: index[leg + part] for leg in FOUR_LEGS for part in PARTS
    }
    assert found["pelvis"] == index["hips"]
