"""What the tables of experiments share: commands of ours, run as far as they were not before, and their results as files.

`python -m experiments.NAME.run --data DATA` trains what is missing, keeps the numbers of each row in `experiments/NAME/results/`
and prints the table of all that is there; it may be stopped at any time and goes on where it was. Commit the files it writes.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def mimic(*argv: str) -> None:
    """One command of ours. Raises `CalledProcessError` when it fails."""
    print("mimic", *argv, flush=True)
    subprocess.run([sys.executable, "-m", "mimic", *argv], check=True)


def deepmimic_clip(data: Path, name: str) -> Path:
    """Where one of DeepMimic's clips of a person lies."""
    return data / f"deepmimic/motions/humanoid3d_{name}.txt"


def cycled(data: Path, name: str, cycles: int) -> list[str]:
    """Options that name such a clip, so many of it one after the other."""
    return ["--motion", str(deepmimic_clip(data, name)), "--cycles", str(cycles)]


def retargeted(data: Path, name: str, cycles: int, out: Path) -> Path:
    """The same on our humanoid, a file in `out`, made if it is not there."""
    clip = out / f"{name}.npz"
    if not clip.exists():
        out.mkdir(parents=True, exist_ok=True)
        source, times = str(deepmimic_clip(data, name)), str(cycles)
        mimic("retarget", source, "--robot", "humanoid", "--cycles", times, "--out", str(clip))
    return clip


def trained(folder: Path, *argv: str) -> tuple[Row, Row]:
    """(evaluation, record) of the run that `mimic train ARGV` makes in `folder`, begun, gone on with, or done before."""
    if not (folder / "learning.png").exists():  # of a training's files among the last; an evaluation may be of a part of one
        mimic("train", *argv, "--run-dir", str(folder), "--resume")
    evaluation, record = (json.loads((folder / name).read_text()) for name in ("evaluation.json", "config.json"))
    return evaluation, {"commit": record["git_commit"], "cpu": record["machine"]["cpu"]}


def commit_of(row: Row) -> str:
    return row["commit"][:7] + "+" * row["commit"].endswith("+")


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    return "\n".join([_line(heads), "|---" * len(heads) + "|", *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def bold(text: str, reached: bool) -> str:
    """In bold what reaches its goal."""
    return f"**{text}**" if reached else text


def main(
    module: str, known: Iterable[str], measure: Callable[[str, Path, Path], Row], table: Callable[[dict[str, Row]], str]
) -> int:
    """The program of a table in the package `module`: `measure(name, data, out)` for each row asked for."""
    results = Path(sys.modules[module].__file__ or "").parent / "results"
    parser = argparse.ArgumentParser(description=sys.modules[module].__doc__)
    parser.add_argument("--data", type=Path, help="folder of reference motions; none: print the table only")
    parser.add_argument("--rows", nargs="+", metavar="ROW", choices=list(known), default=list(known), help=", ".join(known))
    parser.add_argument("--out", type=Path, default=Path("runs") / results.parent.name)
    asked = parser.parse_args()
    if asked.data is not None:
        results.mkdir(exist_ok=True)
        for name in asked.rows:
            file = results / f"{name}.json"
            if not file.exists():
                file.write_text(json.dumps(measure(name, asked.data, asked.out), indent=1) + "\n")
    rows = {name: json.loads((results / f"{name}.json").read_text()) for name in known if (results / f"{name}.json").exists()}
    print(table(rows))
    return 0
