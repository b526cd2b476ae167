"""`mimic play policy.onnx`: run an exported policy in plain MuJoCo, without JAX, and say how well it does."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mimic.arguments import paper
from mimic.deploy.sim2sim import Policy
from mimic.deploy.spec import GoalInfo
from mimic.drive import beyond_training, drive, read_script, responses
from mimic.evaluation.roam import Roaming, print_roaming, roam
from mimic.evaluation.whole_clips import Evaluation, evaluate_policy, print_evaluation, simulated_motion
from mimic.mdp.goals import KINDS
from mimic.mdp.observations import OF_REFERENCES
from mimic.progress import waiting
from motions.errors import InputError
from motions.formats import write_motion_file


class Kept(NamedTuple):
    """Files of what is played: a film (.mp4) and the robot's motion (.npz), each only if asked for."""

    video: Path | None = None
    motion: Path | None = None


NOTHING = Kept()


def play(path: str | Path, kept: Kept = NOTHING, console: Console | None = None) -> Evaluation | Roaming:
    """Run the policy once over its clip, print its errors, and keep of it what is asked.

    Robots of a policy that follows no clip are let loose; the first is kept.
    """
    console = console or paper()
    policy = Policy.load(path)
    spec = policy.spec
    if not spec.follow:
        with waiting("letting robots loose"):
            roaming = roam(policy)
        print_roaming(roaming, console)
        _keep(kept, policy, policy.motion.name, roaming.states.qpos[:, 0], None, console)
        return roaming
    clip = spec.motion
    rate = f"{1 / spec.ctrl_dt:g} Hz"
    console.print(
        f"{path}: {spec.robot}, {len(spec.joint_names)} joints at {rate}, clip {clip.name!r} of {clip.frames} frames",
        markup=False,
    )
    with waiting("running the clip whole"):
        evaluation = evaluate_policy(policy)
    print_evaluation(evaluation, spec.sim.collisions, console)
    run = evaluation.rollouts[0]
    _keep(kept, policy, run.name, run.states.qpos, run.reference.qpos, console)
    return evaluation


def play_script(path: str | Path, script: Path, kept: Kept, plot: Path | None, console: Console | None = None) -> dict[str, Any]:
    """Drive the policy by the commands in `script`, print what came of each, keep and plot it where asked.

    Returns whether the robot stood, when it fell otherwise, and of each command what came of it, for JSON.

    Raises `InputError` for a policy that cannot be told anything.
    """
    console = console or paper()
    policy = Policy.load(path)
    goal = told_to(policy, str(path))
    kind = KINDS[goal.kind]
    if plot is not None and goal.kind == "style":
        raise InputError(
            f"{path}: the policy is told a style, which is no curve: leave out --plot, --video shows what came of it"
        )
    asked = read_script(script, goal.kind, goal.styles)
    strange = beyond_training(asked.goals, goal)
    if strange:
        console.print(f"{script}: {strange}", markup=False, highlight=False, soft_wrap=True)
    with waiting("driving"):
        found = drive(policy, asked)
    rows = responses(found, goal.kind, goal.styles)
    ended = "stood" if found.fell_s is None else f"fell after {found.fell_s:.2f} s; what follows is not counted"
    console.print(f"{path}: {ended}", markup=False, highlight=False, soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*("-" if value is None else value if isinstance(value, str) else f"{value:.2f}" for value in row.values()))
    console.print(table)
    _keep(kept, policy, script.stem, found.states.qpos, None, console)
    if plot is not None:
        from mimic.view.plots import plot_drive

        seconds = np.arange(len(found.goals)) * found.ctrl_dt
        plot_drive(plot, seconds, found.goals, found.done, kind.numbers if kind.place else None, found.fell_s)
        console.print(f"plot: {plot}", markup=False)
    return {"stood": found.fell is None, "fell_s": found.fell_s, "commands": rows}


def play_composite(folders: Sequence[Path], kept: Kept, say: Callable[[str], None]) -> dict[str, Any]:
    """Let the policies of several runs act as one, say which did, and keep of it what is asked; the numbers, for JSON."""
    from mimic.composite import load_composite, print_alone  # critics are in checkpoints, which JAX reads

    composite = load_composite(folders, say)
    with waiting("letting it choose"):
        found = composite.alone()
    print_alone(found, say)
    _keep(kept, composite.members[0].policy, "composite", found.states.qpos, found.reference.qpos, paper())
    return found.to_json()


def told_to(policy: Policy, name: str) -> GoalInfo:
    """What the policy, called `name`, is told to do. Raises `InputError`, which says what to do, where it cannot be driven."""
    spec = policy.spec
    if spec.follow and spec.goal is not None and not set(spec.terms) & set(OF_REFERENCES):
        raise InputError(
            f"{name}: this is the student, stage 2 of 3 of a steerable training, which still follows its clip; the last stage, "
            "RUN beside RUN-student, can be driven: repeat the `mimic train` command, which goes on where it was stopped"
        )
    if spec.follow:
        raise InputError(
            f"{name}: the policy follows its clip, it cannot be driven; one that can: RUN, the last of the three folders that "
            "`mimic train humanoid_steer` fills, after RUN-tracker and RUN-student"
        )
    if spec.goal is None:
        raise InputError(f"{name}: the policy is told nothing; one that is: mimic train humanoid_steer")
    return spec.goal


def _keep(kept: Kept, policy: Policy, name: str, qpos: np.ndarray, reference: np.ndarray | None, console: Console) -> None:
    spec = policy.spec
    if kept.motion is not None:
        motion = simulated_motion(name, qpos, spec.robot, spec.joint_names, 1 / spec.ctrl_dt)
        write_motion_file(kept.motion, motion)
        console.print(f"motion: {kept.motion} ({motion.num_frames} frames at {motion.fps:g} Hz)", markup=False)
    if kept.video is None:
        return
    from mimic.view.video import write_video

    shown = np.isfinite(qpos).all(axis=1)  # where the physics broke there is nothing to see
    aim = None if reference is None else reference[shown]
    with waiting("filming"):
        drawn_by = write_video(kept.video, policy.model, qpos[shown], aim, 1 / spec.ctrl_dt)
    console.print(f"video: {kept.video} (drawn by {drawn_by})", markup=False)
