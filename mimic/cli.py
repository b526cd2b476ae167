"""The command line: `mimic demo | train | evaluate | retarget | convert | export | play | bench | inspect | doctor`.

Each command is a frozen dataclass, parsed by tyro, with a `run` method. Heavy imports happen inside `run`, so that help is
instant. `InputError` becomes one line and exit code 2.
"""

import dataclasses
import json
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mimic.arguments import POSITIONAL, parse_arguments, say
from mimic.config import Config
from mimic.presets import PRESETS, make_preset
from motions.errors import InputError, unknown_name

if TYPE_CHECKING:
    from mimic.runs import Run

QuatOrder = Literal["wxyz", "xyzw"]
EXIT_INPUT, EXIT_FAILED, EXIT_INTERRUPTED = 2, 1, 130


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
        from mimic.sources import find_robot, read_motions
        from motions.clips import demo_bvh

        stopwatch = Stopwatch()
        config = make_preset("humanoid")
        steps = self.env_steps or config.env_steps
        config = dataclasses.replace(config, motion=(str(demo_bvh()),), seed=self.seed, env_steps=steps)
        with stopwatch("read and retarget"):
            robot = find_robot(config, say)
            motions, reports = read_motions(config.motion, robot, say)
        run = create_run(self.run_dir, config, robot, tuple(motions), overwrite=True)
        quality = reports[0].to_dict() if reports[0] is not None else None
        return run_demo(run, quality, stopwatch, say)


@dataclass(frozen=True)
class Train:
    """Train a controller that tracks a motion."""

    config: Config
    folder: Path
    resume: bool
    overwrite: bool

    def run(self) -> int:
        from mimic.runs import create_run, refuse_occupied, require_writable, resume_run
        from mimic.sim.physics import choose_backend
        from mimic.sources import find_robot, preset_clip, read_motions
        from mimic.train import check_config

        if self.resume and self.overwrite:
            raise InputError("--resume and --overwrite exclude each other")
        config, folder = self.config, self.folder
        check_config(config)
        choose_backend(config.backend, config.device)
        quality = None
        if self.resume:
            run, ignored = resume_run(folder, config)
            for line in ignored:
                say(f"kept from the run folder, the command line's is not used: {line}")
        else:
            refuse_occupied(folder, config, overwrite=self.overwrite)
            require_writable(folder)
            robot = find_robot(config, say)
            paths = config.motion or (preset_clip(config),)
            motions, reports = read_motions(
                paths, robot, say, quat_order=config.quat_order, fps=config.fps, start_s=config.start_s, end_s=config.end_s
            )
            run = create_run(folder, config, robot, tuple(motions), overwrite=self.overwrite)
            quality = reports[0].to_dict() if reports[0] is not None else None
        return train_and_measure(run, quality)


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
    save_motion: Path | None = None
    """Write the simulated motion, as .npz; of several clips into this folder. `mimic convert` takes it from there."""

    def run(self) -> int:
        from mimic.evaluate import print_evaluation, save_simulated
        from mimic.pipeline import evaluate_run
        from mimic.runs import open_run, require_writable_file
        from mimic.sources import read_motions

        for file in (self.json, self.save_motion if self.save_motion and self.save_motion.suffix else None):
            require_writable_file(file)
        run = open_run(self.run_dir)
        motions = None
        if self.motion:
            motions, _ = read_motions(self.motion, run.robot, say, quat_order=self.quat_order, fps=self.fps)
        evaluation = evaluate_run(run, motions, say)
        print_evaluation(evaluation, run.config.sim.collisions)
        write_json(self.json, evaluation.to_json())
        if self.save_motion is not None:
            save_simulated(evaluation, run.robot, 1.0 / run.config.sim.ctrl_dt, self.save_motion, say)
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
    start_s: float = 0.0
    """Of each motion, the part from here [s] ..."""
    end_s: float | None = None
    """... to here [s] is kept; None: to its end."""
    json: Path | None = None
    """Write the quality numbers to this file too."""

    def run(self) -> int:
        from mimic.runs import require_writable, require_writable_file
        from mimic.sources import find_robot, read_motions
        from motions.motion import save_motion

        if not self.files:
            raise InputError("mimic retarget wants at least one motion file")
        single = self.out.suffix == ".npz"
        if single and len(self.files) > 1:
            raise InputError(f"--out {self.out} is one file but {len(self.files)} motions are given: name a folder")
        targets = [self.out if single else self.out / f"{Path(path).stem}.npz" for path in self.files]
        if len(set(targets)) < len(targets):
            raise InputError("two of the motion files have the same name: retarget them into different folders")
        if not single:
            require_writable(self.out)
        for file in (*targets, self.json):
            require_writable_file(file)
        robot = find_robot(dataclasses.replace(make_preset("g1"), robot=self.robot), say)
        motions, reports = read_motions(
            self.files, robot, say, quat_order=self.quat_order, fps=self.fps,
            skeleton=self.skeleton, scale=self.scale, start_s=self.start_s, end_s=self.end_s,
        )  # fmt: skip
        rows = {}
        for target, motion, report in zip(targets, motions, reports, strict=True):
            save_motion(motion, target)
            say(f"wrote {target}: {motion.num_frames} frames at {motion.fps:g} Hz")
            rows[str(target)] = None if report is None else report.to_dict()
        write_json(self.json, {"motions": rows})
        return 0


