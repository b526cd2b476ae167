"""Where the solve starts: for every limb, the branch of joint angles that follows the bones without ever jumping.

Three hinges in a row reach most bone directions in two ways, and Gauss-Newton stays in the one it starts from. So
each limb's joints are sampled once per robot, the samples nearest to the wanted directions are candidates of each
moment, and the cheapest path through the candidates (Viterbi) is the start.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import qmc

from motions.rotations import Array
from retarget.quality import world_points
from retarget.rig import Rig
from retarget.roles import ARM_PARTS, LEG_PARTS, SIDES
from retarget.scaling import Targets

NUM_SAMPLES = 4096
NUM_CANDIDATES = 24
RATE_HZ = 10.0  # of the path; between its nodes the start is interpolated
DIRECTION_COST, REST_COST, TRAVEL_COST = 4.0, 0.02, 0.3  # per squared unit, [rad^2], [rad^2] between nodes


@dataclass(frozen=True)
class _Limb:
    """Samples of one limb: `joints` (n,) its joint indices, `angles` (S, n) [rad], `directions` (S, 6) of its two bones
    in the frame of role `base`."""

    base: str
    bones: tuple[int, int]
    joints: np.ndarray
    angles: np.ndarray
    directions: np.ndarray


def starting_joints(rig: Rig, targets: Targets, fps: float) -> Array:
    """Joint angles (F, J) to start from: the path of every limb, the rest pose elsewhere."""
    frames = len(targets.valid)
    stride = max(1, round(fps / RATE_HZ))
    nodes = np.unique(np.append(np.arange(0, frames, stride), frames - 1))
    joints = np.array(targets.rest)
    for limb in _limbs(rig):
        if not all(targets.bone_weight[0, i] > 0 for i in limb.bones):
            continue
        base = targets.frame_rot[nodes, rig.frame_roles.index(limb.base)]
        wanted = np.concatenate([np.einsum("fji,fj->fi", base, targets.bone_dir[nodes, i]) for i in limb.bones], axis=1)
        path = _path(wanted, limb.directions, limb.angles, targets.rest[nodes][:, limb.joints])
        for column, joint in enumerate(limb.joints):
            joints[:, joint] = np.interp(np.arange(frames), nodes, path[:, column])
    return joints


@lru_cache(maxsize=16)
def _limbs(rig: Rig) -> tuple[_Limb, ...]:
    found = []
    for base, (first, second, last), limbs in (("chest", ARM_PARTS, SIDES), ("pelvis", LEG_PARTS, rig.legs)):
        base = base if base in rig.frame_roles else "pelvis"
        for side in limbs:
            pairs = [(side + first, side + second), (side + second, side + last)]
            if not all(pair in rig.bones for pair in pairs):
                continue
            bones = (rig.bones.index(pairs[0]), rig.bones.index(pairs[1]))
            fixed = rig.chain.moves[rig.frame_link[rig.frame_roles.index(base)]]
            moved = rig.chain.moves[rig.joints.link[rig.role(side + second)]]
            joints = np.flatnonzero(moved & ~fixed)
            if len(joints) == 0:
                continue
            low, high = np.maximum(rig.low[joints], -np.pi), np.minimum(rig.high[joints], np.pi)
            unit = qmc.Halton(len(joints), scramble=False).random(NUM_SAMPLES)
            angles = low + unit * (high - low)
            qpos = np.zeros((NUM_SAMPLES, 7 + rig.chain.num_joints))
            qpos[:] = rig.upright  # joints between the base link and this limb's base frame stay as they are there
            qpos[:, 7 + joints] = angles
            points = world_points(rig, qpos)["joints"]
            bone = [points[:, rig.role(b)] - points[:, rig.role(a)] for a, b in pairs]
            directions = np.concatenate([v / np.linalg.norm(v, axis=1, keepdims=True) for v in bone], axis=1)
            found.append(_Limb(base, bones, joints, angles, directions))
    return tuple(found)


def _path(wanted: np.ndarray, directions: np.ndarray, angles: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """The cheapest sequence of samples (N, n) for wanted directions (N, 6): fit, closeness to rest, and travel."""
    distance = 2.0 * (2.0 - wanted @ directions.T)  # |a - b|^2 of both unit vectors together, (N, S)
    chosen = np.argpartition(distance, NUM_CANDIDATES, axis=1)[:, :NUM_CANDIDATES]
    fit = DIRECTION_COST * np.take_along_axis(distance, chosen, axis=1)
    candidates = angles[chosen]  # [N, C, n]
    unary = fit + REST_COST * np.sum((candidates - rest[:, None]) ** 2, axis=2)
    cost, back = unary[0], []
    for k in range(1, len(wanted)):
        travel = TRAVEL_COST * np.sum((candidates[k][:, None] - candidates[k - 1][None]) ** 2, axis=2)
        total = travel + cost[None]
        back.append(np.argmin(total, axis=1))
        cost = unary[k] + np.min(total, axis=1)
    best = [int(np.argmin(cost))]
    for choice in reversed(back):
        best.append(int(choice[best[-1]]))
    return candidates[np.arange(len(wanted)), best[::-1]]
