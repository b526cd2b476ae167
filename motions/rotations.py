"""Rotations: unit quaternions **wxyz**, rotation vectors [rad], 6D rotations, headings about world z.

Every function takes any leading batch axes and works on numpy and JAX arrays alike, returning the
kind it was given. All rotations are active and map child-frame vectors to the parent frame. Where an array's own namespace has
a function of the same name, that is taken (`mimic.deploy.recorded`: as few operators as can be).
"""

from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # a numpy or JAX array; the caller's kind is kept
_TINY = 1e-12


def namespace(*arrays: Array) -> ModuleType:
    """`jax.numpy` if any argument is a JAX array, else `numpy` (JAX is never imported here)."""
    for array in arrays:
        module = array.__array_namespace__()
        if module is not np:
            return module
    return np


def quat_mul(a: Array, b: Array) -> Array:
    """Hamilton product `a b` (first rotate by b, then by a); (..., 4)."""
    xp = namespace(a, b)
    if hasattr(xp, "quat_mul"):
        return xp.quat_mul(a, b)
    aw, ax, ay, az = (a[..., i] for i in range(4))
    bw, bx, by, bz = (b[..., i] for i in range(4))
    return xp.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def quat_conj(q: Array) -> Array:
    """The inverse of a unit quaternion; (..., 4)."""
    return q * namespace(q).asarray([1.0, -1.0, -1.0, -1.0], dtype=q.dtype)


def quat_normalize(q: Array) -> Array:
    """q / |q|; (..., 4)."""
    xp = namespace(q)
    return q / xp.sqrt(xp.sum(q * q, axis=-1, keepdims=True))


def quat_rotate(q: Array, v: Array) -> Array:
    """Rotate vectors `v` (..., 3) by `q` (..., 4): v + 2 w (u x v) + 2 u x (u x v)."""
    xp = namespace(q, v)
    if hasattr(xp, "quat_rotate"):
        return xp.quat_rotate(q, v)
    u, w = q[..., 1:], q[..., :1]
    t = 2.0 * xp.cross(u, v)
    return v + w * t + xp.cross(u, t)


def quat_rotate_inv(q: Array, v: Array) -> Array:
    """Rotate `v` by the inverse of `q`: world vector to body frame."""
    return quat_rotate(quat_conj(q), v)


def quat_exp(rotvec: Array) -> Array:
    """Rotation vector [rad] (..., 3) to quaternion; smooth (and differentiable) at zero."""
    xp = namespace(rotvec)
    angle_sq = xp.sum(rotvec * rotvec, axis=-1, keepdims=True)
    small = angle_sq < 1e-8
    angle = xp.sqrt(xp.where(small, 1.0, angle_sq))  # the inner where keeps the gradient finite
    scale = xp.where(small, 0.5 - angle_sq / 48.0, xp.sin(0.5 * angle) / angle)
    w = xp.where(small, 1.0 - angle_sq / 8.0, xp.cos(0.5 * angle))
    return xp.concatenate([w, scale * rotvec], axis=-1)


def quat_log(q: Array) -> Array:
    """Quaternion to the shortest rotation vector [rad] (..., 3), norm in [0, pi]."""
    xp = namespace(q)
    q = xp.where(q[..., :1] < 0.0, -q, q)
    u, w = q[..., 1:], q[..., :1]
    norm_sq = xp.sum(u * u, axis=-1, keepdims=True)
    small = norm_sq < 1e-12
    norm = xp.sqrt(xp.where(small, 1.0, norm_sq))
    scale = xp.where(small, 2.0 / xp.where(small, w, 1.0), 2.0 * xp.arctan2(norm, w) / norm)
    return scale * u


def quat_angle(a: Array, b: Array) -> Array:
    """Angle of the rotation between `a` and `b` [rad], in [0, pi]; (...)."""
    xp = namespace(a, b)
    d = quat_mul(quat_conj(a), b)
    u_sq = xp.sum(d[..., 1:] ** 2, axis=-1)
    tiny = u_sq < _TINY
    return xp.where(tiny, 0.0, 2.0 * xp.arctan2(xp.sqrt(xp.where(tiny, 1.0, u_sq)), xp.abs(d[..., 0])))


def quat_from_axis_angle(axis: Array, angle: Array) -> Array:
    """Rotation by `angle` [rad] (...) about the unit `axis` (..., 3)."""
    xp = namespace(axis, angle)
    half = 0.5 * angle[..., None]
    axis = xp.broadcast_to(axis, (*half.shape[:-1], 3))
    return xp.concatenate([xp.cos(half), xp.sin(half) * axis], axis=-1)


def quat_to_matrix(q: Array) -> Array:
    """Rotation matrix (..., 3, 3)."""
    xp = namespace(q)
    if hasattr(xp, "quat_to_matrix"):
        return xp.quat_to_matrix(q)
    w, x, y, z = (q[..., i] for i in range(4))
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def quat_to_rot6d(q: Array) -> Array:
    """First two matrix columns, flattened **row by row** (..., 6): m00 m01 m10 m11 m20 m21. (Zhou 2019)"""
    m = quat_to_matrix(q)[..., :2]
    return m.reshape(*m.shape[:-2], 6)


def yaw_quat(q: Array) -> Array:
    """The rotation about world z contained in `q`: its heading; (..., 4)."""
    xp = namespace(q)
    w, x, y, z = (q[..., i] for i in range(4))
    yaw = xp.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    zero = xp.zeros_like(yaw)
    return xp.stack([xp.cos(0.5 * yaw), zero, zero, xp.sin(0.5 * yaw)], axis=-1)


def slerp(a: Array, b: Array, t: Array) -> Array:
    """Shortest great-arc interpolation from `a` (t=0) to `b` (t=1); t (...)."""
    return quat_mul(a, quat_exp(t[..., None] * quat_log(quat_mul(quat_conj(a), b))))


def quat_unroll(q: Array) -> Array:
    """Flip signs along axis 0 so that neighbours lie in one half-space; numpy only, (F, ..., 4)."""
    q = np.array(q)
    flip = np.cumsum(np.sum(q[1:] * q[:-1], axis=-1) < 0, axis=0) % 2 == 1
    q[1:][flip] *= -1.0
    return q
