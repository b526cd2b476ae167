"""Rotations against scipy, for any rotation hypothesis finds, in numpy and in JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.spatial.transform import Rotation, Slerp

from motions import rotations as rot

fast = settings(max_examples=40, deadline=None)
ATOL = 1e-9
component = st.floats(-1.0, 1.0, allow_nan=False, width=64)


@st.composite
def quats(draw, count: int = 1):
    """`count` arrays (..., 4) of unit quaternions with the same leading axes, some of them tiny rotations."""
    shape = draw(array_shapes(min_dims=0, max_dims=2, max_side=3))
    result = []
    for _ in range(count):
        raw = draw(arrays(np.float64, (*shape, 4), elements=component))
        small = draw(st.sampled_from([1.0, 1e-3, 1e-7, 1e-12]))
        raw = raw * np.array([1.0, small, small, small])
        norm = np.linalg.norm(raw, axis=-1, keepdims=True)
        result.append(np.where(norm < 1e-3, np.array([1.0, 0, 0, 0]), raw / np.where(norm < 1e-3, 1.0, norm)))
    return result[0] if count == 1 else tuple(result)


def scipy_of(quat: np.ndarray) -> Rotation:
    return Rotation.from_quat(quat.reshape(-1, 4), scalar_first=True)


def angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Largest angle [rad] between two sets of quaternions, by scipy."""
    return (scipy_of(a).inv() * scipy_of(b)).magnitude().max(initial=0.0)


@fast
@given(quats(2))
def test_product_and_inverse_agree_with_scipy(pair):
    a, b = pair
    expected = (scipy_of(a) * scipy_of(b)).as_quat(scalar_first=True)
    assert angle_between(rot.quat_mul(a, b), expected) < 1e-7
    assert angle_between(rot.quat_conj(a), scipy_of(a).inv().as_quat(scalar_first=True)) < 1e-7


@fast
@given(quats(), st.integers(0, 2**31))
def test_rotating_a_vector_agrees_with_scipy(q, seed):
    v = np.random.default_rng(seed).normal(size=(*q.shape[:-1], 3))
    expected = scipy_of(q).apply(v.reshape(-1, 3)).reshape(v.shape)
    np.testing.assert_allclose(rot.quat_rotate(q, v), expected, atol=ATOL)
    np.testing.assert_allclose(rot.quat_rotate_inv(q, expected), v, atol=ATOL)


@fast
@given(quats())
def test_log_and_exp_agree_with_scipy(q):
    rotvec = rot.quat_log(q)
    expected = scipy_of(q).as_rotvec().reshape(rotvec.shape)
    half_turn = np.abs(np.linalg.norm(expected, axis=-1, keepdims=True) - np.pi) < 1e-6  # both signs are right there
    np.testing.assert_allclose(np.where(half_turn, 0, rotvec), np.where(half_turn, 0, expected), atol=1e-9)
    assert angle_between(rot.quat_exp(rotvec), q) < 1e-7


@fast
@given(quats())
def test_matrix_and_6d_agree_with_scipy(q):
    expected = scipy_of(q).as_matrix().reshape(*q.shape[:-1], 3, 3)
    np.testing.assert_allclose(rot.quat_to_matrix(q), expected, atol=ATOL)
    np.testing.assert_allclose(rot.quat_to_rot6d(q), expected[..., :2].reshape(*q.shape[:-1], 6), atol=ATOL)


@fast
@given(quats(2))
def test_angle_agrees_with_scipy(pair):
    a, b = pair
    expected = (scipy_of(a).inv() * scipy_of(b)).magnitude().reshape(a.shape[:-1])
    np.testing.assert_allclose(rot.quat_angle(a, b), expected, atol=3e-6)


@fast
@given(quats(2), st.floats(0.0, 1.0))
def test_slerp_agrees_with_scipy(pair, t):
    a, b = (q.reshape(-1, 4)[0] for q in pair)
    if angle_between(a, b) > np.pi - 1e-3:
        return  # opposite rotations: two shortest arcs
    expected = Slerp([0.0, 1.0], Rotation.from_quat(np.stack([a, b]), scalar_first=True))(t)
    assert angle_between(rot.slerp(a, b, np.asarray(t)), expected.as_quat(scalar_first=True)) < 1e-6


