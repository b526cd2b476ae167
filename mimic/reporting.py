"""Everything to look at after a training: video, contact sheet, plots and report.html, in the run folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mimic.config import to_dict
from mimic.evaluate import Evaluation
from mimic.metrics import frame_errors
from mimic.pipeline import POLICY, robot_for
from mimic.roam import Roaming
from mimic.runs import CONFIG, Run, read_metrics
from mimic.view.plots import plot_errors, plot_joints, plot_learning
from mimic.view.report import write_report
from mimic.view.video import contact_sheet, write_video

VIDEO_FPS = 25.0


def report_run(run: Run, evaluation: Evaluation, quality: dict[str, Any] | None, say: Callable[[str], None]) -> list[Path]:
    """Film the first clip, draw the plots and write the report; returns the files."""
    folder, first = run.folder, evaluation.rollouts[0]
    fps = 1.0 / run.config.sim.ctrl_dt
    model = robot_for(run).model
    shown = np.isfinite(first.states.qpos).all(axis=1)  # where the physics broke there is nothing to see
    qpos, reference_qpos = first.states.qpos[shown], first.reference.qpos[shown]
    every = max(1, round(fps / VIDEO_FPS))
    drawn_by = write_video(folder / "video.mp4", model, qpos, reference_qpos, fps, every=every)
    contact_sheet(folder / "frames.png", model, qpos, reference_qpos, fps)
    say(f"pictures drawn by {drawn_by}")

    anchor = run.robot.tracked_bodies.index(run.robot.anchor_body)
    errors = frame_errors(first.states, first.reference, anchor)
    row = evaluation.clips[0]
    completed = None if row["completed_frames"] == row["frames"] else row["completed_frames"]
    rows = read_metrics(run.metrics_path)
    plots = [
        ("Learning", plot_learning(folder / "learning.png", rows)),
        (f"Error along {row['name']}", plot_errors(folder / "errors.png", errors, fps, completed=completed)),
        ("Joints", plot_joints(folder / "joints.png", qpos, reference_qpos, run.robot.joint_names, fps)),
    ]
    record = json.loads((folder / CONFIG).read_text())
    facts = {
        "robot": run.robot.name,
        "clips": ", ".join(motion.name for motion in run.motions),
        "source": run.motions[0].source,
        "licence": run.motions[0].licence,
        "env-steps": f"{rows[-1]['env_steps']:,}",
        "started": record["started"],
        "commit": record["git_commit"],
        "machine": ", ".join(str(value) for value in record["machine"].values()),
        "versions": record["versions"],
        "config": to_dict(run.config),
    }
    report = write_report(
        folder / "report.html",
        title=f"{run.robot.name}: {run.motions[0].name}",
        facts=facts,
        metrics=evaluation.to_json(),
        plots=plots,
        video=folder / "video.mp4",
        contact_sheet=folder / "frames.png",
        quality=quality,
        commands=[
            f"mimic play {folder / POLICY} --video again.mp4",
            f"mimic evaluate {folder}",
            f"mimic train {run.config.preset} --resume --run-dir {folder}",
        ],
    )
    return [folder / POLICY, folder / "video.mp4", folder / "frames.png", *(path for _, path in plots), report]


def report_roaming(run: Run, roaming: Roaming, say: Callable[[str], None]) -> list[Path]:
    """Film the first of the robots that were let loose and draw the curves; returns the files."""
    folder, fps = run.folder, 1.0 / run.config.sim.ctrl_dt
    qpos = roaming.states.qpos[:, 0]
    qpos = qpos[np.isfinite(qpos).all(axis=1)]
    model, every = robot_for(run).model, max(1, round(fps / VIDEO_FPS))
    drawn_by = write_video(folder / "video.mp4", model, qpos, None, fps, every=every)
    contact_sheet(folder / "frames.png", model, qpos, None, fps)
    say(f"pictures drawn by {drawn_by}")
    return [folder / "video.mp4", folder / "frames.png", plot_learning(folder / "learning.png", read_metrics(run.metrics_path))]
