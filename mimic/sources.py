"""What the user names, found and read: robots, motion files of any format, shipped clips. Here motions are retargeted."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mimic import __version__
from mimic.config import Config
from mimic.falls import with_falls
from mimic.presets import make_preset
from mimic.progress import waiting
from mimic.robots import Robot, load_robot
from mimic.switches import with_switches
from motions.clips import demo_bvh
from motions.cores import on_all_cores
from motions.edit import led, repeat, repeat_captured
from motions.errors import InputError
from motions.formats import ReadResult, read_motion_file
from motions.motion import Motion
from motions.skeleton import SkeletonMotion
from retarget import QualityReport, ground, quality_table, retarget_many, spell_means
from retarget import quality_json as quality_json  # for the command line, which may not import retarget
from retarget.catalogue import CATALOGUE, listed_clips
from retarget.curate import Tally, curate
from retarget.mapping import load_map
from retarget.propose import map_to_toml, propose_map

FEW_ASSUMPTIONS = 2  # of a robot: said whole wherever it is used
WORTH_SHARING = 1000  # files, a few seconds of reading: fewer are read by this process alone

Say = Callable[[str], None]


def read_motions(
    paths: Sequence[str],
    robot: Robot,
    say: Say,
    *,
    quat_order: str | None = None,
    fps: float | None = None,
    skeleton: str | Path | None = None,
    scale: float | None = None,
    cycles: int = 1,
    start_s: float = 0.0,
    end_s: float | None = None,
    clip: str | None = None,
    sheets: Path | None = None,
    mapping: str | Path | None = None,
) -> tuple[list[Motion], list[QualityReport | None]]:
    """Read motion files for `robot`; captured skeletons are retargeted, which is said. The reports are None for the others.

    cycles: so many of each, one after the other; of what comes of that the part from `start_s` to `end_s` [s] is kept. clip:
    which one of files that hold several. sheets: folder for a contact sheet of what was retargeted. mapping: how the robot
    stands for a person or an animal, a TOML file; by default the one beside the robot's model, if there is one, else a shipped
    or a guessed one.
    """
    mapping = mapping_for(robot, mapping, say)
    found = []
    asked = {"robot": robot.body, "quat_order": quat_order, "fps": fps, "skeleton": skeleton, "scale": scale, "clip": clip}
    read = partial(_read, cycles=cycles, **asked)
    results = on_all_cores(read, paths) if len(paths) >= WORTH_SHARING else map(read, paths)
    for path, one in zip(paths, results, strict=True):
        for note in one.notes:
            say(f"{path}: {note}")
        if isinstance(one.motion, SkeletonMotion):
            say(f"{path}: a captured skeleton of {one.motion.num_frames} frames, retargeted to {robot.name}")
        found.append(one.motion)
    outcomes = retarget_many([source for source in found if isinstance(source, SkeletonMotion)], robot.body, mapping=mapping)
    motions, reports = [], []
    for path, source in zip(paths, found, strict=True):
        motion, report = source, None
        if isinstance(source, SkeletonMotion):
            with waiting(f"retargeting {path}"):
                outcome = next(outcomes)
            if isinstance(outcome, InputError):
                raise InputError(f"{path}: {outcome}") from outcome
            if isinstance(outcome, Exception):
                raise outcome
            motion, report = outcome
            for note in report.notes:
                say(f"{path}: {note}")
            say(report.verdict)
            if sheets is not None:
                sheet_of(motion, source, report, robot, sheets / f"{Path(path).stem}.png")
                say(f"wrote {sheets / f'{Path(path).stem}.png'}")
        motions.append(_part(motion, start_s, end_s))
        reports.append(report)
    measured = [report for report in reports if report is not None]
    if measured:
        say(quality_table(measured))
    if len(measured) > 1:
        say(spell_means(measured))
    return motions, reports


def _read(path: str, cycles: int, **asked: Any) -> ReadResult:
    """A motion file, as `read_motion_file` takes what is asked, and so many cycles of what it holds."""
    found = read_motion_file(path, **asked)
    if cycles == 1:
        return found
    motion = found.motion
    return replace(found, motion=repeat(motion, cycles) if isinstance(motion, Motion) else repeat_captured(motion, cycles))


def clips_of(paths: Sequence[str], robot: Robot, say: Say, *, split: str = "train") -> tuple[list[str], list[float]]:
    """`paths`, but for each catalogue among them (or the folder it lies in) its clips of `split`; and the weight of each."""
    files: list[str] = []
    weights: list[float] = []
    for path in paths:
        catalogue = Path(path) / CATALOGUE if Path(path).is_dir() else Path(path)
        if Path(path).is_dir() and not catalogue.exists():
            raise InputError(
                f"{path}: is a folder without a {CATALOGUE}; mimic motions curate {path} --robot R --out DIR makes one"
            )
        if catalogue.name != CATALOGUE:
            files.append(path)
            weights.append(1.0)
            continue
        clips = listed_clips(catalogue, robot.name, split)
        say(f"{catalogue}: {len(clips)} clips of split {split}")
        files += [str(file) for file, _ in clips]
        weights += [weight for _, weight in clips]
    return files, weights


def motions_of(config: Config, robot: Robot, say: Say) -> tuple[Config, list[Motion], list[QualityReport | None]]:
    """The motions that `config` names, those of catalogues among them, read and retargeted; and `config` with their weights."""
    paths, weights = clips_of(config.motion or (preset_clip(config),), robot, say)
    if not config.weights and len(set(weights)) > 1:
        config = replace(config, weights=tuple(weights))
    motions, reports = read_motions(paths, robot, say, **config.of_files)
    if config.led_s:
        config, ways = _led(config, motions, robot, say)
        motions, reports = motions + ways, reports + [None] * len(ways)
    if config.falls:
        config, risings = _fallen(config, motions, robot, say)
        motions, reports = motions + risings, reports + [None] * len(risings)
    if config.switches:
        config, ways = _switched(config, motions, robot, say)
        motions, reports = motions + ways, reports + [None] * len(ways)
    return config, motions, reports


def _switched(config: Config, motions: list[Motion], robot: Robot, say: Say) -> tuple[Config, list[Motion]]:
    """The switches between the motions, as `config.switches` says, and `config` with weights: theirs are as much."""
    ways = with_switches(motions, robot.body, config.switches, config.seed)
    say(f"{len(ways)} switches from one clip to another, each a clip")
    weights = config.weights or (1.0,) * len(motions)
    theirs = sum(weight * motion.duration_s for weight, motion in zip(weights, motions, strict=True))
    weight = theirs / sum(way.duration_s for way in ways)
    return replace(config, weights=(*weights, *[weight] * len(ways))), ways


def _fallen(config: Config, motions: list[Motion], robot: Robot, say: Say) -> tuple[Config, list[Motion]]:
    """The clips that begin with falls, as `config.falls` says, and `config` with a weight for each."""
    risings = with_falls(motions, robot.body, robot.model, config.falls, config.seed)
    say(f"{len(risings)} random falls, each the beginning of a clip")
    return replace(config, weights=(*config.weights, *[1.0] * len(risings)) if config.weights else ()), risings


def _led(config: Config, motions: list[Motion], robot: Robot, say: Say) -> tuple[Config, list[Motion]]:
    """What is led of the motions, as `config.led_s` says, and `config` with its weights; which cannot be led is said."""
    ways: list[Motion] = []
    weights: list[float] = []
    if config.weights and len(config.weights) != len(motions):
        raise InputError(
            f"weights are {len(config.weights)}, and there are {len(motions)} motions: expected one for each, or none"
        )
    for motion, weight in zip(motions, config.weights or [1.0] * len(motions), strict=True):
        try:
            pieces = led(motion, robot.body, config.led_s)
        except InputError as error:
            say(f"not led: {error}")
            continue
        say(f"{motion.name}: led over the ground in {len(pieces)} ways, {config.led_s:g} s in all")
        ways += pieces
        weights += [weight] * len(pieces)
    if not ways:
        raise InputError(f"led_s is {config.led_s:g}, but none of the motions can be led: give one that walks, or --led-s 0")
    return replace(config, weights=(*config.weights, *weights) if config.weights else ()), ways


def bench_retargeting(
    paths: Sequence[str], robot: Robot, say: Say, *, mapping: str | Path | None = None, **asked: Any
) -> dict[str, Any]:
    """Speed and quality of retargeting captured motion files, as `retarget.bench` measures them, for JSON.

    mapping: as `read_motions` takes it. asked: what else `_read` takes.
    """
    from retarget.bench import bench_retarget

    sources = []
    for path in paths:
        motion = _read(path, robot=robot.body, **asked).motion
        if not isinstance(motion, SkeletonMotion):
            raise InputError(f"{path}: already a robot's motion; this measures retargeting, give captured ones")
        sources.append(motion)
    result = bench_retarget(sources, robot.body, say, mapping=mapping_for(robot, mapping, say))
    say(quality_table(result.reports))
    numbers = {name: value for name, value in result._asdict().items() if name != "reports"}
    return {**numbers, **quality_json(result.reports)}


def mapping_for(robot: Robot, given: str | Path | None, say: Say) -> Path | None:
    """The mapping given, or else the one that lies beside the robot's model, which is said; None without either."""
    beside = map_beside(robot)
    if given is not None:
        return Path(given)
    if not beside.is_file():
        return None
    say(f"{robot.name}: mapped by {beside}")
    return beside


