"""The report: its numbers against plain loops and the evaluation, and that no name leaves its place in the page."""

import base64
import json
import re
import shlex
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import mujoco
import numpy as np
import pytest
from commands import call, refusal
from tiny import tiny_motion, tiny_robot
from tiny_report import EVIL, evil_motion, tiny_free_run, tiny_report_run

from mimic.commands.training import parse_train
from mimic.evaluation.roam import Roaming
from mimic.evaluation.whole_clips import Evaluation
from mimic.metrics import body_error, frame_errors
from mimic.presets import PRESETS, make_preset
from mimic.report.clip import FULL, Clip, contact_agreement, feet_on_floor, joint_use, with_moments
from mimic.report.command import command_of
from mimic.report.gather import RunReport, gather, thinned, told_apart
from mimic.report.html import bars_strip, ticks
from mimic.report.kept import LYING, MOST, of_roaming, of_rollouts, read_kept, worst_first
from mimic.report.page import make_page
from mimic.report.scene import INT16, MOST_TRIANGLES, geometry, track
from mimic.report.summary import summary
from mimic.runs import EVALUATION, METRICS, STRESS
from motions.errors import InputError
from motions.kinematics import Body, KinematicState, forward_kinematics

ROBOT = tiny_robot()


def quiet(line: str) -> None:
    """Nothing need be measured anew here."""
    pytest.fail(line)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluation]:
    """A run of two clips, one of which is evil by name; its folder is, too."""
    folder = tmp_path_factory.mktemp("runs") / "<b>run&"
    return folder, tiny_report_run(folder, [evil_motion(), replace(tiny_motion(31), name="sway")])


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "free"
    tiny_free_run(folder)
    return folder


@pytest.fixture(scope="module")
def report(measured: tuple[Path, Evaluation]) -> RunReport:
    return gather([measured[0]], quiet)[0]


@pytest.fixture(scope="module")
def page(report: RunReport) -> str:
    return make_page([report])


def test_what_is_shown_is_what_was_measured(measured: tuple[Path, Evaluation], report: RunReport):
    """The kept rollouts give the evaluation's own errors again, frame by frame and body by body."""
    _, evaluation = measured
    assert [clip.row for clip in report.clips] == evaluation.clips
    anchor = ROBOT.tracked_bodies.index(ROBOT.anchor_body)
    for clip, run in zip(report.clips, evaluation.rollouts, strict=True):
        for key, values in frame_errors(run.states, run.reference, anchor).items():
            np.testing.assert_allclose(clip.errors[key], values, atol=2e-2, err_msg=key)
        assert clip.body_mm is not None
        assert clip.body_mm.shape == (run.frames, len(ROBOT.tracked_bodies))
        np.testing.assert_allclose(clip.body_mm.mean(axis=1), body_error(run.states, run.reference, anchor), atol=1e-2)
        assert clip.body_mm.mean() == pytest.approx(clip.row["e_mpbpe_mm"], rel=1e-3)


def test_worst_moments_are_the_largest_errors_apart_and_the_fall(report: RunReport):
    clip = report.clips[0]
    assert clip.body_mm is not None
    error = clip.body_mm.mean(axis=1)
    assert clip.moments[0].frame == int(error.argmax())
    assert clip.moments[0].body == ROBOT.tracked_bodies[int(clip.body_mm[error.argmax()].argmax())]
    frames = sorted(moment.frame for moment in clip.moments)
    assert np.diff(frames).min(initial=100) >= 25
    assert min(moment.error_mm for moment in clip.moments) >= error.mean()


def test_torques_are_the_formula_and_their_use_its_share(report: RunReport):
    (clip, _), kept = report.clips, read_kept(report.run.folder)[0]
    step, joint = 7, 2
    q, dq, target = (float(part[step, offset + joint]) for part, offset in ((kept.qpos, 7), (kept.qvel, 6), (kept.targets, 0)))
    expected = np.clip(ROBOT.kp[joint] * (target - q) - ROBOT.kd[joint] * dq, -ROBOT.effort[joint], ROBOT.effort[joint])
    assert clip.torque[step, joint] == pytest.approx(expected, rel=1e-5)
    rows = joint_use(report.clips, ROBOT)
    assert [row["joint"] for row in rows] == list(ROBOT.joint_names)
    both = np.concatenate([abs(one.torque[:, joint]) for one in report.clips])
    assert rows[joint]["torque_peak_nm"] == pytest.approx(both.max())
    assert rows[joint]["peak_use"] == pytest.approx(both.max() / ROBOT.effort[joint])
    assert rows[joint]["full"] == pytest.approx((both >= FULL * ROBOT.effort[joint]).mean())
    assert (rows[joint]["lower_deg"], rows[joint]["upper_deg"]) == pytest.approx((np.degrees(-1), np.degrees(1)))
    assert rows[joint]["at_limit"] == 0.0


