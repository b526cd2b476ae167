"""The run folder: config.json, the robot and motions used, metrics.jsonl. Everything a run is, in one place."""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from mimic import __version__
from mimic.checks import check_fits
from mimic.config import Config, from_dict, to_dict
from mimic.robots import Robot
from mimic.robots.store import read_robot, write_robot
from mimic.tasks.symmetry import find_mirror
from motions.errors import InputError
from motions.files import write_json
from motions.library import require_trackable
from motions.motion import Motion, file_stem, load_motion, save_motion

PACKAGES = ("jax", "flax", "optax", "mujoco", "mujoco-mjx", "brax", "orbax-checkpoint", "numpy")
RESUMABLE = ("env_steps", "device", "devices", "save_every_s", "evaluate_every_s", "log")  # a resume may change, and of `sim`:
RESUMABLE_OF_SIM = ("contacts_per_env", "constraints_per_env")
METRICS, CONFIG, EVALUATION = "metrics.jsonl", "config.json", "evaluation.json"
STRESS, QUALITY = "stress.json", "quality.json"
POLICY, REPORT = "policy.onnx", "report.html"
MOTIONS, ASKED, TARGETS = "motions", "asked", "targets.npz"
UNFINISHED = ".unfinished"  # in a folder that is being made into a run's


@dataclass(frozen=True)
class Run:
    """A run folder and what it holds."""

    folder: Path
    config: Config
    robot: Robot
    motions: tuple[Motion, ...]
    resumed: bool = False

    @property
    def metrics_path(self) -> Path:
        return self.folder / METRICS

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def asked(self) -> tuple[Motion, ...]:
        """The motions that were asked for, by which it is judged; those that it learns from may be a tracker's of them."""
        folder = self.folder / ASKED
        return load_motions(folder) if folder.exists() else self.motions

    @property
    def targets(self) -> np.ndarray | None:
        """Joint targets (N, J) [rad] that led to each frame of the motions, in order; None where not known."""
        path = self.folder / TARGETS
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as stored:
            return stored["targets"]

    @property
    def started(self) -> str:
        """When the folder was made, as ISO 8601."""
        return json.loads((self.folder / CONFIG).read_text())["started"]

    @property
    def tracked_files(self) -> str:
        return ", ".join(motion.name for motion in self.motions)


def require_writable(folder: Path, *, keep: bool = True) -> None:
    """Make `folder` and write a probe in it; a new one stays if `keep`, else what is refused later leaves none behind.

    Raises `InputError` when that is impossible: before training, not after.
    """
    probe = folder / ".writable"
    try:
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
        if is_new and not keep:
            folder.rmdir()
    except OSError as error:
        raise InputError(f"cannot write in {folder}: {error.strerror or error}") from error


def require_writable_file(path: Path | None) -> None:
    """`require_writable` for a file to come; None is no file."""
    if path is not None:
        if path.is_dir():
            raise InputError(f"{path} is a folder, expected a file to write")
        require_writable(path.parent)


def require_new_toml(path: Path, option: str) -> None:
    """`require_writable_file` for a TOML file to be written and edited. Raises `InputError` for another kind, or one that is
    there."""
    if path.suffix != ".toml":
        raise InputError(f"{option} {path}: expected a file that ends in .toml")
    if path.exists():
        raise InputError(f"{path} exists already and may hold somebody's work; move it away or give {option} another name")
    require_writable_file(path)


def require_picture_file(path: Path | None, option: str) -> None:
    """`require_writable_file` for a picture. Raises `InputError` for another kind of file."""
    if path is not None and path.suffix not in (".png", ".svg"):
        raise InputError(f"{option} {path}: expected a file that ends in .png or .svg")
    require_writable_file(path)


def create_run(
    folder: Path,
    config: Config,
    robot: Robot,
    motions: tuple[Motion, ...],
    *,
    asked: tuple[Motion, ...] = (),
    targets: np.ndarray | None = None,
    overwrite: bool = False,
    beside: Callable[[Path], None] = lambda folder: None,
) -> Run:
    """Start a run folder; `beside` writes into it what else the run needs. The config comes last and makes it a run. asked: the
    motions by which it is judged, none: those that it learns from. targets: as `Run.targets`.

    Raises `InputError` if `folder` holds a run already (or other files) and not `overwrite`, or a motion does not fit.
    """
    refuse_occupied(folder, config, overwrite=overwrite)
    require_trackable(motions, robot.body, config.sim.ctrl_dt)  # what cannot be is refused before a run is lost
    check_fits(config, robot)
    if config.weights and len(config.weights) != len(motions):
        raise InputError(f"{len(config.weights)} weights for {len(motions)} clips: give one for each, or none")
    if config.ppo.symmetry != "none":
        find_mirror(robot, config.observation)  # nor mirrored
    require_writable(folder)
    clear(folder)
    save_motions(motions, folder / MOTIONS)
    if asked and [id(motion) for motion in asked] != [id(motion) for motion in motions]:
        save_motions(asked, folder / ASKED)
    if targets is not None:
        np.savez_compressed(folder / TARGETS, targets=targets)
    write_robot(robot, folder / "robot")
    beside(folder)
    _write_record(folder, {"config": to_dict(config), **facts()})
    (folder / UNFINISHED).unlink()
    return open_run(folder)


def save_motions(motions: Sequence[Motion], folder: Path) -> None:
    """Write them, in order, into a new folder."""
    folder.mkdir()
    for index, motion in enumerate(motions):
        save_motion(motion, folder / f"{index:04d}-{file_stem(motion.name)}.npz")


