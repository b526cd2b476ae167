"""Shell recipes: each parses, and its folder's README says what it is for."""

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
