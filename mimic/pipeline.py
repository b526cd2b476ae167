"""What follows a training: export the policy, measure it, picture it. All from a run folder."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from mimic.deploy.bundle import require_bundle_folder, write_bundle
from mimic.deploy.export import export_policy, export_ros_contract, ros_obstacle
from mimic.deploy.sim2sim import Policy
from mimic.evaluate import Evaluation, evaluate_policy
from mimic.learning.networks import Layers, actor_layers
from mimic.robots import Robot, load_robot
from mimic.runs import Run, git_commit
from mimic.teacher import TaughtBy
from mimic.train import learner_of, make_task, restore_state
from motions.errors import InputError
from motions.motion import Motion

POLICY, EVALUATION = "policy.onnx", "evaluation.json"


def trained_policy(run: Run, say: Callable[[str], None]) -> tuple[Layers, np.ndarray, np.ndarray]:
    """(layers, mean, std) of the run's newest checkpoint: the averaged actor and its normalizer.

    Raises `InputError` when the run has no readable checkpoint.
    """
    with jax.default_device(jax.devices("cpu")[0]):
        learner = learner_of(run, make_task(run.config, run.robot, run.motions, "native"))
        state = restore_state(run, learner, say)
    if state is None:
        raise InputError(f"{run.folder} has no readable checkpoint: train it first")
    mean, std = (np.asarray(part)[: learner.actor_size] for part in (state.normalizer.mean, state.normalizer.std))
    return actor_layers(state.average), mean, std


def teacher_of(run: Run, say: Callable[[str], None]) -> TaughtBy:
    """The run's newest policy as a teacher, as `trained_policy` reads it."""
    return TaughtBy(run.config, *trained_policy(run, say))


def export_run(run: Run, out: Path, say: Callable[[str], None]) -> list[Path]:
    """Write the policy at `out` with its spec, model and motion, and the ROS-side contract where the terms allow it."""
    network = trained_policy(run, say)
    written = [export_policy(*network, run.config, run.robot, run.motions[0], out, _provenance(run))]
    if _ros_allowed(run, say):
        ros = out.with_name(out.stem + "_ros.onnx")
        written.append(export_ros_contract(*network, run.config, run.robot, run.motions[0], ros, _provenance(run)))
    return written


def bundle_run(run: Run, folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Write the run's policy as a bundle: everything that a robotics team needs, in one folder."""
    require_bundle_folder(folder)
    network = trained_policy(run, say)
    _ros_allowed(run, say)
    return write_bundle(*network, run.config, run.robot, run.motions[0], folder, _provenance(run))


def _provenance(run: Run) -> dict[str, str]:
    return {"git_commit": git_commit(), "run": run.folder.name}


def _ros_allowed(run: Run, say: Callable[[str], None]) -> bool:
    obstacle = ros_obstacle(run.config)
    if obstacle:
        say(f"no ROS-side file: {obstacle}")
    return not obstacle


def evaluate_run(run: Run, motions: Sequence[Motion] | None, say: Callable[[str], None]) -> Evaluation:
    """Export the run's policy into its folder and measure that file by the whole-clip protocol."""
    out = run.folder / POLICY
    export_run(run, out, lambda text: None if text.startswith("no ROS-side") else say(text))
    evaluation = evaluate_policy(Policy.load(out), motions or run.motions, all_collisions=_all_collisions(run, say))
    if motions is None:
        (run.folder / EVALUATION).write_text(json.dumps(evaluation.to_json(), indent=2) + "\n")
    return evaluation


def _all_collisions(run: Run, say: Callable[[str], None]):
    """The robot's model with every contact on; None, said, when its file is gone."""
    if run.config.sim.collisions == "all":
        return run.robot.model
    try:
        robot = load_robot(run.config.robot, sim=replace(run.config.sim, collisions="all"))
    except InputError as error:
        say(f"not measured with all collisions on: {error}")
        return None
    return robot.model


def robot_for(run: Run) -> Robot:
    """The robot with its visuals, for pictures, where its file can be found; else the stored one."""
    try:
        return load_robot(run.config.robot, sim=run.config.sim, visuals=True)
    except InputError:
        return run.robot
