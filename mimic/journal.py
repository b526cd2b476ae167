"""What a training leaves of its iterations: metrics.jsonl, TensorBoard's events, a line on the screen; by the first process."""

import json
from contextlib import ExitStack
from typing import Any

from tensorboardX import SummaryWriter

from mimic.hosts import is_first
from mimic.progress import Progress
from mimic.runs import Run


class Journal:
    """A context manager; `write` takes the numbers of one iteration."""

    def __init__(self, run: Run) -> None:
        self.run, self.open = run, ExitStack()

    def __enter__(self) -> "Journal":
        if is_first():
            config = self.run.config
            self.metrics = self.open.enter_context(self.run.metrics_path.open("a"))
            self.events = SummaryWriter(str(self.run.folder))
            self.open.callback(self.events.close)
            self.progress = self.open.enter_context(Progress(config.num_iterations * config.steps_per_iteration))
        return self

    def __exit__(self, *_: Any) -> None:
        self.open.close()

    def write(self, iteration: int, values: dict[str, float]) -> None:
        if is_first():
            env_steps = iteration * self.run.config.steps_per_iteration
            row = {"iteration": iteration, "env_steps": env_steps, **values}
            self.metrics.write(json.dumps(row) + "\n")
            for name, value in values.items():
                self.events.add_scalar(name, value, env_steps)
            self.progress.update(row)

    def flush(self) -> None:
        if is_first():
            self.metrics.flush()
