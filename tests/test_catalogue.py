"""A catalogue as what is trained on and what is held out: its clips, their weights, and what is refused."""

import dataclasses
import json
from pathlib import Path

import pytest
from tiny import tiny_motion, tiny_robot

from mimic.checks import check_config
from mimic.config import Config
from mimic.runs import create_run
from mimic.sources import clips_of
from motions.errors import InputError

ROBOT = tiny_robot()
ROWS = [
    {"clip": "clips/a.npz", "split": "train", "weight": 1.0},
    {"clip": "clips/b.npz", "split": "train", "weight": 3.0},
    {"clip": "clips/bad.npz", "split": "train", "weight": 0.0},  # failed a gate
    {"file": "c.bvh", "error": "broken"},
    {"clip": "clips/d.npz", "split": "held_out", "weight": 1.0},
]


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps({"robot": "tiny", "version": "0", "clips": ROWS}))
    return path


def test_the_clips_of_a_split_in_the_catalogues_place(catalogue: Path):
    said: list[str] = []
    folder = catalogue.parent
    for given in (catalogue, folder):
        files, weights = clips_of(["first.npz", str(given)], ROBOT, said.append)
        assert files == ["first.npz", str(folder / "clips/a.npz"), str(folder / "clips/b.npz")]
        assert weights == [1.0, 1.0, 3.0]
    assert clips_of([str(folder)], ROBOT, said.append, split="held_out") == ([str(folder / "clips/d.npz")], [1.0])
    assert said[0] == f"{catalogue}: 2 clips of split train"
    assert said[2] == f"{catalogue}: 1 clips of split held_out"


def test_files_are_left_as_they_are():
    assert clips_of(["a.bvh", "b.npz"], ROBOT, print) == (["a.bvh", "b.npz"], [1.0, 1.0])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "not a catalogue of `mimic motions curate`"),
        ("[]", "not a catalogue of `mimic motions curate`"),
        (json.dumps({"robot": "tiny", "clips": [{"clip": "a"}]}), r"not a catalogue.*'split'"),
        (json.dumps({"robot": "g1", "clips": ROWS}), "a catalogue of clips on robot 'g1', expected 'tiny'"),
        (json.dumps({"robot": "tiny", "clips": ROWS[2:4]}), "no clip in it has split 'train' and a weight above 0"),
    ],
)
def test_what_cannot_be_trained_on(content: str, problem: str, catalogue: Path):
    catalogue.write_text(content)
    with pytest.raises(InputError, match=problem):
        clips_of([str(catalogue)], ROBOT, print)


def test_no_such_catalogue(tmp_path: Path):
    with pytest.raises(InputError, match=r"is a folder without a catalogue.json; mimic motions curate .* makes one"):
        clips_of([str(tmp_path)], ROBOT, print)
    with pytest.raises(InputError, match=r"catalogue.json: not a catalogue.*No such file"):
        clips_of([str(tmp_path / "catalogue.json")], ROBOT, print)


def test_a_weight_for_each_clip(tmp_path: Path):
    config = Config(preset="tiny", robot="tiny", weights=(1.0, 2.0, 3.0))
    with pytest.raises(InputError, match="3 weights for 2 clips: give one for each, or none"):
        create_run(tmp_path / "run", config, ROBOT, (tiny_motion(), tiny_motion(61)))


@pytest.mark.parametrize("weights", [(-1.0, 2.0), (0.0, 0.0), (float("nan"),), (float("inf"), 1.0)])
def test_weights_that_are_none(weights: tuple[float, ...]):
    with pytest.raises(InputError, match=r"weights is .*, expected finite numbers of 0 or more, one above 0"):
        check_config(dataclasses.replace(Config(), weights=weights))
