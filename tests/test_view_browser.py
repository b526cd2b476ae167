"""The browser's view, without a browser: what is served, what the controls do, that policies are swapped. Skips without viser."""

import json
import time
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from commands import call, refusal
from test_live import FOLLOWING, MOTION, ROBOT, STRIKE
from test_points import LOOSE
from tiny_policy import FREE, still_policy

from mimic.config import GoalConfig, ObservationConfig
from mimic.view.geometry import body_triangles, geom_triangles
from motions.errors import InputError
from motions.motion import save_motion
from motions.rotations import yaw_quat

viser = pytest.importorskip("viser", reason="viser is not installed: pip install 'mimic-mjx[view]'")

from mimic.live.view import PAD_PUSH, LiveView  # noqa: E402
from mimic.view.browser import Figure, Window  # noqa: E402
from mimic.view.charts import PERIOD_S, STEP, legend  # noqa: E402
from mimic.view.clip_view import ClipView  # noqa: E402
from mimic.view.overlays import SHADES, WEIGHT_M, shade  # noqa: E402
from mimic.view.take import Take  # noqa: E402


@pytest.fixture
def window():
    window = Window("127.0.0.1", 0, "<script>alert(1)</script>")
    yield window
    window.close()


def test_a_page_is_served_on_this_machine_only(window: Window):
    assert window.address.startswith("http://127.0.0.1:")
    assert "viser" in urlopen(window.address).read().decode().lower()


def test_a_taken_port_is_refused_and_no_browser_can_share_the_page(window: Window):
    with pytest.raises(InputError, match="try another --port"):
        Window("127.0.0.1", window.server.get_port(), "second")
    with pytest.raises(InputError, match="cannot listen at"):
        Window("no.such.host.invalid", 8080, "second")
    assert window.server.request_share_url() is None


def test_bodies_stand_where_the_model_has_them(window: Window):
    figure = Figure(window.server.scene, "robot", ROBOT.model)
    figure.show(MOTION.qpos[7])
    bodies = {body for body, _ in figure.parts}
    assert bodies == set(ROBOT.model.geom_bodyid) - {0}
    for body, mesh in figure.parts:
        np.testing.assert_allclose(mesh.position, figure.data.xpos[body], atol=1e-6)


def test_live_goes_at_its_own_rate_and_is_pushed_and_told(window: Window, tmp_path: Path):
    view = LiveView(window, still_policy(tmp_path, FREE))
    view.run(1.0)
    assert 0.7 / 0.02 <= view.session.frame <= 1.05 / 0.02, "a second of physics in a second, whatever is drawn"
    assert 5 <= view.sent <= 32
    before = view.session.state.qvel[0, :2].copy()
    view.push("left", 1.0)
    view.session.advance()
    assert (view.session.state.qvel[0, :2] - before)[1] > 0.2
    view.tell_heading(0.3, 90.0)
    view.session.take()
    np.testing.assert_allclose(view.session.goal, [0.0, 0.3], atol=1e-6)
    view.paused = True
    frame = view.session.frame
    view.run(0.2)
    assert view.session.frame == frame
    view._asked.put(view.session.begin)  # what the buttons do, paused or not
    view.run(0.1)
    assert view.session.frame == 0


def test_a_newer_policy_takes_over(window: Window, tmp_path: Path):
    waiting = [still_policy(tmp_path, FOLLOWING)]
    first = still_policy(tmp_path, FOLLOWING)
    view = LiveView(window, first, newer=lambda: waiting.pop() if waiting else None)
    view.run(1.3)
    view.show()
    assert view.swaps == 1
    assert view.session.policy is not first
    assert "policy 2" in view.status.content


def test_targets_hang_on_a_handle(window: Window, tmp_path: Path):
    view = LiveView(window, still_policy(tmp_path, STRIKE))
    assert view.target is not None
    np.testing.assert_allclose(view.target.position, view.session.goal[:3], atol=1e-6)
    view.tell_place(np.array([0.1, 0.2, 0.3]))
    view.session.take()
    np.testing.assert_allclose(view.session.goal, [0.1, 0.2, 0.3, 0.0], atol=1e-6)


