"""The checks beside the percentages: balance against shapely-plain cases and C MuJoCo, overlaps, verdicts and their frames."""

import json

import mujoco
import numpy as np
import pytest
from scipy.spatial import ConvexHull
from stick import random_qpos, stick_body
from test_retarget_quality import report_of, standing
from test_retarget_quality import rig as rig

from motions.kinematics import Body, forward_kinematics
from retarget.overlap import overlap_depth
from retarget.quality import quality_json
from retarget.stability import centre_of_mass, distance_to_hull
from retarget.verdict import Check, longest_run, runs_of, spell_verdict


def test_distance_to_a_hull_is_that_to_its_edges():
    """Against scipy's hull, walked edge by edge."""
    random = np.random.default_rng(0)
    corners = random.normal(size=(300, 7, 2))
    points = 2.0 * random.normal(size=(300, 2))
    used = random.random((300, 7)) < 0.8
    used[:, :3] = True
    found = distance_to_hull(points, corners, used)
    for i, point in enumerate(points):
        hull = ConvexHull(corners[i][used[i]])
        outside = (hull.equations[:, :2] @ point + hull.equations[:, 2]).max() > 0
        ring = hull.points[hull.vertices]
        edges = []
        for a, b in zip(ring, np.roll(ring, -1, axis=0)):
            t = np.clip((point - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
            edges.append(np.linalg.norm(point - a - t * (b - a)))
        assert found[i] == pytest.approx(min(edges) if outside else 0.0, abs=1e-9)


def test_standing_on_one_point_or_on_an_edge():
    point, corners = np.zeros((2, 2)), np.array([[[3.0, 4.0], [9, 9]], [[1.0, -1], [1, 1]]])
    used = np.array([[True, False], [True, True]])
    np.testing.assert_allclose(distance_to_hull(point, corners, used), [5.0, 1.0])


def test_centre_of_mass_is_mujocos():
    body = stick_body()
    qpos = random_qpos(body, 5)
    found = centre_of_mass(body, *forward_kinematics(body, qpos))
    data = mujoco.MjData(body.model)
    for pose, com in zip(qpos, found):
        data.qpos[:] = pose
        mujoco.mj_forward(body.model, data)
        np.testing.assert_allclose(com, data.subtree_com[0], atol=1e-9)


def test_overlaps_are_as_deep_as_geometry_says():
    """Two balls on arms: radius .1 each, centres brought to .15 apart; and the arm's own neighbours never count."""
    body = Body(
        "balls",
        mujoco.MjModel.from_xml_string("""<mujoco><compiler angle="radian"/><worldbody><body name="b"><freejoint/>
        <geom size=".05"/>
        <body name="l" pos="0 .5 0"><joint name="l" type="hinge" axis="0 0 1" pos="0 -.5 0"/><geom size=".1" contype="0"/></body>
        <body name="r" pos="0 -.5 0"><joint name="r" type="hinge" axis="0 0 1" pos="0 .5 0"/><geom size=".1" contype="0"/></body>
        </body></worldbody></mujoco>"""),
    )
    angle = np.arcsin(0.075 / 0.5)
    turn = np.pi / 2 - angle
    qpos = np.array([[1.0, 2, 3, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, -turn, turn]])
    np.testing.assert_allclose(overlap_depth(body, qpos), [0.0, 0.05], atol=1e-9)


def test_runs_are_first_and_last_frames():
    bad = np.array([1, 1, 0, 0, 1, 0, 1, 1, 1], bool)
    assert runs_of(bad) == ((0, 1), (4, 4), (6, 8))
    assert longest_run(bad) == 3
    assert runs_of(np.zeros(4, bool)) == ()


def test_a_verdict_names_gate_value_and_frames():
    check = Check("non_floating", True, 75.0, 95.0, True, "%", ((2, 6),))
    kind = Check("non_self_collision", False, 50.0, 95.0, True, "%", ())
    assert spell_verdict("clip", [check, kind]) == "clip: FAILED non_floating 75 % (at least 95 wanted), frames 2-6"
    assert spell_verdict("clip", [kind]).startswith("clip: passed (not perfect")


def test_a_perfect_motion_passes_every_check(rig):
    report = report_of(rig, standing(rig))
    assert report.passed
    assert all(check.passed and not check.frames for check in report.checks)
    assert report.stable == 100.0
    assert report.com_support_m == 0.0


def test_each_gate_fails_with_its_frames(rig):
    floating = standing(rig)
    floating[2:7, 2] += 0.02
    report = report_of(rig, floating)
    assert not report.passed
    assert report.to_dict()["checks"]["non_floating"]["frames"] == [[2, 6]]
    sliding = standing(rig)
    sliding[5:, 0] += 0.003 * np.minimum(np.arange(1, len(sliding) - 4), 4)
    assert report_of(rig, sliding).to_dict()["checks"]["non_skating"]["frames"] == [[5, 8]]
    beyond = standing(rig)
    beyond[8, 7 + rig.body.joint_names.index("left_knee")] = (
        rig.body.joint_range[rig.body.joint_names.index("left_knee"), 1] + 0.1
    )
    report = report_of(rig, beyond)
    assert report.to_dict()["checks"]["limit_violations"]["frames"] == [[8, 8]]
    assert "limit_violations 1" in report.verdict


def test_speed_and_touch_and_lean_never_disqualify(rig):
    wild = standing(rig)
    names = rig.body.joint_names
    for side in ("left", "right"):
        wild[::2, 7 + names.index(f"{side}_elbow")] += 0.9
    wild[:, 7 + names.index("chest_y")] = 0.9
    report = report_of(rig, wild)
    assert report.velocity_violations > 0
    assert report.passed
    lean = standing(rig)
    lean[:, 0] = 0.0
    lean[:, 3:7] = [np.cos(0.35), 0, np.sin(0.35), 0]  # forward by 40 degrees, on the toes
    report = report_of(rig, lean)
    assert report.worst_com_support_m > 0.1
    assert report.longest_unstable_s == pytest.approx(len(lean) / 50.0)


def test_json_has_rows_and_means(rig):
    floating = standing(rig)
    floating[2:7, 2] += 0.02
    content = json.loads(json.dumps(quality_json([report_of(rig, standing(rig)), report_of(rig, floating)])))
    assert [row["passed"] for row in content["clips"]] == [True, False]
    assert content["mean"]["non_floating"] == pytest.approx(87.5)
    assert content["mean"]["passed"] == pytest.approx(0.5)
    assert quality_json([]) == {"clips": [], "mean": {}}
