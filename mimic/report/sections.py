"""The sections of the page that are numbers: summary, tables, curves, joints, margins, and what the run was."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mimic.metrics import METRICS, SUCCESS_DISTANCE_M
from mimic.report.command import command_of
from mimic.report.gather import RunReport, thinned
from mimic.report.html import (
    Cell, Line, axis_strip, cell, facts, folded, legend, line_strip, number, percent, plain, table, text,
)  # fmt: skip

SUCCESS = {"success_height": "success", **{key: f"within {bound:g} m" for key, bound in SUCCESS_DISTANCE_M.items()}}
HEADLINE = [metric for metric in METRICS if metric.headline]
CURVE_NAMES = {
    "error/e_mpbpe_mm": "E_mpbpe [mm]",
    "error/e_g_mpbpe_mm": "E_g-mpbpe [mm]",
    "rollout/falls_per_s": "falls per second",
    "rollout/reward": "reward per step",
    "style/reward": "style reward",
    "style/coverage": "coverage of the clips",
    "reward/goal": "goal reward",
}
FREE_NAMES = {
    "stood": "share of the robots that never fell",
    "fallen_s": "time until they fell, or the whole [s]",
    "pose_error_m": "pose error against the nearest clip [m]",
    "coverage": "share of the clips' poses that they visit",
    "speed_distance_m_s": "distance of their speeds from the clips' [m/s]",
    "heading_return": "return of the heading they were told, 0 to 1",
    "heading_return_deepmimic": "the same, only slower than asked counts",
    "location_return": "return of the place they were told, 0 to 1",
}


def summary(report: RunReport) -> str:
    """Three cards: does it track, what margin, what cost."""
    cards = [_tracks(report), _margin(report), _cost(report)]
    return (
        '<div class="cards">'
        + "".join(f"<section><h2>{text(h)}</h2><p class=big>{b}</p>{r}</section>" for h, b, r in cards)
        + "</div>"
    )


def _lines(*lines: str) -> str:
    return "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines if line) + "</ul>"


def _tracks(report: RunReport) -> tuple[str, str, str]:
    if report.free is not None:
        free = report.free
        told = next((f"{FREE_NAMES[key]}: {free[key]:.2f}" for key in ("heading_return", "location_return") if key in free), "")
        lines = (
            f"{free['robots']} robots let loose for {free['seconds']:.0f} s",
            told,
            f"coverage of the clips {percent(free['coverage'])}",
        )
        return "Does it move?", f"{percent(free['stood'])} never fell", _lines(*lines)
    if not report.rows:
        return "Does it track?", "not measured", _lines("see below what is missing")
    rows, evaluation = report.rows, report.evaluation or {}
    done = sum(row["success_height"] for row in rows)
    mean = evaluation["mean"]
    lines = [f"{metric.symbol} {number(mean[metric.key], metric.digits)} {metric.unit}" for metric in HEADLINE[:2]]
    for key, words in (("all_collisions", "with all collisions"), ("sim2sim", "in another simulator")):
        if key in evaluation:
            again = evaluation[key]["mean"]
            lines.append(f"{words}: {percent(again['success_height'])}, E_mpbpe {number(again['e_mpbpe_mm'], 1)} mm")
    if "strikes" in evaluation:
        struck = np.mean([row["struck"] for row in evaluation["strikes"]])
        lines.append(f"targets struck: {percent(float(struck))} of {evaluation['strikes'][0]['targets']}")
    return "Does it track?", f"{done} of {len(rows)} clips completed", _lines(*lines)


def held(stress: Mapping[str, Any]) -> tuple[int, int]:
    """(sides of axes on which every value that was tried passes, sides in all)."""
    sides = [side for margin in stress["margins"].values() for name, side in margin.items() if name in ("below", "above")]
    return sum(side["open_end"] for side in sides), len(sides)


def _margin(report: RunReport) -> tuple[str, str, str]:
    if report.stress is None:
        possible = report.run.config.follow and report.run.config.goal.kind is None
        return (
            "What margin?",
            "not measured",
            _lines("mimic stress measures it" if possible else "mimic stress is for policies that only follow"),
        )
    held_all, sides = held(report.stress)
    ends = [
        f"{name.replace('_', ' ')}: {_side(margin, side)}"
        for name, margin in report.stress["margins"].items()
        for side in ("below", "above")
        if side in margin and not margin[side]["open_end"]
    ]
    return "What margin?", f"{held_all} of {sides} hold", _lines(*ends[:4], f"and {len(ends) - 4} more" if len(ends) > 4 else "")


def _side(margin: Mapping[str, Any], side: str) -> str:
    """How far one side of an axis holds, for people."""
    found = margin.get(side)
    if found is None:
        return ""
    if found["to"] is None:
        return "fails at nominal"
    if found["to"] == margin["nominal"]:
        return "none"
    return f"to {found['to']:g} {margin['unit']}{' or more' if found['open_end'] else ''}"


def _cost(report: RunReport) -> tuple[str, str, str]:
    config, machine = report.run.config, report.record["machine"]
    time = "training time not recorded" if report.training_s is None else f"about {duration(report.training_s)} of training"
    learnt = (report.evaluation or {}).get("n_env_steps")
    before = f"{learnt / 1e6:.2f} M with the runs it learnt from" if learnt and learnt > report.env_steps else ""
    lines = (time, before, f"{machine['cpu']}, {machine['cores']} cores", f"{config.num_envs} environments")
    return "What did it cost?", f"{report.env_steps / 1e6:.2f} M env-steps", _lines(*lines)


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def comparison(reports: Sequence[RunReport]) -> str:
    """All runs in one table, the best of each column in bold."""
    columns: list[tuple[str, Callable[[RunReport], float | None], Callable[[float], str], int]] = [
        (name, _mean(key), percent, 1) for key, name in SUCCESS.items()
    ]
    columns += [(f"{m.symbol} [{m.unit}]", _mean(m.key), lambda v, m=m: number(v, m.digits), -1) for m in HEADLINE]
    columns += [
        ("another simulator", _mean("success_height", "sim2sim"), percent, 1),
        ("never fell", lambda r: (r.free or {}).get("stood"), percent, 1),
        ("margins held", lambda r: None if r.stress is None else held(r.stress)[0] / held(r.stress)[1], percent, 1),
        ("env-steps [M]", lambda r: r.env_steps / 1e6, lambda v: number(v, 2), -1),
        ("training [min]", lambda r: None if r.training_s is None else r.training_s / 60, lambda v: number(v, 1), -1),
    ]
    known = [(name, [value(r) for r in reports], show, sign) for name, value, show, sign in columns]
    known = [column for column in known if any(value is not None for value in column[1])]
    rows = []
    for index, report in enumerate(reports):
        cells = [Cell(f"{_mark(index)}{text(report.name)}", report.name)]
        for _, values, show, sign in known:
            value = values[index]
            cells.append(Cell("" if value is None else show(value), value, best=_is_best(value, values, sign)))
        rows.append(cells)
    return table("The runs side by side; the best of each column is bold", ["run", *(name for name, *_ in known)], rows)


def _mark(index: int) -> str:
    return f'<svg class="mark" viewBox="0 0 24 8" aria-hidden="true"><path class="c{index % 6}" d="M0 4H24"/></svg>'


def _mean(key: str, part: str | None = None) -> Callable[[RunReport], float | None]:
    def value(report: RunReport) -> float | None:
        evaluation = report.evaluation or {}
        return (evaluation.get(part, {}) if part else evaluation).get("mean", {}).get(key)

    return value


def _is_best(value: float | None, values: Sequence[float | None], sign: int) -> bool:
    """Of several that differ; sign: 1 where more is better."""
    known = [v for v in values if v is not None]
    return value is not None and len(set(known)) > 1 and sign * value == max(sign * v for v in known)


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
    if "strikes" in evaluation:
        made += [
            _strikes("Targets, as trained", evaluation["strikes"]),
            _strikes("Targets, in another simulator", evaluation["sim2sim"]["strikes"]),
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


def _strikes(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    head = ["clip", "targets", "struck", "stood", "nearest [m]"]
    made = [
        [Cell(text(r["name"])), cell(r["targets"], 0), Cell(percent(r["struck"]), r["struck"]), Cell(percent(r["stood"]), r["stood"]), cell(r["nearest_m"], 2)]
        for r in rows
    ]  # fmt: skip
    return table(title, head, made)


def clips_side_by_side(reports: Sequence[RunReport]) -> str:
    """E_mpbpe of each clip in each run; the smallest of those that completed it in bold."""
    by_run = [{row["name"]: row for row in report.rows} for report in reports]
    names = list(dict.fromkeys(name for rows in by_run for name in rows))
    rows = []
    for name in names:
        found = [rows_of.get(name) for rows_of in by_run]
        whole = [row["e_mpbpe_mm"] if row and row["success_height"] else None for row in found]
        cells = [Cell(text(name), name)]
        for row, error in zip(found, whole, strict=True):
            shown = "" if row is None else number(row["e_mpbpe_mm"], 1) + ("" if row["success_height"] else " (not whole)")
            cells.append(Cell(shown, None if row is None else row["e_mpbpe_mm"], best=_is_best(error, whole, -1)))
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
    head = [
        "joint",
        "rms torque [N m]",
        "peak [N m]",
        "motor [N m]",
        "peak use",
        "time at full",
        "angle [deg]",
        "limits [deg]",
        "time at a limit",
    ]
    return table("Torque and joint limits, over the clips above", head, rows) if rows else ""


def _bar(low: float, high: float) -> str:
    """A bar from `low` to `high` within 0 to 1."""
    low, high = max(low, 0.0), min(high, 1.0)
    kind = "bar full" if high >= 0.999 else "bar"
    return f'<span class="{kind}" aria-hidden="true"><i style="margin-left:{100 * low:.0f}%;width:{100 * (high - low):.0f}%"></i></span>'


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
        tried = "".join(
            f'<li class="{"pass" if row["completion"] >= stress["pass"] else "fail"}">{row["value"]:g}: {percent(row["completion"])}</li>'
            for row in stress["axes"]
            if row["axis"] == name
        )
        sides = [Cell(text(_side(margin, side)), text(_side(margin, side))) for side in ("below", "above")]
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
    run, record = report.run, report.record
    first = run.motions[0]
    more = f" and {len(run.motions) - 5} more" if len(run.motions) > 5 else ""
    values = {
        "run folder": run.folder,
        "robot": run.robot.name,
        "preset": run.config.preset,
        "clips": ", ".join(motion.name for motion in run.motions[:5]) + more,
        "source": first.source,
        "licence": first.licence,
        "started": record["started"],
        "commit": record["git_commit"] or "not known",
        "machine": plain(list(record["machine"].values())),
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
