"""DeepMimic's own measure of tracking: its reward along the clip. (Peng et al. 2018, section 5)"""

import numpy as np

from mimic.config import TerminationConfig
from mimic.mdp.terminations import fallen
from motions.kinematics import Body, KinematicState, forward_kinematics, joint_rotations
from motions.rotations import quat_angle, quat_to_matrix


def imitation_reward(body: Body, state: KinematicState, reference: KinematicState, end_effectors: tuple[int, ...]) -> np.ndarray:
    """.65 exp(-2 sum |q* - q|^2) + .1 exp(-.1 sum |w* - w|^2) + .15 exp(-40 sum |e* - e|^2) + .1 exp(-10 |c* - c|^2); (F,).

    q: rotations of the joints, a ball joint being one, and of the root [rad]; w: their velocities [rad/s]; e: places of the end
    effectors, which index the tracked bodies, and c of the centre of mass, in the world [m]. The paper's weights.
    """
    angles = quat_angle(joint_rotations(body, reference.qpos), joint_rotations(body, state.qpos))
    root = quat_angle(reference.qpos[:, 3:7], state.qpos[:, 3:7])
    pose = np.sum(angles**2, axis=-1) + root**2
    spin = np.sum((reference.qvel[:, 3:] - state.qvel[:, 3:]) ** 2, axis=-1)
    index = list(end_effectors)
    reach = np.sum((reference.xpos[:, index] - state.xpos[:, index]) ** 2, axis=(-2, -1))
    centre = np.sum((_centre_of_mass(body, reference.qpos) - _centre_of_mass(body, state.qpos)) ** 2, axis=-1)
    return 0.65 * np.exp(-2.0 * pose) + 0.1 * np.exp(-0.1 * spin) + 0.15 * np.exp(-40.0 * reach) + 0.1 * np.exp(-10.0 * centre)


def normalized_return(
    body: Body,
    frames: int,
    state: KinematicState,
    reference: KinematicState,
    *,
    anchor: int,
    end_effectors: tuple[int, ...],
    termination: TerminationConfig,
) -> float:
    """NR: the mean of `imitation_reward` over a clip of `frames` frames, nothing after a fall, in [0, 1]; as `clip_metrics`."""
    down = np.asarray(fallen(state, reference, anchor, end_effectors, termination))
    down[0] = False
    completed = int(np.argmax(down)) if down.any() else len(down)
    done, aim = (KinematicState(*(column[:completed] for column in part)) for part in (state, reference))
    return float(imitation_reward(body, done, aim, end_effectors).sum() / frames)


def _centre_of_mass(body: Body, qpos: np.ndarray) -> np.ndarray:
    """(F, 3) [m]."""
    model = body.model
    xpos, xquat = forward_kinematics(body, qpos)
    places = xpos + np.einsum("fbij,bj->fbi", quat_to_matrix(xquat), model.body_ipos)
    return np.einsum("b,fbi->fi", model.body_mass, places) / model.body_mass.sum()
