"""`mimic play --command`: scripts as people write them, and what comes of each command."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_policy import FREE as CONFIG
from tiny_policy import still_policy

from mimic.cli import main
from mimic.config import GoalConfig, ObservationConfig, TerminationConfig
from mimic.drive import Drive, drive, read_script, responses
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.motion import load_motion


def script(folder: Path, text: str) -> Path:
    path = folder / "commands.csv"
    path.write_text(text)
    return path


HEADINGS = """# the first walk
time_s,speed_m_s,direction_deg
0,1.0,0
2,0.5,90
"""


def test_speeds_and_directions_become_velocities(tmp_path: Path):
    found = read_script(script(tmp_path, HEADINGS), "heading")
    np.testing.assert_allclose(found.goals, [[1.0, 0.0], [0.0, 0.5]], atol=1e-7)
    for time, row in ((0.0, 0), (1.99, 0), (2.0, 1), (99.0, 1)):
        np.testing.assert_array_equal(found.at(time), found.goals[row])
    places = read_script(script(tmp_path, "x_m,time_s,y_m\n3,0,4\n"), "location")
    np.testing.assert_array_equal(places.goals, [[3.0, 4.0]])
    points = read_script(script(tmp_path, "time_s,ahead_m,left_m,up_m\n0,.3,-.2,.4\n"), "reach")
    np.testing.assert_allclose(points.goals, [[0.3, -0.2, 0.4]], atol=1e-7)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "time_s, speed_m_s, direction_deg"),
        ("time_s,speed\n0,1\n", "time_s, speed_m_s, direction_deg"),
        ("time_s,speed_m_s,direction_deg\n", "time_s, speed_m_s, direction_deg"),
        ("time_s,speed_m_s,direction_deg\n0,1,0\n1,fast,0\n", "row 2.*fast"),
        ("time_s,speed_m_s,direction_deg\n0,1\n", "row 1"),
        ("time_s,speed_m_s,direction_deg\n0,nan,0\n", "finite"),
        ("time_s,speed_m_s,direction_deg\n1,1,0\n", "begin with 0"),
        ("time_s,speed_m_s,direction_deg\n0,1,0\n0,2,0\n", "rise"),
    ],
)
def test_a_script_that_cannot_be_read_is_named_with_its_line(tmp_path: Path, text: str, named: str):
    with pytest.raises(InputError, match=named):
        read_script(script(tmp_path, text), "heading")
    with pytest.raises(InputError, match="cannot be read"):
        read_script(tmp_path / "none.csv", "heading")


def test_a_standing_robot_is_told_by_the_clock_and_goes_nowhere(tmp_path: Path):
    found = drive(still_policy(tmp_path, CONFIG), read_script(script(tmp_path, HEADINGS), "heading"))
    assert len(found.goals) == 250, "two seconds, and three of the last command"
    assert len(found.states.qpos) == 251
    assert found.fell is None
    np.testing.assert_array_equal(found.states.qpos[0, :2], 0.0)
    np.testing.assert_allclose(found.goals[[0, 99, 100, 249]], [[1, 0], [1, 0], [0, 0.5], [0, 0.5]], atol=1e-7)
    rows = responses(found, "heading")
    assert [(row["from_s"], row["to_s"]) for row in rows] == [(0.0, 2.0), (2.0, 5.0)]
    assert [row["speed_asked"] for row in rows] == pytest.approx([1.0, 0.5])
    assert max(row["speed"] for row in rows) < 0.05


def test_responses_are_what_was_done_in_the_second_half():
    qvel = np.zeros((201, 6))
    qvel[51:101, 0], qvel[151:, 1] = 0.9, 0.4
    qpos = np.cumsum(qvel[:, :2] * 0.02, axis=0)
    states = KinematicState(qpos, qvel, *(np.zeros((201, 1)),) * 4)
    goals = np.repeat(np.float32([[1.0, 0.0], [0.0, 0.5]]), 100, axis=0)
    first, second = responses(Drive(states, goals, qvel[1:, :2], 0.02, None), "heading")
    assert (first["speed"], first["direction_deg"]) == pytest.approx((0.9, 0.0))
    assert (second["speed"], second["direction_asked_deg"], second["direction_deg"]) == pytest.approx((0.4, 90.0, 90.0))
    places = responses(Drive(states, goals, qpos[1:, :2], 0.02, None), "location")
    assert places[0]["distance_m"] == pytest.approx(np.linalg.norm(qpos[100] - [1.0, 0.0]))


def test_nothing_counts_from_a_fall_on():
    states = KinematicState(*(np.zeros((201, 6)),) * 2, *(np.zeros((201, 1)),) * 4)
    goals = np.repeat(np.array([[1.0, 0.0], [0.0, 0.5]], np.float32), 100, axis=0)
    done = np.zeros((200, 2))
    done[:80, 0] = 0.9
    done[80:] = 7.0  # what a falling body does
    first, second = responses(Drive(states, goals, done, 0.02, 81), "heading")
    assert first["speed"] == pytest.approx(0.9)
    assert (second["speed"], second["direction_deg"]) == (None, None)
    assert [row["distance_m"] for row in responses(Drive(states, goals, done, 0.02, 81), "location")] == [None, None]


def test_a_fall_is_told_drawn_and_written_with_its_time(tmp_path: Path, capsys: pytest.CaptureFixture):
    from mimic.view.plots import plot_drive

    toppled = replace(CONFIG, termination=TerminationConfig(None, None, None, None, below_clips=-1.0))  # down from the first
    still_policy(tmp_path, toppled)
    out = tmp_path / "numbers.json"
    assert exit_code("play", tmp_path / "p.onnx", "--command", script(tmp_path, HEADINGS), "--json", out) == 0
    said = capsys.readouterr().out
    assert "fell after 0.00 s" in said
    assert "asked for 1, 0.5 m/s, but trained for 0.10 to 0.40 m/s" in said
    found = json.loads(out.read_text())
    assert (found["stood"], found["fell_s"], found["commands"][0]["speed"]) == (False, 0.0, None)
    drawn = (np.arange(100) * 0.02, np.ones((100, 2)), np.ones((100, 2)))
    plain, marked = (plot_drive(tmp_path / f"{fell}.svg", *drawn, None, fell).read_text() for fell in (None, 1.0))
    assert "fallen" in marked
    assert "fallen" not in plain


def exit_code(*argv: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(part) for part in argv])
    return int(ended.value.code or 0)


def test_the_command_line_shows_films_and_plots(tmp_path: Path, capsys: pytest.CaptureFixture):
    still_policy(tmp_path, CONFIG)
    asked = ["--command", script(tmp_path, HEADINGS), "--plot", tmp_path / "drive.png", "--save-motion", tmp_path / "way.npz"]
    assert exit_code("play", tmp_path / "p.onnx", *asked) == 0
    assert "stood" in capsys.readouterr().out
    assert (tmp_path / "drive.png").stat().st_size > 5000
    motion = load_motion(tmp_path / "way.npz")
    assert (motion.name, motion.robot, motion.num_frames, motion.fps) == ("commands", "tiny", 251, 50.0)
    assert exit_code("play", tmp_path / "p.onnx", "--save-motion", tmp_path / "way.bvh") == 2
    assert "ends in .npz" in capsys.readouterr().err
    (tmp_path / "p.onnx").rename(tmp_path / "policy.onnx")
    (tmp_path / "p.json").rename(tmp_path / "policy.json")
    assert exit_code("play", tmp_path, "--command", script(tmp_path, HEADINGS)) == 0  # a policy's folder serves as well
    assert exit_code("play", tmp_path / "drive.png", "--plot", "p.png") == 2
    assert "give --command" in capsys.readouterr().err


def test_a_policy_that_is_told_nothing_refuses_a_script(tmp_path: Path, capsys: pytest.CaptureFixture):
    still_policy(
        tmp_path, replace(CONFIG, goal=GoalConfig(), observation=ObservationConfig(actor=("projected_gravity", "joint_pos")))
    )
    assert exit_code("play", tmp_path / "p.onnx", "--command", script(tmp_path, HEADINGS)) == 2
    assert "humanoid_steer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("terms", "named"),
    [(("projected_gravity", "joint_pos", "heading"), "student, stage 2 of 3.*repeat"), (("command", "heading"), "RUN-tracker")],
)
def test_a_stage_before_the_last_says_which_one_can_be_driven(tmp_path: Path, capsys, terms: tuple[str, ...], named: str):
    still_policy(tmp_path, replace(CONFIG, follow=True, observation=ObservationConfig(actor=terms)))
    assert exit_code("play", tmp_path / "p.onnx", "--command", script(tmp_path, HEADINGS)) == 2
    assert re.search(named, capsys.readouterr().err)