def test_feet_stand_where_mujoco_finds_them_near_the_floor(report: RunReport):
    """Against the distance of MuJoCo's own geometry, on a table that is lifted and tilted."""
    qpos = np.tile(ROBOT.default_qpos, (20, 1))
    qpos[:, 2] += np.linspace(-0.005, 0.06, 20)
    qpos[:, 4] = np.linspace(0.0, 0.1, 20)
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    found, data = feet_on_floor(ROBOT.body, qpos), mujoco.MjData(ROBOT.model)
    floor = ROBOT.model.geom("floor").id
    for pose, stands in zip(qpos, found, strict=True):
        data.qpos[:] = pose
        mujoco.mj_kinematics(ROBOT.model, data)
        for foot, flag in zip(ROBOT.foot_bodies, stands, strict=True):
            geom = ROBOT.model.geom(f"{foot}_foot").id
            apart = mujoco.mj_geomDistance(ROBOT.model, data, floor, geom, 1.0, None)
            if abs(apart - 0.01) > 1e-6:
                assert flag == (apart < 0.01), (pose, foot, apart)
    assert found.any()
    assert not found.all()
    clip = report.clips[0]
    assert clip.reference_on_floor is not None
    same = [np.mean([a == b for a, b in zip(clip.on_floor[:, i], clip.reference_on_floor[:, i])]) for i in range(2)]
    assert contact_agreement(clip) == pytest.approx(same)


def test_only_the_worst_clips_are_kept_of_many():
    rows = [{"completed_frames": 10, "frames": 10, "e_mpbpe_mm": float(i)} for i in range(20)]
    rows[3]["completed_frames"] = 2
    assert worst_first(rows)[:3] == [3, 19, 18]


def test_a_clip_that_ends_with_a_fall_shows_it(measured: tuple[Path, Evaluation], report: RunReport):
    clip = report.clips[0]
    fell = replace(clip, row=clip.row | {"completed_frames": 20})
    assert fell.fell_at == 20
    shown = with_moments(fell, ROBOT.tracked_bodies)
    assert (shown.moments[0].frame, shown.moments[0].fell) == (20, True)
    assert all(moment.frame < 20 for moment in shown.moments[1:])


def test_curves_are_thinned_by_means(report: RunReport):
    rows = thinned(report.metrics)
    assert len(rows) <= 400
    assert rows[-1]["env_steps"] == report.metrics[-1]["env_steps"]
    key = "error/e_mpbpe_mm"
    assert np.mean([row[key] for row in rows]) == pytest.approx(np.mean([row[key] for row in report.metrics]))
    assert report.training_s == pytest.approx(10.0)


def test_clips_of_one_name_are_told_apart():
    assert told_apart(["walk", "run", "walk", "walk"]) == ["walk", "run", "walk (3)", "walk (4)"]


def test_getting_up_is_among_what_it_does(report: RunReport):
    falls = {"recovered": 0.75, "median_s": 3.0, "falls": [3.0, 3.0, None, 3.0]}
    assert report.evaluation is not None
    page = summary(replace(report, evaluation=report.evaluation | {"recovery": falls}))
    assert "gets up from 75 % of 4 random falls" in page
    assert "random falls" not in summary(report)


def test_ticks_are_round_and_within():
    assert ticks(0.0, 12.0, 8) == [0, 2, 4, 6, 8, 10, 12]
    assert ticks(0.0, 0.31, 4) == [0, 0.1, 0.2, 0.3]
    assert ticks(5.0, 5.0, 4) == [5.0]


