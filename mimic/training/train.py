"""The training program: build, iterate, show progress, write metrics, save; stop cleanly on a signal."""

import dataclasses
import hashlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax

from mimic.checkpoint import Checkpoints, newest
from mimic.checks import check_config, worst_draw_warning
from mimic.compile_cache import enable_compile_cache
from mimic.config import Config, to_dict
from mimic.devices import describe, make_mesh
from mimic.learning.distill import make_student
from mimic.learning.harden import make_hardener
from mimic.learning.ppo import Learner, TrainState, make_learner
from mimic.memory import peak_memory_mb
from mimic.progress import waiting
from mimic.robots import Robot
from mimic.runs import Run, code, keep_config, truncate_metrics
from mimic.sim.buffers import shortage
from mimic.sim.physics import choose_backend, doubt, make_physics
from mimic.tasks.tracking import Tracking
from mimic.training.health import Watch
from mimic.training.hosts import any_of, is_first, require_same
from mimic.training.interim import Interim, sentence
from mimic.training.journal import Journal
from mimic.training.program import Program, TrainingError, fitting_program
from mimic.training.teacher import load_teacher
from mimic.training.warm_start import warm_start
from motions.errors import InputError
from motions.library import pack
from motions.motion import Motion

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # Ctrl-C; a scheduler's last word; its warning, where one was asked for
MAX_INVALID = 0.01  # share of environment steps in which the physics may break
RECOVERIES = 3  # how often learning that has diverged is gone on with, each time more slowly


class Diverged(TrainingError):
    """What is learnt is no number any more."""


@dataclass(frozen=True)
class TrainResult:
    """`stopped_by`: the signal that ended it before its time; what had been learnt was saved."""

    env_steps: int
    wall_s: float
    compile_s: float
    steps_per_s: float
    peak_memory_mb: float
    stopped_by: signal.Signals | None


def make_task(
    config: Config,
    robot: Robot,
    motions: tuple[Motion, ...],
    backend: str,
    devices: int = 1,
    targets: np.ndarray | None = None,
) -> Tracking:
    """The task on `devices` devices, with the engine `backend`. targets: as `Run.targets`."""
    if backend == "mjx-warp" and devices > 1:  # with it, XLA of jax 0.11.2 crashes on a step of MJX in a `shard_map`
        jax.config.update("jax_use_shardy_partitioner", False)
    library = pack(motions, robot.body, robot.tracked_bodies, config.sim.ctrl_dt, weights=config.weights, poses=config.poses)
    physics = make_physics(
        robot, backend, config.sim, config.num_envs // devices,
        qpos=library.qpos, dry_friction=config.randomize.joint_friction > 0,
    )  # fmt: skip
    return Tracking(config, robot, physics, library, targets)


def learner_of(run: Run, task: Tracking) -> Learner:
    """What the run learns by: PPO, ways out of its falls, or the imitation of its teacher."""
    if run.config.learner == "search":
        return make_hardener(run.config, task)
    if run.config.teacher is None:
        return make_learner(run.config, task)
    return make_student(run.config, task, load_teacher(run.folder).actor)


def restore_state(run: Run, learner: Learner, warn: Callable[[str], None]) -> TrainState:
    """The newest readable state of a run. Raises `InputError` when there is none."""
    like = jax.eval_shape(learner.init, jax.random.key(run.config.seed))
    return newest(run, lambda checkpoints: checkpoints.restore(like, warn))[0]


def train(run: Run, say: Callable[[str], None] = print, stage: str = "") -> TrainResult:
    """Train `run` to its configured number of env-steps, from its newest checkpoint if it is resumed.

    Learning that has diverged is gone on with from the last checkpoint with half the step sizes, `RECOVERIES` times at most;
    the run keeps these. Ctrl-C, SIGTERM and SIGUSR1 save first. Raises `TrainingError` when learning diverges once more, when
    the physics breaks in more than 1 % of the steps or lacks room, or when the run's folder cannot be written to any more.
    `stage`: which of several it is, for who looks on.
    """
    check_config(run.config)
    for line in worst_draw_warning(run.config, run.robot):
        say(line)
    enable_compile_cache()
    for left in reversed(range(RECOVERIES + 1)):
        try:
            return _train(run, say, stage)
        except Diverged as error:
            if not left:
                raise
            say(f"{error}. Going on from the last checkpoint with half the step sizes (then {left - 1} more tries)")
            run = dataclasses.replace(run, config=slower(run.config), resumed=True)
    raise AssertionError("unreachable: the last try returns or raises")


