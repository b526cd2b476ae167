"""What a training leaves of its iterations, by the first process: metrics.jsonl, what `mimic.training.loggers` write, a panel."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from mimic.progress import Progress
from mimic.runs import Run
from mimic.training.hosts import is_first
from mimic.training.loggers import loggers_of


def titled(run: Run, stage: str) -> str:
    """What is trained on what, and which of several stages it is."""
    first, *others = (motion.name for motion in run.motions)
    clips = f"{first} and {len(others)} more" if others else first
    return ": ".join(part for part in (stage, f"{run.robot.name}, {clips}") if part)


class Journal:
    """A context manager; `write` takes the numbers of one iteration."""

    def __init__(self, run: Run, say: Callable[[str], None], stage: str = "") -> None:
        self.run, self.say, self.stage, self.open = run, say, stage, ExitStack()

    def __enter__(self) -> "Journal":
        if is_first():
            config = self.run.config
            self.metrics = self.open.enter_context(self.run.metrics_path.open("a"))
            self.loggers = loggers_of(self.run, self.say)
            for logger in self.loggers:
                self.open.callback(logger.close)
            total = config.num_iterations * config.steps_per_iteration
            self.progress = self.open.enter_context(Progress(total, titled(self.run, self.stage)))
        return self

    def __exit__(self, *_: Any) -> None:
        self.open.close()

    def write(self, iteration: int, values: dict[str, float]) -> None:
        if is_first():
            env_steps = iteration * self.run.config.steps_per_iteration
            row = {"iteration": iteration, "env_steps": env_steps, **values}
            self.metrics.write(json.dumps(row) + "\n")
            for logger in self.loggers:
                logger.log(values, env_steps)
            self.progress.update(row)

    def film(self, gif: bytes, env_steps: int) -> None:
        """A film of the policy as it was after `env_steps`."""
        if is_first():
            for logger in self.loggers:
                logger.film(gif, env_steps)

    def flush(self) -> None:
        if is_first():
            self.metrics.flush()