def test_bars_are_where_the_foot_stands():
    flags = np.zeros(50, bool)
    flags[10:20] = flags[40:] = True
    shown = bars_strip("foot", [("on", flags)], 50.0, 1.0, about="foot")
    assert re.findall(r'x="([\d.]+)".*?width="([\d.]+)"', shown) == [("200.0", "200.0"), ("800.0", "200.0")]


def test_poses_and_triangles_in_the_page_are_the_robots(report: RunReport):
    clip = report.clips[0]
    packed = track(ROBOT.body, clip.qpos, clip.fps, 1e6)
    poses = np.frombuffer(base64.b64decode(packed["poses"]), "<i2").reshape(packed["frames"], packed["bodies"], 7)
    pos, quat = forward_kinematics(ROBOT.body, clip.qpos[::2].astype(float))
    np.testing.assert_allclose(poses[..., :3] * packed["scale"] / INT16, pos, atol=1e-4)
    np.testing.assert_allclose(poses[..., 3:] / INT16, quat, atol=1e-4)
    assert packed["fps"] == 25.0
    assert track(ROBOT.body, clip.qpos, clip.fps, 1000.0)["frames"] < 12, "what has no room is thinned"
    parts = geometry(ROBOT.model)["parts"]
    assert {part["body"] for part in parts} == set(range(1, ROBOT.model.nbody))
    faces = [np.frombuffer(base64.b64decode(part["triangles"]), "<u2") for part in parts]
    assert 0 < sum(map(len, faces)) / 3 <= MOST_TRIANGLES
    trunk = next(part for part in parts if part["body"] == 1)
    vertices = np.frombuffer(base64.b64decode(trunk["vertices"]), "<i2").reshape(-1, 3) * trunk["scale"] / INT16
    np.testing.assert_allclose(vertices.max(0), [0.25, 0.15, 0.05], atol=1e-4)


def _large_mesh(n: int = 220) -> mujoco.MjModel:
    grid = np.stack(np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n)), -1).reshape(-1, 2)
    z = 0.2 * np.sin(7 * grid[:, 0]) * np.cos(5 * grid[:, 1])
    points = " ".join(f"{x:.4f} {y:.4f} {h:.4f}" for (x, y), h in zip(grid, z))
    quads = [(i * n + j, i * n + j + 1, i * n + n + j) for i in range(n - 1) for j in range(n - 1)]
    faces = " ".join(f"{a} {b} {c} {b} {c + 1} {c}" for a, b, c in quads)
    return mujoco.MjModel.from_xml_string(
        f'<mujoco><asset><mesh name="m" inertia="shell" vertex="{points}" face="{faces}"/></asset><worldbody><body>'
        '<freejoint/><geom type="mesh" mesh="m"/></body></worldbody></mujoco>'
    )


def test_large_meshes_are_thinned():
    model = _large_mesh()
    assert model.mesh_facenum.sum() > 3 * MOST_TRIANGLES
    before = model.mesh_face.copy()
    (part,) = geometry(model)["parts"]
    assert 1000 < len(base64.b64decode(part["triangles"])) / 6 <= MOST_TRIANGLES
    np.testing.assert_array_equal(model.mesh_face, before)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_command_makes_the_same_configuration(preset: str, tmp_path: Path):
    config = make_preset(preset)
    config = replace(
        config, motion=("a b.npz", "c.npz"), end_s=2.5, seed=3, evaluate_every_s=None,
        randomize=replace(config.randomize, mass=(0.7, 1.4), push=replace(config.randomize.push, linvel=(0.1, 0.2, 0.3))),
        ppo=replace(config.ppo, paired=not config.ppo.paired),
        observation=replace(config.observation, critic=(), true_state=not config.observation.true_state),
    )  # fmt: skip
    words = shlex.split(command_of(config, tmp_path / "run"))
    assert words[:3] == ["mimic", "train", preset]
    parsed = parse_train(words[2:])
    assert parsed.config == config
    assert parsed.folder == tmp_path / "run"


