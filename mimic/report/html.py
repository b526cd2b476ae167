"""Pieces of the page: escaped text, tables that sort, charts as SVG that take the page's colours and width."""

import base64
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

COLOURS = 6  # of lines, in the style sheet as c0 ...
MOST_POINTS = 600  # of a line, and columns of a heat map
HEAT_RGB = (217, 84, 30)
LAST = 94.0  # percent of an axis: from here on a mark ends at its place
DECADE = 8.0  # a logarithmic axis spans at least this


def text(value: Any) -> str:
    return html.escape(str(value))


def as_script_data(value: Any) -> str:
    """JSON that no name in it can end or leave: to stand within a script element."""
    return (
        json.dumps(value, separators=(",", ":")).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )


def data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def plain(value: Any) -> str:
    """A fact for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(part) for part in value)
    return str(value)


class Cell(NamedTuple):
    """What is shown (HTML), and what it is sorted by: None: that. best: in bold."""

    shown: str
    value: float | str | None = None
    best: bool = False


def cell(value: float | None, digits: int = 1) -> Cell:
    return Cell(number(value, digits), value)


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[Cell]], *, foot: Sequence[Cell] = (), sorts: bool = True
) -> str:
    """The first column names the row. `caption` and `head` are text; `foot`: a last row that stays the last."""
    sorts = sorts and len(rows) > 1
    button = '<button type="button">{}</button>' if sorts else "{}"
    heads = "".join(f'<th scope="col"{" aria-sort=none" if sorts else ""}>{button.format(text(name))}</th>' for name in head)
    body = "".join(f"<tr>{_row(row)}</tr>" for row in rows)
    last = f"<tfoot><tr>{_row(foot)}</tr></tfoot>" if foot else ""
    kind = ' class="sortable"' if sorts else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{text(caption)}">'
        f"<table{kind}><caption>{text(caption)}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody>{last}</table></div>"
    )


def _row(cells: Sequence[Cell]) -> str:
    made = []
    for index, (shown, value, best) in enumerate(cells):
        key = "" if value is None else f' data-value="{text(value)}"'
        tag = 'th scope="row"' if index == 0 else "td"
        made.append(f"<{tag}{key}>{f'<strong>{shown}</strong>' if best else shown}</{tag.split()[0]}>")
    return "".join(made)


def facts(values: Mapping[str, Any]) -> str:
    """Two columns; a mapping among them is folded below."""
    rows = "".join(
        f'<tr><th scope="row">{text(key)}</th><td>{text(plain(value))}</td></tr>'
        for key, value in values.items()
        if not isinstance(value, Mapping)
    )
    folds = [folded(key, f"<pre>{text(json.dumps(v, indent=1))}</pre>") for key, v in values.items() if isinstance(v, Mapping)]
    return (f'<div class="wide"><table class="facts"><tbody>{rows}</tbody></table></div>' if rows else "") + "".join(folds)


def folded(title: str, body: str, *, is_open: bool = False) -> str:
    return f"<details{' open' if is_open else ''}><summary>{text(title)}</summary>{body}</details>"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, `most` at most."""
    span = max(high - low, 1e-9)
    step = 10.0 ** math.floor(math.log10(span / most))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= most)
    return [round(step * k, 12) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


class Line(NamedTuple):
    """x, y (P,); colour: index into the style sheet's, or "soft"."""

    label: str
    x: np.ndarray
    y: np.ndarray
    colour: int | str = 0


def line_strip(
    name: str,
    lines: Sequence[Line],
    x_range: tuple[float, float],
    *,
    about: str,
    log: bool = False,
    shaded: tuple[float, float] | None = None,
) -> str:
    """A strip of `strips` with curves, from 0 or below; log: where they span much, a logarithmic axis. shaded: a part of x."""
    known = np.concatenate([line.y[np.isfinite(line.y)] for line in lines])
    if log:
        known = known[known > 0]
    if not len(known):
        return ""
    log = log and float(known.max()) > DECADE * float(known.min())
    high, least = float(known.max()), float(known.min()) if log else min(0.0, float(known.min()))
    scale = math.log10 if log else float
    bottom, above = scale(least), max(scale(high), scale(least) + 1e-9)
    above += 0.05 * (above - bottom)
    marks = _log_ticks(least, high) if log else ticks(bottom, above, 4)

    def place_y(values: np.ndarray) -> np.ndarray:
        shown = np.log10(np.maximum(values, 1e-12)) if log else values
        return 100.0 - 100.0 * (shown - bottom) / (above - bottom)

    grid = "".join(f'<path class="grid" d="M0 {y:.1f}H1000"/>' for y in place_y(np.array(marks, float)))
    if shaded:
        a, b = (1000 * (x - x_range[0]) / max(x_range[1] - x_range[0], 1e-9) for x in shaded)
        grid += f'<rect class="fallen" x="{a:.1f}" y="0" width="{max(b - a, 0):.1f}" height="100"/>'
    drawn = "".join(_polyline(line, x_range, place_y) for line in lines)
    labels = "".join(f'<span style="top:{y:.1f}%">{mark:g}</span>' for mark, y in zip(marks, place_y(np.array(marks, float))))
    return strip(name, _svg(grid + drawn, about), labels, tall=True)


def _log_ticks(low: float, high: float) -> list[float]:
    found = [k * 10.0**e for e in range(-6, 7) for k in (1, 2, 5) if low * 0.999 <= k * 10.0**e <= high * 1.001]
    return found if len(found) <= 5 else found[:: -(-len(found) // 5)]


def _polyline(line: Line, x_range: tuple[float, float], place_y: Any) -> str:
    every = max(1, -(-len(line.y) // MOST_POINTS))
    x, y = np.asarray(line.x, float)[::every], np.asarray(line.y, float)[::every]
    x = 1000 * (x - x_range[0]) / max(x_range[1] - x_range[0], 1e-9)
    fine = np.isfinite(y)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[fine], place_y(y[fine])))
    kind = line.colour if isinstance(line.colour, str) else f"c{line.colour % COLOURS}"
    return f'<polyline class="{kind}" points="{points}"/>'


def bars_strip(name: str, rows: Sequence[tuple[str, np.ndarray]], fps: float, duration: float, *, about: str) -> str:
    """A strip with a row of bars for each (colour class, flags (F,))."""
    height = 100 / len(rows)
    drawn = ""
    for index, (kind, flags) in enumerate(rows):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int))).reshape(-1, 2) / fps
        for begin, end in edges:
            x, width = 1000 * begin / duration, 1000 * min(end, duration) / duration - 1000 * begin / duration
            y = index * height + 8
            drawn += f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height - 16:.1f}"/>'
    return strip(name, _svg(drawn, about))


