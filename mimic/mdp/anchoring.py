"""Re-anchoring: the reference pose moved to where the robot stands and turned to where it faces. (BeyondMimic)"""

from motions.kinematics import KinematicState
from motions.rotations import Array, namespace, quat_conj, quat_mul, quat_rotate, yaw_quat


def anchored_targets(state: KinematicState, reference: KinematicState, anchor: int) -> tuple[Array, Array]:
    """Targets of the tracked bodies relative to the robot's own anchor; numpy and JAX, any leading axes.

    dq = yaw(q_anchor q_ref,anchor^-1)
    p  = (x, y of the robot's anchor, z of the reference's) + dq (p_ref - p_ref,anchor)
    q  = dq q_ref

    Returns xpos (..., K, 3) [m] and xquat (..., K, 4) wxyz. Drift in the ground plane and in heading costs
    nothing, height and tilt do: the z of every target is the z of the reference. `anchor` indexes the tracked bodies.
    """
    xp = namespace(state.xpos, reference.xpos)
    turn = yaw_quat(quat_mul(state.xquat[..., anchor, :], quat_conj(reference.xquat[..., anchor, :])))[..., None, :]
    reference_pos = reference.xpos[..., anchor : anchor + 1, :]
    origin = xp.concatenate([state.xpos[..., anchor : anchor + 1, :2], reference_pos[..., 2:]], axis=-1)
    xpos = origin + quat_rotate(turn, reference.xpos - reference_pos)
    return xpos, quat_mul(turn, reference.xquat)
