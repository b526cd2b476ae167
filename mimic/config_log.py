"""Where a training's numbers go beside metrics.jsonl: a part of the configuration tree (`mimic.config`)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LogConfig:
    """TensorBoard's events are always written, into the run folder."""

    video: bool = True
    """Film the policy in every evaluation during the training: a few seconds, small, for TensorBoard's images."""
    wandb: str | None = None
    """Project of Weights & Biases that gets the same rows (extra `wandb`); None: none. Without a key it stays offline, in the run
    folder."""
