"""`PolicySpec`: everything a deployer needs beside the network, and its JSON file.

No JAX here: this module is part of the runtime.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mimic.config import ActionConfig, SimConfig, TerminationConfig, from_dict, to_dict
from motions.errors import InputError

SCHEMA = 1
KIND = "mimic policy"
CONVENTIONS = {
    "units": "SI, radians",
    "axes": "right-handed, world z up",
    "quaternions": "wxyz",
    "rotation_6d": "first two columns of the rotation matrix, flattened row by row: m00 m01 m10 m11 m20 m21",
    "qpos": "root x y z, root quaternion wxyz, joints in the order of joint_names",
    "qvel": "root linear velocity in the world, root angular velocity in the root's own frame, joints",
    "frames": "a body frame is that body's origin and axes in the MJCF, not its inertial frame",
    "torque": "clip(kp (target - q) - kd qdot, -effort, effort), at every physics step",
    "clamps": "in this order: the normalized observation to +-observation_clip, in the network; the action is not bounded; the "
    "target is not bounded by the graphs, and may lie beyond joint_lower and joint_upper to ask for torque: a robot is sent the "
    "target bounded to them, and kp times the rest as torque; the whole torque is bounded to +-effort, in the actuator",
    "history": "obs holds the terms of now, then for k = 1, 2, ... those with steps_ago = k, as they were k control steps ago; "
    "before the first step: as at the first step, the last action being zero",
    "cursor": "at frame f: observe the reference at f, aim at frame f + 1, hold the target for one control step, then f + 1; "
    "beyond the last frame the last frame stays",
    "last_action": "the network's own output of the step before, zero at the start",
}
FORMULAS = {
    ("reference", "none"): "target = q_ref(f+1) + scale * action",
    ("reference", "velocity"): "target = q_ref(f+1) + (kd/kp) qdot_ref(f+1) + scale * action",
    ("reference", "dynamics"): "target = q_ref(f+1) + (kd/kp) qdot_ref(f+1) + tau_ref(f+1)/kp + scale * action",
} | {("default", name): "target = default_joints + scale * action" for name in ("none", "velocity", "dynamics")}


@dataclass(frozen=True)
class ObservationTerm:
    """One part of the observation vector: obs[start : start + size]. `meaning` gives its frame and unit; the term is shown as it
    was `steps_ago` control steps ago (as at the start, where that is before it)."""

    name: str
    start: int
    size: int
    meaning: str
    steps_ago: int = 0


@dataclass(frozen=True)
class ChainLink:
    """A step from one frame to the next: move by `pos`, turn by `quat`, then turn by the joint's position about `axis`."""

    pos: tuple[float, ...]
    """[m]"""
    quat: tuple[float, ...]
    """wxyz"""
    joint: int | None
    """Index in `joint_names`; null: the step is fixed."""
    axis: tuple[float, ...]
    """Unit vector in the frame reached by pos and quat; zero if fixed."""


@dataclass(frozen=True)
class MotionInfo:
    """The reference clip that the policy carries, at the control rate."""

    name: str
    frames: int
    loop: bool
    source: str
    licence: str


@dataclass(frozen=True)
class GoalInfo:
    """What the policy is told to do: the input "goal" of its observation, which the term of the same name shows it."""

    kind: str
    numbers: tuple[str, ...]
    """What the goal's numbers are, each with its unit."""
    speed: tuple[float, float]
    """Of heading: slowest and fastest it was trained for [m/s]."""
    turn: float
    """Of heading: largest angle between what it was told in training and where it faced then; of strike: between the target and
    where the clip strikes; of reach: between straight ahead and the way from the shoulder to the point [rad]."""
    distance: tuple[float, float]
    """Of location: how far away it was told to go in training; of strike: how far from over the root the target was [m]."""
    height: tuple[float, float] = (0.0, 0.0)
    """Of strike: how high the target was in training [m]."""
    effector: str | None = field(default=None, metadata={"was": "striker"})
    """Of strike: the tracked body that hits the target; of reach: the one whose point `tip` is brought somewhere."""
    tip: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """In that body's frame [m]."""
    shoulder: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of reach: where its limb begins, from the root in the root's heading frame [m]."""
    reach: tuple[float, float] = (0.0, 0.0)
    """Of reach: how far from there the points were in training [m]."""
    styles: tuple[str, ...] = ()
    """Of style: those there are, each LABEL or LABEL=PART, as the training's clips show them by their names."""


@dataclass(frozen=True)
class SideFile:
    """A file that belongs to the policy and lies beside it."""

    name: str
    sha256: str


