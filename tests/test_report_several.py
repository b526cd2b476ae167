"""A report of several runs: what may be compared, and what differs."""

import re
from dataclasses import replace

import pytest
from tiny import tiny_motion
from tiny_report import EVIL, evil_motion, tiny_report_run

from mimic.metrics import mean_metrics
from mimic.report.gather import RunReport, gather
from mimic.report.sections import about_run
from mimic.report.settings import settings_that_differ
from mimic.report.summary import comparison


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    """Of a run of two clips, one of which is evil by name."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    tiny_report_run(folder, [evil_motion(), replace(tiny_motion(31), name="sway")])
    return gather([folder], pytest.fail)[0]


def rivals(report: RunReport, called: str, /, **row: object) -> RunReport:
    """`report` again, with other numbers."""
    evaluation = report.evaluation or {}
    rows = [old | row for old in evaluation["clips"]]
    return replace(report, name=called, evaluation=evaluation | {"clips": rows, "mean": mean_metrics(rows)})


def test_what_does_not_compare_is_not_bold(report: RunReport):
    fell = rivals(report, "fell", success_height=0, e_mpbpe_mm=0.1, e_g_mpbpe_mm=0.1, e_mpjpe_rad=0.001)
    told = comparison([report, fell, rivals(report, "other", e_mpbpe_mm=999.0)])
    assert "a run that completes no clip is best in nothing" in told
    assert "<strong>0.1</strong>" not in told
    assert f"<strong>{(report.evaluation or {})['mean']['e_mpbpe_mm']:,.1f}</strong>" in told
    elsewhere = replace(rivals(report, "elsewhere", name="<b>", e_mpbpe_mm=0.2), metrics=report.metrics[:1000])
    told = comparison([report, elsewhere])
    assert "measured on different clips" in told
    assert re.findall("<strong>(.*?)</strong>", told) == ["0.01", "0.0"], "what they cost"


def test_settings_that_differ_stand_side_by_side(report: RunReport):
    record = report.record["config"]
    changed = record | {"seed": 7, "motion": [EVIL], "ppo": record["ppo"] | {"discount": 0.5}}
    del changed["num_envs"]
    other = replace(report, name="other", record=report.record | {"config": changed})
    told = settings_that_differ([report, other])
    assert set(re.findall('<tr><th scope="row">(.*?)</th>', told)) == {"seed", "motion", "ppo.discount", "num_envs"}
    assert ">0.5</span></td>" in told
    assert "(not known to its version)" in told
    assert EVIL not in told
    assert settings_that_differ([report, replace(report, name="again")]) == ""


def test_every_clip_s_source_is_named(report: RunReport):
    told = about_run(report)
    assert tiny_motion(31).source in told
    assert "&lt;" in told
