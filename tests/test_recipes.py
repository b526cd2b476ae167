"""Shell recipes: each parses, and its folder's README says what it is for."""

import os
import re
import subprocess
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
SCRIPTS = sorted([*EXPERIMENTS.rglob("*.sh"), *EXPERIMENTS.rglob("*.sbatch")])
RECIPES = sorted({*SCRIPTS, *(path for path in (EXPERIMENTS / "cluster").iterdir() if path.name != "README.md")})


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_parses(script: Path):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_is_told_of(recipe: Path):
    assert recipe.name in (recipe.parent / "README.md").read_text()


@pytest.mark.parametrize("page", ["docs/tutorials/cluster-run.md", "experiments/cluster/README.md"])
def test_as_many_processes_as_gpus_are_asked_for(page: str):
    """train.sbatch gives each task a GPU; a node with fewer GPUs than tasks is never found."""
    (tasks,) = re.findall(r"--ntasks-per-node=(\d+)", (EXPERIMENTS / "cluster" / "train.sbatch").read_text())
    lines = re.findall(r"sbatch .*train\.sbatch", (EXPERIMENTS.parent / page).read_text())
    assert lines
    for line in lines:
        (gpus,) = re.findall(r"--gpus-per-node (\d+)", line)
        assert (re.findall(r"--ntasks-per-node (\d+)", line) or [tasks]) == [gpus], line


@pytest.mark.parametrize("name", ["train.sbatch", "sweep.sbatch"])
def test_a_job_finds_mimic_or_says_that_it_does_not(name: str, tmp_path: Path):
    command = ["/bin/bash", str(EXPERIMENTS / "cluster" / name), "train", "humanoid"]
    bare = {"PATH": str(tmp_path / "bin"), "SLURM_ARRAY_TASK_ID": "0"}
    done = subprocess.run(command, env=bare, capture_output=True, text=True)
    assert done.returncode == 2
    assert "set VENV" in done.stderr
    for program, does in (("srun", 'echo "$@"'), ("mimic", "true")):
        file = tmp_path / "bin" / program
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/bash\n{does}\n")
        file.chmod(0o755)
    (tmp_path / "bin" / "activate").write_text(f"PATH={tmp_path}/bin\n")
    done = subprocess.run(command, env=bare | {"PATH": os.devnull, "VENV": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "mimic" in done.stdout
