"""Told what to do: a humanoid that walks as its clips do, as fast and where to as it is told, beside published returns."""

import sys
from pathlib import Path

from experiments.rows import Row, commit_of, main, markdown, mimic, trained
from motions.clips import shipped_clips

LONG = "deepmimic/motions/long/humanoid3d_long_walk3.txt"  # walks, stops and turns for 17.7 s
STEPS = ["--tracker-steps", "3500000", "--student-steps", "1500000", "--env-steps", "4000000"]
# row: what of the presets it has otherwise, and the return of the papers that it stands beside
ROWS = {"heading-walk": (["--goal.turn", "0.8", "--goal.interval-s", "2"], "DeepMimic .911, AMP .90")}


def measure(name: str, data: Path, out: Path) -> Row:
    out.mkdir(parents=True, exist_ok=True)
    mirrored = out / "long_mirrored.npz"
    if not mirrored.exists():
        mimic("motions", "edit", str(data / LONG), str(mirrored), "--robot", "humanoid", "--mirror")
    clips = [str(data / LONG), str(mirrored), str(shipped_clips()["walk"])]
    evaluation, record = trained(out / name, "humanoid_steer", "--motion", *clips, *STEPS, *ROWS[name][0])
    return record | evaluation


HEADS = (
    "row",
    "commit",
    "env-steps",
    "stood",
    "heading",
    "DeepMimic's way",
    "papers",
    "pose error",
    "coverage",
    "another simulator",
)


def table(rows: dict[str, Row]) -> str:
    return markdown(HEADS, (_cells(name, row) for name, row in rows.items()))


def _cells(name: str, row: Row) -> list[str]:
    free, again = row["free"], row["sim2sim"]["free"]
    return [
        name,
        commit_of(row),
        f"{row['n_env_steps'] / 1e6:.1f} M",
        f"{free['stood']:.0%}",
        f"{free['heading_return']:.2f}",
        f"{free['heading_return_deepmimic']:.2f}",
        ROWS[name][1],
        "-" if free["pose_error_m"] is None else f"{free['pose_error_m']:.3f} m",
        f"{free['coverage']:.0%}",
        f"{again['stood']:.0%}, {again['heading_return']:.2f}",
    ]


if __name__ == "__main__":
    sys.exit(main(__name__, ROWS, measure, table))
