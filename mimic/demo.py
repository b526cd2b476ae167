"""`mimic demo`: what follows once the motion is read: train, measure, export, film, report, with a stopwatch."""

import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.table import Table

from mimic.arguments import paper
from mimic.evaluation.whole_clips import print_evaluation
from mimic.help_text import program
from mimic.pipeline import evaluate_run
from mimic.progress import waiting
from mimic.reporting import report_run
from mimic.runs import POLICY, REPORT, Run
from mimic.training.train import TrainResult, peak_memory_mb, train


class Stopwatch:
    """Seconds per phase: `with stopwatch("train"): ...`."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.phases: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.phases[phase] = time.perf_counter() - began

    @property
    def total_s(self) -> float:
        return time.perf_counter() - self.began


def run_demo(run: Run, quality: dict[str, Any] | None, stopwatch: Stopwatch, say: Callable[[str], None]) -> TrainResult:
    """Train `run` and make everything a user would want of it, unless stopped; prints a summary, and writes it as demo.json."""
    with stopwatch("train"):
        result = train(run, say)
    if result.stopped_by:
        return result
    with stopwatch("evaluate and export"):
        evaluation = evaluate_run(run, None, say)
    with stopwatch("video and report"), waiting("filming and writing the report"):
        written = report_run(run, evaluation, quality, say)
    print_evaluation(evaluation, run.config.sim.collisions)
    mean = evaluation.mean
    summary = {
        "env_steps": result.env_steps,
        "steps_per_s": result.steps_per_s,
        "success_height": mean["success_height"],
        "e_mpbpe_mm": mean["e_mpbpe_mm"],
        "peak_memory_mb": peak_memory_mb(),
        "total_s": stopwatch.total_s,
        **{f"{phase.replace(' ', '_')}_s": seconds for phase, seconds in stopwatch.phases.items()},
    }
    (run.folder / "demo.json").write_text(json.dumps(summary, indent=2) + "\n")
    title = f"demo: {stopwatch.total_s / 60:.1f} minutes, peak memory {peak_memory_mb() / 1000:.2f} GB"
    table = Table("phase", "seconds", title=title)
    for phase, seconds in stopwatch.phases.items():
        table.add_row(phase, f"{seconds:.0f}")
    paper().print(table)
    print("\n".join(["", *next_steps(run, written)]))
    return result


def next_steps(run: Run, written: list[Path]) -> list[str]:
    """What there is now, and what to type next."""
    mimic, folder, bundle = program(), shlex.quote(str(run.folder)), shlex.quote(str(run.folder / "bundle"))
    steps = {
        f"{mimic} view {folder}": "in the browser, live: push it",
        f"{mimic} stress {folder} --seeds 8": "how much delay, mass, friction, ... it bears",
        f"{mimic} export {folder} --bundle --out {bundle}": "all that a deployer needs",
        f"{mimic} init mine": "the same with your motion and robot: it asks",
    }
    width = max(map(len, steps))
    lines = [f"open {run.folder / REPORT} in a browser: the report is one file, with a replay in it"]
    others = [path.name for path in written if path.name not in (POLICY, REPORT)]
    lines += [f"beside it: {POLICY}{''.join(f', {name}' for name in others)}", "", "next:"]
    return lines + [f"  {step:{width}}  {what}" for step, what in steps.items()]
