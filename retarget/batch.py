"""Many clips onto one robot: on a CPU one clip per core, on an accelerator in vmapped batches of like length."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import jax

from motions.cores import workers
from motions.kinematics import Body
from motions.motion import Motion
from motions.skeleton import SkeletonMotion
from retarget.mapping import RobotMap
from retarget.pipeline import DEFAULT_WEIGHTS, Wanted, assess, finish, prepare, retarget, rig_of
from retarget.quality import QualityReport
from retarget.solve import Solution, program_size, solve_batch
from retarget.terms import Weights

BATCH = 16  # clips that an accelerator solves at once

Source = SkeletonMotion | Motion | Exception
Outcome = tuple[Motion, QualityReport] | Exception


def retarget_many(
    sources: Iterable[Source],
    body: Body,
    *,
    mapping: RobotMap | str | Path | None = None,
    fps: float | None = None,
    weights: Weights = DEFAULT_WEIGHTS,
    iterations: int = 20,
) -> Generator[Outcome]:
    """An outcome for every source, in order, whatever becomes of the others.

    A captured clip is retargeted; a motion already on the robot is measured as it is (`assess`); an exception, from
    reading, comes back in its place. A clip that fails yields what it raised: an `InputError`, or a fault of ours.
    `sources` is consumed as results are taken, so that a generator that reads files keeps only a few of them in memory.
    Raises `InputError` for a robot without a mapping.
    """
    rig_of(body, mapping)  # measured before threads could do it twice; what is wrong with it is wrong for every clip
    if jax.default_backend() == "cpu":
        yield from _one_per_core(sources, body, mapping, fps, weights, iterations)
    else:
        for some in itertools.batched(sources, BATCH):
            yield from solve_together(list(some), body, mapping, fps, weights, iterations)


def _one_per_core(
    sources: Iterable[Source],
    body: Body,
    mapping: RobotMap | str | Path | None,
    fps: float | None,
    weights: Weights,
    iterations: int,
) -> Iterator[Outcome]:
    def outcome(source: Source) -> Outcome:
        if isinstance(source, Exception):
            return source
        if isinstance(source, Motion):
            return source, assess(source, body, mapping=mapping)
        return retarget(source, body, mapping=mapping, fps=fps, weights=weights, iterations=iterations)

    waiting: deque[Future[Outcome]] = deque()
    pool = ThreadPoolExecutor(workers())
    try:
        for source in sources:
            waiting.append(pool.submit(_attempt, outcome, source))
            while waiting and (len(waiting) > workers() or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # interrupted: those under way end by themselves, the others are not begun
        pool.shutdown(wait=False, cancel_futures=True)


def solve_together(
    sources: list[Source],
    body: Body,
    mapping: RobotMap | str | Path | None,
    fps: float | None,
    weights: Weights,
    iterations: int,
) -> list[Outcome]:
    """The outcomes of clips that are solved in one vmapped call for each size of program."""
    outcomes: dict[int, Outcome] = {}
    alike: dict[int, list[tuple[int, Wanted]]] = {}
    for place, source in enumerate(sources):
        if isinstance(source, Exception):
            outcomes[place] = source
        elif isinstance(source, Motion):
            report = _attempt(partial(assess, mapping=mapping), source, body)
            outcomes[place] = report if isinstance(report, Exception) else (source, report)
        else:
            wanted = _attempt(partial(prepare, mapping=mapping, fps=fps), source, body)
            if isinstance(wanted, Exception):
                outcomes[place] = wanted
            else:
                alike.setdefault(program_size(len(wanted.targets.valid)), []).append((place, wanted))
    for group in alike.values():
        solved = _attempt(_solve_group, [wanted for _, wanted in group], weights, iterations)
        for number, (place, wanted) in enumerate(group):
            outcomes[place] = solved if isinstance(solved, Exception) else _attempt(finish, wanted, *solved[number])
    return [outcomes[place] for place in range(len(sources))]


def _solve_group(group: list[Wanted], weights: Weights, iterations: int) -> list[tuple[Solution, float]]:
    """Clips of one size of program, solved at once: each with its part of what that took [s], compilation included.

    Their number is filled up to a power of two by the last one again: few numbers, so few programs are compiled.
    """
    began = time.perf_counter()
    filled = group + group[-1:] * ((1 << (len(group) - 1).bit_length()) - len(group))
    clips, rates = [wanted.targets for wanted in filled], [wanted.fps for wanted in filled]
    solutions = solve_batch(group[0].rig, clips, rates, weights, iterations)[: len(group)]
    solve_s = time.perf_counter() - began - solutions[0].compile_s
    total = sum(solution.solve_s for solution in solutions)
    return [(solution, solution.compile_s + solve_s * solution.solve_s / total) for solution in solutions]


def _attempt[**P, T](work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Exception:
    """What `work` returns, or else raises: one clip's failure is no other's."""
    try:
        return work(*args, **kwargs)
    except Exception as error:
        return error