def slower(config: Config) -> Config:
    """`config` with half of all step sizes, and of the change of a policy that an update may make."""
    ppo, halves = config.ppo, ("learning_rate", "min_learning_rate", "max_learning_rate", "desired_kl", "critic_learning_rate")
    halved = {name: getattr(ppo, name) / 2 for name in halves if getattr(ppo, name) is not None}
    return dataclasses.replace(
        config,
        ppo=dataclasses.replace(ppo, **halved),
        distill=dataclasses.replace(config.distill, learning_rate=config.distill.learning_rate / 2),
        search=dataclasses.replace(config.search, learning_rate=config.search.learning_rate / 2),
        style=dataclasses.replace(config.style, learning_rate=config.style.learning_rate / 2),
    )


def _train(run: Run, say: Callable[[str], None], stage: str) -> TrainResult:
    config = run.config
    if jax.process_count() > 1:  # alone, nobody need ask git
        library = hashlib.sha256()
        for motion in run.motions:
            library.update(motion.qpos.tobytes())
        require_same(code=json.dumps(code()).encode(), config=json.dumps(to_dict(config)).encode(), library=library.digest())
    backend, platform = choose_backend(config.backend, config.device)
    mesh = make_mesh(platform, config.devices, config.num_envs)
    first = jax.local_devices(backend=mesh.devices.flat[0].platform)[0]
    with jax.default_device(first):
        task = make_task(config, run.robot, run.motions, backend, mesh.size, run.targets)
    for words in (doubt(backend, config.sim), None if task.goals is None else task.goals.doubt):
        if words:
            say(words)

    def learner(config: Config) -> Learner:
        with jax.default_device(first):
            return learner_of(dataclasses.replace(run, config=config), task)

    checkpoints = Checkpoints(run.checkpoints, writes=True)
    try:
        with jax.set_mesh(mesh), fitting_program(config, learner, mesh, task.physics.engine_bytes) as program:
            with waiting("compiling"):
                state, compile_s, iterate = _start(run, program, checkpoints, say)
            if run.resumed and is_first():
                keep_config(run)  # only now: a resume that fails leaves the folder as it was
            say(
                f"{run.robot.name}, {run.tracked_files}: {config.num_envs} environments on {backend} ({describe(mesh)}), "
                f"{config.env_steps / 1e6:.2f} M env-steps; compiled in {compile_s:.1f} s"
            )
            try:
                return _loop(run, state, iterate, checkpoints, compile_s, say, stage)
            except OSError as error:
                raise TrainingError(
                    f"cannot write to {run.folder}: {error.strerror or error}. The checkpoints before this are whole: make room, "
                    f"then go on with --resume"
                ) from error
    finally:
        checkpoints.close()


def _start(
    run: Run, program: Program, checkpoints: Checkpoints, say: Callable[[str], None]
) -> tuple[TrainState, float, Callable]:
    """The first state, and the compiled iteration."""
    began = time.perf_counter()
    try:
        restored = checkpoints.restore(program.shapes, say, discard=True) if run.resumed else None
    except InputError as error:
        raise InputError(f"{error}; if another version wrote them, a new run can begin with --init-from {run.folder}") from error
    if restored is not None:
        state = restored[0]
        say(f"resuming from iteration {restored[1]}")
    else:
        if run.resumed:
            say("no checkpoint to resume from: starting at the beginning")
        state = warm_start(run, program.init(), say)
    if is_first():
        truncate_metrics(run.metrics_path, restored[1] if restored else 0)
    state = jax.device_put(state, program.places)
    iterate = program.compile()
    jax.block_until_ready(state)
    return state, time.perf_counter() - began, iterate


