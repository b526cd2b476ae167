"""Where the time of a training iteration goes: a trace by JAX's profiler, and its operations by their own time."""

import gzip
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from motions.errors import InputError

SHOWN = 15
CALLBACK = "pure_callback"  # how the C engine is called: everything in it is physics and what lies around it
NOISE = re.compile(r"jit\(iterate\)/|eval_jaxpr/|branch_\d_fun/|body/|closed_call/")  # parts of names that tell nothing


class Operation(NamedTuple):
    """One operation of the program: its own time, without that of what it calls, and its calls, in one iteration."""

    name: str
    ms: float
    calls: float


def trace(iterate: Callable[[], Any], folder: Path, iterations: int) -> tuple[Path, float]:
    """Run `iterate` so often under the profiler; the trace in `folder`, for ui.perfetto.dev, and an iteration's wall time [ms].

    The same folder holds the xplane file that TensorBoard's profile plugin and XProf read.
    """
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # Python waits for the program; what it does meanwhile is no news
    with jax.profiler.trace(str(folder), create_perfetto_trace=True, profiler_options=options):
        began = time.perf_counter()
        for _ in range(iterations):
            jax.block_until_ready(iterate())
        wall_ms = 1e3 * (time.perf_counter() - began) / iterations
    return max(folder.rglob("perfetto_trace.json.gz"), key=lambda path: path.stat().st_mtime), wall_ms


def meanings(program: str) -> dict[str, str]:
    """By the name of each operation in a compiled program's text, what of our code it comes from, as far as the text says."""
    said = re.findall(r'^\s*(?:ROOT )?%?([\w.-]+) = .*metadata=\{[^}]*op_name="([^"]+)"', program, re.MULTILINE)
    return {name: NOISE.sub("", origin) for name, origin in said}


def operations(path: Path, iterations: int, meaning: dict[str, str]) -> list[Operation]:
    """The operations in a trace by their `meaning`, those with most time of their own first; their own names where it has none.

    Raises `InputError` for what is no trace.
    """
    try:
        content = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not a trace of JAX's profiler ({error})") from error
    events = content.get("traceEvents") if isinstance(content, dict) else None
    if events is None:
        raise InputError(f"{path}: not a trace of JAX's profiler (it has no events)")
    by_thread = defaultdict(list)
    for event in events:
        if event.get("ph") == "X":
            name = event.get("args", {}).get("hlo_op", "")  # none: not of the program, but of what runs it
            by_thread[event["pid"], event["tid"]].append((event["ts"], -event["dur"], name))
    time_us: defaultdict[str, float] = defaultdict(float)
    calls: Counter[str] = Counter()
    for thread in by_thread.values():
        for name, own_us in _own_times(sorted(thread)):
            if name:
                time_us[meaning.get(name, name)] += own_us
                calls[meaning.get(name, name)] += 1
    ranked = sorted(time_us.items(), key=lambda item: -item[1])
    return [Operation(name, us / 1e3 / iterations, calls[name] / iterations) for name, us in ranked]


def _own_times(events: list[tuple[float, float, str]]) -> list[tuple[str, float]]:
    """(name, own time) of one thread's events (begin, -duration, name), sorted: an event is within the one that it began in."""
    found: list[list[Any]] = []
    open_ones: list[tuple[float, int]] = []  # (end, place in found)
    for begin, negative, name in events:
        while open_ones and open_ones[-1][0] <= begin:
            open_ones.pop()
        if open_ones:
            found[open_ones[-1][1]][1] += negative
        open_ones.append((begin - negative, len(found)))
        found.append([name, -negative])
    return [(name, max(own, 0.0)) for name, own in found]


def parts(found: list[Operation]) -> dict[str, float]:
    """The own times [ms] by what they are for. The C engine's calls are all physics: one for each control step, and of resets."""
    of: dict[str, float] = dict.fromkeys(
        ("C engine", "the rest of the rollout", "updates of the networks", "once an iteration"), 0.0
    )
    for operation in found:
        name = operation.name
        if CALLBACK in name:
            part = "C engine"
        elif name.startswith("cond/while/"):
            part = "updates of the networks"
        else:
            part = "the rest of the rollout" if name.startswith("while/") else "once an iteration"
        of[part] += operation.ms
    return of


def print_profile(found: list[Operation], wall_ms: float, path: Path, console: Console | None = None) -> None:
    """The longest operations beside the wall time of an iteration. They run side by side, so shares may exceed the whole."""
    console = console or Console()
    table = Table(title=f"one iteration: {wall_ms:.0f} ms", title_justify="left", box=SIMPLE_HEAD, show_edge=False)
    for header in ("operation", escape("own time\n[ms]"), "of the\nwall time", "calls"):
        table.add_column(header, justify="left" if header == "operation" else "right")
    for operation in found[:SHOWN]:
        share = operation.ms / wall_ms
        table.add_row(escape(operation.name), f"{operation.ms:.1f}", f"{share:.1%}", f"{operation.calls:.0f}")
    rest = found[SHOWN:]
    table.add_row(f"{len(rest)} more", f"{sum(o.ms for o in rest):.1f}", f"{sum(o.ms for o in rest) / wall_ms:.1%}", "")
    console.print(table)
    says = (f"{part} {ms:.0f} ms ({ms / wall_ms:.0%})" for part, ms in parts(found).items() if ms)
    console.print(f"by part, side by side where there are threads: {', '.join(says)}", soft_wrap=True, highlight=False)
    console.print(f"the trace, for ui.perfetto.dev: {escape(str(path))}", soft_wrap=True)