@dataclass(frozen=True)
class Convert:
    """Write a motion, captured, retargeted or simulated, in another format, or back onto its source skeleton."""

    source: Annotated[str, POSITIONAL]
    out: Annotated[Path, POSITIONAL]
    """Its suffix says the format: .npz, .csv, .bvh, .glb, .usda, .usdc, .fbx."""
    robot: str | None = None
    """Whose motion it is, where the file does not say."""
    quat_order: QuatOrder | None = None
    """Quaternion order of a CSV that is read."""
    fps: float | None = None
    """Frame rate [Hz] of files that do not say."""
    scale: float | None = None
    """Metres per unit of the file, where it cannot be recognised."""
    format: Literal["whole_body_tracking"] | None = None
    """A format that shares its suffix with another."""
    out_quat_order: QuatOrder = "wxyz"
    """Quaternion order of a CSV that is written."""
    onto: Path | None = None
    """Bake a robot's motion onto the skeleton of this file, with its joint names, offsets and rate."""
    root_motion: Literal["hips", "root", "in_place"] | None = None
    """Of --onto: what carries the way through the world; default: hips."""

    def run(self) -> int:
        from mimic.convert import convert

        convert(say=say, **vars(self))
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
    start_s: float = 0.0
    """Of each motion, the part from here [s] ..."""
    end_s: float | None = None
    """... to here [s] is used; None: to its end."""
    num_envs: int | None = None
    env_steps: int | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of `learn`: one training each."""
    target_mm: float = 20.0
    """Of `learn`: the E_mpbpe to reach."""
    run_dir: Path = Path("runs/bench")
    json: Path | None = None

    def run(self) -> int:
        from mimic.runs import require_writable_file
        from mimic.sim.physics import choose_backend
        from mimic.sources import find_robot, preset_clip, read_motions
        from mimic.train import check_config

        require_writable_file(self.json)
        config = make_preset(self.robot if self.robot in PRESETS else "g1")
        given = {name: getattr(self, name) for name in ("num_envs", "env_steps") if getattr(self, name) is not None}
        config = dataclasses.replace(config, robot=self.robot, backend=self.backend, device=self.device, **given)
        check_config(config)
        choose_backend(config.backend, config.device)
        robot = find_robot(config, say)
        began = time.perf_counter()
        motions, reports = read_motions(
            self.motion or (preset_clip(config),), robot, say, quat_order=self.quat_order, fps=self.fps,
            start_s=self.start_s, end_s=self.end_s,
        )  # fmt: skip
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
    for command in (Demo, Train, Evaluate, Retarget, Convert, Export, Play, Bench, Inspect, Doctor)
}


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    argv = sys.argv[1:] if argv is None else argv
    warnings.filterwarnings("ignore", message=".*os.fork.*")  # starting ffmpeg and probing OpenGL touch nothing of JAX's
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
    return parse_arguments(COMMANDS[name], rest, f"mimic {name}").run()


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write results for machines, if asked to."""
    if path is not None:
        path.write_text(json.dumps(content, indent=2) + "\n")


def _overview() -> str:
    lines = ["usage: mimic COMMAND ...", "", "From a motion-capture file to a measured, deployable controller.", ""]
    lines += [f"  {name:9} {(command.__doc__ or '').strip().splitlines()[0]}" for name, command in COMMANDS.items()]
    lines += ["", "`mimic COMMAND --help` explains one. First steps: `mimic demo`, then `mimic train g1 --motion FILE`."]
    return "\n".join(lines)


def _parse_train(argv: list[str]) -> Train:
    """Two steps: the preset's name, or the run to resume, gives the defaults that the other options are parsed against."""
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
    preset = make_preset(argv[0])

    def parse(defaults: Config) -> Any:
        @dataclass(frozen=True)
        class Arguments:
            __doc__ = Train.__doc__
            config: Annotated[Config, tyro.conf.arg(name="")] = dataclasses.field(default_factory=lambda: defaults)
            run_dir: Path | None = None
            """Run folder; default: runs/PRESET-MOTION."""
            resume: bool = False
            """Go on with the run in the folder."""
            overwrite: bool = False
            """Replace the run in the folder."""

        return parse_arguments(Arguments, argv[1:], f"mimic train {argv[0]}")

    parsed = parse(preset)
    folder = parsed.run_dir or Path("runs") / "-".join([argv[0], *(Path(p).stem for p in parsed.config.motion[:1])])
    if parsed.resume:
        from mimic.runs import open_run

        parsed = parse(dataclasses.replace(open_run(folder).config, preset=argv[0]))
    return Train(parsed.config, folder, parsed.resume, parsed.overwrite)
