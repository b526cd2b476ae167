"""Direct solver of block-pentadiagonal systems in time, some rows after the others, and the inverse it needs, in JAX.

`factorize`, then `forward` and `backward` for every right side: L y = rhs, L^T x = y.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from motions.rotations import Array

_LEAF = 5  # blocks of this size are inverted row by row


def invert_lower(lower: Array) -> Array:
    """Inverse of a lower triangular matrix (n, n), by halves: [[A, 0], [B, C]]^-1 = [[A^-1, 0], [-C^-1 B A^-1, C^-1]].

    XLA's own triangular solve on a CPU calls BLAS once per matrix and is thirty times slower at n = 35.
    """
    n, dtype = lower.shape[-1], lower.dtype
    size = _LEAF
    while size < n:
        size *= 2
    padded = jnp.eye(size, dtype=dtype).at[:n, :n].set(lower)
    count = size // _LEAF
    leaf = jnp.stack([padded[i * _LEAF : (i + 1) * _LEAF, i * _LEAF : (i + 1) * _LEAF] for i in range(count)])
    rows: list[Array] = []
    for i, unit in enumerate(jnp.eye(_LEAF, dtype=dtype)):
        row = jnp.broadcast_to(unit, (count, _LEAF))
        for j in range(i):
            row = row - leaf[:, i, j, None] * rows[j]
        rows.append(row / leaf[:, i, i, None])
    inverse, width = jnp.stack(rows, axis=1), _LEAF
    while width < size:
        count //= 2
        starts = [2 * i * width for i in range(count)]
        corner = jnp.stack([padded[s + width : s + 2 * width, s : s + width] for s in starts])
        upper, under = inverse[0::2], inverse[1::2]
        inverse = jnp.concatenate(
            [
                jnp.concatenate([upper, jnp.zeros_like(upper)], axis=-1),
                jnp.concatenate([-under @ corner @ upper, under], axis=-1),
            ],
            axis=-2,
        )
        width *= 2
    return inverse[0, :n, :n]


class Rows(NamedTuple):
    """F block rows of a symmetric positive matrix H: H[f, f], H[f, f - 1], H[f, f - 2], each (F, n, n)."""

    diagonal: Array
    below: Array
    below2: Array


class Factors(NamedTuple):
    """Of block rows: L[f, f]^-1, L[f, f - 1], L[f, f - 2] of the Cholesky factor, each (F, n, n)."""

    inverse: Array
    off: Array
    off2: Array


def nothing(n: int, dtype: jnp.dtype) -> tuple[tuple[Array, ...], ...]:
    """What `factorize` and `forward` are given before the first row, and `backward` behind the last."""
    zero, none = jnp.zeros((n, n), dtype), jnp.zeros(n, dtype)
    return (zero, zero, zero), (none, none), (none, zero, none, zero, zero)


def factorize(past: tuple[Array, ...], rows: Rows) -> tuple[tuple[Array, ...], Factors]:
    """Block Cholesky of the next rows; `past` is what it must know of the rows before, and is returned for those behind."""

    def step(past, row: Rows):
        inverse1, off1, inverse2 = past  # of rows f - 1 and f - 2
        l2 = row.below2 @ inverse2.T
        l1 = (row.below - l2 @ off1.T) @ inverse1.T
        inverse = invert_lower(jnp.linalg.cholesky(row.diagonal - l1 @ l1.T - l2 @ l2.T))
        return (inverse, l1, inverse1), Factors(inverse, l1, l2)

    return jax.lax.scan(step, past, rows)


def forward(past: tuple[Array, ...], factors: Factors, rhs: Array) -> tuple[tuple[Array, ...], Array]:
    """y (F, n) of L y = rhs for the next rows; `past` is y of the two rows before."""

    def step(past, given: tuple[Factors, Array]):
        (y1, y2), (row, rhs) = past, given
        y = row.inverse @ (rhs - row.off @ y1 - row.off2 @ y2)
        return (y, y1), y

    return jax.lax.scan(step, past, (factors, rhs))


def backward(future: tuple[Array, ...], factors: Factors, y: Array) -> tuple[tuple[Array, ...], Array]:
    """x (F, n) of L^T x = y for rows from the last to the first; `future` is what it must know of the rows behind."""

    def step(future, given: tuple[Factors, Array]):
        (x1, off_next, x2, off2_next, off2_after), (row, y) = future, given
        x = row.inverse.T @ (y - off_next.T @ x1 - off2_after.T @ x2)
        return (x, row.off, x1, row.off2, off2_next), x

    return jax.lax.scan(step, future, (factors, y), reverse=True)
