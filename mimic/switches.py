"""How well one policy of many clips goes over from one to another when it is told to. No JAX."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mimic.deploy.sim2sim import Policy, rollout
from mimic.evaluate import measure
from motions.edit import switch
from motions.errors import InputError
from motions.motion import Motion

FIRST_S, BLEND_S, REST_S = 0.3, 0.3, 1.5  # before the earliest switch, in it, and after it at least
Row = dict[str, Any]


def measure_switches(policy: Policy, motions: Sequence[Motion], count: int, *, seed: int = 0) -> Row:
    """`count` times from one of `motions` to another, both and the moment drawn evenly: the reference goes over, blended within
    `BLEND_S`, to where the other clip is most alike, and on to its end.

    succeeded: share of those that reach that end by the height rule. switches: each one's clips and whether it did. Raises
    `InputError` for fewer than two motions that are long enough.
    """
    body, rows = policy.body, []
    for before, after, time_s in drawn_switches(motions, count, seed):
        row = measure(policy, rollout(policy, switch(before, after, time_s, body, rest_s=REST_S, blend_s=BLEND_S)))
        rows.append({"from": before.name, "to": after.name, "at_s": time_s, "succeeded": bool(row["success_height"])})
    return counted(rows)


def counted(rows: list[Row]) -> Row:
    """Of switches one by one: the share that succeeded, and they."""
    return {"succeeded": float(np.mean([row["succeeded"] for row in rows])), "switches": rows}


def spell_switches(found: Row) -> str:
    """What came of them, in words."""
    return f"{len(found['switches'])} switches from one clip to another: {found['succeeded']:.0%} reach the other's end"


def drawn_switches(motions: Sequence[Motion], count: int, seed: int) -> Iterator[tuple[Motion, Motion, float]]:
    """`count` times the motion before, the one after, and when [s] the one goes over into the other. Raises as above."""
    rng = np.random.default_rng(seed)
    long = [motion for motion in motions if motion.duration_s >= FIRST_S + 2 * BLEND_S + REST_S]
    if len(long) < 2:
        raise InputError(
            f"{len(long)} of {len(motions)} motions last {FIRST_S + 2 * BLEND_S + REST_S:g} s: switches need two that do"
        )
    for _ in range(count):
        before, after = (long[i] for i in rng.choice(len(long), 2, replace=False))
        yield before, after, rng.uniform(FIRST_S, before.duration_s - BLEND_S - 1.0 / before.fps)
