"""The one rule that says when tracking has failed; training and evaluation both use it."""

from collections.abc import Sequence

import numpy as np

from mimic.config import TerminationConfig
from motions.kinematics import KinematicState
from motions.library import CHUNK, MotionLibrary
from motions.rotations import Array, namespace, quat_angle

ANYWHERE_M = -1e3  # as low as nothing comes


def fallen(
    state: KinematicState,
    reference: KinematicState,
    anchor: int,
    end_effectors: Sequence[int],
    config: TerminationConfig,
    looseness: Array | float = 1.0,
    lowest: Array | None = None,
) -> Array:
    """Whether the body has lost its reference, bool (...); numpy and JAX, any leading axes. (after BeyondMimic)

    True where the anchor's height or orientation (its angle, or only what gravity shows of it), or the height of any end
    effector, is further from the reference than `looseness` times what `config` allows. Heights need no re-anchoring:
    `anchored_targets` keeps the reference's z. Where `config.below_clips` says so, also where any tracked body is lower by that
    than `lowest` (..., K) [m], as `lowest_of` gives it. `anchor` and `end_effectors` index the tracked bodies. A state that is
    not finite has fallen.
    """
    xp = namespace(state.xpos, reference.xpos)
    height_error = xp.abs(state.xpos[..., 2] - reference.xpos[..., 2])  # (..., K) [m]
    holds = xp.isfinite(state.xpos).all(axis=(-2, -1))
    if config.anchor_height is not None:
        holds = holds & (height_error[..., anchor] <= looseness * config.anchor_height)
    quat, reference_quat = state.xquat[..., anchor, :], reference.xquat[..., anchor, :]
    if config.anchor_angle is not None:
        holds = holds & (quat_angle(quat, reference_quat) <= looseness * config.anchor_angle)
    if config.anchor_gravity is not None:
        holds = holds & (xp.abs(_gravity_z(quat) - _gravity_z(reference_quat)) <= looseness * config.anchor_gravity)
    if config.below_clips is not None and lowest is not None:
        holds = holds & (state.xpos[..., 2] >= lowest - looseness * config.below_clips).all(axis=-1)
    if len(end_effectors) > 0 and config.end_effector_height is not None:
        holds = holds & (xp.max(height_error[..., list(end_effectors)], axis=-1) <= looseness * config.end_effector_height)
    return ~holds  # rather than `error > bound`, which a NaN would pass


def lowest_of(library: MotionLibrary, tracked_bodies: Sequence[str], config: TerminationConfig) -> np.ndarray:
    """The least height of each tracked body in each clip of `library`, one of numpy; (C, K) [m]. What `config.may_touch` names
    may be anywhere.

    What a clip brings to the ground may be there; the others have fallen. (a whitelist of contacts, as Peng et al. 2018 give by
    hand)
    """
    rows = []
    for start, length in zip(library.clip_start, library.clip_length, strict=True):
        parts = (slice(at, min(at + CHUNK, start + length)) for at in range(start, start + length, CHUNK))
        rows.append(np.min([library.at(part).xpos[..., 2].min(axis=0) for part in parts], axis=0))
    lowest = np.stack(rows)
    lowest[:, [tracked_bodies.index(name) for name in config.may_touch]] = ANYWHERE_M
    return lowest


def _gravity_z(quat: Array) -> Array:
    """How much of gravity's direction points along the own z axis of a body at `quat` (..., 4): -1 upright, 1 upside down."""
    return 2.0 * (quat[..., 1] ** 2 + quat[..., 2] ** 2) - 1.0
