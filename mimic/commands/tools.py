"""`mimic bench | inspect | doctor`: numbers and facts."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mimic.arguments import EXIT_FAILED, POSITIONAL, FileOptions, QuatOrder, say, with_settings, write_json
from mimic.presets import PRESETS, make_preset
from motions.errors import InputError

if TYPE_CHECKING:
    from mimic.bench.speed import Speed
    from mimic.config import Config
    from mimic.robots import Robot


@dataclass(frozen=True)
class Bench(FileOptions):
    """Measure this machine and the method: speed, learn, retarget, compare.

    speed: env-steps per second. learn: sample cost to a target. retarget: speed and quality. compare: two measurements of speed.
    """

    what: Annotated[Literal["speed", "learn", "retarget", "compare"], POSITIONAL]
    """What to measure."""
    files: Annotated[tuple[Path, ...], POSITIONAL] = ()
    """Of `compare`: two files that `bench speed --json` wrote, the earlier one first."""
    tolerance: float = 0.1
    """Of `compare`: by how much the ratio to raw physics may have fallen, and the memory grown, before it fails."""
    robot: str = "g1"
    """A robot's name, or a path to an MJCF or spec file."""
    backend: str | None = None
    """Physics engine: native, mjx-jax or mjx-warp; default: the best one present."""
    device: str = "auto"
    """Where the learner runs: auto, cpu, gpu or tpu."""
    motion: tuple[str, ...] = ()
    """Motion files, or the catalogue of `mimic motions curate`; none: the preset's own clip."""
    start_s: float = 0.0
    """Of each motion, the part from here [s] ..."""
    end_s: float | None = None
    """... to here [s] is used; default: to its end."""
    num_envs: tuple[int, ...] = ()
    """Numbers of environments; of `speed` several, each measured in a process of its own. Default: the preset's."""
    devices: tuple[int, ...] = ()
    """Of `speed`: over how many devices environments are spread, each with every number of them. Default: as `train`."""
    brax: bool = False
    """Of `speed`: time brax's own PPO on the same task and sizes too, on one device."""
    env_steps: int | None = None
    """Of `learn`: length of each training; default: the preset's."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of `learn`: one training each."""
    target_mm: float = 20.0
    """Of `learn`: the E_mpbpe to reach."""
    set: tuple[str, ...] = ()
    """Other settings than the preset's, as SECTION.NAME=VALUE of `mimic train`: sampling.cap=5."""
    profile: Path | None = None
    """Of `speed`: trace some iterations into this folder, and print where their time goes (docs/profile.md)."""
    run_dir: Path = Path("runs/bench")
    """Of `learn`: folder of the runs."""
    json: Path | None = None
    """Write the numbers to this file too."""
    plot: Path | None = None
    """Of `speed`: draw env-steps per second over the numbers of environments, .png or .svg."""

    def run(self) -> int:
        if len(self.files) != (2 if self.what == "compare" else 0):
            raise InputError(f"mimic bench {self.what}: expected {'two files' if self.what == 'compare' else 'no files'}")
        if self.what == "compare":
            from mimic.bench.compare import compare_speeds
            from mimic.runs import require_writable_file

            require_writable_file(self.json)
            before, after = self.files
            rows = compare_speeds(before, after, self.tolerance)
            write_json(self.json, {"rows": rows})
            return EXIT_FAILED if any(quantity["worse"] for row in rows for quantity in row.values()) else 0
        several = max(len(self.num_envs), len(self.devices)) > 1
        if self.what != "speed" and (several or self.devices or self.brax or self.plot or self.profile):
            raise InputError(
                f"mimic bench {self.what}: one --num-envs, and no --devices, --brax, --plot, --profile: they are of speed"
            )
        if several and self.profile:
            raise InputError("--profile traces one measurement: one --num-envs, one of --devices")
        if self.brax and set(self.devices) - {1}:
            raise InputError("--brax measures on one device: without --devices, or with --devices 1")
        from mimic.runs import require_picture_file, require_writable, require_writable_file

        require_writable_file(self.json)
        require_picture_file(self.plot, "--plot")
        if self.profile is not None:
            require_writable(self.profile)
        return self.speed() if self.what == "speed" else self.measure()

    def speed(self) -> int:
        """One measurement, or one of each combination, each in a process of its own: the memory that one took is not the next
        one's. What cannot be measured is said, and left out."""
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool
        from multiprocessing import get_context

        wanted = [
            dataclasses.replace(self, num_envs=num_envs, devices=devices)
            for devices in [(count,) for count in self.devices] or [()]
            for num_envs in [(count,) for count in self.num_envs] or [()]
        ]
        if len(wanted) == 1:
            speeds = [measured_speed(self)]
        else:
            from mimic.training.program import TrainingError

            speeds = []
            for number, one in enumerate(wanted, start=1):
                say(f"{number} of {len(wanted)}")
                with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                    try:
                        speeds.append(alone.submit(measured_speed, one).result())
                    except (InputError, TrainingError, BrokenProcessPool) as error:
                        say(f"not measured: {error}")
        if not speeds:
            return EXIT_FAILED
        from mimic.bench.speed import print_speeds

        print_speeds(speeds)
        rows = [speed._asdict() for speed in speeds]
        write_json(self.json, rows[0] if len(wanted) == 1 else {"rows": rows})
        if self.plot is not None:
            from mimic.view.plots import plot_speed

            say(f"wrote {plot_speed(self.plot, rows)}")
        return 0 if len(speeds) == len(wanted) else EXIT_FAILED

    def measure(self) -> int:
        """`learn` and `retarget`."""
        from mimic.sources import bench_retargeting, motions_of

        config, robot = self.prepared()
        if self.what == "retarget":
            write_json(self.json, bench_retargeting(config.motion, robot, say, **self.of_config))
            return 0
        config, motions, _ = motions_of(config, robot, say)
        from mimic.bench.learn import bench_learn, print_learn

        rows = bench_learn(config, robot, tuple(motions), self.seeds, self.run_dir, say)
        print_learn(rows, self.target_mm)
        write_json(self.json, {"target_mm": self.target_mm, "seeds": rows})
        return 0

    def prepared(self) -> "tuple[Config, Robot]":
        """What is measured, checked, the motion files named; and the robot."""
        from mimic.checks import check_config
        from mimic.sim.physics import choose_backend
        from mimic.sources import find_robot, preset_clip

        config = make_preset(self.robot if self.robot in PRESETS else "g1")
        given: dict[str, Any] = {} if self.env_steps is None else {"env_steps": self.env_steps}
        given |= {name: values[0] for name in ("num_envs", "devices") if (values := getattr(self, name))}
        config = dataclasses.replace(
            config, robot=self.robot, backend=self.backend, device=self.device, motion=self.motion,
            start_s=self.start_s, end_s=self.end_s, **self.of_config, **given,
        )  # fmt: skip
        config = with_settings(config, self.set, "mimic bench", "--set")
        check_config(config)
        choose_backend(config.backend, config.device)
        robot = find_robot(config, say)
        return dataclasses.replace(config, motion=config.motion or (preset_clip(config),)), robot


