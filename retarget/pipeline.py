"""`retarget`: one captured motion onto one robot, with the numbers that say whether to trust it; `ground`: the
same clean-up of the feet for a motion that is already on the robot; `assess`: the numbers alone."""

import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import minimum_filter1d

from motions.errors import InputError
from motions.kinematics import Body, forward_kinematics
from motions.motion import MIN_FRAMES, Motion, resample
from motions.rotations import quat_to_matrix
from motions.skeleton import SkeletonMotion
from retarget.capture import Capture, capture
from retarget.contacts import detect_contacts
from retarget.mapping import RobotMap, map_robot, map_source
from retarget.quality import Effort, QualityReport, measure, world_points
from retarget.rig import Rig, build_rig
from retarget.scaling import Targets, build_targets
from retarget.solve import Solution, solve
from retarget.start import starting_joints
from retarget.terms import Weights

MAX_FPS = 60.0
DEFAULT_WEIGHTS = Weights()
GROUND_STIFFNESS = 10.0  # pull of every joint to where it was, 1 / [rad]: only the feet may change much


def retarget(
    source: SkeletonMotion,
    body: Body,
    *,
    mapping: RobotMap | str | Path | None = None,
    fps: float | None = None,
    weights: Weights = DEFAULT_WEIGHTS,
    iterations: int = 20,
) -> tuple[Motion, QualityReport]:
    """Solve a whole captured clip for a robot.

    `mapping`: a `RobotMap`, the path of a TOML file, or None for the shipped one that fits the body's names.
    `fps`: of the result [Hz]; by default the source's, at most 60. Raises `InputError` for a skeleton without
    the limbs needed, a robot without a mapping, one of another number of legs, or a clip too short.
    """
    began = time.perf_counter()
    wanted = prepare(source, body, mapping=mapping, fps=fps)
    solution = solve(wanted.rig, wanted.targets, wanted.fps, weights, iterations)
    return finish(wanted, solution, time.perf_counter() - began)


class Wanted(NamedTuple):
    """A capture on its way to a robot: what the solver is given, the scale that was used, and what was guessed."""

    source: SkeletonMotion
    rig: Rig
    fps: float
    targets: Targets
    scale: float
    notes: tuple[str, ...] = ()


def prepare(
    source: SkeletonMotion, body: Body, *, mapping: RobotMap | str | Path | None = None, fps: float | None = None
) -> Wanted:
    """The targets of a captured clip on a robot, with where the solve starts. Arguments and errors are `retarget`'s."""
    fps = min(source.fps, MAX_FPS) if fps is None else float(fps)
    if not np.isfinite(fps) or fps <= 0:
        raise InputError(f"retargeting {source.name!r}: fps is {fps}, expected a number above 0")
    if (source.num_frames - 1) / source.fps * fps < MIN_FRAMES - 1:
        raise InputError(
            f"{source.name!r} has {source.num_frames} frame(s) at {source.fps:g} Hz: fewer than {MIN_FRAMES} frames at {fps:g} Hz"
        )
    rig = rig_of(body, mapping)
    first = replace(source, root_pos=source.root_pos[:1], local_quat=source.local_quat[:1], translations=None)
    roles = map_source(source.skeleton, first.forward_kinematics()[0][0])
    if roles.legs != rig.legs:
        raise InputError(
            f"{source.name!r} walks on {len(roles.legs)} legs and robot {body.name!r} on {len(rig.legs)}: give a motion captured "
            f"on {len(rig.legs)} legs, or a robot with {len(roles.legs)}{''.join(f' ({note})' for note in roles.notes)}"
        )
    captured = capture(source, roles, fps)
    targets, scale = build_targets(captured, detect_contacts(captured), rig)
    targets = targets._replace(start=starting_joints(rig, targets, fps))
    return Wanted(source, rig, fps, targets, scale, (*roles.notes, *rig.mapping.notes))


def finish(wanted: Wanted, solution: Solution, wall_s: float) -> tuple[Motion, QualityReport]:
    """The motion of a solution and its quality; `wall_s` [s] is what all of it took, compilation included."""
    source, body = wanted.source, wanted.rig.body
    names = body.joint_names
    motion = Motion(source.name, body.name, wanted.fps, solution.qpos, names, source=source.source, licence=source.licence)
    effort = _effort(solution, wall_s)
    report = measure(motion, wanted.rig, wanted.targets, scale=wanted.scale, effort=effort)
    return motion, replace(report, notes=wanted.notes)