class _Tags(HTMLParser):
    """Every tag with its attributes, every address, all text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.scripts: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "poster", "action", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["script"]:
            self.scripts.append(data)
        self.text += data


def test_nothing_in_a_name_becomes_part_of_the_page(page: str):
    """Clip, source, licence, folder and the stress sweep's clip are all evil here."""
    tags = _Tags()
    tags.feed(page)
    assert tags.tags.count("script") == 2
    assert not {"b", "iframe", "object", "link", "base", "form"} & set(tags.tags)
    assert not tags.handlers
    assert all(address.startswith(("data:image/", "#")) for address in tags.addresses)
    assert page.count(EVIL) == 0
    assert EVIL in tags.text
    assert "<b>run&" in tags.text
    assert json.loads(tags.scripts[0])["clips"][0]["tracks"][0]["label"] == "controller"


def test_no_name_ends_the_data_of_the_scripts(report: RunReport):
    other = replace(report, name="</script><img src=x onerror=alert(1)>")
    tags = _Tags()
    tags.feed(make_page([report, other]))
    assert tags.tags.count("script") == 2
    assert not tags.handlers
    assert json.loads(tags.scripts[0])["clips"][0]["tracks"][1]["label"] == other.name


def test_the_page_can_be_read_by_ear_and_by_keys(page: str):
    assert len(re.findall(r"<img ", page)) == len(re.findall(r"<img [^>]*alt=\"[^\"]+\"|<img alt=\"[^\"]+\"", page))
    assert len(re.findall(r"<th[ >]", page)) == len(re.findall(r'<th scope="(?:col|row)"', page))
    assert all('role="img" aria-label="' in svg or 'aria-hidden="true"' in svg for svg in re.findall(r"<svg[^>]*>", page))
    assert len(re.findall(r"<table", page)) == len(re.findall(r"<caption", page)) + len(re.findall(r'<table class="facts"', page))


def test_colours_are_legible():
    """Contrast of text of 4.5 or more (WCAG), of lines 3 or more, on every background, light and dark."""
    style = (Path(__file__).parents[1] / "mimic" / "report" / "page.css").read_text()
    blocks = re.findall(r":root \{([^}]*)\}", style)[:2]
    light = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[0]))
    for colours in (light, light | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[1]))):
        for ink in ("ink", "soft", "link", "pass", "fail"):
            assert min(_contrast(colours[ink], colours[paper]) for paper in ("paper", "card")) >= 4.5, ink
        assert _contrast(colours["note-ink"], colours["note"]) >= 4.5
        for line in (*(f"k{i}" for i in range(6)), "ghost"):
            assert _contrast(colours[line], colours["paper"]) >= 3.0, line


