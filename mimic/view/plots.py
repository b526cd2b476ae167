"""Plots of a run, as files: the learning curve, the error of every frame, the joints beside their reference."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mimic.metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, INK, GREY = "#2f7fd6", "#cc6a2c", "#30343b", "#9aa1ab"
_SMOOTH = 0.03  # part of a curve that its smoothed line averages over
_DPI = 110


def plot_learning(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Body error, falls and reward over env-steps, from the rows of metrics.jsonl; `path` ends in .png or .svg.

    Thin: every iteration. Thick: a running mean. Each panel names its last value.
    """
    steps = np.array([row["env_steps"] for row in rows]) / 1e6
    figure, panels = _figure(3, (7.5, 6.6))
    (_tracking if "error/e_mpbpe_mm" in rows[0] else _style)(panels[0], steps, rows)
    _curve(panels[1], steps, rows, "rollout/falls_per_s", ORANGE, "", "{:.3f}")
    panels[1].set_ylabel("falls per second")
    panels[1].set_ylim(bottom=0)
    _curve(panels[2], steps, rows, "rollout/reward", INK, "", "{:.4f}")
    panels[2].set_ylabel("reward per step")
    panels[2].set_xlabel("env-steps [million]")
    return _save(figure, path)


def _tracking(panel: Any, steps: np.ndarray, rows: Sequence[Mapping[str, Any]]) -> None:
    for key, colour, label in (
        ("error/e_g_mpbpe_mm", GREY, "E_g-mpbpe, in the world"),
        ("error/e_mpbpe_mm", BLUE, "E_mpbpe, re-anchored"),
    ):
        _curve(panel, steps, rows, key, colour, label, "{:.1f} mm")
    panel.set_yscale("log")
    for axis_formatter in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
        axis_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "1235" else "")
    panel.set_ylabel("body error [mm]")
    panel.legend(frameon=False, loc="upper right")


def _style(panel: Any, steps: np.ndarray, rows: Sequence[Mapping[str, Any]]) -> None:
    """Of a policy that follows no clip."""
    for key, colour, label in (
        ("style/reward", BLUE, "style reward"),
        ("style/coverage", GREY, "coverage of the clips"),
        ("reward/goal", ORANGE, "goal reward"),
    ):
        if key in rows[0]:
            _curve(panel, steps, rows, key, colour, label, "{:.2f}")
    panel.set_ylim(0, 1)
    panel.set_ylabel("part of the most")
    panel.legend(frameon=False, loc="lower right")


def plot_drive(
    path: str | Path,
    seconds: np.ndarray,
    asked: np.ndarray,
    done: np.ndarray,
    places: Sequence[str] | None = None,
    fell_s: float | None = None,
) -> Path:
    """What a robot was told and what it did, both (T, G), over time [s]: each number, called as in `places`; None: of horizontal
    velocities speed and direction. From when it fell it is shaded."""
    if places is None:
        width = max(1, round(0.5 / max(seconds[1] - seconds[0], 1e-6)))  # half a second: a step sways
        smooth = np.stack([_running_mean(column, width) for column in done.T], axis=1)
        series = [("speed [m/s]", np.linalg.norm(asked, axis=1), np.linalg.norm(smooth, axis=1))]
        wanted, got = (np.degrees(np.unwrap(np.arctan2(part[:, 1], part[:, 0]))) for part in (asked, smooth))
        series.append(("direction [deg]", wanted, got))
    else:
        series = list(zip(places, asked.T, done.T, strict=True))
    figure, panels = _figure(len(series), (7.5, 0.6 + 2.0 * len(series)))
    for panel, (label, wanted, got) in zip(panels, series, strict=True):
        panel.plot(seconds, wanted, color=GREY, linewidth=1.4, label="asked")
        panel.plot(seconds, got, color=BLUE, linewidth=1.6, label="done")
        if fell_s is not None:
            panel.axvspan(fell_s, seconds[-1], color=ORANGE, alpha=0.15, linewidth=0, label="fallen")
        panel.set_ylabel(label)
    panels[0].legend(frameon=False, loc="upper right")
    panels[-1].set_xlabel("time [s]")
    return _save(figure, path)


