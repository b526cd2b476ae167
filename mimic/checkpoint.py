"""Checkpoints of the whole training state (orbax), the newest readable one first."""

import gc
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding

from mimic.runs import Run
from motions.errors import InputError

KEEP = 3


class Checkpoints:
    """The checkpoints of one run, each named by its iteration; the last few are kept.

    writes: whether this is the training, which clears away what a killed one has left half-written; others may look on.
    """

    def __init__(self, folder: Path, *, writes: bool = False) -> None:
        for name in ("absl", "orbax"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # orbax narrates every save; what is damaged, we say
        options = ocp.CheckpointManagerOptions(max_to_keep=KEEP, create=True, cleanup_tmp_directories=writes)
        handler = ocp.StandardCheckpointHandler()  # named, or orbax guesses the kind from the newest, possibly damaged one
        self._manager = ocp.CheckpointManager(folder.resolve(), options=options, item_handlers=handler)
        self._begun: int | None = None

    def save(self, iteration: int, state: Any) -> None:
        """Begin to write `state` (any pytree, random keys included); it may be donated or overwritten as soon as this returns.

        The save before is waited for. Raises `OSError` when that one could not be written, or this one not be begun; what is
        there already stays whole. Processes that train together all call this, in the same iterations.
        """
        self.wait()
        if iteration in self._manager.all_steps():
            return
        self._begun = iteration
        with self._named_failures():
            self._manager.save(iteration, args=ocp.args.StandardSave(_copied(_storable(state))))

    def wait(self) -> None:
        """Until what was saved last is on disk. Raises `OSError`, once, when it cannot be written."""
        with self._named_failures():
            self._manager.wait_until_finished()

    @contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # orbax raises many types, ValueError for a full disk among them
            raise OSError(f"checkpoint {self._begun} failed: {_first_line(error)}") from error

    def restore(self, like: Any, warn: Callable[[str], None], *, discard: bool = False) -> tuple[Any, int] | None:
        """The newest state that can be read, and its iteration; None if there is no checkpoint.

        `like` gives structure, shapes, types, and on which devices; by default the first. A checkpoint that cannot be read is
        reported through `warn` and the one before it is tried; with `discard` it is deleted once that worked, so that the run
        can write it again.
        Raises `InputError`, and deletes nothing, when there are checkpoints and none of them can be read.
        """
        target = ocp.args.StandardRestore(jax.tree.map(_on_a_device, _storable(like)))
        newest = self._newest(lambda iteration: self._manager.restore(iteration, args=target), warn, discard=discard)
        return None if newest is None else (_as_it_was(newest[0], like), newest[1])

    def restore_parts(self, names: tuple[str, ...], warn: Callable[[str], None]) -> dict[str, Any] | None:
        """The parts `names` of the newest state that can be read, as nested dicts of numpy arrays, whatever the rest holds: one
        that another version of the trainer wrote will do. None if there is no checkpoint; else as `restore`."""

        def read(iteration: int) -> dict[str, Any]:
            reader, path = ocp.PyTreeCheckpointer(), self._manager.directory / str(iteration) / "default"
            stored = dict(reader.metadata(path).item_metadata or {})
            like = {name: jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), stored[name]) for name in names}
            plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), like)
            return reader.restore(path, args=ocp.args.PyTreeRestore(item=like, restore_args=plain, partial_restore=True))

        newest = self._newest(read, warn)
        return None if newest is None else newest[0]

    def _newest(
        self, read: Callable[[int], Any], warn: Callable[[str], None], *, discard: bool = False
    ) -> tuple[Any, int] | None:
        damaged: list[int] = []
        reason = ""
        for iteration in sorted(self._manager.all_steps(), reverse=True):
            with _no_reports_from_abandoned_tasks():
                try:
                    found = read(iteration)
                except Exception as error:  # orbax raises many types for damaged files; each means: try the one before
                    reason = _first_line(error)
                    damaged.append(iteration)
                    continue
            for bad in damaged:
                warn(f"checkpoint {bad} is damaged; using the one before it, {iteration}")
                if discard:
                    self._manager.delete(bad)
            return found, iteration
        if damaged:
            raise InputError(f"none of the checkpoints in {self._manager.directory} can be read ({reason})")
        return None

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Whatever ends the block, what was saved in it is waited for."""
        try:
            yield
        finally:
            self.wait()

    def close(self) -> None:
        """After what was saved last is on disk; raises as `wait`."""
        with self._named_failures():
            self._manager.close()


def newest[T](run: Run, read: Callable[[Checkpoints], T | None]) -> T:
    """What `read` finds in the run's checkpoints. Raises `InputError` when it finds none."""
    checkpoints = Checkpoints(run.checkpoints)
    try:
        found = read(checkpoints)
    finally:
        checkpoints.close()
    if found is None:
        raise InputError(f"{run.folder} has no readable checkpoint: train it first")
    return found


@contextmanager
def _no_reports_from_abandoned_tasks() -> Iterator[None]:
    """Of a damaged file, each of orbax's abandoned readers prints a traceback when Python collects it."""
    hook, level = sys.unraisablehook, logging.getLogger("asyncio").level
    sys.unraisablehook = lambda _: None
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        gc.collect()
        sys.unraisablehook = hook
        logging.getLogger("asyncio").setLevel(level)


def _is_key(leaf: Any) -> bool:
    """Of an array, or of the shape and type of one."""
    return hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _storable(state: Any) -> Any:
    """Without what orbax does not store: random keys, and arrays of no elements, for which one zero stands."""

    def plain(leaf: Any) -> Any:
        if _is_key(leaf):
            return jax.random.key_data(leaf) if isinstance(leaf, jax.Array) else _key_data(leaf)
        if getattr(leaf, "size", 1) == 0:
            return np.zeros(1, leaf.dtype)
        return leaf

    return jax.tree.map(plain, state)


def _copied(stored: Any) -> Any:
    """With buffers of its own: on a CPU orbax writes from those it is given, which the loop donates to its next iteration."""
    return jax.tree.map(lambda leaf: jnp.copy(leaf) if isinstance(leaf, jax.Array) else leaf, stored)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _key_data(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    data = jax.eval_shape(jax.random.key_data, leaf)
    return jax.ShapeDtypeStruct(data.shape, data.dtype, sharding=leaf.sharding)


def _on_a_device(leaf: Any) -> Any:
    """Shape, type and where to: never where the one was that wrote it, which may have had other devices."""
    if not hasattr(leaf, "shape"):
        return leaf
    sharding = getattr(leaf, "sharding", None) or SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _as_it_was(stored: Any, like: Any) -> Any:
    def restored(leaf: Any, old: Any) -> Any:
        if _is_key(old):
            return jax.random.wrap_key_data(leaf)
        return np.zeros(old.shape, old.dtype) if getattr(old, "size", 1) == 0 else leaf

    return jax.tree.map(restored, stored, like)
