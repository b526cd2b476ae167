"""What a training's iteration needs of memory, known before it is compiled, and what a device or the host has left.

A program's need is read off its jaxpr: its arguments and constants, and the most that its values take at one time. Values that
the compiler makes within the operation that uses them are left out, and what a loop carries is written in place.
"""

import os
import resource
from collections.abc import Callable, Iterator
from math import lcm
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Var
from jax.sharding import Mesh

from mimic.config import Config
from mimic.training.iteration import LARGE

MB = 2**20  # [bytes]
ERRS = 1.3  # what an estimate may be of what is needed; nothing is refused that may fit
# [bytes] of the host; measured, g1 and humanoid on native: 610 to 810 MB, 240 MB where the cache had the program
COMPILING = 430e6
MADE = frozenset(  # primitives whose results are arrays of their own; all others, used once, become part of what uses them
    (
        "dot_general", "conv_general_dilated", "scan", "while", "cond", "jit", "shard_map", "custom_vmap_call", "custom_jvp_call",
        "custom_vjp_call", "pure_callback", "io_callback", "ffi_call", "gather", "scatter", "scatter-add", "concatenate", "pad",
        "sort", "cumsum", "cumlogsumexp", "reduce_sum", "reduce_max", "reduce_min", "reduce_and", "reduce_or", "argmax", "argmin",
        "dynamic_slice", "dynamic_update_slice", "transpose", "random_bits", "random_split", "random_fold_in", "threefry2x32",
    )
)  # fmt: skip
CALLS = frozenset(("jit", "cond", "shard_map", "custom_vmap_call", "custom_jvp_call", "custom_vjp_call"))  # return what is inside


class Need(NamedTuple):
    """Bytes. `program`: on one device, on a host (CPU) on all of them together; `host`: beyond that, of this process.
    `available`: of the device, or of the host where that is the device; None: it does not say."""

    program: float
    host: float
    available: float | None
    on_host: bool

    @property
    def needed(self) -> float:
        return self.program + (self.host if self.on_host else 0.0)

    @property
    def fits(self) -> bool:
        """Or may fit, as well as it is known."""
        return self.available is None or self.needed <= ERRS * self.available


def need_of(traced: Any, state: Any, mesh: Mesh, num_envs: int, engine_bytes: float) -> Need:
    """Of the traced iteration from `state` (shapes will do). engine_bytes: of the physics engine outside the program, for each
    environment."""
    constants = sum(size for size in map(_bytes, traced.jaxpr.consts) if size < LARGE)  # large ones are there already
    rows = tree_bytes(state.env_state)
    everywhere = tree_bytes(state) - rows + constants
    device = everywhere + (rows + most_live(traced.jaxpr.jaxpr)) / mesh.size
    on_host = mesh.devices.flat[0].platform == "cpu"
    host = COMPILING + engine_bytes * num_envs
    return Need(device * (mesh.size if on_host else 1), host, available_bytes(mesh), on_host)


