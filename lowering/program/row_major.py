"""Columns as the rows of a matrix, [n, k]: what matrix products of wide models read fastest.

XLA's matrix product is 1.1 to 1.6 times as fast over rows ([n, k] @ [k, m]) as over features ([m, k] @ [k, n]), if
they need not be transposed for each product and the columns are transposed well. Columns of 2,048 numbers lie a multiple of
4 KB apart, all in the same lines of the cache: to transpose 100 takes 280 ns a row, in tiles of 16 rows 115. (2 cores, jaxlib
0.10.1, ns a row: 20-64-32-1 62 instead of 88, 32-128-64-1 161 instead of 267, 100-256-128-10 680 instead of 724.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

BY_ROWS = 2_048  # multiply-adds of a model's row from which its products are over rows
TILE = 16
# Columns are put together this many at a time if they have fewer rows than that: XLA copies short ones by inlined loads and
# stores, and LLVM takes 4 s for a function of 784 of those.
GROUP, SHORT = 32, 256


def stacked(columns: Sequence[jax.Array]) -> jax.Array:
    """[k, n] of k columns [n]."""
    return put_together(columns, lambda group: jnp.stack(group), axis=0)


def rows_of_columns(columns: Sequence[jax.Array]) -> jax.Array:
    """[n, k] of k columns [n] of one dtype."""
    length = columns[0].shape[0]
    if length % TILE:
        return jnp.stack(columns, axis=-1)
    tiles = [column.reshape(length // TILE, TILE) for column in columns]
    together = put_together(tiles, lambda group: jnp.concatenate(group, axis=1), axis=1)
    return together.reshape(-1, len(columns), TILE).transpose(0, 2, 1).reshape(length, len(columns))


def put_together(columns: Sequence[jax.Array], join: Callable[[Sequence[jax.Array]], jax.Array], axis: int) -> jax.Array:
    """`join` of the columns, by groups of them where that compiles faster."""
    is_floating = jnp.issubdtype(columns[0].dtype, jnp.floating)
    if columns[0].size >= SHORT or len(columns) <= 2 * GROUP or not is_floating:
        return join(columns)
    groups = [join(columns[start : start + GROUP]) for start in range(0, len(columns), GROUP)]
    # What was selected stays a group of its own. (NaN stays NaN.)
    apart = [jnp.where(group == group, group, jnp.asarray(jnp.nan, group.dtype)) for group in groups]
    return jnp.concatenate(apart, axis)
