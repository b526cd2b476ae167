"""`mimic doctor`: what this machine offers and what is missing."""

import importlib.util
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mimic.progress import waiting
from mimic.robots import load_robot
from mimic.runs import PACKAGES, git_commit
from motions.errors import InputError

OPTIONAL = {
    "warp": "backend mjx-warp (extra `cuda`)",
    "robot_descriptions": "robot models by download (extra `view`)",
    "viser": "browser viewer (extra `view`)",
    "wandb": "trainings in Weights & Biases (extra `wandb`)",
}


def run_doctor() -> dict[str, str]:
    """Print the findings, and return them."""
    rows = [
        ("python", f"{platform.python_version()} on {platform.platform()}"),
        ("cores", str(os.cpu_count())),
        ("packages", ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)),
        ("commit", git_commit() or "not a git checkout"),
    ]
    with waiting("looking"):
        rows += _backends() + _seeing() + _robots() + _optional()
    table = Table("what", "found", show_header=False)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)
    return dict(rows)


def _backends() -> list[tuple[str, str]]:
    import jax

    devices = ", ".join(f"{d.platform}:{d.device_kind}" for d in jax.devices())
    warp = "yes" if importlib.util.find_spec("warp") else "missing: pip install 'mimic-mjx[cuda]'"
    return [
        ("JAX devices", devices),
        ("backend native", "yes: C MuJoCo on all cores"),
        ("backend mjx-jax", "yes"),
        ("backend mjx-warp", warp),
    ]


def _seeing() -> list[tuple[str, str]]:
    from mimic.view.gl import find_gl

    backend = find_gl()
    ffmpeg = "yes (imageio-ffmpeg)" if importlib.util.find_spec("imageio_ffmpeg") else "missing: pip install imageio-ffmpeg"
    renderer = f"OpenGL through {backend}" if backend else "pure-Python renderer (no OpenGL found)"
    return [("rendering", renderer), ("video", ffmpeg)]


def _robots() -> list[tuple[str, str]]:
    rows = [("MIMIC_ROBOTS", os.environ.get("MIMIC_ROBOTS", "not set"))]
    for name in ("humanoid", "g1"):
        try:
            robot = load_robot(name)
            rows.append((f"robot {name}", f"{len(robot.joint_names)} joints, from {robot.source}"))
        except InputError as error:
            rows.append((f"robot {name}", str(error)))
    return rows


def _optional() -> list[tuple[str, str]]:
    rows = [(name, "yes" if importlib.util.find_spec(name) else f"missing, needed for {use}") for name, use in OPTIONAL.items()]
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    return [*rows, ("disk here", f"{free_gb:.0f} GB free")]
