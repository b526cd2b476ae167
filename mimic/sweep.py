"""A sweep: one training for each clip, variant of the settings and seed, each a `mimic train` of its own; and what came of them.

A member that fails does not stop the others. The sweep's folder keeps what was asked for, so that the command may be repeated,
by hand or by a scheduler's array, and what is done is not done again.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mimic.arguments import EXIT_INTERRUPTED, EXIT_REQUEUE, as_options
from motions.errors import InputError

PLAN, EVALUATION, LOG = "sweep.json", "evaluation.json", "log.txt"
PLAIN = "as the preset"  # what the variant without settings is called
INTERRUPTED = "mimic: interrupted"
ENDS = (EXIT_REQUEUE, EXIT_INTERRUPTED)  # exit codes of a member after which nobody wants the next one begun


@dataclass(frozen=True)
class Plan:
    """What a sweep is of. Each of `variants` holds settings, SECTION.NAME=VALUE, by spaces; "" is the preset as it is. `options`:
    what else every `mimic train` is told."""

    preset: str
    clips: tuple[str, ...]
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    options: tuple[str, ...]


@dataclass(frozen=True)
class Member:
    """One training of a sweep; `clip` is empty for the preset's own."""

    clip: str
    variant: str
    seed: int

    @property
    def folder(self) -> Path:
        """Where it is, in the sweep's folder."""
        variant = re.sub(r"[^\w.=+-]+", "_", self.variant) or "preset"
        return Path(Path(self.clip).stem or "clip", variant, f"seed{self.seed}")

    @property
    def row(self) -> tuple[str, str]:
        """What it shares with the other seeds: (clip, variant) as people read them."""
        return Path(self.clip).stem if self.clip else "the preset's clip", self.variant or PLAIN


@dataclass(frozen=True)
class Outcome:
    """What came of a member. `state`: done, failed, begun or to do; `why`: the last words of one that failed; `mean`: of its
    evaluation, where it is done."""

    member: Member
    state: str
    why: str = ""
    mean: dict[str, float] | None = None


def members(plan: Plan) -> list[Member]:
    """All of them; with one seed all clips and variants before any has two."""
    found = [
        Member(clip, variant, seed) for seed in plan.seeds for clip in plan.clips or ("",) for variant in plan.variants or ("",)
    ]
    folders = [member.folder for member in found]
    for member, folder in zip(found, folders, strict=True):
        if folders.count(folder) > 1:
            raise InputError(f"two members of the sweep would share the folder {folder} ({member.clip}, {member.variant!r})")
    return found


def keep_plan(plan: Plan, folder: Path) -> None:
    """Write `plan` to `folder`. Raises `InputError` where another one is kept there."""
    path, record = folder / PLAN, json.loads(json.dumps(asdict(plan)))
    if path.exists():
        kept = json.loads(path.read_text())
        differing = [f"{name}: {record[name]} (there: {kept.get(name)})" for name in record if record[name] != kept.get(name)]
        if differing:
            raise InputError(f"{folder} holds another sweep: {'; '.join(differing)}. Another --run-dir, or the same options")
        return
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{PLAN}.{os.getpid()}"  # tasks of an array come at the same time
    fresh.write_text(json.dumps(record, indent=2) + "\n")
    fresh.replace(path)


def command_of(member: Member, plan: Plan, folder: Path) -> list[str]:
    """The `mimic` command line that trains a member, or goes on with it."""
    motion = ["--motion", member.clip] if member.clip else []
    own = ["--seed", str(member.seed), "--run-dir", str(folder / member.folder), "--resume"]
    return ["train", plan.preset, *motion, *plan.options, *as_options(tuple(member.variant.split())), *own]


