"""Robots: the G1 against published figures, our humanoid against its promises, the shared files by what must hold for all."""

import math
import types
from pathlib import Path

import mujoco
import numpy as np
import pytest

from mimic.config import SimConfig
from mimic.robots import Robot, load_robot
from mimic.robots.derive import lowest_point
from mimic.robots.find import ENV_VAR
from mimic.robots.traits import motor_armature, pd_gains
from motions.errors import InputError

# BeyondMimic's printed table: motor -> armature, kp, kd, effort, and the joints of the left half and the waist.
G1_TABLE = {
    "7520_14": (0.010177520, 40.179, 2.5579, 88, ("left_hip_pitch_joint", "left_hip_yaw_joint", "waist_yaw_joint")),
    "7520_22": (0.025101925, 99.098, 6.3088, 139, ("left_hip_roll_joint", "left_knee_joint")),
    "5020": (0.003609725, 14.251, 0.90722, 25, ("left_shoulder_pitch_joint", "left_elbow_joint", "left_wrist_roll_joint")),
    "2x5020": (0.00721945, 28.501, 1.8145, 50, ("left_ankle_pitch_joint", "left_ankle_roll_joint", "waist_roll_joint")),
    "4010": (0.00425, 16.778, 1.0681, 5, ("left_wrist_pitch_joint", "left_wrist_yaw_joint")),
}
CANNOT_WORK = ("sensor", "dm_control", "isaacgym_amp", "g1_29dof_anneal_23dof.xml", "fitmotionONLY")
HUMANOID_GAINS = {  # effort, kp, kd
    "hip": (200, 500, 50),
    "knee": (150, 500, 50),
    "ankle": (90, 400, 40),
    "chest": (200, 1000, 100),
    "neck": (50, 100, 10),
    "shoulder": (100, 400, 40),
    "elbow": (60, 300, 30),
}


@pytest.fixture(scope="module")
def g1(shared_robots: Path) -> Robot:
    return load_robot("g1", search=(shared_robots,))


@pytest.fixture(scope="module")
def humanoid() -> Robot:
    return load_robot("humanoid")


def held_still(robot: Robot, seconds: float) -> mujoco.MjData:
    """Simulate with the default pose as target, from the default pose."""
    data = mujoco.MjData(robot.model)
    data.qpos[:], data.ctrl[:] = robot.default_qpos, robot.default_qpos[7:]
    for _ in range(round(seconds / robot.model.opt.timestep)):
        mujoco.mj_step(robot.model, data)
    return data


def touching(robot: Robot) -> set[frozenset[str]]:
    """Pairs of geoms that the contact flags let touch, by MuJoCo's rule, as names."""
    m = robot.model
    can = (m.geom_contype[:, None] & m.geom_conaffinity[None]) | (m.geom_conaffinity[:, None] & m.geom_contype[None])
    return {frozenset((m.geom(i).name, m.geom(j).name)) for i, j in zip(*np.nonzero(np.triu(can, 1)))}


def test_gains_follow_the_second_order_system() -> None:
    kp, kd = pd_gains(0.01, 10.0, 2.0)
    assert kp == pytest.approx(0.01 * 3947.8418, rel=1e-6)
    assert kd == pytest.approx(2 * 2 * 0.01 * 62.831853, rel=1e-6)
    assert motor_armature((1.0, 10.0, 100.0), (2.0, 3.0)) == 36.0 + 90.0 + 100.0


@pytest.mark.parametrize("motor", G1_TABLE)
def test_g1_gains_equal_the_published_table(g1: Robot, motor: str) -> None:
    armature, kp, kd, effort, joints = G1_TABLE[motor]
    for name in (*joints, *(j.replace("left", "right") for j in joints)):
        i = g1.joint_names.index(name)
        assert g1.armature[i] == pytest.approx(armature, abs=6e-10)
        assert g1.kp[i] == pytest.approx(kp, abs=6e-4)
        assert g1.kd[i] == pytest.approx(kd, abs=6e-5)
        assert g1.effort[i] == effort
        assert g1.action_scale_unit[i] == pytest.approx(effort / kp, rel=1e-4)


