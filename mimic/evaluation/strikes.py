"""How well a policy strikes: robots along the clip, each at a target of its own, in plain C MuJoCo. No JAX."""

from typing import Any

import mujoco
import numpy as np

from mimic.deploy.sim2sim import Link, Once, Policy, track
from mimic.deploy.simulation import Simulation, substeps
from mimic.mdp.goals import KINDS
from motions.motion import Motion

TARGETS = 64
UPRIGHT_M = 0.25  # the height rule's, of the anchor
Row = dict[str, Any]


def strikes(policy: Policy) -> bool:
    """Whether there is anything to be measured here."""
    return policy.spec.goal is not None and KINDS[policy.spec.goal.kind].once


def measure_strikes(policy: Policy, motion: Motion, model: mujoco.MjModel, *, seed: int = 0) -> Row:
    """What `TARGETS` robots on `model` do that follow `motion` from its first frame, their targets drawn as in training.

    struck: share of the targets that were hit before the clip ended. stood: share of the robots whose anchor kept within 25 cm of
    the clip's height. nearest_m: how near the striking body came to its target's centre, in the mean [m].
    """
    clip, anchor, striker = policy.reference(motion), policy.spec.anchor, policy.striker
    told = Once(policy, clip, np.random.default_rng(seed).uniform(-1.0, 1.0, (TARGETS, 4)).astype(np.float32))
    qpos, qvel = (np.repeat(part[:1], TARGETS, axis=0) for part in (clip.qpos, clip.qvel))
    link = Link(Simulation(model, policy.tracked_ids, qpos, qvel, policy.spec.curve), substeps(model, policy.spec.ctrl_dt))
    nearest, stood = np.full(TARGETS, np.inf), np.ones(TARGETS, bool)
    for frame, step in enumerate(track(policy, clip, link, len(clip.qpos) - 1, told), start=1):
        places = step.state.xpos
        nearest = np.fmin(nearest, np.linalg.norm(places[:, striker] - told.goal[:, :3], axis=-1))
        stood &= np.abs(places[:, anchor, 2] - clip.xpos[frame, anchor, 2]) < UPRIGHT_M
        last = step.state
    told(last)
    return {
        "name": motion.name,
        "targets": TARGETS,
        "struck": float(told.goal[:, 3].mean()),
        "stood": float(stood.mean()),
        "nearest_m": float(nearest.mean()),
    }
