"""What the user names, found and read: robots, motion files of any format, shipped clips. The only module that retargets."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mimic.config import Config
from mimic.robots import Robot, load_robot
from motions.clips import demo_bvh
from motions.errors import InputError
from motions.formats import read_motion_file
from motions.motion import Motion
from retarget import QualityReport, quality_table, retarget
from retarget.propose import map_to_toml, propose_map

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
    start_s: float = 0.0,
    end_s: float | None = None,
    mapping: Path | None = None,
) -> tuple[list[Motion], list[QualityReport | None]]:
    """Read motion files for `robot`; captured skeletons are retargeted, which is said. The reports are None for the others.

    Of each motion the part from `start_s` to `end_s` [s] is kept. `mapping`: how the robot stands for a human, a TOML file;
    by default the one beside the robot's model, if there is one, else a shipped or a guessed one.
    """
    if mapping is None and map_beside(robot).is_file():
        mapping = map_beside(robot)
        say(f"{robot.name}: mapped by {mapping}")
    motions, reports = [], []
    for path in paths:
        found = read_motion_file(path, robot=robot.body, quat_order=quat_order, fps=fps, skeleton=skeleton, scale=scale)
        for note in found.notes:
            say(f"{path}: {note}")
        if isinstance(found.motion, Motion):
            motions.append(_part(found.motion, start_s, end_s))
            reports.append(None)
            continue
        source = found.motion
        say(f"{path}: a captured skeleton of {source.num_frames} frames, retargeted to {robot.name}")
        motion, report = retarget(source, robot.body, mapping=mapping)
        for note in report.notes:
            say(f"{path}: {note}")
        say(quality_table([report]))
        motions.append(_part(motion, start_s, end_s))
        reports.append(report)
    return motions, reports


def map_beside(robot: Robot) -> Path:
    """Where a mapping of the robot's own is looked for: <model>_map.toml beside the model."""
    return robot.source.with_name(f"{robot.source.stem}_map.toml")


def propose_robot_map(name_or_path: str) -> tuple[Robot, str, tuple[str, ...]]:
    """The robot, a proposed mapping as TOML text, and what was guessed."""
    robot = load_robot(name_or_path)
    mapping, notes = propose_map(robot.body)
    return robot, map_to_toml(mapping, f"How {robot.name} stands for a human, as guessed by `mimic robot init`."), notes


def _part(motion: Motion, start_s: float, end_s: float | None) -> Motion:
    if start_s == 0.0 and end_s is None:
        return motion
    end_s = motion.duration_s if end_s is None else end_s
    if not 0.0 <= start_s < end_s:
        asked = f"the part from {start_s:g} s to {end_s:g} s is empty"
        raise InputError(f"motion {motion.name!r}: {asked}; it lasts {motion.duration_s:.2f} s")
    return motion.trimmed(start_s, end_s)


def preset_clip(config: Config) -> str:
    """The shipped clip a preset trains on by default: of the humanoid, or else a captured skeleton to be retargeted."""
    return str(demo_bvh())


def find_robot(config: Config, say: Say) -> Robot:
    """The configured robot; says what had to be assumed."""
    robot = load_robot(config.robot, sim=config.sim)
    for assumption in robot.assumptions:
        say(f"{robot.name}: {assumption}")
    return robot
