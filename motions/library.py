"""`MotionLibrary`: many clips of one robot, packed end to end at the control rate."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from motions.errors import InputError
from motions.kinematics import Body, KinematicState, finite_difference_qvel, kinematic_state
from motions.motion import Motion, resample
from motions.rotations import Array


class MotionLibrary(NamedTuple):
    """C clips in N packed frames. A pytree: it can live on the device and be an argument of a jitted function.

    frames: `KinematicState` with leading axis N; clip_start, clip_length (C,) int32: a clip's first frame and
    number of frames.
    """

    frames: KinematicState
    clip_start: Array
    clip_length: Array

    @property
    def num_clips(self) -> int:
        return len(self.clip_start)

    def lookup(self, clip: Array, frame: Array) -> KinematicState:
        """Frame `frame` of clip `clip`; frames beyond either end give the end frame, never the next clip's."""
        last = self.clip_length[clip] - 1
        index = self.clip_start[clip] + frame.clip(0, last)
        return KinematicState(*(part[index] for part in self.frames))


def pack(motions: Sequence[Motion], body: Body, tracked_bodies: tuple[str, ...], ctrl_dt: float) -> MotionLibrary:
    """Resample `motions` to 1/ctrl_dt and compute their kinematics: float32 numpy arrays.

    Velocities are central differences within each clip; they never cross a seam. Raises `InputError` when a
    motion's joints are not the robot's.
    """
    if not motions:
        raise InputError("no motion given")
    tracked_ids = body.body_ids(tracked_bodies)
    fps = 1.0 / ctrl_dt
    parts = []
    for motion in motions:
        require_joints(motion, body)
        clip = resample(motion, fps)
        qvel = finite_difference_qvel(clip.qpos, fps)
        parts.append(kinematic_state(body, clip.qpos, qvel, tracked_ids))
    lengths = np.array([len(part.qpos) for part in parts], dtype=np.int32)
    frames = KinematicState(*(np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True)))
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int32)
    return MotionLibrary(frames, starts, lengths)


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
