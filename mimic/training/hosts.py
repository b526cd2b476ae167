"""Several processes that train together, on one machine or many: how they find each other, and what they must agree on.

All run the same program on the same arrays (`mimic.devices`); what is said, written and decided by the clock is the first's.
Alone, a process is the first of one, and nothing here waits for anybody.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental.multihost_utils import broadcast_one_to_all, process_allgather

from motions.errors import InputError


def join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Find the other processes, before anything else is asked of JAX; None where a launcher says it.

    Raises `InputError` when there are none to be found.
    """
    named = (coordinator, num_processes, process_id)
    if None in named and named != (None, None, None):
        raise InputError("coordinator, num_processes and process_id of a cluster are given together or not at all")
    try:
        jax.distributed.initialize(*named)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"found no other processes: {reason}. Without a launcher that JAX knows, give --cluster.coordinator HOST:PORT "
            f"--cluster.num-processes N --cluster.process-id I"
        ) from error
    refuse_idle_gpus(os.environ, len(jax.local_devices()) if jax.default_backend() == "gpu" else 0)


def refuse_idle_gpus(environ: Mapping[str, str], used: int) -> None:
    """Raise `InputError` where SLURM gave this node more GPUs than its processes use, each of them `used`."""
    given = int(environ.get("SLURM_GPUS_ON_NODE", "0") or 0)
    processes = int(environ.get("SLURM_STEP_TASKS_PER_NODE", "1").split("(")[0].split(",")[0])
    if used and processes * used < given:
        raise InputError(
            f"{given} GPUs of this node are allocated, {processes * used} would be used ({processes} processes of {used}): "
            f"one process a GPU (srun --ntasks-per-node={given} --gpus-per-task=1), or ask for fewer"
        )


def is_first() -> bool:
    return jax.process_index() == 0


def told(value: Any) -> Any:
    """The first process's `value` (anything of JSON), on all of them."""
    if jax.process_count() == 1:
        return value
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(broadcast_one_to_all(np.int32(len(text))))
    sent = text if is_first() else np.zeros(size, np.uint8)
    return json.loads(np.asarray(broadcast_one_to_all(sent)).tobytes())


def any_of(flags: tuple[bool, ...]) -> tuple[bool, ...]:
    """For each flag whether one of the processes has it."""
    if jax.process_count() == 1:
        return flags
    gathered = np.asarray(process_allgather(np.array(flags)))
    return tuple(bool(flag) for flag in gathered.reshape(-1, len(flags)).any(axis=0))


def require_same(**contents: bytes) -> None:
    """Raise `InputError`, on all processes, unless each of the named contents is the same on all."""
    if jax.process_count() == 1:
        return
    digests = np.stack([np.frombuffer(hashlib.sha256(content).digest(), np.uint8) for content in contents.values()])
    gathered = np.asarray(process_allgather(digests)).reshape(jax.process_count(), *digests.shape)
    lines = []
    for index, name in enumerate(contents):
        others = [process for process, theirs in enumerate(gathered[:, index]) if (theirs != gathered[0, index]).any()]
        if others:
            lines.append(f"the {name} of process {', '.join(map(str, others))}")
    if lines:
        raise InputError(f"the processes do not train the same: {'; '.join(lines)} differs from the first's")


def part() -> None:
    """The end of what they do together; what is left to do, one does in a process of its own."""
    if jax.process_count() > 1:
        jax.distributed.shutdown()