def test_points_hang_on_a_handle_that_goes_along_with_the_root(window: Window, tmp_path: Path):
    view = LiveView(window, still_policy(tmp_path, LOOSE))
    assert view.target is not None
    np.testing.assert_allclose(view.target.position, view.session.goal, atol=1e-6)
    batch = view.session.link.simulation.batch
    batch.qpos[0, :2], batch.qpos[0, 3:7] = (2.0, -1.0), (np.cos(0.6), 0.0, 0.0, np.sin(0.6))
    hand = view.session.policy.goals.effector.from_root(view.session.state)[0]
    view.tell_place(hand)
    view.session.advance()
    view.show()
    np.testing.assert_allclose(view.session.goal, hand, atol=1e-6)
    np.testing.assert_allclose(view.target_base.position, view.session.state.qpos[0, :3], atol=1e-6)
    np.testing.assert_allclose(view.target_base.wxyz, yaw_quat(view.session.state.qpos[0, 3:7]), atol=1e-6)
    assert "m to go" in view.status.content
    assert view.target_ball.color == (60, 170, 90), "it is there"
    view.tell_place(hand + np.array([0.0, 0.3, 0.0]))
    view.session.take()
    view.show()
    assert "0.30 m to go" in view.status.content
    assert view.target_ball.color == (200, 60, 50)


def test_a_clip_plays_seeks_and_steps(window: Window):
    view = ClipView(window, [Take("sway", ROBOT.model, MOTION, reference=MOTION.qpos)])
    view.run(0.5)
    assert 0.3 < view.time_s < 0.6
    view.seek(0.3)
    view.show()
    frame = round(0.3 * MOTION.fps)
    assert abs(view.frame - frame) <= 1
    view.step(1)
    assert not view.playing
    view.show()
    assert f"frame {view.frame} of {MOTION.num_frames}" in view.status.content
    np.testing.assert_allclose(view.robots[0].data.qpos, MOTION.qpos[view.frame], atol=1e-9)
    view.seek(1e9)
    assert view.frame == MOTION.num_frames - 1


def test_what_is_drawn_over_the_robot_can_be_switched_on_and_off(window: Window, tmp_path: Path):
    view = LiveView(window, still_policy(tmp_path, FOLLOWING))
    boxes = (view.acting.forces_on, view.acting.support_on, view.colours.on, view.charts.on)
    own = [mesh.color for _, mesh in view.robot.parts]
    for box in boxes:
        box.value = True
    for _ in range(20):
        view.session.advance()
    view.show()
    assert view.acting.arrows.visible
    assert view.acting.area.visible
    lengths = np.linalg.norm(view.acting.arrows.points[:, 1] - view.acting.arrows.points[:, 0], axis=1)
    assert 0.3 < lengths.sum() / WEIGHT_M < 2.0, "what bears a robot's weight is as long as one says"
    assert [mesh.color for _, mesh in view.robot.parts] != own
    assert view.charts.torque.plot.data[0][-1] == 0.0
    assert np.abs(view.charts.torque.plot.data[1]).max() > 0.0
    for box in boxes:
        box.value = False
    view.show()
    assert [mesh.color for _, mesh in view.robot.parts] == own
    assert not view.acting.arrows.visible


def test_the_colours_of_errors_go_from_grey_to_red():
    assert shade(0.0) == tuple(SHADES[0])
    assert shade(1.0) == tuple(SHADES[2])


def test_several_takes_stand_apart_or_over_one_another(window: Window):
    moved = replace(MOTION, qpos=MOTION.qpos + np.array([1.0, *[0.0] * 10]), fps=30.0)
    takes = [Take("a", ROBOT.model, MOTION), Take("b", ROBOT.model, moved, reference=MOTION.qpos)]
    view = ClipView(window, takes)
    assert view.duration_s == moved.duration_s, "the longer one's"
    np.testing.assert_allclose(view.robots[1].shift, [0.0, 1.0, 0.0])
    view.move_apart(0.0)
    np.testing.assert_allclose(view.robots[1].shift, 0.0)
    view.seek(3.5)
    view.show()
    np.testing.assert_allclose(view.robots[0].data.qpos, MOTION.qpos[-1], err_msg="it waits at its end")
    np.testing.assert_allclose(view.robots[1].data.qpos, moved.qpos[105])
    view.acting.support_on.value = True
    view.show()
    assert view.acting.forces_on is None, "of a motion no forces are known"


def test_contacts_and_broken_rules_are_marked_and_names_are_words(window: Window):
    on = np.arange(MOTION.num_frames) % 40 < 20
    evil = "<b>foot</b>"
    take = Take("sway", ROBOT.model, MOTION, feet={evil: on}, broken={"skating": ~on}, verdict=f"{evil} FAILED")
    view = ClipView(window, [take])
    assert view.strip is not None
    time.sleep(PERIOD_S)
    view.strip.show(1.0)
    data = view.strip.chart.plot.data
    assert len(data) == 4, "time, two rows and the mark"
    np.testing.assert_allclose(data[2] - 1.0, STEP * on, err_msg="the first above the second")
    assert data[0][np.argmax(data[3])] == pytest.approx(1.0, abs=0.02)
    assert "<b>" not in legend({evil: "#fff"})


