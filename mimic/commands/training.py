"""`mimic demo | train | export | check-bundle`: from a motion to a deployed controller."""

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mimic.arguments import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_REQUEUE,
    POSITIONAL,
    say,
    write_json,
)
from mimic.commands.run_options import Cluster, first_argument, parse_options, require_preset, run_to_resume, with_preset
from mimic.commands.staged import check_stages, clear_stages, run_stages
from mimic.config import Config, from_dict, to_dict
from mimic.help_text import about, listed
from mimic.presets import PRESETS, make_preset
from motions.errors import InputError

if TYPE_CHECKING:
    from mimic.runs import Run
    from mimic.training.train import TrainResult


@dataclass(frozen=True)
class Demo:
    """The whole way on a shipped mocap file: train, measure, export, film, report."""

    run_dir: Path = Path("runs/demo")
    """Where everything is written; replaced if it exists."""
    env_steps: int | None = None
    """Length of the training; default: the preset's."""
    seed: int = 0
    """Of everything that is drawn."""

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
        return exit_code(run_demo(run, quality, stopwatch, say))


type Begun = tuple["Run", dict[str, Any] | None]  # a run, and the quality of its retargeting, if there was any


@dataclass(frozen=True)
class Training:
    """A run to make, or to go on with, and to train to its end."""

    config: Config
    folder: Path
    resume: bool
    overwrite: bool
    cluster: Cluster
    stage: str = field(default="", kw_only=True)
    """Which of several it is, for who looks on."""

    def run(self) -> int:
        from mimic.checks import check_config
        from mimic.sim.physics import choose_backend
        from mimic.training.hosts import is_first, join, part
        from mimic.training.loggers import require_loggers
        from mimic.training.train import train

        together = self.cluster.join
        if together:
            join(self.cluster.coordinator, self.cluster.num_processes, self.cluster.process_id)
        elif self.cluster != Cluster():
            raise InputError("--cluster.coordinator, --cluster.num-processes and --cluster.process-id need --cluster.join")
        self.refuse()
        check_config(self.config)
        require_loggers(self.config.log)
        choose_backend(self.config.backend, self.config.device)
        run, quality = agreed(self.begin, self.folder)
        result = train(run, say if is_first() else lambda line: None, self.stage)
        part()
        if result.stopped_by or not is_first():
            return exit_code(result)
        if together:  # this process and its memory belong to the cluster that was: a new one measures what is trained
            again = ["train", run.config.preset, "--run-dir", str(run.folder), "--resume"]
            os.execv(sys.executable, [sys.executable, "-m", "mimic", *again])
        return measure(run, result, quality)

    def begin(self) -> Begun:
        """The run, made or found."""
        from mimic.runs import resume_run

        if not self.resume:
            return self.create()
        run, ignored = resume_run(self.folder, self.config)
        for line in ignored:
            say(f"kept from the run folder, the command line's is not used: {line}")
        return run, None

    def refuse(self) -> None:
        """Raise `InputError` for a run that is another command's."""
        raise NotImplementedError

    def create(self) -> Begun:
        """The new run."""
        raise NotImplementedError


@dataclass(frozen=True)
class Train(Training):
    """Train a controller: one that tracks a motion, or one that moves in its style."""

    tracker: Path | None = None
    """The run of a stage before, whose motion in the simulator stands for the clips."""
    styles: tuple[str, ...] = ()
    """Those that a later stage is told: what the clips do not show is refused before anything is trained."""

    def run(self) -> int:
        from mimic.runs import refuse_occupied, require_writable
        from mimic.training.stages import STAGES, begun, folder_of

        if self.config.begin == "scratch" or self.resume:
            return super().run()
        if self.cluster != Cluster():
            raise InputError("stages are trained by one process: on a cluster train each by itself, and go on with --init-from")
        check_stages(self.config, self.folder)
        refuse_occupied(self.folder, self.config, overwrite=self.overwrite)
        require_writable(self.folder, keep=False)
        if self.overwrite:
            clear_stages(self.config, self.folder)
        code = run_stages(self.config, self.folder)
        if code:
            return code
        last, tracker = begun(self.config, self.folder), folder_of(self.folder, "tracker")
        stage = f"stage {STAGES} of {STAGES}"
        return dataclasses.replace(self, config=last, overwrite=False, tracker=tracker, stage=stage).run()

    def refuse(self) -> None:
        if self.config.teacher is not None and not self.resume:
            raise InputError(f"`mimic train` has no teacher: mimic distill {self.config.teacher}")
        if self.config.learner == "search" and not self.resume:
            raise InputError("`mimic train` learns by reward: mimic harden RUN")
        if self.config.style.actions and self.tracker is None and not self.resume:
            raise InputError(
                "style.actions is true and begin is scratch: a clip's actions are its tracker's, expected begin tracker"
            )

    def create(self) -> Begun:
        from mimic.checks import check_fits
        from mimic.mdp.styles import require_all_shown
        from mimic.runs import create_run, open_run, refuse_occupied, require_writable
        from mimic.sources import find_robot, motions_of
        from mimic.training.warm_start import check_warm_start

        config, folder = self.config, self.folder
        refuse_occupied(folder, config, overwrite=self.overwrite)
        robot = find_robot(config, say)
        check_fits(config, robot)
        check_warm_start(config, robot)
        require_writable(folder, keep=False)
        if self.tracker is not None:
            from mimic.pipeline import made_physical

            tracker = open_run(self.tracker)
            config = dataclasses.replace(config, weights=tracker.config.weights)
            motions, targets = made_physical(tracker, say, with_targets=config.style.actions)
            asked = tracker.asked
            return create_run(folder, config, robot, motions, asked=asked, targets=targets, overwrite=self.overwrite), None
        config, motions, reports = motions_of(config, robot, say)
        require_all_shown(self.styles or config.goal.styles, [motion.name for motion in motions])
        asked = tuple(motions[: len(motions) - config.falls - config.switches])
        run = create_run(folder, config, robot, tuple(motions), asked=asked, overwrite=self.overwrite)
        return run, reports[0].to_dict() if reports[0] is not None else None


