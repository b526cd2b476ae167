"""The sections of the page that are tables and curves: clips, learning, joints, margins, and what the run was."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mimic.report.command import command_of
from mimic.report.gather import RunReport, thinned, told_apart
from mimic.report.html import (
    Cell,
    Line,
    axis_strip,
    cell,
    facts,
    folded,
    legend,
    line_strip,
    number,
    percent,
    table,
    text,
)
from mimic.report.summary import FREE_NAMES, HEADLINE, SUCCESS, is_best, side_text

CURVE_NAMES = {
    "error/e_mpbpe_mm": "E_mpbpe [mm]",
    "error/e_g_mpbpe_mm": "E_g-mpbpe [mm]",
    "rollout/falls_per_s": "falls per second",
    "rollout/reward": "reward per step",
    "style/reward": "style reward",
    "style/coverage": "coverage of the clips",
    "reward/goal": "goal reward",
}


def clip_tables(report: RunReport) -> str:
    """Every clip's numbers, as trained and as measured otherwise."""
    evaluation, made = report.evaluation, []
    if evaluation is None or report.free is not None:
        return ""
    parts = [("With the contacts of the training", evaluation, True)]
    if "all_collisions" in evaluation:
        parts.append(("With all collisions of the model", evaluation["all_collisions"], False))
    if "sim2sim" in evaluation:
        parts.append((f"In another simulator ({evaluation['sim2sim']['simulator']})", evaluation["sim2sim"], False))
    for title, part, first in parts:
        made.append(_clips(title, part) if first else folded(title, _clips(title, part)))
    for key, title, counted, shares, lengths in (
        ("strikes", "Targets", "targets", ("struck", "stood"), ("nearest_m",)),
        ("points", "Points", "points", ("reached",), ("nearest_m", "held_m")),
    ):
        if key in evaluation:
            made += [
                _told(f"{title}, as trained", evaluation[key], counted, shares, lengths),
                _told(f"{title}, in another simulator", evaluation["sim2sim"][key], counted, shares, lengths),
            ]
    return "".join(made)


def _clips(title: str, part: Mapping[str, Any]) -> str:
    head = ["clip", "frames", *SUCCESS.values(), *(f"{m.symbol} [{m.unit}]" for m in HEADLINE)]
    rows = [_clip_row(text(row["name"]), row, lambda v: "yes" if v else "no") for row in part["clips"]]
    foot = _clip_row("mean", part["mean"], percent) if len(rows) > 1 else ()
    return table(title, head, rows, foot=foot)


def _clip_row(name: str, row: Mapping[str, Any], success: Callable[[float], str]) -> list[Cell]:
    cells = [Cell(name), Cell(f"{row['completed_frames']:.0f} of {row['frames']:.0f}", row["completed_frames"] / row["frames"])]
    cells += [Cell(success(row[key]), row[key]) for key in SUCCESS]
    return cells + [cell(row.get(m.key), m.digits) for m in HEADLINE]


def _told(title: str, rows: Sequence[Mapping[str, Any]], counted: str, shares: Sequence[str], lengths: Sequence[str]) -> str:
    """What came of targets or points that were told along the clips."""
    head = ["clip", counted, *shares, *(f"{key.removesuffix('_m')} [m]" for key in lengths)]
    made = [
        [
            Cell(text(row["name"])),
            cell(row[counted], 0),
            *(Cell(percent(row[key]), row[key]) for key in shares),
            *(cell(row[key], 2) for key in lengths),
        ]
        for row in rows
    ]
    return table(title, head, made)


