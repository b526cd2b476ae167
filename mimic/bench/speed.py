"""The speed of a training on this machine, beside its raw physics and, where it is asked for, brax's own PPO."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from mujoco.batch import Batch
from rich.table import Table

from mimic.arguments import paper
from mimic.bench.profile import meanings, operations, print_profile, trace
from mimic.compile_cache import enable_compile_cache
from mimic.config import Config
from mimic.devices import make_mesh, on_each_device
from mimic.learning.ppo import Learner, TrainState, make_learner
from mimic.learning.rollout import collect
from mimic.memory import MB, device_peak_mb
from mimic.robots import Robot
from mimic.sim.physics import Drive, choose_backend
from mimic.tasks.curriculum import Curriculum
from mimic.tasks.tracking import Chances, EnvState, Tracking
from mimic.training.program import fitting_program
from mimic.training.train import make_task
from motions.motion import Motion
from motions.rotations import Array

WARM_ITERATIONS, ROUNDS, PROFILED = 5, 9, 3


class Speed(NamedTuple):
    """Rates [1/s]. `ratio`: learning included, against raw physics at the same states and controls.

    Memory is that of the training: of the fullest device, or of this process where it trains on CPUs. `estimated_memory_mb`: what
    was expected of it before anything was compiled. `brax_steps_per_s`: of brax's own PPO, where it was asked for.
    """

    backend: str
    num_envs: int
    devices: int
    physics_steps_per_s: float
    env_steps_per_s: float
    train_steps_per_s: float
    ratio: float
    peak_memory_mb: float
    estimated_memory_mb: float
    compile_s: float
    brax_steps_per_s: float | None = None


def bench_speed(
    config: Config, robot: Robot, motions: tuple[Motion, ...], profile: Path | None = None, *, brax: bool = False
) -> Speed:
    """Time training iterations, rollouts alone, and raw physics replaying the run's own states and controls.

    The three are timed in turns, `ROUNDS` times, and medians are taken, so that a busy machine slows all of them alike. Then, if
    `profile` is given, some iterations are traced into that folder, and it is printed where their time goes.
    `brax`: brax's own PPO is timed too. Raises `InputError` where the training needs more memory than there is.
    """
    enable_compile_cache()
    backend, platform = choose_backend(config.backend, config.device)
    mesh = make_mesh(platform, config.devices, config.num_envs)
    with jax.default_device(mesh.devices.flat[0]):
        task = make_task(config, robot, motions, backend, mesh.size)
        learner = make_learner(config, task)
    held_mb = device_peak_mb(mesh)
    began = time.perf_counter()
    with jax.set_mesh(mesh), fitting_program(config, lambda c: make_learner(c, task), mesh, task.physics.engine_bytes) as program:
        state, iterate = program.init(), program.compile()
        jax.block_until_ready(state)
        compile_s = time.perf_counter() - began
        for _ in range(WARM_ITERATIONS):
            state, *_ = iterate(state)
        jax.block_until_ready(state)
        memory_mb = device_peak_mb(mesh), held_mb + program.need.needed / MB
        record = jax.jit(lambda s: _record(task, learner, config, s))
        states, controls = record(state)
        replay = _native_replay(robot, config, states, controls) if backend == "native" else _mjx_replay(task, states, controls)
        times: dict[str, list[float]] = {"train": [], "rollout": [], "physics": []}
        for _ in range(ROUNDS):
            began = time.perf_counter()
            state, *_ = jax.block_until_ready(iterate(state))
            trained = time.perf_counter()
            jax.block_until_ready(record(state))
            rolled = time.perf_counter()
            replay()
            replayed = time.perf_counter()
            for name, seconds in zip(times, np.diff([began, trained, rolled, replayed]), strict=True):
                times[name].append(seconds)
        if profile is not None:
            _profile(state, iterate, profile)
    count = config.steps_per_iteration
    median = {name: float(np.median(values)) for name, values in times.items()}
    physics_rate = count * config.sim.n_substeps / median["physics"]
    train_rate = count / median["train"]
    ratio = train_rate / (physics_rate / config.sim.n_substeps)
    rates = physics_rate, count / median["rollout"], train_rate, ratio
    brax_rate = None
    if brax:
        from mimic.bench.brax import brax_steps_per_s

        brax_rate = brax_steps_per_s(config, task, mesh.devices.flat[0])
    return Speed(backend, config.num_envs, mesh.size, *rates, *memory_mb, compile_s, brax_rate)


def _profile(state: TrainState, iterate: Any, folder: Path) -> None:
    """Trace some iterations from `state` on and print where their time goes."""

    def one_more() -> TrainState:
        nonlocal state
        state, *_ = iterate(state)
        return state

    path, wall_ms = trace(one_more, folder, PROFILED)
    print_profile(operations(path, PROFILED, meanings(iterate.as_text())), wall_ms, path)


class _Recorder:
    """A task that also notes what its physics is asked: `notes` becomes (physics row (nq + 2 nv,), control (nu,))."""

    def __init__(self, task: Tracking) -> None:
        self.task = task
        self.action_size, self.reset, self.observe, self.chance = task.action_size, task.reset, task.observe, task.chance
        self.init_curriculum, self.update_curriculum = task.init_curriculum, task.update_curriculum
        self.curriculum_log = task.curriculum_log

    def step(self, env_state: EnvState, action: Array, chance: Chances, curriculum: Curriculum) -> tuple[EnvState, Any]:
        kinematics = env_state.physics.kinematics
        next_state, result = self.task.step(env_state, action, chance, curriculum)
        ctrl = self.task.target(env_state.clip, env_state.frame + 1, action)
        row = jnp.concatenate([kinematics.qpos, kinematics.qvel, env_state.physics.qacc_warmstart])
        return next_state, result._replace(notes=(row, ctrl))


def _record(task: Tracking, learner: Learner, config: Config, state: TrainState) -> tuple[Array, Array]:
    """Physics rows (T, B, nq + 2 nv) and controls (T, B, nu) of one rollout of the stochastic policy."""
    _, collected = collect(
        _Recorder(task), learner.networks, state.params, state.normalizer, state.env_state, state.curriculum, state.key,
        length=config.ppo.rollout_length, obs_clip=config.observation.clip,
    )  # fmt: skip
    return collected.transitions.notes


def _native_replay(robot: Robot, config: Config, states: Array, controls: Array) -> Callable[[], None]:
    """Raw `mujoco.batch` stepping of recorded states and controls: no Python but one call per control step."""
    model = robot.model
    rows, ctrl = np.asarray(states, np.float64), np.asarray(controls, np.float64)
    batch = Batch(model, rows.shape[1], persistent=True)
    views = [batch.bind(name) for name in ("qpos", "qvel", "qacc_warmstart")]
    ctrl_view = batch.bind("ctrl")
    columns = np.cumsum([model.nq, model.nv])
    parts = [np.split(row, columns, axis=1) for row in rows]

    def replay() -> None:
        for part, control in zip(parts, ctrl, strict=True):
            for view, values in zip(views, part, strict=True):
                view[:] = values
            ctrl_view[:] = control
            batch.step(nstep=config.sim.n_substeps)

    return replay


def _mjx_replay(task: Tracking, states: Array, controls: Array) -> Callable[[], None]:
    model = task.robot.model

    def one(row: Array, ctrl: Array) -> Array:
        qpos, qvel, warmstart = jnp.split(row, np.cumsum([model.nq, model.nv]))
        return task.physics.advance(qpos, qvel, warmstart, Drive(ctrl))[0].qpos

    every = jax.vmap(one if task.physics.impl == "jax" else on_each_device(one))
    run = jax.jit(lambda s, c: jax.lax.map(lambda pair: every(*pair), (s, c)))
    jax.block_until_ready(run(states, controls))
    return lambda: jax.block_until_ready(run(states, controls))


def print_speeds(speeds: Sequence[Speed]) -> None:
    """A row for each quantity, a column for each measurement."""
    table = Table("quantity", *(f"{speed.num_envs} x {speed.devices}" for speed in speeds), title="environments x devices")
    for name, *values in zip(Speed._fields, *speeds, strict=True):
        if any(value is not None for value in values):
            table.add_row(name, *map(_shown, values))
    paper().print(table)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, str | int):
        return str(value or "")
    return f"{value:,.3f}" if value < 10 else f"{value:,.0f}"
