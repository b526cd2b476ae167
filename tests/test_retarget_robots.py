"""The shipped robot maps on the real models: bodies exist, the upright pose stands, bones are where limbs are."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mimic.robots import load_robot
from motions.formats import read_amc
from motions.formats.laikago import read_laikago
from motions.kinematics import Body
from motions.rotations import quat_angle
from retarget import retarget
from retarget.mapping import map_robot, shipped_robot_maps
from retarget.pipeline import rig_of
from retarget.rig import Rig

# Mapping -> models of the reference data that it must fit.
MODELS = {
    "g1": ("unitree_g1/nomesh/g1_mjlab_nomesh.xml", "unitree_g1_23dof/g1_29dof_anneal_23dof_nomesh.xml"),
    "h1": ("unitree_h1/h1_menagerie_nomesh.xml", "unitree_h1/playground_nomesh/scene_mjx_feetonly.xml"),
    "booster_t1": ("booster_t1/playground_nomesh/scene_mjx_feetonly_flat_terrain.xml",),
    "t1": ("booster_t1/t1_29dof_holosoma_nomesh.xml",),
    "op3": ("robotis_op3/playground_nomesh/scene_mjx_feetonly.xml",),
    "berkeley_humanoid": ("berkeley_humanoid/playground_nomesh/scene_mjx_feetonly_flat_terrain.xml",),
    "apollo": ("apptronik_apollo/playground_nomesh/scene_mjx_feetonly_flat_terrain.xml",),
    "go2": ("unitree_go2/go2_unitree_rl_mjlab_nomesh.xml",),
}
CASES = [("humanoid", "humanoid"), *((name, file) for name, files in MODELS.items() for file in files)]


@lru_cache(maxsize=32)
def body_of(robots: Path, file: str) -> Body:
    return load_robot(str(robots / file) if file.endswith(".xml") else file).body


def test_every_shipped_map_is_tested():
    assert set(shipped_robot_maps()) == {name for name, _ in CASES}


@pytest.mark.parametrize(("name", "file"), CASES)
def test_the_right_map_is_chosen_by_the_models_bodies(name, file, shared_robots):
    body = body_of(shared_robots, file)
    assert dict(map_robot(body).bodies) == dict(shipped_robot_maps()[name].bodies)
    shipped = shipped_robot_maps()[name]
    if "23dof" not in file:  # whose wrists are welded
        assert {*shipped.limits, *shipped.rest, *shipped.stiffness, *shipped.upright} <= set(body.joint_names)


def placed(rig: Rig) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """The upright pose, by C MuJoCo."""
    model, data = rig.body.model, mujoco.MjData(rig.body.model)
    data.qpos[:] = rig.upright
    mujoco.mj_kinematics(model, data)
    return model, data


@pytest.mark.parametrize(("name", "file"), CASES)
def test_the_upright_pose_stands_straight_and_looks_ahead(name, file, shared_robots):
    rig = rig_of(body_of(shared_robots, file))
    _, data = placed(rig)
    at = {role: spot(rig, data, role) for role in rig.roles}
    for role in rig.roles:
        np.testing.assert_allclose(rig.joint_xyz[rig.role(role)], at[role], atol=1e-9)
    assert len(rig.legs) == (4 if name == "go2" else 2)
    for side in rig.legs:
        sign = 1.0 if side.endswith("l_") else -1.0
        thigh, shank, foot = (at[side + part] for part in ("thigh", "shank", "foot"))
        leg = (thigh - foot) / np.linalg.norm(thigh - foot)
        assert leg[2] > 0.99
        assert np.linalg.norm(thigh - shank) + np.linalg.norm(shank - foot) < 1.01 * np.linalg.norm(thigh - foot)
        assert sign * thigh[1] > 0.01
    for (near, far), length in zip(rig.bones, rig.bone_length, strict=True):
        assert length == pytest.approx(np.linalg.norm(at[near] - at[far]))
        assert length > 0.08


@pytest.mark.parametrize(("name", "file"), [case for case in CASES if case[0] != "go2"])
def test_soles_are_flat_and_toes_ahead_of_heels(name, file, shared_robots):
    rig = rig_of(body_of(shared_robots, file))
    _, data = placed(rig)
    for side, foot in enumerate(("l_foot", "r_foot")):
        own = rig.sole_foot == side
        low = points(rig, data, rig.sole.link[own], rig.sole.offset[own])[:, 2] - rig.sole.radius[own]
        assert np.ptp(low) < 0.015
        ends = slice(2 * side, 2 * side + 2)
        heel, toe = points(rig, data, rig.heel_toe.link[ends], rig.heel_toe.offset[ends])
        ankle = rig.joint_xyz[rig.role(foot)]
        assert heel[0] < ankle[0] < toe[0]
        assert abs(heel[2] - toe[2]) < 0.005
        assert np.abs(low - (heel[2] - rig.heel_toe.radius[2 * side])).max() < 0.015


def test_point_feet_are_the_balls_they_stand_on(shared_robots):
    rig = rig_of(body_of(shared_robots, MODELS["go2"][0]))
    model, data = placed(rig)
    assert rig.ends_per_foot == 1
    assert rig.frame_roles == ("pelvis",)
    assert np.isinf(rig.ankle_effort)
    middles = points(rig, data, rig.heel_toe.link, rig.heel_toe.offset)
    balls = [data.geom(f"{leg}_foot_collision").xpos for leg in ("FL", "FR", "RL", "RR")]
    np.testing.assert_allclose(middles, balls, atol=1e-9)
    np.testing.assert_allclose(rig.heel_toe.radius, model.geom("FL_foot_collision").size[0])
    assert rig.ankle_height == pytest.approx(0.022)
    assert rig.leg_length == pytest.approx(2 * 0.213)
    np.testing.assert_allclose(rig.hips_xy, [(x, y) for x in (0.1934, -0.1934) for y in (0.142, -0.142)], atol=1e-9)


def points(rig: Rig, data: mujoco.MjData, links: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """World positions of points given in link frames, through the bodies that MuJoCo has placed."""
    found = []
    for link, offset in zip(links, offsets, strict=True):
        b = int(np.flatnonzero(rig.chain.body_link == link)[-1])
        local = rig.chain.body_rot[b].T @ (offset - rig.chain.body_pos[b])
        found.append(data.xpos[b] + data.xmat[b].reshape(3, 3) @ local)
    return np.array(found)


@pytest.mark.parametrize(("name", "file"), CASES)
def test_knees_and_elbows_bend_one_way_only(name, file, shared_robots):
    """Over its whole range a knee or elbow stays on one side of straight; a knee takes the foot back, that of Go2 ahead."""
    rig = rig_of(body_of(shared_robots, file))
    for side in rig.legs:
        for bones in (("thigh", "shank", "foot"), ("upper_arm", "forearm", "hand")):
            if side + bones[2] in rig.roles:
                angles, tips = bends(rig, *(side + part for part in bones))
                assert np.ptp(angles) > 1.0
                assert min(abs(angles.min()), abs(angles.max())) < 0.45 or angles.min() * angles.max() > 0
                back = -tips[np.argmax(np.abs(angles)), 0] * (-1.0 if name == "go2" else 1.0)
                assert bones[0] != "thigh" or back > 0.03


def bends(rig: Rig, near: str, middle: str, far: str) -> tuple[np.ndarray, np.ndarray]:
    """Over the range of the hinge of `middle`: near to far bone [rad], signed; the far end from the hinge."""
    model, data = placed(rig)
    body = model.body(rig.mapping.bodies[middle]).id
    joint = model.body_jntadr[body]
    angles, tips = [], []
    for value in np.linspace(rig.low[joint - 1], rig.high[joint - 1], 9):
        data.qpos[model.jnt_qposadr[joint]] = value
        mujoco.mj_kinematics(model, data)
        at = [spot(rig, data, role) for role in (near, middle, far)]
        axis = data.xaxis[joint]
        flat = [v - axis * (axis @ v) for v in (at[1] - at[0], at[2] - at[1])]
        angles.append(np.arctan2(axis @ np.cross(*flat), flat[0] @ flat[1]))
        tips.append(at[2] - at[1])
    return np.array(angles), np.array(tips)


def spot(rig: Rig, data: mujoco.MjData, role: str) -> np.ndarray:
    body = data.body(rig.mapping.bodies[role])
    return body.xpos + body.xmat.reshape(3, 3) @ np.array(rig.mapping.offsets.get(role, (0.0, 0.0, 0.0)))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "file"), CASES[1:-1])
def test_a_walk_on_every_robot(name, file, shared_data, shared_robots):
    """Compiles a solver for each."""
    source = read_amc(shared_data / "motions" / "cmu_asfamc" / "07_05-walk.amc")
    source = replace(source, root_pos=source.root_pos[:181], local_quat=source.local_quat[:181])
    _, report = retarget(source, body_of(shared_robots, file))
    assert report.fidelity > (50.0 if name == "op3" else 99.0)  # OP3's elbows cannot bring a hand forward
    assert min(report.joint_feasibility, report.non_floating, report.non_penetration, report.non_skating) == 100.0
    assert report.limit_violations == 0


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["hopturn", "inplace_steps", "runningman", "sidesteps", "turn"])
def test_every_quadruped_clip_on_a_quadruped(clip, shared_data, shared_robots):
    """Compiles a solver for each."""
    source = read_laikago(shared_data / "motions" / "laikago_quadruped" / f"{clip}.txt")
    motion, report = retarget(source, body_of(shared_robots, MODELS["go2"][0]))
    assert report.converged
    assert report.fidelity >= 95.0
    assert report.joint_feasibility == 100.0
    assert min(report.non_floating, report.non_penetration, report.non_skating) >= 99.0
    assert report.worst_penetration_m <= 0.01
    assert report.limit_violations == 0
    assert report.non_self_collision == 100.0
    heading = quat_angle(motion.qpos[:, 3:7], source.local_quat[: motion.num_frames, 0])
    assert np.median(heading) < np.deg2rad(3.0)
    assert heading.max() < np.deg2rad(25.0)  # in hops the turn must be begun on the ground
