"""What a person sees while training: a panel of curves in a terminal, a plain line every few seconds elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mimic.curves import BLOCKS, PLAIN, Curve

REFRESH_S, PLAIN_EVERY_S = 1.0, 10.0
SHOWN = {
    "rollout/falls_per_s": "falls/s {:.2f}",
    "error/e_mpbpe_mm": "E_mpbpe {:.1f} mm",
    "style/reward": "style {:.2f}",
    "style/coverage": "coverage {:.0%}",
    "reward/goal": "goal {:.2f}",
}  # of the metrics, as far as they are there
CURVES = {
    "rollout/reward": ("reward", "{:.2f}"),
    "error/e_mpbpe_mm": ("E_mpbpe", "{:.1f} mm"),
    "rollout/falls_per_s": ("falls", "{:.2f} /s"),
    "style/reward": ("style", "{:.2f}"),
    "style/coverage": ("coverage", "{:.0%}"),
    "reward/goal": ("goal", "{:.2f}"),
    "evaluation/success_height": ("clips whole", "{:.0%}"),
    "evaluation/e_mpbpe_mm": ("their E_mpbpe", "{:.1f} mm"),
    "evaluation/stood": ("let loose, stood", "{:.0%}"),
}  # the same and more, as curves; of whole clips those of `mimic.training.interim`
SMOOTHING = 0.8  # of the shown falls and errors, which jump from rollout to rollout
LINES = 12  # of the panel at most, its frame, the bar and the rate among them
AROUND, LEAST_WIDTH = 4, 40  # lines beside the curves; below so many columns the frame is left out


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Says in a terminal that `what` is being done, as long as it is; elsewhere nothing."""
    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        with console.status(escape(what), refresh_per_second=4):
            yield
    else:
        yield


class Progress:
    """A context manager; `update` takes the row of metrics of one iteration. `title`: what is trained on what."""

    def __init__(self, total_env_steps: int, title: str = "", console: Console | None = None) -> None:
        self.total, self.title = total_env_steps, "".join(c for c in title if c.isprintable())
        self.console = console or Console(stderr=True)
        self.live = self.console.is_terminal and not self.console.is_dumb_terminal
        self.began = self.printed = time.perf_counter()
        self.curves: dict[str, Curve] = {}
        self.row: dict[str, Any] = {"env_steps": 0, "time/env_steps_per_s": 0.0}
        self.display = Live(console=self.console, get_renderable=self.panel, refresh_per_second=1.0 / REFRESH_S)

    def __enter__(self) -> "Progress":
        if self.live:
            self.display.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.live:
            self.display.stop()

    def update(self, row: dict[str, Any]) -> None:
        self.row = row
        for name in CURVES:
            if name in row:
                smoothing = 0.0 if name.startswith("evaluation/") else SMOOTHING
                self.curves.setdefault(name, Curve(smoothing)).add(row[name])
        now = time.perf_counter()
        if not self.live and (now - self.printed >= PLAIN_EVERY_S or row["env_steps"] >= self.total):
            self.printed = now
            self.console.print(self.plain(), highlight=False, markup=False, soft_wrap=True)

    @property
    def rate(self) -> str:
        return f"{self.row['time/env_steps_per_s']:,.0f} env-steps/s"

    @property
    def left(self) -> str:
        """The time it will take, "" where nobody knows yet."""
        rate = self.row["time/env_steps_per_s"]
        return spelt_s((self.total - self.row["env_steps"]) / rate) if rate > 0 else ""

    def plain(self) -> str:
        """One line."""
        share, done = self.row["env_steps"] / self.total, f"{self.row['env_steps'] / 1e6:.2f} M"
        parts = [form.format(self.curves[name].latest) for name, form in SHOWN.items() if name in self.curves]
        return "  ".join([f"{share:5.0%}", done, self.rate, *parts, f"eta {self.left}"])

    def panel(self) -> Panel | Group:
        """At most `LINES` lines, as wide as the terminal is now."""
        width, height = self.console.size
        framed = width >= LEAST_WIDTH
        inside = width - (4 if framed else 0)
        share = min(self.row["env_steps"] / self.total, 1.0)
        done = f"{share:4.0%}  {self.row['env_steps'] / 1e6:.2f} of {self.total / 1e6:.2f} M"
        bar = Table.grid(expand=True, padding=(0, 2, 0, 0))
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        bar.add_row(ProgressBar(total=1.0, completed=share), done)
        times = f"{self.rate}   {spelt_s(time.perf_counter() - self.began)} so far" + (
            f", {self.left} to go" if self.left else ""
        )
        rows = min(LINES, height - 1) - AROUND
        lines = [Text(times, no_wrap=True, overflow="ellipsis"), *self.drawn(inside, rows)]
        body = Group(bar, *lines)
        return Panel(body, title=Text(self.title, overflow="ellipsis", no_wrap=True), width=width) if framed else body

    def drawn(self, width: int, rows: int) -> list[Text]:
        """The curves that are there, `rows` of them at most: name, line, latest value."""
        blocks = PLAIN if self.console.options.ascii_only else BLOCKS
        there = [(*CURVES[name], self.curves[name]) for name in CURVES if name in self.curves][: max(rows, 0)]
        if not there:
            return []
        values = [form.format(curve.latest) for _, form, curve in there]
        name_width, value_width = max(len(name) for name, _, _ in there), max(map(len, values))
        room = max(width - name_width - value_width - 4, 0)
        drawn = [curve.line(room, blocks, bounds(form)) for _, form, curve in there]
        return [
            Text.assemble(
                f"{name:{name_width}}  ", (f"{line:{room}}", "cyan"), f"  {value:>{value_width}}", no_wrap=True, overflow="crop"
            )
            for (name, _, _), line, value in zip(there, drawn, values, strict=True)
        ]


def bounds(form: str) -> tuple[float, float] | None:
    """What is a share, and shown as one, is drawn between nothing and all."""
    return (0.0, 1.0) if form.endswith("%}") else None


def spelt_s(seconds: float) -> str:
    """38 s, 4:05 min or 2:10 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60}:{whole % 60:02} min" if whole < 3600 else f"{whole // 3600}:{whole % 3600 // 60:02} h"
