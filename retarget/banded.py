"""Direct solver of block-pentadiagonal systems in time, and the triangular inverse it needs, in JAX."""

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


def solve_block_pentadiagonal(diagonal: Array, first: Array, second: Array, rhs: Array) -> Array:
    """Solve H x = rhs for symmetric positive H with blocks H[f,f] = diagonal (F, n, n), H[f+1,f] = first (F-1, n, n),
    H[f+2,f] = second (F-2, n, n): block Cholesky forwards, substitution backwards. Returns (F, n)."""
    n, dtype = diagonal.shape[-1], diagonal.dtype
    first = jnp.concatenate([jnp.zeros((1, n, n), dtype), first])
    second = jnp.concatenate([jnp.zeros((2, n, n), dtype), second])

    def forward(carry, row):
        inv1, off1, y1, inv2, y2 = carry  # of rows f-1 and f-2: inverse factors, L[f-1, f-2], solutions
        block, below, below2, b = row
        l2 = below2 @ inv2.T  # H[f, f-2] L[f-2, f-2]^-T
        l1 = (below - l2 @ off1.T) @ inv1.T
        factor = jnp.linalg.cholesky(block - l1 @ l1.T - l2 @ l2.T)
        inverse = invert_lower(factor)
        y = inverse @ (b - l1 @ y1 - l2 @ y2)
        return (inverse, l1, y, inv1, y1), (inverse, l1, l2, y)

    zero, none = jnp.zeros((n, n), dtype), jnp.zeros(n, dtype)
    _, (inverse, l1, l2, y) = jax.lax.scan(forward, (zero, zero, none, zero, none), (diagonal, first, second, rhs))

    def backward(carry, row):
        x1, l1_next, x2, l2_next, l2_after = carry
        inv, l1_f, l2_f, y_f = row
        x = inv.T @ (y_f - l1_next.T @ x1 - l2_after.T @ x2)
        return (x, l1_f, x1, l2_f, l2_next), x

    _, x = jax.lax.scan(backward, (none, zero, none, zero, zero), (inverse, l1, l2, y), reverse=True)
    return x
