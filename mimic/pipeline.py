"""What follows a training: export the policy, measure it, picture it. All from a run folder."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mimic.checkpoint import newest
from mimic.config import Config
from mimic.deploy.bundle import require_bundle_folder, write_bundle
from mimic.deploy.export import export_policy, export_ros_contract, ros_obstacle
from mimic.deploy.shown import Shown, shown_by
from mimic.deploy.sim2sim import Policy, rollout
from mimic.evaluation.recovery import FALLS, measure_recovery
from mimic.evaluation.roam import Roaming, roam
from mimic.evaluation.switching import COUNT as SWITCHES
from mimic.evaluation.switching import measure_switches
from mimic.evaluation.whole_clips import Evaluation, evaluate_policy, measure, simulated_motion
from mimic.learning.networks import Layers, Params, actor_layers, symmetric_layers
from mimic.progress import waiting
from mimic.report.kept import of_roaming, of_rollouts, write_kept
from mimic.robots import Robot, load_robot
from mimic.runs import EVALUATION, POLICY, Run, git_commit, practised
from mimic.tasks.symmetry import find_mirror
from mimic.training.teacher import TaughtBy, at_nominal
from motions.errors import InputError
from motions.files import write_json
from motions.motion import Motion


def policy_of(run: Run, params: Params, mean: np.ndarray, std: np.ndarray) -> TaughtBy:
    """The policy that the run's networks with `params` are, with the statistics (N,) of what actor and critic observe."""
    layers = actor_layers(params)
    actor_size = len(layers[0][0])
    if run.config.ppo.symmetry == "network":
        layers = symmetric_layers(layers, find_mirror(run.robot, run.config.observation))
    return TaughtBy(run.config, layers, mean[:actor_size], std[:actor_size])


def trained_policy(run: Run, say: Callable[[str], None]) -> TaughtBy:
    """The policy of the run's newest checkpoint: the average of the weights.

    Raises `InputError` when the run has no readable checkpoint.
    """
    with waiting("reading the newest checkpoint"):
        parts = newest(run, lambda checkpoints: checkpoints.restore_parts(("average", "normalizer"), say))
    return policy_of(run, parts["average"], parts["normalizer"]["mean"], parts["normalizer"]["std"])


def write_policy(trained: TaughtBy, run: Run, out: Path) -> Path:
    """`trained` as a file, as it acts on the nominal model."""
    parts = _parts(at_nominal(trained, run.robot, run.motions[0]), run)
    return export_policy(*parts, out, _provenance(run), _shown(run))


_SHOWN: dict[Path, Shown] = {}  # by run folder: of a large library it takes long


def _shown(run: Run) -> Shown | None:
    """What a policy must know of its clips that follows none, or is told what to do."""
    if run.config.follow and run.config.goal.kind is None:
        return None
    if run.folder not in _SHOWN:
        _SHOWN[run.folder] = shown_by(run.motions, run.robot, run.config)
    return _SHOWN[run.folder]


def export_run(run: Run, out: Path, say: Callable[[str], None]) -> list[Path]:
    """Write the policy at `out` with its spec, model and motion, and the ROS-side contract where the terms allow it.

    A policy that observes what the simulation draws is written as it acts on the model as it is, which is said.
    """
    trained = trained_policy(run, say)
    policy = at_nominal(trained, run.robot, run.motions[0])
    if policy is not trained:
        say(
            "the policy observes what is drawn: written as it acts on the nominal model; for a robot: mimic distill "
            + str(run.folder)
        )
    written = [write_policy(policy, run, out)]
    if not ros_obstacle(policy.config):
        written.append(export_ros_contract(*_parts(policy, run), out.with_name(out.stem + "_ros.onnx"), _provenance(run)))
    return written


def _parts(policy: TaughtBy, run: Run) -> tuple[Layers, np.ndarray, np.ndarray, Config, Robot, Motion]:
    """As exports take them."""
    return policy.layers, policy.mean, policy.std, policy.config, run.robot, run.motions[0]


