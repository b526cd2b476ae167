"""What an action asks the motors for: joint position targets, as a correction of a prior."""

import jax.numpy as jnp
import numpy as np

from mimic.config import Config
from mimic.mdp.prior_table import offset_table
from mimic.mdp.priors import Prior
from mimic.robots import Robot
from motions.library import MotionLibrary
from motions.rotations import Array


class Aim:
    """Of actions as `config.action` says, for the clips of `library`; `scale` (J,): the offset of an action of one [rad]."""

    def __init__(self, config: Config, robot: Robot, library: MotionLibrary) -> None:
        self.library = library.moved(jnp.asarray)
        self.offsets = jnp.asarray(offset_table(library.moved(np.asarray), Prior.of(robot, config)))
        self.scale = (config.action.scale * robot.effort / robot.kp).astype(np.float32)

    def target(self, clip: Array, frame: Array, action: Array) -> Array:
        """Joint position targets (J,) [rad] of an action that leads to `frame`."""
        index = self.library.packed(clip, frame)
        prior = self.library.qpos[index, 7:] + self.offsets[index].astype(jnp.float32)
        return prior + self.scale * action

    def action_of(self, clip: Array, frame: Array, target: Array) -> Array:
        """The action (J,) whose target that is."""
        return (target - self.target(clip, frame, jnp.zeros(len(self.scale)))) / self.scale