def advice(config: Config, mesh: Mesh, need: Need, need_for: Callable[[int], Need], at_most: int) -> str:
    """What so many environments need, what there is, and how many fit: no more than `at_most`.

    need_for: the need of another number of environments; it grows with them evenly.
    """
    step = envs_step(config, mesh.size)
    text = f"{config.num_envs} environments need about {_gb(need.needed)} on {_where(need, mesh)}"
    fit = at_most // step * step
    if need.available is not None:
        text += f", {_gb(need.available)} are free"
        if config.num_envs > step:
            least = need_for(step)
            of_one = (need.needed - least.needed) / (config.num_envs - step)
            fit = min(fit, step + int((need.available - least.needed) / of_one // step) * step)
        elif not need.fits:
            fit = 0
    if fit < step:
        return f"{text}: no number of environments fits; choose a smaller network or ppo.rollout_length, or make room"
    return f"{text}: the largest num_envs that fits is about {fit} (--num-envs {fit})"


def envs_step(config: Config, devices: int) -> int:
    """What a training's number of environments must be a multiple of."""
    pairs = 2 if config.ppo.paired else 1
    searched = config.search.samples if config.learner == "search" else 1
    return lcm(devices, pairs, config.ppo.num_minibatches, searched)


def most_live(jaxpr: Jaxpr) -> int:
    """The most bytes that the values of a program take at one time, its arguments aside."""
    results = {var for var in jaxpr.outvars if isinstance(var, Var)}
    uses: dict[Var, int] = {}
    for eqn in jaxpr.eqns:
        for var in _vars(eqn.invars):
            uses[var] = uses.get(var, 0) + 1
    holds = {var: {var} for var in (*jaxpr.invars, *jaxpr.constvars)}  # the arrays that a value is read from: its own, or others'
    steps = []  # (equation, arrays read) of each that makes an array
    for eqn in jaxpr.eqns:
        read = set().union(*(holds[var] for var in _vars(eqn.invars)))
        fused = eqn.primitive.name not in MADE and not any(var in results or uses.get(var, 0) > 1 for var in eqn.outvars)
        holds |= {var: read if fused else {var} for var in eqn.outvars}
        if not fused:
            steps.append((eqn, read))
    last = {var: index for index, (_, read) in enumerate(steps) for var in read}
    last |= {kept: len(steps) for var in results for kept in holds[var]}
    live, most, held = 0, 0, set()
    for index, (eqn, read) in enumerate(steps):
        made = {var for var in eqn.outvars if var in last}
        most = max(most, live + _during(eqn))
        held |= made
        ended = {var for var in read if last[var] == index} & held
        held -= ended
        live += sum(map(_bytes, made)) - sum(map(_bytes, ended))
    return most


def _during(eqn: Any) -> int:
    """What an equation takes while it is computed, its arguments aside."""
    inside = max((most_live(part) for part in _parts(eqn)), default=0)
    carried = {"scan": eqn.params.get("num_carry", 0), "while": len(eqn.outvars)}.get(eqn.primitive.name, 0)
    out = sum(map(_bytes, eqn.outvars[carried:]))
    return max(inside, out) if eqn.primitive.name in CALLS else inside + out


def _parts(eqn: Any) -> Iterator[Jaxpr]:
    """The programs within an equation."""
    for param in eqn.params.values():
        for part in param if isinstance(param, tuple | list) else (param,):
            if isinstance(part, ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, Jaxpr):
                yield part


def _vars(values: Any) -> list[Var]:
    return [value for value in values if isinstance(value, Var)]


def _bytes(value: Any) -> int:
    """Of a variable, array or shape; keys of random numbers are two words."""
    aval = getattr(value, "aval", value)
    size = 8 if jax.dtypes.issubdtype(aval.dtype, jax.dtypes.prng_key) else aval.dtype.itemsize
    return int(np.prod(aval.shape, dtype=np.int64)) * size


def tree_bytes(tree: Any) -> int:
    return sum(map(_bytes, jax.tree.leaves(tree)))


def available_bytes(mesh: Mesh) -> float | None:
    """What is left on the fullest of this process's devices; of CPUs, on the host; None where a device does not say."""
    if mesh.devices.flat[0].platform == "cpu":
        return host_available()
    stats = [device.memory_stats() or {} for device in mesh.local_devices]
    left = [stat["bytes_limit"] - stat.get("bytes_in_use", 0) for stat in stats if "bytes_limit" in stat]
    return min(left) if left else None


def peak_memory_mb() -> float:
    """Largest resident size of this process so far [MB]."""
    status = Path("/proc/self/status")
    if status.exists():  # its own: what `getrusage` says begins with the size of the process that started this one
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def device_peak_mb(mesh: Mesh) -> float:
    """The most that the fullest of this process's devices has held so far [MB]; of CPUs, this process."""
    stats = [device.memory_stats() or {} for device in mesh.local_devices]
    peaks = [stat["peak_bytes_in_use"] / MB for stat in stats if "peak_bytes_in_use" in stat]
    return max(peaks) if peaks else peak_memory_mb()


def host_available(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes that this process may still take: the machine's free ones, or less where its container may have less."""
    meminfo = proc / "meminfo"
    if meminfo.exists():
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
        machine = 1024 * int(fields["MemAvailable"].split()[0])
    else:  # not Linux: all there is
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return float(max(min([machine, *_cgroups_left(proc, cgroup)]), 0))


def _cgroups_left(proc: Path, root: Path) -> Iterator[int]:
    """What each limited control group about this process leaves it; what the kernel may drop of files is free.

    Of both versions. In a container the group's own folder is often the root, and the path that the kernel names is outside it.
    """
    groups = proc / "self" / "cgroup"
    lines = [line.split(":", 2) for line in groups.read_text().splitlines()] if groups.exists() else []
    of_kind = {
        "": (root, "memory.max", "memory.current", "inactive_file"),
        "memory": (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    }
    for _, kind, path in lines:
        if kind not in of_kind:
            continue
        base, limit, usage, dropped = of_kind[kind]
        own = base / path.strip("/")
        for folder in {base, own, *(parent for parent in own.parents if parent.is_relative_to(base))}:
            text = (folder / limit).read_text().strip() if (folder / limit).exists() else "max"
            if text != "max":
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield int(text) - int((folder / usage).read_text()) + int(stat.get(dropped, 0))


def _where(need: Need, mesh: Mesh) -> str:
    return "this host" if need.on_host else f"each of {mesh.size} devices" if mesh.size > 1 else "the device"


def _gb(size: float) -> str:
    return f"{size / 1e9:.2f} GB"
