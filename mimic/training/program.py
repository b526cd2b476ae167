"""The program of a training on its devices: where its state is, and its iteration, traced, held against the memory, compiled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from mimic.config import Config
from mimic.devices import everywhere, placed, shardings
from mimic.learning.ppo import Learner, TrainState
from mimic.memory import Need, advice, need_of
from mimic.training.iteration import Iteration, compile_iteration
from motions.errors import InputError

# how XLA, CUDA, callbacks and C++ say it
EXHAUSTED = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory", "MemoryError", "bad_alloc")
type LearnerOf = Callable[[Config], Learner]


class TrainingError(RuntimeError):
    """Training cannot go on; the text says why and where the evidence lies."""


class Program(NamedTuple):
    """`init` makes the first state, on its devices; `shapes` are that state's, `places` the shardings of its leaves."""

    config: Config
    mesh: Mesh
    shapes: TrainState
    places: Any
    init: Callable[[], TrainState]
    traced: Any
    need: Need

    def compile(self) -> Iteration:
        outcome = self.places, everywhere(self.mesh), everywhere(self.mesh)
        return compile_iteration(self.traced, self.shapes, self.mesh, outcome)


def make_program(config: Config, learner: Learner, mesh: Mesh, engine_bytes: float) -> Program:
    """Within `jax.set_mesh(mesh)`. Nothing is compiled, and nothing allocated."""

    def init() -> TrainState:
        return learner.init(jax.random.key(config.seed))

    shapes = jax.eval_shape(init)
    places = shardings(mesh, shapes, config.num_envs)
    shapes = placed(shapes, places)
    traced = jax.jit(learner.iterate).trace(shapes)
    need = need_of(traced, shapes, mesh, config.num_envs, engine_bytes)
    return Program(config, mesh, shapes, places, jax.jit(init, out_shardings=places), traced, need)


@contextmanager
def fitting_program(config: Config, learner_of: LearnerOf, mesh: Mesh, engine_bytes: float) -> Iterator[Program]:
    """The program, to be compiled and run within the block.

    Raises `InputError` where it needs more memory than there is, and `TrainingError` where an allocation fails all the same; both
    say how many environments fit.
    """

    def made(num_envs: int) -> Program:
        smaller = replace(config, num_envs=num_envs)
        return make_program(smaller, learner_of(smaller), mesh, engine_bytes)

    def advise(at_most: int) -> str:
        return advice(config, mesh, program.need, lambda num_envs: made(num_envs).need, at_most)

    program = made(config.num_envs)
    if not program.need.fits:
        raise InputError(f"not enough memory, by estimate: {advise(config.num_envs - 1)}")
    try:
        yield program
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in EXHAUSTED):
            raise
        raise TrainingError(f"out of memory ({reason}). By estimate {advise(config.num_envs // 2)}") from error
