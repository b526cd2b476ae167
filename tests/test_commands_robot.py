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
    with pytest.raises(InputError, match=r"expected a file that ends in .toml"):
        Robot("init", str(model), tmp_path / "map.yaml").run()


@pytest.mark.parametrize("file", ["unitree_a1/a1_menagerie_nomesh.xml", "unitree_go1/go1_mjlab_nomesh.xml"])
def test_a_robot_with_four_legs_gets_its_mapping_too(file, shared_robots, tmp_path, capsys):
    out = tmp_path / "map.toml"
    Robot("init", str(shared_robots / file), out).run()
    assert "four legs" in capsys.readouterr().out
    bodies = load_map(out).bodies
    assert len(bodies) == 13
    assert [bodies[role] for role in ("pelvis", "fl_shank", "fr_thigh", "hl_foot")] == ["trunk", "FL_calf", "FR_thigh", "RL_calf"]
