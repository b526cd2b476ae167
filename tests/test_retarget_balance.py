"""The centre of pressure against C MuJoCo's inverse dynamics, its derivative, and the nearest point of a hull."""

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.optimize import nnls

from mimic.robots import load_robot
from motions.rotations import quat_exp, quat_mul, quat_to_matrix
from retarget.balance import EFFORT_SHARE, GRAVITY, balance_terms, beside, nearest_in_hull, tenable
from retarget.chain import point_jacobian, points_on
from retarget.pipeline import rig_of
from retarget.scaling import Targets, _flights, _similar_flights
from retarget.terms import Pose, Weights, kinematics

FPS = 50.0


@pytest.fixture(scope="module")
def rig():
    return rig_of(load_robot("humanoid").body)


def tireless(rig):
    """The same with ankles that hold any load, so that feet may be put where no leg reaches."""
    return dataclasses.replace(rig, ankle_effort=np.inf)


def targets_of(frames: int, support: float, flight: float) -> Targets:
    """Only what the balance terms read."""
    fields = dict.fromkeys(Targets._fields)
    return Targets(**fields)._replace(
        support=jnp.full((frames, 4), support), flight=jnp.full(frames, flight), valid=jnp.ones(frames)
    )


def swaying_pose(rig, frames: int = 5) -> Pose:
    """A smooth motion with a bent, turned base; its frames are 1 / 50 s apart."""
    t = np.arange(frames)[:, None] / FPS
    joints = rig.rest + 0.3 * np.sin(2.0 * t + np.arange(rig.chain.num_joints))
    pos = np.concatenate([0.2 * np.sin(3.0 * t), 0.1 * np.cos(2.0 * t), 0.85 + 0.05 * np.sin(4.0 * t)], axis=1)
    turn = np.array([np.cos(0.2), 0.1, 0.15, 0.05])
    quat = np.tile(turn / np.linalg.norm(turn), (frames, 1))
    return Pose(*(jnp.asarray(x, jnp.float32) for x in (pos, quat, joints)))


def pressure_residual(rig, targets, ends, pose: Pose, jacobian: bool = False):
    """The residual with all ends at one far point, so that it is the pressure minus that point (up to a weight)."""
    weights = Weights(pressure=1.0, flight=1.0, spin=1.0, twist=1.0)
    still = jnp.zeros((*ends.shape, 6 + rig.chain.num_joints))
    run = jax.jit(lambda pose: balance_terms(rig, weights, targets, kinematics(rig, pose), ends, still, FPS, jacobian))
    return run(pose)


def test_nearest_point_of_a_hull():
    rng = np.random.default_rng(0)
    corners, points = rng.normal(size=(40, 4, 2)), 1.5 * rng.normal(size=(40, 2))
    present = rng.random((40, 4)) < 0.7
    present[:, 2] |= ~present.any(axis=1)
    found = np.asarray(jax.jit(nearest_in_hull)(points, corners, present))
    for point, hull, on, near in zip(points, corners, present, found):
        rows = np.concatenate([hull[on].T, np.full((1, on.sum()), 1e4)])  # non-negative weights that sum to one
        share, _ = nnls(rows, np.append(point, 1e4))
        np.testing.assert_allclose(near, share @ hull[on], atol=1e-4)


def test_a_foot_is_wide_to_its_sides_only():
    """Beside a foot that points along (1, 1), 3 cm to either side are covered; before its toe nothing is."""
    heel, toe = np.array([1.0, 2.0]), np.array([1.2, 2.2])
    ends = jnp.asarray([[heel, toe, heel + 5.0, heel + 4.0]] * 3)  # the other foot points elsewhere, and does not stand
    standing = jnp.asarray([[0.0, 1.0, 0.0, 0.0]] * 3)  # on its toe
    forward, left = np.array([1.0, 1.0]) / np.sqrt(2.0), np.array([-1.0, 1.0]) / np.sqrt(2.0)
    gap = jnp.asarray([0.05 * forward, 0.02 * left, 0.02 * forward - 0.07 * left])
    expected = [0.05 * forward, 0.0 * left, 0.02 * forward - 0.04 * left]
    np.testing.assert_allclose(beside(gap, ends, standing, 0.03), expected, atol=1e-6)


