"""Nodes of a scene file (glTF, FBX) as a captured skeleton: which nodes, their world poses, the rest pose as identity."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motions.errors import InputError
from motions.formats.captured import captured_motion, check_tree
from motions.formats.tree import tree_order
from motions.formats.units import HEIGHT_M, RawAnimation, body_height, change_axes, guess_scale
from motions.rotations import quat_conj, quat_mul, quat_rotate, quat_unroll
from motions.skeleton import SkeletonMotion

MAX_SAMPLES = 2_000_000  # frames x nodes: an hour of a body; beyond it a time stamp is broken
STEADY = 1e-3  # a bone is of constant length if it moves in its parent's frame by less than this part of the body
SPARSE_HZ, SPARSE_SAMPLED_HZ = 10.0, 30.0  # keys set by hand, further apart than this, are sampled at that


@dataclass
class Nodes:
    """N nodes in any order. `translation` (..., N, 3), `quat` (..., N, 4) wxyz, `scale` (..., N, 3), relative to parents."""

    translation: np.ndarray
    quat: np.ndarray
    scale: np.ndarray


def sample_times(path: Path, keys: list[np.ndarray], fps: float | None, nodes: int, notes: list[str]) -> tuple[np.ndarray, float]:
    """Times [s] and rate [Hz] to sample an animation at: `fps`, or the rate of its densest keys."""
    keys = [key for key in keys if len(key)]
    start, end = (min(float(k[0]) for k in keys), max(float(k[-1]) for k in keys)) if keys else (0.0, 0.0)
    if fps is None:
        densest = max(keys, key=len, default=np.zeros(0))
        steps = np.diff(densest)
        if not len(steps) or not np.median(steps) > 0:
            raise InputError(f"{path}: its animation holds a single key, expected motion")
        fps = 1.0 / float(np.median(steps))
        fps = float(round(fps)) if abs(fps - round(fps)) < 2e-3 * fps else fps
        if fps < SPARSE_HZ:
            notes.append(f"keys are {1.0 / fps:.2g} s apart; sampled at {SPARSE_SAMPLED_HZ:g} frames per second")
            fps = SPARSE_SAMPLED_HZ
    count = int(min(np.floor((end - start) * fps + 1e-3), 1e12)) + 1
    if count * nodes > MAX_SAMPLES * 50:
        raise InputError(f"{path}: an animation of {end - start:.4g} s at {fps:g} Hz is too long: is its time broken?")
    return start + np.arange(count) / fps, fps


def skeleton_nodes(parents: list[int], joints: list[int]) -> list[int]:
    """The nodes of a skeleton, parents first: `joints`, what lies between them, from the first that branches on.

    A chain of single nodes above the hips (a scene's armature or reference node) only places the body.
    """
    used: set[int] = set()
    for joint in joints:
        chain = [joint]
        while parents[chain[-1]] >= 0 and len(chain) <= len(parents):
            chain.append(parents[chain[-1]])
        used.update(chain)
    order = tree_order([parents[n] if n in used else -2 for n in range(len(parents))])
    lost = sorted(used - set(order))
    if lost:
        raise ValueError(f"nodes {lost[:5]} of the skeleton hang below another root, or below themselves")
    children = {n: [c for c in order if parents[c] == n] for n in order}
    root = order[0]
    while len(children[root]) == 1 and any(len(children[n]) > 1 for n in order):
        root = children[root][0]
        order = [n for n in order if n != parents[root]]
    return order


def world_poses(nodes: Nodes, parents: list[int], wanted: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """World positions (..., J, 3) and rotations (..., J, 4) of `wanted`; scales stretch what hangs below, without shear."""
    memory: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def pose(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        chain = [n]
        while parents[chain[-1]] >= 0 and chain[-1] not in memory:
            chain.append(parents[chain[-1]])
        for k in reversed(chain):
            if k in memory:
                continue
            pos, quat, scale = nodes.translation[..., k, :], nodes.quat[..., k, :], nodes.scale[..., k, :]
            if parents[k] >= 0:
                above = memory[parents[k]]
                pos = above[0] + quat_rotate(above[1], above[2] * pos)
                quat, scale = quat_mul(above[1], quat), above[2] * scale
            memory[k] = (pos, quat, scale)
        return memory[n]

    poses = [pose(n) for n in wanted]
    return np.stack([p[0] for p in poses], axis=-2), np.stack([p[1] for p in poses], axis=-2)


def skeleton_motion(
    path: Path,
    names: list[str],
    parents: list[int],
    moving: tuple[np.ndarray, np.ndarray],
    rest: tuple[np.ndarray, np.ndarray],
    axes: np.ndarray,
    unit_m: float,
    scale: float | None,
    fps: float,
    notes: list[str],
) -> SkeletonMotion:
    """World poses over time (F, J) and at rest (J) as a `SkeletonMotion` whose identity pose is the rest pose.

    Rotations become R_j(t) R_j,rest^-1. `unit_m` [m]: what the file says its unit is; believed where the body's
    height allows, or where no unit gives a human height.
    """
    pos, quat = moving
    turn = quat_mul(quat, quat_conj(np.broadcast_to(rest[1], quat.shape)))  # [F, J, 4]
    above = turn[:, parents]
    above[:, 0] = [1.0, 0.0, 0.0, 0.0]
    steps = quat_rotate(quat_conj(above), pos - pos[:, parents])
    steps[:, 0] = 0.0
    offsets = np.median(steps, axis=0)
    steady = np.abs(steps - offsets).max() <= STEADY * np.ptp(rest[0], axis=0).max()
    if not steady:
        notes.append("some joints move in their parent's frame; kept as translations in every frame")
    leaves = tuple(name for j, name in enumerate(names) if j not in parents and name.lower().endswith(("_end", "end", "nub")))
    skeleton = check_tree(path, names, parents, offsets, leaves)
    raw = RawAnimation(skeleton, pos[:, 0], quat_unroll(quat_mul(quat_conj(above), turn)), None if steady else steps)
    if scale is None:
        scale = unit_m
        height, how = body_height(raw)
        if HEIGHT_M[0] <= height * unit_m <= HEIGHT_M[1]:
            notes.append(f"unit {unit_m:g} m as the file says: the body measures {height * unit_m:.2f} m {how}")
        else:
            scale, sentence = _other_unit(path, raw, unit_m)
            notes.append(sentence)
    return captured_motion(path, raw, axes, scale, fps, notes)


def _other_unit(path: Path, raw: RawAnimation, unit_m: float) -> tuple[float, str]:
    """Metres per unit where the file's own unit makes no human: another on top of it, or instead of it, else its own."""
    height = body_height(raw)[0] * unit_m
    for said, reading in ((unit_m, "on top of the file's own scale"), (1.0, f"in place of the file's own of {unit_m:g} m")):
        try:
            scale, sentence = guess_scale(change_axes(raw, np.eye(3), said), path)
        except InputError:
            continue
        return scale * said, f"{sentence}, {reading}, by which it would measure {height:.3g} m"
    return unit_m, f"unit {unit_m:g} m as the file says, though the body measures {height:.3g} m"
