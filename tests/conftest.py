"""Fixtures shared by the tests: where the reference data lies."""

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]


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