def test_g1_names_and_default_pose(g1: Robot) -> None:
    assert len(g1.joint_names) == 29
    assert len(g1.tracked_bodies) == 14
    assert g1.anchor_body == "torso_link"
    assert set(g1.end_effectors) <= set(g1.tracked_bodies)
    assert g1.foot_bodies == ("left_ankle_roll_link", "right_ankle_roll_link")
    assert len(g1.foot_geoms) == 8  # four capsules span each sole
    pose = dict(zip(g1.joint_names, g1.default_qpos[7:]))
    assert pose["right_knee_joint"] == 0.669
    assert pose["right_shoulder_roll_joint"] == -pose["left_shoulder_roll_joint"] == -0.2
    assert pose["waist_yaw_joint"] == 0.0
    assert g1.default_qpos[2] == 0.76
    assert g1.velocity_limit[g1.joint_names.index("left_knee_joint")] == 20.0


def test_go2_stands_on_its_four_feet_and_no_other_quadruped_is_taken_for_it(shared_robots: Path) -> None:
    go2 = load_robot("go2", search=(shared_robots,))
    assert len(go2.joint_names) == 12
    assert go2.foot_bodies == ("FL_calf", "FR_calf", "RL_calf", "RR_calf")
    data = mujoco.MjData(go2.model)
    data.qpos[:] = go2.default_qpos
    mujoco.mj_kinematics(go2.model, data)
    heights = [data.geom(name).xpos[2] - go2.model.geom(name).size[0] for name in go2.foot_geoms]
    assert len(heights) == 4
    np.testing.assert_allclose(heights, 0.0, atol=0.003)
    calf, thigh = (go2.joint_names.index(f"FL_{part}_joint") for part in ("calf", "thigh"))
    assert go2.effort[calf] / go2.effort[thigh] == pytest.approx(go2.velocity_limit[thigh] / go2.velocity_limit[calf], rel=1e-3)
    assert go2.armature[calf] / go2.armature[thigh] == pytest.approx((45.43 / 23.7) ** 2, rel=1e-3)  # one motor, another ratio
    for file in ("unitree_go1/go1_mjlab_nomesh.xml", "unitree_a1/a1_menagerie_nomesh.xml"):
        assert load_robot(str(shared_robots / file)).name != "go2"


BIPEDS = {  # joints, tracked bodies, mass of the whole robot as its file has it [kg]
    "h1": (19, 12, 51.437),
    "t1": (29, 14, 34.514),
}


@pytest.mark.parametrize("name", BIPEDS)
def test_other_bipeds_stand_flat_and_are_held_up_by_their_gains(name: str, shared_robots: Path) -> None:
    robot = load_robot(name, search=(shared_robots,))
    joints, tracked, mass = BIPEDS[name]
    assert (len(robot.joint_names), len(robot.tracked_bodies)) == (joints, tracked)
    assert robot.model.body_subtreemass[1] == pytest.approx(mass, abs=1e-3)
    assert robot.assumptions == ()
    low, high = robot.body.joint_range.T
    assert np.all((robot.default_qpos[7:] > low) & (robot.default_qpos[7:] < high))
    data = mujoco.MjData(robot.model)
    data.qpos[:] = robot.default_qpos
    mujoco.mj_forward(robot.model, data)
    soles = [lowest_point(robot.model, data, robot.model.geom(g).id) for g in robot.foot_geoms]
    np.testing.assert_allclose(soles, 0.0, atol=1e-4)
    over = [data.geom(geom).xpos[0] for geom in robot.foot_geoms]
    assert min(over) - 0.05 < data.subtree_com[1, 0] < max(over) + 0.05  # not falling by itself
    assert data.body(robot.anchor_body).xpos[2] > data.body(robot.end_effectors[0]).xpos[2] + 0.5
    data = held_still(robot, 0.5)
    assert data.qpos[2] == pytest.approx(robot.default_qpos[2], abs=0.03)
    assert np.abs(data.qpos[7:] - robot.default_qpos[7:]).max() < 0.15
    assert np.abs(data.qvel).max() < 1.0


def test_h1s_other_file_is_the_same_robot_and_a_t1_of_23_joints_another(shared_robots: Path) -> None:
    h1 = load_robot("h1", search=(shared_robots,))
    other = load_robot(str(shared_robots / "unitree_h1" / "playground_nomesh" / "h1_mjx_feetonly.xml"))
    assert other.name == "h1"
    np.testing.assert_array_equal(other.kp, h1.kp)
    np.testing.assert_allclose(other.model.body_mass, h1.model.body_mass)
    assert load_robot(str(shared_robots / "unitree_h1" / "h1_2_protomotions_nomesh_box_feet.xml")).name not in ("h1", "t1")
    assert load_robot(str(shared_robots / "booster_t1" / "playground_nomesh" / "t1_mjx_feetonly.xml")).name != "t1"


