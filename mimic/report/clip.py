"""One clip as a report shows it: errors body by body and frame by frame, its worst moments, feet, torques and joints."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from mimic.config import SimConfig
from mimic.mdp.inverse_dynamics import NEAR_M, ground_points
from mimic.metrics import body_errors, frame_errors
from mimic.report.kept import Kept
from mimic.robots import Robot
from mimic.robots.actuators import pd_torques
from motions.kinematics import Body, KinematicState, forward_kinematics, kinematic_state
from motions.rotations import quat_rotate

MOMENTS, APART_S = 3, 0.5  # worst moments of a clip, and how far they lie apart
FULL = 0.999  # of a torque limit: what counts as all of it
NEAR_LIMIT_RAD = 0.02  # a joint so near its limit, or beyond, is at it


class Moment(NamedTuple):
    """A frame to look at: E_mpbpe there [mm], the tracked body that is farthest off, and by how much [mm]."""

    frame: int
    error_mm: float
    body: str
    body_mm: float
    fell: bool


@dataclass(frozen=True)
class Clip:
    """What one robot did, S + 1 frames at `fps` [Hz]. Of one that follows no clip, reference, errors and body_mm are empty.

    row: its row of the evaluation. qpos, reference (S + 1, nq). errors: `mimic.metrics.frame_errors`. body_mm (S + 1, K): how far
    each tracked body is from the re-anchored reference; their mean is E_mpbpe. on_floor, reference_on_floor (S + 1, feet): bool.
    torque, limit (S, J) [N m]: at the beginning of each control step, as the motors' formula has it, and the most there was.
    """

    name: str
    fps: float
    row: dict[str, Any]
    qpos: np.ndarray = field(repr=False)
    reference: np.ndarray | None = field(repr=False)
    errors: dict[str, np.ndarray] = field(repr=False)
    body_mm: np.ndarray | None = field(repr=False)
    on_floor: np.ndarray = field(repr=False)
    reference_on_floor: np.ndarray | None = field(repr=False)
    torque: np.ndarray = field(repr=False)
    limit: np.ndarray = field(repr=False)
    goals: np.ndarray = field(repr=False)
    velocity: np.ndarray = field(repr=False)
    """Of the root over the ground (S + 1, 2) [m/s]."""
    moments: tuple[Moment, ...] = ()

    @property
    def fell_at(self) -> int | None:
        """The first frame that no longer counts, None where all do."""
        done = self.row.get("completed_frames")
        return None if done is None or done == self.row["frames"] else min(int(done), len(self.qpos) - 1)


def make_clip(name: str, row: dict[str, Any], kept: Kept, robot: Robot, clip: KinematicState | None, sim: SimConfig) -> Clip:
    """`kept` as a `Clip`; `clip`: the frames it followed at the control rate, None where it followed none."""
    anchor = robot.tracked_bodies.index(robot.anchor_body)
    tracked = robot.body.body_ids(robot.tracked_bodies)
    state = kinematic_state(robot.body, kept.qpos, kept.qvel, tracked)
    seen, errors, body_mm = None, {}, None
    if clip is not None:
        seen = KinematicState(*(part[: len(kept.qpos)] for part in clip))
        errors, body_mm = frame_errors(state, seen, anchor), np.asarray(body_errors(state, seen, anchor))
    qpos, qvel = kept.qpos[:-1, 7:], kept.qvel[:-1, 6:]
    fastest = robot.velocity_limit if sim.actuator == "motor" else np.full(len(robot.effort), np.inf)
    wanted = robot.kp * (kept.targets - qpos) - robot.kd * qvel
    torque, low, high = pd_torques(wanted, qvel, robot.effort, fastest, robot.corner_velocity)
    made = Clip(
        name=name,
        fps=1.0 / sim.ctrl_dt,
        row=row,
        qpos=kept.qpos,
        reference=None if seen is None else np.asarray(seen.qpos),
        errors=errors,
        body_mm=body_mm,
        on_floor=feet_on_floor(robot.body, kept.qpos),
        reference_on_floor=None if seen is None else feet_on_floor(robot.body, np.asarray(seen.qpos)),
        torque=torque,
        limit=np.where(torque < 0, -low, high),
        goals=kept.goals,
        velocity=kept.qvel[:, :2],
    )
    return made if body_mm is None else with_moments(made, robot.tracked_bodies)


def with_moments(clip: Clip, bodies: Sequence[str]) -> Clip:
    """The fall, if there is one, and the largest errors above the mean before it, `APART_S` apart."""
    assert clip.body_mm is not None
    error, fell = clip.body_mm.mean(axis=1), clip.fell_at
    order = [int(frame) for frame in np.argsort(-error[:fell], kind="stable")]
    chosen: list[int] = [] if fell is None else [fell]
    for frame in order:
        if len(chosen) == MOMENTS or error[frame] < error[:fell].mean():
            break
        if all(abs(frame - other) >= APART_S * clip.fps for other in chosen):
            chosen.append(frame)
    moments = []
    for frame in chosen:
        farthest = int(clip.body_mm[frame].argmax())
        off = float(clip.body_mm[frame, farthest])
        moments.append(Moment(frame, float(error[frame]), bodies[farthest], off, frame == fell))
    return replace(clip, moments=tuple(moments))


def feet_on_floor(body: Body, qpos: np.ndarray) -> np.ndarray:
    """Whether the lowest point of each foot's colliding geoms is nearer to the floor than `NEAR_M`; (F, feet) bool."""
    pos, quat = forward_kinematics(body, qpos)
    points, found = ground_points(body.model), np.zeros((len(qpos), len(body.foot_bodies)), bool)
    for index, foot in enumerate(body.body_ids(body.foot_bodies)):
        for at, local, radius in points:
            if at == foot:
                offset = quat_rotate(quat[:, foot], np.broadcast_to(local, (len(qpos), 3)))
                found[:, index] |= pos[:, foot, 2] + offset[:, 2] - radius < NEAR_M
    return found


