"""The deployment bundle: a folder with a policy in every form a robotics team may want, and vectors to test each against."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from mimic.config import Config
from mimic.deploy import policy as runtime
from mimic.deploy.export import export_policy, export_ros_contract, ros_obstacle
from mimic.deploy.graph import Layers
from mimic.deploy.raw import raw_model
from mimic.deploy.schema import policy_schema
from mimic.deploy.shown import Shown
from mimic.deploy.sim2sim import Policy
from mimic.deploy.spec import PolicySpec, SideFile, side_file, write_spec
from mimic.robots import Robot
from motions.errors import InputError
from motions.motion import Motion

SPEC = "policy.json"
# Key in the spec's `files`, name in the folder.
FILES = {
    "network": "policy.onnx", "model": "policy.xml", "motion": "policy.npz", "raw": "raw.onnx", "ros": "policy_ros.onnx",
    "test_vectors": "test_vectors.npz", "runtime": "policy.py", "schema": "schema.json", "readme": "README.txt",
}  # fmt: skip


def optional(spec: PolicySpec) -> tuple[str, ...]:
    """Which of `FILES` a bundle of this policy may lack: the runtime follows a clip, and knows no goals."""
    return ("ros",) if spec.follow and spec.goal is None else ("ros", "runtime")


README = """A policy for the robot {robot} {what}. Start with policy.json: its fields are explained in schema.json.
Before anything moves: `mimic check-bundle .` replays test_vectors.npz through every graph here.

raw.onnx: for those who want to write no observation code.
  In: what the robot measures, {inputs}.
  Out: target [rad] to send to the joints in the order of policy.json's joint_names, and action, to be given back as last_action.
  Feed last_action of zeros at the start and frame 0, 1, 2, ... at {rate:g} Hz. The clip is inside.
{goal}  The torque law, its gains and limits are in policy.json: conventions.torque, kp, kd, effort, joint_lower, joint_upper.
  target is not bounded: a policy may aim beyond a joint's limit to ask for torque. Whoever bounds it must give that back:
    sent = clip(target, joint_lower, joint_upper), extra = kp (target - sent)
    torque = clip(kp (sent - q) - kd qdot + extra, -effort, effort)

policy.onnx: for small engines, and for those with observation code of their own.
  In: obs (batch, {size}). Out: actions (batch, {joints}). A plain MLP; the normalizer is inside.
  The layout of obs is policy.json's observation, the way from actions to targets its action_formula.
  The reference frames and prior_targets are in policy.npz.
  test_vectors.npz has 'obs', 'action' and 'target' of the same steps, to check each stage.

policy_ros.onnx: for the ROS 2 motion_tracking_controller and what reads the same contract.
  In: obs (1, {size}) and time_step (1, 1). Out: actions, joint_pos, joint_vel and the bodies' reference poses.
  Its metadata hold joint names, gains, default pose, action scale and body names.
  Its actions mean target = default_joint_pos + action_scale * actions.
  It is absent if the policy observes what that contract does not know.

{runtime}policy.xml, policy.npz: for simulation. The robot as it was trained, and the clip at the control rate.
  policy.xml is MJCF and needs no other file; its actuators are the torque law of policy.json.
  policy.npz: qpos, qvel, and xpos, xquat, xlinvel, xangvel of body_names, by frame; prior_targets [rad], by frame.
  `mimic play policy.onnx` runs the policy in it.
  Source of the clip: {source}. Licence: {licence}.

test_vectors.npz: for whoever rewrites any of this. {steps} steps of a simulated run, one array per input and output.
  Names and shapes are those of raw.onnx's inputs and outputs, with a leading axis of steps; obs is policy.onnx's input.
  Stored without compression, so that a few lines of any language read it.
  Equal actions to 1e-5 mean equal code. An example in C++ is in mimic/deploy/cpp.
  `history` and `first` are there if the policy observes its past.
"""


RUNTIME = """policy.py: for those who drive the robot from Python. It needs numpy and onnxruntime, nothing of Mimic.
  It reads this folder, reorders joints, builds the observation and steps the network.
  It bounds targets to the joint limits, adds the extra torque, starts gently, and stops safely when something is wrong.
  It is a copy of mimic/deploy/policy.py of the version that made this bundle.

