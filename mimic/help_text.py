"""What the command line says of itself: a command in one line, in full, and by examples, which a test gives to the parser."""

import inspect
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

MAX_WIDTH = 100  # columns; a line of text that is longer is hard to read, however wide the terminal
COLUMN = 12  # of names in lists: the longest command, check-bundle

EXAMPLES: dict[str, tuple[str, ...]] = {
    "init": ("mimic init", "mimic init walk --robot g1 --motion walk.csv --fps 30 --task track"),
    "demo": ("mimic demo", "mimic demo --env-steps 200000 --run-dir runs/short-demo"),
    "train": (
        "mimic train humanoid --motion dance.bvh",
        "mimic train g1 --motion walk.csv --fps 30 --run-dir runs/walk --resume",
        "mimic train --config walk/mimic.toml --ppo.discount 0.97",
    ),
    "sweep": (
        "mimic sweep g1 --motion walk.npz dance.npz --seeds 0 1 2",
        'mimic sweep humanoid --vary "" "sampling.cap=3" --plot caps.png',
    ),
    "harden": ("mimic harden runs/g1-walk --run-dir runs/g1-walk-hardened",),
    "distill": ("mimic distill runs/g1_teacher-walk --run-dir runs/student",),
    "evaluate": (
        "mimic evaluate runs/g1-walk --json numbers.json",
        "mimic evaluate runs/g1-walk --motion other.npz --save-motion simulated.npz",
        "mimic evaluate runs/walk runs/kick --switches 64",
    ),
    "stress": ("mimic stress runs/g1-walk --axes torque latency --plot margins.png", "mimic stress bundle --seeds 16"),
    "view": ("mimic view dance.bvh --robot humanoid", "mimic view runs/g1-walk", "mimic view policy.onnx --recorded"),
    "play": (
        "mimic play policy.onnx --video walk.mp4",
        "mimic play policy.onnx --command way.csv --plot way.png --save-motion way.npz",
    ),
    "inspect": (
        "mimic inspect dance.bvh",
        "mimic inspect robot.xml --spec robot.toml",
        "mimic inspect runs/g1-walk --json facts.json",
    ),
    "retarget": (
        "mimic retarget dance.bvh --robot humanoid --out dance.npz --json quality.json",
        "mimic retarget a.bvh b.bvh --robot g1 --out retargeted --sheets pictures --strict",
    ),
    "convert": ("mimic convert dance.npz dance.glb", "mimic convert simulated.npz simulated.bvh --onto dance.bvh"),
    "motions edit": (
        "mimic motions edit walk.npz left.npz --trim 1:4 --mirror",
        "mimic motions edit walk.bvh cycle.npz --robot g1 --loop --repeat 4",
    ),
    "motions curate": ("mimic motions curate captures --robot g1 --out library",),
    "fetch": ("mimic fetch", "mimic fetch cmu --folder data"),
    "robot": ("mimic robot init my_robot.xml",),
    "export": ("mimic export runs/g1-walk --out policy.onnx", "mimic export runs/student --bundle --out bundle"),
    "check-bundle": ("mimic check-bundle bundle",),
    "rehearse": ("mimic rehearse bundle --latency-ms 20 --loss 0.02",),
    "serve": ("mimic serve bundle --host 0.0.0.0 --log steps.jsonl",),
    "sim-robot": ("mimic sim-robot bundle --duration 10 --json lived.json",),
    "bench": (
        "mimic bench speed --num-envs 256 1024 --plot speed.png",
        "mimic bench learn --robot humanoid --seeds 0 1 2 --json learn.json",
        "mimic bench compare before.json after.json",
    ),
    "completion": ('eval "$(mimic completion bash)"', "mimic completion fish > ~/.config/fish/completions/mimic.fish"),
    "explain": ("mimic explain E-BVH", "mimic explain"),
    "report": (
        "mimic report runs/g1-walk",
        "mimic report runs/a runs/b --out compared.html --json compared.json",
    ),
    "doctor": ("mimic doctor --json machine.json",),
}  # fmt: skip


def width() -> int:
    """Columns to fill."""
    return min(shutil.get_terminal_size((MAX_WIDTH, 24)).columns, MAX_WIDTH)


def program() -> str:
    """What to type for `mimic`, which is not everywhere on the PATH: `make` keeps it in .venv/bin."""
    here = Path(sys.argv[0])
    if here.parts[-2:] == ("mimic", "__main__.py"):
        return "python -m mimic"
    found = shutil.which("mimic")
    if here.name != "mimic" or (found is not None and Path(found).resolve() == here.resolve()):
        return "mimic"
    return shlex.quote(os.path.relpath(here) if here.is_relative_to(Path.cwd()) else str(here))


def summary(described: object) -> str:
    """The first line of what a command or preset says of itself."""
    return (inspect.getdoc(described) or "").partition("\n")[0]


def paragraph(text: str, indent: str = "") -> str:
    """`text` in lines."""
    return textwrap.fill(text, width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def listed(items: Mapping[str, object], column: int = COLUMN) -> str:
    """Names and summaries, a line each, or more where the terminal is narrow."""
    lines = []
    for name, described in items.items():
        lead = f"  {name:{column}}  "
        lines.append(lead + paragraph(summary(described), " " * len(lead)).lstrip())
    return "\n".join(lines)


def about(described: object, command: str) -> str:
    """What a command is, in full, and its examples. Indented, as tyro would make one line of a paragraph."""
    first, *others = (inspect.getdoc(described) or "").split("\n\n")
    blocks = ["\n".join([first, *(paragraph(text, "  ") for text in others)])]
    if command in EXAMPLES:
        blocks.append("\n".join(["examples:", *(f"  {line}" for line in EXAMPLES[command])]))
    return "\n\n".join(blocks)