def contact_agreement(clip: Clip) -> list[float]:
    """Of each foot: the share of frames in which it stands, or not, as the reference's does."""
    assert clip.reference_on_floor is not None
    return [float(share) for share in (clip.on_floor == clip.reference_on_floor).mean(axis=0)]


def joint_use(clips: Sequence[Clip], robot: Robot) -> list[dict[str, Any]]:
    """A row for each joint, over all frames of `clips`.

    torque_rms_nm, torque_peak_nm, effort_nm; peak_use: largest share of the torque that the motor had; full: share of the steps
    that took all of it; low_deg, high_deg: the angles it went through; lower_deg, upper_deg: its limits, None without; at_limit:
    share of the frames nearer than `NEAR_LIMIT_RAD` to one, or beyond.
    """
    torque, limit = (np.concatenate([getattr(clip, name) for clip in clips]) for name in ("torque", "limit"))
    angle = np.concatenate([clip.qpos[:, 7:] for clip in clips])
    use = np.abs(torque) / np.maximum(limit, 1e-9)
    rows = []
    for j, (name, (lower, upper)) in enumerate(zip(robot.joint_names, robot.body.joint_range, strict=True)):
        limited = bool(np.isfinite(lower))
        at = (angle[:, j] < lower + NEAR_LIMIT_RAD) | (angle[:, j] > upper - NEAR_LIMIT_RAD)
        rows.append(
            {
                "joint": name,
                "torque_rms_nm": float(np.sqrt(np.mean(torque[:, j] ** 2))),
                "torque_peak_nm": float(np.abs(torque[:, j]).max()),
                "effort_nm": float(robot.effort[j]),
                "peak_use": float(use[:, j].max()),
                "full": float((use[:, j] >= FULL).mean()),
                "low_deg": float(np.degrees(angle[:, j].min())),
                "high_deg": float(np.degrees(angle[:, j].max())),
                "lower_deg": float(np.degrees(lower)) if limited else None,
                "upper_deg": float(np.degrees(upper)) if limited else None,
                "at_limit": float(at.mean()),
            }
        )
    return rows


def clip_to_json(clip: Clip, robot: Robot) -> dict[str, Any]:
    """Its numbers, with the errors of every frame."""
    record: dict[str, Any] = {"name": clip.name, "fps": clip.fps, "frames_run": len(clip.qpos)}
    if clip.body_mm is None or clip.reference_on_floor is None:
        return record
    counted = clip.body_mm[: clip.fell_at]
    shown = ("e_mpbpe_mm", "e_g_mpbpe_mm", "e_mpjpe_rad")
    agree = contact_agreement(clip)
    return record | {
        "worst_moments": [moment._asdict() | {"time_s": moment.frame / clip.fps} for moment in clip.moments],
        "mean_error_of_body_mm": dict(zip(robot.tracked_bodies, counted.mean(axis=0).tolist(), strict=True)),
        "contact_agreement": dict(zip(robot.foot_bodies, agree, strict=True)),
        "error_of_frame": {key: np.round(clip.errors[key].astype(float), 4).tolist() for key in shown},
    }
