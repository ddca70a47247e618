"""A function of one row for all rows of a batch, for so many of them at a time that no array of theirs is too large."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

Found = TypeVar("Found")

# Bytes of the largest array of the rows that are computed together, but at least LEAST_ROWS (a CNN on 28 x 28: 53 us a row, 65 in
# blocks of 2,048).
MEMORY, LEAST_ROWS = 4 << 20, 16
LARGE_ROW = 4_096  # bytes of its largest array from which a row is computed for itself, and not as many rows as may be


def rows_together(largest: int) -> int:
    """How many rows are computed together, of which the largest array has so many bytes a row."""
    return max(LEAST_ROWS, MEMORY // max(1, largest))


def mapped(row: Callable[..., Found], rows: tuple[Any, ...], together: int) -> Found:
    """`row` of each of the rows, its arguments trees of arrays, for a power of two of them at a time, `together` at most."""
    count = jax.tree.leaves(rows)[0].shape[0]
    size = 1 << (together.bit_length() - 1)
    if count <= size:
        return jax.vmap(row)(*rows)
    whole = count // size * size
    parts = jax.tree.map(lambda part: part[:whole].reshape((-1, size, *part.shape[1:])), rows)
    done = jax.lax.map(lambda block: jax.vmap(row)(*block), parts)
    found: Found = jax.tree.map(lambda part: part.reshape((whole, *part.shape[2:])), done)
    if whole == count:
        return found
    rest = jax.vmap(row)(*jax.tree.map(lambda part: part[whole:], rows))
    return jax.tree.map(lambda *both: jnp.concatenate(both), found, rest)  # type: ignore[no-any-return]
