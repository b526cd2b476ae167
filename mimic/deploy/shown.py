"""What clips show that a policy which follows none must still know: how low bodies come, how fast roots go."""

from collections.abc import Sequence
from typing import NamedTuple

from mimic.mdp.goals import shown_speeds
from mimic.mdp.terminations import lowest_of
from mimic.robots import Robot
from motions.library import pack
from motions.motion import Motion


class Shown(NamedTuple):
    """lowest: the least height of each tracked body [m]; speed: slowest and fastest of the root over the ground [m/s]."""

    lowest: tuple[float, ...]
    speed: tuple[float, float]


def shown_by(motions: Sequence[Motion], robot: Robot, ctrl_dt: float) -> Shown:
    """Of all of `motions`, at the control rate."""
    library = pack(motions, robot.body, robot.tracked_bodies, ctrl_dt)
    return Shown(tuple(float(height) for height in lowest_of(library)), shown_speeds(library, ctrl_dt))