@fast
@given(quats())
def test_yaw_is_the_first_of_zyx_euler_angles(q):
    euler = scipy_of(q).as_euler("ZYX")
    upright = np.abs(np.abs(euler[:, 1]) - np.pi / 2) > 1e-3  # in gimbal lock yaw is not defined
    yaw = rot.yaw_quat(q).reshape(-1, 4)
    expected = Rotation.from_euler("Z", euler[:, :1]).as_quat(scalar_first=True).reshape(-1, 4)
    if upright.any():
        assert angle_between(yaw[upright], expected[upright]) < 1e-6


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-5, 1e-4, 0.3, np.pi - 1e-6, np.pi])
def test_axis_angle_at_small_and_large_angles(angle):
    axis = np.array([1.0, -2.0, 3.0]) / np.sqrt(14.0)
    q = rot.quat_from_axis_angle(axis, np.array(angle))
    assert angle_between(q, Rotation.from_rotvec(angle * axis).as_quat(scalar_first=True)) < 1e-12
    np.testing.assert_allclose(rot.quat_exp(angle * axis), q, atol=1e-12)
    assert rot.quat_angle(np.array([1.0, 0, 0, 0]), q) == pytest.approx(angle, abs=2e-6)


UNARY = ("quat_conj", "quat_normalize", "quat_log", "quat_to_matrix", "quat_to_rot6d", "yaw_quat")
BINARY = ("quat_mul", "quat_angle")


@pytest.mark.parametrize("name", UNARY + BINARY)
def test_numpy_and_jax_agree_and_keep_their_kind(name):
    q = np.random.default_rng(1).normal(size=(7, 2, 4)).astype(np.float32)
    q /= np.linalg.norm(q, axis=-1, keepdims=True)
    q[0] = [1.0, 0.0, 0.0, 0.0]
    arguments = (q,) if name in UNARY else (q, q[::-1])
    function = getattr(rot, name)
    host, device = function(*arguments), jax.jit(function)(*(jnp.asarray(a) for a in arguments))
    assert isinstance(host, np.ndarray)
    assert isinstance(device, jax.Array)
    assert host.dtype == np.float32
    np.testing.assert_allclose(host, device, atol=2e-5)


def test_gradients_are_finite_at_the_identity():
    identity = jnp.array([1.0, 0.0, 0.0, 0.0])
    zero = jnp.zeros(3)
    for gradient in (
        jax.jacobian(rot.quat_exp)(zero),
        jax.jacobian(rot.quat_log)(identity),
        jax.jacobian(rot.quat_angle, argnums=1)(identity, identity),
        jax.jacobian(rot.slerp, argnums=(0, 1, 2))(identity, identity, jnp.array(0.5)),
        jax.jacobian(rot.yaw_quat)(identity),
    ):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    # exp: d quat / d rotvec at zero is [0; I/2]; log undoes it on the tangent space.
    np.testing.assert_allclose(jax.jacobian(rot.quat_exp)(zero), np.vstack([np.zeros(3), 0.5 * np.eye(3)]), atol=1e-6)
    np.testing.assert_allclose(jax.jacobian(rot.quat_log)(identity)[:, 1:], 2.0 * np.eye(3), atol=1e-6)


def test_unroll_removes_sign_flips_only():
    angles = np.linspace(0, 12.0, 50)
    smooth = rot.quat_from_axis_angle(np.array([0.0, 0.0, 1.0]), angles)[:, None] * np.ones((1, 2, 1))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(50, 2, 1))
    unrolled = rot.quat_unroll(smooth * signs)
    assert np.all(np.sum(unrolled[1:] * unrolled[:-1], axis=-1) > 0)
    np.testing.assert_allclose(np.abs(unrolled), np.abs(smooth))
