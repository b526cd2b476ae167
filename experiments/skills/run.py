"""One network for many skills: eight of DeepMimic's clips in one policy, each beside one of its own, and switches between them.

A skill's own policy is that of `python -m experiments.deepmimic.run`, whose rows are read from beside this folder; as a composite
these policies are asked for the same switches.
"""

import json
import sys
from pathlib import Path

from experiments.deepmimic import run as alone
from experiments.rows import Row, bold, commit_of, main, markdown, mimic, retargeted, trained

SKILLS = {"walk": 4, "run": 6, "jog": 6, "jump": 1, "spinkick": 1, "cartwheel": 1, "kick": 1, "punch": 1}  # cycles
ENV_STEPS, SWITCHES, PRACTISED = 8_000_000, 64, 200
WORSE, SWITCHED = 1.2, 0.95  # at most so much of the error of a skill's own policy; at least so many switches


def measure(name: str, data: Path, out: Path) -> Row:
    return {"eight": _one_network, "composite": _composite}[name](name, data, out)


def _composite(name: str, data: Path, out: Path) -> Row:
    folders = out.parent / Path(alone.__file__).parent.name
    rows = [alone.measure(skill, data, folders) for skill in SKILLS]
    measured = out / f"{name}.json"
    if not measured.exists():
        runs = [str(folders / skill) for skill in SKILLS]
        mimic("evaluate", *runs, "--switches", str(SWITCHES), "--json", str(measured))
    steps = sum(row["n_env_steps"] for row in rows)
    return {"commit": rows[-1]["commit"], "cpu": rows[-1]["cpu"], "n_env_steps": steps} | json.loads(measured.read_text())


def _one_network(name: str, data: Path, out: Path) -> Row:
    clips = [str(retargeted(data, skill, cycles, out)) for skill, cycles in SKILLS.items()]
    touching = ["--sim.collisions", "all"] if set(SKILLS) & set(alone.ON_HANDS) else []
    how = ["--env-steps", str(ENV_STEPS), "--sampling.cap", "3", "--switches", str(PRACTISED), *touching]
    evaluation, record = trained(out / name, "humanoid", "--motion", *clips, *how)
    return record | evaluation


def table(rows: dict[str, Row]) -> str:
    lines = []
    for name, row in rows.items():
        steps = f"{row['n_env_steps'] / 1e6:.1f} M"
        for skill, clip in zip(SKILLS, row["clips"], strict=True) if name == "eight" else ():
            lines.append([skill, commit_of(row), steps, f"{clip['completed_frames']}/{clip['frames']}", *_beside(skill, clip)])
        share, who = row["switches"]["succeeded"], "a policy for each skill" if name == "composite" else "one network"
        lines.append([f"{SWITCHES} switches, {who}", commit_of(row), steps, bold(f"{share:.0%}", share >= SWITCHED), "", ""])
    return markdown(("skill", "commit", "env-steps", "frames", "E_mpbpe", "alone"), lines)


def _beside(skill: str, clip: Row) -> list[str]:
    """Its error, and that of the skill's own policy."""
    file, error = Path(alone.__file__).parent / "results" / f"{skill}.json", clip["e_mpbpe_mm"]
    if not file.exists():
        return [f"{error:.1f} mm", "not measured"]
    own = json.loads(file.read_text())["mean"]["e_mpbpe_mm"]
    return [bold(f"{error:.1f} mm", error <= WORSE * own), f"{own:.1f} mm"]


if __name__ == "__main__":
    sys.exit(main(__name__, ["eight", "composite"], measure, table))
