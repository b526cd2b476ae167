"""The page: one HTML file of one or several runs that needs no network, and in which no name can run anything."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from mimic.report import sections
from mimic.report.gather import RunReport
from mimic.report.html import as_script_data, facts, folded, text
from mimic.report.timeline import replay, replay_data, shown_clips, worst_moments
from motions.files import whole


def write_page(path: Path, reports: Sequence[RunReport]) -> Path:
    """Write the report of `reports`, which differ in name, at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        partial.write_text(make_page(reports), encoding="utf-8")
    return path


def make_page(reports: Sequence[RunReport]) -> str:
    shown, several = shown_clips(reports), len(reports) > 1
    title = " · ".join(report.name for report in reports)
    parts = [
        _heading(reports),
        sections.comparison(reports) if several else sections.summary(reports[0]),
        _missing(reports),
        _section("Replay", replay(shown, several) if shown else ""),
        _section("Clips", (sections.clips_side_by_side(reports) if several else "") + _each(reports, sections.clip_tables)),
        _section("Let loose", sections.free_table(reports)),
        _section("Moments to look at", worst_moments(shown, reports)),
        _section("Learning", sections.learning(reports)),
        _section("Margins", _each(reports, sections.margins)),
        _section("Motors and joints", _each(reports, sections.joints)),
        _section("Teacher and student", _each(reports, sections.teacher_and_student)),
        _section("The reference it was given", _each(reports, lambda report: facts(report.quality or {}))),
        _section("The run" if not several else "The runs", _each(reports, sections.about_run)),
    ]
    data = as_script_data(replay_data(shown, reports)) if shown else "null"
    here = files("mimic.report")
    script = "\n".join((here / name).read_text(encoding="utf-8") for name in ("player.js", "page.js"))
    style = (here / "page.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{_policy(script)}'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{text(title)}</title>'
        f"<style>\n{style}</style></head>\n<body><main>\n{chr(10).join(part for part in parts if part)}\n</main>\n"
        f'<script type="application/json" id="data">{data}</script>\n<script>{script}</script></body></html>\n'
    )


def _policy(script: str) -> str:
    """What the browser lets the page do: show what is in it, run this one script, ask nothing of any network."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return f'<meta http-equiv="Content-Security-Policy" content="{allowed}">'


def _heading(reports: Sequence[RunReport]) -> str:
    if len(reports) > 1:
        return f"<h1>{len(reports)} runs side by side</h1>"
    (report,) = reports
    names = [motion.name for motion in report.run.motions]
    clips = names[0] if len(names) == 1 else f"{len(names)} clips"
    return f'<h1>{text(report.run.robot.name)}: {text(clips)}</h1><p class="soft">{text(report.name)}, preset {text(report.run.config.preset)}</p>'


def _missing(reports: Sequence[RunReport]) -> str:
    """What a reader must know before the numbers."""
    lines = []
    for report in reports:
        name = f"{report.name}: " if len(reports) > 1 else ""
        if report.in_training:
            lines.append(
                f"{name}In training, or stopped before its end: {report.env_steps:,} of {report.run.config.env_steps:,} env-steps."
            )
        if left := len(report.rows) - len(report.clips):
            lines += (
                [f"{name}Replay, moments, motors and joints are of the {len(report.clips)} worst clips."]
                if report.clips and left > 0
                else []
            )
        lines += [name + line for line in report.missing]
    return f'<ul class="missing">{"".join(f"<li>{text(line)}</li>" for line in lines)}</ul>' if lines else ""


def _section(title: str, body: str) -> str:
    return f"<section><h2>{text(title)}</h2>\n{body}</section>" if body else ""


def _each(reports: Sequence[RunReport], section) -> str:
    """A section's body for each run, folded where there are several."""
    if len(reports) == 1:
        return section(reports[0])
    return "".join(folded(report.name, body) for report in reports if (body := section(report)))
