"""Kinematics against C MuJoCo."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from stick import random_qpos, stick_body, stick_walk

from motions.errors import InputError
from motions.kinematics import Body, finite_difference_qvel, forward_kinematics, forward_velocity, kinematic_state


@pytest.fixture(params=["stick", "g1"])
def body(request) -> Body:
    if request.param == "stick":
        return stick_body()
    folder = request.getfixturevalue("shared_robots") / "unitree_g1" / "nomesh"
    return Body("g1", mujoco.MjModel.from_xml_path(str(folder / "g1_mjlab_nomesh.xml")))


def mujoco_states(body: Body, qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, ...]:
    """xpos, xquat, and the world velocities of body origins, by mj_forward and mj_objectVelocity."""
    model, data = body.model, mujoco.MjData(body.model)
    pos, quat, linear, angular = [], [], [], []
    velocity = np.zeros(6)
    for q, v in zip(qpos, qvel):
        data.qpos[:], data.qvel[:] = q, v
        mujoco.mj_forward(model, data)
        pos.append(data.xpos.copy())
        quat.append(data.xquat.copy())
        rows = []
        for b in range(model.nbody):
            # Object type XBODY: at the body's frame, not at its centre of mass; flg_local 0: world axes.
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, b, velocity, 0)
            rows.append(velocity.copy())
        angular.append(np.array(rows)[:, :3])
        linear.append(np.array(rows)[:, 3:])
    return tuple(np.stack(part) for part in (pos, quat, linear, angular))


def test_poses_and_velocities_equal_mujoco(body):
    qpos = random_qpos(body, 5)
    qvel = np.random.default_rng(1).normal(size=(5, body.model.nv))
    pos, quat, linear, angular = forward_velocity(body, qpos, qvel)
    expected = mujoco_states(body, qpos, qvel)
    np.testing.assert_allclose(pos, expected[0], atol=1e-12)
    sign = np.sign(np.sum(quat * expected[1], axis=-1, keepdims=True))
    np.testing.assert_allclose(quat, sign * expected[1], atol=1e-12)
    np.testing.assert_allclose(linear, expected[2], atol=1e-11)
    np.testing.assert_allclose(angular, expected[3], atol=1e-11)
    np.testing.assert_array_equal(forward_kinematics(body, qpos)[0], pos)


def test_batches_and_jax_give_the_same():
    body = stick_body()
    qpos = random_qpos(body, 6)
    one_by_one = np.stack([forward_kinematics(body, q)[0] for q in qpos])
    np.testing.assert_allclose(forward_kinematics(body, qpos.reshape(2, 3, -1))[0].reshape(one_by_one.shape), one_by_one)
    device = jax.jit(lambda q: forward_kinematics(body, q))(jnp.asarray(qpos, jnp.float32))
    assert isinstance(device[0], jax.Array)
    np.testing.assert_allclose(device[0], one_by_one, atol=1e-5)


@pytest.mark.parametrize("hung", ["", '<body pos="1 2 3" euler="0 90 0"><geom size=".1"/></body>'])
def test_without_hinges_all_bodies_go_with_the_root(hung: str):
    text = (
        f'<mujoco><worldbody><body pos="0 0 1"><freejoint/><geom size=".1"/>{hung}</body><body pos="5 0 0"/></worldbody></mujoco>'
    )
    body = Body("stone", mujoco.MjModel.from_xml_string(text))
    qpos, qvel = random_qpos(body, 3), np.random.default_rng(4).normal(size=(3, 6))
    expected = mujoco_states(body, qpos, qvel)
    pos, quat, *velocities = forward_velocity(body, qpos, qvel)
    for found, wanted in zip((pos, np.abs(quat), *velocities), (expected[0], np.abs(expected[1]), *expected[2:])):
        np.testing.assert_allclose(found, wanted, atol=1e-12)
    on_device = jax.jit(lambda q: forward_kinematics(body, q))(jnp.asarray(qpos, jnp.float32))
    np.testing.assert_allclose(on_device[0], expected[0], atol=1e-5)


def test_kinematic_state_picks_the_tracked_bodies():
    body = stick_body()
    qpos, qvel = random_qpos(body, 4), np.random.default_rng(2).normal(size=(4, body.model.nv))
    ids = body.body_ids(("torso", "left_foot"))
    state = kinematic_state(body, qpos, qvel, ids)
    pos, quat, linear, angular = forward_velocity(body, qpos, qvel)
    for got, whole in ((state.xpos, pos), (state.xquat, quat), (state.xlinvel, linear), (state.xangvel, angular)):
        np.testing.assert_array_equal(got, whole[:, ids])


def test_finite_differences_equal_mj_differentiate_pos(body):
    """Central differences are the velocity that takes frame i - 1 to i + 1; rotation seen from frame i's body."""
    rng = np.random.default_rng(3)
    fps, frames = 50.0, 7
    qpos = [random_qpos(body, 1)[0]]
    for _ in range(frames - 1):
        following = qpos[-1].copy()
        mujoco.mj_integratePos(body.model, following, rng.normal(size=body.model.nv), 1.0 / fps)
        qpos.append(following)
    qpos = np.stack(qpos)
    qvel = finite_difference_qvel(qpos, fps)
    expected = np.zeros(body.model.nv)
    mujoco.mj_differentiatePos(body.model, expected, 1.0 / fps, qpos[0], qpos[1])
    np.testing.assert_allclose(qvel[0], expected, atol=1e-8)
    for i in range(1, frames - 1):
        mujoco.mj_differentiatePos(body.model, expected, 2.0 / fps, qpos[i - 1], qpos[i + 1])
        np.testing.assert_allclose(np.delete(qvel[i], range(3, 6)), np.delete(expected, range(3, 6)), atol=1e-8)
        # MuJoCo's angular part is in the frame of i - 1; both are turned to the world to be compared.
        world = [_rotate(qpos[i - 1], expected[3:6]), _rotate(qpos[i], qvel[i, 3:6])]
        np.testing.assert_allclose(world[0], world[1], atol=1e-8)


