"""What an action of zero asks for: joint targets along a reference that the PD law follows without lag or sag. Host only."""

from dataclasses import dataclass
from typing import Protocol, Self

import mujoco
import numpy as np

from mimic.config import ActionConfig, Config
from mimic.mdp.inverse_dynamics import reference_torques


class Driven(Protocol):
    """What a prior asks of a robot."""

    @property
    def model(self) -> mujoco.MjModel: ...
    @property
    def default_qpos(self) -> np.ndarray: ...
    @property
    def kp(self) -> np.ndarray: ...
    @property
    def kd(self) -> np.ndarray: ...
    @property
    def effort(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Prior:
    """How one robot's targets are made of a reference; default_joints, kp, kd, effort: (J,) [rad, N m/rad, N m s/rad, N m]."""

    model: mujoco.MjModel
    default_joints: np.ndarray
    kp: np.ndarray
    kd: np.ndarray
    effort: np.ndarray
    ctrl_dt: float
    friction: float
    config: ActionConfig

    @classmethod
    def of(cls, robot: Driven, config: Config) -> Self:
        """That of a training of `robot`."""
        gains, sim = (robot.default_qpos[7:], robot.kp, robot.kd, robot.effort), config.sim
        return cls(robot.model, *gains, sim.ctrl_dt, sim.friction, config.action)

    def targets(self, qpos: np.ndarray, qvel: np.ndarray) -> np.ndarray:
        """Joint targets (F, J) [rad], float32, of one clip's qpos (F, nq), qvel (F, nv): row f for a step that leads to frame f.

        prior "default": the default pose. "reference": q_ref, and by `feed_forward`
          velocity: + (kd/kp) qdot_ref, so that kp (q* - q) - kd qdot has no lag behind a moving reference;
          dynamics: + tau/kp too, with tau the torques of inverse dynamics within +-effort, so that it does not sag either.
        """
        config, joints = self.config, qpos[:, 7:]
        if config.prior == "default":
            return np.broadcast_to(self.default_joints, joints.shape).astype(np.float32)
        targets = joints.astype(np.float64)
        if config.feed_forward in ("velocity", "dynamics"):
            targets = targets + self.kd / self.kp * qvel[:, 6:]
        if config.feed_forward == "dynamics":
            torques = reference_torques(self.model, qpos, qvel, 1.0 / self.ctrl_dt, self.friction)
            targets = targets + np.clip(torques, -self.effort, self.effort) / self.kp
        return targets.astype(np.float32)
