"""Checkpoints of the whole training state (orbax), the newest readable one first."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

KEEP = 3


class Checkpoints:
    """The checkpoints of one run, each named by its iteration; the last few are kept."""

    def __init__(self, folder: Path) -> None:
        for name in ("absl", "orbax"):
            logging.getLogger(name).setLevel(logging.ERROR)  # orbax narrates every save
        options = ocp.CheckpointManagerOptions(max_to_keep=KEEP, enable_async_checkpointing=False, create=True)
        self._manager = ocp.CheckpointManager(folder.resolve(), options=options)

    def save(self, iteration: int, state: Any) -> None:
        """Write `state` (any pytree, random keys included) and return when it is on disk."""
        if iteration not in self._manager.all_steps():
            self._manager.save(iteration, args=ocp.args.StandardSave(_without_keys(state)))
            self._manager.wait_until_finished()

    def restore(self, like: Any, warn: Callable[[str], None]) -> tuple[Any, int] | None:
        """The newest state that can be read, and its iteration; None if there is none.

        `like` gives structure, shapes and types. A checkpoint that cannot be read is reported through `warn`,
        deleted, and the one before it is tried.
        """
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, _without_keys(like))
        for iteration in sorted(self._manager.all_steps(), reverse=True):
            try:
                plain = self._manager.restore(iteration, args=ocp.args.StandardRestore(target))
            except Exception as error:  # orbax raises many types for damaged files; each means: try the one before
                reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
                warn(f"checkpoint {iteration} is damaged ({reason}); using the one before it")
                self._manager.delete(iteration)
                continue
            return _with_keys(plain, like), iteration
        return None

    def close(self) -> None:
        self._manager.close()


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _without_keys(state: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, state)


def _with_keys(plain: Any, like: Any) -> Any:
    return jax.tree.map(lambda leaf, old: jax.random.wrap_key_data(leaf) if _is_key(old) else leaf, plain, like)
