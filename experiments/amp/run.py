"""Style without tracking: a humanoid that moves as a clip does and does not follow it, against AMP's table (Peng et al. 2021)."""

import sys
from pathlib import Path
from typing import NamedTuple

from experiments.rows import Row, commit_of, looped, main, trained


class Clip(NamedTuple):
    """file: in the folder of reference motions; repeat: cycles that it is closed to, 0 as it is; paper: AMP's pose error [m]."""

    file: str
    repeat: int
    paper: float


CLIPS = {
    "walk": Clip("deepmimic/motions/humanoid3d_walk.txt", 16, 0.030),
    "run": Clip("cmu_asfamc/09_06-run.amc", 0, 0.075),
    "jog": Clip("deepmimic/motions/humanoid3d_jog.txt", 16, 0.056),
    "cartwheel": Clip("deepmimic/motions/humanoid3d_cartwheel.txt", 0, 0.067),
}


def measure(name: str, data: Path, out: Path) -> Row:
    clip = CLIPS[name]
    motion = data / clip.file
    if clip.repeat:
        motion = looped(motion, out / f"{name}.npz", clip.repeat, "humanoid")
    evaluation, record = trained(out / name, "humanoid_style", "--motion", str(motion))
    return record | evaluation


def table(rows: dict[str, Row]) -> str:
    lines = [
        "| clip | commit | env-steps | stood 20 s | pose error, m | AMP's | coverage | speeds off by, m/s | another simulator |",
        "|---" * 9 + "|",
    ]
    for name, row in rows.items():
        free, again = row["free"], row["sim2sim"]["free"]
        reached = free["pose_error_m"] is not None and free["pose_error_m"] <= CLIPS[name].paper
        error = "-" if free["pose_error_m"] is None else f"{free['pose_error_m']:.3f}"
        error = f"**{error}**" if reached else error
        other = "-" if again["pose_error_m"] is None else f"{again['stood']:.0%}, {again['pose_error_m']:.3f} m"
        lines.append(
            f"| {name} | {commit_of(row)} | {row['n_env_steps'] / 1e6:.1f} M | {free['stood']:.0%} | {error} "
            f"| {CLIPS[name].paper:.3f} | {free['coverage']:.0%} | {free['speed_distance_m_s'] or float('nan'):.2f} | {other} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(__name__, CLIPS, measure, table))