def _loop(
    run: Run, state: TrainState, iterate: Callable, checkpoints: Checkpoints, compile_s: float, say: Callable[[str], None],
    stage: str,
) -> TrainResult:  # fmt: skip
    config = run.config
    per_iteration = config.steps_per_iteration
    iteration = first = int(state.iteration)
    last = config.num_iterations
    began = saved = before = time.perf_counter()
    inside = 0.0  # seconds in the compiled iteration
    stopped: signal.Signals | None = None
    watch = Watch()
    with _stops() as received, Journal(run, say, stage) as journal, Interim(run) as interim, checkpoints.awaited():
        while iteration < last and stopped is None:
            called = time.perf_counter()
            state, log, offender = iterate(state)
            values = {name: float(value) for name, value in jax.device_get(log).items()}
            iteration += 1
            now = time.perf_counter()
            inside += now - called
            values["time/host_share"] = 1.0 - inside / (now - began)
            values["rollout/falls_per_s"] = values["rollout/terminated"] / config.sim.ctrl_dt
            values["time/iteration_s"], before = now - before, now
            values["time/env_steps_per_s"] = (iteration - first) * per_iteration / (now - began)
            evaluated = interim.take(say)
            for line in (*watch.look(values), *([sentence(evaluated.values)] if evaluated else [])):
                say(line)
            journal.write(iteration, values | (evaluated.values if evaluated else {}))
            if evaluated and evaluated.film:
                journal.film(evaluated.film, evaluated.env_steps)
            _guard(run, values, offender, say)
            late = is_first() and now - saved > config.save_every_s
            *stops, late = any_of((*(received[:1] == [number] for number in STOPS), late))
            stopped = next((number for number, has_come in zip(STOPS, stops, strict=True) if has_come), None)
            if late:
                journal.flush()
                _save(run, checkpoints, iteration, state)
                saved = now
            if is_first() and interim.due:
                interim.begin(state, iteration * per_iteration)
        jax.block_until_ready(state)
        wall_s = time.perf_counter() - began
        _save(run, checkpoints, iteration, state)
    if iteration == last:
        stopped = None
    if stopped is not None:
        say(f"interrupted: saved at iteration {iteration} of {last} in {run.folder}; go on with --resume")
    rate = (iteration - first) * per_iteration / max(wall_s, 1e-9)
    return TrainResult(iteration * per_iteration, wall_s, compile_s, rate, peak_memory_mb(), stopped)


def _save(run: Run, checkpoints: Checkpoints, iteration: int, state: TrainState) -> None:
    """Never what has diverged: the last update of an iteration shows in the numbers of the next one only."""
    learnt = (state.params, None if state.style is None else state.style.params)
    if not bool(jax.numpy.isfinite(optax.tree.norm(learnt))):
        raise _diverged(run, "weights")
    checkpoints.save(iteration, state)


def _diverged(run: Run, what: str) -> Diverged:
    return Diverged(
        f"learning has diverged: {what} not finite. The checkpoints in {run.checkpoints} are from before it; usual causes: a "
        f"learning rate or desired_kl too large, or a reward without bound"
    )


def _guard(run: Run, values: dict[str, float], offender: Any, say: Callable[[str], None]) -> None:
    """Stop when the physics lacked room, or learning has diverged. Keep the evidence of broken physics, and stop when it is more
    than a rare event."""
    short = shortage(values)
    if short is not None:
        raise TrainingError(f"{short}. The checkpoints in {run.checkpoints} are from before it: go on with these and --resume")
    lost = [name for name, value in values.items() if not np.isfinite(value)]
    if lost:
        raise _diverged(run, ", ".join(lost[:3]))
    share = values["rollout/invalid"]
    if share == 0.0:
        return
    path = run.folder / "invalid_state.npz"
    kinematics = offender.env_state.physics.kinematics
    if is_first():
        np.savez(path, qpos=kinematics.qpos, qvel=kinematics.qvel, action=offender.action,
                 clip=offender.env_state.clip, frame=offender.env_state.frame)  # fmt: skip
    if share > MAX_INVALID:
        raise TrainingError(
            f"the physics broke (non-finite or faster than allowed) in {share:.1%} of the steps of one rollout, more than "
            f"{MAX_INVALID:.0%}. The last state before it happened is in {path}. Usual causes: a smaller sim_dt is needed, "
            f"gains too high for the inertias, or a reference that jumps"
        )
    say(f"broken physics in {share:.2e} of the steps: environments reset, state kept in {path}")


@contextmanager
def _stops() -> Iterator[list[signal.Signals]]:
    """The list of those of `STOPS` that come; after one, Ctrl-C acts at once."""
    received: list[signal.Signals] = []

    def note(number: int, frame: Any) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(signal.Signals(number))

    try:
        before = {number: signal.signal(number, note) for number in STOPS}
    except ValueError:  # not in the main thread, where Python allows no handlers
        before = {}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
