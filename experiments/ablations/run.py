"""python experiments/ablations/run.py --motion FILE [--rows base cap3 ...] [--seeds 0 1 2] [--env-steps N] [--out DIR] [OPTIONS]

Trains every row of `ROWS` once per seed, each by one `mimic bench learn`, and prints the table made from their JSON files. What
has its file is not trained again, so the table can grow over days. Further OPTIONS go to `mimic bench learn` (`--end-s 12`).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

ROWS: dict[str, tuple[str, ...]] = {
    "base": (),
    "tolerance": ("curriculum.tolerance_decay=.999",),
    "cap3": ("sampling.cap=3",),
    "cap5": ("sampling.cap=5",),
    "uniform": ("sampling.cap=1",),
    "tighten": ("curriculum.loose_bounds=2", "curriculum.tighten_share=.5"),
    "augment": ("ppo.symmetry=augment",),
    "symmetry-loss": ("ppo.symmetry=loss",),
    "symmetry-network": ("ppo.symmetry=network",),
    "smooth": ("reward.action_acceleration=-.005",),
    "noise-lasts": ("ppo.noise_correlation=.5",),
    "smooth-only": ("reward.action_rate=0", "reward.action_acceleration=-.005"),
}


def train(row: str, seed: int, file: Path, options: list[str]) -> None:
    """One training of a row, its numbers in `file`, its run folder beside it. Raises `CalledProcessError` when it fails."""
    argv = ["bench", "learn", "--robot", "g1", *options, "--seeds", str(seed), "--run-dir", str(file.parent / row)]
    settings = ("--set", *ROWS[row]) if ROWS[row] else ()
    subprocess.run([sys.executable, "-m", "mimic", *argv, *settings, "--json", str(file)], check=True)


def table(folder: Path, rows: list[str], seeds: list[int]) -> str:
    """The rows that have all their numbers, as Markdown."""
    lines = ["| row | settings | seeds complete | E_mpbpe [mm], by seed | median |", "|---|---|---|---|---|"]
    for row in rows:
        files = [result_file(folder, row, seed) for seed in seeds]
        if not all(file.exists() for file in files):
            continue
        found = [json.loads(file.read_text())["seeds"][0] for file in files]
        errors = [each["e_mpbpe_mm"] for each in found]
        complete = sum(each["success_height"] == 1 for each in found)
        settings = " ".join(ROWS[row])
        lines.append(
            f"| {row} | {f'`--set {settings}`' if settings else ''} | {complete}/{len(found)} | "
            f"{', '.join(f'{error:.1f}' for error in errors)} | {np.median(errors):.1f} |"
        )
    return "\n".join(lines)


def result_file(folder: Path, row: str, seed: int) -> Path:
    return folder / f"{row}.seed{seed}.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    asked, options = parser.parse_known_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for seed in asked.seeds:  # all rows with one seed before any has two
        for row in asked.rows:
            file = result_file(asked.out, row, seed)
            if not file.exists():
                train(row, seed, file, options)
    print(table(asked.out, asked.rows, asked.seeds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
