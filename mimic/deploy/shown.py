"""What clips show that an exported policy must still know: how low bodies come, and what its goals are drawn between."""

from collections.abc import Sequence
from typing import NamedTuple

from mimic.config import Config
from mimic.mdp.goals import Terms, find_terms
from mimic.mdp.terminations import lowest_of
from mimic.robots import Robot
from motions.library import pack
from motions.motion import Motion


class Shown(NamedTuple):
    """lowest: the least height of each tracked body [m]; goals: what goals are drawn between."""

    lowest: tuple[float, ...]
    goals: Terms


def shown_by(motions: Sequence[Motion], robot: Robot, config: Config) -> Shown:
    """Of all of `motions`, at the control rate."""
    ctrl_dt = config.sim.ctrl_dt
    library = pack(motions, robot.body, robot.tracked_bodies, ctrl_dt)
    lowest = lowest_of(library, robot.tracked_bodies, config.termination)
    robot_parts = robot.body, robot.default_qpos, robot.tracked_bodies, robot.end_effectors
    goals = find_terms(config.goal, library, *robot_parts, ctrl_dt)
    return Shown(tuple(float(height) for height in lowest.min(axis=0)), goals)
