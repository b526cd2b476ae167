"""The page: one HTML file of one or several runs that needs no network, and in which no name can run anything."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

from mimic.report import sections
from mimic.report.gather import RunReport
from mimic.report.html import as_script_data, facts, folded, text
from mimic.report.settings import settings_that_differ
from mimic.report.summary import comparison, summary
from mimic.report.timeline import looks, replay, replay_data, shown_clips, worst_moments
from motions.files import whole


def write_page(path: Path, reports: Sequence[RunReport]) -> Path:
    """Write the report of `reports`, which differ in name, at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial:
        partial.write_text(make_page(reports), encoding="utf-8")
    return path


def make_page(reports: Sequence[RunReport]) -> str:
    shown, models, several = shown_clips(reports), looks(reports), len(reports) > 1
    title = " · ".join(report.name for report in reports)
    parts = [
        ("Replay", replay(shown, several) if shown else ""),
        ("Clips", (sections.clips_side_by_side(reports) if several else "") + _each(reports, sections.clip_tables)),
        ("What differs", settings_that_differ(reports) if several else ""),
        ("Let loose", sections.free_table(reports)),
        ("Moments to look at", worst_moments(shown, models, several=several)),
        ("Learning", sections.learning(reports)),
        ("Margins", _each(reports, sections.margins)),
        ("Motors and joints", _each(reports, sections.joints)),
        ("Teacher and student", _each(reports, sections.teacher_and_student)),
        ("The reference it was given", _each(reports, lambda report: facts(report.quality or {}))),
        ("The run" if not several else "The runs", _each(reports, sections.about_run)),
    ]
    parts = [(name, body) for name, body in parts if body]
    top = [_heading(reports), comparison(reports) if several else summary(reports[0]), _missing(reports)]
    links = "".join(f'<li><a href="#{_anchor(name)}">{text(name)}</a></li>' for name, _ in parts)
    top.append(f'<nav aria-label="Sections"><ul>{links}</ul></nav>')
    body = [*top, *(f'<section id="{_anchor(name)}"><h2>{text(name)}</h2>\n{body}</section>' for name, body in parts)]
    data = as_script_data(replay_data(shown, models, several=several)) if shown else "null"
    here = files("mimic.report")
    script = "\n".join((here / name).read_text(encoding="utf-8") for name in ("player.js", "page.js"))
    style = (here / "page.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{_policy(script)}'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{text(title)}</title>'
        f"<style>\n{style}</style></head>\n<body><main>\n{chr(10).join(body)}\n</main>\n"
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
    run, names = reports[0].run, [motion.name for motion in reports[0].run.asked]
    clips = names[0] if len(names) == 1 else f"{len(names)} clips"
    about = f"{reports[0].name}, preset {run.config.preset}"
    return f'<h1>{text(run.robot.name)}: {text(clips)}</h1><p class="soft">{text(about)}</p>'


def _missing(reports: Sequence[RunReport]) -> str:
    """What a reader must know before the numbers."""
    lines = []
    for report in reports:
        said = list(report.missing)
        if report.in_training:
            asked = report.run.config.env_steps
            said.insert(0, f"In training, or stopped before its end: {report.env_steps:,} of {asked:,} env-steps.")
        if report.clips and len(report.rows) > len(report.clips):
            said.append(f"Replay, moments, motors and joints are of the {len(report.clips)} clips that went worst.")
        lines += [f"{report.name}: {line}" if len(reports) > 1 else line for line in said]
    return f'<ul class="missing">{"".join(f"<li>{text(line)}</li>" for line in lines)}</ul>' if lines else ""


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _each(reports: Sequence[RunReport], section: Callable[[RunReport], str]) -> str:
    """A section's body for each run, folded where there are several."""
    if len(reports) == 1:
        return section(reports[0])
    return "".join(folded(report.name, body) for report in reports if (body := section(report)))
