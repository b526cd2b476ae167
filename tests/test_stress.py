"""The sweep: what it counts, where margins end, what it prints, writes and refuses."""

import dataclasses
import io
import json
from pathlib import Path

import mujoco
import numpy as np
import pytest
from commands import call, refusal
from PIL import Image
from rich.console import Console
from tiny import tiny_motion, tiny_robot

from mimic.config import Config
from mimic.deploy.export import export_policy, make_spec
from mimic.deploy.sim2sim import Policy
from mimic.evaluation.perturb import Perturbation
from mimic.evaluation.stress import AXES, Row, Side, Stress, margin, measure, print_stress, sweep
from mimic.evaluation.whole_clips import evaluate_policy
from motions.errors import InputError

ROBOT, MOTION, CONFIG = tiny_robot(), tiny_motion(), Config(preset="tiny", robot="tiny")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy whose action is always zero: the PD law follows the reference's joints, which a table stands."""
    size = make_spec(CONFIG, ROBOT, MOTION).observation_size
    layers = [(np.zeros((size, 4), np.float32), np.zeros(4, np.float32))]
    folder = tmp_path_factory.mktemp("policy")
    return export_policy(layers, np.zeros(size), np.ones(size), CONFIG, ROBOT, MOTION, folder / "policy.onnx")


@pytest.fixture(scope="module")
def policy(path: Path) -> Policy:
    return Policy.load(path)


@pytest.mark.parametrize("floor", [True, False])
def test_unperturbed_it_counts_what_the_whole_clip_protocol_counts(policy: Policy, floor: bool):
    if not floor:  # free fall: twelve frames are completed
        model = mujoco.MjModel.from_xml_string(ROBOT.mjcf)
        model.geom("floor").contype = 0
        policy = dataclasses.replace(policy, model=model)
    completion, error_mm = measure(policy, [policy.reference(MOTION)], Perturbation(start_rad=0.0), seeds=2)
    row = evaluate_policy(policy).clips[0]
    assert completion == row["success_height"] == int(floor)
    assert error_mm == pytest.approx(row["e_mpbpe_mm"], rel=1e-5)


def test_completion_is_a_share_of_seeds_and_clips(policy: Policy):
    """Starts tilted by up to 1.2 rad: some are beyond the .8 rad of the height rule from the first step, some are not."""
    wild = Perturbation(start_rad=1.2)
    clips = [policy.reference(motion) for motion in (MOTION, tiny_motion(31))]
    first, second = (measure(policy, [clip], wild, seeds=16)[0] for clip in clips)
    assert 0 < first < 1
    assert first * 16 == round(first * 16)
    assert measure(policy, clips, wild, seeds=16)[0] == (first + second) / 2
    assert measure(policy, clips, wild, seeds=16) == measure(policy, clips, wild, seeds=16)


def test_a_margin_ends_before_the_first_failure():
    assert margin([(0, 1.0), (5, 0.95), (10, 0.94), (20, 1.0)]) == Side(5, open_end=False)
    assert margin([(0, 1.0), (5, 0.96)]) == Side(5, open_end=True)
    assert margin([(1.0, 0.97), (0.9, 0.5), (0.8, 0.99)]) == Side(1.0, open_end=False)
    assert margin([(0, 0.94), (5, 1.0)]) == Side(None, open_end=False)


def by_hand() -> Stress:
    rows = [("mass", "x", value, done) for value, done in ((0.8, 0.5), (0.9, 0.95), (1.0, 1.0), (1.1, 1.0), (1.2, 1.0))]
    rows += [("torque", "x", 0.7, 0.2), ("torque", "x", 0.85, 1.0), ("torque", "x", 1.0, 1.0)]
    rows += [("push", "m/s", 0.0, 0.9), ("push", "m/s", 0.25, 1.0), ("latency", "ms", 0.0, 1.0), ("latency", "ms", 5.0, 0.0)]
    return Stress("p.onnx", "[bold]sway", 64, tuple(Row(*row, 12.34) for row in rows))


def test_margins_have_the_sides_that_were_tried():
    assert by_hand().margins == {
        "mass": {"below": Side(0.9, False), "above": Side(1.2, True)},
        "torque": {"below": Side(0.85, False)},
        "push": {"above": Side(None, False)},
        "latency": {"above": Side(0.0, False)},
    }


