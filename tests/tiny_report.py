"""Run folders of the tiny robot without a training: a policy that does as its prior asks, evaluated, and made-up metrics."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tiny import tiny_motion, tiny_robot
from tiny_policy import CONFIG, FREE, still_policy

from mimic.evaluation.roam import roam
from mimic.evaluation.whole_clips import Evaluation, evaluate_policy
from mimic.report.kept import of_roaming, of_rollouts, write_kept
from mimic.runs import EVALUATION, METRICS, STRESS, create_run
from motions.files import write_json
from motions.motion import Motion

ROBOT = tiny_robot()
EVIL = "<script>alert(1)</script>"
STRESS_RECORD = {
    "policy": "p.onnx", "clip": EVIL, "seeds": 2, "pass": 0.95,
    "axes": [
        {"axis": "torque", "unit": "x", "value": 0.7, "completion": 0.5, "e_mpbpe_mm": 9.0},
        {"axis": "torque", "unit": "x", "value": 1.0, "completion": 1.0, "e_mpbpe_mm": 9.0},
    ],
    "margins": {"torque": {"unit": "x", "nominal": 1.0, "below": {"to": 1.0, "open_end": False}}},
}  # fmt: skip


def evil_motion(name: str = EVIL, frames: int = 61) -> Motion:
    return replace(tiny_motion(frames), name=name, source=EVIL, licence=EVIL)


def tiny_report_run(folder: Path, motions: Sequence[Motion]) -> Evaluation:
    """A finished run in `folder`, as its training leaves it; its report aside."""
    run = create_run(folder, replace(CONFIG, env_steps=20_000, num_envs=10), ROBOT, tuple(motions))
    _metrics(folder, {"error/e_mpbpe_mm": 40.0, "error/e_g_mpbpe_mm": 80.0})
    evaluation = evaluate_policy(still_policy(folder), run.motions)
    write_json(folder / EVALUATION, evaluation.to_json())
    write_kept(folder, of_rollouts(evaluation.clips, evaluation.rollouts))
    write_json(folder / STRESS, STRESS_RECORD)
    return evaluation


def tiny_free_run(folder: Path) -> None:
    """The same of one that follows no clip and is told where to go."""
    run = create_run(folder, replace(FREE, env_steps=20_000, num_envs=10), ROBOT, (evil_motion(),))
    _metrics(folder, {"style/reward": 0.3, "style/coverage": 0.5, "reward/goal": 0.7})
    roaming = roam(still_policy(folder, FREE), run.motions, seconds=2.0)
    write_json(folder / EVALUATION, roaming.to_json())
    write_kept(folder, of_roaming(roaming))


def _metrics(folder: Path, curves: dict[str, float]) -> None:
    """2,000 iterations, each curve falling to its value; 10 s of training."""
    rows = []
    for i in range(1, 2001):
        falling = {key: value * (1 + float(np.exp(-i / 300))) for key, value in curves.items()}
        common = {"rollout/falls_per_s": 1 / i, "rollout/reward": i / 2000, "time/iteration_s": i * 10.0 / 2_001_000}
        rows.append(json.dumps({"iteration": i, "env_steps": 10 * i, **falling, **common}))
    (folder / METRICS).write_text("\n".join(rows) + "\n")
