"""Write a trained policy so that it runs without the trainer: ONNX, spec, model, clip and test vectors.

OUT.onnx and, beside it under the same stem: .json (`PolicySpec`), .xml (MJCF), .npz (the clip at the control rate with
its reference states), .test_vectors.npz (state to observation to action to target, for whoever rewrites the runtime).
"""

import dataclasses
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import onnx

import mimic
from mimic.config import HEIGHT_RULE, Config
from mimic.deploy.chain import chain_to
from mimic.deploy.graph import Layers, policy_model, ros_model
from mimic.deploy.shown import Shown, shown_by
from mimic.deploy.sim2sim import Policy, rollout
from mimic.deploy.spec import MotionInfo, ObservationTerm, PolicySpec, side_file, write_spec
from mimic.deploy.told import goal_info
from mimic.mdp.goals import numbers_of
from mimic.mdp.limbs import Effector
from mimic.mdp.observations import TERMS, BodyLayout, Observed, observe
from mimic.mdp.priors import Prior
from mimic.robots import Robot
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.library import pack
from motions.motion import Motion, load_motion, resample, save_motion

ROS_TERMS = (
    "command", "motion_anchor_pos_b", "motion_anchor_ori_b", "base_lin_vel", "base_ang_vel", "joint_pos", "joint_vel", "actions",
)  # fmt: skip
TEST_STEPS = 200
AGREEMENT = 1e-5  # largest difference between onnxruntime and numpy that an export may have, relative above 1


def export_policy(
    layers: Layers,
    mean: np.ndarray,
    std: np.ndarray,
    config: Config,
    robot: Robot,
    motion: Motion,
    out: str | Path,
    provenance: dict[str, str] | None = None,
    shown: Shown | None = None,
) -> Path:
    """Write the policy at `out` (.onnx) and the files beside it; returns `out`.

    layers: (kernel (in, out), bias (out,)) from input to output, ELU between them. mean, std (N,): the observation's
    normalizer. provenance: more of where the policy comes from (git commit, run), for the spec. shown: what all the clips
    of the training show; None: `motion` is all. The written files are
    loaded again and run over the beginning of the clip; the network's actions there must equal a numpy evaluation of
    `layers` to 1e-5. Raises `InputError` where `out` cannot be written.
    """
    out = _checked_path(out)
    spec = make_spec(config, robot, motion, provenance, shown)
    if spec.observation_size != len(mean) or spec.observation_size != len(layers[0][0]):
        raise ValueError(f"observation of {spec.observation_size}, normalizer of {len(mean)}, first layer of {len(layers[0][0])}")
    files = {"network": out, "model": out.with_suffix(".xml"), "motion": out.with_suffix(".npz")}
    network = policy_model(layers, mean, std, spec.observation_clip, _summary(spec))
    try:
        files["model"].write_text(robot.mjcf)
        _write_motion(config, robot, motion, files["motion"])
        onnx.save(network, out)
        write_spec(
            dataclasses.replace(spec, files={key: side_file(path) for key, path in files.items()}), out.with_suffix(".json")
        )
    except OSError as error:
        raise InputError(f"{out}: cannot write the policy ({error.strerror})") from error
    _write_test_vectors(Policy.load(out), layers, mean, std, out.with_suffix(".test_vectors.npz"))
    return out


def export_ros_contract(
    layers: Layers,
    mean: np.ndarray,
    std: np.ndarray,
    config: Config,
    robot: Robot,
    motion: Motion,
    out: str | Path,
    provenance: dict[str, str] | None = None,
) -> Path:
    """Write the single-file ONNX that motion_tracking_controller (ROS 2) and lerobot read; returns `out`.

    Inputs obs (1, N), time_step (1, 1); outputs actions, joint_pos, joint_vel (1, J), body_pos_w, body_lin_vel_w,
    body_ang_vel_w (1, K, 3), body_quat_w (1, K, 4) wxyz at frame time_step, clamped to the clip. `actions` is
    (target - default_joint_pos) / action_scale. Metadata: the reader's comma-separated keys at full precision, and the
    whole spec as JSON under "mimic". Raises `InputError` when an observation term is not among those the readers know.
    """
    if reason := ros_obstacle(config):
        raise InputError(reason)
    out = _checked_path(out)
    spec = make_spec(config, robot, motion, provenance)
    clip = pack([motion], robot.body, robot.tracked_bodies, config.sim.ctrl_dt).frames
    default_joints = np.array(spec.default_joints)
    priors = Prior.of(robot, config).targets(clip.qpos, clip.qvel)
    places = {term.name: slice(term.start, term.start + term.size) for term in spec.observation}
    network = ros_model(
        layers,
        mean,
        std,
        spec.observation_clip,
        command=places["command"],
        last_action=places.get("actions"),
        priors=priors,
        default_joints=default_joints,
        action_scale=np.array(spec.action_scale),
        reference={
            "joint_pos": clip.qpos[:, 7:],
            "joint_vel": clip.qvel[:, 6:],
            "body_pos_w": clip.xpos,
            "body_quat_w": clip.xquat,
            "body_lin_vel_w": clip.xlinvel,
            "body_ang_vel_w": clip.xangvel,
        },
        metadata=_ros_metadata(spec),
    )
    try:
        onnx.save(network, out)
    except OSError as error:
        raise InputError(f"{out}: cannot write the policy ({error.strerror})") from error
    return out