@dataclass(frozen=True)
class PolicySpec:
    """All a deployer must know. Per-joint tuples are in the order of `joint_names`; written to JSON at full precision."""

    robot: str
    joint_names: tuple[str, ...]
    kp: tuple[float, ...]
    """[N m/rad]"""
    kd: tuple[float, ...]
    """[N m s/rad]"""
    effort: tuple[float, ...]
    """[N m]"""
    default_joints: tuple[float, ...]
    """[rad]"""
    action: ActionConfig
    action_scale: tuple[float, ...]
    """Target offset of an action of one [rad]."""
    sim: SimConfig
    """Physics step, substeps and contacts of the training; the model file holds the rest."""
    observation: tuple[ObservationTerm, ...]
    observation_clip: float
    """Bound on the normalized observation; the network applies it, as it does the normalization."""
    future_frames: tuple[int, ...]
    tracked_bodies: tuple[str, ...]
    anchor_body: str
    end_effectors: tuple[str, ...]
    termination: TerminationConfig
    motion: MotionInfo
    joint_lower: tuple[float | None, ...] = ()
    """[rad]; null: no limit. Empty in files of before these limits were written."""
    joint_upper: tuple[float | None, ...] = ()
    """[rad]; as joint_lower."""
    velocity_limit: tuple[float | None, ...] = ()
    """[rad/s] no-load speeds of the motors, where `sim.actuator` is "motor": from corner_velocity up to them the effort falls
    linearly to 0; null: not known, the effort does not fall."""
    corner_velocity: tuple[float | None, ...] = ()
    """[rad/s]; as velocity_limit."""
    anchor_chain: tuple[ChainLink, ...] = ()
    """From the root's frame to the anchor body's: the torso's orientation is the root's, turned by these links in order."""
    files: dict[str, SideFile] = field(default_factory=dict)
    """network, model (MJCF), motion (npz); in a bundle, every other file too."""
    follow: bool = True
    """Whether it tracks the clip; else the clip is what it was shown, and where it may start."""
    goal: GoalInfo | None = None
    """null: it is told nothing."""
    lowest: tuple[float, ...] = ()
    """Of a policy that follows no clip: the least height of each tracked body in the clips it was shown [m]; what is lower by
    termination.below_clips has fallen."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Preset, versions, git commit."""

    @property
    def env_steps(self) -> int | None:
        """Control steps it was trained with; None: not known."""
        return int(self.provenance["env_steps"]) if "env_steps" in self.provenance else None

    @property
    def curve(self) -> tuple[np.ndarray, np.ndarray] | None:
        """No-load and corner speeds (J,) [rad/s] of the motors, inf where not known; None for actuators without a curve."""
        if self.sim.actuator != "motor":
            return None
        columns = (self.velocity_limit, self.corner_velocity)
        return tuple(np.array([np.inf if speed is None else speed for speed in column]) for column in columns)  # type: ignore[return-value]

    @property
    def ctrl_dt(self) -> float:
        return self.sim.ctrl_dt

    @property
    def observation_size(self) -> int:
        return sum(term.size for term in self.observation)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the observation's terms of the present."""
        return tuple(term.name for term in self.observation if term.steps_ago == 0)

    @property
    def history(self) -> int:
        """How many past control steps the observation shows."""
        return max((term.steps_ago for term in self.observation), default=0)

    @property
    def history_terms(self) -> tuple[str, ...]:
        """Names of the terms of each past step."""
        return tuple(term.name for term in self.observation if term.steps_ago == 1)

    @property
    def anchor(self) -> int:
        """Index of the anchor among the tracked bodies."""
        return self.tracked_bodies.index(self.anchor_body)

    @property
    def end_effector_indices(self) -> tuple[int, ...]:
        return tuple(self.tracked_bodies.index(name) for name in self.end_effectors)

    def to_json(self) -> dict[str, Any]:
        """The JSON tree. Besides the fields: what follows from them, in words and numbers, for readers of the file."""
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "control_rate_hz": 1.0 / self.ctrl_dt,
            "physics_rate_hz": 1.0 / self.sim.sim_dt,
            "action_formula": FORMULAS[self.action.prior, self.action.feed_forward],
            "observation_size": self.observation_size,
            "conventions": CONVENTIONS,
            **to_dict(self),
        }


_DERIVED = ("kind", "schema", "control_rate_hz", "physics_rate_hz", "action_formula", "observation_size", "conventions")


def write_spec(spec: PolicySpec, path: Path) -> None:
    path.write_text(json.dumps(spec.to_json(), indent=1, ensure_ascii=False) + "\n")


