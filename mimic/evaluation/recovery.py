"""How well a policy gets up: robots that lie as falls leave them, each shown the way up from there until it stands. No JAX."""

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from mimic.config import HEIGHT_RULE
from mimic.deploy.sim2sim import Link, Policy, frame_of, told_as, track
from mimic.deploy.simulation import Simulation, substeps
from mimic.falls import drawn_falls, rising
from mimic.mdp.terminations import fallen
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.motion import Motion

FALLS, WITHIN_S = 64, 10.0
STANDS_S = 1.0  # for which it holds the clip's last frame
SINKS_S = 0.5  # from losing the way up until the next try
SEED = 1 << 16  # of the falls that are measured, others than those of any training
Row = dict[str, Any]


def measure_recovery(policy: Policy, motions: Sequence[Motion], model: mujoco.MjModel, count: int, *, seed: int = SEED) -> Row:
    """`count` random falls in `model`, one whose bodies all touch the ground: from how many the policy gets up by `motions`.

    It follows `mimic.falls.rising`; where it loses that by the height rule, it lets go for half a second and begins anew from
    where it lies then. It has got up when it has reached the clip's end and held it for a second. recovered: share that did
    within 10 s (PHC's time, Luo et al. 2023); falls: of each, after how long [s], None: not.
    """
    falls: list[float | None] = [_gets_up(policy, motions, model, pose) for pose in drawn_falls(model, count, seed)]
    took = [seconds for seconds in falls if seconds is not None]
    return {"recovered": len(took) / count, "median_s": float(np.median(took)) if took else None, "falls": falls}


def _gets_up(policy: Policy, motions: Sequence[Motion], model: mujoco.MjModel, pose: np.ndarray) -> float | None:
    """After how long [s] the robot that lies in `pose` (nq,) stands; None: not in time, or the physics broke."""
    dt, done_s = policy.spec.ctrl_dt, 0.0
    simulation = Simulation(model, policy.tracked_ids, pose[None], np.zeros((1, model.nv)), policy.spec.curve)
    link = Link(simulation, substeps(model, dt))
    while done_s < WITHIN_S and np.isfinite(simulation.state().qpos).all():
        try:
            way = rising(np.array(simulation.batch.qpos[0]), motions, policy.body)
        except InputError:  # it is as in none of the clips, on its way down perhaps
            done_s += _sinks(link, dt)
            continue
        took_s, stands = _follows(policy, way, link)
        done_s += took_s
        if stands:
            return done_s if done_s <= WITHIN_S else None
        done_s += _sinks(link, dt)
    return None


def _follows(policy: Policy, way: Motion, link: Link) -> tuple[float, bool]:
    """For how long [s] it followed `way`, and whether to its end and on for a second."""
    spec, clip = policy.spec, policy.reference(way)
    steps = len(clip.qpos) - 1 + round(STANDS_S / spec.ctrl_dt)
    tell = None if spec.goal is None else told_as(policy, clip, way.name)
    for number, step in enumerate(track(policy, clip, link, steps, tell), start=1):
        reference = KinematicState(*(part[None] for part in frame_of(clip, number)))
        if fallen(step.state, reference, spec.anchor, spec.end_effector_indices, HEIGHT_RULE).all():
            return number * spec.ctrl_dt, False
    return steps * spec.ctrl_dt, True


def _sinks(link: Link, dt: float) -> float:
    """Let it go, its joints held as they are, until it lies; how long that takes [s]."""
    joints, steps = link.simulation.state().qpos[:, 7:].astype(float), round(SINKS_S / dt)
    for _ in range(steps):
        link.drive(joints)
    return steps * dt


def recovery_line(recovery: Row) -> str:
    """For people."""
    took = "" if recovery["median_s"] is None else f", in the median after {recovery['median_s']:.1f} s"
    return f"of {len(recovery['falls'])} random falls it gets up from {recovery['recovered']:.0%} within {WITHIN_S:g} s{took}"
