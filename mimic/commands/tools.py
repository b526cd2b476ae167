"""`mimic bench | inspect | doctor`: numbers and facts."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from mimic.arguments import EXIT_FAILED, POSITIONAL, FileOptions, QuatOrder, say, with_settings, write_json
from mimic.presets import PRESETS, make_preset
from motions.errors import InputError


@dataclass(frozen=True)
class Bench(FileOptions):
    """Measure: speed (env-steps per second), learn (sample cost to a target), retarget (speed and quality); or compare two
    measurements of speed."""

    what: Annotated[Literal["speed", "learn", "retarget", "compare"], POSITIONAL]
    files: Annotated[tuple[Path, ...], POSITIONAL] = ()
    """Of `compare`: two files that `bench speed --json` wrote, the earlier one first."""
    tolerance: float = 0.1
    """Of `compare`: by how much the ratio to raw physics may have fallen, and the memory grown, before it fails."""
    robot: str = "g1"
    backend: str | None = None
    device: str = "auto"
    motion: tuple[str, ...] = ()
    """Motion files; none: the preset's own clip."""
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
    set: tuple[str, ...] = ()
    """Other settings than the preset's, as SECTION.NAME=VALUE of `mimic train`: sampling.cap=5."""
    profile: Path | None = None
    """Of `speed`: trace some iterations into this folder, and print where their time goes (docs/profile.md)."""
    run_dir: Path = Path("runs/bench")
    json: Path | None = None

    def run(self) -> int:
        if len(self.files) != (2 if self.what == "compare" else 0):
            raise InputError(f"mimic bench {self.what}: expected {'two files' if self.what == 'compare' else 'no files'}")
        if self.what == "compare":
            from mimic.bench_compare import compare_speeds

            return 0 if compare_speeds(*self.files, self.tolerance) else EXIT_FAILED
        return self.measure()

    def measure(self) -> int:
        from mimic.checks import check_config
        from mimic.runs import require_writable, require_writable_file
        from mimic.sim.physics import choose_backend
        from mimic.sources import bench_retargeting, find_robot, preset_clip, read_motions

        require_writable_file(self.json)
        if self.profile is not None:
            require_writable(self.profile)
        config = make_preset(self.robot if self.robot in PRESETS else "g1")
        given = {name: getattr(self, name) for name in ("num_envs", "env_steps") if getattr(self, name) is not None}
        asked = {name: str(value) if isinstance(value, Path) else value for name, value in self.of_files.items()}
        config = dataclasses.replace(
            config, robot=self.robot, backend=self.backend, device=self.device, motion=self.motion,
            start_s=self.start_s, end_s=self.end_s, **asked, **given,
        )  # fmt: skip
        config = with_settings(config, self.set, "mimic bench", "--set")
        check_config(config)
        choose_backend(config.backend, config.device)
        robot = find_robot(config, say)
        files = self.motion or (preset_clip(config),)
        if self.what == "retarget":
            write_json(self.json, bench_retargeting(files, robot, say, **asked))
            return 0
        motions, _ = read_motions(files, robot, say, **config.of_files)
        from mimic import bench

        if self.what == "speed":
            speed = bench.bench_speed(config, robot, tuple(motions), say, self.profile)
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
