"""`mimic play --command FILE`: a policy that can be told what to do, driven by a file. Plain MuJoCo, no JAX."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mimic.deploy.sim2sim import Link, Policy, track
from mimic.deploy.simulation import Simulation, substeps
from mimic.deploy.spec import GoalInfo
from mimic.evaluation.roam import stood
from mimic.mdp.goals import KINDS
from mimic.mdp.styles import style_names, told_style
from motions.edit import reset_origin
from motions.errors import InputError
from motions.kinematics import KinematicState

REST_S = 3.0  # [s] that the last command is given
SLACK_M_S = 0.05  # [m/s] of what was trained for: a speed of one decimal is not beyond it for the second


@dataclass(frozen=True)
class Script:
    """What a robot is told when: times (N,) [s], rising from 0, and goals (N, G), each until the next one's time."""

    times: np.ndarray
    goals: np.ndarray

    def at(self, time: float) -> np.ndarray:
        """The goal (G,) at `time` [s]."""
        return self.goals[max(0, int(np.searchsorted(self.times, time + 1e-9, side="right")) - 1)]


@dataclass(frozen=True)
class Drive:
    """What became of a script: states (T + 1, ...), the goals told (T, G), what was done about them (T, n), of a style the
    velocity over the ground, and the first state of a fall, None: it stood to the end."""

    states: KinematicState
    goals: np.ndarray
    done: np.ndarray
    ctrl_dt: float
    fell: int | None

    @property
    def fell_s(self) -> float | None:
        """When it fell [s]."""
        return None if self.fell is None else self.fell * self.ctrl_dt


def read_script(path: Path, kind: str, styles: Sequence[str] = ()) -> Script:
    """A CSV with a header: time_s and the kind's `columns`; directions count from world x towards y, a style is the name of one
    of `styles`. Raises `InputError` that names the line for anything else."""
    columns = ("time_s", *KINDS[kind].columns)
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if not rows or any(column not in rows[0] for column in columns):
        raise InputError(f"{path}: expected a CSV with the columns {', '.join(columns)}: the policy's goal is {kind}")
    names = [row.get("style") or "" for row in rows] if kind == "style" else []
    columns = columns[:1] if names else columns
    values = np.empty((len(rows), len(columns)))
    for number, row in enumerate(rows, start=1):
        try:
            values[number - 1] = [float(row[column]) for column in columns]
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: row {number}: {error}; expected numbers under {', '.join(columns)}") from error
    if not np.isfinite(values).all():
        raise InputError(f"{path}: every number must be finite")
    times = values[:, 0]
    if times[0] != 0 or (np.diff(times) <= 0).any():
        raise InputError(f"{path}: time_s must begin with 0 and rise from row to row")
    goals = np.stack([_styled(path, number, name, styles) for number, name in enumerate(names, 1)]) if names else values[:, 1:]
    if KINDS[kind].velocity:
        angle = np.radians(goals[:, 1])
        goals = goals[:, :1] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Script(times, goals.astype(np.float32))


def _styled(path: Path, number: int, name: str, styles: Sequence[str]) -> np.ndarray:
    try:
        return told_style(styles, name.strip())
    except InputError as error:
        raise InputError(f"{path}: row {number}: {error}") from error


def drive(policy: Policy, script: Script) -> Drive:
    """Run `policy` by `script`, from its clip's first frame turned to face along x. It goes on after a fall: that is seen."""
    clip = policy.reference(reset_origin(policy.motion))
    simulation = Simulation(policy.model, policy.tracked_ids, clip.qpos[:1], clip.qvel[:1], policy.spec.curve)
    link = Link(simulation, substeps(policy.model, policy.spec.ctrl_dt))
    told: list[np.ndarray] = []

    def tell(_: KinematicState) -> np.ndarray:
        told.append(script.at(len(told) * policy.spec.ctrl_dt))
        return told[-1][None]

    steps = round((script.times[-1] + REST_S) / policy.spec.ctrl_dt)
    states = [simulation.state(), *(step.state for step in track(policy, clip, link, steps, tell))]
    run = KinematicState(*(np.concatenate(parts) for parts in zip(*states, strict=True)))
    spec, upright = policy.spec, int(stood(policy, run))
    assert spec.goal is not None
    kind, after = KINDS[spec.goal.kind], KinematicState(*(part[1:] for part in run))
    done = after.qvel[:, :2] if kind.done is None else kind.done(after, policy.goals)
    return Drive(run, np.stack(told), done, spec.ctrl_dt, upright if upright < len(run.qpos) else None)


def responses(found: Drive, kind: str, styles: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One row for each stretch between two commands: what was asked, and what came of it in its second half; of a place, how far
    from it the robot was at its end; of one of `styles`, how fast it went. Nothing counts from a fall on: None where nothing is
    left."""
    change = np.flatnonzero((np.diff(found.goals, axis=0) != 0).any(axis=1)) + 1
    upright = len(found.goals) if found.fell is None else max(found.fell - 1, 0)  # a step's outcome is the state after it
    rows = []
    for start, end in zip([0, *change], [*change, len(found.goals)], strict=True):
        late = found.done[(start + end) // 2 : min(end, upright)]
        goal = found.goals[start]
        row: dict[str, Any] = {"from_s": start * found.ctrl_dt, "to_s": end * found.ctrl_dt}
        velocity = late.mean(axis=0) if len(late) else None
        speed = None if velocity is None else _length(velocity[:2])
        if kind == "style":
            row |= {"style": style_names(styles)[int(np.argmax(goal))], "speed": speed}
        elif KINDS[kind].velocity:
            row |= {"speed_asked": _length(goal), "speed": speed}
            row |= {"direction_asked_deg": _degrees(goal), "direction_deg": None if velocity is None else _degrees(velocity)}
        else:
            row |= {"distance_m": _length(found.done[end - 1] - goal) if end <= upright else None}
        rows.append(row)
    return rows


def beyond_training(goals: np.ndarray, goal: GoalInfo) -> str | None:
    """In words: that speeds among `goals` (N, 2) are not those that a policy told a velocity was trained for; None: they are."""
    if goal.kind != "heading":
        return None
    slowest, fastest = goal.speed
    asked = np.linalg.norm(goals, axis=1)
    strange = asked[(asked < slowest - SLACK_M_S) | (asked > fastest + SLACK_M_S)]
    if not len(strange):
        return None
    speeds = ", ".join(f"{speed:g}" for speed in dict.fromkeys(np.round(strange, 2).tolist()))
    return f"asked for {speeds} m/s, but trained for {slowest:.2f} to {fastest:.2f} m/s: what comes of the others is chance"


def _length(vector: np.ndarray) -> float:
    return float(np.linalg.norm(vector))


def _degrees(vector: np.ndarray) -> float:
    return float(np.degrees(np.arctan2(vector[1], vector[0])))
