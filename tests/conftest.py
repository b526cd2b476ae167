"""Shared by the tests: where the reference data lies, and a cache for compiled programs, which cost most of the time."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[1]

# By environment, so that JAX need not be imported here and programs started by tests have it too.
_CACHE = os.environ.setdefault("MIMIC_CACHE", str(_ROOT / ".cache"))
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(_CACHE, "jax"))
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")  # to test programs for many; the first is used
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real clips and robots that lies beside a checkout; without it the test is skipped."""
    folder = Path(os.environ.get("MIMIC_SHARED_DATA", _ROOT.parent / "shared" / "data"))
    if not (folder / "motions").is_dir():
        pytest.skip(f"reference data not found at {folder}; set MIMIC_SHARED_DATA to where it lies")
    return folder


@pytest.fixture(scope="session")
def shared_robots(shared_data: Path) -> Path:
    """The robots folder of the reference data, as MIMIC_ROBOTS expects it."""
    return shared_data / "robots"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser (`chromium.Browser`), one for all tests; they skip where there is none."""
    from chromium import Browser

    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a robot small enough that training it takes seconds, and a short clip."""
    from commands import write_tiny

    folder = tmp_path_factory.mktemp("files")
    write_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def one_program() -> Iterator[None]:
    """Trainings that differ in nothing but seeds and files share a learner and so its program: a callback is in it, so that no
    cache on disk keeps it, and compiling it takes most of a small training's time."""
    import mimic.training.train

    made: dict[Any, Any] = {}
    learner_of = mimic.training.train.learner_of

    def shared(run: Any, task: Any) -> Any:
        same = replace(run.config, seed=0, save_every_s=0.0, evaluate_every_s=None, init_from=None, motion=())
        key = (same, run.robot.model.actuator_biasprm.tobytes(), *(motion.qpos.tobytes() for motion in run.motions))
        if key not in made:
            made[key] = learner_of(run, task)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mimic.training.train, "learner_of", shared)
        yield
