"""Where episodes start and when they end: DeepMimic's ablation (Peng et al. 2018, table 3) of reference-state initialization
(RSI) and early termination (ET), on our humanoid.

Without RSI every episode starts on the clip's first frame; without ET it goes on after a fall.
"""

import sys
from pathlib import Path

from experiments.deepmimic import run as deepmimic
from experiments.rows import Row, commit_of, cycled, main, markdown, trained

WITHOUT_RSI = ["--sampling.from-start", "1"]
RULES = ("anchor-height", "anchor-angle", "end-effector-height")
WITHOUT_ET = [part for rule in RULES for part in (f"--termination.{rule}", "None")]
# what is left, and how the other is switched off
KINDS: dict[str, list[str]] = {"both": [], "et": WITHOUT_RSI, "rsi": WITHOUT_ET}
ENV_STEPS = 2_000_000
PAPER = {"backflip": (0.791, 0.730, 0.379), "walk": (0.980, 0.981, 0.974)}  # NR with both, with ET alone, with RSI alone
ROWS = [f"{skill}-{kind}" for skill in PAPER for kind in KINDS]


def measure(name: str, data: Path, out: Path) -> Row:
    skill, kind = name.rsplit("-", 1)
    clip = cycled(data, skill, deepmimic.SKILLS[skill].cycles)
    evaluation, record = trained(out / name, "humanoid", *clip, *KINDS[kind], "--env-steps", str(ENV_STEPS))
    return record | evaluation


def table(rows: dict[str, Row]) -> str:
    lines = []
    for skill, paper in PAPER.items():
        found = [rows.get(f"{skill}-{kind}") for kind in KINDS]
        lines.append([skill, *(_cell(row, published) for row, published in zip(found, paper, strict=True))])
    return markdown(("clip", "RSI and ET (paper)", "ET alone", "RSI alone"), lines)


def _cell(row: Row | None, published: float) -> str:
    """NR, where it was lost, and after how much training."""
    if row is None:
        return f"not measured yet ({published:.3f})"
    mean = row["mean"]
    lost = "" if mean["completed_frames"] == mean["frames"] else f", lost at {mean['completed_frames']:.0f}/{mean['frames']:.0f}"
    return f"{mean['nr']:.3f}{lost} ({published:.3f}); {row['n_env_steps'] / 1e6:.1f} M, {commit_of(row)}"


if __name__ == "__main__":
    sys.exit(main(__name__, ROWS, measure, table))
