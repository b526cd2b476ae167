"""The whole-clip protocol: every clip once, from its first frame to its last, deterministic, in plain C MuJoCo.

No JAX: what is evaluated is an exported policy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mimic.arguments import paper
from mimic.deploy.sim2sim import Policy, Rollout, rollout
from mimic.deploy.simulation import OTHER_SIMULATOR, other_simulator
from mimic.evaluation.deepmimic import imitation_reward, normalized_return, released_reward
from mimic.evaluation.points import points_of, points_table
from mimic.evaluation.recovery import recovery_line
from mimic.evaluation.strikes import measure_strikes, strikes
from mimic.metrics import METRICS, SUCCESS_DISTANCE_M, clip_metrics, mean_metrics
from mimic.robots import Robot
from mimic.switches import spell_switches
from motions.errors import InputError
from motions.formats import write_motion_file
from motions.kinematics import KinematicState
from motions.motion import Motion, file_stem

Row = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """Results of one policy: a row per clip (`mimic.metrics.clip_metrics`) and the runs they came from.

    `clips`: with the contacts of the training. `all_collisions`: again with every geom that can touch, None if not asked.
    `sim2sim`: in another simulator than the trained one (`mimic.deploy.simulation.other_simulator`).
    """

    clips: list[Row]
    all_collisions: list[Row] | None
    sim2sim: list[Row]
    step_ms: float
    """Median wall time of a control step without the physics [ms]."""
    rollouts: list[Rollout] = field(repr=False)
    strikes: tuple[list[Row], list[Row]] | None = None
    """Of a policy that strikes (`mimic.evaluation.strikes`): a row per clip, as trained and in the other simulator."""
    points: tuple[list[Row], list[Row]] | None = None
    """Of a policy that reaches for points (`mimic.evaluation.points`): as strikes."""
    recovery: Row | None = None
    """Of a policy that gets up (`mimic.evaluation.recovery`)."""
    switches: Row | None = None
    """Of a policy that goes over from clip to clip (`mimic.evaluation.switching`)."""
    n_env_steps: int | None = None
    """What the policy has learnt from, the runs it began with or learnt from included; None: not known."""

    @property
    def mean(self) -> Row:
        return mean_metrics(self.clips)

    def to_json(self) -> dict[str, Any]:
        """{"step_ms": ..., "n_env_steps": ..., "clips": [...], "mean": {...}, "sim2sim": {...}, "all_collisions": {...}}, these
        two with clips and mean of their own."""
        report = {"step_ms": self.step_ms, "n_env_steps": self.n_env_steps, **_summary(self.clips)}
        report["sim2sim"] = {"simulator": OTHER_SIMULATOR, **_summary(self.sim2sim)}
        if self.all_collisions is not None:
            report["all_collisions"] = _summary(self.all_collisions)
        if self.strikes is not None:
            report["strikes"], report["sim2sim"]["strikes"] = self.strikes
        if self.points is not None:
            report["points"], report["sim2sim"]["points"] = self.points
        if self.recovery is not None:
            report["recovery"] = self.recovery
        if self.switches is not None:
            report["switches"] = self.switches
        return report


def _summary(rows: list[Row]) -> dict[str, Any]:
    return {"clips": rows, "mean": mean_metrics(rows)}


def evaluate_policy(
    policy: Policy, motions: Sequence[Motion] | None = None, *, all_collisions: mujoco.MjModel | None = None, cycles: int = 1
) -> Evaluation:
    """Run `policy` over `motions` (its own clip by default) of so many cycles, as trained and in another simulator.

    `all_collisions`: the robot's model with all its contacts on, for the second set of results.
    """
    motions = motions or [policy.motion]
    runs = [rollout(policy, motion) for motion in motions]

    def again(model: mujoco.MjModel) -> list[Rollout]:
        return [rollout(policy, motion, model=model) for motion in motions]

    def struck(model: mujoco.MjModel) -> list[Row]:
        return [measure_strikes(policy, motion, model) for motion in motions]

    def measured(runs: list[Rollout]) -> list[Row]:
        return [measure(policy, run, cycles) for run in runs]

    def pointed(runs: list[Rollout]) -> list[Row]:
        return [row for run in runs if (row := points_of(policy, run))]

    other = other_simulator(policy.model)
    elsewhere, points = again(other), pointed(runs)
    return Evaluation(
        clips=measured(runs),
        all_collisions=None if all_collisions is None else measured(again(all_collisions)),
        sim2sim=measured(elsewhere),
        points=(points, pointed(elsewhere)) if points else None,
        strikes=(struck(policy.model), struck(other)) if strikes(policy) else None,
        n_env_steps=policy.spec.env_steps,
        step_ms=float(np.median(np.concatenate([run.step_ms for run in runs]))),
        rollouts=runs,
    )


def measure(policy: Policy, run: Rollout, cycles: int = 1) -> Row:
    """The row of one run, on a clip of so many cycles; nr, nr_released: `mimic.evaluation.deepmimic`'s normalized return."""
    spec = policy.spec
    row = clip_metrics(
        run.name,
        run.frames,
        run.states,
        run.reference,
        anchor=spec.anchor,
        end_effectors=spec.end_effector_indices,
        termination=spec.termination,
    )
    done, aim = (KinematicState(*(column[: row["completed_frames"]] for column in part)) for part in (run.states, run.reference))
    followed = policy.body, done, aim, spec.end_effector_indices
    rewards = {
        "nr": imitation_reward(*followed),
        "nr_released": released_reward(*followed, dt=spec.ctrl_dt, cycle=run.frames / cycles),
    }
    return row | {name: normalized_return(reward, run.frames) for name, reward in rewards.items()}


