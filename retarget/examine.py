"""What is measured of a robot's motion beside its targets: jumps, speeds, balance, parts in each other; and the checks."""

from typing import NamedTuple

import numpy as np

from motions.edit.cuts import find_cuts
from motions.motion import Motion
from retarget.overlap import overlap_depth
from retarget.rig import Rig
from retarget.stability import LONGEST_UNSTABLE_S, measure_balance
from retarget.verdict import Check, longest_run, runs_of

SELF_TOUCH_M = 0.01
# What a clip must reach to pass; the first three are the gates.
MIN_NON_FLOATING, MIN_NON_SKATING, MAX_LIMIT_VIOLATIONS = 95.0, 90.0, 0
MIN_FIDELITY, MIN_FEASIBILITY, MIN_NON_PENETRATION, MIN_NON_SELF_COLLISION = 95.0, 100.0, 97.0, 95.0


class Broken(NamedTuple):
    """In which frames which rule is broken, each (F,) bool."""

    floating: np.ndarray
    skating: np.ndarray
    outside: np.ndarray  # beyond a joint's hard limit
    sunk: np.ndarray
    unlike: np.ndarray  # a joint away from its target
    infeasible: np.ndarray  # near a limit, or fast


class Findings(NamedTuple):
    """The numbers; see `QualityReport`."""

    jumps: tuple[int, ...]
    max_joint_speed_rad_s: float
    non_self_collision: float
    worst_self_penetration_m: float
    com_support_m: float
    worst_com_support_m: float
    stable: float
    longest_unstable_s: float
    starts_and_ends_stable: bool
    self_touching: np.ndarray
    unstable: np.ndarray


def examine(motion: Motion, rig: Rig, points: dict[str, np.ndarray], xpos: np.ndarray, xquat: np.ndarray) -> Findings:
    """Measure a motion whose bodies are at `xpos`, `xquat` and whose `points` are those of `world_points`."""
    touching = overlap_depth(rig.body, motion.qpos)
    carriers = np.concatenate([points["sole"], points["guard"]], axis=1)
    bottom = carriers[..., 2] - np.concatenate([rig.sole.radius, rig.guard.radius])
    balance = measure_balance(rig.body, xpos, xquat, carriers, bottom)
    speed = np.abs(np.diff(motion.qpos[:, 7:], axis=0)) * motion.fps
    return Findings(
        jumps=tuple(cut.frame for cut in find_cuts(motion, rig.body)),
        max_joint_speed_rad_s=float(speed.max(initial=0.0)),
        non_self_collision=float(100.0 * np.mean(touching <= SELF_TOUCH_M)),
        worst_self_penetration_m=float(touching.max()),
        com_support_m=float(balance.distance_m.mean()),
        worst_com_support_m=float(balance.distance_m.max()),
        stable=float(100.0 * balance.stable.mean()),
        longest_unstable_s=longest_run(~balance.stable) / motion.fps,
        starts_and_ends_stable=bool(balance.stable[0] and balance.stable[-1]),
        self_touching=touching > SELF_TOUCH_M,
        unstable=~balance.stable,
    )


def check_all(report: dict, broken: Broken, found: Findings) -> tuple[Check, ...]:
    """Every check of the percentages in `report` (the fields of a `QualityReport`), gates first."""

    def least(name: str, key: str, bound: float, bad: np.ndarray, *, gate: bool = False) -> Check:
        return Check(name, gate, report[key], bound, True, "%", runs_of(bad))

    def most(name: str, value: float, bound: float, unit: str, bad: np.ndarray, *, gate: bool = False) -> Check:
        return Check(name, gate, float(value), bound, False, unit, runs_of(bad))

    jumps = np.zeros(len(broken.sunk), bool)
    jumps[list(found.jumps)] = True
    return (
        least("non_floating", "non_floating", MIN_NON_FLOATING, broken.floating, gate=True),
        least("non_skating", "non_skating", MIN_NON_SKATING, broken.skating, gate=True),
        most("limit_violations", report["limit_violations"], MAX_LIMIT_VIOLATIONS, "", broken.outside, gate=True),
        least("fidelity", "fidelity", MIN_FIDELITY, broken.unlike),
        least("joint_feasibility", "joint_feasibility", MIN_FEASIBILITY, broken.infeasible),
        least("non_penetration", "non_penetration", MIN_NON_PENETRATION, broken.sunk),
        least("non_self_collision", "non_self_collision", MIN_NON_SELF_COLLISION, found.self_touching),
        most("jumps", len(found.jumps), 0, "", jumps),
        most("longest_unstable_s", found.longest_unstable_s, LONGEST_UNSTABLE_S, "s", found.unstable),
    )
