"""The left-right symmetry of one robot with its gains, as training uses it. No JAX here."""

import numpy as np

from mimic.config import ObservationConfig
from mimic.mdp.limbs import Effector
from mimic.mdp.observations import BodyLayout
from mimic.mdp.symmetry import Image, Mirror, observation_image, state_mirror
from mimic.robots import Robot
from motions.edit.mirror import mirror_map
from motions.errors import InputError

SAME_GAIN = 0.01  # largest part by which the two sides' gains may differ


def find_mirror(robot: Robot, observation: ObservationConfig) -> Mirror:
    """What the robot's mirror image observes and does.

    Raises `InputError` for a robot that is not symmetric, in body, gains or tracked bodies, or a term of the actor's
    observation that has no mirror image, naming it.
    """
    joints = mirror_map(robot.body)
    for name in ("kp", "kd", "effort"):
        values = getattr(robot, name)
        apart = np.abs(values[joints.joint] - values) > SAME_GAIN * np.abs(values)
        if apart.any():
            j = int(np.argmax(apart))
            pair = (j, int(joints.joint[j]))
            found = " and ".join(f"{values[i]:g} at {robot.joint_names[i]}" for i in pair)
            raise InputError(f"robot {robot.name!r} cannot be mirrored: {name} is {found}")
    states = state_mirror(robot.body, joints, robot.tracked_bodies)
    hand = Effector(robot.tracked_bodies.index(robot.end_effectors[0]))  # whichever it is: its mirror image is the other one
    layout = BodyLayout(robot.tracked_bodies.index(robot.anchor_body), robot.default_qpos[7:], hand)
    return Mirror(observation_image(observation, layout, states), Image(joints.joint, joints.sign))