def plot_errors(
    path: str | Path, errors: Mapping[str, np.ndarray], fps: float, *, completed: int | None = None, title: str = ""
) -> Path:
    """The error of every frame of one clip (`mimic.metrics.frame_errors`), positions above, joints below.

    `completed`: frames up to the fall, if there was one; what follows is shaded.
    """
    figure, panels = _figure(2, (7.5, 4.6))
    for panel, keys in ((panels[0], ("e_g_mpbpe_mm", "e_mpbpe_mm")), (panels[1], ("e_mpjpe_rad",))):
        for key, colour in zip(keys, (GREY, BLUE) if len(keys) > 1 else (ORANGE,)):
            values = np.asarray(errors[key])
            metric = next(metric for metric in METRICS if metric.key == key)
            counted = values[:completed]
            label = f"{metric.symbol}, mean {counted.mean():.{metric.digits}f} {metric.unit}"
            panel.plot(np.arange(len(values)) / fps, values, color=colour, linewidth=1.2, label=label)
            panel.axhline(counted.mean(), color=colour, linewidth=0.8, linestyle=(0, (4, 3)))
        if completed is not None and completed < len(errors[keys[0]]):
            panel.axvspan(completed / fps, len(errors[keys[0]]) / fps, color=ORANGE, alpha=0.15, linewidth=0)
        panel.set_ylim(bottom=0)
        panel.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.98), borderaxespad=0, ncols=2)
    panels[0].set_ylabel("body error [mm]")
    panels[1].set_ylabel("joint error [rad]")
    panels[1].set_xlabel("time [s]")
    panels[0].set_title(title, loc="left")
    return _save(figure, path)


def plot_joints(
    path: str | Path, qpos: np.ndarray, reference_qpos: np.ndarray, joint_names: Sequence[str], fps: float, *, columns: int = 5
) -> Path:
    """One small panel per joint: its angle [deg] over time, and the reference's. `qpos` (F, 7 + J)."""
    from matplotlib.figure import Figure

    rows = -(-len(joint_names) // columns)
    figure = Figure(figsize=(2.3 * columns, 1.35 * rows + 0.4), dpi=_DPI, layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, sharex=True)).ravel()
    time = np.arange(len(qpos)) / fps
    for index, (panel, name) in enumerate(zip(panels, joint_names)):
        panel.plot(time, np.degrees(reference_qpos[:, 7 + index]), color=BLUE, linewidth=1.4)
        panel.plot(time, np.degrees(qpos[:, 7 + index]), color=INK, linewidth=0.8)
        panel.set_title(name.removesuffix("_joint"), fontsize=7, pad=2)
        panel.tick_params(labelsize=6, length=2, colors=INK)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(joint_names) :]:
        panel.set_visible(False)
    figure.supxlabel("time [s]", fontsize=8)
    figure.supylabel("joint angle [deg]: controller dark, reference blue", fontsize=8)
    return _save(figure, path)


def plot_stress(path: str | Path, stress: Mapping[str, Any], *, columns: int = 4) -> Path:
    """One small panel per axis of a stress sweep (`mimic stress --json`): completion over value, the nominal one hollow."""
    from matplotlib.figure import Figure

    axes = list(dict.fromkeys(row["axis"] for row in stress["axes"]))
    columns = min(columns, len(axes))
    rows = -(-len(axes) // columns)
    figure = Figure(figsize=(2.4 * columns, 1.9 * rows + 0.6), dpi=_DPI, layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, sharey=True)).ravel()
    for panel, name in zip(panels, axes):
        tried = [row for row in stress["axes"] if row["axis"] == name]
        values, completion = [row["value"] for row in tried], [100 * row["completion"] for row in tried]
        nominal = stress["margins"][name]["nominal"]
        panel.axhline(100 * stress["pass"], color=ORANGE, linewidth=0.9, linestyle=(0, (4, 3)))
        panel.plot(values, completion, color=BLUE, linewidth=1.4, zorder=3)
        for value, done in zip(values, completion):
            face = "white" if value == nominal else BLUE
            panel.plot(value, done, "o", markersize=4.5, color=BLUE, markerfacecolor=face, zorder=4, clip_on=False)
        panel.set_title(f"{name.replace('_', ' ')} [{tried[0]['unit']}]", fontsize=9, pad=5)
        panel.set_xticks(values, [f"{value:g}" for value in values])
        panel.tick_params(labelsize=7, length=2, colors=INK)
        panel.set_ylim(0, 103)
        panel.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(axes) :]:
        panel.set_visible(False)
    figure.suptitle(
        f"{stress['clip']}: completion [%] of {stress['seeds']} seeds; dashed: {100 * stress['pass']:g} %", fontsize=10
    )
    return _save(figure, path)


