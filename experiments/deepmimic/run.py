"""DeepMimic's skills on our humanoid, tracked: its table (Peng et al. 2018) and the tracking column of AMP's (Peng et al. 2021).

Each clip is run once, whole, from its first frame; what loops is repeated for 20 s. NR is `mimic.evaluation.deepmimic`'s, by the
paper's reward and by that of the authors' released code: what is lost by a fall is lost to the end of the clip.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

from experiments.rows import Row, bold, commit_of, cycled, main, markdown, mimic, trained

ENV_STEPS = 6_000_000


class Skill(NamedTuple):
    """cycles: so many of a clip that loops; the paper's normalized return and samples [1e6]; pose_error: of tracking
    in AMP's table [m], None where it has none; pushes: the largest that the paper's policy bears, forward and sideways, for .2 s
    [N]."""

    cycles: int
    nr: float
    samples: int
    pose_error: float | None
    pushes: tuple[int, int] | None = None


ON_HANDS = ("cartwheel", "roll", "crawl", "getup_facedown", "getup_faceup")  # more than feet must be able to touch the ground
SKILLS = {
    "walk": Skill(16, 0.985, 61, 0.018, (240, 300)),
    "run": Skill(25, 0.951, 53, 0.028, (720, 300)),
    "jump": Skill(1, 0.947, 86, 0.033),
    "spinkick": Skill(1, 0.748, 67, 0.042, (690, 600)),
    "cartwheel": Skill(1, 0.804, 51, 0.039, (200, 470)),
    "backflip": Skill(1, 0.729, 72, 0.076, (440, 100)),
    "jog": Skill(24, 0.951, 51, 0.029),
    "kick": Skill(1, 0.854, 50, None),
    "punch": Skill(1, 0.812, 60, None),
    "roll": Skill(1, 0.735, 81, 0.072),
    "crawl": Skill(1, 0.932, 68, None),
    "dance_a": Skill(1, 0.863, 67, None),
    "dance_b": Skill(1, 0.822, 79, None),
    "spin": Skill(1, 0.664, 191, None),
    "sideflip": Skill(1, 0.805, 64, None),
    "getup_facedown": Skill(1, 0.885, 49, None),
    "getup_faceup": Skill(1, 0.838, 66, None),
}


PUSHED = "-pushed"  # of a row's name: trained with forces, as the paper's were not
# pushed, begun off its motion, and acting with noise to the end: each alone leaves it in a world that hardly moves
FORCES = [
    "--randomize.push.force", "300", "--randomize.push.interval-s", "3", "--ppo.min-std", "0.25",
    "--reset.linvel", "0.5", "0.5", "0.2", "--reset.angvel", "0.5", "0.5", "0.5", "--reset.tilt", "0.1", "0.1", "0.1",
]  # fmt: skip
ROWS = [*SKILLS, *(name + PUSHED for name, skill in SKILLS.items() if skill.pushes)]


def measure(row: str, data: Path, out: Path) -> Row:
    name = row.removesuffix(PUSHED)
    clip = cycled(data, name, SKILLS[name].cycles)
    touching = ["--sim.collisions", "all"] if name in ON_HANDS else []
    forces = FORCES if row != name else []
    evaluation, record = trained(out / row, "humanoid", *clip, *touching, *forces, "--env-steps", str(ENV_STEPS))
    pushed = out / f"{row}.pushes.json"
    if SKILLS[name].pushes and not pushed.exists():
        mimic("stress", str(out / row), "--axes", "forward,sideways", "--json", str(pushed))
    return record | evaluation | ({"pushes": json.loads(pushed.read_text())["margins"]} if pushed.exists() else {})


HEADS = (
    "skill",
    "commit",
    "env-steps (paper)",
    "frames",
    "NR, by the released code (paper)",
    "pose error, m (AMP)",
    "all collisions",
    "another simulator",
    "pushes forward, sideways, N (paper)",
)


def table(rows: dict[str, Row]) -> str:
    return markdown(HEADS, (_cells(name, row) for name, row in rows.items()))


def _cells(name: str, row: Row) -> list[str]:
    skill, mean = SKILLS[name.removesuffix(PUSHED)], row["mean"]
    error, aim = mean["pose_error_m"], skill.pose_error
    return [
        name,
        commit_of(row),
        f"{row['n_env_steps'] / 1e6:.1f} M ({skill.samples} M)",
        f"{mean['completed_frames']:.0f}/{mean['frames']:.0f}",
        f"{', '.join(bold(f'{nr:.3f}', nr >= skill.nr) for nr in (mean['nr'], mean['nr_released']))} ({skill.nr:.3f})",
        f"{error:.3f} (-)" if aim is None else f"{bold(f'{error:.3f}', error <= aim)} ({aim:.3f})",
        *(_short(row[key]["mean"]) for key in ("all_collisions", "sim2sim")),
        _pushes(skill, row),
    ]


def _pushes(skill: Skill, row: Row) -> str:
    """The largest that were tried of which, and of all smaller ones, 95 % of 64 robots complete the clip."""
    if skill.pushes is None or "pushes" not in row:
        return "-"
    borne = (row["pushes"][axis]["above"]["to"] or 0 for axis in ("forward", "sideways"))
    return ", ".join(f"{bold(f'{force:g}', force >= paper)} ({paper})" for force, paper in zip(borne, skill.pushes, strict=True))


def _short(mean: dict[str, float]) -> str:
    return f"{mean['completed_frames']:.0f}/{mean['frames']:.0f}, {mean['nr']:.3f}, {mean['nr_released']:.3f}"


if __name__ == "__main__":
    sys.exit(main(__name__, ROWS, measure, table))
