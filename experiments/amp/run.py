"""Style without tracking: a humanoid that moves as a clip does and does not follow it, against AMP's table (Peng et al. 2021)."""

import sys
from pathlib import Path
from typing import NamedTuple

from experiments.rows import Row, bold, commit_of, cycled, main, markdown, trained


class Clip(NamedTuple):
    """cycles: so many of a clip that loops; paper: AMP's pose error [m]."""

    cycles: int
    paper: float


CLIPS = {"walk": Clip(16, 0.030), "run": Clip(25, 0.075), "jog": Clip(24, 0.056), "cartwheel": Clip(1, 0.067)}


def measure(name: str, data: Path, out: Path) -> Row:
    clip = cycled(data, name, CLIPS[name].cycles)
    evaluation, record = trained(out / name, "humanoid_style", *clip)
    return record | evaluation


HEADS = (
    "clip",
    "commit",
    "env-steps",
    "stood 20 s",
    "pose error, m",
    "AMP's",
    "coverage",
    "speeds off by, m/s",
    "another simulator",
)


def table(rows: dict[str, Row]) -> str:
    return markdown(HEADS, (_cells(name, row) for name, row in rows.items()))


def _cells(name: str, row: Row) -> list[str]:
    free, again, paper = row["free"], row["sim2sim"]["free"], CLIPS[name].paper
    error, apart, other = free["pose_error_m"], free["speed_distance_m_s"], again["pose_error_m"]
    return [
        name,
        commit_of(row),
        f"{row['n_env_steps'] / 1e6:.1f} M",
        f"{free['stood']:.0%}",
        "-" if error is None else bold(f"{error:.3f}", error <= paper),
        f"{paper:.3f}",
        f"{free['coverage']:.0%}",
        "-" if apart is None else f"{apart:.2f}",
        "-" if other is None else f"{again['stood']:.0%}, {other:.3f} m",
    ]


if __name__ == "__main__":
    sys.exit(main(__name__, CLIPS, measure, table))
