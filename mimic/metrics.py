"""Tracking errors and success, defined once for training, evaluation and reports.

All functions take two `KinematicState`s with a leading frame axis (F,) at the control rate and return one value per
frame; they run on numpy and JAX arrays alike. World-frame position errors charge drift, re-anchored ones (BeyondMimic)
do not, root-relative ones (PBHC) only subtract the root's position.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mimic.config import TerminationConfig
from mimic.mdp.anchoring import anchored_targets
from mimic.mdp.terminations import fallen
from motions.kinematics import KinematicState, in_heading_frame
from motions.rotations import Array, namespace, quat_angle

MM = 1000.0


def _distances_mm(a: Array, b: Array) -> Array:
    """|a - b|; (..., K, 3) to (..., K), [mm]."""
    xp = namespace(a, b)
    return MM * xp.sqrt(xp.sum((a - b) ** 2, axis=-1))


def _distance_mm(a: Array, b: Array) -> Array:
    """Mean over the bodies of |a - b|; (..., K, 3) to (...), [mm]."""
    return namespace(a, b).mean(_distances_mm(a, b), axis=-1)


def global_body_error(state: KinematicState, reference: KinematicState, anchor: int) -> Array:
    """E_g-mpbpe: mean world position error of the tracked bodies [mm]."""
    return _distance_mm(state.xpos, reference.xpos)


def body_errors(state: KinematicState, reference: KinematicState, anchor: int) -> Array:
    """Position error of each tracked body against the re-anchored reference, (..., K) [mm]."""
    return _distances_mm(state.xpos, anchored_targets(state, reference, anchor)[0])


def body_error(state: KinematicState, reference: KinematicState, anchor: int) -> Array:
    """E_mpbpe: their mean over the bodies [mm]."""
    return namespace(state.xpos).mean(body_errors(state, reference, anchor), axis=-1)


def root_relative_body_error(state: KinematicState, reference: KinematicState, anchor: int) -> Array:
    """PBHC's E_mpbpe: mean position error of the tracked bodies relative to the root [mm]; no rotation is removed."""
    return _distance_mm(state.xpos - state.qpos[..., None, :3], reference.xpos - reference.qpos[..., None, :3])


def pose_error(state: KinematicState, reference: KinematicState, anchor: int) -> Array:
    """Mean distance [m] of the tracked bodies, relative to the root in its heading frame. (AMP, Peng et al. 2021, table 3)"""
    return _distance_mm(in_heading_frame(state), in_heading_frame(reference)) / MM


def joint_error(state: KinematicState, reference: KinematicState, anchor: int) -> Array:
    """E_mpjpe: mean absolute joint position error [rad]."""
    return namespace(state.qpos).mean(abs(state.qpos[..., 7:] - reference.qpos[..., 7:]), axis=-1)


def joint_error_l2(state: KinematicState, reference: KinematicState, anchor: int) -> Array:
    """PBHC's E_mpjpe: L2 norm over the joints of the position error [rad]."""
    xp = namespace(state.qpos)
    return xp.sqrt(xp.sum((state.qpos[..., 7:] - reference.qpos[..., 7:]) ** 2, axis=-1))


def joint_velocity_error(state: KinematicState, reference: KinematicState, anchor: int) -> Array:
    """E_mpjve: mean absolute joint velocity error [rad/s]."""
    return namespace(state.qvel).mean(abs(state.qvel[..., 6:] - reference.qvel[..., 6:]), axis=-1)


def body_velocity_error(state: KinematicState, reference: KinematicState, anchor: int) -> Array:
    """E_mpbve: the same as E_g-mpbpe for first differences of the positions [mm/frame]; one frame fewer."""
    step = state.xpos[1:] - state.xpos[:-1]
    return _distance_mm(step, reference.xpos[1:] - reference.xpos[:-1])


def body_acceleration_error(state: KinematicState, reference: KinematicState, anchor: int) -> Array:
    """E_mpbae: the same for second differences [mm/frame^2]; two frames fewer."""
    x, r = state.xpos, reference.xpos
    return _distance_mm(x[2:] - 2 * x[1:-1] + x[:-2], r[2:] - 2 * r[1:-1] + r[:-2])


