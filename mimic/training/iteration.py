"""A training iteration, compiled: it is handed the large arrays it works with, and holds no copies of them."""

from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from mimic.devices import everywhere
from motions.rotations import Array

LARGE = 1 << 20  # bytes of an array from which on it is handed over; small ones are constants, which the compiler makes use of


class Iteration(NamedTuple):
    """To be called with a state, which is used up. held: the large arrays that the iteration refers to."""

    compiled: Any
    held: list[Array]

    def __call__(self, state: Any) -> Any:
        return self.compiled(state, self.held)

    def as_text(self) -> str:
        return self.compiled.as_text()


def compile_iteration(traced: Any, state: Any, mesh: Mesh, out_shardings: Any) -> Iteration:
    """Compile what `jax.jit(function).trace(state)` gave, for states like `state`, under `mesh`.

    As constants of the program, large arrays (the frames of a library) would be copied into it, and each GB of them would take
    a minute more to compile. They become arguments, whole on every device.
    """
    closed = traced.jaxpr
    large = [jax.numpy.size(const) * const.dtype.itemsize >= LARGE for const in closed.consts]
    held = [jax.device_put(const, everywhere(mesh)) for const, is_large in zip(closed.consts, large, strict=True) if is_large]

    def iterate(state: Any, held: list[Array]) -> Any:
        handed = iter(held)
        consts = [next(handed) if is_large else const for const, is_large in zip(closed.consts, large, strict=True)]
        leaves = jax.core.eval_jaxpr(closed.jaxpr, consts, *jax.tree.leaves(state))
        return jax.tree.unflatten(jax.tree.structure(traced.out_info), leaves)

    compiled = jax.jit(iterate, donate_argnums=0, out_shardings=out_shardings).lower(state, held).compile()
    return Iteration(compiled, held)
