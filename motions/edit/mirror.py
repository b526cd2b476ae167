"""Left-right mirroring of a robot's motion.

The map (`MirrorMap`) is found here and not kept in `Body`: nothing else needs it, and a body without a symmetry is as good a
body. Every pose q has a mirror image q' in which every body stands where the image of its counterpart stands.
"""

import re
from dataclasses import replace
from typing import NamedTuple

import mujoco
import numpy as np

from motions.errors import InputError
from motions.kinematics import Body, forward_kinematics
from motions.library import require_joints
from motions.motion import Motion
from motions.rotations import quat_mul

SAME_PLACE_M, SAME_AXIS_RAD = 0.01, np.deg2rad(2.0)  # models are symmetric to the accuracy of their drawings
CHECKED_POSES, CHECKED_M = 8, 0.02  # random poses that prove a map, and how far a body may be off in them
_SIDES = {"left": "right", "right": "left", "l": "r", "r": "l", "fl": "fr", "fr": "fl", "rl": "rr", "rr": "rl"}
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^A-Za-z\d]+")


class MirrorMap(NamedTuple):
    """How a body maps onto its mirror image.

    joint (J,), sign (J,): hinge j takes sign[j] times the value of hinge joint[j], both counted from the model's
    reference `zero` (J,). body (B,): counterparts, the world first. turn (4,): mirrored root = image of the root in the
    world's xz plane, then turned by this in its own frame; 1 for a root that faces along its x or z axis.
    """

    joint: np.ndarray
    sign: np.ndarray
    zero: np.ndarray
    body: np.ndarray
    turn: np.ndarray


def mirror(motion: Motion, body: Body) -> Motion:
    """The motion in a mirror that stands in the world's xz plane: left becomes right, y becomes -y.

    Raises `InputError` for another robot's motion, or a body that is not symmetric, naming what has no counterpart.
    """
    require_joints(motion, body)
    return replace(motion, name=f"{motion.name}_mirrored", qpos=mirrored_qpos(motion.qpos, mirror_map(body)))


def mirrored_qpos(qpos: np.ndarray, image: MirrorMap) -> np.ndarray:
    """The mirror images of poses `qpos` (F, nq)."""
    mirrored = qpos.copy()
    mirrored[:, 1] *= -1.0
    # A reflection S turns the rotation about a by an angle into the one about S a by minus the angle.
    seen = qpos[:, 3:7] * [1.0, -1.0, 1.0, -1.0]
    mirrored[:, 3:7] = quat_mul(seen, np.broadcast_to(image.turn, seen.shape))
    away = qpos[:, 7:] - image.zero
    mirrored[:, 7:] = image.zero + image.sign * away[:, image.joint]
    return mirrored


def mirror_map(body: Body) -> MirrorMap:
    """The body's own symmetry: found in its reference pose from tree, places, axes and names, proved in random poses.

    The plane is the root's xz plane, or, where that finds no partners, its yz plane. Parts fixed to their parent
    that carry no joint need no counterpart. Raises `InputError` naming the bodies without one.
    """
    failures = []
    for axis in (1, 0):
        image, missing = _match(body, axis)
        if image is None:
            failures.append(missing)
            continue
        _prove(body, image)
        return image
    raise InputError(
        f"robot {body.name!r} cannot be mirrored: no counterpart across its middle plane for {', '.join(failures[0])}"
    )


