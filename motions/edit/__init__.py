"""Editing of motions: pure functions from `Motion` to `Motion`, numpy only; `*_captured` those of captured skeletons.

Each returns a new motion and leaves the given one as it was. `Motion.trimmed` and `motions.motion.resample` belong here
too; putting feet on the ground is a solve and lives in `retarget.pipeline.ground`.
"""

from motions.edit.captured import cut_captured, mirror_captured, repeat_captured, speed_captured
from motions.edit.cuts import Cut, find_cuts, split_at_cuts
from motions.edit.cycle import Cycle, close_cycle, find_cycle, loop, repeat
from motions.edit.enter import enter
from motions.edit.join import Seam, concatenate, find_seam, switch
from motions.edit.mirror import MirrorMap, mirror, mirror_map
from motions.edit.timing import smooth, speed, trim
from motions.edit.travel import Travel, move, reset_origin, travel_between
from motions.edit.wander import led, wander

__all__ = [
    "Cut",
    "Cycle",
    "MirrorMap",
    "Seam",
    "Travel",
    "close_cycle",
    "concatenate",
    "cut_captured",
    "enter",
    "find_cuts",
    "find_cycle",
    "find_seam",
    "led",
    "loop",
    "mirror",
    "mirror_captured",
    "mirror_map",
    "move",
    "repeat",
    "repeat_captured",
    "reset_origin",
    "smooth",
    "speed",
    "speed_captured",
    "split_at_cuts",
    "switch",
    "travel_between",
    "trim",
    "wander",
]
