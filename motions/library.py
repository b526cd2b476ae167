"""`MotionLibrary`: many clips of one robot, packed end to end at the control rate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from motions.cores import on_all_cores
from motions.errors import InputError
from motions.kinematics import Body, KinematicState, finite_difference_qvel, kinematic_state
from motions.motion import Motion, frames_at, resample
from motions.rotations import Array

Poses = Literal["auto", "kept", "recomputed"]
KEPT_MB = 256  # of body poses, beyond which they are recomputed: two hours at 50 Hz of a G1 with 14 tracked bodies
CHUNK = 20_000  # frames whose poses are computed together: fewer cost more each, more need memory

WORTH_SHARING = 500  # motions, a few seconds of resampling: fewer are done by this process alone


@dataclass(frozen=True)
class MotionLibrary:
    """C clips in N packed frames, float32: numpy as packed, and arrays of the device after `moved(jnp.asarray)`.

    qpos (N, nq), qvel (N, nv): as `KinematicState` says. poses: the rest of it, for K tracked bodies, or None: then `lookup`
    computes it anew, for a third of the memory. clip_start, clip_length (C,) int32: a clip's first frame and number of frames.
    clip_weight (C,): how often it is drawn, for its length. names: of the clips, where they are known.
    """

    qpos: Array
    qvel: Array
    poses: tuple[Array, Array, Array, Array] | None
    clip_start: Array
    clip_length: Array
    clip_weight: Array
    body: Body = field(repr=False)
    tracked_ids: np.ndarray = field(repr=False)
    names: tuple[str, ...] = ()

    @property
    def num_clips(self) -> int:
        return len(self.clip_start)

    @property
    def frames(self) -> KinematicState:
        """All frames, (N, ...)."""
        return self.at(slice(None))

    def packed(self, clip: Array, frame: Array) -> Array:
        """Where frame `frame` of clip `clip` lies; frames beyond either end are the end frame, never the next clip's."""
        return self.clip_start[clip] + frame.clip(0, self.clip_length[clip] - 1)

    def lookup(self, clip: Array, frame: Array) -> KinematicState:
        """Frame `frame` of clip `clip`, as `packed` finds it."""
        return self.at(self.packed(clip, frame))

    def moved(self, put: Callable[[Array], Array]) -> "MotionLibrary":
        """This library with `put` of each of its arrays: `jnp.asarray` takes them to the device."""
        poses = None if self.poses is None else tuple(put(part) for part in self.poses)
        columns = ("qpos", "qvel", "clip_start", "clip_length", "clip_weight")
        return replace(self, poses=poses, **{name: put(getattr(self, name)) for name in columns})

    def at(self, index: Array | slice) -> KinematicState:
        """The packed frames `index`, as numpy or JAX would index them."""
        qpos, qvel = self.qpos[index], self.qvel[index]
        if self.poses is None:
            return kinematic_state(self.body, qpos, qvel, self.tracked_ids)
        return KinematicState(qpos, qvel, *(part[index] for part in self.poses))


def pack(
    motions: Sequence[Motion],
    body: Body,
    tracked_bodies: tuple[str, ...],
    ctrl_dt: float,
    *,
    weights: Sequence[float] = (),
    poses: Poses = "auto",
) -> MotionLibrary:
    """Resample `motions` to 1/ctrl_dt and compute their kinematics: float32 numpy arrays.

    Velocities are central differences within each clip; they never cross a seam. weights: of the clips, all 1 if empty.
    poses: whether those of the bodies are kept; auto: up to `KEPT_MB`. Raises `InputError` when a motion's joints are not
    the robot's.
    """
    require_trackable(motions, body, ctrl_dt)
    tracked_ids = body.body_ids(tracked_bodies)
    fps = 1.0 / ctrl_dt
    at_rate = partial(_at_rate, fps=fps)
    clips = list(on_all_cores(at_rate, motions) if len(motions) >= WORTH_SHARING else map(at_rate, motions))
    lengths = np.array([len(clip) for clip, _ in clips], dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int32)
    qpos, qvel = map(np.concatenate, zip(*clips, strict=True))
    kept = None
    if poses == "kept" or (poses == "auto" and 4e-6 * len(qpos) * 13 * len(tracked_ids) <= KEPT_MB):
        chunks = (slice(at, at + CHUNK) for at in range(0, len(qpos), CHUNK))
        parts = [kinematic_state(body, qpos[chunk], qvel[chunk], tracked_ids)[2:] for chunk in chunks]
        xpos, xquat, xlinvel, xangvel = (
            np.concatenate(column).astype(np.float32, copy=False) for column in zip(*parts, strict=True)
        )
        kept = xpos, xquat, xlinvel, xangvel
    weight = np.asarray(weights if len(weights) else np.ones(len(lengths)), np.float32)
    return MotionLibrary(qpos, qvel, kept, starts, lengths, weight, body, tracked_ids, tuple(m.name for m in motions))


def _at_rate(motion: Motion, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """qpos and qvel at `fps`, float32 at once: twice the precision of hours of motion would not fit the memory."""
    qpos = resample(motion, fps).qpos
    return qpos.astype(np.float32), finite_difference_qvel(qpos, fps).astype(np.float32)


def require_trackable(motions: Sequence[Motion], body: Body, ctrl_dt: float) -> None:
    """Raise `InputError` for no motion, one with other joints than the robot's, or one too short at 1/ctrl_dt."""
    if not motions:
        raise InputError("no motion given")
    for motion in motions:
        require_joints(motion, body)
        frames_at(motion, 1.0 / ctrl_dt)


def require_joints(motion: Motion, body: Body) -> None:
    """Raise `InputError` unless the motion's joints are the robot's, in order."""
    if motion.joint_names == body.joint_names:
        return
    extra = sorted(set(motion.joint_names) - set(body.joint_names))
    missing = sorted(set(body.joint_names) - set(motion.joint_names))
    if not extra and not missing:
        detail = "the same joints in another order"
    else:
        detail = f"unknown to the robot: {', '.join(extra[:4]) or 'none'}; lacking: {', '.join(missing[:4]) or 'none'}"
    raise InputError(
        f"motion {motion.name!r} (for robot {motion.robot!r}, {len(motion.joint_names)} joints) does not fit robot "
        f"{body.name!r} ({len(body.joint_names)} joints): {detail}"
    )