def ros_obstacle(config: Config) -> str:
    """Why a policy of `config` cannot speak the ROS-side contract; empty if it can."""
    foreign = [name for name in config.observation.actor if name not in ROS_TERMS]
    if foreign:
        return f"the ROS-side contract has no observation term {', '.join(foreign)}; it knows {', '.join(ROS_TERMS)}"
    if config.observation.history:
        return "the ROS-side contract has no observation history"
    if "command" not in config.observation.actor:
        return "the ROS-side contract needs the observation term command, by which the graph knows the reference frame"
    return ""


def make_spec(
    config: Config, robot: Robot, motion: Motion, provenance: dict[str, str] | None = None, shown: Shown | None = None
) -> PolicySpec:
    """The spec of a policy of `config`; its `files` are still empty."""
    if shown is None and (not config.follow or config.goal.kind is not None):
        shown = shown_by([motion], robot, config)
    goal = None if shown is None else goal_info(config.goal, shown.goals, robot.tracked_bodies)
    clip = resample(motion, 1.0 / config.sim.ctrl_dt)
    motors = config.sim.actuator == "motor"
    return PolicySpec(
        robot=robot.name,
        joint_names=robot.joint_names,
        kp=_floats(robot.kp),
        kd=_floats(robot.kd),
        effort=_floats(robot.effort),
        default_joints=_floats(robot.default_qpos[7:]),
        action=config.action,
        action_scale=_floats(config.action.scale * robot.effort / robot.kp),
        sim=config.sim,
        observation=_observation_terms(config, robot, None if shown is None else shown.goals.effector),
        observation_clip=config.observation.clip,
        velocity_limit=_limits(robot.velocity_limit) if motors else (),
        corner_velocity=_limits(robot.corner_velocity) if motors else (),
        future_frames=config.observation.future_frames,
        tracked_bodies=robot.tracked_bodies,
        anchor_body=robot.anchor_body,
        end_effectors=robot.end_effectors,
        termination=HEIGHT_RULE if config.follow else config.termination,
        follow=config.follow,
        goal=goal,
        lowest=() if config.follow or shown is None else shown.lowest,
        motion=MotionInfo(clip.name, clip.num_frames, clip.loop, clip.source, clip.licence),
        joint_lower=_limits(robot.body.joint_range[:, 0]),
        joint_upper=_limits(robot.body.joint_range[:, 1]),
        anchor_chain=chain_to(robot.body, robot.anchor_body),
        provenance={"preset": config.preset, **_versions(), **(provenance or {})},
    )


def _observation_terms(config: Config, robot: Robot, effector: Effector | None) -> tuple[ObservationTerm, ...]:
    """Sizes by evaluating every term once, on states of halves: their quaternions are unit."""
    model, bodies, horizon = robot.model, len(robot.tracked_bodies), len(config.observation.future_frames)

    def halves(*batch: int) -> KinematicState:
        shapes = (model.nq,), (model.nv,), (bodies, 3), (bodies, 4), (bodies, 3), (bodies, 3)
        return KinematicState(*(np.full((*batch, *shape), 0.5, np.float32) for shape in shapes))

    layout = BodyLayout(robot.tracked_bodies.index(robot.anchor_body), robot.default_qpos[7:].astype(np.float32), effector)
    last, none = np.zeros(len(robot.joint_names), np.float32), np.zeros(0, np.float32)
    goal = None if config.goal.kind is None else np.zeros(len(numbers_of(config.goal.kind, config.goal.styles)), np.float32)
    nothing = Observed(halves(), halves(), halves(horizon), last, np.float32(0), np.float32(0), none, goal)
    shown = [(name, 0) for name in config.observation.actor]
    shown += [(name, ago + 1) for ago in range(config.observation.history) for name in config.observation.history_terms]
    terms, start = [], 0
    for name, ago in shown:
        size = len(observe((name,), nothing, layout))
        if size == 0 and name == "randomization":
            raise InputError(
                "the policy observes the term randomization, which no robot can know: distil it into a student first"
            )
        terms.append(ObservationTerm(name, start, size, _meaning(TERMS[name]), ago))
        start += size
    return tuple(terms)


