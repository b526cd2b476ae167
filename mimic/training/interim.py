"""What has been learnt so far, measured while the training goes on: a few clips, each whole, in plain C MuJoCo."""

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import jax
import numpy as np

from mimic.deploy.sim2sim import Policy, rollout
from mimic.evaluation.roam import roam
from mimic.evaluation.whole_clips import measure
from mimic.learning.ppo import TrainState
from mimic.mdp.goals import KINDS
from mimic.metrics import mean_metrics
from mimic.pipeline import policy_of, write_policy
from mimic.runs import POLICY, Run
from mimic.view.film import film
from motions.errors import InputError
from motions.motion import Motion

CLIPS = 8  # at most, evenly from a library
ROAMED_S = 10.0  # [s] that robots are let loose which follow no clip
SAID = {
    "evaluation/success_height": "{:.0%} of the clips whole",
    "evaluation/e_mpbpe_mm": "E_mpbpe {:.1f} mm",
    "evaluation/stood": "{:.0%} stood",
    "evaluation/pose_error_m": "pose error {:.3f} m",
    "evaluation/coverage": "coverage {:.0%}",
    **{f"evaluation/{kind}_return": kind + " {:.2f}" for kind in KINDS},
    "evaluation/reached": "{:.0%} of the points reached",
}


class Measured(NamedTuple):
    """The numbers, the policy on film (a GIF), if it is to be filmed, when in the training it was so, and why there is no film
    where it could not be made."""

    values: dict[str, float]
    film: bytes | None
    env_steps: int
    not_filmed: str = ""


class Interim:
    """A context manager with one thread of its own; `begin` what is to be measured, `take` what has been since."""

    def __init__(self, run: Run) -> None:
        self.run, self.every_s = run, run.config.evaluate_every_s
        self.films = run.config.log.video
        self.thread, self.pending, self.began = ThreadPoolExecutor(1, "evaluation"), None, time.perf_counter()

    def __enter__(self) -> "Interim":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.thread.shutdown(wait=True, cancel_futures=True)

    @property
    def due(self) -> bool:
        return self.every_s is not None and self.pending is None and time.perf_counter() - self.began >= self.every_s

    def begin(self, state: TrainState, env_steps: int) -> None:
        """`state` may be donated as soon as this returns."""
        average, mean, std = jax.device_get((state.average, state.normalizer.mean, state.normalizer.std))
        self.began = time.perf_counter()
        self.pending: Future[Measured] | None = self.thread.submit(self._measured, average, mean, std, env_steps)

    def take(self, say: Callable[[str], None]) -> "Measured | None":
        """What came of what was begun, once when it is there; else None. What went wrong with it is said, and is no
        reason to end a training: nothing more is measured, or filmed."""
        if self.pending is None or not self.pending.done():
            return None
        done, self.pending = self.pending, None
        try:
            measured = done.result()
        except (OSError, RuntimeError, InputError) as error:
            say(f"not evaluated, and not again in this training: {error}")
            self.every_s = None
            return None
        if measured.not_filmed:
            say(f"not filmed, and not again in this training: {measured.not_filmed}")
            self.films = False
        return measured

    def _measured(self, average: dict, mean: np.ndarray, std: np.ndarray, env_steps: int) -> "Measured":
        with tempfile.TemporaryDirectory() as folder:
            path = write_policy(policy_of(self.run, average, mean, std), self.run, Path(folder) / POLICY)
            policy = Policy.load(path)
        motions = some_of(self.run.asked)
        if policy.spec.follow:
            runs = [rollout(policy, motion) for motion in motions]
            means = mean_metrics(measure(policy, run) for run in runs)
            found = {name: means[name] for name in ("success_height", "e_mpbpe_mm", "e_g_mpbpe_mm")}
            seen, aim = runs[0].states.qpos, runs[0].reference.qpos
        else:
            roaming = roam(policy, motions, seconds=ROAMED_S, again=False)
            found, seen, aim = roaming.row, roaming.states.qpos[:, 0], None
        shown = {f"evaluation/{name}": float(value) for name, value in found.items() if value is not None}
        gif, trouble = None, ""
        try:
            if self.films:
                gif = film(policy.model, seen, aim, 1.0 / policy.spec.ctrl_dt)
        except Exception as error:  # whatever it is that draws and writes pictures here
            trouble = repr(error)
        return Measured(shown | {"evaluation/env_steps": float(env_steps)}, gif, env_steps, trouble)


def some_of(motions: tuple[Motion, ...]) -> list[Motion]:
    return [motions[i] for i in np.unique(np.linspace(0, len(motions) - 1, CLIPS).astype(int))]


def sentence(values: dict[str, float]) -> str:
    """What was measured, for people."""
    parts = [form.format(values[name]) for name, form in SAID.items() if name in values]
    return f"at {values['evaluation/env_steps'] / 1e6:.2f} M env-steps, evaluated: {', '.join(parts)}"
