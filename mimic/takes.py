"""What `mimic view` shows on a time line: the motion in a file, or what a policy does, run once. No browser here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from mimic.deploy.sim2sim import Policy, rollout
from mimic.metrics import body_errors
from mimic.robots import load_robot
from mimic.robots.actuators import pd_torques
from mimic.sources import Say, captured_in, read_motions, robot_of_file
from mimic.view.acting import touching
from mimic.view.take import Take
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.motion import MIN_FRAMES


def motion_take(path: Path, robot_name: str | None, say: Say, **of_files: Any) -> Take:
    """The motion in a file, on the robot that it or `robot_name` names; and what was captured, if that is what it holds."""
    robot = robot_of_file(path, robot_name, say)
    (motion,), (report,) = read_motions([str(path)], robot, say, **of_files)
    captured = captured_in(path, robot, **of_files)
    try:
        model = load_robot(robot_name or motion.robot, visuals=True).model
    except InputError:  # named by a file that is elsewhere
        model = robot.model
    return Take(
        name=path.name,
        model=model,
        motion=motion,
        captured=captured,
        feet=touching(robot.model, motion.qpos),
        broken={
            check.name: _stretches(check.frames, motion.num_frames) for check in (report.checks if report else ()) if check.frames
        },
        verdict=report.verdict if report else "",
    )


def _stretches(runs: Sequence[tuple[int, int]], frames: int) -> np.ndarray:
    """Which of the frames (F,) lie in one of `runs`, first and last included."""
    inside = np.zeros(frames, bool)
    for first, last in runs:
        inside[first : last + 1] = True
    return inside


def policy_take(path: Path, policy: Policy, model: mujoco.MjModel | None = None) -> Take:
    """A policy's whole clip, run once, beside its reference. model: what to draw. Raises `InputError` where the physics breaks
    at once."""
    run, spec = rollout(policy), policy.spec
    whole = int(np.argmin([*np.isfinite(run.states.qpos).all(axis=1), False]))  # frames before the physics broke, if it did
    if whole < MIN_FRAMES:
        raise InputError(f"{path}: the physics broke after {whole} frames: there is nothing to look at")
    states, reference = (KinematicState(*(part[:whole] for part in of)) for of in (run.states, run.reference))
    targets = np.concatenate([run.targets, run.targets[-1:]])[:whole]  # the last state led to nothing
    aims = (
        {f"{name} of the reference": when for name, when in touching(policy.model, reference.qpos).items()} if spec.follow else {}
    )
    return Take(
        name=path.name,
        model=model or policy.model,
        motion=replace(policy.motion, fps=1.0 / spec.ctrl_dt, qpos=states.qpos, loop=False),
        reference=reference.qpos if spec.follow else None,
        dynamics=(policy.model, states.qvel, targets),
        bodies=spec.tracked_bodies if spec.follow else (),
        errors=np.asarray(body_errors(states, reference, spec.anchor)) if spec.follow else None,
        targets=targets,
        torques=torques(policy, states, targets),
        limits=policy.model.actuator_forcerange[:, 1],
        feet=touching(policy.model, states.qpos) | aims,
    )


def torques(policy: Policy, states: KinematicState, targets: np.ndarray) -> np.ndarray:
    """What the motors do (T, J) [N m] at the beginning of each control step."""
    spec, effort = policy.spec, policy.model.actuator_forcerange[:, 1]
    wanted = np.array(spec.kp) * (targets - states.qpos[:, 7:]) - np.array(spec.kd) * states.qvel[:, 6:]
    curve = spec.curve or (np.full(len(effort), np.inf), np.zeros(len(effort)))  # without one, all of it at any speed
    return pd_torques(wanted, states.qvel[:, 6:], effort, *curve)[0]
