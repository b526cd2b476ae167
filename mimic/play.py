"""`mimic play policy.onnx`: run an exported policy in plain MuJoCo, without JAX, and say how well it does."""

from pathlib import Path

import numpy as np
from rich.console import Console

from mimic.deploy.sim2sim import Policy
from mimic.evaluate import Evaluation, evaluate_policy, print_evaluation


def play(path: str | Path, video: str | Path | None = None, console: Console | None = None) -> Evaluation:
    """Run the policy once over its clip, print its errors, and film it where `video` (.mp4) is given."""
    console = console or Console()
    policy = Policy.load(path)
    spec = policy.spec
    clip = spec.motion
    rate = f"{1 / spec.ctrl_dt:g} Hz"
    console.print(
        f"{path}: {spec.robot}, {len(spec.joint_names)} joints at {rate}, clip {clip.name!r} of {clip.frames} frames",
        markup=False,
    )
    evaluation = evaluate_policy(policy)
    print_evaluation(evaluation, spec.sim.collisions, console)
    if video is not None:
        from mimic.view.video import write_video

        run = evaluation.rollouts[0]
        shown = np.isfinite(run.states.qpos).all(axis=1)  # where the physics broke there is nothing to see
        drawn_by = write_video(video, policy.model, run.states.qpos[shown], run.reference.qpos[shown], 1 / spec.ctrl_dt)
        console.print(f"video: {video} (drawn by {drawn_by})", markup=False)
    return evaluation
