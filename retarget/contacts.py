"""Which part of which foot stands when, and how high the captured floor lies: from heights, speeds and places.

A foot stands on its toes, its heel, or both. Captured floors are uneven by centimetres and captured ankles differ
between sides, so a floor is estimated per foot and per stance and taken out before anything is scaled.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from motions.rotations import Array
from retarget.capture import Capture

SLOW = 0.3  # toe speed [leg lengths / s] below which a foot stands
SPOT = 0.03  # distance from where it stood [leg lengths] within which it still does
HEEL_SLOW = 0.5  # ankle speed [leg lengths / s]
TOE_BAND, HEEL_BAND = 0.09, 0.035  # heights above the floor [leg lengths] that still count as standing
LOW_BAND = 0.04  # height above the floor [leg lengths] below which a heel or toe may carry weight
MIN_STANCE_S, MAX_GAP_S = 0.06, 0.05


@dataclass(frozen=True)
class Contacts:
    """For F frames and the L feet of a `Capture`: `toe`, `heel` (F, L) bool: standing; `low` (F, L, 2) bool: heel and toe
    near enough to the ground to carry weight; `floor` (F, L) height of the flat-standing ankle joint [m]; `sole_rot` (L, 3, 3):
    foot-joint-frame orientation of (forward, left, up) when flat. A point foot is heel and toe in one, and has no `sole_rot`:
    of four legs it is (0, 3, 3)."""

    toe: np.ndarray
    heel: np.ndarray
    low: np.ndarray
    floor: np.ndarray
    sole_rot: np.ndarray


def detect_contacts(capture: Capture) -> Contacts:
    """Find stances of all feet in a capture."""
    scale, fps, legs = capture.leg_length, capture.fps, capture.legs
    toe = np.stack([capture.xyz[s + "toe"] for s in legs], axis=1)  # [F, L, 3]
    ankle = np.stack([capture.xyz[s + "foot"] for s in legs], axis=1)
    ankle_speed = np.linalg.norm(np.gradient(ankle, axis=0), axis=-1) * fps / scale
    stances = [_stances(toe[:, i], fps, scale) for i in range(len(legs))]
    base = _toe_floors([[(toe[a:b, i, 2], b - a) for a, b in found] for i, found in enumerate(stances)], toe[..., 2], scale)
    toe_on = np.zeros(ankle_speed.shape, bool)
    drift = np.zeros(ankle_speed.shape)
    for i in range(len(legs)):
        kept = [(a, b) for a, b in stances[i] if np.median(toe[a:b, i, 2]) < base[i] + TOE_BAND * scale]
        for a, b in kept:
            toe_on[a:b, i] = True
        drift[:, i] = _between(kept, [np.median(toe[a:b, i, 2]) - base[i] for a, b in kept], len(toe), fps)
    height = ankle[..., 2] - drift
    still = toe_on & (ankle_speed < HEEL_SLOW)
    flat = np.array([np.percentile(h[on], 20) if on.any() else h.min() for h, on in zip(height.T, still.T)])
    if np.ptp(flat) > 0.05 * scale:  # one foot never comes down flat: take another's floor
        flat[:] = flat.min()
    above = np.stack([height - flat, toe[..., 2] - drift - base], axis=-1)
    if not any(leg + "foot" in capture.rot for leg in legs):
        return Contacts(toe_on, toe_on, above < LOW_BAND * scale, drift + flat, np.zeros((0, 3, 3)))
    heel_on = (height < flat + HEEL_BAND * scale) & (ankle_speed < HEEL_SLOW)
    for i in range(len(legs)):
        heel_on[:, i] = _cleaned(heel_on[:, i], fps)
    soles = np.stack([_sole_frame(capture, side, toe_on[:, i] & heel_on[:, i]) for i, side in enumerate(legs)])
    return Contacts(toe_on, heel_on, above < LOW_BAND * scale, drift + flat, soles)


def _stances(point: np.ndarray, fps: float, scale: float) -> list[tuple[int, int]]:
    """[start, stop) in which a point (F, 3) rests: slow frames, and their neighbours while it has hardly left the spot.

    Slowness alone ends a runner's stance too early: the toe rolls and the low-pass smears its take-off.
    """
    speed = np.linalg.norm(np.gradient(point, axis=0), axis=-1) * fps / scale
    on = speed < SLOW
    for a, b in intervals(_cleaned(on, fps)):
        on[a:b] = True
        start, stop = point[a], point[b - 1]
        while b < len(on) and np.linalg.norm(point[b] - stop) < SPOT * scale:
            on[b] = True
            b += 1
        while a > 0 and np.linalg.norm(point[a - 1] - start) < SPOT * scale:
            a -= 1
            on[a] = True
    return intervals(_cleaned(on, fps))


def _cleaned(on: np.ndarray, fps: float) -> np.ndarray:
    """Close short gaps, then drop short stances."""
    on = on.copy()
    for a, b in intervals(~on):
        if b - a <= MAX_GAP_S * fps and a > 0 and b < len(on):
            on[a:b] = True
    for a, b in intervals(on):
        if b - a < MIN_STANCE_S * fps and a > 0 and b < len(on):
            on[a:b] = False
    return on


def intervals(on: np.ndarray) -> list[tuple[int, int]]:
    """[start, stop) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def _toe_floors(stances: list[list[tuple[np.ndarray, int]]], heights: np.ndarray, scale: float) -> np.ndarray:
    """Toe-joint height on the floor per foot: the low quartile of stance heights, weighted by time."""
    floors = []
    for i, foot in enumerate(stances):
        if not foot:
            floors.append(np.percentile(heights[:, i], 5))
            continue
        medians, weights = np.array([np.median(h) for h, _ in foot]), np.array([n for _, n in foot], float)
        order = np.argsort(medians)
        share = np.cumsum(weights[order]) / weights.sum()
        floors.append(medians[order][np.searchsorted(share, 0.25)])
    low = min(floors)
    return np.array([min(f, low + 0.05 * scale) for f in floors])


def _between(stances: list[tuple[int, int]], values: list[float], count: int, fps: float) -> np.ndarray:
    """Constant in every stance, linear between, softened over 60 ms. (count,)"""
    if not stances:
        return np.zeros(count)
    at = np.concatenate([[a, b - 1] for a, b in stances])
    curve = np.interp(np.arange(count), at, np.repeat(values, 2))
    return gaussian_filter1d(curve, 0.06 * fps, mode="nearest")


def _sole_frame(capture: Capture, side: str, flat: np.ndarray) -> np.ndarray:
    """Columns (forward, left, up) in the foot joint's frame: up is what points up while the foot stands flat."""
    rot = capture.rot[side + "foot"]
    toe = capture.xyz[side + "toe"] - capture.xyz[side + "foot"]
    chosen = flat if flat.any() else np.abs(toe[:, 2]) <= np.percentile(np.abs(toe[:, 2]), 10)
    up = rot[chosen][:, 2, :].mean(axis=0)
    up /= np.linalg.norm(up)
    forward = np.einsum("fij,fi->fj", rot, toe).mean(axis=0)
    forward = forward - up * (forward @ up)
    forward /= np.linalg.norm(forward)
    return np.stack([forward, np.cross(up, forward), up], axis=1)


def foot_orientation(capture: Capture, contacts: Contacts) -> dict[str, Array]:
    """Role of every foot that is more than a point -> world orientation (F, 3, 3) of (forward, left, up) of its sole."""
    return {leg + "foot": capture.rot[leg + "foot"] @ sole for leg, sole in zip(capture.legs, contacts.sole_rot)}
