"""Teacher and student side by side: whole clips by the exported files, and in the student's own environments."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from mimic.arguments import paper
from mimic.config import HEIGHT_RULE, Config, CurriculumConfig
from mimic.deploy.export import export_policy
from mimic.deploy.sim2sim import Policy
from mimic.evaluation.whole_clips import Evaluation, evaluate_policy
from mimic.learning.distill import Lesson, Taught
from mimic.learning.ppo import TrainState
from mimic.learning.rollout import collect
from mimic.robots import Robot
from mimic.runs import POLICY, Run
from mimic.sim.buffers import shortage
from mimic.sim.physics import choose_backend
from mimic.training.teacher import FOLDER, TaughtBy, at_nominal, load_teacher
from mimic.training.train import learner_of, make_task, restore_state
from motions.errors import InputError
from motions.motion import Motion

COMPARISON = "comparison.json"
STILL = -20.0  # log standard deviation of an action without noise


@dataclass(frozen=True)
class Side:
    """What one of the two achieves. nominal: the model as it is, plain C MuJoCo. practised: the student's environments at full
    randomization, every episode a whole clip; success by the height rule, E_mpbpe [mm]."""

    nominal_success: float
    nominal_mm: float
    practised_success: float
    practised_mm: float


def compare(run: Run, evaluation: Evaluation, say: Callable[[str], None]) -> dict[str, Side]:
    """Teacher and student of a finished distillation, whose own evaluation is `evaluation`; written to the run folder."""
    taught_by = load_teacher(run.folder)
    say(f"teacher and student in {run.config.num_envs} of the student's environments, from each clip's beginning to its end")
    practised = _practised(run, taught_by, say)
    policy = Policy.load(export_teacher(taught_by, run.robot, run.motions[0], run.folder / FOLDER / POLICY))
    means = {"teacher": evaluate_policy(policy, run.motions).mean, "student": evaluation.mean}
    sides = {who: Side(float(mean["success_height"]), float(mean["e_mpbpe_mm"]), *practised[who]) for who, mean in means.items()}
    (run.folder / COMPARISON).write_text(json.dumps({who: asdict(side) for who, side in sides.items()}, indent=2) + "\n")
    return sides


def export_teacher(taught_by: TaughtBy, robot: Robot, motion: Motion, out: Any) -> Any:
    """Write the teacher's policy at `out` as it acts on the model as it is: there the term randomization is all zeros."""
    nominal = at_nominal(taught_by, robot, motion)
    return export_policy(nominal.layers, nominal.mean, nominal.std, nominal.config, robot, motion, out)


def _practised(run: Run, taught_by: TaughtBy, say: Callable[[str], None]) -> dict[str, tuple[float, float]]:
    """(success, E_mpbpe [mm]) of both, the same chances for both."""
    backend, platform = choose_backend(run.config.backend, run.config.device)
    with jax.default_device(jax.devices(platform)[0]):
        learner = learner_of(run, make_task(run.config, run.robot, run.motions, backend))
        state = restore_state(run, learner, say)
        longest_s = max(motion.duration_s for motion in run.motions)
        task = make_task(judging_config(run.config, longest_s), run.robot, run.motions, backend)
        taught, steps = Taught(task, taught_by.actor, 0.0), int(np.asarray(task.library.clip_length).max()) - 1
        whole = jax.jit(lambda state, led: _whole_clips(taught, learner.networks, state, led, steps))
        found = {who: jax.device_get(whole(state, jnp.asarray(led))) for who, led in (("teacher", 1.0), ("student", 0.0))}
    for _, log in found.values():
        if short := shortage(log):
            raise InputError(f"teacher and student cannot be compared in these environments: {short}")
    return {who: (float(success), float(log["error/e_mpbpe_mm"])) for who, (success, log) in found.items()}


def judging_config(config: Config, longest_s: float) -> Config:
    """The environments of a training as both are judged in: whole clips of up to `longest_s`, all of the randomization, and the
    height rule, whatever the curriculum made of the bounds."""
    return replace(
        config,
        termination=HEIGHT_RULE,
        sampling=replace(config.sampling, from_start=1.0, episode_s=longest_s + config.sim.ctrl_dt),
        curriculum=CurriculumConfig(),
        randomize=replace(config.randomize, start_level=1.0),
    )


def _whole_clips(
    taught: Taught, networks: Any, state: TrainState, led: jax.Array, steps: int
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """`steps` control steps of every environment, from a clip's first frame: share that reaches its last, and the log."""
    task = taught.task
    lesson = Lesson(task.init_curriculum(), led)
    params = state.average | {"log_std": jnp.full(task.action_size, STILL)}
    key_reset, key_run = jax.random.split(jax.random.key(task.config.seed))
    env_state = jax.vmap(taught.reset, (0, None))(jax.random.split(key_reset, task.config.num_envs), lesson)
    _, rollout = collect(
        taught, networks, params, state.normalizer, env_state, lesson, key_run,
        length=steps, obs_clip=task.config.observation.clip,
    )  # fmt: skip
    terminated, truncated = rollout.transitions.terminated, rollout.transitions.truncated
    return completed(terminated, truncated).mean(), rollout.log


def completed(terminated: jax.Array, truncated: jax.Array) -> jax.Array:
    """Whether the first end (T, B) of each environment was no fall; (B,)."""
    first = jnp.argmax(terminated | truncated, axis=0)
    return ~jnp.take_along_axis(terminated, first[None], axis=0)[0]


def print_comparison(sides: dict[str, Side], console: Console | None = None) -> None:
    """The table for people, the student's part of its teacher's success at the bottom."""
    table = Table(
        title="Student beside its teacher (success by the height rule)", title_justify="left", box=SIMPLE_HEAD, show_edge=False
    )
    table.add_column("")
    for world in ("nominal", "the student's\nenvironments"):
        table.add_column(f"{world}\nsuccess", justify="right")
        table.add_column("E_mpbpe\n[mm]", justify="right")
    for who, side in sides.items():
        nominal, practised = f"{side.nominal_success:.1%}", f"{side.practised_success:.1%}"
        table.add_row(who, nominal, f"{side.nominal_mm:.1f}", practised, f"{side.practised_mm:.1f}")
    parts = [
        _part(getattr(sides["student"], name), getattr(sides["teacher"], name))
        for name in ("nominal_success", "practised_success")
    ]
    table.add_row("student / teacher", parts[0], "", parts[1], "")
    (console or paper()).print(table)


def _part(student: float, teacher: float) -> str:
    return f"{student / teacher:.1%}" if teacher else "-"
