"""What the user names, found and read: robots, motion files of any format, shipped clips. The only module that retargets."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from mimic.config import Config
from mimic.robots import Robot, load_robot
from motions.clips import demo_bvh
from motions.formats import read_motion_file
from motions.motion import Motion
from retarget import QualityReport, quality_table, retarget

Say = Callable[[str], None]


def read_motions(
    paths: Sequence[str],
    robot: Robot,
    say: Say,
    *,
    quat_order: str | None = None,
    fps: float | None = None,
    skeleton: Path | None = None,
    scale: float | None = None,
) -> tuple[list[Motion], list[QualityReport | None]]:
    """Read motion files for `robot`; captured skeletons are retargeted, which is said. The reports are None for the others."""
    motions, reports = [], []
    for path in paths:
        found = read_motion_file(path, robot=robot.body, quat_order=quat_order, fps=fps, skeleton=skeleton, scale=scale)
        for note in found.notes:
            say(f"{path}: {note}")
        if isinstance(found.motion, Motion):
            motions.append(found.motion)
            reports.append(None)
            continue
        source = found.motion
        say(f"{path}: a captured skeleton of {source.num_frames} frames, retargeted to {robot.name}")
        motion, report = retarget(source, robot.body)
        Console(stderr=True).print(quality_table([report]))
        motions.append(motion)
        reports.append(report)
    return motions, reports


def preset_clip(config: Config) -> str:
    """The shipped clip a preset trains on by default: of the humanoid, or else a captured skeleton to be retargeted."""
    return str(demo_bvh())


def find_robot(config: Config, say: Say) -> Robot:
    """The configured robot; says what had to be assumed."""
    robot = load_robot(config.robot, sim=config.sim)
    for assumption in robot.assumptions:
        say(f"{robot.name}: {assumption}")
    return robot