def call(argv: list[str], log: Path) -> int:
    """The exit code of a `mimic` command line in a process of its own, its output added to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        return wait_for(subprocess.Popen([sys.executable, "-m", "mimic", *argv], stdout=file, stderr=subprocess.STDOUT))


def wait_for(child: subprocess.Popen) -> int:
    """Its exit code. A scheduler's signals are passed on to it, and Ctrl-C, which a terminal sends to both, is left to it: it
    saves, and says by its exit code what happened."""
    passed_on = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, lambda number, _: child.send_signal(number)) for number in passed_on}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_members(wanted: list[Member], plan: Plan, folder: Path, say: Callable[[str], None]) -> int:
    """Train those that are not done, one after the other, each with its output in a file beside its folder; the exit code.

    A failure is said, and the next one begun. After a signal (exit codes 75 and 130) none is.
    """
    failed = 0
    for number, member in enumerate(wanted, start=1):
        name = f"{number} of {len(wanted)}: {', '.join(member.row)}, seed {member.seed}"
        if (folder / member.folder / EVALUATION).exists():
            continue
        log = _log(folder, member)
        say(f"{name}; its output goes to {log}")
        code = call(command_of(member, plan, folder), log)
        if code in ENDS:
            return code
        if code:
            failed += 1
            say(f"{name} failed (exit code {code}): {_last_words(log)}")
    return 1 if failed else 0


def outcomes(plan: Plan, folder: Path) -> Iterator[Outcome]:
    """What came of every member so far, in the order of `members`."""
    for member in members(plan):
        path, log = folder / member.folder / EVALUATION, _log(folder, member)
        if path.exists():
            yield Outcome(member, "done", mean=json.loads(path.read_text())["mean"])
        elif not log.exists():
            yield Outcome(member, "to do")
        else:
            why = _last_words(log)
            ended = why.startswith("mimic: ") or "Error" in why
            yield Outcome(member, "failed" if ended and why != INTERRUPTED else "begun", why)


def rows_of(found: list[Outcome]) -> list[dict[str, Any]]:
    """A row for each clip and variant: its seeds' errors, completions and states, and the median error of the done ones."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for outcome in found:
        clip, variant = outcome.member.row
        row = rows.setdefault(outcome.member.row, {"clip": clip, "variant": variant, "seeds": [], "median_e_mpbpe_mm": None})
        mean = outcome.mean or {}
        row["seeds"].append(
            {
                "seed": outcome.member.seed,
                "state": outcome.state,
                "why": outcome.why,
                "success_height": mean.get("success_height"),
                "e_mpbpe_mm": mean.get("e_mpbpe_mm"),
                "e_g_mpbpe_mm": mean.get("e_g_mpbpe_mm"),
            }
        )
    for row in rows.values():
        errors = [seed["e_mpbpe_mm"] for seed in row["seeds"] if seed["state"] == "done"]
        row["median_e_mpbpe_mm"] = median(errors) if errors else None
    return list(rows.values())


def print_sweep(rows: list[dict[str, Any]], console: Console | None = None) -> None:
    """The table, then what failed and why."""
    console = console or Console()
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for header in ("clip", "settings", "seeds\ncomplete", escape("E_mpbpe [mm]\nby seed"), escape("median\n[mm]")):
        table.add_column(header, justify="left" if header in ("clip", "settings") else "right")
    for row in rows:
        complete = sum(seed["success_height"] == 1 for seed in row["seeds"])
        errors = ", ".join(f"{s['e_mpbpe_mm']:.1f}" if s["state"] == "done" else s["state"] for s in row["seeds"])
        middle = "" if row["median_e_mpbpe_mm"] is None else f"{row['median_e_mpbpe_mm']:.1f}"
        table.add_row(escape(row["clip"]), escape(row["variant"]), f"{complete}/{len(row['seeds'])}", errors, middle)
    console.print(table)
    for row in rows:
        for seed in row["seeds"]:
            if seed["state"] == "failed":
                console.print(escape(f"{row['clip']}, {row['variant']}, seed {seed['seed']} failed: {seed['why']}"))


def _log(folder: Path, member: Member) -> Path:
    """Beside the run's folder, which must be the run's alone."""
    own = folder / member.folder
    return own.with_name(f"{own.name}.{LOG}")


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""
