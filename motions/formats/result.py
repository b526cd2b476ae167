"""What every reader returns, and the building of a checked `Motion` whose errors and warnings name the file."""

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from motions.errors import InputError
from motions.motion import Motion
from motions.skeleton import SkeletonMotion

if TYPE_CHECKING:
    from pathlib import Path

    from motions.kinematics import Body


FAR_RAD = 1.0  # beyond a limit: no solver's overshoot
HIGH_M = 20.0  # above the ground: no root


@dataclass(frozen=True)
class ReadResult:
    """A motion, of a robot or of a captured skeleton, and what its reader assumed or repaired: sentences for the user."""

    motion: Motion | SkeletonMotion
    notes: tuple[str, ...] = ()


def build_motion(path: "str | Path", notes: list[str], **fields: Any) -> Motion:
    """`Motion(**fields)`; its errors get the path in front, its warnings join `notes`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            motion = Motion(**fields)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    notes.extend(str(warning.message) for warning in caught)
    return motion


def require_si(path: "str | Path", motion: Motion, body: "Body") -> None:
    """Raise `InputError` for angles that can only be degrees, and heights that no root in metres has; joints as `body`'s."""
    low, high = body.joint_range.T
    joints = motion.qpos[:, 7:]
    far = (np.maximum(low - joints, joints - high) > FAR_RAD).any(axis=1).mean()
    if far > 0.5:
        raise InputError(
            f"{path}: in {far:.0%} of the frames a joint is more than {FAR_RAD:g} rad beyond its limit, the largest angle is "
            f"{np.abs(joints).max():.4g}: are these degrees? expected radians"
        )
    height = float(np.median(motion.qpos[:, 2]))
    if height > HIGH_M:
        raise InputError(
            f"{path}: the root is at a height of {height:.4g}: are these millimetres, or centimetres? expected metres"
        )


def match_joints(motion: Motion, body: "Body") -> tuple[Motion, tuple[str, ...]]:
    """The motion with its joints in the order of `body`, and a note if that changed anything.

    Raises `InputError` if the motion's joints are not the body's.
    """
    if motion.joint_names == body.joint_names:
        return motion, ()
    missing = [name for name in body.joint_names if name not in motion.joint_names]
    extra = [name for name in motion.joint_names if name not in body.joint_names]
    if missing or extra:
        raise InputError(
            f"motion {motion.name!r} was made for robot {motion.robot!r} and does not fit robot {body.name!r}: it has "
            f"{len(motion.joint_names)} joints, {len(body.joint_names)} are expected"
            + (f"; it lacks {', '.join(missing[:4])}" if missing else "")
            + (f"; the robot lacks {', '.join(extra[:4])}" if extra else "")
        )
    order = [7 + motion.joint_names.index(name) for name in body.joint_names]
    qpos = motion.qpos[:, [*range(7), *order]]
    return replace(motion, qpos=qpos, joint_names=body.joint_names), (f"joints put into the order of robot {body.name!r}",)