def test_a_flat_foot_reaches_as_far_as_its_ankle_can_hold(rig):
    pose = swaying_pose(rig, 3)
    kin = kinematics(rig, pose)
    at = [rig.role("l_foot"), rig.role("r_foot")]
    ankle = points_on(rig.joints.link[at], rig.joints.offset[at], kin.link_pos, kin.link_rot)[1, :, :2]
    away = np.array([[-0.05, 0.0], [0.3, 0.0]])
    ends = (ankle[:, None] + away).reshape(1, 4, 2)
    load = 2.0 * GRAVITY
    reach = EFFORT_SHARE * rig.ankle_effort / rig.mass.sum() / load
    assert 0.05 < reach < 0.3
    held = tenable(rig, kin, ends, jnp.asarray([[1.0, 1.0, 0.0, 1.0]]), jnp.asarray([load])).reshape(2, 2, 2)
    np.testing.assert_allclose(held[0] - ankle[0], [[-0.05, 0.0], [2.0 * reach, 0.0]], atol=1e-5)  # two feet share the load
    np.testing.assert_allclose(held[1] - ankle[1], away, atol=1e-5)  # a foot on its toe alone: pressure cannot move


def test_standing_still_the_pressure_is_below_the_centre_of_mass(rig):
    model, data = rig.body.model, mujoco.MjData(rig.body.model)
    pose = jax.tree.map(lambda x: jnp.repeat(x[:1], 3, axis=0), swaying_pose(rig))
    data.qpos[:] = np.concatenate([np.asarray(x[0]) for x in pose])
    mujoco.mj_forward(model, data)
    far = np.array([100.0, 0.0])
    ends = jnp.broadcast_to(jnp.asarray(far, jnp.float32), (3, 4, 2))
    terms = pressure_residual(tireless(rig), targets_of(3, 1.0, 0.0), ends, pose)
    direction = far - data.subtree_com[0, :2]
    # beyond 5 cm the cost is Huber's 2 delta d - delta^2, which gives the distance back
    distance = (float(terms.cost.sum()) / 0.05 + 0.05) / 2.0
    assert distance == pytest.approx(np.linalg.norm(direction), abs=2e-3)


def test_moving_the_pressure_is_where_inverse_dynamics_puts_it(rig):
    model, data = rig.body.model, mujoco.MjData(rig.body.model)
    pose = swaying_pose(rig)
    qpos = np.concatenate([np.asarray(x, float) for x in pose], axis=1)
    data.qpos[:] = qpos[2]
    mujoco.mj_differentiatePos(model, data.qvel, 2 / FPS, qpos[1], qpos[3])
    before, after = np.zeros(model.nv), np.zeros(model.nv)
    mujoco.mj_differentiatePos(model, before, 1 / FPS, qpos[1], qpos[2])
    mujoco.mj_differentiatePos(model, after, 1 / FPS, qpos[2], qpos[3])
    data.qacc[:] = (after - before) * FPS
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT | mujoco.mjtDisableBit.mjDSBL_LIMIT)
    mujoco.mj_inverse(model, data)
    force, root = data.qfrc_inverse[:3], qpos[2, :3]
    torque = quat_to_matrix(qpos[2, 3:7]) @ data.qfrc_inverse[3:6]
    expected = root[:2] + np.array([-torque[1] - root[2] * force[0], torque[0] - root[2] * force[1]]) / force[2]
    far = expected + np.array([30.0, 40.0])
    ends = jnp.broadcast_to(jnp.asarray(far, jnp.float32), (3, 4, 2))
    three = jax.tree.map(lambda x: x[1:4], pose)
    terms = pressure_residual(tireless(rig), targets_of(3, 1.0, 0.0), ends, three)
    distance = (float(terms.cost.sum()) / 0.05 + 0.05) / 2.0
    assert distance == pytest.approx(50.0, abs=0.02)  # small links are lumps here: their own inertia is left out

    in_flight = pressure_residual(rig, targets_of(3, 0.0, 1.0), ends, three).residual[0]
    mass = model.body_mass.sum()
    mujoco.mj_comPos(model, data)
    about_centre = torque + np.cross(root - data.subtree_com[0], force)
    np.testing.assert_allclose(in_flight[:2], 0.0, atol=1e-6)
    np.testing.assert_allclose(in_flight[2:5], force / mass, atol=0.02 * np.linalg.norm(force / mass))
    np.testing.assert_allclose(in_flight[5:8], about_centre / mass, atol=0.05 * np.linalg.norm(about_centre / mass))
    assert np.linalg.norm(about_centre / mass) > 0.05

    on_a_point = dataclasses.replace(rig, sole_half_width=0.0)  # which can hold no moment
    ends = jnp.broadcast_to(jnp.asarray(expected, jnp.float32), (3, 4, 2))
    twist = pressure_residual(on_a_point, targets_of(3, 1.0, 0.0), ends, three).residual[0, 8]
    moment = torque[2] + np.cross(root - np.append(expected, 0.0), force)[2]
    # links are lumps, and the pressure lies some tenths of a millimetre off
    assert twist == pytest.approx(moment / mass, abs=0.1 * abs(moment / mass))


