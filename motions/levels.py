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
    """Position (..., 3) [m] and orientation (..., 4) wxyz in the world; with velocities, those of the origin (..., 3) [m/s] and
    of the rotation (..., 3) [rad/s], else None. Of W frames, (..., W, .)."""

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
    being 0, and slot. counts: frames of each level; the others are there to fill it up."""

    levels: Level
    body_level: np.ndarray
    body_slot: np.ndarray
    counts: tuple[int, ...]


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
    return Tree(Level(*columns), placed[:, 0], placed[:, 1], tuple(map(len, rows)))


def below(above: Frames, hung: Level, angle: Array, rate: Array | None) -> Frames:
    """Frames, of those that they hang on and their hinges' angles from where the model has them [rad] and, for velocities, rates
    [rad/s]; of as many (..., W, .) as there are, or of one (..., .)."""
    quat = quat_mul(above.quat, hung.quat)
    anchor = above.pos + quat_rotate(above.quat, hung.pos) + quat_rotate(quat, hung.anchor)
    turned = quat_mul(quat, quat_from_axis_angle(hung.axis, angle))
    pos = anchor - quat_rotate(turned, hung.anchor)
    if rate is None:
        return Frames(pos, turned)
    cross = namespace(pos, quat).cross
    spin = quat_rotate(quat, hung.axis) * rate[..., None]
    linear = above.linear + cross(above.angular, pos - above.pos) + cross(spin, pos - anchor)
    return Frames(pos, turned, linear, above.angular + spin)


def descend(tree: Tree, world: Frames, root: Frames, angles: Array, rates: Array | None) -> Frames:
    """The frames of all bodies (..., nbody, .), in arrays of the given kind.

    angles, rates: of the hinges (..., J + 1), the last 0. On a device a level at a time, by a loop of its own; else one by one:
    of what is recorded to be run later, what nobody asks for is left out.
    """
    xp = namespace(*(part for part in (*root, angles, rates) if part is not None))
    levels = Level(*(xp.asarray(part, dtype=root.quat.dtype if part.dtype == float else None) for part in tree.levels))
    if xp.__name__ == "jax.numpy":
        return _by_levels(tree, levels, world, root, angles, rates, xp)
    found = [[world, root]]
    for level, count in enumerate(tree.counts):
        rows = (Level(*(part[level, slot] for part in levels)) for slot in range(count))
        found.append(
            [
                below(found[-1][row.parent], row, angles[..., row.joint], None if rates is None else rates[..., row.joint])
                for row in rows
            ]
        )
    bodies = [found[level][slot] for level, slot in zip(tree.body_level, tree.body_slot, strict=True)]
    return Frames(*(None if parts[0] is None else xp.stack(parts, axis=-2) for parts in zip(*bodies, strict=True)))


def _by_levels(
    tree: Tree, levels: Level, world: Frames, root: Frames, angles: Array, rates: Array | None, xp: ModuleType
) -> Frames:
    from jax import lax  # loaded already: these are its arrays

    def one(above: Frames, level: Level) -> tuple[Frames, Frames]:
        parents = Frames(*(None if part is None else part[..., level.parent, :] for part in above))
        rate = None if rates is None else rates[..., level.joint]
        frames = below(parents, level, angles[..., level.joint], rate)
        return frames, frames

    width = levels.joint.shape[1]
    pairs = zip(world, root, strict=True)
    top = Frames(*(None if one is None else xp.stack([one] + [other] * (width - 1), axis=-2) for one, other in pairs))
    _, found = lax.scan(one, top, levels)
    places = tree.body_level, ..., tree.body_slot, slice(None)
    columns = (None if first is None else xp.concatenate([first[None], rest]) for first, rest in zip(top, found, strict=True))
    return Frames(*(None if column is None else xp.moveaxis(column[places], 0, -2) for column in columns))
