"""DeepMimic's own measure of tracking: its reward along the clip. (Peng et al. 2018, section 5)"""

import numpy as np

from motions.kinematics import Body, KinematicState, centre_of_mass, forward_kinematics, joint_rotations
from motions.rotations import quat_angle, quat_rotate_inv, yaw_quat


def imitation_reward(
    body: Body, state: KinematicState, reference: KinematicState, end_effectors: tuple[int, ...], *, in_place: bool = False
) -> np.ndarray:
    """.65 exp(-2 sum |q* - q|^2) + .1 exp(-.1 sum |w* - w|^2) + .15 exp(-40 sum |e* - e|^2) + .1 exp(-10 |c* - c|^2); (F,).

    q: rotations of the joints, a ball joint being one, and of the root [rad]; w: their velocities [rad/s]; e: places of the end
    effectors, which index the tracked bodies, and c of the centre of mass, in the world [m]. The paper's weights.

    in_place: e and c are seen from the place on the ground below each one's root and in its heading, so that a way off the
    clip's costs nothing. (The authors' released code sees e so, and brings the clip back to the character with every cycle.)
    """
    angles = quat_angle(joint_rotations(body, reference.qpos), joint_rotations(body, state.qpos))
    root = quat_angle(reference.qpos[:, 3:7], state.qpos[:, 3:7])
    pose = np.sum(angles**2, axis=-1) + root**2
    spin = np.sum((reference.qvel[:, 3:] - state.qvel[:, 3:]) ** 2, axis=-1)
    ours, theirs = (_places(body, part, end_effectors, in_place) for part in (state, reference))
    off = np.sum((theirs - ours) ** 2, axis=-1)
    reach, centre = np.sum(off[:, :-1], axis=-1), off[:, -1]
    return 0.65 * np.exp(-2.0 * pose) + 0.1 * np.exp(-0.1 * spin) + 0.15 * np.exp(-40.0 * reach) + 0.1 * np.exp(-10.0 * centre)


def _places(body: Body, state: KinematicState, end_effectors: tuple[int, ...], in_place: bool) -> np.ndarray:
    """Of the E end effectors and the centre of mass; (F, E + 1, 3) [m]."""
    centre = centre_of_mass(body, *forward_kinematics(body, state.qpos))
    places = np.concatenate([state.xpos[:, list(end_effectors)], centre[:, None]], axis=1)
    if not in_place:
        return places
    below = state.qpos[:, None, :3] * [1.0, 1.0, 0.0]
    return quat_rotate_inv(yaw_quat(state.qpos[:, None, 3:7]), places - below)


def normalized_return(
    body: Body,
    frames: int,
    completed: int,
    state: KinematicState,
    reference: KinematicState,
    end_effectors: tuple[int, ...],
    *,
    in_place: bool = False,
) -> float:
    """NR: the mean of `imitation_reward` over a clip of `frames` frames, nothing after the first `completed`, in [0, 1]."""
    done, aim = (KinematicState(*(column[:completed] for column in part)) for part in (state, reference))
    return float(imitation_reward(body, done, aim, end_effectors, in_place=in_place).sum() / frames)