class Pad:
    """A gamepad that is held as the test says."""

    def __init__(self, pressed: list[int], axes: dict[int, float]) -> None:
        self.pressed, self.axes = pressed, axes

    def read(self) -> list[int]:
        return self.pressed


def test_a_gamepad_pushes_and_steers(window: Window, tmp_path: Path):
    view = LiveView(window, still_policy(tmp_path, FREE))
    view.obey(Pad([], {0: -1.0, 1: 0.0}))
    view.session.take()
    np.testing.assert_allclose(view.session.goal, [0.0, 0.4], atol=1e-6, err_msg="to the left, as fast as it can be told")
    view.obey(Pad([2], {}))
    view.session.take()
    assert view.session.link.simulation.batch.qvel[0, 1] == pytest.approx(PAD_PUSH), "the third button pushes to the left"
    np.testing.assert_allclose(view.session.goal, [0.0, 0.4], atol=1e-6, err_msg="sticks that rest change nothing")


def test_geoms_have_their_size():
    """Every triangle mesh fills the box that MuJoCo says its geom fills."""
    model = ROBOT.model
    for geom in np.flatnonzero(model.geom_bodyid > 0):
        vertices, faces = geom_triangles(model, geom)
        centre, half = model.geom_aabb[geom, :3], model.geom_aabb[geom, 3:]
        np.testing.assert_allclose(vertices.min(axis=0), centre - half, atol=0.02 * half.max())
        np.testing.assert_allclose(vertices.max(axis=0), centre + half, atol=0.02 * half.max())
        assert faces.max() < len(vertices)
    vertices, _ = body_triangles(model, np.flatnonzero(model.geom_bodyid == 1))
    assert len(vertices) > 3


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    still_policy(tmp_path, FOLLOWING)
    assert call("view", tmp_path / "p.onnx", "--seconds", "0.2", "--port", "8973") == 0
    assert "open http://127.0.0.1:8973" in capsys.readouterr().err
    assert call("view", tmp_path / "p.onnx", "--seconds", "0.2", "--port", "8973", "--recorded") == 0
    assert call("view", tmp_path / "p.onnx", tmp_path / "p.onnx", "--seconds", "0.2", "--port", "8973") == 0
    assert "run once" in capsys.readouterr().err
    assert call("view", tmp_path / "p.onnx", "--seconds", "0.5", "--port", "8973", "--measure") == 0
    assert "physics at" in capsys.readouterr().out
    assert "nothing to look at" in refusal(capsys, "view")
    assert call("view", tmp_path / "p.onnx", "--seconds", "0.2", "--port", "8974", "--host", "0.0.0.0") == 0
    assert "whoever reaches this machine" in capsys.readouterr().err
    save_motion(MOTION, tmp_path / "clip.npz")
    assert "tiny" in json.dumps(refusal(capsys, "view", tmp_path / "clip.npz"))
    assert "no such file" in refusal(capsys, "view", tmp_path / "none.npz")


def test_a_policy_that_is_told_styles_has_a_button_for_each(window: Window, tmp_path: Path):
    """Its clip's own at first; a stick says nothing of styles."""
    told = ObservationConfig(actor=("joint_pos", "style"))
    config = replace(FREE, goal=GoalConfig(kind="style", styles=("calm=sway", "wild")), observation=told)
    view = LiveView(window, still_policy(tmp_path, config))
    assert view.styles is not None
    assert view.styles.options == ("calm", "wild")
    np.testing.assert_array_equal(view.session.goal, [1, 0])
    view.tell_style("wild")
    view.obey(Pad([], {0: -1.0, 1: 0.5}))
    view.session.take()
    np.testing.assert_array_equal(view.session.goal, [0, 1])


def test_a_tracker_of_several_clips_goes_over_to_the_one_that_is_chosen(window: Window, tmp_path: Path):
    other = replace(MOTION, name="other", qpos=MOTION.qpos[::-1].copy())
    view = LiveView(window, still_policy(tmp_path, FOLLOWING), clips=[MOTION, other])
    assert view.clips is not None
    assert view.clips.options == (MOTION.name, "other")
    for _ in range(10):
        view.session.advance()
    view.clips.value = "other"
    view.session.advance()
    assert view.session.motion.name == f"{view.session.policy.motion.name}+other"
    view.newer = lambda: still_policy(tmp_path, FOLLOWING)
    view._swap()
    assert view.session.motion.name == "other", "a newer policy goes on with what was chosen"
    assert LiveView(window, view.session.policy).clips is None