def _rotate(qpos: np.ndarray, vector: np.ndarray) -> np.ndarray:
    result = np.zeros(3)
    mujoco.mju_rotVecQuat(result, vector, qpos[3:7])
    return result


def test_finite_differences_recover_a_known_motion():
    walk = stick_walk(yaw=0.7, speed_m_s=1.3)
    qvel = finite_difference_qvel(walk.qpos, walk.fps)
    np.testing.assert_allclose(qvel[:, :3], np.tile([1.3 * np.cos(0.7), 1.3 * np.sin(0.7), 0.0], (len(qvel), 1)), atol=1e-9)
    np.testing.assert_allclose(qvel[:, 3:6], 0.0, atol=1e-9)


def test_names_and_ranges():
    body = stick_body()
    assert body.joint_names[:3] == ("left_hip_x", "left_hip_y", "left_knee")
    assert body.body_names[:2] == ("world", "pelvis")
    np.testing.assert_allclose(body.joint_range[0], [-1, 1])
    assert np.isinf(body.joint_range[body.joint_names.index("waist")]).all()
    with pytest.raises(InputError, match="no body 'tail'"):
        body.body_ids(("tail",))


@pytest.mark.parametrize(
    ("joints", "message"),
    [("<joint/>", "free joint"), ("", "free joint"), ("<freejoint/>", "only hinges")],
)
def test_bodies_that_cannot_be_used_are_refused(joints, message):
    slide = '<body><joint name="s" type="slide"/><geom size=".1"/></body>' if "free" in joints else ""
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><worldbody><body>{joints}<geom size=".1"/>{slide}</body></worldbody></mujoco>'
    )
    with pytest.raises(InputError, match=message):
        Body("odd", model)