def exit_code(result: "TrainResult") -> int:
    """Of a process whose training has ended, by itself or by a signal."""
    if result.stopped_by is None:
        return 0
    return EXIT_INTERRUPTED if result.stopped_by == signal.SIGINT else EXIT_REQUEUE


def agreed(begin: Callable[[], Begun], folder: Path) -> Begun:
    """What the first process begins in `folder`, opened by all. Raises its `InputError` on all, too."""
    from mimic.runs import open_run
    from mimic.training.hosts import is_first, told

    found, problem = None, None
    if is_first():
        try:
            found = begin()
        except InputError as error:
            problem = error
    begun = {"config": to_dict(found[0].config), "resumed": found[0].resumed} if found else {}
    message = told({"problem": None if problem is None else str(problem), **begun})
    if problem is not None:
        raise problem  # itself: its code is that of where it came up
    if message["problem"] is not None:
        raise InputError(message["problem"])
    if found is not None:
        return found
    return dataclasses.replace(open_run(folder), config=from_dict(Config, message["config"]), resumed=message["resumed"]), None


def measure(run: "Run", result: "TrainResult", quality: dict[str, Any] | None) -> int:
    """Print what the controller can do; video, plots and report go to the run folder."""
    from mimic.compare import compare, print_comparison
    from mimic.evaluation.roam import print_roaming
    from mimic.evaluation.whole_clips import print_evaluation
    from mimic.pipeline import evaluate_run, roam_run
    from mimic.progress import waiting
    from mimic.reporting import report_roaming, report_run
    from mimic.runs import POLICY, REPORT

    say(
        f"{result.env_steps / 1e6:.2f} M env-steps in {result.wall_s:.0f} s ({result.steps_per_s:,.0f}/s), "
        f"peak {result.peak_memory_mb:.0f} MB"
    )
    if not run.config.follow:
        roaming = roam_run(run, None, say)
        print_roaming(roaming)
        with waiting("filming"):
            report_roaming(run, roaming, say)
        say(f"everything is in {run.folder}: {REPORT}, video.mp4, {POLICY}")
        return 0
    evaluation = evaluate_run(run, None, say)
    print_evaluation(evaluation, run.config.sim.collisions)
    if run.config.teacher is not None:
        print_comparison(compare(run, evaluation, say))
    with waiting("filming and writing the report"):
        report_run(run, evaluation, quality, say)
    say(f"everything is in {run.folder}: {REPORT}, video.mp4, {POLICY}")
    return 0


@dataclass(frozen=True)
class Export:
    """Write the trained policy as ONNX with all that a deployer needs beside it."""

    run_dir: Annotated[Path, POSITIONAL]
    """The run's folder."""
    out: Path
    """The .onnx to write; .json, .xml and .npz of the same stem go beside it. With --bundle: the folder to write."""
    bundle: bool = False
    """Write a folder for a robotics team: three graphs, test vectors, clip, model, runtime; `mimic check-bundle` checks it."""

    def run(self) -> int:
        from mimic.deploy.export import ros_obstacle
        from mimic.pipeline import bundle_run, export_run
        from mimic.runs import open_run, require_writable

        require_writable(self.out.parent)
        run, write = open_run(self.run_dir), bundle_run if self.bundle else export_run
        written = write(run, self.out, say)
        for path in written:
            say(f"wrote {path}")
        if not any(path.name.endswith("_ros.onnx") for path in written):
            name = "policy_ros.onnx" if self.bundle else f"{self.out.stem}_ros.onnx"
            say(f"{name} is left out, which only ROS 2 needs: {ros_obstacle(run.config)}")
        return 0


@dataclass(frozen=True)
class CheckBundle:
    """Check a bundle: replay its test vectors, say what is missing, damaged or changed."""

    folder: Annotated[Path, POSITIONAL]
    """What `mimic export --bundle` wrote."""
    json: Path | None = None
    """Write the checks to this file too."""

    def run(self) -> int:
        from mimic.deploy.check import check_bundle, checks_to_json, print_checks
        from mimic.runs import require_writable_file

        require_writable_file(self.json)
        checks = check_bundle(self.folder)
        write_json(self.json, checks_to_json(checks))
        return 0 if print_checks(self.folder, checks) else EXIT_FAILED


def parse_train(argv: list[str]) -> Train:
    """Two steps: the preset's name, or the run to resume, gives the defaults that the other options are parsed against."""
    usage = (
        f"usage: mimic train PRESET [options]\n\n{about(Train, 'train')}\n\n"
        f"presets:\n{listed(PRESETS, max(map(len, PRESETS)))}\n\n`mimic train PRESET --help` lists all options."
    )
    argv = with_preset(argv)
    name = first_argument(argv, "train", "a preset or --config FILE", usage, known=f". Known: {', '.join(PRESETS)}")

    def parse(defaults: Config) -> Any:
        return parse_options(argv, "train", Train.__doc__, defaults, "runs/PRESET-MOTION")

    parsed = parse(make_preset(name))
    require_preset(name, parsed.config)
    folder = parsed.run_dir or Path("runs") / "-".join([name, *(Path(p).stem for p in parsed.config.motion[:1])])
    run = run_to_resume(folder, resume=parsed.resume, overwrite=parsed.overwrite)
    if run is not None:
        parsed = parse(dataclasses.replace(run.config, preset=name))
    return Train(parsed.config, folder, run is not None, parsed.overwrite, parsed.cluster)
