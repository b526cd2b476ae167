"""Environments spread over devices: one mesh axis, over which everything that has a row per environment is split.

All else (parameters, statistics, curriculum) is on every device. Programs are written for the whole batch and split by the
compiler (`jit` and `NamedSharding`), so that any number of devices computes what one does; only a physics engine, which the
compiler cannot look into, is called on each device by itself. Without a mesh around it nothing here does anything.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from motions.errors import InputError

ENVS = "envs"


def make_mesh(platform: str, count: int | None, num_envs: int) -> Mesh:
    """A mesh of the first `count` devices of a platform; None: all of them, of the CPUs of a process that trains alone one.

    Raises `InputError` when there are fewer, or when the environments cannot be split evenly.
    """
    present = jax.devices(platform)
    alone = jax.process_count() == 1
    wanted = (1 if platform == "cpu" and alone else len(present)) if count is None else count
    if wanted > len(present):
        hint = "; CPUs to test with: XLA_FLAGS=--xla_force_host_platform_device_count=8" if platform == "cpu" else ""
        raise InputError(f"{wanted} {platform} devices asked for, {len(present)} present{hint}")
    if wanted < len(present) and not alone:
        raise InputError(f"{wanted} devices asked for, but the processes have {len(present)}: they train with all of them")
    if num_envs % wanted:
        raise InputError(f"{num_envs} environments cannot be split evenly over {wanted} devices: use a multiple of {wanted}")
    return jax.make_mesh((wanted,), (ENVS,), axis_types=(AxisType.Auto,), devices=present[:wanted])


def describe(mesh: Mesh) -> str:
    platform = mesh.devices.flat[0].platform
    return platform if mesh.size == 1 else f"{mesh.size} x {platform}"


def spread[T](tree: T, axis: int = 0) -> T:
    """`tree` with the environments along `axis` of each leaf, split over the devices."""
    if not _is_split():
        return tree
    return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, PartitionSpec(*[None] * axis, ENVS)), tree)


def _is_split() -> bool:
    """Whether a mesh of ours is around; another's (brax's `pmap`) knows nothing of environments."""
    return ENVS in jax.sharding.get_abstract_mesh().axis_names


def shardings(mesh: Mesh, state: Any, num_envs: int) -> Any:
    """Where each leaf of a `TrainState` (shapes will do) is: rows of environments split, all else everywhere."""
    rows, whole = NamedSharding(mesh, PartitionSpec(ENVS)), everywhere(mesh)
    env_state = jax.tree.map(lambda leaf: rows if leaf.shape[:1] == (num_envs,) else whole, state.env_state)
    return jax.tree.map(lambda _: whole, state)._replace(env_state=env_state)


def everywhere(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec())


def placed(shapes: Any, places: Any) -> Any:
    """The shapes and types `shapes` with their shardings."""
    return jax.tree.map(lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), shapes, places)


def on_each_device(function: Callable) -> Callable:
    """`function` of one environment, whose batches every device computes for its own environments, by one call of its own."""

    @jax.custom_batching.custom_vmap
    def of_one(*args: Any) -> Any:
        return function(*args)

    @of_one.def_vmap
    def of_batch(size: int, batched: list, *args: Any) -> tuple[Any, Any]:
        rows = jax.tree.map(lambda leaf, has: leaf if has else jnp.broadcast_to(leaf, (size, *leaf.shape)), args, tuple(batched))
        every = jax.vmap(function)
        if _is_split():
            every = jax.shard_map(every, in_specs=PartitionSpec(ENVS), out_specs=PartitionSpec(ENVS), check_vma=False)
        out = every(*rows)
        return out, jax.tree.map(lambda _: True, out)

    return of_one
