"""The one rule that says when tracking has failed; training and evaluation both use it."""

from collections.abc import Sequence

from mimic.config import TerminationConfig
from motions.kinematics import KinematicState
from motions.rotations import Array, namespace, quat_angle


def fallen(
    state: KinematicState,
    reference: KinematicState,
    anchor: int,
    end_effectors: Sequence[int],
    config: TerminationConfig,
    looseness: Array | float = 1.0,
) -> Array:
    """Whether the body has lost its reference, bool (...); numpy and JAX, any leading axes. (after BeyondMimic)

    True where the anchor's height or orientation, or the height of any end effector, is further from the reference
    than `looseness` times what `config` allows. Heights need no re-anchoring: `anchored_targets` keeps the reference's z.
    `anchor` and `end_effectors` index the tracked bodies. A state that is not finite has fallen.
    """
    xp = namespace(state.xpos, reference.xpos)
    height_error = xp.abs(state.xpos[..., 2] - reference.xpos[..., 2])  # (..., K) [m]
    angle = quat_angle(state.xquat[..., anchor, :], reference.xquat[..., anchor, :])  # (...) [rad]
    holds = (height_error[..., anchor] <= looseness * config.anchor_height) & (angle <= looseness * config.anchor_angle)
    if len(end_effectors) > 0:
        holds = holds & (xp.max(height_error[..., list(end_effectors)], axis=-1) <= looseness * config.end_effector_height)
    return ~holds  # rather than `error > bound`, which a NaN would pass