def clips_side_by_side(reports: Sequence[RunReport]) -> str:
    """E_mpbpe of each clip in each run; the smallest of those that completed it in bold."""

    def by_name(report: RunReport) -> dict[str, dict[str, Any]]:
        return dict(zip(told_apart([row["name"] for row in report.rows]), report.rows, strict=True))

    by_run = [by_name(report) for report in reports]
    names = list(dict.fromkeys(name for rows in by_run for name in rows))
    rows = []
    for name in names:
        found = [rows_of.get(name) for rows_of in by_run]
        whole = [row["e_mpbpe_mm"] if row and row["success_height"] else None for row in found]
        cells = [Cell(text(name), name)]
        for row, error in zip(found, whole, strict=True):
            shown = "" if row is None else number(row["e_mpbpe_mm"], 1) + ("" if row["success_height"] else " (not whole)")
            cells.append(Cell(shown, None if row is None else row["e_mpbpe_mm"], best=is_best(error, whole, -1)))
        rows.append(cells)
    return table("E_mpbpe [mm] of each clip", ["clip", *(report.name for report in reports)], rows) if rows else ""


def free_table(reports: Sequence[RunReport]) -> str:
    """Of policies that follow no clip: as trained and in another simulator."""
    columns = []
    for report in (report for report in reports if report.free is not None):
        name = f"{report.name}: " if len(reports) > 1 else ""
        columns.append((f"{name}as trained", report.free or {}))
        if again := (report.evaluation or {}).get("sim2sim"):
            columns.append((f"{name}another simulator", again["free"]))
    keys = [key for key in FREE_NAMES if any(key in row for _, row in columns)]
    rows = [[Cell(text(FREE_NAMES[key])), *(cell(row.get(key), 3) for _, row in columns)] for key in keys]
    return table("Robots let loose", ["", *(name for name, _ in columns)], rows, sorts=False) if columns else ""


def learning(reports: Sequence[RunReport]) -> str:
    """A chart for each curve, all runs in it."""
    known = [(index, report.name, thinned(report.metrics)) for index, report in enumerate(reports) if report.metrics]
    if not known:
        return ""
    span = (0.0, max(rows[-1]["env_steps"] for *_, rows in known) / 1e6)
    strips = []
    for key, name in CURVE_NAMES.items():
        lines = []
        for index, run, rows in known:
            x, y = (np.array([row.get(k, np.nan) for row in rows], float) for k in ("env_steps", key))
            if np.isfinite(y).any():
                lines.append(Line(run, x / 1e6, y, index))
        if lines:
            about = f"{name} over the training: " + ", ".join(f"{n} ends at {y[np.isfinite(y)][-1]:.3g}" for n, _, y, _ in lines)
            strips.append(line_strip(name, lines, span, about=about, log=key.endswith("_mm")))
    key = legend([(index, run) for index, run, _ in known]) if len(known) > 1 else ""
    return f'{key}<div class="strips">{"".join(strips)}{axis_strip(span, "env-steps [M]")}</div>'


def joints(report: RunReport) -> str:
    """Torque and joint-limit use."""
    rows = [
        [
            Cell(text(row["joint"].removesuffix("_joint")), row["joint"]),
            cell(row["torque_rms_nm"]),
            cell(row["torque_peak_nm"]),
            cell(row["effort_nm"], 0),
            Cell(f"{percent(row['peak_use'])} {_bar(0.0, row['peak_use'])}", row["peak_use"]),
            Cell(f"{100 * row['full']:.1f} %", row["full"]),
            Cell(f"{round(row['low_deg'])} to {round(row['high_deg'])} {_range(row)}", row["high_deg"] - row["low_deg"]),
            Cell("" if row["lower_deg"] is None else f"{round(row['lower_deg'])} to {round(row['upper_deg'])}", row["lower_deg"]),
            Cell(f"{100 * row['at_limit']:.1f} %", row["at_limit"]),
        ]
        for row in report.joints
    ]
    head = ["joint", "rms torque [N m]", "peak [N m]", "motor [N m]", "peak use", "time at full"]
    head += ["angle [deg]", "limits [deg]", "time at a limit"]
    return table("Torque and joint limits, over the clips above", head, rows) if rows else ""


