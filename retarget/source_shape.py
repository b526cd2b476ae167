"""Which joint of a skeleton is which where names say nothing: from the shape of its tree in the rest pose.

Joint frames are parallel to the world in the rest pose, z up. Limbs are chains below the two joints where a mirrored
pair branches off: legs end lower than they begin, arms are the longest pair elsewhere; four chains that end on the ground
are four legs. The two long bones of a limb meet at its knee or elbow; what follows them is toes or fingers.
"""

import numpy as np

from motions.errors import InputError
from motions.formats.units import rest_positions
from motions.skeleton import Skeleton
from retarget.four_legs import legs_by_place
from retarget.roles import FOUR_LEGS, LEG_PARTS

_MIRROR = 0.15  # difference in length by which two limbs may still be a pair, as a part of it
_COLLAR = 0.25  # joints of a left and a right arm nearer than this part of the arm begin collar bones
_ON_FOUR = 0.2  # hands nearer to the ground than this part of the pelvis's height are feet
_HEAD_AHEAD = 0.1  # how far beyond the middle of four legs, as a part of their distance, a head tells where ahead is
_FOREMOST_M = 0.02  # how far toes must reach to tell ahead from behind


class ShapeError(Exception):
    """What could not be found in the shape, in words that follow 'and'."""


def roles_by_shape(skeleton: Skeleton, pose: np.ndarray | None = None) -> tuple[dict[str, int], tuple[str, ...]]:
    """Role -> joint of two legs or four, and of two also of arms and head where there are any; and what was guessed, in words.

    `pose` (J, 3) [m], z up, is looked at instead of the rest pose. Raises `ShapeError`.
    """
    rest = rest_positions(skeleton) if pose is None else pose
    pairs = _pairs(skeleton, rest)
    legs = [pair for pair in pairs if all(rest[chain[-1], 2] < rest[chain[0], 2] for chain in pair)]
    if not legs:
        raise ShapeError("its shape shows no two legs: no pair of alike chains that point down ")
    if len(four := _on_the_ground(skeleton, rest, legs)) == len(FOUR_LEGS):
        return _four_legs(skeleton, rest, four)
    leg = min(legs, key=lambda pair: float(np.mean([rest[chain[-1], 2] for chain in pair])))
    pelvis = skeleton.parents[leg[0][0]]
    own = set(leg[0]) | set(leg[1])
    arms = [pair for pair in pairs if not own & {*pair[0], *pair[1]} and pelvis in ancestors(skeleton, pair[0][0])]
    arm = max(arms, key=lambda pair: _length(rest, pair[0]), default=None)
    if arm is not None:
        ground, grip = (np.mean([rest[chain[-1], 2] for chain in pair]) for pair in (leg, arm))
        if grip - ground < _ON_FOUR * (rest[pelvis, 2] - ground):
            raise ShapeError("its shape shows two legs and hands as low as its feet ")
    left = _left(skeleton, rest, leg)
    roles: dict[str, int] = {}
    for pair, parts, end in ((leg, ("thigh", "shank", "foot"), "toe"), (arm, ("upper_arm", "forearm", "hand"), None)):
        if pair is None:
            continue
        ordered = sorted(pair, key=lambda chain: -float(rest[chain].mean(axis=0) @ left))
        for side, chain in zip(("l_", "r_"), ordered, strict=True):
            joints = _bends(rest, chain if end else _without_collar(rest, chain, pair))
            roles |= {side + part: joint for part, joint in zip(parts, joints, strict=False)}
            beyond = chain[chain.index(joints[-1]) + 1 :]
            if end and beyond and skeleton.joint_names[beyond[0]] not in skeleton.end_sites:
                roles[side + end] = beyond[0]
    if arm is not None:
        chest = skeleton.parents[arm[0][0]]
        held = {j for j in range(len(rest)) if chest in ancestors(skeleton, j)[1:]} - set(_below(skeleton, arm[0][0]))
        top = [j for j in held - set(_below(skeleton, arm[1][0])) if skeleton.joint_names[j] not in skeleton.end_sites]
        if top:
            roles["head"] = max(top, key=lambda j: rest[j, 2])
    return roles, _said(skeleton, roles)


def _said(skeleton: Skeleton, roles: dict[str, int]) -> tuple[str, ...]:
    said = ", ".join(f"{role} = {skeleton.joint_names[j]}" for role, j in roles.items())
    return (f"joint names say nothing known: limbs guessed from the skeleton's shape: {said}",)


def _on_the_ground(skeleton: Skeleton, rest: np.ndarray, pairs: list[tuple[list[int], list[int]]]) -> list[list[int]]:
    """Those chains of `pairs` that end as low as the lowest; without toes, which begin there, and spines, which carry others."""
    chains = {chain[0]: chain for pair in pairs for chain in pair}
    ground = min(rest[chain[-1], 2] for chain in chains.values())
    near = ground + _ON_FOUR * (max(rest[first, 2] for first in chains) - ground)
    legs = [chain for first, chain in chains.items() if rest[chain[-1], 2] < near < rest[first, 2]]
    carriers = {j for first, *_ in legs for j in ancestors(skeleton, first)[1:]}
    return [chain for chain in legs if chain[0] not in carriers]


