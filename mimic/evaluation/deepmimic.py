"""DeepMimic's own measures of tracking: its reward along the clip, as the paper has it and as the authors' released code does.

(Peng et al. 2018, section 5; github.com/xbpeng/DeepMimic)
"""

import math

import numpy as np

from motions.kinematics import Body, KinematicState, centre_of_mass, forward_kinematics, joint_rotations
from motions.rotations import quat_angle, quat_rotate, quat_rotate_inv, yaw_quat


def imitation_reward(body: Body, state: KinematicState, reference: KinematicState, end_effectors: tuple[int, ...]) -> np.ndarray:
    """.65 exp(-2 sum |q* - q|^2) + .1 exp(-.1 sum |w* - w|^2) + .15 exp(-40 sum |e* - e|^2) + .1 exp(-10 |c* - c|^2); (F,).

    q: rotations of the joints, a ball joint being one, and of the root [rad]; w: their velocities [rad/s]; e: places of the end
    effectors, which index the tracked bodies, and c of the centre of mass, in the world [m]. The paper's weights.
    """
    pose, spin = _pose_and_spin(body, state, reference)
    index = list(end_effectors)
    reach = np.sum((reference.xpos[:, index] - state.xpos[:, index]) ** 2, axis=(-1, -2))
    centre = np.sum((_centre(body, reference) - _centre(body, state)) ** 2, axis=-1)
    return 0.65 * np.exp(-2.0 * pose) + 0.1 * np.exp(-0.1 * spin) + 0.15 * np.exp(-40.0 * reach) + 0.1 * np.exp(-10.0 * centre)


def released_reward(
    body: Body, state: KinematicState, reference: KinematicState, end_effectors: tuple[int, ...], dt: float, cycle: float
) -> np.ndarray:
    """As the authors' released code computes it, with all joints weighing the same; (F,), frames `dt` [s] apart, so many of them
    a `cycle` of the clip.

    .5 exp(-2/15 sum |q* - q|^2) + .05 exp(-.1/15 sum |w* - w|^2) + .15 exp(-10 sum |e* - e|^2) + .1 exp(-|v* - v|^2)
    + .2 exp(-5 (|p* - p|^2 + .1 |r* - r|^2 + .01 |p'* - p'|^2 + .001 |r'* - r'|^2))

    e: seen from below the root, in its heading; v: velocity of the centre of mass [m/s]; p, r: the root's place [m] and rotation
    [rad], with their velocities. At the begin of each cycle the clip is moved over the ground to where the character is.
    """
    pose, spin = _pose_and_spin(body, state, reference)
    index = list(end_effectors)
    reach = np.sum((_from_below(reference, index) - _from_below(state, index)) ** 2, axis=(-1, -2))
    flow = np.sum((_centre_velocity(body, reference, dt) - _centre_velocity(body, state, dt)) ** 2, axis=-1)
    turns = [quat_rotate(part.qpos[:, 3:7], part.qvel[:, 3:6]) for part in (state, reference)]
    root = (
        np.sum((_brought_along(state, reference, cycle) - state.qpos[:, :3]) ** 2, axis=-1)
        + 0.1 * quat_angle(reference.qpos[:, 3:7], state.qpos[:, 3:7]) ** 2
        + 0.01 * np.sum((reference.qvel[:, :3] - state.qvel[:, :3]) ** 2, axis=-1)
        + 0.001 * np.sum((turns[1] - turns[0]) ** 2, axis=-1)
    )
    tracked = 0.5 * np.exp(-2.0 / 15.0 * pose) + 0.05 * np.exp(-0.1 / 15.0 * spin) + 0.15 * np.exp(-10.0 * reach)
    return tracked + 0.2 * np.exp(-5.0 * root) + 0.1 * np.exp(-flow)


def _pose_and_spin(body: Body, state: KinematicState, reference: KinematicState) -> tuple[np.ndarray, np.ndarray]:
    """Squared errors of the joints and of the root, summed: rotations [rad^2] and their velocities [(rad/s)^2]."""
    angles = quat_angle(joint_rotations(body, reference.qpos), joint_rotations(body, state.qpos))
    root = quat_angle(reference.qpos[:, 3:7], state.qpos[:, 3:7])
    return np.sum(angles**2, axis=-1) + root**2, np.sum((reference.qvel[:, 3:] - state.qvel[:, 3:]) ** 2, axis=-1)


def _centre(body: Body, state: KinematicState) -> np.ndarray:
    return centre_of_mass(body, *forward_kinematics(body, state.qpos))


def _centre_velocity(body: Body, state: KinematicState, dt: float) -> np.ndarray:
    """Of the centre of mass, by differences; none of a single frame."""
    centre = _centre(body, state)
    return np.gradient(centre, dt, axis=0) if len(centre) > 1 else 0.0 * centre


def _from_below(state: KinematicState, bodies: list[int]) -> np.ndarray:
    """Places of tracked bodies from the point on the ground below the root, in its heading; (F, E, 3) [m]."""
    below = state.qpos[:, None, :3] * [1.0, 1.0, 0.0]
    return quat_rotate_inv(yaw_quat(state.qpos[:, None, 3:7]), state.xpos[:, bodies] - below)


def _brought_along(state: KinematicState, reference: KinematicState, cycle: float) -> np.ndarray:
    """The root's places (F, 3) of the reference, at the begin of each cycle moved over the ground to where `state` is then."""
    off = (state.qpos[:, :3] - reference.qpos[:, :3]) * [1.0, 1.0, 0.0]
    begun = np.ceil(np.arange(len(off)) // cycle * cycle).astype(int)
    return reference.qpos[:, :3] + off[begun]


def normalized_return(reward: np.ndarray, frames: int) -> float:
    """NR: the mean of a reward over a clip of `frames` frames, of which `reward` has those that were completed, in [0, 1]."""
    return math.fsum(reward) / frames
