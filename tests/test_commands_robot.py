"""`mimic robot init`: a mapping is written that reads back, says what was guessed, and overwrites nobody's work."""

import pytest
from test_retarget_propose import NAMELESS

from mimic.arguments import parse_arguments
from mimic.commands.robot import Robot
from mimic.robots import load_robot
from mimic.sources import map_beside
from motions.errors import InputError
from retarget.mapping import load_map, map_robot


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "mine.xml"
    path.write_text(NAMELESS)
    return path


def test_the_proposal_is_written_beside_the_model_and_said(model, capsys):
    assert parse_arguments(Robot, ["init", str(model)], "mimic robot").run() == 0
    said = capsys.readouterr().out
    written = model.with_name("mine_map.toml")
    assert "guessed from the tree" in said
    assert f"wrote {written}" in said
    robot = load_robot(str(model))
    assert map_beside(robot) == written
    assert load_map(written).bodies["l_shank"] == "j6"
    assert map_robot(robot.body, written).rest == map_robot(robot.body).rest


def test_a_file_that_is_there_is_kept(model, tmp_path):
    out = tmp_path / "edited.toml"
    out.write_text("mine")
    with pytest.raises(InputError, match=r"edited.toml exists already"):
        Robot("init", str(model), out).run()
    assert out.read_text() == "mine"


def test_another_suffix_is_refused(model, tmp_path):
    with pytest.raises(InputError, match=r"a mapping is a .toml file"):
        Robot("init", str(model), tmp_path / "map.yaml").run()


def test_a_robot_with_four_legs_is_refused_in_words(shared_robots):
    path = shared_robots / "unitree_go2" / "go2_unitree_rl_mjlab_nomesh.xml"
    with pytest.raises(InputError, match=r"4 limb\(s\) reach the ground .*expected two legs"):
        Robot("init", str(path)).run()