def load_motions(folder: Path) -> tuple[Motion, ...]:
    """What `save_motions` wrote."""
    return tuple(load_motion(file) for file in sorted(folder.glob("*.npz")))


def is_free(folder: Path) -> bool:
    """Whether a run may begin in `folder`: it holds nothing, or what a process that was killed left of making one."""
    if (folder / UNFINISHED).exists():
        return not (folder / CONFIG).exists()
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def refuse_occupied(folder: Path, config: Config, *, overwrite: bool = False) -> None:
    """Raise `InputError` unless `folder` is free for a new run of `config`, or holds a run and may be overwritten."""
    try:
        is_run, free = (folder / CONFIG).exists(), is_free(folder)
    except OSError as error:
        raise InputError(f"cannot write in {folder}: {error.strerror or error}") from error
    if is_run and not overwrite:
        raise InputError(_occupied(folder, config))
    if not is_run and not free:
        raise InputError(f"{folder} exists and is not a run folder; give another --run-dir")


def open_run(folder: Path) -> Run:
    """Read a run folder. Raises `InputError` for anything else."""
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{folder} is not a run folder: it has no {CONFIG}")
    try:
        record = json.loads(path.read_text())
        config = from_dict(Config, record["config"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {error!r}") from error
    robot = read_robot(folder / "robot")
    motions = load_motions(folder / MOTIONS)
    if not motions:
        raise InputError(f"{folder} holds no motions")
    return Run(folder, config, robot, motions)


def resume_run(folder: Path, config: Config) -> tuple[Run, list[str]]:
    """Open a run to go on with it: its own config, but for the fields of `RESUMABLE` and `RESUMABLE_OF_SIM`, which `config` may
    change. `keep_config` makes that so for good.

    Also returns a line for every other difference, so that nobody believes a changed setting was taken.
    """
    run = open_run(folder)
    kept = differences(to_dict(config), to_dict(run.config))
    sim = replace(run.config.sim, **{name: getattr(config.sim, name) for name in RESUMABLE_OF_SIM})
    wanted = replace(run.config, sim=sim, **{name: getattr(config, name) for name in RESUMABLE})
    changeable = (*RESUMABLE, *(f"sim.{name}" for name in RESUMABLE_OF_SIM))
    ignored = [line for name, line in kept if name not in changeable and name.partition(".")[0] not in RESUMABLE]
    require_writable(folder)
    return replace(run, config=wanted, resumed=True), ignored


def keep_config(run: Run) -> None:
    """Write the run's config to its folder, for the next one that opens it."""
    record = json.loads((run.folder / CONFIG).read_text())
    _write_record(run.folder, record | {"config": to_dict(run.config)})


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    write_json(folder / CONFIG, record)


def clear(folder: Path) -> None:
    """Empty a run's folder and mark it as unfinished. The folder itself may be a mounted one, and stays."""
    (folder / UNFINISHED).touch()
    (folder / CONFIG).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != UNFINISHED:
            path.unlink()


def differences(
    new: dict[str, Any], old: dict[str, Any], prefix: str = "", *, whose: str = "the folder"
) -> list[tuple[str, str]]:
    """(key, "key: new (the folder has old)") of every leaf that differs; `whose`: where the old ones come from."""
    found = []
    for key, value in new.items():
        name, other = prefix + key, old.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            found += differences(value, other, name + ".", whose=whose)
        elif (list(value) if isinstance(value, tuple) else value) != (list(other) if isinstance(other, tuple) else other):
            found.append((name, f"{name}: {value!r} ({whose} has {other!r})"))
    return found


def _occupied(folder: Path, config: Config) -> str:
    try:
        lines = [line for _, line in differences(to_dict(config), to_dict(open_run(folder).config))]
        detail = f"with another config ({'; '.join(lines[:3])})" if lines else "with the same config"
    except InputError:
        detail = "that cannot be read"
    return f"{folder} holds a run {detail}: --resume goes on with it, --overwrite replaces it, --run-dir names another folder"


def practised(run: Run) -> int:
    """Env-steps that the run's policy has learnt from, those of the runs it began with or learnt from included as far as these
    are still there."""
    found: dict[Path, int] = {}

    def visit(folder: Path, config: Config) -> None:
        rows = read_metrics(folder / METRICS) if (folder / METRICS).exists() else []
        found[folder.resolve()] = int(rows[-1]["env_steps"]) if rows else 0
        for source in (config.init_from, config.teacher):
            if source and Path(source).resolve() not in found and (Path(source) / CONFIG).exists():
                visit(Path(source), open_run(Path(source)).config)

    visit(run.folder, run.config)
    return sum(found.values())


def truncate_metrics(path: Path, iteration: int) -> None:
    """Drop rows after `iteration`: a resumed run writes them again."""
    if not path.exists():
        return
    kept = [row for row in read_metrics(path) if row["iteration"] <= iteration]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of metrics.jsonl; one that a kill cut off, or that is being written, is left out."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and "iteration" in row:
            rows.append(row)
    return rows


def facts() -> dict[str, Any]:
    """What made this run: versions, commit, machine, time."""
    return {
        **code(),
        "machine": {"system": platform.platform(), "cpu": _cpu_name(), "cores": os.cpu_count()},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def code() -> dict[str, Any]:
    """Which program this is: the versions it is made of, and its commit."""
    versions = {"mimic": __version__, "python": platform.python_version()}
    return {"versions": versions | {name: metadata.version(name) for name in PACKAGES}, "git_commit": git_commit()}


def git_commit() -> str:
    """The source tree's commit, "+" if it has changes, or "" when it is not a git checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        git = ["git", "-C", str(root)]
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True).stdout
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit.strip() + ("+" if dirty.strip() else "")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