def measured_speed(bench: Bench) -> "Speed":
    """Of one number of environments, on one number of devices."""
    from mimic.bench.speed import bench_speed
    from mimic.sources import motions_of

    config, robot = bench.prepared()
    config, motions, _ = motions_of(config, robot, say)
    return bench_speed(config, robot, tuple(motions), bench.profile, brax=bench.brax)


@dataclass(frozen=True)
class Inspect:
    """Say what is in a motion, robot or run, and what had to be assumed."""

    path: Annotated[str, POSITIONAL]
    """A motion file, a robot's name or file, or a run folder."""
    robot: str | None = None
    """For files that do not name their robot."""
    quat_order: QuatOrder | None = None
    """Quaternion order of files that do not say."""
    fps: float | None = None
    """Frame rate [Hz] of files that do not say."""
    scale: float | None = None
    """Metres per unit of the file, where it is taken for another."""
    clip: str | None = None
    """Which one of a file that holds several."""
    spec: Path | None = None
    """Of a robot: write what is understood as a spec, to be corrected and given as --robot. An existing file is kept."""
    json: Path | None = None
    """Write what was found to this file too."""

    def run(self) -> int:
        from mimic.inspection import inspect_path
        from mimic.runs import require_writable_file

        require_writable_file(self.json)
        if self.spec is not None:
            return self.write_spec(self.spec)
        of_file = {"quat_order": self.quat_order, "fps": self.fps, "scale": self.scale, "clip": self.clip}
        write_json(self.json, inspect_path(self.path, self.robot, **of_file))
        return 0

    def write_spec(self, spec: Path) -> int:
        """Of a robot."""
        from mimic.inspection import inspect_robot
        from mimic.robots import load_robot
        from mimic.robots.spec_file import spec_to_toml
        from mimic.runs import require_new_toml

        require_new_toml(spec, "--spec")
        robot = load_robot(self.path)
        write_json(self.json, inspect_robot(robot))
        spec.write_text(spec_to_toml(robot, spec.parent), encoding="utf-8")
        say(f"wrote {spec}: look at it and correct it; it is the robot from now on, --robot {spec}")
        return 0


@dataclass(frozen=True)
class Doctor:
    """Say what this machine offers, and what is missing."""

    json: Path | None = None
    """Write the findings to this file too."""

    def run(self) -> int:
        from mimic.doctor import run_doctor
        from mimic.runs import require_writable_file

        require_writable_file(self.json)
        write_json(self.json, run_doctor())
        return 0
