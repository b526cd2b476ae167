"""How fast clips are retargeted, against solving the same targets frame by frame with mink, the core of GMR."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from motions.kinematics import Body, forward_kinematics
from motions.motion import Motion
from motions.rotations import quat_to_matrix
from motions.skeleton import SkeletonMotion
from retarget.batch import retarget_many
from retarget.pipeline import Wanted, prepare
from retarget.quality import QualityReport, measure, spell_means, target_joints

MINK_FRAMES = 300  # of every clip are solved frame by frame: enough for a rate
MINK_STEPS, MINK_GAIN = 10, 1e-3  # at most so many steps a frame, fewer when one gains less than this (GMR's rule)
MINK_DAMPING = 0.5


class RetargetBench(NamedTuple):
    """frames and wall_s [s] of all clips in one call, after compilation, which took compile_s; fps = frames / wall_s. mink_fps:
    frames per second of the frame-by-frame solve, none if mink is not installed; ratio = fps / mink_fps."""

    frames: int
    compile_s: float
    wall_s: float
    fps: float
    mink_fps: float | None
    ratio: float | None
    reports: tuple[QualityReport, ...]


def bench_retarget(
    sources: Sequence[SkeletonMotion], body: Body, say: Callable[[str], None], *, mapping: Path | None = None
) -> RetargetBench:
    """Retarget all clips twice, the second time on the clock; then the same targets with mink. mapping: as `retarget`'s."""
    began = time.perf_counter()
    _all(sources, body, mapping)
    first_s = time.perf_counter() - began
    began = time.perf_counter()
    reports = _all(sources, body, mapping)
    wall_s = time.perf_counter() - began
    frames = sum(report.frames for report in reports)
    rate = f"{wall_s:.2f} s, {frames / wall_s:.0f} frames/s"
    say(f"{len(sources)} clips, {frames} frames: {rate}; compilation {first_s - wall_s:.1f} s")
    say(spell_means(reports))
    try:
        import mink  # noqa: F401  # pyright: ignore[reportMissingImports]: an extra
    except ImportError:
        say("mink is not installed, so there is nothing to compare with: pip install 'mimic-mjx[bench]'")
        return RetargetBench(frames, first_s - wall_s, wall_s, frames / wall_s, None, None, reports)
    theirs, mink_s = [], 0.0
    for source in sources:
        report, seconds = mink_solve(prepare(source, body, mapping=mapping))
        theirs.append(report)
        mink_s += seconds
    solved = sum(report.frames for report in theirs)
    ratio = frames / wall_s / (solved / mink_s)
    say(f"mink, frame by frame: {solved} frames in {mink_s:.2f} s, {solved / mink_s:.0f} frames/s; ratio {ratio:.1f}")
    say(f"with mink, {spell_means(theirs)}")
    return RetargetBench(frames, first_s - wall_s, wall_s, frames / wall_s, solved / mink_s, ratio, reports)


def _all(sources: Sequence[SkeletonMotion], body: Body, mapping: Path | None) -> tuple[QualityReport, ...]:
    reports = []
    for outcome in retarget_many(sources, body, mapping=mapping):
        if isinstance(outcome, Exception):
            raise outcome
        reports.append(outcome[1])
    return tuple(reports)


def mink_solve(wanted: Wanted) -> tuple[QualityReport, float]:
    """The quality of frames that mink solved one after the other, each from the one before, and the seconds they took."""
    import mink  # pyright: ignore[reportMissingImports]

    rig, body = wanted.rig, wanted.rig.body
    positions = dict(zip(rig.roles, np.swapaxes(target_joints(rig, wanted.targets), 0, 1), strict=True))
    upright = quat_to_matrix(forward_kinematics(body, rig.upright)[1])
    tasks = {
        role: mink.FrameTask(rig.mapping.bodies[role], "body", 100.0, 10.0 if role in rig.frame_roles else 0.0, lm_damping=1.0)
        for role in rig.roles
    }
    limits = [mink.ConfigurationLimit(body.model)]
    configuration = mink.Configuration(body.model)
    configuration.update(np.concatenate([positions["pelvis"][0], [1.0, 0, 0, 0], rig.rest]))
    frames, step_s = min(len(wanted.targets.valid), MINK_FRAMES), body.model.opt.timestep
    qpos = np.zeros((frames, body.model.nq))
    began = time.perf_counter()
    for frame in range(frames):
        for role, task in tasks.items():
            turn = np.eye(3)
            if role in rig.frame_roles:
                own = upright[int(body.body_ids((rig.mapping.bodies[role],))[0])]
                turn = wanted.targets.frame_rot[frame, rig.frame_roles.index(role)] @ own
            task.set_target(mink.SE3.from_rotation_and_translation(mink.SO3.from_matrix(turn), positions[role][frame]))
        last = np.inf
        for _ in range(MINK_STEPS):
            velocity = mink.solve_ik(configuration, list(tasks.values()), step_s, "daqp", damping=MINK_DAMPING, limits=limits)
            configuration.integrate_inplace(velocity, step_s)
            error = float(np.linalg.norm(np.concatenate([task.compute_error(configuration) for task in tasks.values()])))
            if last - error < MINK_GAIN:
                break
            last = error
        qpos[frame] = configuration.q
    wall_s = time.perf_counter() - began
    motion = Motion(wanted.source.name, body.name, wanted.fps, qpos, body.joint_names)
    return measure(motion, rig, jax.tree.map(lambda x: x[:frames], wanted.targets), scale=wanted.scale), wall_s
