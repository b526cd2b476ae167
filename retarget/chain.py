"""A robot as a chain of hinges in arrays: forward kinematics by tree level, points and their Jacobians, in JAX.

Every hinge gets a *link frame* whose origin is the joint anchor and whose z axis is the joint axis, so a
joint only ever turns about its own z. Link 0 is the floating base. The tangent space of a pose has
6 + J coordinates: root translation (world) [m], root rotation vector (world) [rad], joints [rad].
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np

from motions.kinematics import Body
from motions.rotations import Array, namespace, quat_to_matrix


@dataclass(frozen=True, eq=False)
class Chain:
    """Constant arrays of one robot with J hinges and L = J + 1 links, links ordered by depth.

    joint (L,): qpos joint index of a link (-1: base). parent (L,). fixed_rot (L, 3, 3), fixed_pos (L, 3): link
    frame in its parent's at joint value 0 (`zero` (J,) is subtracted from q first). level_starts: slices of equal depth.
    moves (L, J): whether joint j moves link l.
    """

    joint: np.ndarray
    parent: np.ndarray
    fixed_rot: np.ndarray
    fixed_pos: np.ndarray
    zero: np.ndarray
    level_starts: tuple[int, ...]
    moves: np.ndarray
    body_link: np.ndarray  # (nbody,) link that carries each body
    body_rot: np.ndarray  # (nbody, 3, 3) body frame in its link frame
    body_pos: np.ndarray  # (nbody, 3)

    @property
    def num_joints(self) -> int:
        return len(self.zero)


def build_chain(body: Body) -> Chain:
    """The `Chain` of a `Body`."""
    model = body.model
    links: list[tuple[int, int, np.ndarray, np.ndarray, int]] = [(-1, -1, np.eye(3), np.zeros(3), 0)]
    body_link, body_rot, body_pos = [0], [np.eye(3)], [np.zeros(3)]
    for b in range(1, model.nbody):
        parent_body = model.body_parentid[b]
        link, rot, pos = body_link[parent_body], body_rot[parent_body], body_pos[parent_body]
        joints = range(model.body_jntadr[b], model.body_jntadr[b] + model.body_jntnum[b])
        if any(model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE for j in joints):
            rot, pos = np.eye(3), np.zeros(3)
        else:
            pos = pos + rot @ model.body_pos[b]
            rot = rot @ quat_to_matrix(model.body_quat[b])
        for j in joints:
            if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE:
                continue
            anchor = pos + rot @ model.jnt_pos[j]
            align = _z_to(model.jnt_axis[j])
            links.append((j - 1, link, rot @ align, anchor, links[link][4] + 1))
            link, rot = len(links) - 1, align.T
            pos = -rot @ model.jnt_pos[j]
        body_link.append(link)
        body_rot.append(rot)
        body_pos.append(pos)
    depth = np.array([item[4] for item in links])
    order = np.argsort(depth, kind="stable")
    rank = np.argsort(order)
    parent = np.array([rank[links[i][1]] if links[i][1] >= 0 else -1 for i in order])
    joint = np.array([links[i][0] for i in order])
    moves = np.zeros((len(links), len(links) - 1), bool)
    for i in range(1, len(links)):
        moves[i] = moves[parent[i]]
        moves[i, joint[i]] = True
    return Chain(
        joint=joint,
        parent=parent,
        fixed_rot=np.stack([links[i][2] for i in order]),
        fixed_pos=np.stack([links[i][3] for i in order]),
        zero=np.array(model.qpos0[7:]),
        level_starts=tuple(int(np.searchsorted(depth[order], d)) for d in range(int(depth.max()) + 2)),
        moves=moves,
        body_link=rank[np.array(body_link)],
        body_rot=np.stack(body_rot),
        body_pos=np.stack(body_pos),
    )


def _z_to(axis: np.ndarray) -> np.ndarray:
    """A rotation whose third column is the unit `axis`."""
    axis = axis / np.linalg.norm(axis)
    helper = np.eye(3)[np.argmin(np.abs(axis))]
    x = np.cross(helper, axis)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(axis, x), axis], axis=1)


class Kinematics(NamedTuple):
    """Link frames, joint axes and anchors, all in the world, of F poses."""

    link_pos: Array
    link_rot: Array
    axes: Array
    anchors: Array


def link_frames(chain: Chain, root_pos: Array, root_rot: Array, joints: Array) -> tuple[Array, Array]:
    """World origins (F, L, 3) and rotations (F, L, 3, 3) of all links for root (F, 3), (F, 3, 3) and joints (F, J)."""
    pos, rot = root_pos[:, None], root_rot[:, None]
    dtype = joints.dtype
    angle = joints - jnp.asarray(chain.zero, dtype)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    for start, stop in zip(chain.level_starts[1:-1], chain.level_starts[2:]):
        parent, joint = chain.parent[start:stop], chain.joint[start:stop]
        fixed = jnp.asarray(chain.fixed_rot[start:stop], dtype)
        c, s = cos[:, joint, None], sin[:, joint, None]
        turned = jnp.stack(  # columns of fixed @ Rz(q)
            [fixed[:, :, 0] * c + fixed[:, :, 1] * s, fixed[:, :, 1] * c - fixed[:, :, 0] * s, fixed[:, :, 2] + 0 * c], axis=-1
        )
        parent_rot = rot[:, parent]
        offset = jnp.asarray(chain.fixed_pos[start:stop], dtype)
        pos = jnp.concatenate([pos, pos[:, parent] + jnp.sum(parent_rot * offset[:, None, :], axis=-1)], axis=1)
        rot = jnp.concatenate([rot, _matmul3(parent_rot, turned)], axis=1)
    return pos, rot


def _matmul3(a: Array, b: Array) -> Array:
    """Product of 3x3 matrices by sums: XLA fuses it, where its batched dot would call out for every pair."""
    return jnp.sum(a[..., :, :, None] * b[..., None, :, :], axis=-2)


def points_on(link: np.ndarray, offset: np.ndarray, pos: Array, rot: Array) -> Array:
    """World positions (F, P, 3) of points fixed at `offset` (P, 3) in links `link` (P,); numpy or JAX, as `pos` is."""
    xp = namespace(pos)
    return pos[:, link] + xp.sum(rot[:, link] * xp.asarray(offset, dtype=pos.dtype)[:, None, :], axis=-1)


def joint_axes(chain: Chain, pos: Array, rot: Array) -> tuple[Array, Array]:
    """World axes (F, J, 3) and anchors (F, J, 3) of the joints, in qpos order."""
    link_of_joint = np.argsort(chain.joint)[1:]
    return rot[:, link_of_joint][..., 2], pos[:, link_of_joint]


def point_jacobian(chain: Chain, link: np.ndarray, points: Array, root_pos: Array, axes: Array, anchors: Array) -> Array:
    """d points / d tangent, (F, P, 3, 6 + J): axis x (point - anchor) for the joints that carry the point."""
    frames, count = points.shape[:2]
    eye = jnp.broadcast_to(jnp.eye(3, dtype=points.dtype), (frames, count, 3, 3))
    x, y, z = (points[:, :, i] - root_pos[:, None, i] for i in range(3))
    zero = jnp.zeros_like(x)
    turn = jnp.stack(  # delta x arm, as a matrix acting on delta
        [jnp.stack([zero, z, -y], -1), jnp.stack([-z, zero, x], -1), jnp.stack([y, -x, zero], -1)], axis=-2
    )
    moves = jnp.asarray(chain.moves[link], points.dtype)  # [P, J]
    a = [axes[:, None, :, i] * moves for i in range(3)]
    arm = [points[:, :, None, i] - anchors[:, None, :, i] for i in range(3)]
    hinge = jnp.stack(
        [a[1] * arm[2] - a[2] * arm[1], a[2] * arm[0] - a[0] * arm[2], a[0] * arm[1] - a[1] * arm[0]], axis=-2
    )  # [F, P, 3, J]
    return jnp.concatenate([eye, turn, hinge], axis=-1)


def rotation_jacobian(chain: Chain, link: np.ndarray, axes: Array) -> Array:
    """d (world rotation vector of links) / d tangent, (F, P, 3, 6 + J)."""
    frames, count = axes.shape[0], len(link)
    eye = jnp.broadcast_to(jnp.eye(3, dtype=axes.dtype), (frames, count, 3, 3))
    moves = jnp.asarray(chain.moves[link], axes.dtype)
    hinge = jnp.swapaxes(axes, 1, 2)[:, None] * moves[None, :, None, :]
    return jnp.concatenate([jnp.zeros_like(eye), eye, hinge], axis=-1)
