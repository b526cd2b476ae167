"""python experiments/library/flat_memory.py FILES... --robot g1 --out DIR [--clips 300] [--seconds 2 5] [--kill-at 150]

Curates a library of many clips and watches the memory: makes DIR/motions of `--clips` pieces of the captured files
given, cut, played faster or slower, every second one mirrored, and one broken file; runs `mimic motions curate` over
it, kills it without warning in the middle, runs it again; prints what both runs said and their resident memory (Linux).
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mimic import __version__
from motions.edit import cut_captured, mirror_captured, speed_captured
from motions.errors import InputError
from motions.formats import read_motion_file, write_bvh
from motions.skeleton import SkeletonMotion

SPEEDS = (0.85, 1.15)
BROKEN_AT = 0.4  # share of the clips before the broken file
EVERY = 50  # clips between the rows of the table
_PROGRESS = re.compile(r"^(\d+)/(\d+) (.*)$")


def build_library(files: list[Path], folder: Path, clips: int, seconds: tuple[float, float], seed: int = 0) -> int:
    """Write `clips` BVH files and a broken one; how many of them are mirrored."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    sources = [_captured(file) for file in files]
    mirrored, stay = 0, set[str]()
    for number in range(clips):
        source = sources[number % len(sources)]
        source = speed_captured(source, random.uniform(*SPEEDS))
        whole_s = (source.num_frames - 1) / source.fps
        length_s = min(random.uniform(*seconds), whole_s)
        start_s = random.uniform(0.0, whole_s - length_s)
        clip = cut_captured(source, start_s, start_s + length_s)
        if (number // len(sources)) % 2:
            try:
                clip, mirrored = mirror_captured(clip), mirrored + 1
            except InputError as error:
                stay.add(str(error))
        write_bvh(replace(clip, name=source.name), folder / f"{number:04d}-{source.name}.bvh")
    print("\n".join(sorted(stay)))
    (folder / f"{round(BROKEN_AT * clips):04d}-broken.bvh").write_text("HIERARCHY\nROOT Hips\n{\n")
    return mirrored


def _captured(file: Path) -> SkeletonMotion:
    motion = read_motion_file(file).motion
    if not isinstance(motion, SkeletonMotion):
        raise InputError(f"{file}: a robot's motion, expected a captured one")
    return motion


@dataclass
class Watched:
    """One run of the command: resident memory [MB] at each clip it reported, its highest, and what it said last."""

    wall_s: float = 0.0
    killed: bool = False
    resident_mb: dict[int, float] = field(default_factory=dict)
    peak_mb: float = 0.0
    last_lines: list[str] = field(default_factory=list)


def watch_curate(folder: Path, robot: str, out: Path, kill_at: int | None, log: Path) -> Watched:
    """Run `mimic motions curate`; SIGKILL it once it has reported clip `kill_at`."""
    command = [sys.executable, "-m", "mimic", "motions", "curate", str(folder), "--robot", robot, "--out", str(out)]
    seen, began = Watched(), time.perf_counter()
    with log.open("w") as file, subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            file.write(line)
            file.flush()
            seen.last_lines = [*seen.last_lines, line.strip()][-3:]
            number = _PROGRESS.match(line)
            if number is None:
                continue
            at = int(number.group(1))
            resident, peak = _memory_mb(process.pid)
            seen.resident_mb[at], seen.peak_mb = resident, max(peak, seen.peak_mb)
            if kill_at is not None and at >= kill_at:
                os.kill(process.pid, signal.SIGKILL)
                seen.killed = True
                break
    seen.wall_s = time.perf_counter() - began
    return seen


def _memory_mb(pid: int) -> tuple[float, float]:
    """(resident now, highest so far) of a process; zeros when it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0, 0.0
    kb = {name: re.search(rf"^{name}:\s+(\d+) kB", text, re.M) for name in ("VmRSS", "VmHWM")}
    now, peak = (float(found.group(1)) / 1024.0 if found else 0.0 for found in kb.values())
    return now, peak


def print_run(title: str, run: Watched) -> None:
    print(f"\n{title}: {run.wall_s:.1f} s{', killed' if run.killed else ''}; peak {run.peak_mb:.0f} MB")
    marks = [at for at in run.resident_mb if at % EVERY == 0]
    first, last = min(run.resident_mb), max(run.resident_mb)
    print("clip " + "".join(f"{at:>7}" for at in (first, *marks, last)))
    print("MB   " + "".join(f"{run.resident_mb[at]:>7.0f}" for at in (first, *marks, last)))
    print("\n".join(run.last_lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[2])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--robot", default="g1")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument(
        "--kill-at", type=int, help="clip after which the first run is killed; default: half of them; 0: it is not"
    )
    parser.add_argument("--seconds", type=float, nargs=2, default=(2.0, 5.0))
    given = parser.parse_args()
    motions, curated = given.out / "motions", given.out / "curated"
    mirrored = build_library(given.files, motions, given.clips, tuple(given.seconds))
    print(f"mimic {__version__}: {given.clips} clips of {len(given.files)} captures, {mirrored} mirrored, and a broken file")
    kill_at = given.clips // 2 if given.kill_at is None else given.kill_at
    print_run("first run", watch_curate(motions, given.robot, curated, kill_at or None, given.out / "first.log"))
    if kill_at:
        print_run("second run", watch_curate(motions, given.robot, curated, None, given.out / "second.log"))
    print(json.dumps(json.loads((curated / "catalogue.json").read_text())["totals"], indent=1))


if __name__ == "__main__":
    main()