def test_tables_say_it_in_80_columns():
    out = io.StringIO()
    print_stress(by_hand(), Console(file=out, width=80))
    table, card = out.getvalue().split("Pass card")
    assert max(len(line.rstrip()) for line in out.getvalue().splitlines()) <= 80
    assert all(word in table for word in ("mass [x]", "push [m/s]", "[mm]", "0.25", "95%", "12.3"))
    cells = {line.split()[0]: line.split()[2:] for line in card.splitlines() if line.strip() and "[" in line}
    assert cells["mass"] == ["1", "0.9", "1.2", "or", "more"]
    assert cells["torque"] == ["1", "0.85"]
    assert cells["push"] == ["0", "fails", "at", "nominal"]
    assert cells["latency"] == ["0", "none"]


def test_every_axis_names_a_field_and_tries_other_values_than_the_nominal():
    for axis in AXES.values():
        assert getattr(Perturbation(), axis.field) == pytest.approx(axis.nominal * axis.si)
        assert axis.nominal not in axis.values
        for value in axis.values:
            assert axis.setting(value) != Perturbation()


def test_a_sweep_has_the_nominal_robot_in_every_axis(policy: Policy):
    said = []
    stress = sweep(policy, "p", [tiny_motion(31)], seeds=2, axes=("torque", "dropped"), say=said.append)
    assert [(row.axis, row.value) for row in stress.rows] == [
        ("torque", 0.7), ("torque", 0.85), ("torque", 1.0), ("dropped", 0.0), ("dropped", 1), ("dropped", 5), ("dropped", 10),
    ]  # fmt: skip
    assert stress.of("torque")[-1].e_mpbpe_mm == stress.of("dropped")[0].e_mpbpe_mm
    assert [line.split(":")[0] for line in said] == ["torque", "dropped"]


def test_command_writes_numbers_and_plot(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    written, plot = tmp_path / "deep" / "s.json", tmp_path / "s.png"
    assert call("stress", path.parent, "--axes", "latency,torque", "--seeds", "2", "--json", written, "--plot", plot) == 0
    out, err = capsys.readouterr()
    assert "Pass card" in out
    assert "latency: done, 1 of 2" in err
    assert "100%" not in err, "that is in the table"
    assert f"wrote {written}" in err
    report = json.loads(written.read_text())
    assert (report["seeds"], report["clip"], report["pass"]) == (2, "sway", 0.95)
    assert report["axes"][0].keys() == {"axis", "unit", "value", "completion", "e_mpbpe_mm"}
    assert report["margins"]["latency"]["above"].keys() == {"to", "open_end"}
    assert np.asarray(Image.open(plot).convert("L")).std() > 5


def test_what_fails_on_the_nominal_robot_ends_at_once_unless_axes_are_named(policy: Policy, monkeypatch: pytest.MonkeyPatch):
    tried = []
    monkeypatch.setattr(
        "mimic.evaluation.stress.measure", lambda policy, clips, setting, seeds: (tried.append(setting) or 0.0, 9.0)
    )
    with pytest.raises(InputError, match=r"0 of 6 runs complete on the nominal robot.*train more.*--axes"):
        sweep(policy, "p", [tiny_motion(31)] * 2, seeds=3)
    assert tried == [Perturbation()]
    assert len(sweep(policy, "p", seeds=3, axes=("torque",)).rows) == 3


def test_command_refuses(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert "latency" in refusal(capsys, "stress", path, "--axes", "latncy")
    assert "neither a run folder" in refusal(capsys, "stress", tmp_path)
    assert "no such policy file" in refusal(capsys, "stress", tmp_path / "none.onnx")
    assert ".png or .svg" in refusal(capsys, "stress", path, "--plot", tmp_path / "s.pdf")
    assert "--seeds 0" in refusal(capsys, "stress", path, "--seeds", "0")
    assert "is a folder" in refusal(capsys, "stress", path, "--json", tmp_path)
    (tmp_path / "rubbish.onnx").write_bytes(b"rubbish")
    assert "rubbish" in refusal(capsys, "stress", tmp_path / "rubbish.onnx")
