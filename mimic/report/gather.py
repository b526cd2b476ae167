"""From a run folder to what a report says of it: finished, still in training, or written by an older version."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mimic.report.clip import Clip, clip_to_json, joint_use, make_clip
from mimic.report.command import command_of
from mimic.report.kept import ROLLOUTS, Kept, of_roaming, of_rollouts, read_kept
from mimic.runs import CONFIG, EVALUATION, POLICY, QUALITY, STRESS, Run, open_run, read_metrics
from motions.errors import InputError
from motions.library import pack

SCHEMA = 1
COMPARISON = "comparison.json"
CURVES = (
    "error/e_mpbpe_mm", "error/e_g_mpbpe_mm", "rollout/falls_per_s", "rollout/reward", "style/reward", "style/coverage",
    "reward/goal",
)  # fmt: skip
POINTS = 400  # of a curve, in page and JSON

type Say = Callable[[str], None]


@dataclass(frozen=True)
class RunReport:
    """What there is to say of one run. `name`: of its folder. `missing`: a sentence for each part that is not there, with how to
    make it. evaluation, stress, quality, comparison: as the files of the run folder have them."""

    run: Run
    name: str
    record: dict[str, Any] = field(repr=False)
    metrics: list[dict[str, float]] = field(repr=False)
    evaluation: dict[str, Any] | None = field(repr=False)
    stress: dict[str, Any] | None = field(repr=False)
    quality: dict[str, Any] | None = field(repr=False)
    comparison: dict[str, Any] | None = field(repr=False)
    clips: tuple[Clip, ...] = field(repr=False)
    missing: tuple[str, ...] = ()

    @property
    def env_steps(self) -> int:
        return int(self.metrics[-1]["env_steps"]) if self.metrics else 0

    @property
    def in_training(self) -> bool:
        """Or interrupted: it has not come to its configured end."""
        config = self.run.config
        return self.env_steps < config.num_iterations * config.steps_per_iteration

    @property
    def training_s(self) -> float | None:
        """How long its iterations took [s]; None where an older version did not write it."""
        if not self.metrics or any("time/iteration_s" not in row for row in self.metrics):
            return None
        return float(np.sum([row["time/iteration_s"] for row in self.metrics]))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Of the clips, as trained; none of one that follows no clip."""
        return (self.evaluation or {}).get("clips", [])

    @property
    def free(self) -> dict[str, Any] | None:
        """Of one that follows no clip."""
        return (self.evaluation or {}).get("free")

    @property
    def joints(self) -> list[dict[str, Any]]:
        return joint_use(self.clips, self.run.robot) if self.clips else []

    def to_json(self) -> dict[str, Any]:
        """docs/report.md has the layout."""
        thin = thinned(self.metrics)
        return {
            "name": self.name,
            "folder": str(self.run.folder),
            "robot": self.run.robot.name,
            "preset": self.run.config.preset,
            "follows": self.run.config.follow,
            "in_training": self.in_training,
            "env_steps": self.env_steps,
            "training_s": self.training_s,
            "command": command_of(self.run.config, self.run.folder),
            **{key: value for key, value in self.record.items() if key != "config"},
            "missing": list(self.missing),
            "evaluation": self.evaluation,
            "stress": self.stress,
            "quality": self.quality,
            "teacher_and_student": self.comparison,
            "curves": {key: [row.get(key) for row in thin] for key in ("env_steps", *CURVES) if key in (thin or [{}])[-1]},
            "clips": [clip_to_json(clip, self.run.robot) for clip in self.clips],
            "joints": self.joints,
            "config": self.record["config"],
        }


def report_to_json(reports: Sequence[RunReport]) -> dict[str, Any]:
    return {"schema": SCHEMA, "runs": [report.to_json() for report in reports]}


