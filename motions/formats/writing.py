"""`write_motion_file`: any motion into any format that can hold it, chosen by the file's suffix or by name."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from motions.errors import InputError, unknown_name
from motions.files import whole
from motions.formats.blender_fbx import write_fbx
from motions.formats.bvh import write_bvh
from motions.formats.csv import write_csv
from motions.formats.glb import write_glb
from motions.formats.scene import require_body, robot_skeleton
from motions.formats.units import unit_name
from motions.formats.usd import SUFFIXES as USD_SUFFIXES
from motions.formats.usd import write_usd
from motions.formats.whole_body_tracking import write_wbt
from motions.motion import Motion, save_motion
from motions.skeleton import SkeletonMotion

if TYPE_CHECKING:
    from motions.kinematics import Body

Notes = tuple[str, ...]


class Order(NamedTuple):
    """What is to be written, where, and how; see `write_motion_file`."""

    path: Path
    body: "Body | None"
    quat_order: str
    joint_order: str


def _own(motion: Motion, order: Order) -> Notes:
    save_motion(motion, order.path)
    return ()


def _csv(motion: Motion, order: Order) -> Notes:
    write_csv(motion, order.path, order.quat_order)
    return (f"quaternions written {order.quat_order}; a CSV does not hold its rate, {motion.fps:g} Hz",)


def _whole_body_tracking(motion: Motion, order: Order) -> Notes:
    body = require_body(motion, order.body, "whole_body_tracking's npz")
    write_wbt(motion, body, order.path, order.joint_order)
    return (f"joints and bodies in {order.joint_order}'s order, and their names",)


def _bvh(motion: Motion | SkeletonMotion, order: Order) -> Notes:
    notes: Notes = ()
    if isinstance(motion, Motion):
        motion, notes = robot_skeleton(motion, require_body(motion, order.body, "a BVH"))
        notes = (*notes, "the robot's bodies are the BVH's joints, its zero pose the rest pose")
    write_bvh(motion, order.path)
    return (*notes, f"y up, {unit_name(motion.unit_m)}")


class Writer(NamedTuple):
    """One format: its suffixes, whether it can hold a captured skeleton's motion, and what writes it."""

    suffixes: tuple[str, ...]
    skeletons: bool
    write: Callable[..., Notes]


WRITERS: dict[str, Writer] = {
    "npz": Writer((".npz",), False, _own),
    "csv": Writer((".csv",), False, _csv),
    "bvh": Writer((".bvh",), True, _bvh),
    "glb": Writer((".glb",), True, lambda motion, order: write_glb(motion, order.path, order.body)),
    "usd": Writer(USD_SUFFIXES, True, lambda motion, order: write_usd(motion, order.path, order.body)),
    "fbx": Writer((".fbx",), True, lambda motion, order: write_fbx(motion, order.path, order.body)),
    "whole_body_tracking": Writer((".npz",), False, _whole_body_tracking),
}


def find_writer(path: str | Path, format: str | None = None) -> tuple[str, Writer]:
    """The format for a file name, or the one asked for. Raises `InputError` listing what there is."""
    suffix = Path(path).suffix.lower()
    if format is not None:
        if format not in WRITERS:
            raise unknown_name("motion format", format, WRITERS)
        if suffix not in WRITERS[format].suffixes:
            raise InputError(f"{path}: a {format} file ends in {' or '.join(WRITERS[format].suffixes)}")
        return format, WRITERS[format]
    for name, writer in WRITERS.items():
        if suffix in writer.suffixes:
            return name, writer
    known = ", ".join(f"{', '.join(writer.suffixes)} ({name})" for name, writer in WRITERS.items())
    raise InputError(
        f"{path}: {f'no format has the suffix {suffix!r}' if suffix else 'a name without suffix'}. Written are {known}"
    )


def write_motion_file(
    path: str | Path,
    motion: Motion | SkeletonMotion,
    *,
    body: "Body | None" = None,
    format: str | None = None,
    quat_order: str = "wxyz",
    joint_order: str = "mujoco",
) -> tuple[str, ...]:
    """Write a motion in the format of the file's suffix, or in `format`, one of `WRITERS`; returns notes for the user.

    body: the robot, for all that needs more than joint values. quat_order: "wxyz" or "xyzw", of a CSV. joint_order:
    "mujoco" or "isaac", of a whole_body_tracking npz. The file appears when it is whole. Raises `InputError` for an unknown
    format, or one that cannot hold this motion, with the reason.
    """
    path = Path(path)
    name, writer = find_writer(path, format)
    if isinstance(motion, SkeletonMotion) and not writer.skeletons:
        able = ", ".join(other for other, candidate in WRITERS.items() if candidate.skeletons)
        raise InputError(
            f"{path}: {name} holds joint values of a robot, and {motion.name!r} is the motion of a captured skeleton, which has "
            f"none. Retarget it first (`mimic retarget`), or write {able}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        with whole(path) as partial:
            try:
                return writer.write(motion, Order(partial, body, quat_order, joint_order))
            except InputError as error:
                raise InputError(str(error).replace(str(partial), str(path))) from error
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