def _contrast(a: str, b: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_json_holds_what_the_page_shows(measured: tuple[Path, Evaluation], tmp_path: Path):
    folder, evaluation = measured
    assert call("report", folder, "--out", tmp_path / "r.html", "--json", tmp_path / "r.json") == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["schema"] == 1
    (run,) = record["runs"]
    assert run["evaluation"]["clips"] == evaluation.clips
    assert run["stress"]["clip"] == EVIL
    assert [clip["name"] for clip in run["clips"]] == [EVIL, "sway"]
    clip = run["clips"][0]
    assert np.mean(clip["error_of_frame"]["e_mpbpe_mm"]) == pytest.approx(evaluation.clips[0]["e_mpbpe_mm"], rel=1e-3)
    assert np.mean(list(clip["mean_error_of_body_mm"].values())) == pytest.approx(evaluation.clips[0]["e_mpbpe_mm"], rel=1e-3)
    assert {joint["joint"] for joint in run["joints"]} == set(ROBOT.joint_names)
    assert len(run["curves"]["env_steps"]) == len(run["curves"]["error/e_mpbpe_mm"])
    assert run["missing"] == []


def test_runs_side_by_side(measured: tuple[Path, Evaluation], free: Path, report: RunReport):
    """The best of each column is bold, and a run that follows no clip stands beside those that do."""
    worse = {**(report.evaluation or {}), "mean": (report.evaluation or {})["mean"] | {"e_mpbpe_mm": 999.0}}
    other = replace(report, name="other", evaluation=worse)
    text = make_page([report, other, *gather([free], quiet)])
    assert "3 runs side by side" in text
    mine = f"{report.evaluation['mean']['e_mpbpe_mm']:,.1f}" if report.evaluation else ""
    assert f"<strong>{mine}</strong>" in text
    assert "<strong>999.0</strong>" not in text
    assert "never fell" in text
    assert "let loose" in text


def test_a_policy_that_follows_no_clip(free: Path):
    (report,) = gather([free], quiet)
    clip: Clip = report.clips[0]
    assert clip.reference is None
    assert clip.goals.shape == (100, 2)
    text = make_page([report])
    assert "Does it move?" in text
    assert "speed asked" in text
    assert 'class="heat' not in text.replace("strip heat {", "")
    assert "E_g-mpbpe [mm]</div>" not in text


def test_a_robot_let_loose_is_shown_until_it_fell():
    state = KinematicState(*(np.zeros((200, 3, 4), np.float32) for _ in KinematicState._fields))
    roaming = Roaming({}, None, state, np.zeros((199, 3, 2)), None, upright=np.array([40, 200, 200]))
    (kept,) = of_roaming(roaming)
    assert (len(kept.qpos), len(kept.targets)) == (40 + LYING, 39 + LYING)
    (whole,) = of_roaming(replace(roaming, upright=np.array([200, 40, 40])))
    assert len(whole.qpos) == 200


def test_what_comes_after_the_physics_broke_is_not_kept():
    qpos = np.zeros((30, 1, 4), np.float32)
    qpos[12:] = np.nan
    state = KinematicState(qpos, *(np.zeros((30, 1, 4), np.float32) for _ in KinematicState._fields[1:]))
    (kept,) = of_roaming(Roaming({}, None, state, np.zeros((29, 1, 2)), None, upright=np.array([30])))
    assert (len(kept.qpos), len(kept.qvel), len(kept.targets)) == (12, 12, 11)


def test_runs_of_the_same_name_are_told_apart(free: Path, tmp_path: Path):
    for parent in ("a", "b"):
        shutil.copytree(free, tmp_path / parent / "run")
    assert [report.name for report in gather([tmp_path / "a" / "run", tmp_path / "b" / "run"], quiet)] == ["a/run", "b/run"]


def test_what_is_missing_is_said(measured: tuple[Path, Evaluation], tmp_path: Path):
    """No checkpoint, no metrics, no sweep: the page says so, and what to do."""
    folder = tmp_path / "bare"
    tiny_report_run(folder, [tiny_motion(31)])
    for name in (EVALUATION, METRICS, STRESS, "rollouts.npz"):
        (folder / name).unlink()
    (report,) = gather([folder], quiet)
    said = " ".join(report.missing)
    assert "the policy cannot be run" in said
    assert f"mimic stress {folder}" in said
    assert "no learning curves" in said
    assert "not measured" in make_page([report])


def test_damage_is_named(measured: tuple[Path, Evaluation], tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = tmp_path / "run"
    tiny_report_run(folder, [tiny_motion(31)])
    (folder / "stress.json").write_text("[")
    assert "stress.json is damaged" in refusal(capsys, "report", folder)
    (folder / "stress.json").write_text("[1]")
    assert "stress.json: expected a JSON object" in refusal(capsys, "report", folder)
    (folder / "stress.json").unlink()
    (folder / "rollouts.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(InputError, match=r"rollouts\.npz is damaged"):
        gather([folder], quiet)


def test_refusals(measured: tuple[Path, Evaluation], tmp_path: Path, capsys: pytest.CaptureFixture):
    folder = measured[0]
    assert "at least one run folder" in refusal(capsys, "report")
    assert "the same run twice" in refusal(capsys, "report", folder, folder)
    assert "is not a run folder" in refusal(capsys, "report", tmp_path)
    assert "ends in .html" in refusal(capsys, "report", folder, "--out", tmp_path / "r.pdf")


def test_of_a_library_only_some_clips_are_kept(measured: tuple[Path, Evaluation]):
    _, evaluation = measured
    rows, rollouts = evaluation.clips * MOST, evaluation.rollouts * MOST
    kept = of_rollouts(rows, rollouts)
    assert len(kept) == MOST
    assert [one.clip for one in kept] == sorted(one.clip for one in kept)


def test_bodies_without_feet_have_no_contacts():
    assert feet_on_floor(Body("tiny", ROBOT.model), ROBOT.default_qpos[None]).shape == (1, 0)