def _four_legs(skeleton: Skeleton, rest: np.ndarray, chains: list[list[int]]) -> tuple[dict[str, int], tuple[str, ...]]:
    """The joints of four legs. A body is longer than it is wide, and looks where its highest joint is, else along +x or +y."""
    joints = [_bends(rest, chain) for chain in chains]
    hips = rest[[near for near, *_ in joints], :2]
    ahead = np.eye(2)[np.argmax(np.ptp(hips, axis=0))]
    own = {j for chain in chains for j in _below(skeleton, chain[0])}
    others = [j for j in range(len(rest)) if j not in own]
    beyond = (rest[max(others, key=lambda j: rest[j, 2]), :2] - hips.mean(axis=0)) @ ahead
    if beyond < -_HEAD_AHEAD * np.ptp(hips @ ahead):
        ahead = -ahead
    try:
        legs = legs_by_place(hips, ahead)
    except InputError as error:
        raise ShapeError(f"in its shape {error} ") from error
    found = dict(zip(legs, joints, strict=True))
    roles = {leg + part: joint for leg in FOUR_LEGS for part, joint in zip(LEG_PARTS, found[leg], strict=True)}
    return roles, _said(skeleton, roles)


def ancestors(skeleton: Skeleton, joint: int) -> list[int]:
    """The joint, its parent, and so on up to the root."""
    chain = [joint]
    while skeleton.parents[chain[-1]] >= 0:
        chain.append(skeleton.parents[chain[-1]])
    return chain


def _below(skeleton: Skeleton, joint: int) -> list[int]:
    return [j for j in range(joint, len(skeleton.parents)) if joint in ancestors(skeleton, j)]


def _length(rest: np.ndarray, chain: list[int]) -> float:
    return float(np.linalg.norm(np.diff(rest[chain], axis=0), axis=1).sum())


def _pairs(skeleton: Skeleton, rest: np.ndarray) -> list[tuple[list[int], list[int]]]:
    """Pairs of chains of like length below one joint, each the longest way down from its first joint."""
    children: dict[int, list[int]] = {j: [] for j in range(len(rest))}
    for j, parent in enumerate(skeleton.parents[1:], start=1):
        children[parent].append(j)

    def longest(j: int) -> list[int]:
        ways = [longest(c) for c in children[j]]
        return [j, *max(ways, key=lambda way: float(np.linalg.norm(rest[way[0]] - rest[j])) + _length(rest, way), default=[])]

    found = []
    for below in children.values():
        chains = [chain for chain in map(longest, below) if len(chain) >= 3]
        for i, a in enumerate(chains):
            for b in chains[i + 1 :]:
                same = min(len(a), len(b))  # one hand may have more fingers
                one, other = a[:same], b[:same]
                long, short = sorted((_length(rest, one), _length(rest, other)))[::-1]
                apart = np.linalg.norm(rest[one].mean(axis=0) - rest[other].mean(axis=0))
                if long - short < _MIRROR * long and apart > 0.05 * long:
                    found.append((one, other))
    return found


def _without_collar(rest: np.ndarray, chain: list[int], pair: tuple[list[int], list[int]]) -> list[int]:
    """The chain of an arm from the shoulder on: collar bones begin near the middle of the body."""
    for i, (a, b) in enumerate(zip(*pair, strict=True)):
        left = chain[i:]
        if len(left) <= 3 or np.linalg.norm(rest[a] - rest[b]) > _COLLAR * _length(rest, left):
            return left
    return chain


def _bends(rest: np.ndarray, chain: list[int]) -> list[int]:
    """Near, middle and far joint of a chain: the ends of the two neighbours of which the shorter is longest."""
    bones = np.linalg.norm(np.diff(rest[chain], axis=0), axis=1)
    first = int(np.argmax(np.minimum(bones[:-1], bones[1:])))
    return chain[first : first + 3]


def _left(skeleton: Skeleton, rest: np.ndarray, leg: tuple[list[int], list[int]]) -> np.ndarray:
    """The unit vector to the left: up x ahead, where the toes reach furthest away from the ankles; +y where nothing does."""
    across = rest[leg[0]].mean(axis=0) - rest[leg[1]].mean(axis=0)
    across[2] = 0.0
    across /= max(float(np.linalg.norm(across)), 1e-9)
    ahead = np.zeros(3)
    for chain in leg:
        foot = _bends(rest, chain)[-1]
        for j in _below(skeleton, foot):
            reach = (rest[j] - rest[foot]) * [1.0, 1.0, 0.0]
            reach -= across * (reach @ across)
            ahead = reach if np.linalg.norm(reach) > np.linalg.norm(ahead) else ahead
    if np.linalg.norm(ahead) < _FOREMOST_M:
        return np.array([0.0, 1.0, 0.0]) if abs(across[1]) > 0.5 else across
    left = np.cross([0.0, 0.0, 1.0], ahead)
    return left / np.linalg.norm(left)