def simulated_motion(name: str, qpos: np.ndarray, robot: str, joint_names: tuple[str, ...], fps: float) -> Motion:
    """What a body did in the simulator, qpos (T, nq), up to where the physics broke, if it did; `fps` [Hz] is the control rate.

    Raises `InputError` if hardly a frame is left.
    """
    broken = ~np.isfinite(qpos).all(axis=1)
    frames = int(np.argmax(broken)) if broken.any() else len(broken)
    return Motion(name, robot, fps, qpos[:frames], joint_names, source=f"simulation of {name}")


def save_simulated(evaluation: Evaluation, robot: Robot, fps: float, out: Path, say: Callable[[str], None]) -> None:
    """Write the simulated motions as our npz: one to the file `out`, several into the folder `out`; `fps` [Hz] of the control.

    Raises `InputError` for one file and several motions, or where nothing can be written.
    """
    runs = evaluation.rollouts
    single = out.suffix == ".npz"
    if single and len(runs) > 1:
        raise InputError(f"--save-motion {out} is one file but {len(runs)} motions were simulated: name a folder")
    for index, run in enumerate(runs):
        target = out if single else out / f"{index:04d}-{file_stem(run.name)}.npz"
        motion = simulated_motion(run.name, run.states.qpos, robot.name, robot.joint_names, fps)
        write_motion_file(target, motion)
        ended = f", ended early: the clip has {run.frames}" if motion.num_frames < run.frames else ""
        say(f"wrote {target}: {motion.num_frames} simulated frames at {fps:g} Hz{ended}")


def print_evaluation(evaluation: Evaluation, contacts: str, console: Console | None = None) -> None:
    """The tables for people; `contacts` names those of the training."""
    console = console or paper()
    console.print(metrics_table(evaluation.clips, f"Whole clip, contacts as trained ({contacts})"))
    if evaluation.all_collisions is not None:
        console.print(metrics_table(evaluation.all_collisions, "Whole clip, all collisions"))
    console.print(metrics_table(evaluation.sim2sim, f"Whole clip, another simulator ({OTHER_SIMULATOR})"))
    if evaluation.strikes is not None:
        console.print(_strikes_table(*evaluation.strikes))
    if evaluation.points is not None:
        console.print(points_table(*evaluation.points))
    if evaluation.recovery is not None:
        console.print(recovery_line(evaluation.recovery))
    if evaluation.switches is not None:
        console.print(spell_switches(evaluation.switches))
    console.print(f"One control step of the policy takes {evaluation.step_ms:.2f} ms (median, one core, without the physics).")


def _strikes_table(as_trained: Sequence[Row], another: Sequence[Row]) -> Table:
    table = Table(
        title=f"{as_trained[0]['targets']} targets", title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1)
    )
    for header in ("clip", "simulator", "struck", "stood", "nearest [m]"):
        table.add_column(header, justify="left" if header in ("clip", "simulator") else "right")
    for where, rows in (("as trained", as_trained), ("another", another)):
        for row in rows:
            table.add_row(Text(row["name"]), where, f"{row['struck']:.0%}", f"{row['stood']:.0%}", f"{row['nearest_m']:.2f}")
    return table


def print_mirrored(evaluation: Evaluation, console: Console | None = None) -> None:
    """How far each clip's error is from its mirror image's, where the second half of the clips mirrors the first."""
    console = console or paper()
    half = len(evaluation.clips) // 2
    for row, image in zip(evaluation.clips[:half], evaluation.clips[half:], strict=True):
        a, b = row["e_mpbpe_mm"], image["e_mpbpe_mm"]
        apart = "-" if a is None or b is None else f"{abs(b - a) / a:.1%}"
        console.print(
            f"{row['name']}: E_mpbpe {_number(a, 2)} mm, its mirror image {_number(b, 2)} mm: {apart} apart",
            highlight=False, soft_wrap=True, markup=False,
        )  # fmt: skip


def metrics_table(rows: Sequence[Row], title: str) -> Table:
    """Clips down, successes and headline errors across; with several clips, their mean at the bottom. Fits 80 columns."""
    shown = [metric for metric in METRICS if metric.headline]
    table = Table(
        title=title, title_justify="left", show_footer=len(rows) > 1, box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1)
    )
    mean = mean_metrics(rows)

    def add_number(header: str, footer: str) -> None:
        table.add_column(Text(header), footer, justify="right", no_wrap=True)

    table.add_column("clip", "mean", overflow="fold", min_width=8)
    add_number("frames", f"{mean['completed_frames']:.0f}/{mean['frames']:.0f}")
    add_number("success\nheight", f"{mean['success_height']:.0%}")
    for key, bound in SUCCESS_DISTANCE_M.items():
        add_number(f"\n{bound:g} m", f"{mean[key]:.0%}")
    for metric in shown:
        add_number(f"{metric.symbol}\n[{metric.unit}]", _number(mean[metric.key], metric.digits))
    for row in rows:
        passed = ["yes" if row[key] else "no" for key in ("success_height", *SUCCESS_DISTANCE_M)]
        errors = [_number(row[metric.key], metric.digits) for metric in shown]
        table.add_row(Text(row["name"]), f"{row['completed_frames']}/{row['frames']}", *passed, *errors)
    return table


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