def map_beside(robot: Robot) -> Path:
    """Where a mapping of the robot's own is looked for: <model>_map.toml beside the model."""
    return robot.source.with_name(f"{robot.source.stem}_map.toml")


def propose_robot_map(name_or_path: str) -> tuple[Robot, str, tuple[str, ...]]:
    """The robot, a proposed mapping as TOML text, and what was guessed."""
    robot = load_robot(name_or_path)
    mapping, notes = propose_map(robot.body)
    title = f"How {robot.name} stands for a person or an animal, as guessed by `mimic robot init`."
    return robot, map_to_toml(mapping, title), notes


def _part(motion: Motion, start_s: float, end_s: float | None) -> Motion:
    if start_s == 0.0 and end_s is None:
        return motion
    end_s = motion.duration_s if end_s is None else end_s
    if not 0.0 <= start_s < end_s:
        asked = f"the part from {start_s:g} s to {end_s:g} s is empty"
        raise InputError(f"motion {motion.name!r}: {asked}; it lasts {motion.duration_s:.2f} s")
    return motion.trimmed(start_s, end_s)


def ground_motion(motion: Motion, robot: Robot, say: Say) -> Motion:
    """The motion with its standing feet on the ground, and what that changed."""
    grounded, report = ground(motion, robot.body)
    say(quality_table([report]))
    return grounded


