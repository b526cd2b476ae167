"""What every reader returns, and the building of a checked `Motion` whose errors and warnings name the file."""

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from motions.errors import InputError
from motions.motion import Motion
from motions.skeleton import SkeletonMotion

if TYPE_CHECKING:
    from pathlib import Path

    from motions.kinematics import Body


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
