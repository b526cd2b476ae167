"""How far one motion is from another whatever its place, its heading and its timing."""

import numpy as np

from motions.kinematics import KinematicState, in_heading_frame


def aligned_error(state: KinematicState, reference: KinematicState) -> float:
    """Mean distance [m] of the tracked bodies of T states from those of F reference frames, aligned by dynamic time warping.

    Bodies are taken relative to the root, in its heading frame. The alignment may begin at any frame, goes on by one or two
    frames each step, or stays, but not twice running, and from the last frame to the first: between half and twice as fast.
    (pose error of AMP, Peng et al. 2021, table 3; there the warping is free)
    """
    cost = _distances(in_heading_frame(state), in_heading_frame(reference))
    stayed = np.full(cost.shape[1], np.inf)  # best sums of paths whose last step stayed ...
    moved = cost[0].copy()  # ... and of the others
    for row in cost[1:]:
        best = np.minimum(stayed, moved)
        stayed, moved = row + moved, row + np.minimum(np.roll(best, 1), np.roll(best, 2))
    return float(np.minimum(stayed, moved).min() / len(cost))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean over the bodies of |a - b|; (T, K, 3), (F, K, 3) to (T, F), a part at a time."""
    parts = [np.linalg.norm(part[:, None] - b, axis=-1).mean(axis=-1) for part in np.array_split(a, max(1, len(a) // 100))]
    return np.concatenate(parts)
