"""The replay of a report: player, below it errors, heat map and contacts on one time line; and the worst moments as pictures."""

import io
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any, NamedTuple

import mujoco
import numpy as np
from PIL import Image

from mimic.metrics import METRICS
from mimic.pipeline import robot_for
from mimic.report.clip import Clip, Moment
from mimic.report.gather import RunReport
from mimic.report.html import (
    Line,
    axis_strip,
    bars_strip,
    data_url,
    heat_strip,
    legend,
    line_strip,
    swatch,
    text,
)
from mimic.report.scene import geometry, track
from mimic.view.camera import view_azimuth
from mimic.view.renderer import Renderer, make_renderer
from mimic.view.video import moments
from motions.kinematics import forward_kinematics

PICTURE_PX, QUALITY, SPREAD = 240, 82, 4
FEW, OF_MANY = 18, 2  # pictures, beyond which there are fewer of each clip: drawing them takes most of the page's time
MOST_BYTES = 6_000_000  # of all poses in a page
LOOKS, AWAY = 20, 3.3  # poses that are looked at to place the camera; how many reaches of the body it is away


class Shown(NamedTuple):
    """A clip of the page: the runs that have it, each with its place among the reports."""

    name: str
    runs: list[tuple[int, RunReport, Clip]]

    @property
    def fps(self) -> float:
        return self.runs[0][2].fps

    @property
    def duration_s(self) -> float:
        return max((len(clip.qpos) - 1) / clip.fps for _, _, clip in self.runs)


def shown_clips(reports: Sequence[RunReport]) -> list[Shown]:
    """By name, in the order in which they come."""
    found: dict[str, Shown] = {}
    for index, report in enumerate(reports):
        for clip in report.clips:
            found.setdefault(clip.name, Shown(clip.name, [])).runs.append((index, report, clip))
    return list(found.values())


def looks(reports: Sequence[RunReport]) -> dict[str, mujoco.MjModel]:
    """By name, each robot's model to be drawn."""
    runs = {report.run.robot.name: report.run for report in reports if report.clips}
    return {name: robot_for(run).model for name, run in runs.items()}