def heat_strip(names: Sequence[str], values: np.ndarray, share: float, *, about: str) -> str:
    """A strip with a row for each of `names`, from values (F, K): from nothing at 0 to full colour at the largest. share: of the
    lane's width that they take."""
    columns = min(len(values), MOST_POINTS)
    edges = np.linspace(0, len(values), columns + 1).astype(int)
    image = np.stack([values[a:b].max(axis=0) for a, b in pairwise(edges)], axis=1)  # (K, columns)
    pixels = np.zeros((*image.shape, 4), np.uint8)
    pixels[..., :3] = HEAT_RGB
    pixels[..., 3] = np.round(255 * image / max(float(image.max()), 1e-9))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    rows = "".join(f"<li>{text(name)}</li>" for name in names)
    return (
        f'<div class="strip heat" style="--rows:{len(names)}"><ul class="name">{rows}</ul><div class="lane">'
        f'<img alt="{text(about)}" style="width:{100 * share:.2f}%" src="{data_url("image/png", buffer.getvalue())}"></div></div>'
    )


def strip(name: str, drawn: str, labels: str = "", *, tall: bool = False) -> str:
    kind = "strip tall" if tall else "strip"
    marks = f'<div class="marks" aria-hidden="true">{labels}</div>' if labels else ""
    return f'<div class="{kind}"><div class="name">{text(name)}{marks}</div><div class="lane">{drawn}</div></div>'


def axis_strip(x_range: tuple[float, float], unit: str) -> str:
    low, high = x_range
    marks = ""
    for x in ticks(low, high, 8):
        share = 100 * (x - low) / max(high - low, 1e-9)
        place = f"left:{share:.2f}%" if share < LAST else f"right:{max(100 - share, 0):.2f}%;transform:none"  # within the page
        marks += f'<span style="{place}">{x:g}</span>'
    return f'<div class="strip axis"><div class="name">{text(unit)}</div><div class="lane" aria-hidden="true">{marks}</div></div>'


def legend(labels: Sequence[tuple[int | str, str]]) -> str:
    return f'<ul class="legend">{"".join(f"<li>{swatch(colour)}{text(label)}</li>" for colour, label in labels)}</ul>'


def swatch(colour: int | str) -> str:
    """A piece of line in a colour of the style sheet."""
    kind = colour if isinstance(colour, str) else f"c{colour % COLOURS}"
    return f'<svg class="swatch" viewBox="0 0 24 8" aria-hidden="true"><path class="{kind}" d="M0 4H24"/></svg>'


def _svg(drawn: str, about: str) -> str:
    return f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="{text(about)}">{drawn}</svg>'
