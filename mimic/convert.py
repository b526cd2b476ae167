"""`mimic convert`: a motion, captured, retargeted or simulated, into another format; or back onto the skeleton it came from."""

from collections.abc import Callable
from pathlib import Path

from mimic.robots import Robot, load_robot
from motions.errors import InputError
from motions.formats import match_joints, read_motion_file
from motions.formats.writing import find_writer, write_motion_file
from motions.kinematics import Body
from motions.motion import Motion
from motions.skeleton import SkeletonMotion

Say = Callable[[str], None]
NEEDS_NO_ROBOT = ("npz", "csv")  # of the formats a robot's motion is written in
SHOWS_GEOMETRY = ("glb", "usd", "fbx")  # wants the robot's looks


def convert(
    source: str,
    out: Path,
    *,
    say: Say,
    robot: str | None = None,
    quat_order: str | None = None,
    fps: float | None = None,
    scale: float | None = None,
    format: str | None = None,
    out_quat_order: str = "wxyz",
    onto: Path | None = None,
    root_motion: str | None = None,
) -> Motion | SkeletonMotion:
    """Read `source`, bake it onto the skeleton of the file `onto` if one is given, and write `out`; returns what was written.

    Raises `InputError` for what cannot be read or written, before anything else is done where that is possible.
    """
    kind, writer = find_writer(out, format)
    if root_motion is not None and onto is None:
        raise InputError("--root-motion is for --onto SOURCE: it says which joint of that skeleton carries the way")
    if onto is not None and not writer.skeletons:
        raise InputError(f"--onto makes a skeleton's motion, which {kind} ({out}) does not hold: write .bvh, .glb, .fbx or .usda")
    if out.resolve() == Path(source).resolve() or (onto is not None and out.resolve() == onto.resolve()):
        raise InputError(f"{out} would be written over what is read")
    loaded = None if robot is None else load_robot(robot)
    body = None if loaded is None else loaded.body
    found = read_motion_file(source, robot=body, quat_order=quat_order, fps=fps, scale=scale)
    for note in found.notes:
        say(f"{source}: {note}")
    motion = found.motion
    if isinstance(motion, Motion) and body is None and (onto is not None or kind not in NEEDS_NO_ROBOT):
        body = _robot_of(motion, source).body
        robot = motion.robot
    if onto is not None:
        motion = _baked(motion, body, source, onto, scale, root_motion or "hips", say)
    elif isinstance(motion, Motion) and body is not None:
        motion, notes = match_joints(motion, body)
        for note in notes:
            say(f"{source}: {note}")
        body = load_robot(str(robot), visuals=True).body if kind in SHOWS_GEOMETRY else body
    for note in write_motion_file(out, motion, body=body, format=format, quat_order=out_quat_order):
        say(f"{out}: {note}")
    say(f"wrote {out}: {motion.num_frames} frames at {motion.fps:g} Hz, as {kind}")
    return motion


def _robot_of(motion: Motion, source: str) -> Robot:
    """The robot the motion names. Raises `InputError` asking for --robot where there is none."""
    try:
        return load_robot(motion.robot)
    except InputError as error:
        raise InputError(f"{source} is a motion of robot {motion.robot!r}, which is not found: give --robot ({error})") from error


def _baked(
    motion: Motion | SkeletonMotion,
    body: Body | None,
    source: str,
    onto: Path,
    scale: float | None,
    root_motion: str,
    say: Say,
) -> SkeletonMotion:
    from retarget.bake import bake  # brings JAX

    if body is None or not isinstance(motion, Motion):
        raise InputError(f"{source} is the motion of a captured skeleton: --onto wants a robot's motion, retargeted or simulated")
    target = read_motion_file(onto, scale=scale)
    if not isinstance(target.motion, SkeletonMotion):
        raise InputError(f"--onto {onto}: a robot's motion, expected a captured skeleton (.bvh, .amc)")
    motion, notes = match_joints(motion, body)
    for note in target.notes:
        say(f"{onto}: {note}")
    baked = bake(motion, body, target.motion, root_motion=root_motion)  # pyright: ignore[reportArgumentType]
    for note in (*notes, *baked.notes):
        say(f"{source}: {note}")
    return baked
