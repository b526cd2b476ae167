"""How a policy that follows no clip is measured: robots let loose in plain C MuJoCo, told what to do where they can be told.

Each starts at another moment of the clips. No JAX: what is measured is an exported policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mimic.arguments import paper
from mimic.deploy.sim2sim import Link, Policy, track
from mimic.deploy.simulation import OTHER_SIMULATOR, Simulation, other_simulator, substeps
from mimic.evaluation.alignment import aligned_error
from mimic.evaluation.points import points_row
from mimic.mdp.goals import KINDS
from mimic.mdp.style import (
    SETTLING_S,
    Clusters,
    StyleLayout,
    coverage,
    make_clusters,
    shares_of,
    some_of,
    speed_distance,
    style_features,
    visited,
)
from mimic.mdp.styles import style_names, style_of
from mimic.mdp.terminations import fallen
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.motion import Motion

SECONDS, ROBOTS = 20.0, 16
COMMANDS_S = 3.0  # each robot is told something else this often
Row = dict[str, Any]


@dataclass(frozen=True)
class Roaming:
    """What robots did that were let loose: `row` as trained, `sim2sim` in another simulator, if asked; states (T + 1, B, ...),
    joint targets (T, B, J) [rad] and goals (T, B, G) of the first."""

    row: Row
    sim2sim: Row | None
    states: KinematicState = field(repr=False)
    targets: np.ndarray = field(repr=False)
    goals: np.ndarray | None = field(repr=False)
    upright: np.ndarray = field(repr=False)
    """How many states (B,) each of them stood."""
    n_env_steps: int | None = None
    """As `mimic.evaluation.whole_clips` gives it."""

    def to_json(self) -> Row:
        again = {} if self.sim2sim is None else {"sim2sim": {"simulator": OTHER_SIMULATOR, "free": self.sim2sim}}
        return {"free": self.row, "n_env_steps": self.n_env_steps} | again


class Teller:
    """Random goals as in training, each robot's own, new ones every `COMMANDS_S`."""

    def __init__(self, policy: Policy, seed: int) -> None:
        told = policy.spec.goal
        assert told is not None
        self.kind, self.terms = KINDS[told.kind], policy.goals
        self.rng, self.every = np.random.default_rng(seed), round(COMMANDS_S / policy.spec.ctrl_dt)
        self.step, self.goal, self.told = 0, np.zeros(0), []

    def __call__(self, state: KinematicState) -> np.ndarray:
        if self.step % self.every == 0:
            u = self.rng.uniform(-1.0, 1.0, (len(state.qpos), 4)).astype(np.float32)
            self.goal = self.kind.draw(u, state, self.terms)
        self.step += 1
        self.told.append(self.goal)
        return self.goal


def roam(
    policy: Policy, motions: Sequence[Motion] | None = None, *, seed: int = 0, seconds: float = SECONDS, again: bool = True
) -> Roaming:
    """Let `ROBOTS` of `policy` loose for `seconds`, begun at moments of `motions` (its own clip by default); and `again` in
    another simulator.

    Raises `InputError` for a policy that follows its clip.
    """
    if policy.spec.follow:
        raise InputError("the policy follows its clip: mimic evaluate measures it along that")
    motions = motions or [policy.motion]
    clips = [policy.reference(motion) for motion in motions]
    told = policy.spec.goal
    styles = style_of(told.styles, [motion.name for motion in motions]) if told is not None and told.styles else None
    row, states, targets, goals = _loose(policy, clips, policy.model, seed, seconds, styles)
    other = _loose(policy, clips, other_simulator(policy.model), seed, seconds, styles)[0] if again else None
    return Roaming(row, other, states, targets, goals, stood(policy, states), policy.spec.env_steps)


def _loose(
    policy: Policy, clips: Sequence[KinematicState], model: Any, seed: int, seconds: float, styles: np.ndarray | None
) -> tuple[Row, KinematicState, np.ndarray, np.ndarray | None]:
    frames = KinematicState(*(np.concatenate(parts) for parts in zip(*clips, strict=True)))
    begins = np.linspace(0, len(frames.qpos) - 1, ROBOTS).astype(int)
    simulation = Simulation(model, policy.tracked_ids, frames.qpos[begins], frames.qvel[begins], policy.spec.curve)
    steps = round(seconds / policy.spec.ctrl_dt)
    teller = None if policy.spec.goal is None else Teller(policy, seed)
    link = Link(simulation, substeps(model, policy.spec.ctrl_dt))
    states, targets = [simulation.state()], []
    for step in track(policy, clips[0], link, steps, teller):
        states.append(step.state)
        targets.append(step.target)
    run = KinematicState(*(np.stack(parts) for parts in zip(*states, strict=True)))
    goals = None if teller is None else np.stack(teller.told)
    return measure(policy, run, frames, clips, goals, styles), run, np.stack(targets), goals


def stood(policy: Policy, run: KinematicState) -> np.ndarray:
    """How many of the states (T + 1, B, ...) each robot stood before it fell; (B,). Of one robot's (T + 1, ...): ()."""
    spec = policy.spec
    lowest = np.array(spec.lowest)
    down = np.asarray(fallen(run, run, spec.anchor, spec.end_effector_indices, spec.termination, lowest=lowest))
    return np.where(down.any(axis=0), down.argmax(axis=0), len(down))