def _meaning(term: Callable) -> str:
    """The first sentence of a term's docstring: it says what, in which frame, in which unit."""
    return (term.__doc__ or "").strip().split("\n")[0].split(";")[0].rstrip(".")


def _write_motion(config: Config, robot: Robot, motion: Motion, path: Path) -> None:
    """Our motion npz at the control rate, with the reference states, and the joint targets of an action of zero (F, J),
    added for readers that have no kinematics: those of the motion as written, which is what the runtime reads."""
    save_motion(resample(motion, 1.0 / config.sim.ctrl_dt), path)
    states = pack([load_motion(path)], robot.body, robot.tracked_bodies, config.sim.ctrl_dt).frames
    with np.load(path, allow_pickle=False) as data:
        fields = dict(data)
    fields |= {name: values for name, values in states._asdict().items() if name != "qpos"}
    priors = Prior.of(robot, config).targets(states.qpos, states.qvel)
    np.savez_compressed(path, **fields, body_names=np.array(robot.tracked_bodies), prior_targets=priors)


def _write_test_vectors(policy: Policy, layers: Layers, mean: np.ndarray, std: np.ndarray, path: Path) -> None:
    run = rollout(policy, max_steps=TEST_STEPS)
    plain = numpy_policy(layers, mean, std, policy.spec.observation_clip, run.observations)
    worst = float(np.abs(plain - run.actions).max())
    if not worst <= AGREEMENT * max(1.0, float(np.abs(plain).max())):
        raise RuntimeError(f"{path}: onnxruntime and numpy disagree by {worst:.1e}, expected at most {AGREEMENT:g}")
    steps = len(run.actions)
    told: dict[str, Any] = {} if run.goals is None else {"goal": run.goals}
    np.savez_compressed(
        path,
        frame=np.arange(steps),
        qpos=run.states.qpos[:-1],
        qvel=run.states.qvel[:-1],
        last_action=np.concatenate([np.zeros_like(run.actions[:1]), run.actions[:-1]]),
        obs=run.observations,
        action=run.actions,
        target=run.targets,
        **told,
    )


def numpy_policy(layers: Layers, mean: np.ndarray, std: np.ndarray, clip: float, obs: np.ndarray) -> np.ndarray:
    """The network in numpy at double precision: the oracle of the ONNX graph. obs (B, N) to (B, J)."""
    x = np.clip((obs.astype(np.float64) - mean) / std, -clip, clip)
    for i, (kernel, bias) in enumerate(layers):
        x = x @ kernel.astype(np.float64) + bias
        if i < len(layers) - 1:
            x = np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
    return x


def _ros_metadata(spec: PolicySpec) -> dict[str, str]:
    return {
        "joint_names": ",".join(spec.joint_names),
        "joint_stiffness": _csv(spec.kp),
        "joint_damping": _csv(spec.kd),
        "default_joint_pos": _csv(spec.default_joints),
        "command_names": "motion",
        "observation_names": ",".join(term.name for term in spec.observation),
        "action_scale": _csv(spec.action_scale),
        "anchor_body_name": spec.anchor_body,
        "body_names": ",".join(spec.tracked_bodies),
        "mimic": json.dumps(spec.to_json()),
    }


def _summary(spec: PolicySpec) -> dict[str, str]:
    return {"robot": spec.robot, "motion": spec.motion.name, "joint_names": ",".join(spec.joint_names), **spec.provenance}


def _versions() -> dict[str, str]:
    return {"mimic": mimic.__version__, "mujoco": mujoco.__version__, "onnx": version("onnx")}


def _checked_path(out: str | Path) -> Path:
    out = Path(out)
    if out.suffix != ".onnx":
        raise InputError(f"{out}: the policy file must end in .onnx")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out.parent}: cannot be made ({error.strerror})") from error
    return out


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _limits(values: np.ndarray) -> tuple[float | None, ...]:
    """None: there is none. JSON has no infinity."""
    return tuple(float(value) if np.isfinite(value) else None for value in values)


def _csv(values: tuple[float, ...]) -> str:
    return ",".join(repr(value) for value in values)
