"""A discriminator of differences in place of tracking rewards (ADD, Zhang et al. 2025), against AMP's table (Peng et al. 2021).

The humanoid follows its clip, and all that it earns is what the discriminator says of how it differs from it.
"""

import sys
from pathlib import Path

from experiments.amp.run import CLIPS
from experiments.rows import Row, bold, commit_of, cycled, main, markdown, trained
from experiments.tasks.run import UNPAID

JUDGED = ["--style.judges", "difference", "--reward.style", "4"]
ENV_STEPS = "3000000"


def measure(name: str, data: Path, out: Path) -> Row:
    clip = cycled(data, name, CLIPS[name].cycles)
    evaluation, record = trained(out / name, "humanoid", *clip, *JUDGED, *UNPAID, "--env-steps", ENV_STEPS)
    return record | evaluation


def table(rows: dict[str, Row]) -> str:
    lines = []
    for name, row in rows.items():
        mean, paper = row["mean"], CLIPS[name].paper
        frames = f"{mean['completed_frames']:.0f}/{mean['frames']:.0f}"
        error = bold(f"{mean['pose_error_m']:.3f} m", mean["pose_error_m"] <= paper)
        steps = f"{row['n_env_steps'] / 1e6:.1f} M"
        again = f"{row['sim2sim']['mean']['pose_error_m']:.3f} m"
        lines.append([name, commit_of(row), steps, frames, error, f"{paper:.3f} m", f"{mean['e_mpbpe_mm']:.1f} mm", again])
    return markdown(("clip", "commit", "env-steps", "frames", "pose error", "AMP's", "E_mpbpe", "another simulator"), lines)


if __name__ == "__main__":
    sys.exit(main(__name__, CLIPS, measure, table))
