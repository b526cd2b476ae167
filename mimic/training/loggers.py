"""Who is told a training's numbers, row by row: TensorBoard, and Weights & Biases where that is asked for."""

import importlib
import importlib.util
import io
import os
from collections.abc import Callable
from typing import Any, Protocol

from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary

from mimic.config import to_dict
from mimic.config_log import LogConfig
from mimic.runs import Run
from motions.errors import InputError

FILM = "evaluation/film"
# TensorBoard's "custom scalars": chart titles and the numbers in them (patterns), by group
LAYOUT = {
    "how well": {
        "whole clips [mm]": ["Multiline", ["evaluation/e_mpbpe_mm", "evaluation/e_g_mpbpe_mm"]],
        "whole clips and robots let loose [share]": ["Multiline", ["evaluation/success_height", "evaluation/stood"]],
        "while exploring [mm]": ["Multiline", ["error/e_mpbpe_mm", "error/e_g_mpbpe_mm"]],
        "falls per second": ["Multiline", ["rollout/falls_per_s"]],
    },
    "what it learns from": {
        "reward": ["Multiline", ["rollout/reward"]],
        "terms of the reward": ["Multiline", ["reward/.*"]],
        "losses": ["Multiline", ["loss/policy", "loss/value"]],
        "step size": ["Multiline", ["loss/learning_rate"]],
    },
}


class Logger(Protocol):
    def log(self, values: dict[str, float], env_steps: int) -> None: ...

    def film(self, gif: bytes, env_steps: int) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Events in the run folder."""

    def __init__(self, run: Run) -> None:
        self.events = SummaryWriter(str(run.folder))
        self.events.add_custom_scalars(LAYOUT)

    def log(self, values: dict[str, float], env_steps: int) -> None:
        for name, value in values.items():
            self.events.add_scalar(name, value, env_steps)

    def film(self, gif: bytes, env_steps: int) -> None:
        """As an image: a browser plays it."""
        image = Summary.Image(encoded_image_string=gif, colorspace=3)
        writer = self.events.file_writer
        assert writer is not None
        writer.add_summary(Summary(value=[Summary.Value(tag=FILM, image=image)]), env_steps)

    def close(self) -> None:
        self.events.close()


class WeightsAndBiases:
    """A run of the project, named as the run folder, gone on with where that is. Nobody is ever asked to log in.

    All is drawn over env_steps, and no step is given: wandb drops what comes at an older one than the last, as films do, and
    the rows that a resumed run writes again.
    """

    def __init__(self, run: Run, project: str, say: Callable[[str], None]) -> None:
        wandb = importlib.import_module("wandb")  # whose types a checker cannot see where it is not installed
        os.environ.setdefault("WANDB_SILENT", "true")
        mode: Any = os.environ.get("WANDB_MODE") or ("online" if wandb.api.api_key else "offline")
        if mode == "offline":
            say(f"Weights & Biases: offline; what is kept in {run.folder / 'wandb'} can be sent by `wandb sync`")
        self.video = wandb.Video
        name = run.folder.name
        self.open = wandb.init(
            project=project, name=name, id=_id(run), resume="allow", dir=str(run.folder), config=to_dict(run.config), mode=mode
        )
        self.open.define_metric("*", step_metric="env_steps")

    def log(self, values: dict[str, float], env_steps: int) -> None:
        self.open.log(values | {"env_steps": env_steps})

    def film(self, gif: bytes, env_steps: int) -> None:
        self.open.log({FILM: self.video(io.BytesIO(gif), format="gif"), "env_steps": env_steps})

    def close(self) -> None:
        self.open.finish()


def loggers_of(run: Run, say: Callable[[str], None]) -> list[Logger]:
    """Those that the run's config asks for."""
    project = run.config.log.wandb
    return [TensorBoard(run), *([WeightsAndBiases(run, project, say)] if project else [])]


def require_loggers(log: LogConfig) -> None:
    """Raise `InputError` for what is asked for and not installed: before a training, not after minutes of it."""
    if log.wandb is not None and importlib.util.find_spec("wandb") is None:
        raise InputError("log.wandb: the package wandb is not installed: pip install 'mimic-mjx[wandb]'")


def _id(run: Run) -> str:
    """The same for a run that is gone on with, another for each that is begun."""
    return f"{run.folder.name}-{run.started}".translate(str.maketrans({c: "-" for c in "/\\#?%: +"}))
