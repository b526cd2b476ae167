"""Switches from one clip to another: which, when, and clips to learn them by. No JAX."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from motions.edit import Seam, find_seam, switch
from motions.errors import InputError
from motions.kinematics import Body
from motions.motion import Motion

FIRST_S, BLEND_S, REST_S = 0.3, 0.3, 1.5  # before the earliest switch, in it, and after it at least
WAIT_S = 2.0  # from the moment it is asked for, until it is begun
LEAD_S = 0.5  # of the one before, in a clip to learn it by
Row = dict[str, Any]


def drawn_switches(motions: Sequence[Motion], count: int, seed: int) -> Iterator[tuple[Motion, Motion, float]]:
    """`count` times, drawn evenly, the motion before, the one after, and when [s] the one is told to go over into the other.

    Raises `InputError` for fewer than two motions that are long enough.
    """
    rng = np.random.default_rng(seed)
    long = [motion for motion in motions if motion.duration_s >= FIRST_S + 2 * BLEND_S + REST_S]
    if len(long) < 2:
        raise InputError(
            f"{len(long)} of {len(motions)} motions last {FIRST_S + 2 * BLEND_S + REST_S:g} s: switches need two that do"
        )
    for _ in range(count):
        before, after = (long[i] for i in rng.choice(len(long), 2, replace=False))
        yield before, after, rng.uniform(FIRST_S, before.duration_s - BLEND_S)


def seam_of(before: Motion, after: Motion, time_s: float, body: Body) -> Seam:
    """Where `before` goes over to `after` when that is asked for at `time_s` [s]. Raises `InputError` as `find_seam` does."""
    return find_seam(before, after, time_s, body, rest_s=REST_S, blend_s=BLEND_S, wait_s=WAIT_S)


def with_switches(motions: Sequence[Motion], body: Body, count: int, seed: int) -> list[Motion]:
    """`count` of them as clips, from `LEAD_S` before to `REST_S` after. Raises as `drawn_switches` does."""
    ways = []
    for number, (before, after, time_s) in enumerate(drawn_switches(motions, count, seed)):
        seam = seam_of(before, after, time_s, body)
        way = switch(before, after, seam).trimmed(max(seam.leave_s - LEAD_S, 0.0), seam.leave_s + seam.blend_s + REST_S)
        ways.append(replace(way, name=f"{before.name}_to_{after.name}_{number}"))
    return ways


def spell_switches(found: Row) -> str:
    """What came of switches (`mimic.evaluation.switching`), in words."""
    return f"{len(found['switches'])} switches from one clip to another: {found['succeeded']:.0%} reach the other's end"
