"""The way from a robot's root to one of its bodies, as few numbers as a runtime without MuJoCo needs for its pose."""

import mujoco
import numpy as np

from mimic.deploy.spec import ChainLink
from motions.kinematics import Body
from motions.rotations import quat_conj, quat_from_axis_angle, quat_rotate

_STAY, _SAME = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])


def chain_to(body: Body, name: str) -> tuple[ChainLink, ...]:
    """The links from the root's frame to the frame of the body `name`; none if that is the root."""
    model = body.model
    path, at = [], int(body.body_ids((name,))[0])
    while model.body_parentid[at] != 0:
        path.append(at)
        at = model.body_parentid[at]
    return tuple(link for b in reversed(path) for link in _links(model, b))


def _links(model: mujoco.MjModel, b: int) -> list[ChainLink]:
    """A fixed step to the body's frame, and around every hinge: to its anchor, the turn, and back."""
    links, pos, quat = [], model.body_pos[b], model.body_quat[b]
    for j in range(model.body_jntadr[b], model.body_jntadr[b] + model.body_jntnum[b]):
        anchor, axis = model.jnt_pos[j], model.jnt_axis[j]
        links.append(_link(pos + quat_rotate(quat, anchor), quat, j - 1, axis))
        quat = quat_conj(quat_from_axis_angle(axis, model.qpos0[model.jnt_qposadr[j]]))
        pos = -quat_rotate(quat, anchor)
    if not links or not (np.array_equal(pos, _STAY) and np.array_equal(quat, _SAME)):
        links.append(_link(pos, quat, None, _STAY))
    return links


def _link(pos: np.ndarray, quat: np.ndarray, joint: int | None, axis: np.ndarray) -> ChainLink:
    return ChainLink(tuple(pos.tolist()), tuple(quat.tolist()), joint, tuple(axis.tolist()))
