"""The arrows of the house: who may import whom, what must load without JAX, and how long a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("motions", "retarget", "mimic")
MAX_LINES = 450

# A room (or a module of its own) and what it may import of ours; everything may import from inside its own room.
# The longest matching name decides. Modules not named here (pipeline, checkpoint, play, ...) may import all of mimic and motions,
# but neither retarget nor the command line.
#
# The way of the data is mimic.sim, .tasks and .learning, then mimic.training, which measures what it learns by mimic.evaluation.
# Never the other way: who measures has the exported policy and no more. mimic.metrics lies below both, since the runtime and
# pictures speak of the same errors; what measures run folders (compare, composite, pipeline) lies above. But one arrow goes back:
# pipeline also makes a policy of a training's state, and mimic.training.interim takes that from it.
ARROWS: dict[str, set[str]] = {
    "motions": set(),
    "retarget": {"motions"},
    "mimic": {"motions", "mimic"},
    "mimic.__main__": {"mimic", "motions"},
    "mimic.cli": {"motions", "mimic"},
    "mimic.sources": {"motions", "retarget", "mimic"},
    "mimic.convert": {"motions", "retarget", "mimic"},
    "mimic.config": {"motions", "mimic.config_learning", "mimic.config_log", "mimic.config_randomize"},
    "mimic.config_learning": set(),
    "mimic.config_log": set(),
    "mimic.config_randomize": set(),
    "mimic.presets": {"motions", "mimic.config"},
    "mimic.robots": {"motions", "mimic.config"},
    "mimic.devices": {"motions"},
    "mimic.sim": {"motions", "mimic.config", "mimic.devices", "mimic.robots"},
    "mimic.mdp": {"motions", "mimic.config"},
    "mimic.mdp.prior_table": {"motions", "mimic.compile_cache", "mimic.mdp"},
    "mimic.metrics": {"motions", "mimic.config", "mimic.mdp"},
    "mimic.tasks": {"motions", "mimic.config", "mimic.mdp", "mimic.robots", "mimic.sim"},
    "mimic.learning": {"motions", "mimic.config", "mimic.devices", "mimic.mdp"},
    "mimic.evaluation": {
        "motions",
        "mimic.arguments",
        "mimic.config",
        "mimic.deploy.sim2sim",
        "mimic.deploy.simulation",
        "mimic.falls",
        "mimic.mdp",
        "mimic.metrics",
        "mimic.robots",
        "mimic.sim",
        "mimic.switches",
    },
    "mimic.training": {
        "motions",
        "mimic.arguments",
        "mimic.checkpoint",
        "mimic.checks",
        "mimic.compile_cache",
        "mimic.config",
        "mimic.config_log",
        "mimic.deploy",
        "mimic.devices",
        "mimic.evaluation",
        "mimic.learning",
        "mimic.mdp",
        "mimic.memory",
        "mimic.metrics",
        "mimic.pipeline",
        "mimic.presets",
        "mimic.progress",
        "mimic.robots",
        "mimic.runs",
        "mimic.sim",
        "mimic.tasks",
        "mimic.view",
    },
    "mimic.training.hosts": {"motions"},
    "mimic.bench": {
        "motions",
        "mimic.arguments",
        "mimic.compile_cache",
        "mimic.config",
        "mimic.devices",
        "mimic.learning",
        "mimic.memory",
        "mimic.pipeline",
        "mimic.robots",
        "mimic.runs",
        "mimic.sim",
        "mimic.tasks",
        "mimic.training",
    },
    "mimic.view": {"motions", "mimic.metrics"},
    "mimic.deploy": {"motions", "mimic.config", "mimic.learning", "mimic.mdp", "mimic.metrics", "mimic.robots"},
    "mimic.deploy.spec": {"motions", "mimic.config"},
    "mimic.deploy.policy": set(),
    "mimic.deploy.messages": set(),
    "mimic.deploy.simulation": {"motions", "mimic.robots.actuators"},
    "mimic.deploy.sim2sim": {"motions", "mimic.mdp", "mimic.deploy.spec", "mimic.deploy.told", "mimic.deploy.simulation"},
}
ABOVE_ALL = {"mimic.cli", "mimic.__main__"}  # nobody but these two imports them

# Loaded by commands that must start at once, or on machines without JAX; a room with all that is inside it.
WITHOUT_JAX = (
    "motions.errors",
    "motions.rotations",
    "motions.motion",
    "motions.skeleton",
    "motions.kinematics",
    "motions.formats",
    "motions.edit",
    "motions.fetch",
    "mimic.commands.motions",
    "mimic.deploy.sim2sim",
    "mimic.deploy.serve",
    "mimic.deploy.radio",
    "mimic.deploy.rehearsal",
    "mimic.config",
    "mimic.robots",
    "mimic.metrics",
    "mimic.mdp.observations",
    "mimic.view.video",
    "mimic.view.plots",
    "mimic.report.clip",
    "mimic.report.html",
    "mimic.report.kept",
    "mimic.report.scene",
    "mimic.view.contact_sheet",
    "mimic.play",
    "mimic.evaluation",
    "mimic.convert",
    "mimic.doctor",
    "mimic.cli",
)


def _modules() -> dict[str, Path]:
    """Dotted name to file, for every module of the three packages; a package is its __init__."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _inside(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


