"""Everything to look at after a training: video, contact sheet, plots and report.html, in the run folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mimic.evaluation.roam import Roaming
from mimic.evaluation.whole_clips import Evaluation
from mimic.metrics import frame_errors
from mimic.pipeline import robot_for
from mimic.report.gather import report_of
from mimic.report.kept import of_roaming, of_rollouts
from mimic.report.page import write_page
from mimic.runs import POLICY, QUALITY, REPORT, Run, read_metrics
from mimic.view.plots import plot_errors, plot_joints, plot_learning
from mimic.view.video import contact_sheet, write_video
from motions.files import write_json

VIDEO_FPS = 25.0


def report_run(run: Run, evaluation: Evaluation, quality: dict[str, Any] | None, say: Callable[[str], None]) -> list[Path]:
    """Film the first clip, draw the plots and write the report, with the `quality` of a retargeting; returns the files."""
    folder, first = run.folder, evaluation.rollouts[0]
    fps = 1.0 / run.config.sim.ctrl_dt
    if quality is not None:
        write_json(folder / QUALITY, quality)
    shown = np.isfinite(first.states.qpos).all(axis=1)  # where the physics broke there is nothing to see
    qpos, reference_qpos = first.states.qpos[shown], first.reference.qpos[shown]
    pictures = _film(run, qpos, reference_qpos, say)
    anchor = run.robot.tracked_bodies.index(run.robot.anchor_body)
    errors = frame_errors(first.states, first.reference, anchor)
    row = evaluation.clips[0]
    completed = None if row["completed_frames"] == row["frames"] else row["completed_frames"]
    plots = [
        plot_errors(folder / "errors.png", errors, fps, completed=completed),
        plot_joints(folder / "joints.png", qpos, reference_qpos, run.robot.joint_names, fps),
    ]
    report = report_of(run, evaluation.to_json(), of_rollouts(evaluation.clips, evaluation.rollouts))
    return [folder / POLICY, *pictures, *plots, write_page(folder / REPORT, [report])]


def report_roaming(run: Run, roaming: Roaming, say: Callable[[str], None]) -> list[Path]:
    """Film the first of the robots that were let loose and write the report; returns the files."""
    qpos = roaming.states.qpos[:, 0]
    pictures = _film(run, qpos[np.isfinite(qpos).all(axis=1)], None, say)
    report = report_of(run, roaming.to_json(), of_roaming(roaming))
    return [run.folder / POLICY, *pictures, write_page(run.folder / REPORT, [report])]


def _film(run: Run, qpos: np.ndarray, reference_qpos: np.ndarray | None, say: Callable[[str], None]) -> list[Path]:
    """Video, contact sheet and learning curve."""
    folder, fps = run.folder, 1.0 / run.config.sim.ctrl_dt
    model, every = robot_for(run).model, max(1, round(fps / VIDEO_FPS))
    drawn_by = write_video(folder / "video.mp4", model, qpos, reference_qpos, fps, every=every)
    contact_sheet(folder / "frames.png", model, qpos, reference_qpos, fps)
    say(f"pictures drawn by {drawn_by}")
    return [folder / "video.mp4", folder / "frames.png", plot_learning(folder / "learning.png", read_metrics(run.metrics_path))]
