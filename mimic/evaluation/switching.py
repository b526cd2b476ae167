"""How well one policy of many clips goes over from one to another when it is told to. No JAX."""

from collections.abc import Sequence

import numpy as np

from mimic.deploy.sim2sim import Policy, rollout
from mimic.evaluation.whole_clips import measure
from mimic.switches import Row, drawn_switches, seam_of
from motions.edit import switch
from motions.motion import Motion

COUNT, SEED = 64, 1 << 16  # of the switches that are measured, others than those of any training


def measure_switches(policy: Policy, motions: Sequence[Motion], count: int, *, seed: int = SEED) -> Row:
    """`count` times from one of `motions` to another, both and the moment drawn evenly: within `WAIT_S` of it the reference goes
    over to where the other clip is most alike, and on to its end.

    succeeded: share of those that reach that end by the height rule. switches: each one's clips and whether it did. Raises
    `InputError` for fewer than two motions that are long enough.
    """
    rows = []
    for before, after, time_s in drawn_switches(motions, count, seed):
        way = switch(before, after, seam_of(before, after, time_s, policy.body))
        row = measure(policy, rollout(policy, way))
        rows.append({"from": before.name, "to": after.name, "at_s": time_s, "succeeded": bool(row["success_height"])})
    return counted(rows)


def counted(rows: list[Row]) -> Row:
    """Of switches one by one: the share that succeeded, and they."""
    return {"succeeded": float(np.mean([row["succeeded"] for row in rows])), "switches": rows}
