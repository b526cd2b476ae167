"""One robot's part of a time line: what it does, and what is known about it."""

from dataclasses import dataclass, field
from typing import NamedTuple

import mujoco
import numpy as np

from motions.motion import Motion
from motions.skeleton import SkeletonMotion


class Traces(NamedTuple):
    """What the curves show, T moments of J joints: times (T,) [s], joints (T, J) [rad], and as far as they are known the errors
    (T, K) [mm] of K bodies, the targets and the reference of the joints (T, J) [rad], and their torques (T, J) [N m]."""

    times: np.ndarray
    joints: np.ndarray
    errors: np.ndarray | None = None
    targets: np.ndarray | None = None
    reference: np.ndarray | None = None
    torques: np.ndarray | None = None


@dataclass(frozen=True)
class Take:
    """A motion of F frames on the robot `model`, which is what is drawn.

    reference (F, nq): what it was to do. captured: of which skeleton it was made. dynamics: the model it was simulated in, its
    qvel (F, nv) and ctrl (F, nu), where it was. bodies: names of the K bodies whose errors the traces hold. limits (J,): the
    largest torques [N m]. feet, broken: by name, when (F,), bool, a body touches
    the ground, and when a rule of what a good motion is does not hold. verdict: on that, in words.
    """

    name: str
    model: mujoco.MjModel
    motion: Motion
    reference: np.ndarray | None = None
    captured: SkeletonMotion | None = None
    dynamics: tuple[mujoco.MjModel, np.ndarray, np.ndarray] | None = None
    bodies: tuple[str, ...] = ()
    errors: np.ndarray | None = None
    targets: np.ndarray | None = None
    torques: np.ndarray | None = None
    limits: np.ndarray | None = None
    feet: dict[str, np.ndarray] = field(default_factory=dict)
    broken: dict[str, np.ndarray] = field(default_factory=dict)
    verdict: str = ""

    @property
    def traces(self) -> Traces:
        """Its curves."""
        reference = None if self.reference is None else self.reference[:, 7:]
        times = np.arange(self.motion.num_frames) / self.motion.fps
        return Traces(times, self.motion.qpos[:, 7:], self.errors, self.targets, reference, self.torques)

    def frame(self, time_s: float) -> int:
        """The frame that is shown at a time [s]."""
        return min(int(time_s * self.motion.fps + 1e-6), self.motion.num_frames - 1)