"""


def write_bundle(
    layers: Layers,
    mean: np.ndarray,
    std: np.ndarray,
    config: Config,
    robot: Robot,
    motion: Motion,
    folder: Path,
    provenance: dict[str, str] | None = None,
    shown: Shown | None = None,
) -> list[Path]:
    """Write the bundle into `folder`, over an older one if there is; returns its files. Arguments as of `export_policy`.

    Raises `InputError` where the folder cannot be written or holds anything that is not a bundle.
    """
    require_bundle_folder(folder)
    for old in folder.iterdir():
        old.unlink()
    paths = {key: folder / name for key, name in FILES.items()}
    network = export_policy(layers, mean, std, config, robot, motion, paths["network"], provenance, shown)
    policy = Policy.load(network)
    clip = policy.reference(policy.motion)
    metadata = {"mimic": json.dumps(_without_files(policy.spec))}
    raw = raw_model(onnx.load(network), policy.spec, policy.body, clip, policy.priors(clip), metadata)
    onnx.save(raw, paths["raw"])
    if not ros_obstacle(config):
        export_ros_contract(layers, mean, std, config, robot, policy.motion, paths["ros"], provenance)
    recorded = network.with_suffix(".test_vectors.npz")
    with np.load(recorded) as data:
        vectors = raw_vectors(policy.spec, dict(data))
    recorded.unlink()
    np.savez(paths["test_vectors"], **vectors)
    if "runtime" not in optional(policy.spec):
        shutil.copyfile(runtime.__file__, paths["runtime"])
    paths["schema"].write_text(json.dumps(policy_schema(), indent=1) + "\n")
    paths["readme"].write_text(_readme(policy.spec, raw, len(vectors["frame"])))
    written = {key: path for key, path in paths.items() if path.is_file()}
    files: dict[str, SideFile] = {key: side_file(path) for key, path in written.items()}
    write_spec(replace(policy.spec, files=files), folder / SPEC)
    return [folder / SPEC, *written.values()]


def raw_vectors(spec: PolicySpec, vectors: dict[str, np.ndarray]) -> dict[str, Any]:
    """The test vectors of an export by the names of raw.onnx's inputs and outputs; leading axis of steps S.

    The history of a step is the part of its observation that lies in the past.
    """
    qpos, qvel, obs = (vectors[name].astype(np.float32) for name in ("qpos", "qvel", "obs"))
    named = {
        "frame": vectors["frame"].astype(np.int64), "joint_pos": qpos[:, 7:], "joint_vel": qvel[:, 6:],
        "root_quat": qpos[:, 3:7], "root_angvel": qvel[:, 3:6], "root_pos": qpos[:, :3], "root_linvel": qvel[:, :3],
    }  # fmt: skip
    past = min((term.start for term in spec.observation if term.steps_ago), default=spec.observation_size)
    if past < spec.observation_size:
        named |= {"history": obs[:, past:], "first": vectors["frame"] == 0}
    numbers = ("last_action", "action", "target", *(["goal"] if "goal" in vectors else []))
    named |= {name: vectors[name].astype(np.float32) for name in numbers}
    return named | {"obs": obs}


def _without_files(spec: PolicySpec) -> dict:
    """What raw.onnx remembers of the spec: `check_bundle` finds by it what was changed in policy.json."""
    return {key: value for key, value in spec.to_json().items() if key != "files"}


def require_bundle_folder(folder: Path) -> None:
    """Make `folder`. Raises `InputError` when that is impossible, or it holds anything that no bundle has."""
    if folder.suffix == ".onnx":
        raise InputError(f"{folder}: a bundle is a folder, not an .onnx")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = sorted({path.name for path in folder.iterdir()} - {SPEC, *FILES.values()})
    except OSError as error:
        raise InputError(f"{folder}: cannot be made or written ({error.strerror})") from error
    if foreign:
        raise InputError(f"{folder}: holds {', '.join(foreign[:3])}, which no bundle has; give a new folder")


def _readme(spec: PolicySpec, raw: onnx.ModelProto, steps: int) -> str:
    return README.format(
        robot=spec.robot,
        what=f"that tracks {spec.motion.name}" if spec.follow else f"that moves as {spec.motion.name} and follows nothing",
        goal=""
        if spec.goal is None
        else f"  goal, what it is told: {'; '.join(spec.goal.numbers)}. More in policy.json's goal.\n",
        runtime="" if "runtime" in optional(spec) else RUNTIME,
        inputs=", ".join(value.name for value in raw.graph.input),
        rate=1.0 / spec.ctrl_dt,
        size=spec.observation_size,
        joints=len(spec.joint_names),
        source=spec.motion.source or "not said",
        licence=spec.motion.licence or "not said",
        steps=steps,
    )