def test_g1_with_and_without_meshes_is_the_same_robot(g1: Robot, shared_robots: Path) -> None:
    twin = load_robot(str(shared_robots / "unitree_g1" / "nomesh" / "g1_mjlab_nomesh.xml"))
    assert twin.name == "g1"
    assert "known robot 'g1'" in twin.assumptions[0]
    np.testing.assert_allclose(twin.model.body_mass, g1.model.body_mass, rtol=1e-5)
    np.testing.assert_allclose(twin.model.body_inertia, g1.model.body_inertia, rtol=1e-4)
    assert twin.foot_geoms == g1.foot_geoms
    seen = load_robot("g1", search=(shared_robots,), visuals=True)
    assert seen.model.nmesh > 0 == g1.model.nmesh
    np.testing.assert_array_equal(seen.default_qpos, g1.default_qpos)


@pytest.mark.parametrize("name", ["g1", "humanoid"])
def test_actuators_are_the_stated_pd_law(name: str, request: pytest.FixtureRequest) -> None:
    robot: Robot = request.getfixturevalue(name)
    m = robot.model
    assert [m.joint(m.actuator(a).trnid[0]).name for a in range(m.nu)] == list(robot.joint_names)
    rng, data = np.random.default_rng(0), mujoco.MjData(m)
    for spread in (0.01, 10.0):  # inside the limits, and far beyond
        data.qpos[:] = robot.default_qpos
        data.qvel[6:] = rng.normal(scale=0.1, size=m.nu)
        data.ctrl[:] = data.qpos[7:] + spread * rng.normal(size=m.nu)
        mujoco.mj_forward(m, data)
        torque = robot.kp * (data.ctrl - data.qpos[7:]) - robot.kd * data.qvel[6:]
        np.testing.assert_allclose(data.qfrc_actuator[6:], np.clip(torque, -robot.effort, robot.effort), rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(data.qfrc_passive, 0.0)
    np.testing.assert_allclose(m.dof_armature[6:], robot.armature, rtol=1e-5)


@pytest.mark.parametrize("name", ["g1", "humanoid"])
def test_feet_collisions_are_feet_with_floor(name: str, request: pytest.FixtureRequest) -> None:
    robot: Robot = request.getfixturevalue(name)
    assert touching(robot) == {frozenset(("floor", geom)) for geom in robot.foot_geoms}
    assert robot.model.npair == 0


def test_all_collisions_include_self_and_floor(humanoid: Robot) -> None:
    robot = load_robot("humanoid", sim=SimConfig(collisions="all"))
    names = {robot.model.geom(i).name for i in range(robot.model.ngeom)} - {"floor"}
    pairs = touching(robot)
    assert {frozenset(("floor", geom)) for geom in names} <= pairs
    assert frozenset(("left_hand", "ribs")) in pairs
    data = mujoco.MjData(robot.model)
    data.qpos[:] = robot.default_qpos
    mujoco.mj_forward(robot.model, data)
    assert {robot.model.geom(g).name for c in data.contact for g in c.geom} <= {"floor", "left_foot", "right_foot"}


@pytest.mark.parametrize("name", ["g1", "humanoid"])
def test_self_collisions_are_the_models_own_and_feet_with_floor(name: str, request: pytest.FixtureRequest) -> None:
    """What `all` lets touch, less what only the floor is touched by."""
    robot: Robot = request.getfixturevalue(name)
    own, every = (touching(load_robot(str(robot.source), sim=SimConfig(collisions=kind))) for kind in ("self", "all"))
    floor = {pair for pair in every if "floor" in pair}
    assert own == (every - floor) | {frozenset(("floor", geom)) for geom in robot.foot_geoms}
    assert len(own) > len(robot.foot_geoms)


def test_self_collisions_need_a_bit_of_their_own(tmp_path: Path) -> None:
    """A file whose geoms use all of them cannot be told apart from its floor."""
    text = f"""<mujoco><worldbody><body name="base" pos="0 0 .5"><freejoint/>
      <geom name="trunk" size=".1" contype="{2**31 - 1}"/>
      <body name="foot" pos="0 0 -.3"><joint name="hip" axis="0 1 0"/><geom name="sole" size=".05" conaffinity="1"/></body>
    </body></worldbody></mujoco>"""
    (tmp_path / "full.xml").write_text(text)
    with pytest.raises(InputError, match="collision bit"):
        load_robot(str(tmp_path / "full.xml"), sim=SimConfig(collisions="self"))


def test_simulation_settings_reach_the_model() -> None:
    sim = SimConfig(sim_dt=0.002, iterations=7, ls_iterations=9, friction=0.33)
    model = load_robot("humanoid", sim=sim).model
    assert (model.opt.timestep, model.opt.iterations, model.opt.ls_iterations) == (0.002, 7, 9)
    assert model.opt.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert model.opt.jacobian == mujoco.mjtJacobian.mjJAC_DENSE
    data = mujoco.MjData(model)
    data.qpos[:7] = [0, 0, 0.84, 1, 0, 0, 0]
    mujoco.mj_forward(model, data)
    assert len(data.contact) == 8
    assert all(c.friction[0] == 0.33 for c in data.contact)


@pytest.mark.parametrize("name", ["g1", "humanoid"])
def test_the_xml_alone_gives_the_same_model(name: str, request: pytest.FixtureRequest) -> None:
    robot: Robot = request.getfixturevalue(name)
    again = mujoco.MjModel.from_xml_string(robot.mjcf)
    one, two = mujoco.MjData(robot.model), mujoco.MjData(again)
    for data, model in ((one, robot.model), (two, again)):
        data.qpos[:], data.ctrl[:] = robot.default_qpos, robot.default_qpos[7:] + 0.1
        mujoco.mj_step(model, data, 50)
    np.testing.assert_array_equal(one.qpos, two.qpos)


def test_humanoid_is_what_was_promised(humanoid: Robot) -> None:
    model = humanoid.model
    assert len(humanoid.joint_names) == 28
    assert model.nbody - 1 == 13
    assert model.body_mass.sum() == pytest.approx(45.0, abs=1e-9)
    kinds = {mujoco.mjtGeom(k) for k in model.geom_type}
    allowed = {mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_BOX}
    assert kinds <= allowed | {mujoco.mjtGeom.mjGEOM_PLANE}
    data = mujoco.MjData(model)
    data.qpos[:] = humanoid.default_qpos
    mujoco.mj_forward(model, data)
    bottom = min(lowest_point(model, data, g) for g in range(model.ngeom) if model.geom_bodyid[g] > 0)
    head = model.geom("head").id
    top = 2 * data.geom_xpos[head, 2] - lowest_point(model, data, head)  # a capsule is symmetric about its centre
    assert bottom == pytest.approx(0.0, abs=1e-9)
    assert top - bottom == pytest.approx(1.6, abs=1e-9)
    for name, effort, kp, kd in zip(humanoid.joint_names, humanoid.effort, humanoid.kp, humanoid.kd):
        part = next(p for p in HUMANOID_GAINS if p in name)
        assert (effort, kp, kd) == HUMANOID_GAINS[part]
    low, high = model.jnt_range[1:].T
    assert np.all((humanoid.default_qpos[7:] >= low) & (humanoid.default_qpos[7:] <= high))


def test_humanoid_is_left_right_symmetric(humanoid: Robot) -> None:
    """Equal limb angles on exchanged sides, and flipped x and z of chest and neck, are the mirror image: y -> -y."""
    model, rng = humanoid.model, np.random.default_rng(1)
    names = humanoid.joint_names
    low, high = model.jnt_range[1:].T
    angles = rng.uniform(low, high)
    swap = {"left": "right", "right": "left"}

    def other(name: str) -> str:
        side = name.split("_")[0]
        return name.replace(side, swap[side], 1) if side in swap else name

    mirrored = np.array([angles[names.index(other(n))] for n in names])
    flips = [n in ("chest_x", "chest_z", "neck_x", "neck_z") for n in names]
    mirrored[flips] *= -1
    poses = []
    for q in (angles, mirrored):
        data = mujoco.MjData(model)
        data.qpos[3], data.qpos[7:] = 1.0, q
        mujoco.mj_kinematics(model, data)
        poses.append(data)
    reflect = np.diag([1.0, -1.0, 1.0])
    for b in range(1, model.nbody):
        twin = model.body(other(model.body(b).name)).id
        np.testing.assert_allclose(poses[1].xpos[twin], reflect @ poses[0].xpos[b], atol=1e-6)
        np.testing.assert_allclose(poses[1].xipos[twin], reflect @ poses[0].xipos[b], atol=1e-6)
        turned = reflect @ poses[0].xmat[b].reshape(3, 3) @ reflect
        np.testing.assert_allclose(poses[1].xmat[twin].reshape(3, 3), turned, atol=1e-6)
        assert model.body_mass[twin] == model.body_mass[b]
    np.testing.assert_array_equal(low, [low[names.index(other(n))] for n in names])
    np.testing.assert_array_equal(high, [high[names.index(other(n))] for n in names])


def test_humanoid_middle_hinges_stay_off_gimbal_lock(humanoid: Robot) -> None:
    """Over the whole range of a middle hinge, the last axis is at least 7 degrees from the first one."""
    model = humanoid.model
    for body in ("chest", "head", "left_upper_arm", "right_upper_arm", "left_thigh", "right_foot"):
        first = model.body_jntadr[model.body(body).id]
        u, w, v = model.jnt_axis[first : first + 3]
        assert abs(u @ w) < 1e-4
        assert abs(v @ w) < 1e-4
        for angle in np.linspace(*model.jnt_range[first + 1], 50):
            turned = v * math.cos(angle) + np.cross(w, v) * math.sin(angle)
            assert abs(u @ turned) < math.cos(math.radians(6.9)), (body, angle)


@pytest.mark.parametrize("collisions", ["feet", "self", "all"])
def test_humanoid_stands(collisions: str) -> None:
    robot = load_robot("humanoid", sim=SimConfig(collisions=collisions))  # type: ignore[arg-type]
    data = held_still(robot, 2.0)
    assert data.qpos[2] == pytest.approx(robot.default_qpos[2], abs=0.02)
    assert np.abs(data.qvel).max() < 0.1
    assert data.ncon <= 8


def test_every_shared_robot_loads_or_says_why(shared_robots: Path) -> None:
    count = 0
    for path in sorted(shared_robots.rglob("*.xml")):
        if any(part in str(path) for part in CANNOT_WORK):
            with pytest.raises(InputError, match=path.stem) as caught:
                load_robot(str(path))
            assert "\n" not in str(caught.value)
            continue
        robot, count = load_robot(str(path)), count + 1
        assert robot.assumptions, path
        assert robot.model.nmesh == 0
        assert len(robot.foot_bodies) >= 2
        assert robot.anchor_body in robot.tracked_bodies
        assert set(robot.end_effectors) <= set(robot.tracked_bodies)
        assert np.all(robot.effort > 0)
        data = held_still(robot, 0.2)
        assert np.isfinite(data.qpos).all()
        assert np.abs(data.qvel).max() < 20, path
        assert data.warning.number.sum() == 0
    assert count >= 25


def test_wrong_names_and_paths(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Did you mean 'humanoid'.*One of your own is given by its file: --robot FILE.toml"):
        load_robot("humanoyd")
    with pytest.raises(InputError, match="does not exist"):
        load_robot(str(tmp_path / "no.xml"))
    with pytest.raises(InputError, match=r"expected a name, an \.xml or a \.toml"):
        load_robot(str(tmp_path))


def test_search_folders_from_the_environment(monkeypatch: pytest.MonkeyPatch, shared_robots: Path, tmp_path: Path) -> None:
    monkeypatch.setenv(ENV_VAR, f"{tmp_path}:{shared_robots}")
    assert load_robot("g1").source.name == "g1_mjlab.xml"
    monkeypatch.setenv(ENV_VAR, str(shared_robots / "unitree_g1" / "nomesh"))
    assert load_robot("g1").source.name == "g1_mjlab_nomesh.xml"


@pytest.mark.parametrize("installed", [False, True])
def test_nothing_found_is_one_line_that_says_what_was_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: bool
) -> None:
    def offline(name: str) -> types.ModuleType:
        if not installed:
            raise ImportError(name)
        if name == "robot_descriptions":
            return types.ModuleType(name)
        raise RuntimeError("git clone failed:\nfatal: unable to access")

    monkeypatch.setattr("mimic.robots.find.importlib.import_module", offline)
    with pytest.raises(InputError, match="offline" if installed else "not installed") as caught:
        load_robot("g1", search=(tmp_path / "nowhere",))
    assert "\n" not in str(caught.value)
    for word in ("g1_mjlab.xml", "which does not exist", ENV_VAR, "--robot path.xml"):
        assert word in str(caught.value)