def _bar(low: float, high: float) -> str:
    """A bar from `low` to `high` within 0 to 1."""
    low, high = max(low, 0.0), min(high, 1.0)
    kind = "bar full" if high >= 0.999 else "bar"
    place = f"margin-left:{100 * low:.0f}%;width:{100 * (high - low):.0f}%"
    return f'<span class="{kind}" aria-hidden="true"><i style="{place}"></i></span>'


def _range(row: Mapping[str, Any]) -> str:
    if row["lower_deg"] is None:
        return ""
    span = max(row["upper_deg"] - row["lower_deg"], 1e-9)
    return _bar((row["low_deg"] - row["lower_deg"]) / span, (row["high_deg"] - row["lower_deg"]) / span)


def margins(report: RunReport) -> str:
    """The pass card of a stress sweep, with what was tried."""
    stress = report.stress
    if stress is None:
        return ""
    rows = []
    for name, margin in stress["margins"].items():
        mine = [row for row in stress["axes"] if row["axis"] == name]
        verdicts = ["pass" if row["completion"] >= stress["pass"] else "fail" for row in mine]
        tried = "".join(
            f'<li class="{verdict}">{row["value"]:g}: {percent(row["completion"])}</li>'
            for row, verdict in zip(mine, verdicts, strict=True)
        )
        sides = [Cell(text(side_text(margin, side)), text(side_text(margin, side))) for side in ("below", "above")]
        rows.append(
            [
                Cell(text(f"{name.replace('_', ' ')} [{margin['unit']}]")),
                cell(margin["nominal"], 2),
                *sides,
                Cell(f'<ul class="tried">{tried}</ul>'),
            ]
        )
    caption = (
        f"{stress['clip']}: {stress['seeds']} seeds a value; a value passes where {percent(stress['pass'])} reach the clip's end"
    )
    return table(
        caption,
        ["axis", "nominal", "holds below", "holds above", "what was tried: share that reaches the end"],
        rows,
        sorts=False,
    )


def teacher_and_student(report: RunReport) -> str:
    if report.comparison is None:
        return ""
    head = ["", "success, nominal", "E_mpbpe [mm]", "success, the student's environments", "E_mpbpe [mm]"]
    rows = [
        [
            Cell(text(who)),
            Cell(percent(s["nominal_success"])),
            cell(s["nominal_mm"]),
            Cell(percent(s["practised_success"])),
            cell(s["practised_mm"]),
        ]
        for who, s in report.comparison.items()
    ]
    return table("Student beside its teacher", head, rows, sorts=False)


def about_run(report: RunReport) -> str:
    """What it was, and the commands to make it again and to go on with it."""
    run, record, machine = report.run, report.record, report.record["machine"]
    asked = run.asked

    def named(found: Iterable[str]) -> str:
        known = list(dict.fromkeys(found))
        return ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")

    values = {
        "run folder": run.folder,
        "robot": run.robot.name,
        "preset": run.config.preset,
        "clips": named(told_apart([motion.name for motion in asked])),
        "source": named(motion.source for motion in asked),
        "licence": named(motion.licence or "not known" for motion in asked),
        "started": record["started"],
        "commit": record["git_commit"] or "not known",
        "machine": f"{machine['system']}, {machine['cpu']}, {machine['cores']} cores",
        "versions": record["versions"],
        "configuration": record["config"],
    }
    step_ms = (report.evaluation or {}).get("step_ms")
    if step_ms is not None:
        values["a control step of the policy"] = f"{step_ms:.2f} ms (median, where it was evaluated)"
    commands = [
        f"{command_of(run.config, run.folder)}   # again",
        f"mimic view {run.folder}",
        f"mimic evaluate {run.folder}",
        f"mimic stress {run.folder}",
        f"mimic export {run.folder} --out policy.onnx",
    ]
    return f"{facts(values)}<h3>Commands</h3><pre tabindex=0>{text(chr(10).join(commands))}</pre>"
