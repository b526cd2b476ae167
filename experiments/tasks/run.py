"""Told what to do, beside published numbers: a humanoid that walks as fast and where to as it is told, one that kicks, and one
that gets up.

The walker learns from one shipped walk, led through turns. The kicker follows DeepMimic's spin kick, paid for imitation and
target, for imitation alone, or for the target alone. The third follows DeepMimic's two get-ups.
"""

import sys
from pathlib import Path

from experiments.rows import Row, bold, commit_of, deepmimic_clip, main, markdown, trained
from mimic.config import RewardConfig

KICK = "spinkick"
HEADING_STEPS = ["--tracker-steps", "3500000", "--student-steps", "1500000", "--env-steps", "7000000"]
TERMS = [f"--reward.{name.removeprefix('sigma_')}" for name in vars(RewardConfig()) if name.startswith("sigma_")]
UNPAID = [part for term in TERMS for part in (term, "0")]
STRIKE_STEPS = ["--env-steps", "8000000"]

RISES = {"recovery": ("getup_facedown", "getup_faceup")}
RECOVERED = 0.92  # PHC's (Luo et al. 2023), within 10 s

WALKS = {"heading-walk": "DeepMimic .911, AMP .90"}  # row: the returns of the papers
STRIKES: dict[str, tuple[list[str], float]] = {  # row: what it has otherwise than the preset, and DeepMimic's success
    "strike": ([], 0.99),
    "strike-imitation-alone": (["--reward.goal", "0"], 0.19),
    "strike-goal-alone": (UNPAID, 0.55),
}


def measure(name: str, data: Path, out: Path) -> Row:
    if name in WALKS:
        evaluation, record = trained(out / name, "humanoid_steer", *HEADING_STEPS)
    elif name in RISES:
        clips = [str(deepmimic_clip(data, clip)) for clip in RISES[name]]
        evaluation, record = trained(out / name, "humanoid_recover", "--motion", *clips)
    else:
        asked = ["--motion", str(deepmimic_clip(data, KICK)), *STRIKE_STEPS, *STRIKES[name][0]]
        evaluation, record = trained(out / name, "humanoid_strike", *asked)
    return record | evaluation


def table(rows: dict[str, Row]) -> str:
    walks = [_walk(name, rows[name]) for name in WALKS if name in rows]
    strikes = [_strike(name, rows[name]) for name in STRIKES if name in rows]
    rises = [_rise(name, rows[name]) for name in RISES if name in rows]
    tables = ((WALK_HEADS, walks), (STRIKE_HEADS, strikes), (RISE_HEADS, rises))
    return "\n\n".join(markdown(heads, lines) for heads, lines in tables)


WALK_HEADS = (
    "row", "commit", "env-steps", "stood", "heading", "DeepMimic's way", "papers", "pose error", "coverage", "another simulator",
)  # fmt: skip
RISE_HEADS = ("row", "commit", "env-steps", "got up within 10 s", "PHC", "in the median after", "the clips themselves")
STRIKE_HEADS = ("row", "commit", "env-steps", "struck", "DeepMimic", "stood", "nearest", "NR", "another simulator")


def _rise(name: str, row: Row) -> list[str]:
    found, clips = row["recovery"], row["clips"]
    return [
        name,
        commit_of(row),
        f"{row['n_env_steps'] / 1e6:.1f} M",
        f"{bold(f'{found["recovered"]:.0%}', found['recovered'] >= RECOVERED)} of {len(found['falls'])}",
        f"{RECOVERED:.0%}",
        "-" if found["median_s"] is None else f"{found['median_s']:.1f} s",
        ", ".join(f"{clip['completed_frames']}/{clip['frames']}" for clip in clips),
    ]


def _walk(name: str, row: Row) -> list[str]:
    free, again = row["free"], row["sim2sim"]["free"]
    told = free["heading_return_deepmimic"]
    return [
        name,
        commit_of(row),
        f"{row['n_env_steps'] / 1e6:.1f} M",
        f"{free['stood']:.0%}",
        f"{free['heading_return']:.2f}",
        bold(f"{told:.3f}", told >= 0.91),
        WALKS[name],
        "-" if free["pose_error_m"] is None else f"{free['pose_error_m']:.3f} m",
        f"{free['coverage']:.0%}",
        f"{again['stood']:.0%}, {again['heading_return_deepmimic']:.2f}",
    ]


def _strike(name: str, row: Row) -> list[str]:
    (found,), (again,) = row["strikes"], row["sim2sim"]["strikes"]
    return [
        name,
        commit_of(row),
        f"{row['n_env_steps'] / 1e6:.1f} M",
        bold(f"{found['struck']:.0%}", found["struck"] >= 0.95),
        f"{STRIKES[name][1]:.0%}",
        f"{found['stood']:.0%}",
        f"{found['nearest_m']:.2f} m",
        f"{row['mean']['nr']:.3f}",
        f"{again['struck']:.0%}, stood {again['stood']:.0%}",
    ]


if __name__ == "__main__":
    sys.exit(main(__name__, [*WALKS, *STRIKES, *RISES], measure, table))