def plot_sweep(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A line for each row of a sweep (`mimic sweep --json`): its seeds' E_mpbpe as dots, hollow where the clip was not completed,
    and a bar at their median. What is not done has no dot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 0.34 * len(rows) + 1.0), dpi=_DPI, layout="constrained")
    panel = figure.subplots()
    for place, row in enumerate(rows):
        for seed in row["seeds"]:
            if seed["state"] == "done":
                face = BLUE if seed["success_height"] == 1 else "white"
                panel.plot(
                    seed["e_mpbpe_mm"], place, "o", markersize=5, color=BLUE, markerfacecolor=face, clip_on=False, zorder=3
                )
        if row["median_e_mpbpe_mm"] is not None:
            panel.plot(row["median_e_mpbpe_mm"], place, "|", markersize=14, markeredgewidth=2, color=INK, zorder=2)
    several = len({row["clip"] for row in rows}) > 1
    panel.set_yticks(range(len(rows)), [f"{row['clip']}, {row['variant']}" if several else row["variant"] for row in rows])
    panel.set_ylim(len(rows) - 0.5, -0.5)
    panel.set_xlim(left=0)
    panel.tick_params(labelsize=8, length=2, colors=INK)
    panel.grid(axis="x", color=GREY, alpha=0.25, linewidth=0.6)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.set_xlabel("E_mpbpe [mm]; a dot a seed, hollow: clip not completed; bar: median", fontsize=8)
    if not several and rows:
        panel.set_title(rows[0]["clip"], loc="left", fontsize=10)
    return _save(figure, path)


def plot_speed(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Env-steps per second, learning included, over the number of environments (rows of `mimic bench speed --json`): a line for
    each number of devices, bluer for more; dashed: brax's PPO, where it was measured."""
    figure, (panel,) = _figure(1, (6.0, 3.8))
    counts = sorted({row["devices"] for row in rows})
    for index, count in enumerate(counts):
        colour = BLUE if len(counts) == 1 else _mixed(GREY, BLUE, index / (len(counts) - 1))
        for key, dashes, of in (
            ("train_steps_per_s", "-", f"{count} device{'s' * (count > 1)}"),
            ("brax_steps_per_s", "--", "brax"),
        ):
            known = sorted((row["num_envs"], row[key]) for row in rows if row["devices"] == count and row.get(key) is not None)
            if known:
                panel.plot(*zip(*known), color=colour, linestyle=dashes, marker="o", markersize=4, linewidth=1.4, label=of)
    sizes = sorted({row["num_envs"] for row in rows})
    panel.set_xscale("log", base=2)
    panel.set_xticks(sizes, [f"{size}" for size in sizes])
    panel.margins(x=0.04, y=0.1)
    panel.set_ylim(bottom=0)
    panel.set_xlabel("environments")
    panel.set_ylabel("env-steps per second, learning included")
    panel.legend(frameon=False, loc="lower right")
    panel.set_title(", ".join(dict.fromkeys(row["backend"] for row in rows)), loc="left", fontsize=10)
    return _save(figure, path)


def _mixed(first: str, last: str, share: float) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    return tuple((1.0 - share) * a + share * b for a, b in zip(to_rgb(first), to_rgb(last)))


def _figure(panels: int, size: tuple[float, float]) -> "tuple[Figure, Sequence[Axes]]":
    """A figure of panels one above the other that share their x axis. No pyplot: no state, no display."""
    from matplotlib.figure import Figure  # slow to import, and not every command draws

    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    axes = list(figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0])
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.6)
        panel.margins(x=0.01)
    return figure, axes


def _curve(
    panel: "Axes", steps: np.ndarray, rows: Sequence[Mapping[str, Any]], key: str, colour: str, label: str, last: str
) -> None:
    values = np.array([row.get(key, np.nan) for row in rows], dtype=float)
    smooth = _running_mean(values, max(1, round(_SMOOTH * len(values))))
    panel.plot(steps, values, color=colour, linewidth=0.5, alpha=0.35)
    panel.plot(steps, smooth, color=colour, linewidth=1.8, label=label or None)
    if np.isfinite(smooth[-1]):
        text = last.format(smooth[-1])
        panel.annotate(text, (steps[-1], smooth[-1]), (0, 5), textcoords="offset points", ha="right", color=colour, fontsize=9)


def _running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean of the last `width` values at every place (fewer at the start); NaNs are left out."""
    known = np.isfinite(values)
    total, count = np.cumsum(np.where(known, values, 0.0)), np.cumsum(known)
    total[width:], count[width:] = total[width:] - total[:-width], count[width:] - count[:-width]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _save(figure: "Figure", path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
    return path
