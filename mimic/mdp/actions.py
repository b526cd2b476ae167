"""From a policy's action to joint position targets; numpy and JAX alike."""

import numpy as np

from mimic.config import ActionConfig
from motions.kinematics import KinematicState
from motions.rotations import Array


def prior_target(
    next_reference: KinematicState, *, default_joints: np.ndarray, kp: np.ndarray, kd: np.ndarray, config: ActionConfig
) -> Array:
    """Joint targets (J,) [rad] that an action of zero asks for.

    "default": the default pose. "reference": q_ref(f+1), and with `feed_forward` + (kd/kp) qdot_ref(f+1): a PD law
    kp (q* - q) - kd qdot then has no lag behind a moving reference.
    """
    if config.prior == "default":
        return default_joints
    target = next_reference.qpos[..., 7:]
    if config.feed_forward:
        target = target + (kd / kp).astype(np.float32) * next_reference.qvel[..., 6:]
    return target