def _match(body: Body, axis: int) -> tuple[MirrorMap | None, list[str]]:
    """The map for the root's plane normal to `axis`, or the names of the bodies that have no partner."""
    model = body.model
    zero = np.concatenate([[0.0, 0, 0, 1, 0, 0, 0], model.qpos0[7:]])
    data = mujoco.MjData(model)
    data.qpos[:] = zero
    mujoco.mj_kinematics(model, data)
    flip = np.ones(3)
    flip[axis] = -1.0
    carries = _carries_joints(model)
    root = int(model.jnt_bodyid[0])
    partner = np.full(model.nbody, -1)
    partner[0], partner[root] = 0, root
    joint, sign = np.arange(model.njnt - 1), np.ones(model.njnt - 1)
    missing: list[str] = []
    for b in range(1, model.nbody):
        parent = model.body_parentid[b]
        if b == root or partner[parent] < 0:
            missing += [model.body(b).name] if b != root and carries[b] else []
            continue
        rivals = [c for c in range(1, model.nbody) if model.body_parentid[c] == partner[parent] and carries[c] == carries[b]]
        found = [(c, signs) for c in rivals if (signs := _joint_signs(model, data, b, c, flip)) is not None]
        if not found:
            missing += [model.body(b).name] if carries[b] else []
            continue
        wanted = opposite_name(model.body(b).name)

        def unlikeness(pair: tuple[int, list[float]], b: int = b, wanted: str = wanted) -> tuple[bool, bool, bool]:
            apart = np.linalg.norm(data.xpos[b] * flip - data.xpos[pair[0]])
            return bool(apart > SAME_PLACE_M), model.body(pair[0]).name != wanted, pair[0] != b

        c, signs = min(found, key=unlikeness)
        partner[b] = c
        for k, value in enumerate(signs):
            here, there = model.body_jntadr[b] + k - 1, model.body_jntadr[c] + k - 1
            joint[there], sign[there] = here, value
    if missing:
        return None, missing
    if axis == 0 and not ((partner >= 0) & (partner != np.arange(model.nbody))).any():
        return None, ["its limbs"]  # front and back alike, which says nothing about left and right
    turn = np.array([1.0, 0, 0, 0]) if axis == 1 else np.array([0.0, 0, 0, 1])  # S_y S_x is half a turn about z
    return MirrorMap(joint, sign, model.qpos0[7:].copy(), partner, turn), []


def _carries_joints(model: mujoco.MjModel) -> np.ndarray:
    """Which bodies have hinges of their own or further out; (B,)."""
    carries = model.body_jntnum > 0
    for b in range(model.nbody - 1, 0, -1):
        carries[model.body_parentid[b]] |= carries[b]
    return carries


def _joint_signs(model: mujoco.MjModel, data: mujoco.MjData, b: int, c: int, flip: np.ndarray) -> list[float] | None:
    """For b's hinges the factors c's hinges take them with, if c stands and turns as the mirror image of b; else None.

    If c's axis is s times the image of b's, c's angle is -s times b's.
    """
    beside = data.xpos[b] * flip - data.xpos[c]
    if model.body_jntnum[b] == 1:  # along its own hinge a frame may sit anywhere: the part it stands for turns the same
        axis = data.xaxis[model.body_jntadr[c]]
        beside = beside - (beside @ axis) * axis
    if np.linalg.norm(beside) > SAME_PLACE_M or model.body_jntnum[b] != model.body_jntnum[c]:
        return None
    signs = []
    for k in range(model.body_jntnum[b]):
        i, j = model.body_jntadr[b] + k, model.body_jntadr[c] + k
        seen = data.xaxis[i] * flip
        cos = float(seen @ data.xaxis[j])
        lever = data.xanchor[i] * flip - data.xanchor[j]
        beside = np.linalg.norm(lever - (lever @ seen) * seen)
        if abs(cos) < np.cos(SAME_AXIS_RAD) or beside > SAME_PLACE_M:
            return None
        signs.append(-np.sign(cos))
    return signs


def opposite_name(name: str) -> str:
    """The name of the other side's part: left and right exchanged, as words or as the letters between separators."""

    def other(match: re.Match) -> str:
        word = match.group()
        turned = _SIDES.get(word.lower())
        if turned is None:
            return word
        return turned.upper() if word.isupper() else turned.capitalize() if word[0].isupper() else turned

    return _WORDS.sub(other, name)


def _prove(body: Body, image: MirrorMap) -> None:
    """Raise `InputError` unless every body with a partner goes where its image goes, in random poses.

    A frame that is off already in the reference pose, along its hinge, may be off by as much in every other.
    """
    low, high = np.clip(body.joint_range, -1.0, 1.0).T
    random = np.random.default_rng(0)
    qpos = np.concatenate([random.normal(size=(CHECKED_POSES, 7)), random.uniform(low, high, (CHECKED_POSES, len(low)))], axis=1)
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    qpos[0, 7:] = image.zero
    seen = forward_kinematics(body, qpos)[0] * [1.0, -1.0, 1.0]
    stands = forward_kinematics(body, mirrored_qpos(qpos, image))[0]
    paired = image.body >= 0
    off = np.linalg.norm(stands[:, image.body[paired]] - seen[:, paired], axis=-1)
    off = (off[1:] - off[:1]).max(axis=0)
    if off.max() > CHECKED_M:
        names = np.array(body.body_names)[paired]
        worst = [f"{names[i]} ({100 * off[i]:.1f} cm off)" for i in np.argsort(-off)[:3] if off[i] > CHECKED_M]
        raise InputError(f"robot {body.name!r} cannot be mirrored: it is not symmetric at {', '.join(worst)}")
