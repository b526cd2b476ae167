"""A sweep: one training for each clip, variant of the settings and seed, each a `mimic train` of its own; and what came of them.

A member that fails does not stop the others. Beside each member's run folder lie its output and how it ended, so that the
command may be repeated, by hand or by a scheduler's array, and what is done is not done again. A sweep may grow: other clips,
variants and seeds are more members.
"""

import fcntl
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mimic.arguments import EXIT_INTERRUPTED, EXIT_REQUEUE, as_options, paper
from mimic.runs import EVALUATION
from motions.errors import InputError
from motions.files import write_json

PLAN = "sweep.json"
PLAIN = "as the preset"  # what the variant without settings is called
NOT_ITS_OWN = (EXIT_REQUEUE, EXIT_INTERRUPTED)  # exit codes of a training that somebody ended: the next is not begun


@dataclass(frozen=True)
class Plan:
    """What a sweep is of. Each of `variants` holds settings, SECTION.NAME=VALUE, by spaces; "" is the preset as it is. `options`:
    what else every `mimic train` is told, and `file`: the text of the file that --config among these names."""

    preset: str
    clips: tuple[str, ...]
    variants: tuple[str, ...]
    seeds: tuple[int, ...]
    options: tuple[str, ...]
    file: str = ""


@dataclass(frozen=True)
class Member:
    """One training of a sweep; `clip` is empty for the preset's own."""

    clip: str
    variant: str
    seed: int

    @property
    def folder(self) -> Path:
        """Where its run is, in the sweep's folder."""
        variant = re.sub(r"[^\w.=+-]+", "_", self.variant) or "preset"
        return Path(Path(self.clip).stem or "clip", variant, f"seed{self.seed}")

    @property
    def row(self) -> tuple[str, str]:
        """What it shares with the other seeds: (clip, variant) as people read them."""
        return Path(self.clip).stem if self.clip else "the preset's clip", self.variant or PLAIN

    @property
    def name(self) -> str:
        return f"{', '.join(self.row)}, seed {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What came of a member. `state`: done, failed, begun or to do; `why`: of one that failed; `mean`: of the evaluation of one
    that is done."""

    member: Member
    state: str
    why: str = ""
    mean: dict[str, float] | None = None


def members(plan: Plan) -> list[Member]:
    """All of them; with one seed all clips and variants before any has two. Raises `InputError` where two would be one."""
    found = [
        Member(clip, variant, seed) for seed in plan.seeds for clip in plan.clips or ("",) for variant in plan.variants or ("",)
    ]
    folders = [member.folder for member in found]
    for member, folder in zip(found, folders, strict=True):
        if folders.count(folder) > 1:
            raise InputError(f"two members of the sweep would share the folder {folder} ({member.clip}, {member.variant!r})")
    return found


def check_plan(plan: Plan, folder: Path) -> None:
    """Raise `InputError` where the members in `folder` were told other things, or were of other clips of the same name."""
    kept = _kept(folder)
    told = {"preset": plan.preset, "options": list(plan.options)}
    differing = [f"{name}: {value} (there: {kept[name]})" for name, value in told.items() if kept and value != kept[name]]
    if kept and kept.get("file", "") != plan.file:
        differing.append("the file of --config says other things now")
    known = {Path(clip).stem: clip for clip in kept.get("clips", [])}
    same_name = ((clip, known.get(Path(clip).stem, clip)) for clip in plan.clips)
    differing += [f"clip: {clip} (there: {there})" for clip, there in same_name if clip != there]
    if differing:
        raise InputError(f"{folder} holds another sweep: {'; '.join(differing)}. Another --run-dir, or the same options")


def keep_plan(plan: Plan, folder: Path) -> None:
    """Write to `folder` what the members in it are told, and of what clips they are. At once: tasks of an array come together."""
    clips = sorted({*_kept(folder).get("clips", []), *plan.clips})
    record = {"preset": plan.preset, "options": list(plan.options), "file": plan.file, "clips": clips}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / PLAN, record)


def _kept(folder: Path) -> dict[str, Any]:
    """What `keep_plan` wrote; empty where it has not."""
    path = folder / PLAN
    return json.loads(path.read_text()) if path.exists() else {}


def command_of(member: Member, plan: Plan, folder: Path) -> list[str]:
    """The `mimic` command line that trains a member, or goes on with it."""
    motion = ["--motion", member.clip] if member.clip else []
    own = ["--seed", str(member.seed), "--run-dir", str(folder / member.folder), "--resume"]
    return ["train", plan.preset, *motion, *plan.options, *as_options((member.variant,), "--vary"), *own]


def run_members(wanted: list[Member], plan: Plan, folder: Path, say: Callable[[str], None]) -> int:
    """Train those that are not done, one after the other; the exit code.

    One that another process is training is left to it. A failure is said, and the next one begun. After a training that somebody
    ended (exit codes 75 and 130) none is.
    """
    failed = 0
    for number, member in enumerate(wanted, start=1):
        name, own = f"{number} of {len(wanted)}: {member.name}", folder / member.folder
        if _exit_code(own) == 0:
            continue
        with _alone(own) as alone:
            if not alone:
                say(f"{name}: another process is training it")
                continue
            say(f"{name}; its output goes to {_beside(own, 'log.txt')}")
            _beside(own, "exit").unlink(missing_ok=True)
            code = call(command_of(member, plan, folder), _beside(own, "log.txt"))
            _beside(own, "exit").write_text(f"{code}\n")
        if code in NOT_ITS_OWN:
            return code
        if code:
            failed += 1
            say(f"{name} failed (exit code {code}): {_last_words(_beside(own, 'log.txt'))}")
    return 1 if failed else 0


def call(argv: list[str], log: Path) -> int:
    """The exit code of a `mimic` command line in a process of its own, its output added to `log`."""
    with log.open("a") as file:
        return wait_for([sys.executable, "-m", "mimic", *argv], file)


def wait_for(argv: list[str], output: Any) -> int:
    """The exit code of a process, its output going to the file `output`.

    A scheduler's signals are passed on to it; Ctrl-C, which a terminal sends to both, is left to it. One that a signal ended
    before it could save counts as one that did.
    """
    came: list[int] = []
    child: subprocess.Popen | None = None

    def pass_on(number: int, _: Any) -> None:
        came.append(number)
        if child is not None and number != signal.SIGINT:
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    try:
        child = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT)
        for number in came:  # while it was being begun
            child.send_signal(number)
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came and code != 0:
        return EXIT_INTERRUPTED if came[0] == signal.SIGINT else EXIT_REQUEUE
    return code


def outcomes(plan: Plan, folder: Path) -> Iterator[Outcome]:
    """What came of every member so far, in the order of `members`."""
    for member in members(plan):
        own = folder / member.folder
        code, log = _exit_code(own), _beside(own, "log.txt")
        if code == 0:
            yield Outcome(member, "done", mean=json.loads((own / EVALUATION).read_text())["mean"])
        elif code is None or code in NOT_ITS_OWN:
            yield Outcome(member, "begun" if log.exists() else "to do")
        else:
            yield Outcome(member, "failed", f"exit code {code}: {_last_words(log)}")


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
    console = console or paper()
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


def _beside(own: Path, suffix: str) -> Path:
    """A file of a member's beside its run folder, which must be the run's alone."""
    return own.with_name(f"{own.name}.{suffix}")


def _exit_code(own: Path) -> int | None:
    """How a member ended; None where it has not, or was killed together with whoever waited for it."""
    path = _beside(own, "exit")
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text else None


@contextmanager
def _alone(own: Path) -> Iterator[bool]:
    """Whether nobody else trains the member, kept so until the end of the block. A process that dies lets go by itself."""
    path = _beside(own, "lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _last_words(log: Path) -> str:
    """The last line that says what went wrong, else the last one."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    telling = [line for line in lines if re.match(r"mimic: |[\w.]*(Error|Exception)\b", line)]
    return (telling or lines or [""])[-1]
