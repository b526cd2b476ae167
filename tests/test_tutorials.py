"""The commands of the documentation, run as they stand on the page, with sizes that take seconds."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from commands import SMALL, SPEC, STEPS, call
from documents import PAGES, ROOT, blocks_of
from tiny import tiny_mjcf, tiny_motion

from motions.formats import write_motion_file

TRAINING = [*SMALL, "--env-steps", str(STEPS)]
# What is added behind a command, where the last one given counts.
SHORT: dict[str, list[str]] = {
    "train": [*TRAINING, "--end-s", "1"],
    "distill": [*TRAINING, "--distill.updates", "2", "--distill.kept-rollouts", "2"],
    "stress": ["--seeds", "1", "--axes", "friction"],
    "rehearse": ["--blend-s", "0.5"],
}
STAGES = ["--led-s", "4", "--tracker-steps", str(STEPS), "--student-steps", str(STEPS)]  # of trainings that come before another
DONE = {"rehearse": (0, 1), "check-bundle": (0,)}  # a policy that has learnt nothing falls, which the verdict may say
DRIVE = "time_s,speed_m_s,direction_deg\n0,1.0,0\n1,1.0,60\n"

RUN = [page for page in PAGES if any(block.mark == "run" for block in blocks_of(page))]
RUN_SLOWLY = [page for page in PAGES if any(block.mark == "run slowly" for block in blocks_of(page))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader stands: in a clone, with a robot and a motion of their own, and something to say to a walker."""
    (tmp_path / "motions").symlink_to(ROOT / "motions")
    (tmp_path / "robot.xml").write_text(tiny_mjcf())
    (tmp_path / "robot.toml").write_text(SPEC.replace("tiny.xml", "robot.xml"))
    write_motion_file(tmp_path / "motion.csv", tiny_motion(25))
    (tmp_path / "drive.csv").write_text(DRIVE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def short(words: list[str]) -> list[str]:
    """A command of a page, with what makes it short."""
    if words[:2] == ["train", "humanoid_steer"]:  # its clip is led along, for which it has to be whole
        return [*words, *TRAINING, *STAGES]
    return [*words, *SHORT.get(words[0], [])]


def follow(page: Path, marks: tuple[str, ...]) -> None:
    """Run the blocks of `page` that are so marked, in their order."""
    for block in blocks_of(page):
        for command in block.commands if block.mark in marks else ():
            words = short(shlex.split(command)[1:])
            code = call(*words)
            assert code in DONE.get(words[0], (0,)), f"{block}: mimic {' '.join(words)} ended with {code}"


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, folder: Path):
    follow(page, ("run",))


def test_the_spec_on_the_page_is_of_the_model_on_the_page(folder: Path):
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "tutorials" / "own-robot.md").read_text(), re.DOTALL)
    assert all((folder / file).is_file() for file in tomllib.loads(block)["files"])


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_SLOWLY, ids=lambda page: page.stem)
def test_a_page_does_all_that_it_says(page: Path, folder: Path, request: pytest.FixtureRequest):
    if "g1" in page.stem:
        robots = request.getfixturevalue("shared_robots")
        request.getfixturevalue("monkeypatch").setenv("MIMIC_ROBOTS", str(robots))
    follow(page, ("run", "run slowly"))
