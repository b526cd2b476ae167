"""Kinematics of the retargeter against C MuJoCo and finite differences; its linear solver against a dense one."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from motions.kinematics import Body
from motions.rotations import quat_exp, quat_mul, quat_to_matrix
from retarget.banded import Rows, backward, factorize, forward, invert_lower, nothing
from retarget.chain import build_chain, joint_axes, link_frames, point_jacobian, points_on

ROBOT = """
<mujoco>
  <worldbody>
    <body name="base" pos="0 0 1">
      <freejoint/>
      <geom size="0.1" mass="1"/>
      <body name="upper" pos="0.1 0.2 -0.1" quat="0.9 0.1 0.3 0.2">
        <joint name="a" axis="0 1 0" pos="0.02 0 0.03" range="-2 2"/>
        <joint name="b" axis="1 1 0" ref="0.3" range="-2 2"/>
        <joint name="c" axis="0.2 0.3 1" range="-2 2"/>
        <geom size="0.05" mass="1"/>
        <body name="fixed" pos="0 0.1 0" euler="20 30 40">
          <geom size="0.03" mass="0.5"/>
          <body name="lower" pos="0 0 -0.3">
            <joint name="d" axis="0 1 0" range="-2 2"/>
            <geom size="0.05" mass="1"/>
          </body>
        </body>
      </body>
      <body name="other" pos="-0.1 0 0">
        <joint name="e" axis="0 0 1" range="-2 2"/>
        <geom size="0.05" mass="1"/>
      </body>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture(scope="module")
def body() -> Body:
    return Body("test", mujoco.MjModel.from_xml_string(ROBOT))


def random_poses(body: Body, count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    qpos = rng.uniform(-1.5, 1.5, (count, body.model.nq))
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    return qpos


def kinematics_of(chain, link, offset):
    """A compiled function of qpos: link rotations, points and their Jacobian."""

    @jax.jit
    def run(root_pos, root_rot, joints):
        pos, rot = link_frames(chain, root_pos, root_rot, joints)
        points = points_on(link, offset, pos, rot)
        return rot, points, point_jacobian(chain, link, points, root_pos, *joint_axes(chain, pos, rot))

    return lambda qpos: [np.asarray(x) for x in run(qpos[:, :3], quat_to_matrix(qpos[:, 3:7]), qpos[:, 7:])]


def test_link_frames_place_bodies_where_mujoco_does(body):
    chain, data = build_chain(body), mujoco.MjData(body.model)
    qpos = random_poses(body, 5)
    rot, placed, _ = kinematics_of(chain, chain.body_link, chain.body_pos)(qpos)
    turned = rot[:, chain.body_link] @ chain.body_rot
    for frame, q in enumerate(qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(body.model, data)
        np.testing.assert_allclose(placed[frame, 1:], data.xpos[1:], atol=2e-6)
        np.testing.assert_allclose(turned[frame, 1:], data.xmat.reshape(-1, 3, 3)[1:], atol=2e-6)


def test_point_jacobian_is_the_finite_difference(body):
    chain, qpos = build_chain(body), random_poses(body, 3)
    link = chain.body_link[1:]
    offset = np.random.default_rng(1).normal(size=(len(link), 3)) * 0.2

    run = kinematics_of(chain, link, offset)
    jacobian = run(qpos)[2]
    step = 1e-3
    for column in range(6 + chain.num_joints):
        moved = []
        for sign in (1.0, -1.0):
            q = qpos.copy()
            if 3 <= column < 6:
                turn = np.zeros((len(q), 3))
                turn[:, column - 3] = sign * step
                q[:, 3:7] = quat_mul(quat_exp(turn), q[:, 3:7])
            else:
                q[:, column if column < 3 else column + 1] += sign * step
            moved.append(run(q)[1].astype(float))
        np.testing.assert_allclose(jacobian[..., column], (moved[0] - moved[1]) / (2 * step), atol=2e-3)


@pytest.mark.parametrize("size", [1, 7, 35])
def test_lower_triangular_inverse(size):
    lower = np.tril(np.random.default_rng(size).normal(size=(size, size))) + 3.0 * np.eye(size)
    np.testing.assert_allclose(jax.jit(invert_lower)(jnp.asarray(lower, jnp.float32)), np.linalg.inv(lower), atol=2e-5)


def test_block_pentadiagonal_solution_equals_the_dense_one():
    frames, n = 9, 6
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(frames, n, 3 * n)) * 0.3  # residuals that couple three frames make a positive matrix
    dense = np.eye((frames + 2) * n)
    for f in range(frames):
        part = np.zeros((n, (frames + 2) * n))
        part[:, f * n : (f + 3) * n] = rows[f]
        dense += part.T @ part
    blocks = dense.reshape(frames + 2, n, frames + 2, n)
    empty = np.zeros((n, n))
    below, below2 = (np.stack([blocks[f, :, f - k] if f >= k else empty for f in range(frames + 2)]) for k in (1, 2))
    rhs = rng.normal(size=(frames + 2, n))
    whole = Rows(np.stack([blocks[f, :, f] for f in range(frames + 2)]), below, below2)

    def solve_in_parts(rows: Rows, rhs: jax.Array) -> jax.Array:
        (past, before, future), found, parts = nothing(n, jnp.float32), [], []
        for part in (slice(0, 4), slice(4, 5), slice(5, None)):
            past, factors = factorize(past, jax.tree.map(lambda x, part=part: x[part], rows))
            before, y = forward(before, factors, rhs[part])
            parts.append((factors, y))
        for factors, y in reversed(parts):
            future, x = backward(future, factors, y)
            found.insert(0, x)
        return jnp.concatenate(found)

    x = jax.jit(solve_in_parts)(*jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), (whole, rhs)))
    np.testing.assert_allclose(np.asarray(x).ravel(), np.linalg.solve(dense, rhs.ravel()), atol=2e-4)
