"""The command line: `mimic demo | train | evaluate | retarget | export | play | bench | inspect | doctor`.

Each command is a frozen dataclass, parsed by tyro, with a `run` method. Heavy imports happen inside `run`, so that help is
instant. `InputError` becomes one line and exit code 2.
"""

import dataclasses
import json
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mimic.config import Config
from mimic.presets import PRESETS, make_preset
from motions.errors import InputError, unknown_name

if TYPE_CHECKING:
    from mimic.robots import Robot
    from mimic.runs import Run
    from motions.motion import Motion
    from retarget import QualityReport

QuatOrder = Literal["wxyz", "xyzw"]
POSITIONAL = "positional"  # marks a field for `_parse`, so that this module needs no tyro
EXIT_INPUT, EXIT_FAILED, EXIT_INTERRUPTED = 2, 1, 130


def say(text: str) -> None:
    """One line for the user, on stderr: stdout is for results."""
    print(text, file=sys.stderr, flush=True)


def read_motions(
    paths: Sequence[str],
    robot: "Robot",
    *,
    quat_order: str | None = None,
    fps: float | None = None,
    skeleton: Path | None = None,
    scale: float | None = None,
) -> "tuple[list[Motion], list[QualityReport | None]]":
    """Read motion files for `robot`; captured skeletons are retargeted, which is said. The reports are None for the others."""
    from rich.console import Console

    from motions.formats import read_motion_file
    from motions.motion import Motion
    from retarget import quality_table, retarget

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
    from motions.clips import demo_bvh

    return str(demo_bvh())


def find_robot(config: Config) -> "Robot":
    """The configured robot; says what had to be assumed."""
    from mimic.robots import load_robot

    robot = load_robot(config.robot, sim=config.sim)
    for assumption in robot.assumptions:
        say(f"{robot.name}: {assumption}")
    return robot


@dataclass(frozen=True)
class Demo:
    """From a shipped mocap file to a trained, measured, exported controller with video and report, on any machine."""

    run_dir: Path = Path("runs/demo")
    """Where everything is written; replaced if it exists."""
    env_steps: int | None = None
    """Length of the training; default: the preset's."""
    seed: int = 0

    def run(self) -> int:
        from mimic.demo import Stopwatch, run_demo
        from mimic.runs import create_run
        from motions.clips import demo_bvh

        stopwatch = Stopwatch()
        config = make_preset("humanoid")
        steps = self.env_steps or config.env_steps
        config = dataclasses.replace(config, motion=(str(demo_bvh()),), seed=self.seed, env_steps=steps)
        with stopwatch("read and retarget"):
            robot = find_robot(config)
            motions, reports = read_motions(config.motion, robot)
        run = create_run(self.run_dir, config, robot, tuple(motions), overwrite=True)
        quality = reports[0].to_dict() if reports[0] is not None else None
        return run_demo(run, quality, stopwatch, say)


@dataclass(frozen=True)
class Train:
    """Train a controller that tracks a motion."""

    config: Config
    run_dir: Path | None = None
    """Run folder; default: runs/PRESET-MOTION."""
    resume: bool = False
    """Go on with the run in the folder."""
    overwrite: bool = False
    """Replace the run in the folder."""

    def run(self) -> int:
        from mimic.runs import create_run, refuse_occupied, require_writable, resume_run
        from mimic.sim.physics import choose_backend
        from mimic.train import check_config

        if self.resume and self.overwrite:
            raise InputError("--resume and --overwrite exclude each other")
        config = self.config
        check_config(config)
        choose_backend(config.backend, config.device)
        quality = None
        folder = self.run_dir or Path("runs") / "-".join([config.preset, *(Path(p).stem for p in config.motion[:1])])
        if self.resume:
            run, ignored = resume_run(folder, config)
            for line in ignored:
                say(f"kept from the run folder, the command line's is not used: {line}")
            require_writable(folder)
        else:
            refuse_occupied(folder, config, overwrite=self.overwrite)
            require_writable(folder)
            robot = find_robot(config)
            paths = config.motion or (str(preset_clip(config)),)
            motions, reports = read_motions(paths, robot, quat_order=config.quat_order, fps=config.fps)
            run = create_run(folder, config, robot, tuple(motions), overwrite=self.overwrite)
            quality = reports[0]
        return train_and_measure(run, None if quality is None else quality.to_dict())


def train_and_measure(run: "Run", quality: dict[str, Any] | None) -> int:
    """Train, then print what the controller can do; video, plots and report go to the run folder."""
    from mimic.evaluate import print_evaluation
    from mimic.pipeline import evaluate_run
    from mimic.reporting import report_run
    from mimic.train import train

    result = train(run, say)
    if result.interrupted:
        return EXIT_INTERRUPTED
    say(
        f"{result.env_steps / 1e6:.2f} M env-steps in {result.wall_s:.0f} s ({result.steps_per_s:,.0f}/s), "
        f"peak {result.peak_memory_mb:.0f} MB"
    )
    evaluation = evaluate_run(run, None, say)
    print_evaluation(evaluation, run.config.sim.collisions)
    report_run(run, evaluation, quality, say)
    say(f"everything is in {run.folder}: report.html, video.mp4, policy.onnx")
    return 0


