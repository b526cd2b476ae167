"""A robot's tree, level by level, for kinematics that visit all bodies of a level together.

Written out body by body, a program for a device grows with the tree, and its compiler computes what is shared anew for each use:
29 joints took forty times as long to compile, and a hundred times as long to run.
"""

from types import ModuleType
from typing import NamedTuple

import mujoco
import numpy as np

from motions.rotations import Array, namespace, quat_from_axis_angle, quat_mul, quat_rotate


class Frames(NamedTuple):
    """W frames: position (..., W, 3) [m] and orientation (..., W, 4) wxyz in the world; with velocities, those of the origin
    (..., W, 3) [m/s] and of the rotation (..., W, 3) [rad/s], else None."""

    pos: Array
    quat: Array
    linear: Array | None = None
    angular: Array | None = None


class Level(NamedTuple):
    """W frames that each hang on one of the level above; with a leading axis, all L levels.

    parent (W,): which one. pos (W, 3), quat (W, 4): where, in its parent's axes, before it turns. anchor (W, 3), axis (W, 3): of
    its hinge, in its own axes. joint (W,): which hinge that is; J where there is none.
    """

    parent: Array
    pos: Array
    quat: Array
    anchor: Array
    axis: Array
    joint: Array


class Tree(NamedTuple):
    """The levels below world and root, which are slots 0 and 1 above the first; where each body is: (nbody,) level, the one above
    being 0, and slot."""

    levels: Level
    body_level: np.ndarray
    body_slot: np.ndarray


def tree_of(model: mujoco.MjModel) -> Tree:
    """The tree of a model with one free joint, its first, and hinges. A body of several hinges is as many frames in a row."""
    places = {0: (0, 0), int(model.jnt_bodyid[0]): (0, 1)}
    rows: list[list[tuple]] = []
    none = model.njnt - 1
    for body in range(1, model.nbody):
        if body in places:
            continue
        level, slot = places[int(model.body_parentid[body])]
        pos, quat = model.body_pos[body], model.body_quat[body]
        first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
        for joint in range(first, first + count) if count else (0,):
            if level == len(rows):
                rows.append([])
            rows[level].append((slot, pos, quat, model.jnt_pos[joint], model.jnt_axis[joint], joint - 1 if count else none))
            level, slot = level + 1, len(rows[level]) - 1
            pos, quat = np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
        places[body] = level, slot
    idle = (0, np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(3), np.array([0.0, 0.0, 1.0]), none)
    width = max([2, *map(len, rows)])
    padded = [row + [idle] * (width - len(row)) for row in rows or [[]]]
    columns = (np.array(part) for part in zip(*(zip(*row, strict=True) for row in padded), strict=True))
    placed = np.array([places[body] for body in range(model.nbody)])
    return Tree(Level(*columns), placed[:, 0], placed[:, 1])


def below(frames: Frames, level: Level, angles: Array, rates: Array | None) -> Frames:
    """The frames of `level`, of those of the level above, at the hinges' angles (..., J + 1) from where the model has them [rad],
    the last 0, and, for velocities, rates (..., J + 1) [rad/s]."""
    above = [None if part is None else part[..., level.parent, :] for part in frames]
    quat = quat_mul(above[1], level.quat)
    anchor = above[0] + quat_rotate(above[1], level.pos) + quat_rotate(quat, level.anchor)
    turned = quat_mul(quat, quat_from_axis_angle(level.axis, angles[..., level.joint]))
    pos = anchor - quat_rotate(turned, level.anchor)
    if rates is None:
        return Frames(pos, turned)
    spin = quat_rotate(quat, level.axis) * rates[..., level.joint][..., None]
    cross = namespace(pos).cross
    linear = above[2] + cross(above[3], pos - above[0]) + cross(spin, pos - anchor)
    return Frames(pos, turned, linear, above[3] + spin)


def descend(tree: Tree, top: Frames, angles: Array, rates: Array | None) -> Frames:
    """The frames of all bodies (..., nbody, .), from those of world and root; numpy or JAX, as these are."""
    xp = namespace(top.pos)
    levels = Level(*(xp.asarray(part, dtype=top.pos.dtype if part.dtype == float else None) for part in tree.levels))
    above = Frames(*(None if part is None else _widened(part, levels.parent.shape[1], xp) for part in top))
    if xp is np:
        found = [above]
        for number in range(len(levels.parent)):
            found.append(below(found[-1], Level(*(part[number] for part in levels)), angles, rates))
        columns = [None if parts[0] is None else np.stack(parts) for parts in zip(*found, strict=True)]
    else:
        from jax import lax  # by whose arrays we are called, so it is loaded

        def one(above: Frames, level: Level) -> tuple[Frames, Frames]:
            frames = below(above, level, angles, rates)
            return frames, frames

        _, stacked = lax.scan(one, above, levels)
        columns = [
            None if first is None else xp.concatenate([first[None], rest]) for first, rest in zip(above, stacked, strict=True)
        ]
    places = tree.body_level, ..., tree.body_slot, slice(None)
    return Frames(*(None if part is None else xp.moveaxis(part[places], 0, -2) for part in columns))


def _widened(part: Array, width: int, xp: ModuleType) -> Array:
    """`part` (..., 2, k) with copies of the first of the two up to (..., width, k)."""
    copies = xp.broadcast_to(part[..., :1, :], (*part.shape[:-2], width - 2, part.shape[-1]))
    return xp.concatenate([part, copies], axis=-2)
