"""`Targets`: a capture in the robot's proportions. The world shrinks by the ratio of leg lengths, so a foot that
stands still for the human stands still for the robot; limbs keep their directions, not their lengths."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from motions.rotations import Array
from retarget.capture import Capture
from retarget.contacts import Contacts, foot_orientation, intervals
from retarget.rig import Rig
from retarget.roles import TWO_LEGS

LEG_REACH = 0.99  # the robot's legs count as this much shorter, so that straight human knees stay off the singularity
STANCE_WIDENING = 0.4  # share of the hip-width difference by which two feet move outwards; four stay below their own hips
SMEAR_S = 0.1  # longest time between the last stance and clear flight, or back, that counts as flight
ROLL_S = 0.15  # time before take-off and after touch-down in which heel and toe follow each other
SUPPORT_REACH_S = 0.02  # low feet count as low this long before and after: the low-pass smears every touch-down
REST_BAND, REST_REACH_S = 0.08, 0.1  # height above a flat ankle [leg lengths], and time around it, in which a part may carry
SWAY_S = 0.12  # width of the smoothing of the sway that keeps the body over a standing foot


class Targets(NamedTuple):
    """Per frame, in the robot's world: F frames, bones and frames in the order of the `Rig`.

    bone_dir (F, N, 3) unit; hip_centre (F, 3) [m]; frame_rot (F, K, 3, 3); ankle (F, L, 3) [m];
    stand, support (F, E L) 0/1 for the points of `Rig.heel_toe`: held in place; able to carry weight, which is
    what stands, or where nothing does although the body does not fly, what is low. flight (F,) 0/1: nothing can push.
    rest (F, J) [rad] where joints are pulled to, stiffness (F, J) how hard, 1 / [rad]; start (F, J) [rad] where the solve
    begins; valid (F,) 0 in padding.
    """

    bone_dir: Array
    bone_weight: Array
    hip_centre: Array
    frame_rot: Array
    ankle: Array
    stand: Array
    support: Array
    flight: Array
    rest: Array
    stiffness: Array
    start: Array
    valid: Array


def build_targets(capture: Capture, contacts: Contacts, rig: Rig, reach: float = LEG_REACH) -> tuple[Targets, float]:
    """The targets of a whole clip, and the scale that was used."""
    scale = reach * rig.leg_length / capture.leg_length
    pelvis_rot = capture.rot["pelvis"] @ capture.upright["pelvis"]
    axes = level_axes(pelvis_rot)
    shift = stance_shift(rig, capture, scale)
    stands = contacts.toe | contacts.heel
    floor = contacts.floor

    ankle = np.stack([capture.xyz[s + "foot"] for s in capture.legs], axis=1) * scale
    ankle[..., 2] += rig.ankle_height - scale * floor
    for i, by in enumerate(shift):
        ankle[:, i] += held_in_stances(by @ axes, stands[:, i])

    hips = capture.hip_centre * scale
    level = gaussian_filter1d(floor.mean(axis=1), 0.1 * capture.fps, mode="nearest")
    hips[:, 2] += rig.ankle_height - scale * level
    hips += np.einsum("fk,fki->fi", _sway(stands, shift, capture.fps), axes)

    frames = {"pelvis": pelvis_rot}
    for role in ("chest", "head"):
        frames[role] = capture.rot[role] @ capture.upright[role] if role in capture.rot else pelvis_rot
    frames |= foot_orientation(capture, contacts)

    directions, weights = [], []
    for near, far in rig.bones:
        if near in capture.xyz and far in capture.xyz:
            bone = capture.xyz[far] - capture.xyz[near]
            directions.append(bone / np.linalg.norm(bone, axis=1, keepdims=True))
            weights.append(1.0)
        else:
            directions.append(np.zeros((capture.num_frames, 3)))
            weights.append(0.0)
    close, stand = _by_ends(contacts.low, rig), _by_ends(np.stack([contacts.heel, contacts.toe], axis=2), rig)
    reach_frames = 2 * round(SUPPORT_REACH_S * capture.fps) + 1
    low = maximum_filter1d((close | stand).astype(np.uint8), reach_frames, axis=0, mode="nearest") > 0
    standing = stand.any(axis=1)
    resting = _rests(capture, level)
    flight = _flights(low.any(axis=1), standing, capture.fps) & ~resting
    stand, flight = _similar_flights(stand, close, flight, np.sqrt(min(scale, 1.0)), capture.fps)
    standing = stand.any(axis=1)
    support = np.where(standing[:, None], stand, low & ~flight[:, None]) & ~resting[:, None]
    targets = Targets(
        bone_dir=np.stack(directions, axis=1),
        bone_weight=np.broadcast_to(np.array(weights), (capture.num_frames, len(weights))).copy(),
        hip_centre=hips,
        frame_rot=np.stack([frames[r] for r in rig.frame_roles], axis=1),
        ankle=ankle,
        stand=stand.astype(float),
        support=support.astype(float),
        flight=flight.astype(float),
        rest=np.tile(rig.rest, (capture.num_frames, 1)),
        stiffness=np.tile(rig.stiffness, (capture.num_frames, 1)),
        start=np.tile(rig.rest, (capture.num_frames, 1)),
        valid=np.ones(capture.num_frames),
    )
    return targets, scale


def _rests(capture: Capture, level: np.ndarray) -> np.ndarray:
    """Frames (F,) in which the body may lean on more than its feet: a hand, knee, head or the trunk is about as low as the
    ankle of a flat foot, whose height is `level` (F,). What carries it then is not known."""
    others = [xyz[:, 2] for role, xyz in capture.xyz.items() if not role.endswith(("foot", "toe"))]
    low = np.min(others, axis=0) < level + REST_BAND * capture.leg_length
    return maximum_filter1d(low.astype(np.uint8), 2 * round(REST_REACH_S * capture.fps) + 1, mode="nearest") > 0


def _flights(support: np.ndarray, stands: np.ndarray, fps: float) -> np.ndarray:
    """Frames (F,) in which nothing can push: none of `support`, and the moments between those and the stances around them.

    Low-pass and low feet smear take-off and touch-down; a body that is still carried after it has left the ground jumps
    higher in the reference than it can.
    """
    flight = ~support
    for a, b in intervals(support & ~stands):
        if b - a <= SMEAR_S * fps and (flight[max(a - 1, 0)] or flight[min(b, len(flight) - 1)]):
            flight[a:b] = True
    return flight


def _similar_flights(
    stand: np.ndarray, low: np.ndarray, flight: np.ndarray, share: float, fps: float
) -> tuple[np.ndarray, np.ndarray]:
    """`stand` (F, E L) and `flight` (F,) with flights of only `share` of their time; the stances around them last longer, though
    only while the feet are `low` (F, E L).

    A body scaled by s falls through a scaled arc in sqrt(s) of the time (Froude's similarity). Left in the air for as long
    as the larger one, it would have to jump higher for its size, and harder.
    """
    before = stand
    stand, flight = stand.copy(), flight.copy()
    roll = round(ROLL_S * fps)
    for a, b in intervals(flight):
        if a == 0 or b == len(flight) or not (before[a - 1].any() and before[b].any()):
            continue
        cut = round((1.0 - share) * (b - a))
        later, sooner = cut // 2, cut - cut // 2
        while later and not low[a : a + later, before[a - 1]].any(axis=1).all():
            later -= 1
        while sooner and not low[b - sooner : b, before[b]].any(axis=1).all():
            sooner -= 1
        first, last = max(a - roll, later), min(b + roll, len(flight) - sooner)
        stand[first : a + later] |= before[first - later : a]
        stand[b - sooner : last] |= before[b : last + sooner]
        flight[a : a + later] = flight[b - sooner : b] = False
    return stand, flight


def level_axes(rot: np.ndarray) -> np.ndarray:
    """The horizontal unit vectors ahead and to the left (F, 2, 3) of a trunk with orientation `rot` (F, 3, 3), columns forward,
    left, up; where it lies on its side, the left of its heading."""
    forward, left = rot[:, :, 0], rot[:, :, 1]
    flat = left * [1.0, 1.0, 0.0]
    other = np.stack([-forward[:, 1], forward[:, 0], np.zeros(len(forward))], axis=1)
    weak = np.linalg.norm(flat, axis=1, keepdims=True) < 0.3
    flat = np.where(weak, other, flat)
    lateral = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return np.stack([np.cross(lateral, [0.0, 0.0, 1.0]), lateral], axis=1)


def held_in_stances(vector: np.ndarray, stands: np.ndarray) -> np.ndarray:
    """`vector` (F, 3), constant while the foot stands (its mean there), the gap spread over the swings between."""
    stances = intervals(stands)
    if not stances:
        return vector
    held = vector.copy()
    at, gap = [], []
    for a, b in stances:
        mean = vector[a:b].mean(axis=0)
        held[a:b] = mean
        at += [a, b - 1]
        gap += [mean - vector[a], mean - vector[b - 1]]
    gap = np.stack(gap)
    correction = np.stack([np.interp(np.arange(len(vector)), at, gap[:, i]) for i in range(3)], axis=1)
    return np.where(stands[:, None], held, vector + correction)


def stance_shift(rig: Rig, capture: Capture, scale: float) -> np.ndarray:
    """By how much standing feet move ahead and to the left (L, 2) [m], since the hips of the scaled capture are elsewhere.

    Two feet move outwards by a share, where the robot's hips are wider. Four move as their hips do.
    """
    if rig.legs != TWO_LEGS:
        return rig.hips_xy - scale * capture.hips_xy
    widening = STANCE_WIDENING * max(0.0, rig.hip_half_width - scale * capture.hip_half_width)
    return np.array([[0.0, widening], [0.0, -widening]])


def _sway(stands: np.ndarray, shift: np.ndarray, fps: float) -> np.ndarray:
    """By how much the hips follow the feet that carry them (F, 2) [m]: smoothly the mean `shift` (L, 2) of those that stand."""
    count = np.maximum(stands.sum(axis=1, keepdims=True), 1)
    return gaussian_filter1d(stands @ shift / count, SWAY_S * fps, axis=0, mode="nearest")


def _by_ends(feet: np.ndarray, rig: Rig) -> np.ndarray:
    """(F, L, 2) bool of heels and toes as (F, E L) of what the robot's feet stand on; a point is heel and toe in one."""
    if rig.ends_per_foot == 1:
        return feet.any(axis=2)
    return feet.reshape(len(feet), -1)