def test_flight_begins_where_the_stance_ends():
    """At 60 Hz, 6 frames of low feet beside a flight belong to it; a longer time, or one between two stances, does not."""
    parts = [("stand", 5), ("low", 4), ("air", 8), ("low", 6), ("stand", 3), ("low", 5), ("stand", 3), ("low", 7), ("air", 4)]
    kinds = np.array([kind for kind, count in parts for _ in range(count)])
    found = _flights(kinds != "air", kinds == "stand", 60.0)
    expected = kinds == "air"
    expected[5:9] = expected[17:23] = True
    assert found.tolist() == expected.tolist()


def test_a_smaller_body_flies_for_a_shorter_time():
    """Ten frames of flight, of which seven remain: the toe stands one frame longer, and the foot lands two sooner."""
    stand, flight = np.zeros((30, 4), bool), np.zeros(30, bool)
    stand[:8, 2] = stand[:10, 3] = True  # heel off two frames before the toe
    flight[10:20] = True
    stand[20:, 1] = stand[22:, 0] = True  # heel down two frames after the toe
    low = np.ones_like(stand)
    shorter, remains = _similar_flights(stand, low, flight, 0.7, 60.0)
    assert np.flatnonzero(remains).tolist() == list(range(11, 18))
    assert [np.flatnonzero(shorter[:, k]).tolist() for k in (2, 3)] == [list(range(9)), list(range(11))]
    assert [np.flatnonzero(shorter[:, k]).tolist() for k in (1, 0)] == [list(range(18, 30)), list(range(20, 30))]

    open_ended = np.roll(flight, 10)  # until the end of the clip: when it lands is not known
    same, remains = _similar_flights(stand, low, open_ended, 0.7, 60.0)
    assert (same == stand).all()
    assert (remains == open_ended).all()

    low[18, 1] = False  # two frames before it lands, the toe is still too high
    shorter, remains = _similar_flights(stand, low, flight, 0.7, 60.0)
    assert np.flatnonzero(remains).tolist() == list(range(11, 19))
    assert np.flatnonzero(shorter[:, 1]).tolist() == list(range(19, 30))


@pytest.mark.parametrize("falling", [0.0, 6.0])  # [m/s^2]: all of the weight on the feet, or less than half
def test_balance_derivatives(rig, monkeypatch, falling):
    """Of all rows, against central differences, while the feet move with the body and the load draws the hull to the ankles."""
    pose = swaying_pose(rig, 3)
    pose = pose._replace(pos=pose.pos.at[2, 2].add(-falling / FPS**2))
    turn = jnp.asarray([[0.0, 0.0, angle] for angle in (0.0, 0.0, 0.05)])  # 125 rad/s^2, more than feet can hold
    pose = pose._replace(quat=quat_mul(quat_exp(turn), pose.quat))
    targets = targets_of(3, 1.0, 1.0)._replace(support=jnp.asarray([[1.0, 1.0, 0.0, 0.0]] * 3))
    weights = Weights(pressure=1.0, flight=1.0, spin=1.0, twist=1.0)
    weak = dataclasses.replace(rig, ankle_effort=20.0, sole_half_width=0.0)
    monkeypatch.setattr("retarget.balance.FAR_M", 10.0)  # its weight, too, would change

    @jax.jit
    def rows(pose):
        kin = kinematics(rig, pose)
        points = points_on(rig.heel_toe.link, rig.heel_toe.offset, kin.link_pos, kin.link_rot)
        ends_jac = point_jacobian(rig.chain, rig.heel_toe.link, points, pose.pos, kin.axes, kin.anchors)[:, :, :2]
        terms = balance_terms(weak, weights, targets, kin, points[..., :2], ends_jac, FPS, True)
        return terms.residual[0], jnp.stack([terms.before[0], terms.now[0], terms.after[0]])

    residual, jacobian = rows(pose)
    assert np.linalg.norm(residual[:2]) > 1e-3
    assert falling or np.abs(residual[8]) > 1e-3
    step = 2e-5

    def moved(frame: int, column: int, by: float) -> Pose:
        if column < 6:
            return pose._replace(pos=pose.pos.at[frame, column].add(by))
        return pose._replace(joints=pose.joints.at[frame, column - 6].add(by))

    for frame in range(3):
        for column in (0, 1, 2, 6 + 3, 6 + 15, 6 + 20):
            change = (rows(moved(frame, column, step))[0] - rows(moved(frame, column, -step))[0]) / (2.0 * step)
            tolerance = np.array([*[1.0] * 2, *[20.0] * 7])
            assert (np.abs(change - jacobian[frame, :, column]) < 0.03 * np.abs(change) + tolerance).all(), (frame, column)
