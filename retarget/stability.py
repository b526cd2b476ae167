"""How far a body leans out over what carries it: the filter of KungfuBot (PBHC, 2025), for a robot."""

from typing import NamedTuple

import numpy as np

from motions.kinematics import Body, centre_of_mass

SUPPORT_BAND_M = 0.025  # points this close above the lowest one carry
STABLE_M = 0.10  # KungfuBot's: the centre of mass at most this far outside of what carries it
LONGEST_UNSTABLE_S = 100 / 30  # KungfuBot's: 100 frames, of motions at 30 Hz
_FRAMES_AT_ONCE = 256  # all segments between carrying points are tried: a thousand per frame


class Balance(NamedTuple):
    """distance_m (F,): of the centre of mass, seen from above, from the supported area, 0 over it; stable (F,) bool."""

    distance_m: np.ndarray
    stable: np.ndarray


def measure_balance(body: Body, xpos: np.ndarray, xquat: np.ndarray, points: np.ndarray, bottom: np.ndarray) -> Balance:
    """The balance of poses with bodies at `xpos`, `xquat` (F, nbody, 3 and 4).

    points (F, P, 3) [m] may carry, with their lower ends at heights `bottom` (F, P): those within 2.5 cm of the lowest
    do, in flight too, when they are what will land. The centre of mass is the model's; seen from above it should be in
    the convex hull of the carrying points.
    """
    com = centre_of_mass(body, xpos, xquat)
    carries = bottom <= bottom.min(axis=1, keepdims=True) + SUPPORT_BAND_M
    distance = distance_to_hull(com[:, :2], points[..., :2], carries)
    return Balance(distance, distance < STABLE_M)


def distance_to_hull(point: np.ndarray, corners: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Distances (F,) of `point` (F, 2) from the convex hulls of the `used` (F, P) ones of `corners` (F, P, 2); 0 inside.

    Outside, the nearest point of the hull lies on a segment between two corners, and no such segment leaves the hull: so the
    least distance to all of them is the distance. Inside, corners lie all around: no gap between their directions reaches pi.
    """
    parts = [slice(a, a + _FRAMES_AT_ONCE) for a in range(0, len(point), _FRAMES_AT_ONCE)]
    return np.concatenate([_distance_to_hull(point[part], corners[part], used[part]) for part in parts])


def _distance_to_hull(point: np.ndarray, corners: np.ndarray, used: np.ndarray) -> np.ndarray:
    away = corners - point[:, None]
    first, second = np.triu_indices(corners.shape[1])
    a, b = away[:, first], away[:, second]
    edge = b - a
    share = np.clip(-np.sum(a * edge, axis=-1) / np.maximum(np.sum(edge * edge, axis=-1), 1e-12), 0.0, 1.0)
    gap = np.linalg.norm(a + share[..., None] * edge, axis=-1)
    nearest = np.where(used[:, first] & used[:, second], gap, np.inf).min(axis=1)
    angle = np.where(used, np.arctan2(away[..., 1], away[..., 0]), np.nan)
    angle = np.sort(angle, axis=1)  # unused ones last
    last = np.nanmax(angle, axis=1)
    between = np.diff(angle, axis=1, append=np.nan)
    widest = np.where(np.isnan(between), 0.0, between).max(axis=1)
    around = np.maximum(widest, 2.0 * np.pi - (last - angle[:, 0])) < np.pi
    return np.where(around, 0.0, nearest)
