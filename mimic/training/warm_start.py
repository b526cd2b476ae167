"""Warm start: a new run whose networks and observation statistics begin as another run's ended (`--init-from`).

A student's run has no critic: who goes on by reward begins with a new one (`ppo.critic_lead`), which sees what the actor sees."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.serialization import from_state_dict, to_state_dict

from mimic.checkpoint import newest
from mimic.config import Config, to_dict
from mimic.learning.networks import Params
from mimic.learning.ppo import TrainState
from mimic.robots import Robot
from mimic.runs import Run, differences, open_run
from motions.errors import InputError

INHERITED = ("params", "average", "normalizer")
SAME = ("action", "observation", "network")  # what the networks' inputs and outputs mean
NEW = ("observation.critic", "observation.critic_sees_actor", "network.init_std")  # of a student: it has neither critic nor noise


def check_warm_start(config: Config, robot: Robot) -> None:
    """Raise `InputError` where the policy of the run `config.init_from`, if any, would mean something else in this one."""
    if config.init_from is None:
        return
    source = open_run(Path(config.init_from))
    ours, theirs = ({name: to_dict(of)[name] for name in SAME} for of in (config, source.config))
    theirs["network"]["dtype"] = ours["network"]["dtype"]  # how it is computed is not what it means
    found = differences(ours, theirs, whose=config.init_from)
    from_student = bool(source.config.teacher) and not config.teacher
    lines = [line for name, line in found if not (from_student and name in NEW)]
    if robot.joint_names != source.robot.joint_names:
        lines.insert(0, f"robot: {robot.name}'s joints ({config.init_from} has {source.robot.name}'s)")
    if config.teacher and not source.config.teacher:
        lines.insert(0, "this run imitates a teacher, the other learned by reward")
    if lines:
        raise InputError(f"a warm start takes over a policy as it is; what differs: {'; '.join(lines)}")


def warm_start(run: Run, state: TrainState, say: Callable[[str], None]) -> TrainState:
    """`state`, just initialized, with the networks and statistics of the run `run.config.init_from`; without one, as it is.

    Optimizer, curriculum, environments and random keys stay new. Raises `InputError` when there is no checkpoint that fits.
    """
    if run.config.init_from is None:
        return state
    source = open_run(Path(run.config.init_from))
    parts = newest(source, lambda checkpoints: checkpoints.restore_parts(INHERITED, say))
    if source.config.teacher and not run.config.teacher:
        parts = _without_critic(parts, jax.device_get(state.params))
    try:
        inherited = {name: from_state_dict(getattr(state, name), parts[name], name) for name in INHERITED}
    except ValueError as error:
        raise InputError(f"{source.folder} is of another kind of training: {error}") from error
    for name, tree in inherited.items():
        shapes, wanted = (jax.tree.map(jnp.shape, part) for part in (tree, getattr(state, name)))
        if shapes != wanted:
            raise InputError(f"{name} of {source.folder}: arrays of other shapes than here; was it observed from other terms?")
    say(f"begins with the policy of {source.folder}")
    return state._replace(**jax.tree.map(jnp.asarray, inherited))


def _without_critic(parts: dict[str, Any], fresh: Params) -> dict[str, Any]:
    """`parts` of a student's run as one that learns by reward has them: its actor, beside a critic and a noise that are new, and
    the statistics of what the actor sees."""
    actor = parts["average"]["actor"]
    size = len(actor["params"]["Dense_0"]["kernel"])
    seen = jax.tree.map(lambda leaf: leaf[:size] if np.ndim(leaf) else leaf, parts["normalizer"])
    params = to_state_dict(fresh) | {"actor": actor}
    return {"params": params, "average": params, "normalizer": seen}