@dataclass(frozen=True)
class Evaluate:
    """Measure a trained controller: every clip once, whole, deterministic, in plain C MuJoCo."""

    run_dir: Annotated[Path, POSITIONAL]
    motion: tuple[str, ...] = ()
    """Other motion files than the run's own."""
    quat_order: QuatOrder | None = None
    """Quaternion order of files that do not say."""
    fps: float | None = None
    """Frame rate [Hz] of files that do not say."""
    json: Path | None = None
    """Write the numbers to this file too."""

    def run(self) -> int:
        from mimic.evaluate import print_evaluation
        from mimic.pipeline import evaluate_run
        from mimic.runs import open_run

        run = open_run(self.run_dir)
        motions = None
        if self.motion:
            motions, _ = read_motions(self.motion, run.robot, quat_order=self.quat_order, fps=self.fps)
        evaluation = evaluate_run(run, motions, say)
        print_evaluation(evaluation, run.config.sim.collisions)
        write_json(self.json, evaluation.to_json())
        return 0


@dataclass(frozen=True)
class Retarget:
    """Convert motion files to a robot, with a report on their quality."""

    files: Annotated[tuple[str, ...], POSITIONAL]
    robot: str
    """A robot's name, or a path to an MJCF or spec file."""
    out: Path
    """The npz to write, or a folder for several."""
    quat_order: QuatOrder | None = None
    """Quaternion order of files that do not say."""
    fps: float | None = None
    """Frame rate [Hz] of files that do not say."""
    skeleton: Path | None = None
    """The .asf of an .amc, where it is not beside it."""
    scale: float | None = None
    """Metres per unit of the file, where it cannot be recognised."""
    json: Path | None = None
    """Write the quality numbers to this file too."""

    def run(self) -> int:
        from mimic.runs import require_writable
        from motions.motion import save_motion

        if not self.files:
            raise InputError("mimic retarget wants at least one motion file")
        single = self.out.suffix == ".npz"
        if single and len(self.files) > 1:
            raise InputError(f"--out {self.out} is one file but {len(self.files)} motions are given: name a folder")
        require_writable(self.out.parent if single else self.out)
        robot = find_robot(dataclasses.replace(make_preset("g1"), robot=self.robot))
        motions, reports = read_motions(
            self.files, robot, quat_order=self.quat_order, fps=self.fps, skeleton=self.skeleton, scale=self.scale
        )
        rows = {}
        for path, motion, report in zip(self.files, motions, reports, strict=True):
            target = self.out if single else self.out / f"{Path(path).stem}.npz"
            save_motion(motion, target)
            say(f"wrote {target}: {motion.num_frames} frames at {motion.fps:g} Hz")
            rows[str(target)] = None if report is None else report.to_dict()
        write_json(self.json, {"motions": rows})
        return 0


@dataclass(frozen=True)
class Export:
    """Write the trained policy as ONNX with all that a deployer needs beside it."""

    run_dir: Annotated[Path, POSITIONAL]
    out: Path
    """The .onnx to write; .json, .xml and .npz of the same stem go beside it."""

    def run(self) -> int:
        from mimic.pipeline import export_run
        from mimic.runs import open_run, require_writable

        require_writable(self.out.parent)
        for path in export_run(open_run(self.run_dir), self.out, say):
            say(f"wrote {path}")
        return 0


@dataclass(frozen=True)
class Play:
    """Run an exported policy in plain MuJoCo, without JAX."""

    policy: Annotated[Path, POSITIONAL]
    video: Path | None = None
    """Write an mp4 of it."""

    def run(self) -> int:
        from mimic.play import play

        play(self.policy, video=self.video)
        return 0


