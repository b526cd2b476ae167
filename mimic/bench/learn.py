"""How many env-steps learning takes to a target: a training per seed, each policy measured by the whole-clip protocol."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from mimic.arguments import paper
from mimic.config import Config
from mimic.pipeline import evaluate_run
from mimic.robots import Robot
from mimic.runs import create_run
from mimic.training.train import train
from motions.motion import Motion


def bench_learn(
    config: Config, robot: Robot, motions: tuple[Motion, ...], seeds: tuple[int, ...], folder: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Train once per seed and measure each policy by the whole-clip protocol."""
    rows = []
    for seed in seeds:
        run = create_run(folder / f"seed{seed}", dataclasses.replace(config, seed=seed), robot, motions, overwrite=True)
        result = train(run, say)
        if result.stopped_by:
            raise KeyboardInterrupt
        mean = evaluate_run(run, None, say).mean
        rows.append({"seed": seed, "env_steps": result.env_steps, "wall_s": result.wall_s, **mean})
        done = f"{mean['completed_frames']:.0f} of {mean['frames']:.0f} frames, E_mpbpe {mean['e_mpbpe_mm']:.1f} mm"
        say(f"seed {seed}: {done} after {result.env_steps / 1e6:.2f} M env-steps; in {run.folder}")
    return rows


def print_learn(rows: list[dict[str, Any]], target_mm: float) -> None:
    """A row per seed, then the median and whether the target is met by all."""
    names = ("seed", "env_steps", "wall_s", "success_height", "completed_frames", "e_mpbpe_mm", "e_g_mpbpe_mm", "e_mpjpe_rad")
    table = Table(*names)
    for row in rows:
        table.add_row(*(f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in names))
    paper().print(table)
    median = float(np.median([row["e_mpbpe_mm"] for row in rows]))
    complete = all(row["success_height"] == 1 for row in rows)
    verdict = "reached" if complete and median <= target_mm else "not reached"
    print(f"median E_mpbpe {median:.1f} mm, {'all' if complete else 'not all'} seeds complete: {target_mm:g} mm {verdict}")