def ground(
    motion: Motion,
    body: Body,
    *,
    mapping: RobotMap | str | Path | None = None,
    fps: float | None = None,
    weights: Weights = DEFAULT_WEIGHTS,
) -> tuple[Motion, QualityReport]:
    """Put a robot's motion on the ground: standing feet stop sliding, floating and sinking; the rest stays as it was.

    For motions that came from elsewhere (video, diffusion). It is retargeting from the robot to itself. `fps` [Hz]
    resamples first.
    """
    _require_joints(motion, body)
    if fps is not None:
        motion = resample(motion, fps)
    rig = rig_of(body, mapping)
    targets, scale = _own_targets(rig, motion)
    joints = motion.qpos[:, 7:]
    targets = targets._replace(rest=joints, start=joints, stiffness=np.full_like(joints, GROUND_STIFFNESS))
    began = time.perf_counter()
    solution = solve(rig, targets, motion.fps, weights)
    fixed = Motion(
        motion.name, body.name, motion.fps, solution.qpos, body.joint_names, motion.loop, motion.source, motion.licence
    )
    report = measure(fixed, rig, targets, scale=scale, effort=_effort(solution, time.perf_counter() - began))
    return fixed, report


def assess(motion: Motion, body: Body, *, mapping: RobotMap | str | Path | None = None) -> QualityReport:
    """Measure a motion that is already on the robot, as it is; nothing is solved. Its own joints are its targets.

    A stance is found to a frame: its first and last one, in which the foot may still come or already go, are not judged.
    """
    _require_joints(motion, body)
    rig = rig_of(body, mapping)
    targets, scale = _own_targets(rig, motion)
    stand = minimum_filter1d(targets.stand, 3, axis=0, mode="nearest")
    return measure(motion, rig, targets._replace(stand=stand), scale=scale)


def _require_joints(motion: Motion, body: Body) -> None:
    if motion.joint_names != body.joint_names:
        raise InputError(f"motion {motion.name!r} has the joints {', '.join(motion.joint_names)}; {body.name!r} has others")


def _own_targets(rig: Rig, motion: Motion) -> tuple[Targets, float]:
    """The targets that a robot's own motion is, and their scale."""
    own = capture_of_robot(rig, motion)
    return build_targets(own, detect_contacts(own), rig, reach=1.0)


def _effort(solution: Solution, wall_s: float) -> Effort:
    return Effort(solution.iterations, solution.converged, solution.compile_s, wall_s - solution.compile_s)


def capture_of_robot(rig: Rig, motion: Motion) -> Capture:
    """A robot's motion as if it had been captured: role joints, toes, and orientations away from the upright pose."""
    points = world_points(rig, motion.qpos)
    xyz = {role: points["joints"][:, i] for i, role in enumerate(rig.roles)}
    _, xquat = forward_kinematics(rig.body, motion.qpos)
    away = quat_to_matrix(forward_kinematics(rig.body, rig.upright)[1])
    xmat = quat_to_matrix(xquat)
    rot = {}
    for role in rig.frame_roles:
        b = int(rig.body.body_ids((rig.mapping.bodies[role],))[0])
        rot[role] = xmat[:, b] @ away[b].T
    for i, leg in enumerate(rig.legs, start=1):
        xyz[leg + "toe"] = points["heel_toe"][:, i * rig.ends_per_foot - 1]  # the last of its points
    return Capture(fps=motion.fps, xyz=xyz, rot=rot, upright={r: np.eye(3) for r in rot if not r.endswith("foot")})


def rig_of(body: Body, mapping: RobotMap | str | Path | None = None) -> Rig:
    """The `Rig` of a body, measured once: the compiled solver is kept with it."""
    return _measured(body, mapping)


@lru_cache(maxsize=16)
def _measured(body: Body, mapping: RobotMap | str | Path | None) -> Rig:
    return build_rig(body, map_robot(body, mapping))