@dataclass(frozen=True)
class Bench:
    """Measure: speed (env-steps per second), learn (sample cost to a target), retarget (speed and quality)."""

    what: Annotated[Literal["speed", "learn", "retarget"], POSITIONAL]
    robot: str = "g1"
    backend: str | None = None
    device: str = "auto"
    motion: tuple[str, ...] = ()
    """Motion files; none: the preset's own clip."""
    quat_order: QuatOrder | None = None
    fps: float | None = None
    num_envs: int | None = None
    env_steps: int | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of `learn`: one training each."""
    target_mm: float = 20.0
    """Of `learn`: the E_mpbpe to reach."""
    run_dir: Path = Path("runs/bench")
    json: Path | None = None

    def run(self) -> int:
        config = make_preset(self.robot if self.robot in PRESETS else "g1")
        given = {name: getattr(self, name) for name in ("num_envs", "env_steps") if getattr(self, name) is not None}
        config = dataclasses.replace(config, robot=self.robot, backend=self.backend, device=self.device, **given)
        robot = find_robot(config)
        began = time.perf_counter()
        motions, reports = read_motions(self.motion or (preset_clip(config),), robot, quat_order=self.quat_order, fps=self.fps)
        if self.what == "retarget":
            rows = [report.to_dict() for report in reports if report is not None]
            write_json(self.json, {"clips": rows, "wall_s": time.perf_counter() - began})
            return 0
        from mimic import bench

        if self.what == "speed":
            speed = bench.bench_speed(config, robot, tuple(motions), say)
            bench.print_speed(speed)
            write_json(self.json, speed._asdict())
            return 0
        rows = bench.bench_learn(config, robot, tuple(motions), self.seeds, self.run_dir, say)
        bench.print_learn(rows, self.target_mm)
        write_json(self.json, {"target_mm": self.target_mm, "seeds": rows})
        return 0


@dataclass(frozen=True)
class Inspect:
    """Say what is in a motion, robot or run: frames, names, rates, limits, what had to be assumed."""

    path: Annotated[str, POSITIONAL]
    robot: str | None = None
    """For files that do not name their robot."""
    quat_order: QuatOrder | None = None
    fps: float | None = None

    def run(self) -> int:
        from mimic.inspection import inspect_path

        return inspect_path(self.path, self.robot, self.quat_order, self.fps)


@dataclass(frozen=True)
class Doctor:
    """Say what this machine offers: backends, renderers, robots, optional packages, and what is missing."""

    def run(self) -> int:
        from mimic.doctor import run_doctor

        return run_doctor()


COMMANDS: dict[str, type] = {
    command.__name__.lower(): command
    for command in (Demo, Train, Evaluate, Retarget, Export, Play, Bench, Inspect, Doctor)
}


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    argv = sys.argv[1:] if argv is None else argv
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        code = _run(argv)
    except InputError as error:
        say(f"mimic: {error}")
        code = EXIT_INPUT
    except KeyboardInterrupt:
        say("mimic: interrupted")
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = EXIT_FAILED
    except RuntimeError as error:
        if type(error).__name__ != "TrainingError":
            raise
        say(f"mimic: {error}")
        code = EXIT_FAILED
    sys.exit(code)


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0 if argv else EXIT_INPUT
    if argv[0] in ("-V", "--version"):
        from mimic import __version__

        print(f"mimic {__version__}")
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    if name == "train":
        return _parse_train(rest).run()
    return _parse(COMMANDS[name], rest, f"mimic {name}").run()


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write results for machines, if asked to."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n")


def _overview() -> str:
    lines = ["usage: mimic COMMAND ...", "", "From a motion-capture file to a measured, deployable controller.", ""]
    lines += [f"  {name:9} {(command.__doc__ or '').strip().splitlines()[0]}" for name, command in COMMANDS.items()]
    lines += ["", "`mimic COMMAND --help` explains one. First steps: `mimic demo`, then `mimic train g1 --motion FILE`."]
    return "\n".join(lines)


def _parse(kind: Any, argv: list[str], prog: str, **options: Any) -> Any:
    import tyro

    fields = []
    for field in dataclasses.fields(kind):
        metadata = getattr(field.type, "__metadata__", ())
        if POSITIONAL in metadata:
            field.type = tyro.conf.Positional[field.type]  # type: ignore[assignment]
            kind.__annotations__[field.name] = field.type
        fields.append(field)
    return tyro.cli(kind, args=argv, prog=prog, config=(tyro.conf.FlagCreatePairsOff,), **options)


def _parse_train(argv: list[str]) -> Train:
    """Two steps: the preset's name gives the defaults that the other options are parsed against."""
    import tyro

    presets = "\n".join(f"  {name:12} {(make.__doc__ or '').strip().splitlines()[0]}" for name, make in PRESETS.items())
    if not argv or argv[0] in ("-h", "--help"):
        print(
            f"usage: mimic train PRESET [options]\n\n{Train.__doc__}\n\npresets:\n{presets}\n\n"
            "`mimic train PRESET --help` lists all options."
        )
        sys.exit(0 if argv else EXIT_INPUT)
    if argv[0].startswith("-"):
        raise InputError(f"mimic train wants a preset first, got {argv[0]!r}. Known: {', '.join(PRESETS)}")
    config = make_preset(argv[0])

    @dataclass(frozen=True)
    class Arguments:
        __doc__ = Train.__doc__
        config: Annotated[Config, tyro.conf.arg(name="")] = dataclasses.field(default_factory=lambda: config)
        run_dir: Path | None = None
        """Run folder; default: runs/PRESET-MOTION."""
        resume: bool = False
        """Go on with the run in the folder."""
        overwrite: bool = False
        """Replace the run in the folder."""

    parsed = _parse(Arguments, argv[1:], f"mimic train {argv[0]}")
    return Train(parsed.config, parsed.run_dir, parsed.resume, parsed.overwrite)