def bundle_run(run: Run, folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Write the run's policy as a bundle: everything that a robotics team needs, in one folder."""
    require_bundle_folder(folder)
    policy = trained_policy(run, say)
    with waiting("writing the bundle"):
        return write_bundle(*_parts(policy, run), folder, _provenance(run), _shown(run))


def _provenance(run: Run) -> dict[str, str]:
    return {"git_commit": git_commit(), "run": run.folder.name, "env_steps": str(practised(run))}


def exported(run: Run, say: Callable[[str], None]) -> Policy:
    """The run's policy as the file in its folder is, written anew."""
    out = run.folder / POLICY
    export_run(run, out, say)
    return Policy.load(out)


def evaluate_run(
    run: Run,
    motions: Sequence[Motion] | None,
    say: Callable[[str], None],
    *,
    cycles: int | None = None,
    falls: int | None = None,
    switches: int | None = None,
) -> Evaluation:
    """Export the run's policy into its folder and measure that file by the whole-clip protocol, on `motions` of so many cycles
    (None: as the run's own are), or on the run's own; falls, switches: how often it is also to get up, and to go over from clip
    to clip, None: only if it was trained to."""
    policy, asked, all_collisions = exported(run, say), motions or run.asked, _all_collisions(run, say)
    if falls and all_collisions is None:
        raise InputError("falls are measured with all collisions on, and the robot's model is gone")
    with waiting(f"running {len(asked)} clips whole, as trained and otherwise"):
        evaluation = evaluate_policy(policy, asked, all_collisions=all_collisions, cycles=cycles or run.config.cycles)
    count = (FALLS if run.config.falls and motions is None else 0) if falls is None else falls
    if count and all_collisions is not None:
        with waiting(f"letting it get up from {count} falls"):
            recovery = measure_recovery(policy, asked, all_collisions, count)
        evaluation = replace(evaluation, recovery=recovery)
    count = (SWITCHES if run.config.switches and motions is None else 0) if switches is None else switches
    if count:
        with waiting(f"going over from clip to clip, {count} times"):
            evaluation = replace(evaluation, switches=measure_switches(policy, asked, count))
    if motions is None:
        write_json(run.folder / EVALUATION, evaluation.to_json())
        write_kept(run.folder, of_rollouts(evaluation.clips, evaluation.rollouts))
    return evaluation


def made_physical(
    run: Run, say: Callable[[str], None], *, with_targets: bool = False
) -> tuple[tuple[Motion, ...], np.ndarray | None]:
    """The run's clips as its policy does them in the simulator, those that it does not complete as they are, which is said; and
    `with_targets`, the joint targets (N, J) [rad] by which it came to each frame of them: to a first one those of the next.

    Raises `InputError` where a clip has no such targets.
    """
    policy, made, targets, lost = exported(run, say), [], [], []
    for motion in run.motions:
        done = rollout(policy, motion)
        if measure(policy, done)["completed_frames"] == done.frames:
            robot, fps = run.robot, 1.0 / policy.spec.ctrl_dt
            simulated = simulated_motion(done.name, done.states.qpos, robot.name, robot.joint_names, fps)
            motion = replace(simulated, licence=motion.licence)
            targets.append(np.concatenate([done.targets[:1], done.targets]))
        else:
            lost.append(motion.name)
            say(f"{motion.name}: taken as it is, the policy does not complete it")
        made.append(motion)
    if with_targets and lost:
        raise InputError(
            f"style.actions is true, and the tracker in {run.folder} has no actions for what it does not complete: "
            f"{', '.join(lost)}. Train it for longer (tracker_steps), leave these out, or --no-style.actions"
        )
    return tuple(made), np.concatenate(targets).astype(np.float32) if with_targets else None


def roam_run(run: Run, motions: Sequence[Motion] | None, say: Callable[[str], None]) -> Roaming:
    """As `evaluate_run`, for a policy that follows no clip: robots are let loose."""
    policy = exported(run, say)
    with waiting("letting robots loose"):
        roaming = roam(policy, motions or run.asked)
    if motions is None:
        write_json(run.folder / EVALUATION, roaming.to_json())
        write_kept(run.folder, of_roaming(roaming))
    return roaming


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
    """The robot with its visuals, for pictures, where its file can be found and still has the same bodies and joints; else the
    stored one."""
    try:
        found = load_robot(run.config.robot, sim=run.config.sim, visuals=True)
    except InputError:
        return run.robot
    ours, theirs = ((robot.joint_names, robot.body.body_names) for robot in (run.robot, found))
    return found if ours == theirs else run.robot
