"""What a person sees while training: one live line in a terminal, a plain line every few seconds elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

REFRESH_S, PLAIN_EVERY_S = 1.0, 10.0
SHOWN = {
    "rollout/falls_per_s": "falls/s {:.2f}",
    "error/e_mpbpe_mm": "E_mpbpe {:.1f} mm",
    "style/reward": "style {:.2f}",
    "style/coverage": "coverage {:.0%}",
    "reward/goal": "goal {:.2f}",
}  # of the metrics, as far as they are there
SMOOTHING = 0.8  # of the shown falls and errors, which jump from rollout to rollout


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Says in a terminal that `what` is being done, as long as it is; elsewhere nothing."""
    with Console(stderr=True).status(escape(what), refresh_per_second=4):
        yield


class Progress:
    """A context manager; `update` takes the row of metrics of one iteration."""

    def __init__(self, total_env_steps: int, console: Console | None = None) -> None:
        self.total = total_env_steps
        self.console = console or Console(stderr=True)
        self.shown: dict[str, float] = {}
        self.printed = time.perf_counter()
        columns = (
            TextColumn("training"), BarColumn(bar_width=None), TextColumn("{task.percentage:.0f} %"),
            TextColumn("{task.fields[text]}"), TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn(),
        )  # fmt: skip
        self.bar = RichProgress(*columns, console=self.console, refresh_per_second=1.0 / REFRESH_S)
        self.live = self.console.is_terminal

    def __enter__(self) -> "Progress":
        if self.live:
            self.bar.start()
            self.task = self.bar.add_task("training", total=self.total, text="")
        return self

    def __exit__(self, *_: Any) -> None:
        if self.live:
            self.bar.stop()

    def update(self, row: dict[str, Any]) -> None:
        parts = [f"{row['time/env_steps_per_s']:,.0f} env-steps/s"]
        for name, form in SHOWN.items():
            if name in row:
                old = self.shown[name] if name in self.shown else row[name]
                self.shown[name] = SMOOTHING * old + (1.0 - SMOOTHING) * row[name]
                parts.append(form.format(self.shown[name]))
        text = "  ".join(parts)
        if self.live:
            self.bar.update(self.task, completed=row["env_steps"], text=text)
            return
        now = time.perf_counter()
        if now - self.printed >= PLAIN_EVERY_S or row["env_steps"] >= self.total:
            self.printed = now
            left_s = (self.total - row["env_steps"]) / max(row["time/env_steps_per_s"], 1e-9)
            share = row["env_steps"] / self.total
            self.console.print(
                f"{share:5.0%}  {row['env_steps'] / 1e6:.2f} M  {text}  eta {left_s:.0f} s", highlight=False, soft_wrap=True
            )
