"""Depth of an arm in the body against C MuJoCo's own distance, and its derivative."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from mimic.robots import load_robot
from retarget.collide import CLEARANCE_M, self_touch_terms
from retarget.pipeline import rig_of
from retarget.terms import Pose, kinematics


@pytest.fixture(scope="module")
def rig():
    return rig_of(load_robot("humanoid").body)


@pytest.fixture(scope="module")
def terms(rig):
    @jax.jit
    def run(pose):
        return self_touch_terms(rig.touch, rig.chain, pose.pos, kinematics(rig, pose), jacobian=True)

    return run


def pose_of(rig, angles: np.ndarray) -> Pose:
    pos, quat = np.array([[0.3, -0.2, 1.0]]), np.array([[0.9, 0.1, 0.3, 0.3]])
    quat /= np.linalg.norm(quat)
    return Pose(*(jnp.asarray(x, jnp.float32) for x in (pos, quat, angles[None])))


def hand_depth(rig, pose: Pose) -> float:
    """Distance of the left hand to pelvis, chest and thighs by C MuJoCo [m]."""
    model, data = rig.body.model, mujoco.MjData(rig.body.model)
    data.qpos[:] = np.concatenate([np.asarray(x[0]) for x in pose])
    mujoco.mj_forward(model, data)
    hand = model.geom("left_hand").id
    others = [g for g in range(model.ngeom) if model.body(model.geom_bodyid[g]).name in ("pelvis", "chest", "left_thigh")]
    return min(mujoco.mj_geomDistance(model, data, hand, g, 1.0, None) for g in others)


@pytest.fixture(scope="module")
def hand_inside(rig) -> Pose:
    """A pose whose left hand lies 2 to 5 cm inside the body: the first of many random arms."""
    arm = [j for j, name in enumerate(rig.body.joint_names) if name.startswith(("left_shoulder", "left_elbow"))]
    rng = np.random.default_rng(0)
    while True:
        angles = np.zeros(rig.chain.num_joints)
        angles[arm] = rng.uniform(rig.low[arm], rig.high[arm])
        pose = pose_of(rig, angles)
        if -0.05 < hand_depth(rig, pose) < -0.02:
            return pose


def test_hanging_arms_touch_nothing(rig, terms):
    depth, jacobian = terms(pose_of(rig, np.zeros(rig.chain.num_joints)))
    assert not np.asarray(depth).any()
    assert not np.asarray(jacobian).any()


def test_depth_is_mujocos_distance(rig, terms, hand_inside):
    hand = rig.body.model.geom("left_hand").id
    link = rig.chain.body_link[rig.body.model.body("left_forearm").id]
    ball = (rig.touch.ball_link == link) & np.isclose(rig.touch.ball_radius, rig.body.model.geom_size[hand, 0])
    assert ball.sum() == 1
    depth = np.asarray(terms(hand_inside)[0])[0, ball]
    assert depth == pytest.approx(hand_depth(rig, hand_inside) - CLEARANCE_M, abs=1e-4)


def test_derivative_of_depth(rig, terms, hand_inside):
    pose = hand_inside
    depth, jacobian = (np.asarray(x)[0] for x in terms(pose))
    deep = np.flatnonzero(depth < -0.005)
    assert len(deep)
    step = 1e-3
    for name in ("left_shoulder_z", "left_elbow", "chest_y", "chest_z", "left_shoulder_x"):
        j = rig.body.joint_names.index(name)
        ends = [np.asarray(terms(pose._replace(joints=pose.joints.at[0, j].add(s)))[0])[0] for s in (step, -step)]
        np.testing.assert_allclose(jacobian[deep, 6 + j], ((ends[0] - ends[1]) / (2 * step))[deep], atol=5e-3, err_msg=name)
    np.testing.assert_allclose(jacobian[deep, :6], 0.0, atol=1e-5)  # moving the whole body changes nothing