def read_spec(path: Path) -> PolicySpec:
    """Read and check a spec file. Raises `InputError` when it is missing, truncated, newer, or contradicts itself."""
    try:
        table = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); a policy is an .onnx with its .json beside it") from error
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); is the file whole?") from error
    if not isinstance(table, dict) or table.get("kind") != KIND:
        raise InputError(f"{path}: not a policy spec: expected a table with kind = {KIND!r}")
    if not isinstance(table.get("schema"), int) or table["schema"] > SCHEMA:
        raise InputError(f"{path}: schema {table.get('schema')!r}, this version reads up to {SCHEMA}")
    return _build({key: value for key, value in table.items() if key not in _DERIVED}, str(path))


def _build(table: dict[str, Any], where: str) -> PolicySpec:
    try:
        terms = tuple(from_dict(ObservationTerm, t, f"{where}: observation") for t in table["observation"])
        chain = tuple(from_dict(ChainLink, t, f"{where}: anchor_chain") for t in table.get("anchor_chain", ()))
        goal = table.get("goal")
        goal = None if goal is None else from_dict(GoalInfo, goal, f"{where}: goal")
        files = {key: from_dict(SideFile, f, f"{where}: files") for key, f in table["files"].items()}
        spec: PolicySpec = from_dict(
            PolicySpec, table | {"observation": terms, "anchor_chain": chain, "files": files, "goal": goal}, where
        )
        _check(spec, where)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{where}: a policy spec lacks or mistypes something: {type(error).__name__} {error}") from error
    return spec


def _check(spec: PolicySpec, where: str) -> None:
    joints = len(spec.joint_names)
    for name in ("kp", "kd", "effort", "default_joints", "action_scale"):
        values = getattr(spec, name)
        if len(values) != joints or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
            raise InputError(f"{where}: {name} must hold {joints} finite numbers, one per joint")
    for name in ("joint_lower", "joint_upper"):
        values = getattr(spec, name)
        if values and (len(values) != joints or not all(v is None or isinstance(v, int | float) for v in values)):
            raise InputError(f"{where}: {name} must hold {joints} numbers or nulls, one per joint")
    for name, low, high in zip(spec.joint_names, spec.joint_lower, spec.joint_upper):
        if low is not None and high is not None and not low < high:
            raise InputError(f"{where}: joint {name}: joint_lower {low} is not below joint_upper {high}")
    for link in spec.anchor_chain:
        if link.joint is not None and not 0 <= link.joint < joints:
            raise InputError(f"{where}: anchor_chain names joint {link.joint}; there are {joints}")
    for name in ("velocity_limit", "corner_velocity"):
        if len(getattr(spec, name)) != (joints if spec.sim.actuator == "motor" else 0):
            raise InputError(f"{where}: {name} must hold {joints} numbers or nulls if sim.actuator is motor, else none")
    if not (spec.sim.sim_dt > 0 and spec.sim.n_substeps > 0):
        raise InputError(f"{where}: sim_dt and n_substeps must be above 0")
    if (spec.action.prior, spec.action.feed_forward) not in FORMULAS:
        raise InputError(f"{where}: action prior {spec.action.prior!r}, expected reference or default")
    starts = [0]
    for term in spec.observation:
        if term.start != starts[-1]:
            raise InputError(f"{where}: observation term {term.name!r} starts at {term.start}, expected {starts[-1]}")
        starts.append(term.start + term.size)
    past = tuple((name, ago) for ago in range(1, spec.history + 1) for name in spec.history_terms)
    if tuple((term.name, term.steps_ago) for term in spec.observation) != tuple((name, 0) for name in spec.terms) + past:
        raise InputError(f"{where}: observation terms must be those of now, then the same ones for each past step")
    if len(spec.lowest) != (0 if spec.follow else len(spec.tracked_bodies)):
        raise InputError(f"{where}: lowest must hold a height for each tracked body of a policy that follows no clip, else none")
    for name in (spec.anchor_body, *spec.end_effectors):
        if name not in spec.tracked_bodies:
            raise InputError(f"{where}: body {name!r} is not one of the tracked: {', '.join(spec.tracked_bodies)}")
    missing = {"network", "model", "motion"} - spec.files.keys()
    if missing:
        raise InputError(f"{where}: files lacks {', '.join(sorted(missing))}")


def side_file(path: Path) -> SideFile:
    """A `SideFile` of what is on disk now."""
    return SideFile(path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def require_side_file(folder: Path, expected: SideFile) -> Path:
    """The path of a file beside the policy. Raises `InputError` when it is missing or not the one that was exported."""
    path = folder / expected.name
    if not path.is_file():
        raise InputError(f"{path}: missing; the policy needs it beside it (export again, or copy all files of the export)")
    if side_file(path) != expected:
        raise InputError(f"{path}: not the file that was exported with this policy (checksum differs); is it whole? Export again")
    return path
