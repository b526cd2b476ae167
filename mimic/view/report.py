"""`report.html`: what a run is and achieved, in one file that needs no network and no script."""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mimic.metrics import METRICS, SUCCESS_DISTANCE_M

MAX_VIDEO_BYTES = 15_000_000  # a larger video stays beside the report, which then shows the contact sheet
_STYLE = """
:root { color-scheme: light dark; --ink: #24282e; --soft: #68707b; --line: #d9dde3; --paper: #fbfbfc; --card: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e6ea; --soft: #98a0ab; --line: #3a4049; --paper: #17191d; --card: #1f2227; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.55 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2.4rem 0 .7rem; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
table { font-size: .88rem; }
th, td { padding: .4rem .5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; font-size: .8rem; } th:first-child, td:first-child { text-align: left; }
tr:last-child td { border-bottom: 0; } tr.mean td { font-weight: 600; }
table.facts td:last-child { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.facts td:first-child { color: var(--soft); width: 12rem; }
figure { margin: 0 0 1.4rem; } figure img, video { display: block; max-width: 100%; border-radius: 6px; background: #fff; }
video { width: 100%; max-width: 54rem; }
pre { overflow-x: auto; padding: .8rem 1rem; border: 1px solid var(--line); border-radius: 6px; background: var(--card);
  font: .85rem/1.5 ui-monospace, monospace; }
details summary { cursor: pointer; color: var(--soft); }
"""


def write_report(
    path: str | Path,
    *,
    title: str,
    facts: Mapping[str, Any],
    metrics: Mapping[str, Any],
    plots: Sequence[tuple[str, str | Path | bytes]] = (),
    video: str | Path | None = None,
    contact_sheet: str | Path | None = None,
    quality: Mapping[str, Any] | None = None,
    commands: Sequence[str] = (),
) -> Path:
    """Write the report at `path`.

    `facts`: rows of the first table, a mapping among them becomes a folded block (the config). `metrics`: what
    `evaluate --json` writes. `plots`: (caption, PNG or SVG as a file or its bytes). `video`: an mp4, embedded up to
    15 MB, else `contact_sheet` (PNG) stands for it. `quality`: the retargeting's report. `commands`: how to use the policy.
    """
    video = None if video is None else Path(video)
    sections = [
        f"<h1>{_text(title)}</h1>",
        _headline(metrics),
        _video(video, contact_sheet),
        _section("What it achieved", _metrics(metrics)),
        *(f"<figure>{_image(source, caption)}<figcaption>{_text(caption)}</figcaption></figure>" for caption, source in plots),
        _section("The reference it was given", _facts(quality)) if quality else "",
        _section("The run", _facts(facts)),
        _section("Using the policy", f"<pre>{_text(chr(10).join(commands))}</pre>") if commands else "",
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><main>\n{chr(10).join(part for part in sections if part)}\n</main></body></html>\n"
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _section(title: str, body: str) -> str:
    return f"<h2>{_text(title)}</h2>\n{body}" if body else ""


def _headline(metrics: Mapping[str, Any]) -> str:
    """One sentence: how many clips, whether completed, how far off."""
    clips, mean = metrics["clips"], metrics["mean"]
    done = sum(clip["completed_frames"] == clip["frames"] for clip in clips)
    what = f"{done} of {len(clips)} clips" if len(clips) > 1 else ("The clip" if done else "The clip was not")
    anchored, world = (_number(mean[key], 1) for key in ("e_mpbpe_mm", "e_g_mpbpe_mm"))
    text = f"{what} completed, mean body error {anchored} mm re-anchored, {world} mm in the world."
    return f'<p class="soft">{_text(text)}</p>'


def _metrics(metrics: Mapping[str, Any]) -> str:
    """The table of the trained contacts, and below it the others that were measured."""
    tables = [_clips(metrics)]
    if metrics.get("all_collisions"):
        tables += ['<p class="soft">The same with every contact of the model switched on:</p>', _clips(metrics["all_collisions"])]
    if other := metrics.get("sim2sim"):
        tables += [f'<p class="soft">The same in another simulator ({_text(other["simulator"])}):</p>', _clips(other)]
    if metrics.get("step_ms") is not None:
        tables.append(f'<p class="soft">One control step of the policy took {metrics["step_ms"]:.2f} ms here (median).</p>')
    tables.append(_folded("all numbers", metrics))
    return "\n".join(tables)


def _clips(metrics: Mapping[str, Any]) -> str:
    success = {"success_height": "success", **{key: f"within {bound:g} m" for key, bound in SUCCESS_DISTANCE_M.items()}}
    measured = [metric for metric in METRICS if metric.headline]
    head = ["clip", "frames", *success.values(), *(f"{metric.symbol} [{metric.unit}]" for metric in measured)]
    rows = [(False, clip["name"], clip) for clip in metrics["clips"]]
    if len(rows) > 1:
        rows.append((True, "mean", metrics["mean"]))
    body = ""
    for mean, name, row in rows:
        frames = f"{row['completed_frames']:.0f} of {row['frames']:.0f}"
        cells = [name, frames, *(_success(row[key], mean) for key in success)]
        cells += [_number(row[metric.key], metric.digits) for metric in measured]
        body += f"<tr{' class=mean' if mean else ''}>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"
    return f'<div class="wide"><table><tr>{"".join(f"<th>{_text(cell)}</th>" for cell in head)}</tr>{body}</table></div>'


def _success(value: float, mean: bool) -> str:
    """A clip's 0 or 1, or the part of several clips."""
    return f"{100 * value:.0f} %" if mean else ("yes" if value else "no")


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _facts(facts: Mapping[str, Any]) -> str:
    """A two-column table; mappings that do not fit a line are folded below it."""
    rows, folded = [], []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            folded.append(_folded(key, value))
        else:
            rows.append(f"<tr><td>{_text(key)}</td><td>{_text(_plain(value))}</td></tr>")
    table = f'<div class="wide"><table class="facts">{"".join(rows)}</table></div>' if rows else ""
    return table + "\n".join(folded)


def _folded(title: str, value: Mapping[str, Any]) -> str:
    return f"<details><summary>{_text(title)}</summary><pre>{_text(json.dumps(value, indent=2, default=str))}</pre></details>"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(part) for part in value)
    return str(value)


def _video(video: Path | None, sheet: str | Path | None) -> str:
    """The video inside the page, or the contact sheet with the video's name."""
    if video is not None and video.stat().st_size <= MAX_VIDEO_BYTES:
        return f'<video controls loop muted autoplay playsinline src="{_data("video/mp4", video.read_bytes())}"></video>'
    if sheet is None:
        return ""
    note = f"The video is too large for this page: {video.name} lies beside it." if video is not None else "Moments of the clip."
    return f"<figure>{_image(sheet, 'moments of the clip')}<figcaption>{_text(note)}</figcaption></figure>"


def _image(source: str | Path | bytes, caption: str) -> str:
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/svg+xml"
    return f'<img alt="{_text(caption)}" src="{_data(kind, content)}">'


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _text(value: Any) -> str:
    return html.escape(str(value))
