"""How near robots came to the places they were told to reach, point by point. Numpy only."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from mimic.deploy.sim2sim import Policy, Rollout
from mimic.mdp.goals import KINDS
from motions.kinematics import KinematicState

Row = dict[str, Any]


def points_row(policy: Policy, goals: np.ndarray, after: KinematicState, up: np.ndarray | None = None) -> Row:
    """Of control steps of robots side by side, or of one (T, ...): what each was told, goals (T, B, G), the states `after` it,
    and whether they were `up` (T, B), None: all the while. Nothing of a policy whose goals are no points to be reached.

    points: how many were told. reached: share of them that were come to within the kind's distance. nearest_m: how near, in the
    mean over the points told to robots that were up. held_m: how far away in the second half of the time it was told.
    """
    told = policy.spec.goal
    if told is None or KINDS[told.kind].once or KINDS[told.kind].near_m is None:
        return {}
    kind = KINDS[told.kind]
    away = np.linalg.norm(kind.away(goals, after, policy.goals), axis=-1).reshape(len(goals), -1)  # [T, B]
    up = np.ones(away.shape, bool) if up is None else up
    goals = goals.reshape(*away.shape, -1)
    nearest, held = [], []
    for robot in range(away.shape[1]):
        change = np.flatnonzero((np.diff(goals[:, robot], axis=0) != 0).any(axis=1)) + 1
        for first, end in zip([0, *change], [*change, len(goals)], strict=True):
            there, late = up[first:end, robot], slice((first + end) // 2, end)
            nearest.append(float(away[first:end, robot][there].min(initial=np.inf)))
            held += away[late, robot][up[late, robot]].tolist()
    seen = [distance for distance in nearest if np.isfinite(distance)]
    return {
        "points": len(nearest),
        "reached": float(np.mean([distance < kind.near_m for distance in nearest])),
        "nearest_m": float(np.mean(seen)) if seen else None,
        "held_m": float(np.mean(held)) if held else None,
    }


def points_of(policy: Policy, run: Rollout) -> Row:
    """Of a run along a clip, which was told what the clip does; nothing of a policy that reaches for no points."""
    if run.goals is None:
        return {}
    row = points_row(policy, run.goals, KinematicState(*(part[1:] for part in run.states)))
    return {"name": run.name} | row if row else {}


def points_table(as_trained: Sequence[Row], another: Sequence[Row]) -> Table:
    """For people: the rows of the clips, as trained and in another simulator."""
    table = Table(title="Points", title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1))
    for header in ("clip", "simulator", "points", "reached", "nearest [m]", "held [m]"):
        table.add_column(Text(header), justify="left" if header in ("clip", "simulator") else "right")
    for where, rows in (("as trained", as_trained), ("another", another)):
        for row in rows:
            near = ("-" if row[key] is None else f"{row[key]:.2f}" for key in ("nearest_m", "held_m"))
            table.add_row(Text(row["name"]), where, f"{row['points']}", f"{row['reached']:.0%}", *near)
    return table
