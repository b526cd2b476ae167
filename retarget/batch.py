"""Many clips onto one robot: on a CPU one clip per core, on an accelerator in vmapped batches of like length."""

import itertools
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax

from motions.errors import InputError
from motions.kinematics import Body
from motions.motion import Motion
from motions.skeleton import SkeletonMotion
from retarget.mapping import RobotMap
from retarget.pipeline import DEFAULT_WEIGHTS, Wanted, finish, prepare, retarget
from retarget.quality import QualityReport
from retarget.solve import program_size, solve_batch
from retarget.terms import Weights

BATCH = 16  # clips that an accelerator solves at once

Outcome = tuple[Motion, QualityReport] | InputError


def retarget_many(
    sources: Iterable[SkeletonMotion],
    body: Body,
    *,
    mapping: RobotMap | str | Path | None = None,
    fps: float | None = None,
    weights: Weights = DEFAULT_WEIGHTS,
    iterations: int = 20,
) -> Iterator[Outcome]:
    """`retarget` of every clip, in order; a clip that cannot be retargeted yields its `InputError`, and the others go on.

    `sources` is consumed as results are taken, so that a generator that reads files keeps only a few of them in memory.
    """
    if jax.default_backend() == "cpu":
        yield from _one_per_core(sources, body, mapping, fps, weights, iterations)
    else:
        for some in itertools.batched(sources, BATCH):
            yield from solve_together(list(some), body, mapping, fps, weights, iterations)


def _one_per_core(
    sources: Iterable[SkeletonMotion],
    body: Body,
    mapping: RobotMap | str | Path | None,
    fps: float | None,
    weights: Weights,
    iterations: int,
) -> Iterator[Outcome]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    waiting: deque[Future[tuple[Motion, QualityReport]]] = deque()
    with ThreadPoolExecutor(cores) as pool:
        for source in sources:
            waiting.append(pool.submit(retarget, source, body, mapping=mapping, fps=fps, weights=weights, iterations=iterations))
            if len(waiting) > cores:
                yield _outcome(waiting.popleft())
        while waiting:
            yield _outcome(waiting.popleft())


def _outcome(future: Future[tuple[Motion, QualityReport]]) -> Outcome:
    try:
        return future.result()
    except InputError as error:
        return error


def solve_together(
    sources: list[SkeletonMotion],
    body: Body,
    mapping: RobotMap | str | Path | None,
    fps: float | None,
    weights: Weights,
    iterations: int,
) -> list[Outcome]:
    """The outcomes of clips that are solved in one vmapped call for each size of program."""
    outcomes: list[Outcome | None] = [None] * len(sources)
    alike: dict[int, list[tuple[int, Wanted]]] = {}
    for place, source in enumerate(sources):
        try:
            wanted = prepare(source, body, mapping=mapping, fps=fps)
        except InputError as error:
            outcomes[place] = error
            continue
        alike.setdefault(program_size(len(wanted.targets.valid)), []).append((place, wanted))
    for group in alike.values():
        began = time.perf_counter()
        clips, rates = [wanted.targets for _, wanted in group], [wanted.fps for _, wanted in group]
        solutions = solve_batch(group[0][1].rig, clips, rates, weights, iterations)
        wall_s = time.perf_counter() - began
        for (place, wanted), solution in zip(group, solutions, strict=True):
            share = solution.solve_s / sum(s.solve_s for s in solutions)
            outcomes[place] = finish(wanted, solution, solution.compile_s + (wall_s - solution.compile_s) * share)
    return [outcome for outcome in outcomes if outcome is not None]