def thinned(metrics: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """Every so manieth row, the last among them, and each curve there as the mean since the row before."""
    every = max(1, -(-len(metrics) // POINTS))
    groups = [metrics[max(0, end - every) : end] for end in range(len(metrics), 0, -every)][::-1]
    return [_mean_row(group) for group in groups]


def _mean_row(group: Sequence[dict[str, float]]) -> dict[str, float]:
    known = {key: [row[key] for row in group if key in row] for key in CURVES}
    return {"env_steps": group[-1]["env_steps"]} | {key: sum(values) / len(values) for key, values in known.items() if values}


def gather(folders: Sequence[Path], say: Say) -> list[RunReport]:
    """Read run folders, and measure what is not measured yet: a run in training by its newest checkpoint. Writes nothing there.

    Raises `InputError` for what is no run folder, or is damaged.
    """
    reports = [_gather(folder, say) for folder in folders]
    names = [report.name for report in reports]
    return [r if names.count(r.name) == 1 else replace(r, name=f"{r.run.folder.resolve().parent.name}/{r.name}") for r in reports]


def _gather(folder: Path, say: Say) -> RunReport:
    run = open_run(folder)
    missing: list[str] = []
    evaluation = _read(folder / EVALUATION)
    if evaluation is not None and (folder / ROLLOUTS).exists() and not _before_newest(run, ROLLOUTS):
        return _report(run, evaluation, read_kept(folder), missing)
    try:
        evaluation, kept = _measured(run, say)
        without = ", and not with all collisions on" if run.config.follow else ""
        missing.append(f"Measured for this page only{without}. To keep it: mimic evaluate {folder}")
    except InputError as error:
        kept = []
        missing.append(f"Nothing can be shown frame by frame, the policy cannot be run: {error}")
    return _report(run, evaluation, kept, missing)


def report_of(run: Run, evaluation: dict[str, Any], kept: Sequence[Kept]) -> RunReport:
    """Of a run that has just been measured."""
    return _report(run, evaluation, kept, [])


def _report(run: Run, evaluation: dict[str, Any] | None, kept: Sequence[Kept], missing: list[str]) -> RunReport:
    folder = run.folder
    record = _read(folder / CONFIG)
    assert record is not None
    stress = _read(folder / STRESS)
    if stress is None and run.config.follow and run.config.goal.kind is None:
        missing.append(f"The margins are not measured: mimic stress {folder}")
    elif stress is not None and _before_newest(run, STRESS):
        missing.append(f"The margins are those of an older checkpoint. Anew: mimic stress {folder}")
    if evaluation is not None and run.config.follow and "sim2sim" not in evaluation:
        missing.append(f"Another simulator was not tried, an older version evaluated. Anew: mimic evaluate {folder}")
    metrics = read_metrics(run.metrics_path) if run.metrics_path.exists() else []
    if not metrics:
        missing.append("There are no learning curves: metrics.jsonl is absent or empty.")
    return RunReport(
        run=run,
        name=folder.resolve().name,
        record=record,
        metrics=metrics,
        evaluation=evaluation,
        stress=stress,
        quality=_read(folder / QUALITY),
        comparison=_read(folder / COMPARISON),
        clips=tuple(_clips(run, evaluation, kept)),
        missing=tuple(missing),
    )


def told_apart(names: Sequence[str]) -> list[str]:
    """Names of clips, their number behind those that come again."""
    return [name if name not in names[:place] else f"{name} ({place + 1})" for place, name in enumerate(names)]


def _clips(run: Run, evaluation: dict[str, Any] | None, kept: Sequence[Kept]) -> list[Clip]:
    sim, asked, made = run.config.sim, run.asked, []
    names = told_apart([motion.name for motion in asked])
    for one in kept:
        if len(one.qpos) < 2:  # the physics broke at once: there is nothing to show
            continue
        if not run.config.follow:
            made.append(make_clip("let loose", (evaluation or {}).get("free", {}), one, run.robot, None, sim))
            continue
        motion, name = asked[one.clip], names[one.clip]
        frames = pack([motion], run.robot.body, run.robot.tracked_bodies, sim.ctrl_dt).frames
        made.append(make_clip(name, (evaluation or {})["clips"][one.clip], one, run.robot, frames, sim))
    return made


def _measured(run: Run, say: Say) -> tuple[dict[str, Any], list[Kept]]:
    """By the newest checkpoint. Raises `InputError` where none can be read."""
    from mimic.deploy.sim2sim import Policy
    from mimic.evaluation.roam import roam
    from mimic.evaluation.whole_clips import evaluate_policy
    from mimic.pipeline import trained_policy, write_policy

    trained = trained_policy(run, say)
    say(f"{run.folder}: not evaluated since its newest checkpoint, or by an older version: this is done now")
    with tempfile.TemporaryDirectory(prefix="mimic-report-") as scratch:
        policy = Policy.load(write_policy(trained, run, Path(scratch) / POLICY))
    if not run.config.follow:
        roaming = roam(policy, run.asked)
        return roaming.to_json(), of_roaming(roaming)
    found = evaluate_policy(policy, run.asked)
    return found.to_json(), of_rollouts(found.clips, found.rollouts)


def _before_newest(run: Run, name: str) -> bool:
    """Whether a file of the run is older than its newest checkpoint."""
    saved = [path.stat().st_mtime for path in run.checkpoints.glob("*") if path.name.isdigit()]
    return bool(saved) and (run.folder / name).stat().st_mtime < max(saved)


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON file of the run folder; None where there is none. Raises `InputError` for a damaged one."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object")
    return content