def measure(
    policy: Policy,
    run: KinematicState,
    frames: KinematicState,
    clips: Sequence[KinematicState],
    goals: np.ndarray | None,
    styles: np.ndarray | None = None,
) -> Row:
    """What robots did, states (T + 1, B, ...), held against all the clips' frames (N, ...).

    stood: share of the robots that never fell. fallen_s: seconds until they did, or the whole, in the mean. pose_error_m: of
    where they stood, aligned in time with the clip that is nearest. coverage, speed_distance_m_s: of these clips, as
    `mimic.mdp.style` has them. styles (C,): which of those that a robot is told each clip shows, where it is told one; then
    coverage is the mean of that of each style, of what the robot did told that, and as_told says how much of the time it moved
    as told. Half a second after it was told another one these begin to count.
    """
    spec, states, upright = policy.spec, len(run.qpos), stood(policy, run)
    settling = round(SETTLING_S / spec.ctrl_dt)
    stretches = [_robot(run, i, slice(settling, int(end))) for i, end in enumerate(upright) if end > settling]
    layout = StyleLayout(policy.body, spec.end_effector_indices)
    some = some_of(len(frames.qpos))
    shown = style_features(KinematicState(*(part[some] for part in frames)), layout)
    clusters = make_clusters(shown, layout.kinds)
    alive = np.concatenate([style_features(stretch, layout) for stretch in stretches] or [shown[:0]])
    errors = [min(aligned_error(stretch, clip) for clip in clips) for stretch in stretches]
    row: Row = {
        "robots": len(upright),
        "seconds": (states - 1) * spec.ctrl_dt,
        "stood": float(np.mean(upright == states)),
        "fallen_s": float(np.minimum(upright, states - 1).mean() * spec.ctrl_dt),
        "pose_error_m": float(np.mean(errors)) if errors else None,
        "coverage": float(coverage(clusters, visited(clusters, alive).sum(axis=0))),
        "speed_distance_m_s": float(speed_distance(clusters, alive)) if len(alive) else None,
    }
    if styles is not None and goals is not None:
        numbers = np.repeat(styles, [len(clip.qpos) for clip in clips])[some]
        row |= _of_styles(policy, run, goals, upright, clusters, shares_of(clusters, shown, numbers, policy.goals.styles))
    elif goals is not None and spec.goal is not None:
        after = KinematicState(*(part[1:] for part in run))
        kind, up = KINDS[spec.goal.kind], np.arange(1, states)[:, None] < upright
        paid = np.where(up, kind.reward(goals, after, policy.goals), 0.0)
        row[f"{spec.goal.kind}_return"] = float(paid.mean())
        if kind.velocity:
            slow = np.maximum(0.0, np.linalg.norm(goals, axis=-1) - _along(goals, after))
            easy = np.where(up, np.exp(-2.5 * slow**2), 0.0)
            row["heading_return_deepmimic"] = float(easy.mean())
        row |= points_row(policy, goals, after, up)
    return row


def _of_styles(
    policy: Policy, run: KinematicState, goals: np.ndarray, upright: np.ndarray, clusters: Clusters, shares: np.ndarray
) -> Row:
    """Of robots told goals (T, B, S), upright for so many of their states (B,): how much of each style they do when they are told
    it, None where no clip shows it; and how much of the time they are where that one is shown rather than another."""
    settling, steps = round(SETTLING_S / policy.spec.ctrl_dt), np.arange(len(goals))
    changed = np.concatenate([np.zeros_like(goals[:1, :, 0], bool), (np.diff(goals, axis=0) != 0).any(axis=-1)])
    since = steps[:, None] - np.maximum.accumulate(np.where(changed, steps[:, None], 0), axis=0)
    counted = (since >= settling) & (steps[:, None] + 1 < upright)
    layout = StyleLayout(policy.body, policy.spec.end_effector_indices)
    inside = visited(clusters, style_features(KinematicState(*(part[1:][counted] for part in run)), layout))
    told, there = goals[counted], shares.sum(axis=1) > 0  # (M, S), (S,)
    found = [
        float(coverage(clusters._replace(share=share), told[:, i] @ inside)) if there[i] else None
        for i, share in enumerate(shares)
    ]
    assert policy.spec.goal is not None
    row: Row = {f"coverage_{name}": value for name, value in zip(style_names(policy.spec.goal.styles), found, strict=True)}
    if there.all():
        own = shares / np.maximum(shares.sum(axis=0), 1e-9)  # of each cluster, how much of each style (S, C)
        row["coverage"] = float(np.mean([value for value in found if value is not None]))
        row["as_told"] = float(np.mean(np.sum((inside[:, :-1] @ own.T) * told, axis=1))) if len(told) else 0.0
    return row


def _along(goals: np.ndarray, after: KinematicState) -> np.ndarray:
    """The root's velocity along the direction wanted [m/s]; (T, B)."""
    return np.sum(goals * after.qvel[..., :2], axis=-1) / np.maximum(np.linalg.norm(goals, axis=-1), 1e-6)


def _robot(run: KinematicState, index: int, part: slice) -> KinematicState:
    return KinematicState(*(column[part, index] for column in run))


def print_roaming(roaming: Roaming, console: Console | None = None) -> None:
    """The numbers for people, as trained and in another simulator side by side."""
    console = console or paper()
    table = Table(box=SIMPLE_HEAD, show_edge=False, title=f"{roaming.row['robots']} robots let loose", title_justify="left")
    for header in ("", "as trained", "another simulator"):
        table.add_column(header, justify="left" if not header else "right", no_wrap=bool(header))
    for name, value in roaming.row.items():
        if name != "robots":
            table.add_row(name, _number(value), _number(None if roaming.sim2sim is None else roaming.sim2sim[name]))
    console.print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
