"""What a reader wants first: does it track, with what margin, at what cost; of several runs, which is best."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mimic.metrics import METRICS, SUCCESS_DISTANCE_M
from mimic.report.gather import RunReport
from mimic.report.html import Cell, number, percent, swatch, table, text

SUCCESS = {"success_height": "success", **{key: f"within {bound:g} m" for key, bound in SUCCESS_DISTANCE_M.items()}}
HEADLINE = [metric for metric in METRICS if metric.headline]
COST = ("env-steps [M]", "training [min]")  # columns that compare on whatever clips
TOLD = ("heading_return", "location_return", "reach_return")
FREE_NAMES = {
    "stood": "share of the robots that never fell",
    "fallen_s": "time until they fell, or the whole [s]",
    "pose_error_m": "pose error against the nearest clip [m]",
    "coverage": "share of the clips' poses that they visit",
    "speed_distance_m_s": "distance of their speeds from the clips' [m/s]",
    "heading_return": "return of the heading they were told, 0 to 1",
    "heading_return_deepmimic": "the same, only slower than asked counts",
    "location_return": "return of the place they were told, 0 to 1",
    "reach_return": "return of the points they were told, 0 to 1",
    "points": "points they were told",
    "reached": "share of them that the hand came to",
    "nearest_m": "how near it came [m]",
    "held_m": "how far it was, held [m]",
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
        told = next((f"{FREE_NAMES[key]}: {free[key]:.2f}" for key in TOLD if key in free), "")
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
    if "points" in evaluation:
        told = sum(row["points"] for row in evaluation["points"])
        reached = sum(row["points"] * row["reached"] for row in evaluation["points"])
        lines.append(f"points reached: {percent(reached / told)} of {told}")
    if "recovery" in evaluation:
        recovery = evaluation["recovery"]
        lines.append(f"gets up from {percent(recovery['recovered'])} of {len(recovery['falls'])} random falls")
    if "switches" in evaluation:
        switches = evaluation["switches"]
        lines.append(f"{percent(switches['succeeded'])} of {len(switches['switches'])} switches from one clip to another succeed")
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
        f"{name.replace('_', ' ')}: {side_text(margin, side)}"
        for name, margin in report.stress["margins"].items()
        for side in ("below", "above")
        if side in margin and not margin[side]["open_end"]
    ]
    return (
        "What margin?",
        f"{held_all} of {sides} margins hold",
        _lines(*ends[:4], f"and {len(ends) - 4} more" if len(ends) > 4 else ""),
    )


def side_text(margin: Mapping[str, Any], side: str) -> str:
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
    """All runs in one table, the best of each column in bold, but of runs that complete no clip, and of measurements on different
    clips."""
    alike = len({clips_of(r) for r in reports if r.rows}) <= 1 and len({clips_of(r) for r in reports if r.free is not None}) <= 1
    counts = [not report.rows or any(row["success_height"] for row in report.rows) for report in reports]
    columns: list[tuple[str, Callable[[RunReport], float | None], Callable[[float], str], int]] = [
        (name, _mean(key), percent, 1) for key, name in SUCCESS.items()
    ]
    columns += [(f"{m.symbol} [{m.unit}]", _mean(m.key), lambda v, m=m: number(v, m.digits), -1) for m in HEADLINE]
    columns += [
        ("another simulator", _mean("success_height", "sim2sim"), percent, 1),
        ("never fell", lambda r: (r.free or {}).get("stood"), percent, 1),
        ("margins held", lambda r: None if r.stress is None else held(r.stress)[0] / held(r.stress)[1], percent, 1),
        (COST[0], lambda r: r.env_steps / 1e6, lambda v: number(v, 2), -1),
        (COST[1], lambda r: None if r.training_s is None else r.training_s / 60, lambda v: number(v, 1), -1),
    ]
    known = [(name, [value(r) for r in reports], show, sign) for name, value, show, sign in columns]
    known = [column for column in known if any(value is not None for value in column[1])]
    rows = []
    for index, report in enumerate(reports):
        cells = [Cell(f"{swatch(index)}{text(report.name)}", report.name)]
        for name, values, show, sign in known:
            value, rivals = values[index], [value for value, counted in zip(values, counts, strict=True) if counted]
            best = counts[index] and (alike or name in COST) and is_best(value, rivals, sign)
            cells.append(Cell("" if value is None else show(value), value, best=best))
        rows.append(cells)
    bold = "the best of each column is bold" if alike else "measured on different clips, so that only costs compare"
    bold += "" if all(counts) else "; a run that completes no clip is best in nothing"
    return table(f"The runs side by side; {bold}", ["run", *(name for name, *_ in known)], rows)


def clips_of(report: RunReport) -> tuple[tuple[str, int], ...]:
    """Name and frames of each clip that a run was measured on."""
    if report.rows:
        return tuple((row["name"], row["frames"]) for row in report.rows)
    return tuple((motion.name, motion.num_frames) for motion in report.run.asked)


def _mean(key: str, part: str | None = None) -> Callable[[RunReport], float | None]:
    def value(report: RunReport) -> float | None:
        evaluation = report.evaluation or {}
        return (evaluation.get(part, {}) if part else evaluation).get("mean", {}).get(key)

    return value


def is_best(value: float | None, values: Sequence[float | None], sign: int) -> bool:
    """Of several that differ; sign: 1 where more is better."""
    known = [v for v in values if v is not None]
    return value is not None and len(set(known)) > 1 and sign * value == max(sign * v for v in known)