def curate_folder(
    folder: Path,
    robot: Robot,
    out: Path,
    say: Say,
    *,
    quat_order: str | None,
    fps: float | None,
    scale: float | None,
    mapping: Path | None,
    sheets: bool,
) -> Tally:
    """`retarget.curate.curate` for a robot; with `sheets` a contact sheet of every new clip under `out`/sheets."""
    mapping = mapping_for(robot, mapping, say)

    def read(path: Path) -> ReadResult:
        return read_motion_file(path, robot=robot.body, quat_order=quat_order, fps=fps, scale=scale)

    def draw(stem: str, motion: Motion, report: QualityReport, found: ReadResult) -> None:
        sheet_of(motion, found.motion, report, robot, out / "sheets" / f"{stem}.png")

    options = f"{quat_order} {fps} {scale} {mapping and load_map(mapping)}"
    watch = draw if sheets else None
    return curate(folder, robot.body, out, read, say, version=__version__, options=options, mapping=mapping, watch=watch)


def sheet_of(motion: Motion, source: Motion | SkeletonMotion, report: QualityReport, robot: Robot, path: Path) -> None:
    """A contact sheet of a retargeted clip; frames that break a gate's rule have their times in red."""
    from mimic.view.contact_sheet import retarget_sheet

    runs = [run for check in report.checks if check.gate for run in check.frames]
    failing = {frame for first, last in runs for frame in range(first, last + 1)}
    skeleton = source if isinstance(source, SkeletonMotion) else None
    retarget_sheet(path, robot.model, motion, skeleton, title=report.verdict, failing=sorted(failing))


def preset_clip(config: Config) -> str:
    """The shipped clip a preset trains on by default: of the humanoid, or else a captured skeleton to be retargeted."""
    return str(demo_bvh())


def named_robot(name_or_path: str, say: Say) -> Robot:
    """A robot by itself, where there is no training to configure; says what had to be assumed, or how much and who lists it."""
    said: list[str] = []
    robot = find_robot(replace(make_preset("g1"), robot=name_or_path), said.append)
    if len(said) > FEW_ASSUMPTIONS:
        said = [f"{robot.name}: {len(said)} things are assumed of it, mimic inspect {shlex.quote(name_or_path)} lists them"]
    for line in said:
        say(line)
    return robot


def robot_of_file(source: str | Path, name: str | None, say: Say) -> Robot:
    """The robot `name`, or else the one that the motion file names. Raises `InputError` where neither does."""
    if name is None and Path(source).suffix.lower() == ".npz":
        found = read_motion_file(source).motion
        name = found.robot if isinstance(found, Motion) else None
    if not name:
        raise InputError(f"{source} does not say which robot it is for: give --robot")
    return named_robot(name, say)


def captured_in(path: str | Path, robot: Robot, **asked: Any) -> SkeletonMotion | None:
    """What was captured, if that is what the file holds; asked: as `FileOptions.of_files` has it."""
    found = _read(str(path), robot=robot.body, **{name: value for name, value in asked.items() if name != "mapping"}).motion
    return found if isinstance(found, SkeletonMotion) else None


def find_robot(config: Config, say: Say) -> Robot:
    """The configured robot; says what had to be assumed."""
    robot = load_robot(config.robot, sim=config.sim)
    for assumption in robot.assumptions:
        say(f"{robot.name}: {assumption}")
    return robot
