"""What a robot measures of its state: late, off by its encoders' bias, noisy. Numpy and JAX."""

import numpy as np

from mimic.config import NoiseConfig
from motions.kinematics import KinematicState, shifted, turned
from motions.rotations import Array, namespace, quat_exp, quat_normalize, quat_rotate

BODY_TERMS = ("body_pos_b", "body_ori_b", "tracking_errors", "anchor_vel_error_b")  # need bodies that no noise has reached
BASE_NOISE = 12  # position 3, orientation 3, linear velocity 3, angular velocity 3; then positions and velocities of the joints


def noise_size(joints: int) -> int:
    """How many random numbers `measured` takes."""
    return BASE_NOISE + 2 * joints


def measured(state: KinematicState, encoder_bias: Array, noise: Array, config: NoiseConfig) -> KinematicState:
    """`state` as measured: joint positions off by `encoder_bias` (..., J) [rad], everything by noise of `config`'s sizes.

    noise (..., noise_size): numbers in [-1, 1]. The whole body is moved and turned with its root. The errors of velocities are in
    the root's own frame, and they and those of the joints do not reach the tracked bodies: where these are and how they move
    relative to the root stays true. Whoever needs them as the measured joints have them computes them anew.
    """
    xp, joints = namespace(state.qpos), encoder_bias.shape[-1]
    pos, turn, lin, ang, joint_pos, joint_vel = xp.split(noise, np.cumsum([3, 3, 3, 3, joints]).tolist(), axis=-1)
    shift = config.base_pos * quat_rotate(state.qpos[..., 3:7], pos)
    state = turned(state, quat_exp(config.base_ori * turn))
    state = shifted(state, shift)
    qpos = (state.qpos[..., :7], state.qpos[..., 7:] + encoder_bias + config.joint_pos * joint_pos)
    qvel = (
        state.qvel[..., :3] + config.base_lin_vel * quat_rotate(state.qpos[..., 3:7], lin),
        state.qvel[..., 3:6] + config.base_ang_vel * ang,
        state.qvel[..., 6:] + config.joint_vel * joint_vel,
    )
    return state._replace(qpos=xp.concatenate(qpos, axis=-1), qvel=xp.concatenate(qvel, axis=-1))


def delayed(states: KinematicState, steps: Array) -> KinematicState:
    """The state `steps` control steps ago, a fraction too: linear between two, quaternions normalized. No batch axes.

    states: leading axis of control steps, the present first; at least two more than whole `steps`, or just the present.
    """
    xp = namespace(states.qpos)
    count = states.qpos.shape[0]
    if count == 1:
        return KinematicState(*(part[0] for part in states))
    whole = xp.minimum(xp.floor(steps).astype(int), count - 2)
    rest = steps - whole

    def between(part: Array) -> Array:
        return (1.0 - rest) * part[whole] + rest * part[whole + 1]

    def between_quats(part: Array) -> Array:
        now, before = part[whole], part[whole + 1]
        sign = xp.where(xp.sum(now * before, axis=-1, keepdims=True) < 0.0, -1.0, 1.0)
        return quat_normalize((1.0 - rest) * now + rest * sign * before)

    qpos = xp.concatenate([between(states.qpos[:, :3]), between_quats(states.qpos[:, 3:7]), between(states.qpos[:, 7:])])
    linear = (between(part) for part in (states.xlinvel, states.xangvel))
    return KinematicState(qpos, between(states.qvel), between(states.xpos), between_quats(states.xquat), *linear)
