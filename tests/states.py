"""Random kinematic states, and rigid motions of whole worlds, for tests of terms."""

import numpy as np
from scipy.spatial.transform import Rotation

from motions.kinematics import KinematicState


def random_state(seed: int, bodies: int = 4, joints: int = 3, frames: tuple[int, ...] = ()) -> KinematicState:
    """Unrelated values with unit quaternions, float64; `frames` leads every array."""
    rng = np.random.default_rng(seed)

    def quats(*shape: int) -> np.ndarray:
        return Rotation.random(int(np.prod(shape)), rng=rng).as_quat(scalar_first=True).reshape(*shape, 4)

    qpos = rng.normal(size=(*frames, 7 + joints))
    qpos[..., 3:7] = quats(*frames, 1)[..., 0, :]
    return KinematicState(
        qpos=qpos,
        qvel=rng.normal(size=(*frames, 6 + joints)),
        xpos=rng.normal(size=(*frames, bodies, 3)),
        xquat=quats(*frames, bodies),
        xlinvel=rng.normal(size=(*frames, bodies, 3)),
        xangvel=rng.normal(size=(*frames, bodies, 3)),
    )


def rotation(quat: np.ndarray) -> Rotation:
    return Rotation.from_quat(quat, scalar_first=True)


def moved(state: KinematicState, turn: Rotation, shift: np.ndarray) -> KinematicState:
    """`state` seen in a world turned by `turn` and then shifted by `shift` [m]: the same body elsewhere. One frame."""
    qpos, qvel = state.qpos.copy(), state.qvel.copy()
    qpos[:3] = turn.apply(qpos[:3]) + shift
    qpos[3:7] = (turn * rotation(qpos[3:7])).as_quat(scalar_first=True)
    qvel[:3] = turn.apply(qvel[:3])
    return KinematicState(
        qpos=qpos,
        qvel=qvel,
        xpos=turn.apply(state.xpos) + shift,
        xquat=(turn * rotation(state.xquat)).as_quat(scalar_first=True),
        xlinvel=turn.apply(state.xlinvel),
        xangvel=turn.apply(state.xangvel),
    )