def anchor_height_error(state: KinematicState, reference: KinematicState, anchor: int) -> Array:
    """|dz| of the anchor [mm]."""
    return MM * abs(state.xpos[..., anchor, 2] - reference.xpos[..., anchor, 2])


def anchor_angle_error(state: KinematicState, reference: KinematicState, anchor: int) -> Array:
    """Angle between the anchor and its reference [rad]."""
    return quat_angle(state.xquat[..., anchor, :], reference.xquat[..., anchor, :])


@dataclass(frozen=True)
class Metric:
    """One error: its key in JSON, its symbol and unit for people, and the value of every frame.

    `headline`: shown in tables, not only in files.
    """

    key: str
    symbol: str
    unit: str
    digits: int
    per_frame: Callable[[KinematicState, KinematicState, int], Array]
    headline: bool = False


METRICS: tuple[Metric, ...] = (
    Metric("e_g_mpbpe_mm", "E_g-mpbpe", "mm", 1, global_body_error, headline=True),
    Metric("e_mpbpe_mm", "E_mpbpe", "mm", 1, body_error, headline=True),
    Metric("e_mpbpe_root_mm", "root-relative", "mm", 1, root_relative_body_error),
    Metric("pose_error_m", "pose error", "m", 3, pose_error),
    Metric("e_mpjpe_rad", "E_mpjpe", "rad", 3, joint_error, headline=True),
    Metric("e_mpjpe_l2_rad", "L2", "rad", 3, joint_error_l2),
    Metric("e_mpjve_rad_s", "E_mpjve", "rad/s", 2, joint_velocity_error, headline=True),
    Metric("e_mpbve_mm_frame", "E_mpbve", "mm/frame", 2, body_velocity_error),
    Metric("e_mpbae_mm_frame2", "E_mpbae", "mm/frame^2", 2, body_acceleration_error),
    Metric("e_anchor_height_mm", "anchor |dz|", "mm", 1, anchor_height_error),
    Metric("e_anchor_angle_rad", "anchor angle", "rad", 3, anchor_angle_error),
)

SUCCESS_DISTANCE_M = {"success_015": 0.15, "success_05": 0.5}


def frame_errors(state: KinematicState, reference: KinematicState, anchor: int) -> dict[str, np.ndarray]:
    """Every metric per frame, by its key; (F,), the two differences (F - 1,) and (F - 2,)."""
    return {metric.key: np.asarray(metric.per_frame(state, reference, anchor)) for metric in METRICS}


def clip_metrics(
    name: str,
    frames: int,
    state: KinematicState,
    reference: KinematicState,
    *,
    anchor: int,
    end_effectors: Sequence[int],
    termination: TerminationConfig,
) -> dict[str, Any]:
    """One clip's row: `name`, `frames`, `completed_frames`, three successes (0 or 1), and the mean of every metric.

    `state` and `reference` (F, ...) begin at frame 0, which counts as completed; they may end before the clip of
    `frames` frames does, but then only where all three successes are lost. The clip is completed up to the first frame
    where the height rule fails, and the errors are means over the completed frames. The two distance rules look at
    all frames there are, whatever the height rule says. A metric with no value (differences of one frame) is None.
    """
    down = np.asarray(fallen(state, reference, anchor, end_effectors, termination))
    down[0] = False
    completed = int(np.argmax(down)) if down.any() else len(down)
    distance_m = np.asarray(global_body_error(state, reference, anchor)) / MM
    whole = len(down) == frames
    row: dict[str, Any] = {
        "name": name,
        "frames": frames,
        "completed_frames": completed,
        "success_height": int(completed == frames),
        **{key: int(whole and bool(np.all(distance_m <= bound))) for key, bound in SUCCESS_DISTANCE_M.items()},
    }
    done, aim = (KinematicState(*(column[:completed] for column in s)) for s in (state, reference))
    errors = frame_errors(done, aim, anchor)
    return row | {key: float(np.mean(values)) if len(values) else None for key, values in errors.items()}


def mean_metrics(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The mean over clips of every number: a success becomes the part of clips, a None is left out of its mean."""
    rows = list(rows)
    means = {}
    for key in (key for key in rows[0] if key != "name"):
        values = [row[key] for row in rows if row[key] is not None and math.isfinite(row[key])]
        means[key] = sum(values) / len(values) if values else None
    return means