def _imports(name: str, path: Path) -> set[str]:
    """Our modules that `name` imports, anywhere in the file: also inside functions and type-checking blocks."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(part for part in (*package.split(".")[: len(package.split(".")) - node.level + 1], base) if part)
            # `from mimic import runs` names a module, `from mimic.runs import Run` does not
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names}
    return {module for module in found if module.split(".")[0] in ROOMS}


def _rule(name: str) -> tuple[str, set[str]]:
    room = max((room for room in ARROWS if _inside(name, room)), key=len)
    return room, ARROWS[room]


@pytest.mark.parametrize("name", MODULES)
def test_imports_follow_the_arrows(name: str):
    room, allowed = _rule(name)
    for imported in _imports(name, MODULES[name]):
        if _inside(imported, room) and room != "mimic":
            continue
        # `mimic` itself holds the version only
        assert imported == "mimic" or any(_inside(imported, other) for other in allowed), f"{name} imports {imported}"
        if imported in ABOVE_ALL:
            assert name in ABOVE_ALL, f"{name} imports {imported}"
        if _inside(imported, "mimic.commands"):
            assert name == "mimic.cli" or _inside(name, "mimic.commands"), f"{name} imports {imported}"


def test_the_rules_would_catch_a_wrong_arrow(tmp_path: Path):
    wrong = tmp_path / "wrong.py"
    lines = ["def f():", "    from retarget import solve", "    import mimic.runs", "from . import kinematics"]
    wrong.write_text("\n".join(lines))
    rooms = {".".join(name.split(".")[:2]) for name in _imports("motions.wrong", wrong)}
    assert {"retarget.solve", "mimic.runs", "motions.kinematics"} <= rooms


@pytest.mark.parametrize("name", MODULES)
def test_module_is_short_and_says_what_it_owns(name: str):
    text = MODULES[name].read_text()
    assert len(text.splitlines()) <= MAX_LINES, f"{name} has {len(text.splitlines())} lines: split it"
    assert ast.get_docstring(ast.parse(text)), f"{name} has no docstring"


def test_these_load_without_jax():
    """One process imports them in turn and names the first that brought JAX along."""
    program = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    assert 'jax' not in sys.modules, f'{name} imports jax'\n"
    )
    missing = [name for name in WITHOUT_JAX if name not in MODULES]
    assert not missing, f"no such module: {missing}"
    names = [name for room in WITHOUT_JAX for name in MODULES if _inside(name, room)]
    done = subprocess.run([sys.executable, "-c", program, *names], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]


def test_measuring_needs_nothing_of_the_trainer():
    """Not by way of other modules, either."""
    program = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\nprint(*sys.modules)"
    names = [name for name in MODULES if _inside(name, "mimic.evaluation")]
    done = subprocess.run([sys.executable, "-c", program, *names], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    for room in ("mimic.learning", "mimic.tasks", "mimic.training", "mimic.pipeline"):
        assert room not in loaded, f"mimic.evaluation loads {room}"


def test_the_policy_runtime_needs_nothing_of_the_trainer():
    """It runs on a robot: what it loads of ours is data types and pure functions, nothing that trains or simulates many."""
    program = "import sys, mimic.deploy.sim2sim; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    for room in (
        "jax",
        "flax",
        "brax",
        "optax",
        "orbax",
        "retarget",
        "mimic.learning",
        "mimic.tasks",
        "mimic.sim",
        "mimic.training",
    ):
        assert room not in loaded, f"mimic.deploy.sim2sim loads {room}"
