"""What an action of zero asks for: joint targets along a reference that the PD law follows without lag or sag. Host only."""

import mujoco
import numpy as np

from mimic.config import ActionConfig
from mimic.mdp.inverse_dynamics import reference_torques
from motions.kinematics import KinematicState


def prior_targets(
    frames: KinematicState,
    model: mujoco.MjModel,
    *,
    default_joints: np.ndarray,
    kp: np.ndarray,
    kd: np.ndarray,
    effort: np.ndarray,
    ctrl_dt: float,
    friction: float,
    config: ActionConfig,
) -> np.ndarray:
    """Joint targets (F, J) [rad], float32, of one clip's frames; a step that leads to frame f holds row f.

    prior "default": the default pose. "reference": q_ref, and by `feed_forward`
      velocity: + (kd/kp) qdot_ref, so that kp (q* - q) - kd qdot has no lag behind a moving reference;
      dynamics: + tau/kp too, with tau the torques of inverse dynamics within +-effort, so that it does not sag either.
    """
    if config.prior == "default":
        return np.broadcast_to(default_joints, frames.qpos[:, 7:].shape).astype(np.float32)
    targets = frames.qpos[:, 7:].astype(np.float64)
    if config.feed_forward in ("velocity", "dynamics"):
        targets = targets + kd / kp * frames.qvel[:, 6:]
    if config.feed_forward == "dynamics":
        torques = reference_torques(model, frames.qpos, frames.qvel, 1.0 / ctrl_dt, friction)
        targets = targets + np.clip(torques, -effort, effort) / kp
    return targets.astype(np.float32)
