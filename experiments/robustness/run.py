"""python experiments/robustness/run.py --data DATA [--clips martial-arts dance run] [--rows deploy beyondmimic] [--out DIR]

Trains what is missing, stresses it, keeps its numbers in `results/CLIP.ROW.json` beside this file, and prints the tables made of
all that is there. DATA is the folder of reference motions. A row takes an hour or two on two cores: it may be stopped at any time
and goes on where it was, and the tables may grow over days and machines. Commit the files that it writes.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from experiments.rows import bold, commit_of, markdown, mimic

RESULTS = Path(__file__).parent / "results"
Commands = list[list[str]]

CLIPS: dict[str, tuple[str, ...]] = {
    "martial-arts": ("cmu_asfamc/135_06-martialArts.amc", "--end-s", "12"),
    "dance": ("cmu_asfamc/131_04-dance.amc",),
    "run": ("cmu_asfamc/09_06-run.amc",),
}
LOOPED = {"run": ("--loop", "--repeat", "14", "--ground", "--reset-origin")}  # 1.2 s of it, to 10.3 s

# axis, value tried, least completion that is asked for
GOALS: tuple[tuple[str, float, float], ...] = (
    ("latency", 20, 0.95), ("latency", 40, 0.70), ("torque", 0.85, 0.90), ("mass", 1.2, 0.90), ("friction", 0.5, 0.90),
    ("noise", 2, 0.90), ("gains", 0.8, 0.90), ("gains", 1.2, 0.90), ("push", 0.5, 0.90),
)  # fmt: skip


def deploy(motion: list[str], folder: Path) -> tuple[Commands, Path]:
    """Our own; what to run, and the policy's run folder.

    A teacher of the true state, 16 M env-steps; its student, 3 M on robots that are off in many respects at once; 1 M more on
    such as are off in fewer, with half the step size. The policy is the average of the weights over all of these: it bears what
    the student bore at their start, and what it bears at their end.
    """
    teacher, student, settled = (folder / name for name in ("teacher", "student", "settled"))
    learns = ["distill", str(teacher), "--randomize.start-level", "1", "--resume"]
    varied = ["--randomize.varied-share", "0.5", "--ppo.average-decay", "0.999"]
    settles = ["--init-from", str(student), "--randomize.varied-share", "0.4", "--ppo.average-decay", "0.9998",
               "--distill.learning-rate", "5e-4", "--distill.mixed-share", "0"]  # fmt: skip
    return [
        ["train", "g1_teacher", "--motion", *motion, "--env-steps", "16000000", "--run-dir", str(teacher), "--resume"],
        [*learns, "--env-steps", "3000000", *varied, "--run-dir", str(student)],
        [*learns, "--env-steps", "1000000", *settles, "--run-dir", str(settled)],
    ], settled


def beyondmimic(motion: list[str], folder: Path) -> tuple[Commands, Path]:
    """BeyondMimic's formulation without state estimation, with as many env-steps as teacher and student have together."""
    sizes = ["--num-envs", "256", "--env-steps", "20000000"]
    return [["train", "g1_beyondmimic_wose", "--motion", *motion, *sizes, "--run-dir", str(folder), "--resume"]], folder


ROWS = {"deploy": deploy, "beyondmimic": beyondmimic}


def motion_of(clip: str, data: Path, out: Path) -> list[str]:
    """What `--motion` takes of a clip: its file and options, or the looped motion made of it."""
    name, *options = CLIPS[clip]
    if clip not in LOOPED:
        return [str(data / name), *options]
    looped = out / f"{clip}.npz"
    if not looped.exists():
        mimic("motions", "edit", str(data / name), str(looped), "--robot", "g1", *LOOPED[clip])
    return [str(looped)]


def measure(clip: str, row: str, data: Path, out: Path) -> dict[str, Any]:
    """Train and stress one row, as far as it was not done before; what is worth keeping of its numbers."""
    commands, run = ROWS[row](motion_of(clip, data, out), out / clip / row)
    for argv in commands:
        folder = Path(argv[argv.index("--run-dir") + 1])
        if not (folder / "report.html").exists():  # the last thing a training writes
            mimic(*argv)
    stress = out / clip / f"{row}.stress.json"
    if not stress.exists():
        mimic("stress", str(run), "--json", str(stress))
    evaluation, config = (json.loads((run / name).read_text()) for name in ("evaluation.json", "config.json"))
    return {
        "commit": config["git_commit"],
        "cpu": config["machine"]["cpu"],
        "env_steps": sum(int(argv[argv.index("--env-steps") + 1]) for argv in commands),
        "as_trained": evaluation["mean"],
        "all_collisions": evaluation.get("all_collisions", {}).get("mean"),
        "another_simulator": evaluation["sim2sim"]["mean"],
        "stress": {name: part for name, part in json.loads(stress.read_text()).items() if name != "policy"},  # a path here
    }


def tables(folder: Path) -> str:
    """All results in `folder`, as Markdown: how well the clip is tracked, and what of the goals is reached."""
    found = {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}
    tracking = [
        [
            _name(name),
            commit_of(result),
            f"{result['env_steps'] / 1e6:.1f} M",
            *(_tracked(result[key]) for key in ("as_trained", "all_collisions", "another_simulator")),
        ]
        for name, result in found.items()
    ]
    heads = ["clip, row", "commit", "env-steps", "as trained", "all collisions", "another simulator"]
    margins = [[_name(name), *_margins(result["stress"]["axes"])] for name, result in found.items()]
    goals = [f"{axis} {value:g} ({goal:.0%})" for axis, value, goal in GOALS]
    return "\n".join([markdown(heads, tracking), "", markdown(["clip, row (goal)", *goals], margins)])


def _margins(axes: list[dict[str, Any]]) -> list[str]:
    by = {(part["axis"], part["value"]): part["completion"] for part in axes}
    return [_reached(by.get((axis, value)), goal) for axis, value, goal in GOALS]


def _name(stem: str) -> str:
    return ", ".join(stem.split(".", 1))


def _reached(completion: float | None, goal: float) -> str:
    if completion is None:
        return "not measured"
    return bold(f"{completion:.0%}", completion >= goal)


def _tracked(mean: dict[str, float] | None) -> str:
    """Completed frames, and the error over them."""
    if mean is None:
        return "not measured"
    return f"{mean['completed_frames']:.0f}/{mean['frames']:.0f}, {mean['e_mpbpe_mm']:.1f} mm"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of reference motions; none: print the tables only")
    parser.add_argument("--clips", nargs="+", choices=CLIPS, default=list(CLIPS))
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--out", type=Path, default=Path("runs/robustness"))
    asked = parser.parse_args()
    if asked.data is not None:
        RESULTS.mkdir(exist_ok=True)
        for row in asked.rows:
            for clip in asked.clips:
                file = RESULTS / f"{clip}.{row}.json"
                if not file.exists():
                    file.write_text(json.dumps(measure(clip, row, asked.data, asked.out), indent=1) + "\n")
    print(tables(RESULTS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