def replay_data(shown: Sequence[Shown], models: dict[str, mujoco.MjModel], *, several: bool) -> dict[str, Any]:
    """What the scripts of the page read."""
    place = {name: index for index, name in enumerate(models)}
    clips = []
    most = MOST_BYTES // max(1, sum(len(clip.runs) + 1 for clip in shown))
    for clip in shown:
        tracks, errors = [], []
        for _, report, one in clip.runs:
            who = report.name if several else "controller"
            body, index = report.run.robot.body, place[report.run.robot.name]
            tracks.append({"label": who, "reference": False, "geometry": index, "poses": track(body, one.qpos, one.fps, most)})
            if one.body_mm is not None:
                label, off = who if len(clip.runs) > 1 else "E_mpbpe", np.round(one.body_mm.mean(axis=1), 1).tolist()
                errors.append({"label": label, "mm": off, "fps": one.fps})
        _, report, longest = max(clip.runs, key=lambda run: len(run[2].qpos))
        if longest.reference is not None:
            poses = track(report.run.robot.body, longest.reference, longest.fps, most)
            tracks.append({"label": "reference", "reference": True, "geometry": place[report.run.robot.name], "poses": poses})
        pos, _ = forward_kinematics(report.run.robot.body, longest.qpos[:: max(1, len(longest.qpos) // LOOKS)])
        reach = float(np.linalg.norm(pos[:, 1:] - pos[:, 1:2], axis=-1).max())
        view = {"azimuth": view_azimuth(longest.qpos), "distance": AWAY * reach}
        clips.append({"duration": clip.duration_s, "fps": clip.fps, **view, "errors": errors, "tracks": tracks})
    return {"geometries": [geometry(model) for model in models.values()], "clips": clips}


def replay(shown: Sequence[Shown], several: bool) -> str:
    """The player's frame and controls, and the strips of each clip."""
    clips = "".join(f'<option value="{index}">{text(clip.name)}</option>' for index, clip in enumerate(shown))
    speeds = "".join(f'<option value="{v}"{" selected" if v == 1 else ""}>{v:g} x</option>' for v in (0.1, 0.25, 0.5, 1, 2))
    return f"""<div id="replay" class="replay">
<div class="choices"><label>Clip <select data-is="clip">{clips}</select></label>
<label>Solid <select data-is="solid"></select></label><label>Ghost <select data-is="ghost"></select></label></div>
<div data-is="stage" class="stage"><canvas data-is="canvas" tabindex="0" role="img"
 aria-label="Replay in three dimensions. Drag or a, d, w, s to turn; wheel or plus and minus to come nearer."></canvas></div>
<p data-is="no-webgl" hidden>This browser draws no WebGL 2, so the replay is not shown; the strips and pictures below are.</p>
<div class="controls"><button type="button" data-is="play">Play</button>
<input type="range" data-is="seek" min="0" max="1" step="0.02" value="0" aria-label="Time [s]">
<label>Speed <select data-is="speed">{speeds}</select></label>
<label><input type="checkbox" data-is="loop" checked> Loop</label></div>
<output data-is="now" aria-live="off"></output>
{"".join(_strips(index, clip, several) for index, clip in enumerate(shown))}
<p class="soft">Space plays; left and right step by a frame, page up and down by a second; home and end; a, d, w, s turn,
+ and - come nearer. Click or drag on a strip to go there.</p></div>"""


def _strips(index: int, clip: Shown, several: bool) -> str:
    span, rows = (0.0, clip.duration_s), []
    lines = [(i, run, one) for i, run, one in clip.runs if one.body_mm is not None]
    for key in ("e_mpbpe_mm", "e_g_mpbpe_mm"):
        metric = next(metric for metric in METRICS if metric.key == key)
        drawn = [Line(run.name, np.arange(len(one.qpos)) / one.fps, one.errors[key], i) for i, run, one in lines]
        fell_s = next((one.fell_at / one.fps for *_, one in lines if len(lines) == 1 and one.fell_at is not None), None)
        shaded = None if fell_s is None else (fell_s, clip.duration_s)
        if drawn:
            about = f"{metric.symbol} over time, in {metric.unit}: " + ", ".join(
                f"{d.label} up to {d.y.max():.0f}" for d in drawn
            )
            rows.append(line_strip(f"{metric.symbol} [{metric.unit}]", drawn, span, about=about, shaded=shaded))
    for i, report, one in clip.runs:
        title = f"<h4>{swatch(i)}{text(report.name)}</h4>"
        rows += [
            title if several else "",
            _goals(report, one, span),
            _heat(report, one, span[1]),
            *_contacts(report, one, span[1]),
        ]
    keys: list[tuple[int | str, str]] = []
    if any(one.on_floor.shape[1] for *_, one in clip.runs):
        keys += [("on", "foot on the floor"), *([("reference", "the reference's")] if lines else [])]
    if any(_told_speed(report, one) for _, report, one in clip.runs):
        keys += [("soft", "speed asked"), (0, "done")]
    key = legend(keys) if keys else ""
    head = f'<h3 class="print-only">{text(clip.name)}</h3>'
    foot = f'{axis_strip(span, "time [s]")}<div class="over"><div class="cursor"></div></div>{key}'
    return f'<div class="strips" data-clip="{index}">{head}{"".join(rows)}{foot}</div>'


def _heat(report: RunReport, clip: Clip, duration_s: float) -> str:
    if clip.body_mm is None:
        return ""
    share = (len(clip.body_mm) - 1) / clip.fps / duration_s
    frame, body = np.unravel_index(int(clip.body_mm.argmax()), clip.body_mm.shape)
    names = report.run.robot.tracked_bodies
    worst = f"largest {clip.body_mm.max():.0f} mm, {names[body]} at {frame / clip.fps:.2f} s"
    head = f'<p class="soft">Error of each body, from 0 (clear) to {clip.body_mm.max():.0f} mm (full colour)</p>'
    return head + heat_strip(names, clip.body_mm, share, about=f"Error of each body over time: {worst}")


def _contacts(report: RunReport, clip: Clip, duration_s: float) -> list[str]:
    made = []
    for foot, name in enumerate(report.run.robot.foot_bodies):
        rows = [("on", clip.on_floor[:, foot])]
        about = f"{name} is on the floor {clip.on_floor[:, foot].mean():.0%} of the time"
        if clip.reference_on_floor is not None:
            rows.append(("reference", clip.reference_on_floor[:, foot]))
            same = (clip.on_floor[:, foot] == clip.reference_on_floor[:, foot]).mean()
            about += f", the reference's {clip.reference_on_floor[:, foot].mean():.0%}; both agree in {same:.0%} of the frames"
        made.append(bars_strip(name, rows, clip.fps, duration_s, about=about))
    return made


def _told_speed(report: RunReport, clip: Clip) -> bool:
    return report.run.config.goal.kind == "heading" and clip.reference is None


def _goals(report: RunReport, clip: Clip, span: tuple[float, float]) -> str:
    """Of a robot that is told a velocity: the speed asked and done."""
    if not _told_speed(report, clip):
        return ""
    time = np.arange(len(clip.goals)) / clip.fps
    asked, done = (np.linalg.norm(part[:, :2], axis=1) for part in (clip.goals, clip.velocity[1:]))
    lines = [Line("asked", time, asked, "soft"), Line("done", time, done, 0)]
    about = f"Speed asked, {asked.mean():.2f} m/s in the mean, and done, {done.mean():.2f}"
    return line_strip("speed [m/s]", lines, span, about=about)


def worst_moments(shown: Sequence[Shown], models: dict[str, mujoco.MjModel], *, several: bool) -> str:
    """A row of pictures for each clip and run; each leads to its moment in the replay."""
    rows, each = [], max(OF_MANY, FEW // max(1, sum(len(clip.runs) for clip in shown)))
    with ExitStack() as stack:
        size = (PICTURE_PX, PICTURE_PX)
        drawers = {name: stack.enter_context(closing(make_renderer(model, size))) for name, model in models.items()}
        for index, clip in enumerate(shown):
            for _, report, one in clip.runs:
                robot = report.run.robot.name
                whose = f"{clip.name}, {report.name}" if several else clip.name
                pictures = _pictures(index, one, each, models[robot], drawers[robot])
                rows.append(f'<h3>{text(whose)}</h3><ul class="pictures">{pictures}</ul>')
    return "".join(rows)


def _pictures(index: int, clip: Clip, most: int, model: mujoco.MjModel, drawer: Renderer) -> str:
    even = np.unique(np.linspace(0, len(clip.qpos) - 1, SPREAD).round().astype(int))
    chosen = clip.moments[:most] or [Moment(int(frame), 0.0, "", 0.0, False) for frame in even]
    size = (PICTURE_PX, PICTURE_PX)
    images = moments(drawer, model, clip.qpos, clip.reference, clip.fps, [moment.frame for moment in chosen], size)
    made = ""
    for moment, image in zip(chosen, images, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=QUALITY)
        time_s = moment.frame / clip.fps
        said = f"{time_s:.2f} s"
        if clip.reference is not None:
            fell = "falls here, " if moment.fell else ""
            said += f": {fell}E_mpbpe {moment.error_mm:.0f} mm, {moment.body} {moment.body_mm:.0f} mm off"
        picture = f'width="{PICTURE_PX}" height="{PICTURE_PX}" src="{data_url("image/jpeg", buffer.getvalue())}"'
        image_of = f'<img alt="{text(clip.name)} at {text(said)}" {picture}><span>{text(said)}</span>'
        made += f'<li><button type="button" data-clip="{index}" data-time="{time_s:.4f}">{image_of}</button></li>'
    return made
